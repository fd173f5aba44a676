"""The judge of classes and places: a segmentation network that labels every pixel, void never among its answers."""

from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from gcbench.core import checkpoint
from gcbench.core.contracts import Dataset, Evaluator
from gcbench.core.errors import UserError
from gcbench.core.samples import Features
from gcbench.evaluators.hrnet import HRNet
from gcbench.weights.find import find_weights


class SegmenterConfig(BaseModel):
    """arch: a timm HRNet. scale: enlargement of pictures before the network. labels: class id of each output."""

    model_config = ConfigDict(extra="forbid")

    arch: str = "hrnet_w18_small"
    scale: float = 2.0
    size: tuple[int, int] = (64, 128)
    labels: tuple[int, ...] = ()


class Segmenter(Evaluator):
    """`vectors`: pooled features [B,d]; `labels`: class ids [B,H,W] at the pictures' own size.

    `--evaluator segmenter=ARCH@WHERE`: WHERE is a checkpoint, or a dataset whose judge is bundled. Trained by
    `gcbench train --evaluator segmenter`; its id says on what (`hrnet_w18_small@streets`).
    """

    role: ClassVar[str] = "segmenter"
    chunk: ClassVar[int] = 16

    def __init__(self, network: HRNet, cfg: SegmenterConfig, source: str, device: str):
        self.network = network.eval().to(device)
        self.labels = torch.tensor(cfg.labels)
        self.device = device
        self.id = f"{cfg.arch}@{source} ×{cfg.scale:g} fp32"

    @classmethod
    def open(cls, dataset: Dataset, *, spec: str | None = None, device: str = "cpu") -> "Segmenter":
        arch, where = _parse(spec)
        path = find_weights("segmenter", where or dataset.name)
        if path is None and where and Path(where).exists():
            path = Path(where)
        if path is None:
            raise UserError(
                f"no segmenter is trained for {where or dataset.name!r}; run `gcbench train --evaluator segmenter"
                f" --dataset {dataset.argument}` and give its file as --evaluator segmenter=hrnet_w18_small@FILE"
            )
        found = checkpoint.load(path, kind="evaluator", name="segmenter", classes=dataset.classes)
        try:
            cfg = SegmenterConfig.model_validate(found.card.config)
        except ValidationError:
            raise UserError(
                f"the card of {path} describes no segmenter that this version knows; train it anew"
            ) from None
        if arch and arch != cfg.arch:
            raise UserError(f"{path} holds {cfg.arch}, not {arch}; give --evaluator segmenter={cfg.arch}@{path}")
        network = HRNet(cfg.arch, len(cfg.labels), cfg.scale)
        checkpoint.fill(network, found)
        return cls(network, cfg, f"{found.card.dataset}#{found.card.sha256}", device)

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Features:
        vectors, labels = [], []
        for part in images.split(self.chunk):
            logits, pooled = self.network(part.to(self.device).float() / 255)
            labels.append(self.labels[logits.argmax(dim=1).cpu()])
            vectors.append(pooled.float().cpu())
        return Features(vectors=torch.cat(vectors), labels=torch.cat(labels))

    @classmethod
    def recipe(cls, dataset: Dataset, settings: dict[str, Any]) -> Any:
        """What `gcbench train --evaluator segmenter` trains."""
        from gcbench.evaluators.segmenter_training import SegmenterRecipe

        return SegmenterRecipe.build(dataset, settings)


def _parse(spec: str | None) -> tuple[str | None, str | None]:
    """`ARCH@WHERE`, `ARCH`, `@WHERE` -> (arch, where)."""
    arch, _, where = (spec or "").partition("@")
    return arch or None, where or None
