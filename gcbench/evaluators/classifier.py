"""A network that says which attributes an image has: any classifier of timm's, or ML-Decoder on TResNet-L."""

from typing import Any

import timm
import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from gcbench.core.errors import UserError
from gcbench.networks.mldecoder import MLDecoder
from gcbench.weights.manifest import did_you_mean

ML_DECODER = "mldecoder_tresnet_l"
"""The name of ML-Decoder's authors. Their TResNet-L is timm's `tresnet_v2_l` (2048 features), not its `tresnet_l`."""

ML_DECODER_BODY, ML_DECODER_FEATURES = "tresnet_v2_l", 2048


class AttributesConfig(BaseModel):
    """arch: a timm classifier, or `mldecoder_tresnet_l`. size: images are brought to size×size for the network."""

    model_config = ConfigDict(extra="forbid")

    arch: str = "test_resnet"
    size: int = 64


class Classifier(nn.Module):
    """Images [B,3,H,W] in [0,1] -> logits [B,A] of A attributes.

    Images are resized to size×size, whatever their shape (bilinear, antialiased where they shrink), then normalised
    with the mean and deviation that timm states for the architecture (ML-Decoder: 0 and 1). size: None for the
    architecture's own, 448 for ML-Decoder.
    UserError: timm has no such network.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, arch: str, classes: int, size: int | None = None):
        super().__init__()
        self.arch = arch
        self.network: Any = _build(arch, classes)
        cfg: Any = self.network.pretrained_cfg
        self.size: int = size or (448 if arch == ML_DECODER else cfg["input_size"][-1])
        self.register_buffer("mean", torch.tensor(cfg["mean"]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(cfg["std"]).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor, drawn: torch.Generator | None = None) -> Tensor:
        """drawn: of ML-Decoder's dropout in training. The few networks of timm with a dropout draw for themselves."""
        size = (self.size, self.size)
        if images.shape[-2:] != size:
            images = F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)
        images = (images - self.mean) / self.std
        if drawn is None or self.arch != ML_DECODER:
            return self.network(images)
        return self.network.head(self.network.forward_features(images), drawn)


def _build(arch: str, classes: int) -> nn.Module:
    if arch == ML_DECODER:
        network = timm.create_model(ML_DECODER_BODY, pretrained=False)
        network.head = MLDecoder(classes, ML_DECODER_FEATURES)
        return network
    if not timm.is_model(arch):
        known = [ML_DECODER, *timm.list_models()]
        hint = did_you_mean(arch, known, f"give {ML_DECODER} or a network that timm lists", cutoff=0.6)
        raise UserError(f"no attribute classifier has the architecture {arch!r}; {hint}")
    try:
        return timm.create_model(arch, pretrained=False, num_classes=classes)
    except RuntimeError as error:
        raise UserError(f"no attribute classifier has the architecture {arch!r}: {error}") from None
