"""The real held-out pairs that trained segmenters are tested on, and the score of such a test."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from gcbench.core.contracts import Dataset, Evaluator, Size
from gcbench.core.score import Score
from gcbench.evaluation.scoring import SEGMENTER, batches, open_evaluator
from gcbench.statistics.confusion import class_counts, confusion_jackknife, confusion_matrix, iou_of


class HeldOut(NamedTuple):
    """The held-out pairs: images uint8 [n,H,W,3], layouts uint8 [n,H,W]."""

    dataset: Dataset
    images: np.ndarray
    layouts: np.ndarray
    groups: list[str]

    def score(self, weights: Path, device: str) -> Score:
        """mIoU of a trained segmenter, in [0,1], by one confusion matrix; interval over the groups of test images."""
        labels = segment(open_evaluator(SEGMENTER, f"@{weights}", self.dataset, device), self.images)
        classes, void = self.dataset.classes, self.dataset.void
        pairs = zip(self.layouts, labels, strict=True)
        matrices = (confusion_matrix(*pair, len(classes)) for pair in pairs)  # [K,K] each
        counts = np.array([class_counts(matrix, void) for matrix in matrices], np.int32)  # [n,3,K]
        iou = iou_of(counts.sum(axis=0, dtype=np.int64), void)
        if not iou.scored:
            return Score.skipped("the layouts of the test images are void everywhere", unscored=len(labels))
        jack = confusion_jackknife(lambda total: iou_of(total, void).mean, counts, self.groups)
        per_class = {name: iou.per_class[k] for k, name in enumerate(classes) if k != void}
        detail = {
            "per_class": {name: None if np.isnan(value) else float(value) for name, value in per_class.items()},
            "classes": {"scored": iou.scored, "absent": iou.absent},
        }
        return Score.of(jack, n=len(labels), within=(0.0, 1.0), detail=detail)

    def refusal(self, name: str, images: np.ndarray) -> str | None:
        """Why images [n,H,W,3] of `name` may not be trained on: some are of these; None if they may."""
        known = {image.tobytes() for image in self.images}
        own = sum(image.tobytes() in known for image in images)
        return f"{own} of the {len(images)} images of {name} are among those tested on; give others" if own else None


def real_pairs(dataset: Dataset, split: str, rows: np.ndarray, size: Size) -> tuple[np.ndarray, np.ndarray]:
    """The dataset's own pairs at `rows`, as `read_source` gives them."""
    pairs = [dataset.pair(split, int(row), size) for row in rows]
    return np.stack([image for image, _ in pairs]), np.stack([layout for _, layout in pairs])


def segment(segmenter: Evaluator, images: np.ndarray) -> np.ndarray:
    """The labels [n,H,W] of images [n,H,W,3]."""
    labels = []
    for places in batches(len(images)):
        part = torch.from_numpy(images[places.start : places.stop]).permute(0, 3, 1, 2).contiguous()
        predicted = segmenter(part).labels
        assert predicted is not None  # our own recipe's network
        labels.append(predicted.cpu().numpy())
    return np.concatenate(labels)
