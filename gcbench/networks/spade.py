"""Layout to image: spatially adaptive normalisation and the GauGAN generator.

Source: Park et al. 2019, "Semantic Image Synthesis with Spatially-Adaptive Normalization". Deterministic: no encoder of
styles, no noise. A layout is [B,K,H,W], one-hot or soft; a gradient reaches soft ones. Where the paper picks the
nearest pixel for a coarser grid, class shares are averaged here, so that thin things stay and every pixel gets its
gradient.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from gcbench.core.settings import Config, Count
from gcbench.networks.spectral import spectral
from gcbench.networks.subpixels import start_alike


class SPADEConfig(Config):
    """The defaults are the paper's: 92.6 M parameters for 20 classes.

    width: channels are its multiples. multiples: before the first block and after each; every block but the first
    works on a grid twice as fine. hidden: channels between a layout and the scales and shifts that it sets. patch: the
    last grid is so many times coarser than the image, whose pixels are drawn patch×patch at a time from the features
    and from the layout's own pixels (1 at paper size: every pixel has its own place on the last grid).
    """

    classes: Count = 20
    width: Count = 64
    multiples: tuple[Count, ...] = Field(default=(16, 16, 16, 16, 8, 4, 2, 1), min_length=2)
    hidden: Count = 128
    patch: Count = 1

    @property
    def stride(self) -> int:
        """Height and width of a layout must be multiples of this."""
        return self.patch * 2 ** (len(self.multiples) - 2)


class SPADE(nn.Module):
    """(1 + γ) · batchnorm(x) + β, with γ and β [B,C,H,W] convolved from the layout (Eq. 1 and Fig. 2)."""

    def __init__(self, channels: int, classes: int, hidden: int):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.shared = nn.Conv2d(classes, hidden, 3, padding=1)
        self.modulation = nn.Conv2d(hidden, 2 * channels, 3, padding=1)

    def forward(self, x: Tensor, layout: Tensor) -> Tensor:
        gamma, beta = self.modulation(F.relu(self.shared(layout))).chunk(2, dim=1)  # [B,C,H,W]
        return torch.addcmul(beta, self.norm(x), 1 + gamma)


class SPADEBlock(nn.Module):
    """Residual: two spectral-norm convolutions, each after SPADE and leaky ReLU; a learnt skip where widths differ."""

    def __init__(self, before: int, after: int, classes: int, hidden: int):
        super().__init__()
        middle = min(before, after)
        self.norms = nn.ModuleList(SPADE(channels, classes, hidden) for channels in (before, middle))
        self.convs = nn.ModuleList(
            spectral(nn.Conv2d(*channels, 3, padding=1)) for channels in ((before, middle), (middle, after))
        )
        self.skip_norm = SPADE(before, classes, hidden) if before != after else None
        self.skip = spectral(nn.Conv2d(before, after, 1, bias=False)) if before != after else None

    def forward(self, x: Tensor, layout: Tensor) -> Tensor:
        out = x
        for norm, conv in zip(self.norms, self.convs, strict=True):
            out = conv(F.leaky_relu(norm(out, layout), 0.2))
        if self.skip is not None and self.skip_norm is not None:
            x = self.skip(self.skip_norm(x, layout))
        return x + out


class SPADEGenerator(nn.Module):
    """Layout [B,K,H,W] -> image [B,3,H,W] in [-1,1]."""

    def __init__(self, cfg: SPADEConfig):
        super().__init__()
        self.cfg = cfg
        widths = [cfg.width * multiple for multiple in cfg.multiples]
        self.first = nn.Conv2d(cfg.classes, widths[0], 3, padding=1)
        self.blocks = nn.ModuleList(
            SPADEBlock(before, after, cfg.classes, cfg.hidden) for before, after in pairwise(widths)
        )
        pixels = cfg.patch**2
        read = widths[-1] + (cfg.classes * pixels if cfg.patch > 1 else 0)
        self.last = nn.Conv2d(read, 3 * pixels, 3, padding=1)
        for parameter in self.last.parameters():
            start_alike(parameter, cfg.patch)

    def forward(self, layout: Tensor) -> Tensor:
        patch = self.cfg.patch
        grids = [F.avg_pool2d(layout, patch)]  # finest first
        for _ in self.blocks[1:]:
            grids.append(F.avg_pool2d(grids[-1], 2))
        x = self.first(grids[-1])
        for block, grid in zip(self.blocks, reversed(grids), strict=True):
            if x.shape[-2:] != grid.shape[-2:]:
                x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = block(x, grid)
        x = F.leaky_relu(x, 0.2)
        if patch > 1:
            x = torch.cat((x, F.pixel_unshuffle(layout, patch)), dim=1)
        return F.pixel_shuffle(self.last(x), patch).tanh()
