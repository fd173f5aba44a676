"""Resize filters of other people's evaluators, on the device and for whole batches, from uint8 [B,3,H,W].

An evaluator's numbers hold for its own filter only: "bilinear" of TensorFlow 1, of PIL and of torch are three filters.
"""

import torch.nn.functional as F
from torch import Tensor


def tf1_bilinear(images: Tensor, size: tuple[int, int]) -> Tensor:
    """TensorFlow 1's bilinear resize (align_corners=False, no antialias) of [B,C,H,W] to float32 [B,C,*size].

    Its grid takes output place i from input place i · in/out. With one row and column more on both sides, the last of
    the input repeated, that is the grid of align_corners=True, whose step is (in + 1 - 1)/(out + 1 - 1).
    """
    h, w = size
    padded = F.pad(images.float(), (0, 1, 0, 1), mode="replicate")  # [B,C,H+1,W+1]
    return F.interpolate(padded, (h + 1, w + 1), mode="bilinear", align_corners=True)[..., :h, :w]


def clean_bicubic(images: Tensor, size: tuple[int, int]) -> Tensor:
    """PIL's bicubic in float32 (antialiased, not rounded), clipped to [0,255]: clean-fid's resize.

    Source: Parmar et al. 2022, "On Aliased Resizing and Surprising Subtleties in GAN Evaluation".
    """
    return F.interpolate(images.float(), size, mode="bicubic", antialias=True).clamp(0, 255)


def pil_resize(images: Tensor, size: tuple[int, int], mode: str = "bicubic") -> Tensor:
    """PIL's bicubic (or bilinear) of 8-bit images, as float32: rows, then columns, each rounded to whole numbers."""
    rows = _whole(F.interpolate(images.float(), (images.shape[-2], size[1]), mode=mode, antialias=True))
    return _whole(F.interpolate(rows, size, mode=mode, antialias=True))


def central_square(images: Tensor, side: int) -> Tensor:
    """The side×side in the middle of [B,C,H,W], as torchvision's CenterCrop."""
    top, left = (round((length - side) / 2) for length in images.shape[-2:])
    return images[..., top : top + side, left : left + side]


def _whole(x: Tensor) -> Tensor:
    return (x + 0.5).floor().clamp(0, 255)
