"""What makes a Semantic Palette: prior, layout GAN, SPADE, stages. Stored whole in every checkpoint."""

from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo

from gcbench.baselines.semantic_palette.layout_gan import LayoutGANConfig
from gcbench.core.run_spec import ImageSize
from gcbench.core.settings import Config, Count, Weight
from gcbench.networks.patch_discriminator import PatchConfig
from gcbench.networks.spade import SPADEConfig
from gcbench.training.recipe import SampleBatch, TrainConfig


class LossConfig(Config):
    """Weights. gradient_penalty: of the layout critic (WGAN-GP). spread, entropy: of assisted layouts at every scale.
    feature_matching, perceptual: of images of real layouts. unpaired: of the discriminator of images alone."""

    gradient_penalty: Weight = 10.0
    spread: Weight = 1.0
    entropy: Weight = 1.0
    feature_matching: Weight = 10.0
    perceptual: Weight = 10.0
    unpaired: Weight = 0.01


class RateConfig(Config):
    """Shares of `train.lr`, which is the layout GAN's: SPADE, its discriminators, the layout GAN end to end."""

    image: Weight = 0.1
    discriminators: Weight = 0.4
    end_to_end_layout: Weight = 0.1


def _after_image(both_from: float, info: ValidationInfo) -> float:
    if both_from < info.data.get("image_from", 0):
        raise ValueError(f"give at least model.image_from={info.data['image_from']}")
    return both_from


class SemanticPaletteConfig(Config):
    """palette: off makes it SB-GAN (Azadi et al. 2019): no prior, softmax over classes and Gumbel straight-through, no
    assisted activation. Its weights and rates stay Semantic Palette's; SB-GAN's own are losses.unpaired=0.1, and end to
    end a rate of 1e-5 for layouts under ten times the adversarial loss.

    size: (H, W) it is trained at. components: at most so many of the palette prior's Gaussians. image_from, both_from:
    the shares of the run at which SPADE's stage begins, on real layouts, and the one of both end to end.
    vgg: `off`, or the file of VGG-19's weights for the perceptual loss (see `gcbench.networks.perceptual`); a card says
    `off`, or the file's hash. sample_batch: images that go through the network together when it draws.
    """

    palette: bool = True
    size: ImageSize = (64, 128)
    components: Count = 30
    layout: LayoutGANConfig = Field(default_factory=LayoutGANConfig)
    image: SPADEConfig = Field(default_factory=SPADEConfig)
    discriminator: PatchConfig = Field(default_factory=PatchConfig)
    losses: LossConfig = Field(default_factory=LossConfig)
    rates: RateConfig = Field(default_factory=RateConfig)
    image_from: float = Field(default=0.4, gt=0, lt=1)
    both_from: Annotated[float, Field(gt=0, lt=1), AfterValidator(_after_image)] = 0.8
    vgg: str = "off"
    sample_batch: SampleBatch = 1


TINY = SemanticPaletteConfig(
    components=16,
    layout=LayoutGANConfig(latent=64, width=16, widest=128, critic_width=12, patch=2),
    image=SPADEConfig(width=12, multiples=(8, 8, 4, 2, 1), hidden=16, patch=2),
    discriminator=PatchConfig(width=16),
    losses=LossConfig(entropy=3.0),
    rates=RateConfig(image=0.2, discriminators=0.2),
    image_from=0.45,
    both_from=0.85,
    sample_batch=8,
)
"""For 64×128 on two cores."""

PAPER = SemanticPaletteConfig(size=(128, 256))
"""The paper's for Cityscapes at 128×256: with 35 classes a layout generator of 28.5 M parameters, with 20 a SPADE
generator of 92.6 M."""

TINY_TRAINING = TrainConfig(steps=4000, batch_size=16, lr=2e-3, betas=(0.0, 0.99), warmup=20, decay=0.4, ema=0.995)
PAPER_TRAINING = TrainConfig(steps=250_000, batch_size=8, lr=1e-3, betas=(0.0, 0.99), ema=0.999)
"""One batch size and one rule for all stages. The paper's own schedule differs: the layout GAN grows from 4 to 256
pixels, 150 epochs a resolution times 4 to 1 with batches of 1024 to 8; SPADE learns for 200 epochs with batches of 8;
end to end for 200 more with batches of 4."""

PRESETS = {"tiny": (TINY, TINY_TRAINING), "paper": (PAPER, PAPER_TRAINING)}
