"""HRNet with a fully convolutional head, on timm's backbone with the original's fuse layers.

timm's own fuse layers upsample by nearest neighbour: official weights load into them without a word and give other
labels. Source: Wang et al. 2020, "Deep High-Resolution Representation Learning for Visual Recognition".
"""

from collections.abc import Sequence
from typing import Any

import timm
import torch
import torch.nn.functional as F
from timm.models.hrnet import HighResolutionModule
from torch import Tensor, nn

from gcbench.evaluators.segmenter_interface import Segmented

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """Maps [B,c,h,w] -> [B,c,*size], bilinear; untouched if they have this size."""
    return x if x.shape[-2:] == size else F.interpolate(x, tuple(size), mode="bilinear", align_corners=False)


class Fusion(nn.Module):
    """A module of timm's HRNet, under the same names, that fuses as the original does.

    Branch j is upsampled bilinearly by 2^(j-i) to join branch i, then resized to i's own size: the two differ where a
    side of the input is no multiple of 32, because strided convolutions round up. mmsegmentation does just this; the
    authors' code takes both steps at once, which is the same at multiples of 32 only.
    """

    def __init__(self, module: HighResolutionModule):
        super().__init__()
        self.branches: Any = module.branches
        self.fuse_layers: Any = module.fuse_layers
        self.fuse_act = module.fuse_act
        for layer in self.fuse_layers.modules():
            if isinstance(layer, nn.Upsample):
                layer.mode, layer.align_corners = "bilinear", False

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Branches, each [B,c_i,h_i,w_i], finest first -> the same, fused."""
        maps = [branch(x) for branch, x in zip(self.branches, maps, strict=True)]
        fused = []
        for target, layers in zip(maps, self.fuse_layers, strict=True):
            size = target.shape[-2:]
            total = sum(resize(layer(x), size) for layer, x in zip(layers, maps, strict=True))  # [B,c_i,h_i,w_i]
            fused.append(self.fuse_act(total))
        return fused


def _backbone(arch: str) -> Any:
    """timm's network, images [B,3,H,W] -> four branches, fused as the original fuses them."""
    net: Any = timm.create_model(arch, features_only=True, feature_location="", out_indices=(1, 2, 3, 4))
    for stage in (net.stage2, net.stage3, net.stage4):
        for i, module in enumerate(stage):
            stage[i] = Fusion(module)
    return net


class HRNet(nn.Module):
    """Images [B,3,H,W] in [0,1] -> logits of C classes at the same size, which need be no multiple of anything.

    arch: a timm HRNet. scale: images are enlarged by this first (bilinear). white: the value of white where mean and
    deviation are taken off, 1 or 255, which differ in rounding: a network should get its images as in its training.
    The four branches, brought to the finest one's size and concatenated, are the features that the head reads.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, arch: str, classes: int, scale: float = 1.0, white: float = 1.0):
        super().__init__()
        self.white = white
        self.scale = scale
        self.backbone = _backbone(arch)
        width = sum(self.backbone.feature_info.channels())
        self.head = nn.Sequential(
            nn.Conv2d(width, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, classes, 1)
        )
        self.register_buffer("mean", torch.tensor([white * value for value in MEAN]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor([white * value for value in STD]).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Segmented:
        x = (images * self.white - self.mean) / self.std
        if self.scale != 1:
            x = F.interpolate(x, scale_factor=self.scale, mode="bilinear", align_corners=False)
        maps = self.backbone(x)
        finest = maps[0].shape[-2:]
        fused = torch.cat([resize(m, finest) for m in maps], dim=1)  # [B,width,H'/4,W'/4]
        logits = resize(self.head(fused), x.shape[-2:])
        return Segmented(resize(logits, images.shape[-2:]), fused.mean(dim=(2, 3)))
