"""What makes a SemanticGAN: StyleGAN2's sizes, and the discriminator of pairs. Stored whole in every checkpoint."""

from typing import Literal

from pydantic import Field

from gcbench.baselines.stylegan2 import PAPER_SIZES, GANConfig
from gcbench.core.settings import Count, Weight
from gcbench.networks.patch_discriminator import PatchConfig
from gcbench.training.recipe import TrainConfig


class SemanticGANConfig(GANConfig):
    """StyleGAN2's, and more:

    classes: set by the dataset. layout: what the discriminator of pairs reads of a drawn layout: its probabilities
    (`softmax`), or the likeliest class, 0 or 1, whose gradient is the probabilities' (`straight-through`); a real one
    is 0 or 1 either way. pairs: that discriminator. feature_matching: weight of its features in the generator's loss.
    """

    classes: Count = 20
    layout: Literal["straight-through", "softmax"] = "straight-through"
    pairs: PatchConfig = Field(default_factory=lambda: PatchConfig(scales=3))
    feature_matching: Weight = 2.0


TINY = SemanticGANConfig(pairs=PatchConfig(width=32, layers=2, scales=2))

PAPER = SemanticGANConfig(**PAPER_SIZES)

TINY_TRAINING = TrainConfig(steps=4000, batch_size=16, lr=2e-3, betas=(0.0, 0.99), ema=0.998)
PAPER_TRAINING = TrainConfig(steps=800_000, batch_size=16, lr=2e-3, betas=(0.0, 0.99), ema=0.9978)
"""The authors' length, batch and average, whose half-life is 5000 images."""

PRESETS = {"tiny": (TINY, TINY_TRAINING), "paper": (PAPER, PAPER_TRAINING)}
