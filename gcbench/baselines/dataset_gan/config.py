"""What makes a DatasetGAN: StyleGAN2's sizes, and the pixel classifiers on top. Stored whole in every checkpoint."""

from pydantic import Field

from gcbench.baselines.dataset_ddpm.config import EnsembleConfig
from gcbench.baselines.stylegan2 import PAPER_SIZES, GANConfig
from gcbench.core.settings import Count, Weight
from gcbench.training.recipe import TrainConfig


class DatasetGANConfig(GANConfig, EnsembleConfig):
    """StyleGAN2's, the classifiers' (`EnsembleConfig`), and more:

    gan_share: of the training steps, those that train the StyleGAN2; the classifiers have the rest. inversion_steps,
    inversion_lr: of the search for the styles of each labelled image. closeness: what keeps them near usual ones
    (`features.invert`).
    """

    gan_share: float = Field(default=0.8, gt=0, lt=1)
    inversion_steps: Count = 200
    inversion_lr: float = Field(default=0.05, gt=0)
    closeness: Weight = 0.01


TINY = DatasetGANConfig()

PAPER = DatasetGANConfig(**{**PAPER_SIZES, "psi": 0.7}, inversion_steps=1000)
"""The original has StyleGAN1, truncated to 0.7, and for 384×512 cars d = 5056 features of a pixel; here d = 5376."""

TINY_TRAINING = TrainConfig(steps=5000, batch_size=16, lr=2e-3, betas=(0.0, 0.99), ema=0.998)
"""4000 steps of StyleGAN2, then 1000 of the classifiers, which are cheap."""

PAPER_TRAINING = TrainConfig(steps=975_000, batch_size=32, lr=2e-3, betas=(0.0, 0.99), ema=0.9978)
"""25 million images, StyleGAN2's length, in the first 780 000 steps."""

PRESETS = {"tiny": (TINY, TINY_TRAINING), "paper": (PAPER, PAPER_TRAINING)}
