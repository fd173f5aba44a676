"""What makes an LDM: autoencoder, U-Net, process, text encoder, size. Stored whole in every checkpoint."""

from typing import Literal

from pydantic import Field

from gcbench.core.run_spec import ImageSize
from gcbench.core.settings import Config, Count, Share, Weight
from gcbench.networks.text import TextConfig
from gcbench.training.recipe import SampleBatch, SampleSteps, TrainConfig


class VAEConfig(Config):
    """The autoencoder. The defaults are Stable Diffusion's KL-f8: 83.65 M parameters.

    kind: `tiny` is trained with the model, in the first `share` of the run, in the shape that the fields below give;
    `diffusers` is a finished AutoencoderKL, frozen, from the folder or hub name `path`, whose own config gives its
    shape and the factor of its latents. sha256: of a finished one's weights, 12 digits; fixed when training starts.

    patch: images are unshuffled patch×patch before the first convolution. channels: one entry a level; each level but
    the first halves height and width. blocks: residual blocks a level in the encoder, one more in the decoder.
    latent: channels of a latent. attention: self-attention at the lowest level. kl: weight of the KL term.
    """

    kind: Literal["tiny", "diffusers"] = "tiny"
    path: str = "stabilityai/sd-vae-ft-mse"
    sha256: str = ""
    patch: Count = 1
    channels: tuple[Count, ...] = Field(default=(128, 256, 512, 512), min_length=1)
    blocks: Count = 2
    latent: Count = 4
    groups: Count = 32
    attention: bool = True
    kl: Weight = 1e-6
    share: float = Field(default=0.3, gt=0, lt=1)


class UNetConfig(Config):
    """The U-Net over latents. The defaults are Stable Diffusion's: 859.52 M parameters with texts of width 768.

    channels, cross_attention: one entry a level (the lowest point always attends). heads: of every attention.
    """

    channels: tuple[Count, ...] = Field(default=(320, 640, 1280, 1280), min_length=1)
    cross_attention: tuple[bool, ...] = (True, True, True, False)
    blocks: Count = 2
    heads: Count = 8
    groups: Count = 32


class ProcessConfig(Config):
    """The noise: `steps` times, √β linear between the roots of the two betas. head: what the U-Net predicts."""

    steps: Count = 1000
    betas: tuple[Share, Share] = (0.00085, 0.012)
    head: Literal["eps", "v"] = "eps"


class LDMConfig(Config):
    """size: (H, W) of the images. cond_drop: share of texts replaced by the null in training. sample_steps: of DDIM,
    by default. sample_batch: images that go through the networks together."""

    vae: VAEConfig = Field(default_factory=VAEConfig)
    unet: UNetConfig = Field(default_factory=UNetConfig)
    process: ProcessConfig = Field(default_factory=ProcessConfig)
    text: TextConfig = Field(default_factory=TextConfig)
    size: ImageSize = (64, 128)
    cond_drop: Share = 0.1
    sample_steps: SampleSteps = 50
    sample_batch: SampleBatch = 1


TINY = LDMConfig(
    vae=VAEConfig(patch=2, channels=(32, 64), blocks=1, groups=8, attention=False),
    unet=UNetConfig(channels=(64, 96, 96), cross_attention=(False, True, True), blocks=1, heads=4, groups=8),
    process=ProcessConfig(head="v"),
    text=TextConfig(dim=64, max_length=48),
    sample_steps=25,
    sample_batch=8,
)
"""For 64×128 on two cores: latents of 4×16×32, a twelfth of the image's numbers."""

PAPER = LDMConfig(
    vae=VAEConfig(kind="diffusers"),
    text=TextConfig(kind="t5", name="t5-large", dim=1024, max_length=256),
    size=(256, 512),
)
"""Stable Diffusion's autoencoder and U-Net, with the text encoder that the other models read by: 865.91 M parameters to
train, since T5's texts are wider than 768."""

TINY_TRAINING = TrainConfig(steps=4000, batch_size=16, lr=8e-4, warmup=100, decay=0.5, clip=1.0, ema=0.999)
PAPER_TRAINING = TrainConfig(steps=300_000, batch_size=8, lr=5e-5, ema=0.9999)

PRESETS = {"tiny": (TINY, TINY_TRAINING), "paper": (PAPER, PAPER_TRAINING)}
