"""Pixel classifiers that read features, their vote, and how far they disagree: of any generator's features."""

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gcbench.baselines.dataset_ddpm.config import EnsembleConfig
from gcbench.core.draws import cut, moved, once
from gcbench.core.errors import UserError
from gcbench.diffusion.noise import derived_seed

TOP = 0.1
"""The share of an image's pixels, the most disputed ones, that makes its uncertainty."""

TRY, CALIBRATION = 1, 2
"""What a derived seed is for."""


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
        parts = self.read.weight.split([feature_map.shape[1] for feature_map in maps], dim=1)  # each [128,C]
        hidden = self.read.bias.view(1, -1, 1, 1)
        for feature_map, part in zip(maps, parts, strict=True):
            read = F.conv2d(feature_map, part[:, :, None, None])  # [B,128,h,w]
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
    for m, member_logits in enumerate(logits, start=1):
        p = member_logits.float().softmax(dim=1)  # [B,K,H,W]
        counts = counts + torch.zeros_like(p).scatter_(1, p.argmax(dim=1, keepdim=True), 1.0)
        mixture = mixture + (p - mixture) / m
        entropy = entropy + (torch.special.entr(p).sum(dim=1) - entropy) / m  # [B,H,W]
    divergence = torch.special.entr(mixture).sum(dim=1) - entropy
    return Vote(counts.argmax(dim=1), divergence.clamp_min(0))


def uncertainty(divergence: Tensor) -> Tensor:
    """[B,H,W] -> [B]: the mean over an image's `TOP` most disputed pixels."""
    pixels = divergence.flatten(1)  # [B,HW]
    return pixels.topk(max(1, round(TOP * pixels.shape[1])), dim=1).values.mean(dim=1)


class Ensemble(nn.Module):
    """The classifiers of features [P,width], and how uncertain they are of samples of the generator.

    uncertainties: [calibration]; until they are measured log M, which none can exceed.
    """

    uncertainties: Tensor

    def __init__(self, cfg: EnsembleConfig, width: int, classes: int):
        super().__init__()
        self.members = nn.ModuleList(PixelClassifier(width, classes) for _ in range(cfg.members))
        self.register_buffer("uncertainties", torch.full((cfg.calibration,), math.log(cfg.members)))

    def check_trained(self, path: Path) -> None:
        """UserError: the classifiers of the checkpoint `path` have learnt nothing yet."""
        if not any(int(seen) for name, seen in self.named_buffers() if name.endswith("num_batches_tracked")):
            raise UserError(
                f"checkpoint {path} was saved before its pixel classifiers were trained; continue its"
                " training by --resume, or choose another"
            )

    def loss(self, features: Tensor, classes: Tensor, pixels: int, generator: torch.Generator) -> Tensor:
        """The mean over classifiers of the cross-entropy on so many pixels, each one's own draw from
        features [N,d] and classes [N]."""
        losses = []
        for member in self.members:
            drawn = once(generator, lambda source: torch.randint(len(classes), (pixels,), generator=source))
            own, weight = cut(drawn, generator)
            rows = moved(own, classes.device)
            losses.append(weight * F.cross_entropy(member(features[rows]).float(), classes[rows]))
        return torch.stack(losses).mean()

    def read(self, maps: Sequence[Tensor], size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Layouts int64 [B,H,W] and uncertainties [B] of maps [B,C,h,w], on the CPU."""
        voted = vote(member.on_maps(maps, size) for member in self.members)  # type: ignore[operator]
        return voted.labels.cpu(), uncertainty(voted.divergence).cpu()

    def threshold(self, keep: float) -> float:
        """The uncertainty that a share `keep` of the calibration samples does not exceed; 1: none is too high."""
        if keep == 1:
            return math.inf
        return float(self.uncertainties.sort().values[math.ceil(keep * len(self.uncertainties)) - 1])


def filtered(
    draw: Callable[[Sequence[int], int], tuple[Tensor, ...]],
    seeds: Sequence[int],
    batch_size: int,
    threshold: float,
    tries: int,
) -> tuple[Tensor, Tensor]:
    """Images and layouts of the seeds; one of an uncertainty above `threshold` is drawn again, from a derived seed.

    draw: (seeds, batch_size) -> images, layouts and uncertainties [N]. After `tries` the least uncertain one is taken.
    """
    images, layouts, doubts = draw(seeds, batch_size)
    for number in range(1, tries):
        doubtful = [i for i in range(len(seeds)) if doubts[i] > threshold]
        for i in doubtful:
            again = draw([derived_seed(seeds[i], TRY, number)], 1)
            if again[2][0] < doubts[i]:
                images[i], layouts[i], doubts[i] = (part[0] for part in again)
    return images, layouts
