"""What makes a GCDP: network, process, text encoder, size. Stored whole in every checkpoint."""

from typing import Literal

from pydantic import Field

from gcbench.core.run_spec import ImageSize
from gcbench.core.settings import Config, Count, Share
from gcbench.diffusion.joint import ProcessConfig
from gcbench.networks.text import TextConfig
from gcbench.networks.unet import UNetConfig
from gcbench.training.recipe import SampleBatch, SampleSteps, TrainConfig


class GCDPConfig(Config):
    """unet, process, text: see each. text None makes an unconditional model.

    size: (H, W) it is trained at. cond_drop: share of texts replaced by the null in training. training_times:
    `whole`, of 1..T, one in each of B equal parts for a batch of B, or `continuous`, T times independent numbers of
    [0, 0.999), as the authors draw them. time_power: they are T u^time_power with uniform u: 1 is uniform; 2 spends
    more of a short training where details are drawn.
    sample_steps: default number of sampling steps. sample_batch: images that go through the network together.
    repeats, renoise: where a layout or an image is given, as in `gcbench.diffusion.completion.complete`.
    A super-resolution stage (unet.lowres) enlarges pairs of `low_size` (half of `size` by default), noised at time
    `low_noise` in sampling, with guidance sr_guidance.
    """

    unet: UNetConfig = Field(default_factory=UNetConfig)
    process: ProcessConfig = Field(default_factory=ProcessConfig)
    text: TextConfig | None = Field(default_factory=TextConfig)
    size: ImageSize = (64, 128)
    cond_drop: Share = 0.1
    training_times: Literal["whole", "continuous"] = "whole"
    time_power: float = Field(default=1.0, gt=0)
    sample_steps: SampleSteps = 100
    sample_batch: SampleBatch = 1
    repeats: Count = 1
    renoise: Literal["exact", "authors"] = "exact"
    low_size: ImageSize | None = None
    low_noise: float = Field(default=0.2, ge=0, lt=1)
    sr_guidance: float = Field(default=1.0, ge=0)


TINY = GCDPConfig(
    unet=UNetConfig(
        dim=48,
        mults=(1, 2, 2),
        blocks=(2, 2, 1),
        self_attention=(False, False, True),
        cross_attention=(False, False, True),
        layout_dim=8,
        text_length=48,
        latents=8,
        heads=4,
        dim_head=32,
        init_kernels=(3, 5),
        patch=2,
        init_to_final=True,
        drawing_blocks=4,
        pooled_text=True,
    ),
    process=ProcessConfig(image_schedule="linear", image_head="v", label_weight=0.2),
    text=TextConfig(dim=64),
    time_power=2.0,
    sample_steps=20,
    sample_batch=8,
)
"""For 64×128 on two cores: what ships. The image's schedule is noisier than the layout's at every time, so that the
layout leads and the image fills it in: a small network learns that sooner than both at once."""

PAPER = GCDPConfig(
    unet=UNetConfig(),
    process=ProcessConfig(image_schedule="linear", label_schedule="linear", label_scale="authors"),
    text=TextConfig(kind="t5", dim=1024, max_length=256),
    size=(128, 256),
    training_times="continuous",
)
"""The paper's base model for Cityscapes, 697.35 M parameters, with the schedules and losses of its authors' scripts."""

PAPER_CELEBA = PAPER.model_copy(update={"process": ProcessConfig(label_scale="authors"), "size": (128, 128)})
"""The paper's base model for MM-CelebA-HQ."""

TINY_TRAINING = TrainConfig(steps=4000, batch_size=16, lr=8e-4, warmup=100, decay=0.5, clip=1.0, ema=0.999)
PAPER_TRAINING = TrainConfig(
    steps=300_000,
    batch_size=8,
    lr=1.2e-4,
    ema_every=10,
    ema_after=100,
    ema_growth="power",
    crop=(1.0, 1.2),
    log_every=100,
    save_every=2000,
    preview_every=10_000,
)
"""As the authors train for Cityscapes; for MM-CelebA-HQ they do not crop."""

TINY_SR = TINY.model_copy(
    update={
        "unet": TINY.unet.model_copy(
            update={"lowres": True, "self_attention": (False,) * 3, "dim": 32, "blocks": (2, 1, 1), "drawing_blocks": 2}
        )
    }
)
"""Enlarges pairs of half the size. It need not plan a scene: no attention over pixels but in the middle."""

PAPER_SR = PAPER.model_copy(
    update={
        "unet": UNetConfig(lowres=True, self_attention=(False,) * 4, cross_attention=(False, False, False, True)),
        "size": (256, 512),
    }
)
"""The paper's super-resolution model for Cityscapes: 717.24 M parameters."""

PRESETS = {
    "tiny": (TINY, TINY_TRAINING),
    "tiny-sr": (TINY_SR, TINY_TRAINING),
    "paper": (PAPER, PAPER_TRAINING),
    "paper-celeba": (PAPER_CELEBA, PAPER_TRAINING.model_copy(update={"crop": (1.0, 1.0)})),
    "paper-sr": (PAPER_SR, PAPER_TRAINING),
}
