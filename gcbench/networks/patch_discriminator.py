"""The evaluator of images patch by patch, at several scales, and feature matching through it.

Source: Wang et al. 2018 (pix2pixHD), with the normalisation of Park et al. 2019: spectral on the inner convolutions,
then instance normalisation. Input [B,C,H,W], an image or a layout and an image on top of each other.
"""

from itertools import pairwise
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from gcbench.core.errors import UserError
from gcbench.core.settings import Config, Count
from gcbench.networks.adversarial import hinge_discriminator
from gcbench.networks.spectral import spectral


class PatchConfig(Config):
    """width: of the first layer, doubled by each that follows up to 8 times. layers: that halve the grid.
    scales: evaluators, each on an image half as large as the last one's."""

    width: Count = 64
    layers: Count = 3
    scales: Count = 2


def check_scales(size: tuple[int, int], cfg: PatchConfig, setting: str) -> None:
    """UserError: the last scale would see one pixel, which has no variance to be normalised by."""
    if max(size) <= 2 ** (cfg.scales - 1):
        h, w = size
        raise UserError(f"setting {setting}.scales={cfg.scales} halves images of {h}x{w} to one pixel; take fewer")


class PatchOutput(NamedTuple):
    """Of one scale. features: of every layer but the last, each [B,C,h,w]; logits: [B,1,h,w], high for real."""

    features: list[Tensor]
    logits: Tensor


class ScaleDiscriminator(nn.Module):
    """One scale: 4×4 convolutions, `layers` of stride 2 and one of stride 1, then one to a logit a patch."""

    def __init__(self, channels: int, cfg: PatchConfig):
        super().__init__()
        widths = [cfg.width * min(2**i, 8) for i in range(cfg.layers + 1)]
        self.first = nn.Conv2d(channels, widths[0], 4, stride=2, padding=2)
        self.inner = nn.ModuleList(
            # no bias: instance normalisation would take it off again
            spectral(nn.Conv2d(before, after, 4, stride=2 if i + 2 < len(widths) else 1, padding=2, bias=False))
            for i, (before, after) in enumerate(pairwise(widths))
        )
        self.last = nn.Conv2d(widths[-1], 1, 4, padding=2)

    def forward(self, x: Tensor) -> PatchOutput:
        features = [F.leaky_relu(self.first(x), 0.2)]
        for conv in self.inner:
            features.append(F.leaky_relu(F.instance_norm(conv(features[-1])), 0.2))
        return PatchOutput(features, self.last(features[-1]))


class PatchDiscriminator(nn.Module):
    """One output a scale, the finest first."""

    def __init__(self, channels: int, cfg: PatchConfig):
        super().__init__()
        self.scales = nn.ModuleList(ScaleDiscriminator(channels, cfg) for _ in range(cfg.scales))

    def forward(self, x: Tensor) -> list[PatchOutput]:
        out = []
        for scale in self.scales:
            out.append(scale(x))
            x = F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
        return out


def critic_loss(real: list[PatchOutput], fake: list[PatchOutput]) -> Tensor:
    """Hinge, the mean over scales."""
    losses = [hinge_discriminator(r.logits, f.logits) for r, f in zip(real, fake, strict=True)]
    return sum(losses[1:], losses[0]) / len(losses)


def generator_loss(fake: list[PatchOutput]) -> Tensor:
    """-mean D(fake), the mean over scales."""
    losses = [-f.logits.mean() for f in fake]
    return sum(losses[1:], losses[0]) / len(losses)


def feature_matching(real: list[PatchOutput], fake: list[PatchOutput]) -> Tensor:
    """Σ over layers of mean |features of fake - those of real|, the mean over scales. Real is not moved."""
    losses = [
        F.l1_loss(made, true.detach())
        for r, f in zip(real, fake, strict=True)
        for true, made in zip(r.features, f.features, strict=True)
    ]
    return sum(losses[1:], losses[0]) / len(real)
