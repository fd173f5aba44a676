"""The layout GAN: from a latent and a palette to layouts at every scale, and the critic of the finest.

Shaped as a progressive GAN (Karras et al. 2018: pixel norm, equalised learning rate, two 3×3 convolutions a scale), but
of fixed size: it does not grow. All scales are trained from the first step; each but the last is a layout of its own,
which has its losses and is read by the next ("joint"): its embedding is added to the features. Grids are rectangular.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gcbench.baselines.semantic_palette.assisted import claims, probabilities
from gcbench.core.settings import Config, Count
from gcbench.networks.stylegan2 import Conv, Linear, leaky, pixel_norm
from gcbench.networks.subpixels import start_alike


class LayoutGANConfig(Config):
    """The defaults are the paper's at 128×256: 28.5 M parameters in the generator for 35 classes.

    latent: width of z. width, widest: channels on the finest grid, doubled on each coarser one up to `widest`.
    critic_width: as `width`, of the critic. patch: the finest grid is so many times coarser than the layout, whose
    pixels are drawn and evaluated patch×patch at a time (1 at paper size).
    """

    classes: Count = 20
    latent: Count = 512
    width: Count = 128
    widest: Count = 512
    critic_width: Count = 128
    patch: Count = 1


def doublings(size: tuple[int, int], patch: int) -> int:
    """How often the seed doubles up to size/patch: the seed's shorter side is 4 or more (4×8 for 64×128)."""
    h, w = size[0] // patch, size[1] // patch
    count = 0
    while h % 2 == 0 and w % 2 == 0 and min(h, w) >= 8:
        h, w, count = h // 2, w // 2, count + 1
    return count


class Activation(nn.Module):
    """`leaky` and, in the generator, pixel norm."""

    def __init__(self, *, norm: bool):
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        return pixel_norm(leaky(x), 1) if self.norm else leaky(x)


def convolutions(*widths: int, norm: bool) -> nn.Sequential:
    """3×3 convolutions from each width to the next, an activation after each."""
    return nn.Sequential(*(part for pair in pairwise(widths) for part in (Conv(*pair, 3), Activation(norm=norm))))


class LayoutGenerator(nn.Module):
    """z [B,Z] and palette [B,K] -> claims [B,K,h,w] of every scale, coarse to fine; without palettes the finest logits
    alone. A layout is the argmax of the last."""

    def __init__(self, cfg: LayoutGANConfig, size: tuple[int, int], *, palette: bool):
        super().__init__()
        self.palette, self.patch = palette, cfg.patch
        ups = doublings(size, cfg.patch)
        self.seed = (size[0] // cfg.patch >> ups, size[1] // cfg.patch >> ups)
        widths = [min(cfg.widest, cfg.width << (ups - i)) for i in range(ups + 1)]  # coarse to fine
        k, area = cfg.classes, self.seed[0] * self.seed[1]
        self.start = Linear(cfg.latent + (k if palette else 0), widths[0] * area)
        rising = (convolutions(before, after, after, norm=True) for before, after in pairwise(widths))
        self.blocks = nn.ModuleList([convolutions(widths[0], widths[0], norm=True), *rising])
        coarser = widths[:-1] if palette else []
        self.to_coarser = nn.ModuleList(Conv(width, k, 1) for width in coarser)
        self.joints = nn.ModuleList(Conv(k, width, 3) for width in coarser)
        to_finest = Conv(widths[-1], k * cfg.patch**2, 1)
        start_alike(to_finest.weight, cfg.patch)
        self.to_finest = to_finest

    def forward(self, z: Tensor, palette: Tensor | None) -> list[Tensor]:
        read = z if palette is None else torch.cat((z, palette), dim=1)
        x = pixel_norm(leaky(self.start(pixel_norm(read)))).view(len(z), -1, *self.seed)
        scales = []
        for i, block in enumerate(self.blocks):
            if i > 0:
                x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = block(x)
            if palette is not None and i < len(self.joints):
                scales.append(claims(self.to_coarser[i](x), palette))
                x = leaky(x + self.joints[i](probabilities(scales[-1])))
        logits = F.pixel_shuffle(self.to_finest(x), self.patch)  # [B,K,H,W]
        return [logits] if palette is None else [*scales, claims(logits, palette)]


class LayoutCritic(nn.Module):
    """Layout [B,K,H,W], one-hot or soft -> [B,1], high for real: the generator's mirror, averages for doublings."""

    def __init__(self, cfg: LayoutGANConfig, size: tuple[int, int]):
        super().__init__()
        self.patch = cfg.patch
        downs = doublings(size, cfg.patch)
        widths = [min(cfg.widest, cfg.critic_width << i) for i in range(downs + 1)]  # fine to coarse
        area = (size[0] // cfg.patch >> downs) * (size[1] // cfg.patch >> downs)
        self.read = Conv(cfg.classes * cfg.patch**2, widths[0], 1)
        self.blocks = nn.ModuleList(
            convolutions(before, before, after, norm=False).append(nn.AvgPool2d(2))
            for before, after in pairwise(widths)
        )
        self.last = nn.Sequential(
            *convolutions(widths[-1], widths[-1], norm=False),
            nn.Flatten(),
            Linear(widths[-1] * area, widths[-1]),
            Activation(norm=False),
            Linear(widths[-1], 1),
        )

    def forward(self, layout: Tensor) -> Tensor:
        x = leaky(self.read(F.pixel_unshuffle(layout, self.patch)))
        for block in self.blocks:
            x = block(x)
        return self.last(x)
