"""Features of finished images: what named decoder blocks of a diffusion U-Net say of them, slightly noised.

Knows nothing of classes. The features of a pixel are all blocks' channels at all times, each map brought to the
image's size by bilinear interpolation (pixel centres, edges repeated).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from gcbench.core.errors import UserError
from gcbench.diffusion.schedules import Schedule
from gcbench.networks.decoder_blocks import decoder_blocks
from gcbench.networks.unet import ResnetBlock, UNet


def choose_blocks(unet: UNet, names: Sequence[str]) -> dict[str, ResnetBlock]:
    """Those of `names`. UserError for a name that the network does not have."""
    known = decoder_blocks(unet)
    for name in names:
        if name not in known:
            raise UserError(f"setting model.decoder_blocks names {name!r}; this network has {', '.join(known)}")
    return {name: known[name] for name in names}


def channels(unet: UNet, names: Sequence[str], times: int) -> int:
    """d, the number of features of a pixel."""
    return times * sum(block.block2.project.out_channels for block in choose_blocks(unet, names).values())


def equal_times(schedule: Schedule, times: Sequence[int]) -> list[int]:
    """The times in 1..T of `schedule` with the noise that DDPM's schedule has at `times` in 0..999.

    DDPM (Ho et al. 2020): alpha_bar_t = prod_{i≤t} (1 - beta_i), beta from 1e-4 to 0.02 in 1000 even steps; the
    original's t = 50, 150, 250 count these from 0. The nearest log(alpha_bar / (1 - alpha_bar)) is taken.
    """
    kept = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), dim=0)[list(times)]  # alpha_bar
    own = schedule.alpha_bar[1:]
    return [int(i) + 1 for i in (torch.logit(own) - torch.logit(kept)[:, None]).abs().argmin(dim=1)]


def by_size(maps: Sequence[Tensor]) -> list[Tensor]:
    """Maps [B,C,h,w] of one size as one, channels one after the other; sizes in the order in which they first come.

    Channels lie last in memory, as the classifiers read them.
    """
    sizes: dict[torch.Size, list[Tensor]] = {}
    for fmap in maps:
        sizes.setdefault(fmap.shape[2:], []).append(fmap)
    return [torch.cat(same, dim=1).contiguous(memory_format=torch.channels_last) for same in sizes.values()]


def at_pixels(maps: Sequence[Tensor], row: int, pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Features [P,d] of some pixels of one image, `row` of the batch; pixels [P] counts them along the rows of
    `size`. Only these are interpolated: no map of the image's size comes into being."""
    h, w = size
    centres = torch.stack(((pixels % w + 0.5) / w, (pixels // w + 0.5) / h), dim=1) * 2 - 1  # [P,2], x before y
    grid = centres.float().view(1, -1, 1, 2)
    read = [
        F.grid_sample(fmap[row : row + 1].float(), grid.to(fmap.device), padding_mode="border", align_corners=False)
        for fmap in maps
    ]  # each [1,C,P,1]
    return torch.cat(read, dim=1)[0, :, :, 0].T  # [P,d]
