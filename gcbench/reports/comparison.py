"""Compare two runs: the difference of every number, paired image by image or block by block.

Knows records and per_sample.csv; measures nothing. What is said of a difference is taken from what the runs stored.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from rich.console import Console
from rich.table import Table

from gcbench.core.errors import UserError
from gcbench.core.protocol import Protocol
from gcbench.core.record import ModelInfo, Point, Record
from gcbench.core.registry import registry
from gcbench.core.run_spec import guidance_scales
from gcbench.core.score import Score
from gcbench.reports.record_table import digits, heading, pick, titles
from gcbench.runs.paired import Rows, values_of
from gcbench.runs.run_directory import PER_SAMPLE as SAMPLES
from gcbench.runs.run_directory import RECORD
from gcbench.runs.sample_table import SampleTable
from gcbench.statistics.intervals import Difference, paired_difference, paired_jackknife

BEST = "best"
FEW_GROUPS = 20
"""Below so many groups the percentile interval of a bootstrap is too narrow."""


class Row(BaseModel):
    """One number of two runs. a, b: the scores as recorded. difference: a - b over the n images that both score.

    pairing: what was paired, `images` (bootstrap over groups) or `blocks` (jackknife); units: how many groups or
    blocks. better: the run whose number is better, where the 95 % interval leaves 0 out and the metric has a direction.
    reason: why the difference, or its interval, is missing.
    """

    model_config = ConfigDict(extra="forbid")

    metric: str
    column: str | None = None
    guidance_a: float | None = None
    guidance_b: float | None = None
    a: float | None = None
    b: float | None = None
    difference: float | None = None
    standard_error: float | None = None
    interval: tuple[float, float] | None = None
    p_value: float | None = None
    n: int = 0
    pairing: Literal["images", "blocks"] | None = None
    units: int | None = None
    better: Literal["a", "b"] | None = None
    reason: str | None = None


class Comparison(BaseModel):
    """Two runs under one protocol. models_differ: what belongs to the models and is not the same (seed, sampler)."""

    model_config = ConfigDict(extra="forbid")

    a: str
    b: str
    model_a: ModelInfo
    model_b: ModelInfo
    protocol: Protocol
    models_differ: list[str] = Field(default_factory=list)
    rows: list[Row] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)


class Run(NamedTuple):
    """A run as it was stored. groups: by sample id; empty where the file does not name them."""

    path: Path
    record: Record
    rows: Rows
    groups: dict[str, str]

    def beside(self, name: str) -> Path:
        """The file `name` of the run's directory."""
        return (self.path if self.path.is_dir() else self.path.parent) / name


def compare(run_a: Path, run_b: Path, *, guidance: str | float | None = None) -> Comparison:
    """The difference run_a - run_b of every metric that both runs measured, at every guidance scale of both.

    guidance: one scale only; or `best`: each metric at the scale where each run has its best value. A run without
    guidance is set beside every scale of the other.

    Per-image metrics: the images of one name are paired, their differences bootstrapped by prompt or group. Set
    metrics: the stored leave-one-block-out values are paired block by block (`paired_jackknife`).

    Raises:
        UserError: no record, a record of another schema, different protocols, no scale in common.
    """
    a, b = read_run(run_a), read_run(run_b)
    if different := differences(a.record.protocol, b.record.protocol):
        raise UserError(
            f"{run_a} and {run_b} were measured under different protocols ({'; '.join(different)}); measure both"
            " under one"
        )
    groups, notes = common_groups(a, b)
    notes += [f"{one.beside(SAMPLES)} is not there: nothing can be paired by image." for one in (a, b) if not one.rows]
    rows: list[Row] = []
    for metrics, point_a, point_b in matched(a, b, guidance):
        for name in metrics:
            further = dict.fromkeys([*point_a.scores[name].also, *point_b.scores[name].also])
            columns: list[str | None] = [None] if guidance == BEST else [None, *further]
            rows += [row(name, column, point_a, point_b, a, b, groups) for column in columns]
    if any(one.pairing == "images" and one.units and one.units < FEW_GROUPS for one in rows):
        notes.append(f"Fewer than {FEW_GROUPS} groups: intervals of per-image metrics are too narrow.")
    if guidance == BEST:
        notes.append("The best scales were chosen on these same samples, so both values flatter their run.")
    for one, other, letter in ((a, b, "A"), (b, a, "B")):
        if alone := sorted(measured(one.record) - measured(other.record)):
            notes.append(f"Only {letter} has {', '.join(alone)}.")
    return Comparison(
        a=str(run_a),
        b=str(run_b),
        model_a=a.record.model,
        model_b=b.record.model,
        protocol=a.record.protocol.of_any_model(),
        models_differ=[
            one
            for one in a.record.protocol.differences(b.record.protocol)
            if one.partition(":")[0] in ("seed", "sampler")
        ],
        rows=rows,
        notes=notes,
    )


def read_run(path: Path) -> Run:
    """A run directory, or its record.json; what stands beside the record is read too."""
    path = Path(path)
    file = path / RECORD if path.is_dir() else path
    record = Record.read(file)
    table = SampleTable.read(file.parent / SAMPLES)
    return Run(path, record, table.rows, table.groups)


def measured(record: Record) -> set[str]:
    return {name for point in record.points for name in point.scores}


def differences(a: Protocol, b: Protocol) -> list[str]:
    """What forbids a comparison. Evaluators and thresholds that only one run has belong to metrics of it alone."""

    def narrowed(one: Protocol, other: Protocol) -> Protocol:
        evaluators = {role: name for role, name in one.evaluators.items() if role in other.evaluators}
        thresholds = {name: value for name, value in one.thresholds.items() if name in other.thresholds}
        return one.of_any_model().model_copy(update={"evaluators": evaluators, "thresholds": thresholds})

    return narrowed(a, b).differences(narrowed(b, a))


def common_groups(a: Run, b: Run) -> tuple[dict[str, str], list[str]]:
    """Sample id -> group, and what is to be said of them. UserError if the runs group the same images differently."""
    shared = a.groups.keys() & b.groups.keys()
    if unlike := next((name for name in sorted(shared) if a.groups[name] != b.groups[name]), None):
        raise UserError(
            f"{a.path} and {b.path} put the image {unlike} into different groups ({a.groups[unlike]!r} and"
            f" {b.groups[unlike]!r}); measure both with the same groups"
        )
    groups = {**a.groups, **b.groups}
    if groups:
        return groups, []
    return {}, ["per_sample.csv of neither run names groups: every image counts as independent of the others."]


def matched(a: Run, b: Run, guidance: str | float | None) -> list[tuple[list[str], Point, Point]]:
    """(metrics, point of a, point of b) for everything that is set side by side."""
    for run in (a, b):
        if not run.record.points:
            raise UserError(f"{run.path} holds no finished point; let the run end first")

    def metrics(one: Point, other: Point) -> list[str]:
        return [name for name in one.scores if name in other.scores]

    if guidance == BEST:
        names = metrics(a.record.points[0], b.record.points[0])
        known = [(name, best(a.record, name), best(b.record, name)) for name in names]
        return [([name], one, other) for name, one, other in known if one is not None and other is not None]
    if guidance is None:
        pairs = [
            (one, other)
            for one in a.record.points
            for other in b.record.points
            if one.guidance is None or other.guidance is None or one.guidance == other.guidance
        ]
    else:
        (scale,) = guidance_scales([guidance])  # type: ignore[list-item]
        pairs = [(at(a, scale), at(b, scale))]
    if not pairs:
        raise UserError(
            f"{a.path} has guidance {scales(a)} and {b.path} {scales(b)}, no scale in common; sweep one of both, or"
            f" add --guidance {BEST}"
        )
    return [(metrics(one, other), one, other) for one, other in pairs]


def at(run: Run, scale: float) -> Point:
    """The run's point at this scale, or its only one if it knows no guidance."""
    found = next((point for point in run.record.points if point.guidance in (scale, None)), None)
    if found is None:
        raise UserError(f"{run.path} has no point at guidance {scale:g}; choose one of {scales(run)}")
    return found


def scales(run: Run) -> str:
    return ", ".join(f"{point.guidance:g}" for point in run.record.points if point.guidance is not None)


def direction(metric: str) -> Literal["higher", "lower"] | None:
    """Which way is better; None for a metric that is not installed."""
    return registry("metrics")[metric].direction if metric in registry("metrics") else None


def best(record: Record, metric: str) -> Point | None:
    """The point with the metric's best value, or None if it has none or no direction."""
    scored = [
        (one.value, point) for point in record.points if (one := point.scores.get(metric)) and one.value is not None
    ]
    way = direction(metric)
    if not scored or way is None:
        return None
    return (max if way == "higher" else min)(scored, key=lambda pair: pair[0])[1]


def row(
    metric: str, column: str | None, point_a: Point, point_b: Point, a: Run, b: Run, groups: Mapping[str, str]
) -> Row:
    """One number of both runs, and the most that can be said of its difference."""
    one, other = pick(point_a.scores, (metric, column)), pick(point_b.scores, (metric, column))
    found = Row(metric=metric, column=column, guidance_a=point_a.guidance, guidance_b=point_b.guidance)
    if one is None or other is None or one.value is None or other.value is None:
        lacking = [
            f"{letter}: {'not measured' if score is None else f'{score.status}, {score.reason}'}"
            for letter, score in (("A", one), ("B", other))
            if score is None or score.value is None
        ]
        values = [None if score is None else score.value for score in (one, other)]
        return found.model_copy(update={"a": values[0], "b": values[1], "reason": "; ".join(lacking)})
    found = found.model_copy(update={"a": one.value, "b": other.value, "n": min(one.n, other.n)})
    values_a = image_values(a.rows, point_a.guidance, metric, column or "", one)
    values_b = image_values(b.rows, point_b.guidance, metric, column or "", other)
    if values_a is not None and values_b is not None:
        return by_images(found, values_a, values_b, groups)
    return by_blocks(found, one, other)


def image_values(
    rows: Rows, guidance: float | None, metric: str, column: str, score: Score
) -> dict[str, float | None] | None:
    """Sample id -> value, if per_sample.csv has a column whose mean is the score; else None."""
    values = values_of(rows, guidance, metric, column)
    scored = [value for value in values.values() if value is not None]
    if not scored or len(scored) != score.n or score.value is None:
        return None
    return values if np.isclose(np.mean(scored), score.value, rtol=1e-9, atol=1e-12) else None


def by_images(
    found: Row, a: Mapping[str, float | None], b: Mapping[str, float | None], groups: Mapping[str, str]
) -> Row:
    """Images of one name are partners; those that a run could not score are left out of both."""
    if a.keys() != b.keys():
        return without_interval(found, "the images have other names in A than in B")
    pairs = {name: (x, y) for name in sorted(a) if (x := a[name]) is not None and (y := b[name]) is not None}
    if not pairs:
        return without_interval(found, "no image is scored in both runs")
    x, y = np.array(list(pairs.values())).T  # [n], [n]
    clusters = [groups.get(name, name) for name in pairs]
    difference = paired_difference(x, y, clusters, seed=0)
    found = found.model_copy(update={"n": len(pairs), "pairing": "images", "units": len(set(clusters))})
    reason = "all images are of one group" if difference.interval is None else None
    return filled(found, difference, reason)


def by_blocks(found: Row, a: Score, b: Score) -> Row:
    """Blocks are partners where both runs cut the same samples into them."""
    left_a, left_b = a.detail.get("left_out"), b.detail.get("left_out")
    if not isinstance(left_a, list) or not isinstance(left_b, list) or not left_a or not left_b:
        return without_interval(found, "the runs hold no values of it, an image or a block, that could be paired")
    if len(left_a) != len(left_b) or a.n != b.n or a.unscored or b.unscored:
        return without_interval(found, "the runs did not score the same images, so their blocks are no partners")
    values = [[np.nan if value is None else value for value in left] for left in (left_a, left_b)]
    assert found.a is not None
    assert found.b is not None
    difference = paired_jackknife(found.a - found.b, *values)
    found = found.model_copy(update={"pairing": "blocks", "units": len(left_a)})
    reason = "a value without one block is missing" if difference.interval is None else None
    return filled(found, difference, reason)


def without_interval(found: Row, reason: str) -> Row:
    assert found.a is not None
    assert found.b is not None
    return found.model_copy(update={"difference": found.a - found.b, "reason": reason})


def filled(found: Row, difference: Difference, reason: str | None) -> Row:
    better = None
    if found.column is None and difference.interval is not None:
        low, high = difference.interval
        way = direction(found.metric)
        if way is not None and (low > 0 or high < 0):
            better = "a" if (low > 0) == (way == "higher") else "b"
    return found.model_copy(
        update={
            "difference": difference.value,
            "standard_error": difference.standard_error,
            "interval": difference.interval,
            "p_value": difference.p_value,
            "better": better,
            "reason": reason,
        }
    )


# ------------------------------------------------------------------------------------------------ for people


def print_comparison(found: Comparison, console: Console | None = None) -> None:
    """A table for each pair of scales on standard output; below, how to read it."""
    console = console or Console(highlight=False)
    heads = titles(list(dict.fromkeys(row.metric for row in found.rows)))
    blocks: dict[str, list[Row]] = {}
    for one in found.rows:
        blocks.setdefault(label(one), []).append(one)
    for name, rows in blocks.items():
        table = Table(title=name or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
        table.add_column("", overflow="fold")
        for head in ("A", "B", "A − B", "95 % interval", "p", "better"):
            table.add_column(head, justify="right", no_wrap=True)
        for one in rows:
            table.add_row(heading(heads[one.metric], one.column), *cells(one))
        console.print(table)
        console.print()
    for line in footnotes(found):
        console.print(line, soft_wrap=True, markup=False)


def label(row: Row) -> str:
    if row.guidance_a == row.guidance_b:
        return "" if row.guidance_a is None else f"guidance {row.guidance_a:g}"
    a, b = ("–" if scale is None else f"{scale:g}" for scale in (row.guidance_a, row.guidance_b))
    return f"guidance {a} (A), {b} (B)"


def cells(row: Row) -> list[str]:
    places = max((digits(value) for value in (row.a, row.b) if value is not None), default=3)

    def text(value: float | None, sign: str = "") -> str:
        return "–" if value is None else f"{value:{sign}.{places}f}"

    between = "–" if row.interval is None else f"{text(row.interval[0], '+')} to {text(row.interval[1], '+')}"
    p = "–" if row.p_value is None else "< 0.001" if row.p_value < 0.001 else f"{row.p_value:.3f}"
    winner = "" if row.better is None else row.better.upper()
    return [text(row.a), text(row.b), text(row.difference, "+"), between, p, winner]


def footnotes(found: Comparison) -> list[str]:
    lines = []
    for letter, path, model in (("A", found.a, found.model_a), ("B", found.b, found.model_b)):
        weights = "" if model.weights is None else f", weights {model.weights}"
        lines.append(f"{letter}: {path} ({model.name}{weights})")
    if found.models_differ:
        lines.append(f"The models differ in {'; '.join(found.models_differ)}.")
    units: dict[str, Sequence[int]] = {
        kind: sorted({row.units for row in found.rows if row.pairing == kind and row.units is not None})
        for kind in ("images", "blocks")
    }
    if units["images"]:
        lines.append(
            "Means over images: images of one name are paired, differences bootstrapped over"
            f" {' or '.join(map(str, units['images']))} groups."
        )
    if units["blocks"]:
        lines.append(
            "Numbers of a set: paired jackknife over the same"
            f" {' or '.join(map(str, units['blocks']))} blocks of samples, Student's t."
        )
    lines.append(
        "better: the interval leaves 0 out. Each p-value is for its own row; none is corrected for their number."
    )
    lines += found.notes
    reasons: dict[str, list[str]] = {}
    for row in found.rows:
        if row.reason:
            names = reasons.setdefault(row.reason, [])
            name = row.metric if row.column is None else f"{row.metric} {row.column}"
            names += [name] if name not in names else []
    lines += [f"{', '.join(names)}: {reason}." for reason, names in reasons.items()]
    return lines
