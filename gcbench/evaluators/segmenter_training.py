"""How a dataset's evaluator is trained: the recipe that the trainer runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from gcbench.core.contracts import Dataset
from gcbench.core.draws import normal, uniform
from gcbench.core.settings import apply
from gcbench.data.contact_sheet import grid, save_png
from gcbench.evaluators.hrnet import HRNet
from gcbench.evaluators.trained_segmenter import SegmenterConfig
from gcbench.training.recipe import Batch, Recipe, TrainConfig

TRAINING = TrainConfig(steps=1500, batch_size=16, lr=2e-3, weight_decay=1e-4, warmup=50, decay=0.7, ema=0.995, clip=5.0)


def fill_void(layouts: Tensor, void: int | None) -> Tensor:
    """Void pixels take the class of the nearest labelled one.

    The evaluator has no void among its answers; so trained, it continues what is beside a void region and does not
    invent a class there. A layout that is void all over stays so.
    """
    if void is None:
        return layouts
    out = layouts.clone()
    for i, layout in enumerate(layouts.numpy()):
        hole = layout == void
        if hole.any() and not hole.all():
            rows, columns = distance_transform_edt(hole, return_distances=False, return_indices=True)
            out[i] = torch.from_numpy(layout[rows, columns])
    return out


class SegmenterRecipe(Recipe):
    """Cross-entropy, the mean over pixels (those of a layout that is void all over count as 0), on images whose
    brightness, colour, sharpness and noise vary a little."""

    kind = "evaluator"
    name = "segmenter"
    output: Tensor

    def __init__(self, cfg: SegmenterConfig, dataset: Dataset, train_config: TrainConfig):
        super().__init__(self.name, cfg, dataset, train_config)
        labels = tuple(k for k in range(len(dataset.classes)) if k != dataset.void)
        self.cfg = cfg.model_copy(update={"labels": labels})
        torch.manual_seed(train_config.seed)
        self.network = HRNet(cfg.arch, len(labels), cfg.scale)
        output = torch.full((len(dataset.classes),), -100)
        output[list(labels)] = torch.arange(len(labels))
        self.register_buffer("output", output, persistent=False)

    @classmethod
    def build(cls, dataset: Dataset, settings: Mapping[str, Any]) -> "SegmenterRecipe":
        """`settings`: dotted keys, `network.*` of SegmenterConfig and `train.*` of TrainConfig."""
        base = SegmenterConfig(size=dataset.size)
        network, training = apply({"network": base, "train": TRAINING}, settings)
        return cls(network, dataset, training)

    def prepared(self, batch: Batch) -> Batch:
        return batch._replace(layouts=fill_void(batch.layouts, self.dataset.void))

    def forward(self, batch: Batch, generator: torch.Generator, phase: str = "") -> dict[str, Tensor]:
        target = self.output[batch.layouts.to(self.output.device)]
        images = vary(batch.images.to(self.output.device).float() / 255, generator)
        logits = self.network(images).logits.float()
        loss = F.cross_entropy(logits, target, ignore_index=-100, reduction="none").mean()
        accuracy = (logits.argmax(1) == target).float().mean()
        return {"loss": loss, "accuracy": accuracy}

    def weights(self) -> dict[str, Tensor]:
        return self.network.state_dict()

    def preview(self, path: Path) -> None:
        """Eight held-out images above the labels that the evaluator gives them."""
        split = self.dataset.splits[-1]
        pairs = [self.dataset.pair(split, i, self.size) for i in range(min(8, len(self.dataset.ids(split))))]
        images = torch.stack([torch.from_numpy(image) for image, _ in pairs]).permute(0, 3, 1, 2)
        with torch.no_grad():
            logits = self.network(images.to(self.output.device).float() / 255).logits
        labels = torch.tensor(self.cfg.labels)[logits.argmax(1).cpu()]
        save_png(path, grid(images, labels, self.dataset.palette))


def vary(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image's contrast, brightness and channel gains ±15 %, blur on half of them, noise up to 0.03; in [0,1]."""
    b = len(images)

    def draw(*shape: int) -> Tensor:
        return uniform(*shape, generator=generator, device=images.device) * 2 - 1

    gain, shift = 1 + 0.15 * draw(b, 1, 1, 1) + 0.05 * draw(b, 3, 1, 1), 0.1 * draw(b, 1, 1, 1)
    out = (images - 0.5) * gain + 0.5 + shift
    amount = draw(b, 1, 1, 1).clamp_min(0)
    out = torch.lerp(out, F.avg_pool2d(F.pad(out, (1, 1, 1, 1), mode="replicate"), 3, stride=1), amount)
    noise = normal(*out.shape, generator=generator, device=images.device) * 0.03 * draw(b, 1, 1, 1).abs()
    return (out + noise).clamp(0, 1)
