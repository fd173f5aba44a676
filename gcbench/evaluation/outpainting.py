"""From a layout to its image and from an image to its layout, with each step taken once or several times.

Measured on real held-out pairs, one part given and the other drawn: the mean IoU of the given layout with what the
segmenter sees in the drawn image (layout faithfulness), or of the true layout with the drawn one (mIoU). Void is left
out.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gcbench.core.contracts import Dataset, Evaluator
from gcbench.core.errors import UserError
from gcbench.core.run_spec import RunSpec, check_evaluators
from gcbench.core.samples import Samples
from gcbench.evaluation.figure_models import Opened, opened
from gcbench.evaluation.generation import joined
from gcbench.evaluation.given import given_pairs
from gcbench.evaluation.scoring import BATCH, SEGMENTER, open_evaluator
from gcbench.evaluation.setup import choose_device
from gcbench.runs.progress import Bar
from gcbench.statistics.confusion import confusion_matrix, mean_iou
from gcbench.statistics.intervals import Jackknife, group_jackknife

DIRECTIONS = {"layouts": "layout -> image", "images": "image -> layout"}
"""What is given -> what the direction is called."""

METRICS = {"layouts": "layout faithfulness", "images": "mIoU"}
"""What is given -> what the agreement is called: of a layout that was given and its image it is never mIoU."""

REPEATS = (1, 5)
REAL = "real pair"


class Completed(NamedTuple):
    """Samples of one direction. repeats: None for the real pairs, of which the segmenter reads the image. miou: of the
    two layouts that are compared, in [0,1]."""

    given: str
    repeats: int | None
    samples: Samples
    miou: Jackknife


class Outpainted(NamedTuple):
    model: Opened
    evaluator: str
    real: Samples
    completed: list[Completed]

    def of(self, given: str, repeats: int | None) -> Completed:
        return next(entry for entry in self.completed if (entry.given, entry.repeats) == (given, repeats))


def outpaint(
    spec: RunSpec, dataset: Dataset, guidance: float, repeats: Sequence[int] = REPEATS, name: str = "sampler.repeats"
) -> Outpainted:
    """Both directions of the model of `spec`, on the first spec.n pairs of the split.

    name: the sampler's setting that says how often a step is taken.
    UserError: the model cannot be given both parts; no weights or segmenter.
    """
    device = choose_device(spec.device)
    completed = list[Completed]()
    asked = check_evaluators(spec.evaluators).get(SEGMENTER)
    segmenter = open_evaluator(SEGMENTER, asked, dataset, device)
    model = real = None
    for count in repeats:
        for part in DIRECTIONS:
            given_spec = spec.model_copy(update={"given": part, "settings": {**spec.settings, name: count}})
            (model,) = opened([given_spec], dataset)
            real = model.reference.samples(model.prompts.rows)
            samples = _drawn(model, part, guidance, f"{DIRECTIONS[part]}, n = {count}")
            completed.append(Completed(part, count, samples, _miou(part, samples, real, segmenter, dataset)))
    if model is None or real is None:
        raise UserError("give at least one number of repeats")
    for part in DIRECTIONS:
        completed.append(Completed(part, None, real, _miou("layouts", real, real, segmenter, dataset)))
    return Outpainted(model, segmenter.id, real, completed)


def _drawn(model: Opened, part: str, guidance: float, label: str) -> Samples:
    with Bar(label, len(model.prompts.rows)) as bar:
        generator = model.generator(bar, given_pairs(part, model.reference, model.prompts.rows))
        return joined(list(generator.batches(guidance, range(generator.n))), model.name)


def _miou(part: str, samples: Samples, real: Samples, segmenter: Evaluator, dataset: Dataset) -> Jackknife:
    """Of all samples together, its interval by the jackknife over groups."""
    assert real.layouts is not None
    other = samples.layouts if part == "images" else labels(segmenter, samples.images)
    assert other is not None
    pairs = zip(real.layouts.numpy(), other.cpu().numpy(), strict=True)
    counts = np.stack([confusion_matrix(*pair, len(dataset.classes), ignore=dataset.void) for pair in pairs])  # [n,K,K]
    return group_jackknife(lambda kept: mean_iou(counts[kept].sum(axis=0), dataset.void).mean, real.groups or real.ids)


def labels(segmenter: Evaluator, images: Tensor) -> Tensor:
    """What the segmenter sees: int64 [n,H,W]."""
    seen = [segmenter(part).labels for part in images.split(BATCH)]
    if any(part is None for part in seen):
        raise UserError(f"evaluator {segmenter.id} gives no labels; choose a segmenter")
    return torch.cat([part for part in seen if part is not None])


def facts(entry: Completed) -> Mapping[str, Any]:
    """The numbers of one row of the CSV, in per cent."""
    low, high = entry.miou.interval or (None, None)
    return {
        "direction": DIRECTIONS[entry.given],
        "repeats": REAL if entry.repeats is None else entry.repeats,
        "metric": METRICS[entry.given],
        "unit": "%",
        "value": 100 * entry.miou.value,
        "low": None if low is None else 100 * max(0.0, low),
        "high": None if high is None else 100 * min(1.0, high),
        "n": len(entry.samples),
    }
