"""How a dataset's attribute classifier is trained: the recipe that the trainer runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

from gcbench.core.contracts import Dataset
from gcbench.core.errors import UserError
from gcbench.core.settings import apply
from gcbench.core.shared_batch import gathered
from gcbench.data.contact_sheet import grid, save_png
from gcbench.evaluators.classifier import AttributesConfig, Classifier
from gcbench.evaluators.segmenter_training import vary
from gcbench.training.recipe import Batch, Recipe, TrainConfig

TRAINING = TrainConfig(steps=2000, batch_size=32, lr=5e-3, weight_decay=1e-2, warmup=50, decay=0.7, ema=0.99, clip=5.0)


class AttributesRecipe(Recipe):
    """Binary cross-entropy an attribute, on images whose brightness, colour, sharpness and noise vary a little.

    `accuracy`: the share of all (image, attribute) pairs that are right at 0.5. `recall`: of those that the image
    has; it starts near 0, since most attributes are rare.
    """

    kind = "evaluator"
    name = "attributes"

    def __init__(self, cfg: AttributesConfig, dataset: Dataset, train_config: TrainConfig):
        super().__init__(self.name, cfg, dataset, train_config)
        if not dataset.attributes:
            raise UserError(
                f"{dataset.name} has no attributes, so no classifier of them can be trained; choose a dataset that has"
                " (faces, celeba)"
            )
        self.size = dataset.size  # cfg.size is the network's square
        torch.manual_seed(train_config.seed)
        self.classifier = Classifier(cfg.arch, len(dataset.attributes), cfg.size)

    @classmethod
    def build(cls, dataset: Dataset, settings: Mapping[str, Any]) -> "AttributesRecipe":
        """`settings`: dotted keys, `network.*` of AttributesConfig and `train.*` of TrainConfig."""
        base = AttributesConfig(size=max(dataset.size))
        network, training = apply({"network": base, "train": TRAINING}, settings)
        return cls(network, dataset, training)

    def forward(self, batch: Batch, generator: torch.Generator, phase: str = "") -> dict[str, Tensor]:
        if batch.attributes is None:
            raise UserError(f"{self.dataset.name} gives no attribute labels of a pair; give them for every pair")
        device = self.classifier.mean.device
        target = batch.attributes.to(device)
        logits = self.classifier(vary(batch.images.to(device).float() / 255, generator), generator).float()
        predicted = logits > 0
        true, positive = gathered(predicted & target), gathered(target)
        return {
            "loss": F.binary_cross_entropy_with_logits(logits, target.float()),
            "accuracy": (predicted == target).float().mean(),
            "recall": true.sum() / positive.sum().clamp_min(1),
        }

    @property
    def classes(self) -> tuple[str, ...]:
        return self.dataset.attributes

    def weights(self) -> dict[str, Tensor]:
        return self.classifier.network.state_dict()

    def preview(self, path: Path) -> None:
        """Eight held-out images above their attributes: predicted (black), missed (-, grey), wrong (+, red)."""
        split = self.dataset.splits[-1]
        rows = range(min(8, len(self.dataset.ids(split))))
        arrays = [self.dataset.pair(split, i, self.size)[0] for i in rows]
        images = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)
        with torch.no_grad():
            predicted = self.classifier(images.to(self.classifier.mean.device).float() / 255).cpu().numpy() > 0  # [B,A]
        labels = [self.dataset.attribute_labels(split, i) for i in rows]
        tiles = [self._tile(*parts) for parts in zip(arrays, predicted, labels, strict=True)]
        save_png(path, grid(torch.from_numpy(np.stack(tiles)).permute(0, 3, 1, 2), None, self.dataset.palette))

    def _tile(self, image: np.ndarray, predicted: np.ndarray, label: np.ndarray | None) -> np.ndarray:
        """An image 160 px wide, with a line an attribute below it, as many as there is room for: uint8 [H,W,3]."""
        if label is None:
            raise UserError(f"{self.dataset.name} gives no attribute labels of a pair; give them for every pair")
        width, line, lines = 160, 12, 14
        top = round(width * image.shape[0] / image.shape[1])
        tile = Image.new("RGB", (width, top + line * lines), "white")
        tile.paste(Image.fromarray(image).resize((width, top), Image.Resampling.NEAREST))
        draw = ImageDraw.Draw(tile)
        styles = {(True, True): ("", "black"), (False, True): ("- ", "grey"), (True, False): ("+ ", "red")}
        rows = zip(self.dataset.attributes, predicted.tolist(), label.tolist(), strict=True)
        shown = [(name, *styles[guess, truth]) for name, guess, truth in rows if guess or truth]
        for row, (name, mark, ink) in enumerate(shown):
            draw.text((4, top + line * row), mark + name, fill=ink)
        return np.array(tile)
