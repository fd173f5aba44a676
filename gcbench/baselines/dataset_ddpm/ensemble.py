"""Pixel classifiers that read features, their vote, and how far they disagree."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TOP = 0.1
"""The share of an image's pixels, the most disputed ones, that makes its uncertainty."""


class PixelClassifier(nn.Module):
    """d -> 128 -> 32 -> K, from 30 classes on d -> 256 -> 128 -> K; ReLU, then batch norm; weights N(0, 0.02²)."""

    def __init__(self, channels: int, classes: int):
        super().__init__()
        wide, narrow = (128, 32) if classes < 30 else (256, 128)
        self.read = nn.Linear(channels, wide)
        self.rest = nn.Sequential(
            nn.ReLU(),
            nn.BatchNorm1d(wide),
            nn.Linear(wide, narrow),
            nn.ReLU(),
            nn.BatchNorm1d(narrow),
            nn.Linear(narrow, classes),
        )
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, features: Tensor) -> Tensor:
        """[P,d] -> logits [P,K]."""
        return self.rest(self.read(features))

    def on_maps(self, maps: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """Maps [B,C,h,w] -> logits [B,K,H,W] of every pixel.

        The first layer and bilinear interpolation are both linear, so they change places: 128 channels are brought to
        the image's size instead of d, and features of all pixels never exist together.
        """
        parts = self.read.weight.split([one.shape[1] for one in maps], dim=1)  # each [128,C]
        hidden = self.read.bias.view(1, -1, 1, 1)
        for one, part in zip(maps, parts, strict=True):
            read = F.conv2d(one, part[:, :, None, None])  # [B,128,h,w]
            hidden = hidden + F.interpolate(read, size, mode="bilinear", align_corners=False)  # [B,128,H,W]
        pixels = hidden.permute(0, 2, 3, 1).flatten(0, 2)  # [BHW,128]
        return self.rest(pixels).view(len(hidden), *size, -1).permute(0, 3, 1, 2)


class Vote(NamedTuple):
    """labels: int64 [B,H,W]; divergence: [B,H,W] in nats, of the members' answers at each pixel."""

    labels: Tensor
    divergence: Tensor


def vote(logits: Iterable[Tensor]) -> Vote:
    """What the members, one [B,K,H,W] each, agree on; only one member's logits are held at a time.

    labels: the class that most members name; of several, the one with the lowest id. divergence: of Jensen and
    Shannon, H(mean_m p_m) - mean_m H(p_m), 0 where all say the same and at most log M.
    """
    counts = mixture = entropy = torch.zeros(())
    for m, one in enumerate(logits, start=1):
        p = one.float().softmax(dim=1)  # [B,K,H,W]
        counts = counts + torch.zeros_like(p).scatter_(1, p.argmax(dim=1, keepdim=True), 1.0)
        mixture = mixture + (p - mixture) / m
        entropy = entropy + (torch.special.entr(p).sum(dim=1) - entropy) / m  # [B,H,W]
    divergence = torch.special.entr(mixture).sum(dim=1) - entropy
    return Vote(counts.argmax(dim=1), divergence.clamp_min(0))


def uncertainty(divergence: Tensor) -> Tensor:
    """[B,H,W] -> [B]: the mean over an image's `TOP` most disputed pixels."""
    pixels = divergence.flatten(1)  # [B,HW]
    return pixels.topk(max(1, round(TOP * pixels.shape[1])), dim=1).values.mean(dim=1)
