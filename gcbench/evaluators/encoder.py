"""The evaluator of features at large: DINOv2, or any image network of timm or open_clip, with its own preprocessing."""

from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from gcbench.core.contracts import Dataset, Evaluator
from gcbench.core.errors import UserError
from gcbench.core.files import file_hash
from gcbench.core.samples import Features
from gcbench.evaluators.encoder_networks import DINOV2, Network, dinov2_network, open_clip_network, timm_network
from gcbench.evaluators.resize_filters import central_square, pil_resize
from gcbench.weights.official import load_official, locate

OPEN_CLIP = "open_clip:"


class Encoder(Evaluator):
    """Gives pooled features of images, for distances that are not tied to one network.

    `vectors`: what the network gives of an image before any classifier, float32 [B,d], not normalised: of DINOv2 the
    class token after the last norm, of a network of timm its pooled features, of one of open_clip the projected
    embedding.

    `--evaluator encoder=ID[@FILE]`, ID being one of
    - `dinov2-vits14`, `-vitb14`, `-vitl14` (the default), `-vitg14`: DINOv2 as FD(DINOv2) is measured by dgm-eval and
      EDM2: images of any shape to a square of 224×224 (bicubic as PIL's on 8-bit images), ImageNet's mean and
      deviation, and the positions of the 37×37 patches of training brought to 16×16 as DINOv2's own code does it;
    - a network of timm, `NAME[.TAG]`: size, filter, crop, mean and deviation are those of timm's data config of that
      tag (so `vit_large_patch14_dinov2.lvd142m` sees the central square at 518 pixels);
    - `open_clip:NAME[.TAG]`: the image tower of a network of open_clip, prepared as that tag's weights want it.

    FILE has the weights, in timm's, open_clip's or DINOv2's own layout. Without it those of `dinov2-vitl14` are the
    official ones, as `gcbench weights fetch dinov2-vitl14` stores them. Sources: Oquab et al. 2023, "DINOv2: Learning
    Robust Visual Features without Supervision"; Stein et al. 2023, "Exposing flaws of generative model evaluation
    metrics and their unfair treatment of diffusion models".
    """

    role: ClassVar[str] = "encoder"
    name: ClassVar[str] = "dinov2-vitl14"
    chunk: ClassVar[int] = 16

    def __init__(self, network: Network, source: str, device: str):
        self.network = network.module.eval().requires_grad_(False).to(device)
        self.preparation, self.device = network.preparation, device
        self.mean = torch.tensor(self.preparation.mean, device=device).view(1, 3, 1, 1)
        self.std = torch.tensor(self.preparation.std, device=device).view(1, 3, 1, 1)
        self.id = f"{network.name}#{source} {self.preparation} fp32"

    @classmethod
    def open(cls, dataset: Dataset, *, spec: str | None = None, device: str = "cpu") -> "Encoder":
        asked, _, file = (spec or "").partition("@")
        name = asked or cls.name
        if not file and name != cls.name:
            raise UserError(f"--evaluator encoder={name} needs the file of its weights; write encoder={name}@FILE")
        path = Path(file) if file else locate(cls.name)
        state = load_official(path)
        if name in DINOV2:
            network = dinov2_network(name, state, path)
        elif name.startswith(OPEN_CLIP):
            network = open_clip_network(name.removeprefix(OPEN_CLIP), state, path)
        else:
            network = timm_network(name, state, path)
        return cls(network, file_hash(path), device)

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Features:
        vectors = []
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            for part in images.split(self.chunk):
                output = self.network(self.prepare(part.to(self.device)))
                output = output[0] if isinstance(output, tuple) else output  # CoCa's tower gives its tokens too
                vectors.append(output.float().cpu())
        return Features(vectors=torch.cat(vectors))

    def prepare(self, images: Tensor) -> Tensor:
        """uint8 [B,3,H,W] -> what the network takes, float32 [B,3,S,S]."""
        how = self.preparation
        h, w = images.shape[-2:]
        side = how.shorter or how.size
        size = (side, side) if how.shorter is None else (side * h // min(h, w), side * w // min(h, w))
        resized = pil_resize(images, size, how.interpolation)
        return (central_square(resized, how.size) / 255 - self.mean) / self.std
