"""`gcbench figure 6`: the paper's three panels from the records of the suite `figure6`, as PNG, SVG and CSV.

Panels: `trade-off` (Fréchet distance against Semantic Recall, a curve a guided model), `recall` (of each rare class, at
the guidance scale where the model's Semantic Recall is best), `shares` (of each class in the area of the training
layouts). Knows records, and of the dataset its layouts and prompts; measures no image.
"""

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.stats import binomtest

from gcbench.core.contracts import Dataset
from gcbench.core.errors import UserError
from gcbench.core.files import text_hash
from gcbench.core.protocol import Protocol
from gcbench.core.record import Record
from gcbench.core.reference import Reference
from gcbench.core.score import Score
from gcbench.reports.comparison import best
from gcbench.runs.progress import Bar
from gcbench.runs.run_directory import RECORD
from gcbench.runs.suite_plan import bundled
from gcbench.text.class_mentions import named_classes

SUITE = "figure6"
COST, GAIN = "fd", "semantic-recall"
RARE = 0.01
"""A class of a smaller share of the area is rare."""

CEILING, FLOOR = "ceiling", "floor"


class Number(NamedTuple):
    """One line of the figure's CSV. model: of whom; `ceiling` and `floor` are real images. low, high: 95 %."""

    panel: str
    model: str = ""
    guidance: float | None = None
    class_: str = ""
    metric: str = ""
    value: float = 0.0
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Figure:
    """All that is drawn. models: in their order. protocol: of all. left_out: what is not drawn, and why."""

    numbers: list[Number]
    models: list[str]
    protocol: Protocol
    left_out: list[str]

    def panel(self, name: str, model: str | None = None, metric: str | None = None) -> list[Number]:
        return [
            one
            for one in self.numbers
            if one.panel == name and model in (None, one.model) and metric in (None, one.metric)
        ]


def gather(dataset: Dataset, folder: Path) -> Figure:
    """The numbers of the figure: from every run directory in `folder`, and the dataset's class shares.

    Raises:
        UserError: no record there that can be drawn.
    """
    wanted = [row.name for row in bundled()[SUITE].row]
    present = sorted(path.parent.name for path in folder.glob(f"*/{RECORD}"))
    order = [name for name in wanted if name in present] + [name for name in present if name not in wanted]
    left_out = [f"{name}: no record of it in {folder.name}" for name in wanted if name not in present]
    records: dict[str, Record] = {}
    for name in order:
        record = Record.read(folder / name / RECORD)
        if reason := _unfit(record, dataset, next(iter(records.values()), None)):
            left_out.append(f"{name}: {reason}")
        else:
            records[name] = record
    if not records:
        why = f" ({'; '.join(left_out)})" if present else ""
        raise UserError(
            f"no record to draw for {dataset.name}{why}; run `gcbench suite run {SUITE} --dataset {dataset.argument}`"
            " and give its directory as --runs"
        )
    shares = class_shares(dataset)
    rare = [name for name, share in shares.items() if share < RARE and name in dataset.aliases]
    numbers = [
        *(number for name, record in records.items() for number in _curve(name, record)),
        *_bounds(next(iter(records.values())), rare),
        *(number for name, record in records.items() for number in _recalls(name, record, dataset, rare)),
        *(Number("shares", class_=name, metric="share", value=share) for name, share in shares.items()),
    ]
    return Figure(numbers, list(records), next(iter(records.values())).protocol, left_out)


def class_shares(dataset: Dataset) -> dict[str, float]:
    """Class -> share of the area of all training layouts, the largest first."""
    split = dataset.splits[0]
    counts = np.zeros(len(dataset.classes))
    with Bar(f"layouts of {dataset.name}/{split}", len(dataset.ids(split))) as bar:
        for index in range(len(dataset.ids(split))):
            _, layout = dataset.pair(split, index, dataset.size)
            counts += np.bincount(layout.ravel(), minlength=len(counts))
            bar.advance()
    order = np.argsort(-counts, kind="stable")
    return {dataset.classes[k]: float(counts[k] / counts.sum()) for k in order}


def _unfit(record: Record, dataset: Dataset, first: Record | None) -> str | None:
    """Why a record cannot stand beside the first one."""
    if record.protocol.dataset != dataset.name:
        return f"it was measured on {record.protocol.dataset}"
    if not record.points:
        return "it has no finished point"
    if not any(_both(point.scores) for point in record.points):
        scores = record.points[-1].scores
        lacking = [
            f"{name} {'not measured' if (score := scores.get(name)) is None else f'{score.status}, {score.reason}'}"
            for name in (COST, GAIN)
            if (score := scores.get(name)) is None or score.value is None
        ]
        return "; ".join(lacking)
    if first is None:
        return None
    mine, theirs = record.protocol.of_any_model(), first.protocol.of_any_model()
    if None in (mine.prompts, theirs.prompts):  # a model that reads no text is scored against its samples' own
        mine = mine.model_copy(update={"prompts": theirs.prompts})
    if differences := theirs.differences(mine):
        return f"another protocol ({'; '.join(differences)})"
    return None


def _both(scores: dict[str, Score]) -> tuple[Score, Score] | None:
    cost, gain = scores.get(COST), scores.get(GAIN)
    if cost is None or gain is None or cost.value is None or gain.value is None:
        return None
    return cost, gain


def _curve(name: str, record: Record) -> list[Number]:
    out = []
    for point in sorted(record.points, key=lambda point: point.guidance or 0):
        for metric, score in zip((COST, GAIN), _both(point.scores) or (), strict=False):
            out.append(_number("trade-off", name, point.guidance, metric, score))
    return out


def _number(panel: str, model: str, guidance: float | None, metric: str, score: Score) -> Number:
    assert score.value is not None
    low, high = score.interval or (None, None)
    return Number(panel, model, guidance, "", metric, score.value, low, high)


def _bounds(record: Record, rare: Sequence[str]) -> list[Number]:
    """Of real images: the trade-off's ceiling and floor, and theirs of each rare class."""
    out = []
    for model, scores in ((CEILING, record.ceiling), (FLOOR, record.floor)):
        for metric in (COST, GAIN):
            score = scores.get(metric)
            if score is not None and score.value is not None:
                out.append(_number("trade-off", model, None, metric, score))
        recalls = scores[GAIN].detail.get("per_class", {}) if GAIN in scores else {}
        assert isinstance(recalls, dict)
        for name in rare:
            if (value := recalls.get(name)) is not None:
                out.append(Number("recall", model, None, name, GAIN, value))
    return out


def _recalls(model: str, record: Record, dataset: Dataset, rare: Sequence[str]) -> list[Number]:
    """Recall of each rare class at the best point, with Wilson's interval where the prompts are known."""
    point = best(record, GAIN)
    assert point is not None
    recalls = point.scores[GAIN].detail.get("per_class", {})
    assert isinstance(recalls, dict)
    asked = _asked(record.protocol, dataset)
    out = []
    for name in rare:
        if (value := recalls.get(name)) is None:
            continue
        low = high = None
        if n := asked.get(name):
            low, high = map(float, binomtest(round(value * n), n).proportion_ci(method="wilson"))
        out.append(Number("recall", model, point.guidance, name, GAIN, value, low, high))
    return out


def _asked(protocol: Protocol, dataset: Dataset) -> Counter[str]:
    """How many of the run's prompts name each class; empty where they are unknown or depend on each other."""
    if protocol.prompts is None or protocol.dataset_version != dataset.version:
        return Counter()
    prompts = Reference(dataset, protocol.split, protocol.size).prompts(protocol.n)
    if text_hash(*prompts.texts) != protocol.prompts or len(set(prompts.groups)) < protocol.n:
        return Counter()
    return Counter(name for text in prompts.texts for name in named_classes(text, dataset.aliases))


def as_csv(numbers: Sequence[Number]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([field.rstrip("_") for field in Number._fields])
    writer.writerows(numbers)
    return out.getvalue()
