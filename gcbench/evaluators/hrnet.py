"""HRNet with a fully convolutional head, on timm's backbone with the original's bilinear fuse layers.

timm's own fuse layers upsample by nearest neighbour: official weights load into them without a word and give other
labels. Source: Wang et al. 2020, "Deep High-Resolution Representation Learning for Visual Recognition".
"""

from typing import NamedTuple

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


class Segmented(NamedTuple):
    """logits: [B,C,H,W] at the picture's own size; pooled: [B,d] mean of the fused features that the head reads."""

    logits: Tensor
    pooled: Tensor


class HRNet(nn.Module):
    """Pictures [B,3,H,W] in [0,1] -> logits of C classes at the same size.

    arch: a timm HRNet. scale: pictures are enlarged by this first (bilinear), then padded at the right and bottom
    to a multiple of 32, the stride of the coarsest branch.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, arch: str, classes: int, scale: float = 1.0):
        super().__init__()
        self.scale = scale
        self.backbone = timm.create_model(
            arch, pretrained=False, features_only=True, feature_location="", out_indices=(1, 2, 3, 4)
        )
        for layer in self.backbone.modules():
            if isinstance(layer, nn.Upsample):
                layer.mode, layer.align_corners = "bilinear", False
        width = sum(self.backbone.feature_info.channels())  # type: ignore[operator, union-attr]
        self.head = nn.Sequential(
            nn.Conv2d(width, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, classes, 1),
        )
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, pictures: Tensor) -> Segmented:
        h, w = pictures.shape[-2:]
        x = (pictures - self.mean) / self.std
        if self.scale != 1:
            x = F.interpolate(x, scale_factor=self.scale, mode="bilinear", align_corners=False)
        inner = x.shape[-2:]
        x = F.pad(x, (0, -inner[1] % 32, 0, -inner[0] % 32), mode="replicate")
        maps = self.backbone(x)
        finest = maps[0].shape[-2:]
        fused = torch.cat(
            [maps[0], *(F.interpolate(m, finest, mode="bilinear", align_corners=False) for m in maps[1:])],
            dim=1,
        )  # [B,width,H'/4,W'/4]
        logits = F.interpolate(self.head(fused), x.shape[-2:], mode="bilinear", align_corners=False)
        logits = logits[..., : inner[0], : inner[1]]
        if inner != (h, w):
            logits = F.interpolate(logits, (h, w), mode="bilinear", align_corners=False)
        return Segmented(logits, fused.mean(dim=(2, 3)))
