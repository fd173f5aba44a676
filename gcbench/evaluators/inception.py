"""The evaluator of FID: the Inception network of 2015-12-05, with the resize of one of the two protocols."""

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from gcbench.core.contracts import Dataset, Evaluator
from gcbench.core.errors import UserError
from gcbench.core.files import file_hash
from gcbench.core.samples import Features
from gcbench.evaluators.inception_v3 import SIZE, feature_network, inception_v3
from gcbench.evaluators.resize_filters import clean_bicubic, tf1_bilinear
from gcbench.evaluators.strict_loading import load_strictly
from gcbench.weights.official import load_official, locate

RESIZES: dict[str, Callable[[Tensor, tuple[int, int]], Tensor]] = {"tf1": tf1_bilinear, "clean": clean_bicubic}


class Inception(Evaluator):
    """Gives the features that FID, KID and PRDC compare: InceptionV3 of 2015-12-05.

    `vectors`: its 2048 pooled features of each image, float32 [B,2048].

    `--evaluator inception=RESIZE[@FILE]`: RESIZE is `tf1`, TensorFlow 1's bilinear resize to 299×299 as in the first
    FID (the default), or `clean`, clean-fid's antialiased bicubic; numbers of the two are not comparable. FILE has the
    2015-12-05 weights; without it they are the official ones, as `gcbench weights fetch inception-2015-12-05` stores
    them. Pixels enter the network as (x - 128) / 128. Source: Heusel et al. 2017, "GANs Trained by a Two Time-Scale
    Update Rule Converge to a Local Nash Equilibrium".
    """

    role: ClassVar[str] = "inception"
    weights: ClassVar[str] = "inception-2015-12-05"
    chunk: ClassVar[int] = 16  # the least at which torch's fast convolutions are chosen on a single CPU thread

    def __init__(self, network: nn.Module, resize: str, source: str, device: str):
        # Channels last is the faster layout in float32 on CPUs.
        self.layout = torch.channels_last if torch.device(device).type == "cpu" else torch.contiguous_format
        self.network = network.to(device).to(memory_format=self.layout)
        self.resize = RESIZES[resize]
        self.device = device
        self.id = f"inception-v3-2015-12-05#{source} {resize} fp32"

    @classmethod
    def open(cls, dataset: Dataset, *, spec: str | None = None, device: str = "cpu") -> "Inception":
        resize, _, file = (spec or "").partition("@")
        resize = resize or "tf1"
        if resize not in RESIZES:
            raise UserError(
                f"--evaluator inception={spec}: no resize is called {resize!r}; choose inception=tf1 or inception=clean"
            )
        path = Path(file) if file else locate(cls.weights)
        network = inception_v3()
        load_strictly(network, load_official(path), path, "InceptionV3 of 2015-12-05")
        evaluator = cls(feature_network(network), resize, file_hash(path), device)
        if evaluator.blind():
            raise UserError(
                f"{path} gives two unlike images the same features, as weights do that were never trained;"
                f" run `gcbench weights fetch {cls.weights}` for the official ones"
            )
        return evaluator

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Features:
        vectors = []
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            for part in images.split(self.chunk):
                inputs = self.resize(part.to(self.device), SIZE)  # [b,3,299,299] in [0,255]
                inputs = ((inputs - 128) / 128).contiguous(memory_format=self.layout)
                vectors.append(self.network(inputs).float().cpu())
        return Features(vectors=torch.cat(vectors))

    def blind(self) -> bool:
        """Whether fine and coarse noise have the same features, to within 1e-4 of the largest, or of 1 if that is more.

        Trained features are of order 1. Those of PyTorch's default initial weights are some 1e-6, all differences
        with them, so that every FID would be 0.
        """
        generator = torch.Generator().manual_seed(0)
        fine = torch.randint(256, (1, 3, 64, 64), dtype=torch.uint8, generator=generator)
        coarse = fine[..., ::16, ::16].repeat_interleave(16, dim=2).repeat_interleave(16, dim=3)
        vectors = self(torch.cat([fine, coarse])).vectors  # [2,2048]
        assert vectors is not None
        return bool((vectors[0] - vectors[1]).abs().max() <= 1e-4 * vectors.abs().max().clamp(min=1))
