"""`gcbench figure 6`: the paper's three panels from the records of the suite `figure6`, as PNG, SVG and CSV.

Panels: `trade-off` (two metrics, by default those of a sweep's curve; a line a guided model), `f1` (the same cost
against the F1 of precision and recall of the named classes), `recall` (of each rare
class, at the guidance scale where the model's mean is best), `shares` (of each class in the area of the training
layouts). Numbers are in the metrics' units. Knows records, and of the dataset its layouts and prompts; measures no
image.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import binomtest

from gcbench.core.contracts import Dataset
from gcbench.core.files import text_hash
from gcbench.core.protocol import Protocol
from gcbench.core.record import Point, Record
from gcbench.core.reference import Reference
from gcbench.core.run_spec import guidance_text
from gcbench.reports.figure_records import read_records
from gcbench.reports.pareto import Axes
from gcbench.reports.record_table import declared, number_column
from gcbench.reports.run_pair import best
from gcbench.reports.table import Cell, Column, csv_text, missing
from gcbench.runs.manifest import PER_SAMPLE
from gcbench.runs.paired import values_of
from gcbench.runs.progress import Bar
from gcbench.runs.sample_table import SampleTable
from gcbench.runs.suite_plan import bundled
from gcbench.statistics.intervals import Mean, cluster_bootstrap_mean
from gcbench.text.class_mentions import named_classes

SUITE = "figure6"
PER_CLASS = "per_class"
"""Where a score's detail says what becomes of each class."""

RARE = 0.01
"""A class of a smaller share of the area is rare."""

PRECISION, F1 = "precision", "f1"
"""The column beside a recall, and what is made of the two."""

CEILING, FLOOR = "ceiling", "floor"


class Number(NamedTuple):
    """One line of the figure's CSV. model: `ceiling` and `floor` are real images. low, high: 95 %. run: of one of
    several trainings, or the mean over them; empty where there is one."""

    panel: str
    model: str = ""
    guidance: float | None = None
    class_: str = ""
    metric: str = ""
    value: float = 0.0
    low: float | None = None
    high: float | None = None
    run: str = ""

    @property
    def cell(self) -> Cell:
        return Cell(self.value, None if self.low is None or self.high is None else (self.low, self.high))


@dataclass(frozen=True)
class Figure:
    """All that is drawn. models: in their order. protocol: of all. axes: the columns of the trade-off. recall: the
    metric of the classes' recall. left_out: what is not drawn, and why.
    """

    numbers: list[Number]
    models: list[str]
    protocol: Protocol
    axes: tuple[Column, Column]
    recall: Column
    left_out: list[str]

    def panel(self, name: str, model: str | None = None, metric: str | None = None) -> list[Number]:
        numbers = (number for number in self.numbers if number.panel == name)
        return [number for number in numbers if model in (None, number.model) and metric in (None, number.metric)]


def gather(dataset: Dataset, folder: Path, axes: Axes | None = None) -> Figure:
    """The numbers of the figure: from every run directory in `folder`, and the dataset's class shares.

    axes: metrics (cost, gain); None for the first of realism and the first of correspondence that a record has.
    """
    expected = [row.name for row in bundled()[SUITE].chosen(None)]
    remedy = f"run `gcbench suite run {SUITE} --dataset {dataset.argument}` and give its directory as --runs"
    records, chosen, left_out = read_records(dataset, folder, remedy, expected, axes)
    first = next(iter(records.values()))
    cost, gain = (number_column(name, protocol=first.protocol) for name in chosen)
    recall = next(filter(None, map(_recall_metric, records.values())), Column("recall", "recall"))
    shares = class_shares(dataset)
    rare = [name for name, share in shares.items() if share < RARE and name in dataset.aliases]
    numbers: list[Number] = []
    for name, record in records.items():
        for point in sorted(record.points, key=lambda point: point.guidance or 0):
            if not any(missing(point.scores.get(metric)) for metric in chosen):
                numbers += trade_off_numbers(name, point, (cost, gain))
        f1s, why = _f1(folder / name, record, recall.metric, cost)
        numbers += f1s
        left_out += [f"F1 of {name}: {why}"] * bool(why)
    for name, scores in ((CEILING, first.ceiling), (FLOOR, first.floor)):
        real = Point(scores=scores)
        numbers += trade_off_numbers(name, real, (cost, gain)) + _recalls(name, real, recall, rare, Counter())
    for name, record in records.items():
        if at_best := best(record.points, recall.metric):
            numbers += _recalls(name, at_best, recall, rare, asked_of(record.protocol, dataset))
    numbers += [Number("shares", class_=name, metric="share", value=share) for name, share in shares.items()]
    return Figure(numbers, list(records), first.protocol, (cost, gain), recall, left_out)


def _recall_metric(record: Record) -> Column | None:
    """The first metric about prompts that says what becomes of each class."""
    for point in record.points:
        for name, score in point.scores.items():
            if PER_CLASS in score.detail and "prompts" in getattr(declared(name), "needs", ()):
                return number_column(name)
    return None


def class_shares(dataset: Dataset) -> dict[str, float]:
    """Class -> share of the area of all training layouts, the largest first."""
    split = dataset.splits[0]
    n = len(dataset.ids(split))
    counts = np.zeros(len(dataset.classes))
    with Bar(f"layouts of {dataset.name}/{split}", n) as bar:
        for index in range(n):
            _, layout = dataset.pair(split, index, dataset.size)
            counts += np.bincount(layout.ravel(), minlength=len(counts))
            bar.advance()
    return {dataset.classes[k]: float(counts[k] / counts.sum()) for k in np.argsort(-counts, kind="stable")}


def trade_off_numbers(model: str, point: Point, axes: Sequence[Column]) -> list[Number]:
    cells = {c.metric: c.shown(point.scores[c.metric]) for c in axes if not missing(point.scores.get(c.metric))}
    return [
        Number("trade-off", model, point.guidance, "", metric, cell.at, *(cell.interval or ()))
        for metric, cell in cells.items()
    ]


def _recalls(model: str, point: Point, recall: Column, rare: Sequence[str], asked: Mapping[str, int]) -> list[Number]:
    """Recall of each rare class, with Wilson's interval where it is known how many prompts asked for it."""
    recalls = point.scores[recall.metric].detail.get(PER_CLASS) if recall.metric in point.scores else None
    out = []
    for name in rare if isinstance(recalls, dict) else ():
        if (value := recalls.get(name)) is not None:  # type: ignore[union-attr]
            n = asked.get(name)
            interval = binomtest(round(value * n), n).proportion_ci(method="wilson") if n else ()
            ends = [float(end) * recall.scale for end in interval]
            shown = Number("recall", model, point.guidance, name, recall.metric, float(value) * recall.scale)
            out.append(shown._replace(low=ends[0], high=ends[1]) if ends else shown)
    return out


def _f1(run: Path, record: Record, metric: str, cost: Column) -> tuple[list[Number], str]:
    """The panel `f1` of one model, or why it has none: mean_i 2 p_i r_i / (p_i + r_i) over images i with a recall r_i;
    p_i is precision, and the term is 0 where nothing that is named was found. From the values that the run stored,
    bootstrapped by group."""
    if not (run / PER_SAMPLE).is_file():
        return [], f"its run has no {PER_SAMPLE}"
    table, numbers = SampleTable.read(run / PER_SAMPLE), list[Number]()
    for point in sorted(record.points, key=lambda point: point.guidance or 0):
        recalls = values_of(table.values, point.guidance, metric)
        precisions = values_of(table.values, point.guidance, metric, PRECISION)
        pairs = {i: (r, precisions.get(i) or 0.0) for i, r in recalls.items() if r is not None}
        if not pairs or not precisions or missing(point.scores.get(cost.metric)):
            continue
        values = np.array([2 * r * p / (r + p) if r + p else 0.0 for r, p in pairs.values()])
        mean = cluster_bootstrap_mean(values, [table.groups.get(i, i) for i in pairs], seed=0)
        numbers.append(Number("f1", model=run.name, guidance=point.guidance, metric=F1, **_ends(mean)))
        at = cost.shown(point.scores[cost.metric])
        numbers.append(Number("f1", run.name, point.guidance, "", cost.metric, at.at, *(at.interval or ())))
    return numbers, "" if numbers else f"no precision stands beside {metric}"


def _ends(mean: Mean) -> dict[str, Any]:
    low, high = mean.interval or (None, None)
    return {"value": mean.value, "low": low, "high": high}


def asked_of(protocol: Protocol, dataset: Dataset) -> Counter[str]:
    """How many of the run's prompts name each class; empty where they are unknown or depend on each other."""
    if protocol.prompts is None or protocol.dataset_version != dataset.version:
        return Counter()
    prompts = Reference(dataset, protocol.split, protocol.size).prompts(protocol.n)
    if text_hash(*prompts.texts) != protocol.prompts or len(set(prompts.groups)) < protocol.n:
        return Counter()
    return Counter(name for text in prompts.texts for name in named_classes(text, dataset.aliases))


def as_csv(numbers: Sequence[Number]) -> str:
    """`run` is a column where there are several of a model."""
    spelled = (number._replace(guidance=guidance_text(number.guidance)) for number in numbers)  # type: ignore[arg-type]
    fields = [field for field in Number._fields if field != "run" or any(number.run for number in numbers)]
    lines = [{field.rstrip("_"): getattr(number, field) for field in fields} for number in spelled]
    return csv_text(lines, [field.rstrip("_") for field in fields])
