"""What makes a GANformer: StyleGAN2's sizes, and its attention. Stored whole in every checkpoint."""

from typing import Literal

from pydantic import Field

from gcbench.core.settings import Count, Weight
from gcbench.networks.stylegan2 import StyleGAN2Config
from gcbench.training.recipe import SampleBatch, TrainConfig


class GANformerConfig(StyleGAN2Config):
    """StyleGAN2's, where z_dim and w_dim are of each latent, and more:

    components: local latents, beside the global one that modulates. attention: `duplex` or `simplex`, on maps up to
    the height attention_height. dropout: share of attention left out in training. gamma: of R1. psi: truncation when
    it draws: below 1, styles are drawn towards their mean: likelier images, and more alike. sample_batch: images that
    go through the network together then.
    """

    components: Count = 8
    attention: Literal["duplex", "simplex"] = "duplex"
    attention_height: Count = 32
    dropout: float = Field(default=0.12, ge=0, lt=1)
    gamma: Weight = 0.5
    psi: Weight = 1.0
    sample_batch: SampleBatch = 8


TINY = GANformerConfig(z_dim=32, w_dim=32, attention_height=16)

PAPER = GANformerConfig(
    size=(256, 512),
    z_dim=32,
    w_dim=32,
    mapping_layers=8,
    channel_base=32768,
    channel_max=512,
    generator="residual",
    components=16,
    attention_height=128,
    gamma=20.0,
    sample_batch=4,
)
"""The authors' settings for Cityscapes: 16 latents of 32 numbers, and as many doublings as their letterboxed square of
256 has, here from 4×8 on."""

TINY_TRAINING = TrainConfig(steps=4000, batch_size=16, lr=2e-3, betas=(0.0, 0.99), ema=0.998)
PAPER_TRAINING = TrainConfig(steps=780_000, batch_size=32, lr=2e-3, betas=(0.0, 0.99), ema=0.9978)
"""25 million images, StyleGAN2's length; the average's half-life is 10 000 images."""

PRESETS = {"tiny": (TINY, TINY_TRAINING), "paper": (PAPER, PAPER_TRAINING)}
