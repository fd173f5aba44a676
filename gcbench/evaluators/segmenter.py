"""The evaluator of classes and places: a segmentation network that labels every pixel, void never among its answers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from gcbench.core.contracts import Dataset, Evaluator
from gcbench.core.errors import UserError
from gcbench.core.samples import Features
from gcbench.evaluators.hrnet_official import ARCH, OFFICIAL, open_official, open_published
from gcbench.evaluators.segmenter_interface import Loaded, Request, parse
from gcbench.evaluators.trained_segmenter import find_trained, how_to_train, open_trained

MMSEG = "mmseg:"


class Segmenter(Evaluator):
    """Labels every pixel: an own trained network, HRNet-w48 with official weights, or any of mmsegmentation's.

    `vectors`: pooled features [B,d], or None; `labels`: class ids [B,H,W] at the images' own size.

    `--evaluator segmenter=ID[:xS][:fp64][@WHERE]`, where S enlarges images before the network (1 by default) and
    fp64 computes in double precision, so that two processors give the same labels and features to ten digits:
    `hrnet_w48` is the official network, `mmseg:CONFIG` one of mmsegmentation's; any other ID is the architecture of
    a checkpoint that `gcbench train --evaluator segmenter` wrote, WHERE its file or the dataset whose evaluator is
    bundled. Without the option: `hrnet_w48` for `cityscapes`, else the dataset's own. Its id says what it is and what
    it was trained on (`hrnet_w18_small@streets#<hash> ×2 fp32`).
    """

    role: ClassVar[str] = "segmenter"
    chunk: ClassVar[int] = 16
    pixels: ClassVar[int] = 2**20  # that go through the network together; w48 needs about 1 KiB for each

    def __init__(self, loaded: Loaded, device: str, precision: str = "fp32"):
        self.dtype = torch.float64 if precision == "fp64" else torch.float32
        self.network = loaded.network.eval().to(device, self.dtype)
        self.labels = torch.tensor(loaded.labels)
        self.scale = loaded.scale
        self.device = device
        self.id = f"{loaded.id} {precision}"

    @classmethod
    def open(cls, dataset: Dataset, *, spec: str | None = None, device: str = "cpu") -> "Segmenter":
        request = parse(spec)
        return cls(_load(request, dataset), device, request.precision)

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Features:
        area = images.shape[2] * images.shape[3] * self.scale**2
        vectors, labels = [], []
        for part in images.split(max(1, min(self.chunk, int(self.pixels / area)))):
            logits, pooled = self.network(part.to(self.device, self.dtype) / 255)
            if not logits.isfinite().all():
                raise UserError(f"the segmenter {self.id} gave numbers that are not finite; copy its file again")
            labels.append(self.labels[logits.argmax(dim=1).cpu()])
            if pooled is not None:
                vectors.append(pooled.float().cpu())
        return Features(vectors=torch.cat(vectors) if vectors else None, labels=torch.cat(labels))

    @classmethod
    def recipe(cls, dataset: Dataset, settings: Mapping[str, Any]) -> Any:
        from gcbench.evaluators.segmenter_training import SegmenterRecipe

        return SegmenterRecipe.build(dataset, settings)


def _load(request: Request, dataset: Dataset) -> Loaded:
    name, scale, where, _ = request
    if name and (name + ":").startswith(MMSEG):
        from gcbench.evaluators.mmseg_model import open_mmseg

        return open_mmseg(name.removeprefix(MMSEG), where, scale or 1.0, dataset)
    if where is None and name is None and dataset.name == "cityscapes":
        try:
            return open_published(OFFICIAL[0], ARCH, scale or 1.0, dataset)
        except UserError as error:
            raise UserError(f"{error}; or {how_to_train(dataset)}") from None
    if where in OFFICIAL or (where is None and name == ARCH):
        return open_published(where or OFFICIAL[0], name or ARCH, scale or 1.0, dataset)
    trained = find_trained(where or dataset.name)
    if trained is None and where and Path(where).is_file():
        if name or not where.endswith(".safetensors"):
            return open_official(Path(where), name or ARCH, scale or 1.0, dataset)
        trained = Path(where)  # a checkpoint without its card, which opening it says
    if trained is None:
        if where and ("/" in where or Path(where).suffix):
            raise UserError(
                f"--evaluator segmenter: {where} does not exist; give a file of weights, or {how_to_train(dataset)}"
            )
        raise UserError(f"no segmenter is trained for {where or dataset.name!r}; {how_to_train(dataset)}")
    if scale is not None:
        raise UserError(f"{trained} was trained at an input scale of its own; leave out :x{scale:g}")
    return open_trained(trained, name, dataset)
