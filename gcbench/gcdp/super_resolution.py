"""The second stage of the cascade: what it is told of the smaller pair that it enlarges.

The pair is enlarged by the nearest pixel and noised, image and layout alike, by linear schedules at one time u, whose
log-SNR the network reads (noise conditioning augmentation, Ho et al. 2022): so it learns not to trust every pixel of a
stage before it. In training u is drawn once a batch, in sampling it is `low_noise`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from gcbench.core.contracts import Size
from gcbench.diffusion.joint import JointProcess, ProcessConfig
from gcbench.networks.unet import LowRes

LAST_TIME = 0.999
"""Training draws u below this, as the authors do."""


def resized(image: Tensor, layout: Tensor | None, size: Size) -> tuple[Tensor, Tensor | None]:
    """Image [B,C,H,W] and layout [B,H,W] at `size`, by the nearest pixel, as the method brings a pair down and up."""
    image = F.interpolate(image, size)
    return image, None if layout is None else F.interpolate(layout[:, None].float(), size)[:, 0].long()


def augmentation(classes: int | None) -> JointProcess:
    """The process by which the smaller pair is noised."""
    return JointProcess(ProcessConfig(image_schedule="linear", label_schedule="linear", classes=classes))


def told(
    image: Tensor, layout: Tensor | None, u: float, eps: Tensor, uniform: Tensor | None, process: JointProcess
) -> LowRes:
    """The pair, at its full size already, noised at time u by `augmentation`; image in [-1,1], eps like it, uniform
    like the layout."""
    z = process.noised(image, layout, torch.full((len(image),), u, device=image.device), eps, uniform)
    return LowRes(z.image, z.layout, z.log_snr)
