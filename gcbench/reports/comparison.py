"""Compare runs: the difference of every number to that of the first run, paired image by image or block by block.

What is comparable is compared; what is not is named with its reason, run by run and metric by metric. Knows records and
per_sample.csv; measures nothing. What is said of a difference is taken from what the runs stored.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field
from rich.console import Console

from gcbench.core.errors import UserError
from gcbench.core.protocol import Protocol
from gcbench.core.record import ModelInfo, Point, Record
from gcbench.core.run_spec import guidance_scales, guidance_text
from gcbench.core.score import Score
from gcbench.reports.record_table import declared, number_column, units
from gcbench.reports.table import Cell, Table, plain, show
from gcbench.reports.table import Row as TableRow
from gcbench.runs.paired import PairedDifference, Rows, paired, values_of
from gcbench.runs.run_directory import PER_SAMPLE, RECORD
from gcbench.runs.sample_table import SampleTable

BEST = "best"
FEW_GROUPS = 20
"""Below so many groups the percentile interval of a bootstrap is too narrow."""

OF_ALL = ("dataset", "dataset_version", "split", "n", "size", "resize", "void")
"""Fields of the protocol that concern every metric; the others concern those that declare a need or a role."""


class Side(BaseModel):
    """A run that is compared. letter: what it is called below; A is the one that all others are compared with."""

    model_config = ConfigDict(extra="forbid")

    letter: str
    path: str
    model: ModelInfo


class Row(BaseModel):
    """One number of two runs. a, b: the scores as recorded, of run A and of `run`. difference: a - b over the n images
    that both score.

    pairing: what was paired, `images` (bootstrap over groups) or `blocks` (jackknife); units: how many groups or
    blocks. better: the letter of the run whose number is better, where the 95 % interval leaves 0 out and the metric
    has a direction. reason: why the difference, or its interval, is missing.
    """

    model_config = ConfigDict(extra="forbid")

    run: str = "B"
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
    better: str | None = None
    reason: str | None = None


class LeftOut(BaseModel):
    """What of a run was not compared with A, and why. metric: None for all of them."""

    model_config = ConfigDict(extra="forbid")

    run: str
    metric: str | None = None
    reason: str


class Comparison(BaseModel):
    """Runs against the first of them. protocol: of A. notes: what a reader of the numbers should know."""

    model_config = ConfigDict(extra="forbid")

    runs: list[Side]
    protocol: Protocol
    rows: list[Row] = Field(default_factory=list)
    left_out: list[LeftOut] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame` of the rows."""
        import pandas

        return pandas.DataFrame([row.model_dump() for row in self.rows], columns=list(Row.model_fields))


class Run(NamedTuple):
    """A run as it was stored. groups: by sample id; empty where the file does not name them."""

    letter: str
    path: Path
    record: Record
    rows: Rows
    groups: dict[str, str]

    @property
    def scales(self) -> str:
        return ", ".join(guidance_text(point.guidance) for point in self.record.points if point.guidance is not None)

    def at(self, scale: float) -> Point | None:
        """The point at this scale, or the only one if the run knows no guidance."""
        return next((point for point in self.record.points if point.guidance in (scale, None)), None)


def compare(*runs: Path, guidance: str | float | None = None) -> Comparison:
    """The difference of the first run to each other one, in every metric and at every guidance scale of both.

    guidance: one scale only; or `best`: each metric at the scale where each run has its best value. A run without
    guidance is set beside every scale of the other.

    Per-image metrics: the images of one name are paired, their differences bootstrapped by prompt or group. Set
    metrics: the stored leave-one-block-out values are paired block by block (`paired_jackknife`).

    Raises:
        UserError: no record, a record of another schema, or nothing at all that could be compared.
    """
    if len(runs) < 2:
        raise UserError("compare takes at least two runs; give a second run directory")
    first, *others = (read_run(path, letter(place)) for place, path in enumerate(runs))
    if not first.record.points:
        raise UserError(f"{first.path} holds no finished point; let the run end first")
    found = Comparison(
        runs=[Side(letter=run.letter, path=plain(run.path), model=run.record.model) for run in (first, *others)],
        protocol=first.record.protocol.of_any_model(),
    )
    for other in others:
        _add(found, first, other, guidance)
    if not found.rows:
        why = "; ".join(f"{one.run}{f', {one.metric}' if one.metric else ''}: {one.reason}" for one in found.left_out)
        paths = " and ".join(str(run.path) for run in (first, *others))
        raise UserError(f"nothing of {paths} can be compared ({why}); measure them under one protocol")
    if any(row.pairing == "images" and row.units and row.units < FEW_GROUPS for row in found.rows):
        found.notes.append(f"Fewer than {FEW_GROUPS} groups: intervals of per-image metrics are too narrow.")
    if guidance == BEST:
        found.notes.append("The best scales were chosen on these same samples, so both values flatter their run.")
    found.notes = list(dict.fromkeys(found.notes))
    return found


def letter(place: int) -> str:
    return chr(ord("A") + place) if place < 26 else f"R{place + 1}"


def read_run(path: Path, name: str) -> Run:
    """A run directory, or its record.json; what stands beside the record is read too."""
    path = Path(path)
    file = path / RECORD if path.is_dir() else path
    record = Record.read(file)
    table = SampleTable.read(file.parent / PER_SAMPLE)
    return Run(name, path, record, table.rows, table.groups)


# ------------------------------------------------------------------------------------------- what is comparable


def _add(found: Comparison, a: Run, b: Run, guidance: str | float | None) -> None:
    """The rows of one pair, and what is left out of it."""

    def leave(reason: str, metric: str | None = None) -> None:
        found.left_out.append(LeftOut(run=b.letter, metric=metric, reason=reason))

    groups = _groups(a, b)
    if reason := _unlike(a, b) or (groups if isinstance(groups, str) else None):
        return leave(reason)
    points = _matched(a, b, guidance)
    if isinstance(points, str):
        return leave(points)
    has_a, has_b = ({name: 1 for point in run.record.points for name in point.scores} for run in (a, b))
    comparable = []
    for name in has_a | has_b:
        if name in has_a and name in has_b:
            reason = _barrier(name, a.record.protocol, b.record.protocol)
        else:
            reason = f"only {a.letter if name in has_a else b.letter} has it"
        if reason:
            leave(reason, name)
        else:
            comparable.append(name)
    for one, other in points:
        shared = [name for name in comparable if name in one.scores and name in other.scores]
        for name in shared if guidance != BEST else ():
            further = dict.fromkeys([*one.scores[name].also, *other.scores[name].also])
            found.rows += [_row(name, part, one, other, a, b, groups) for part in ("", *further)]
    if guidance == BEST:
        for name in comparable:
            best_a, best_b = best(a.record, name), best(b.record, name)
            if best_a is None or best_b is None:
                leave("no best scale: it has no value or no direction", name)
            else:
                found.rows.append(_row(name, "", best_a, best_b, a, b, groups))
    _remarks(found, a, b)


def _unlike(a: Run, b: Run) -> str | None:
    """Why nothing of b can be compared with a."""
    if not b.record.points:
        return f"{b.path} holds no finished point"
    mine, theirs = a.record.protocol.model_dump(), b.record.protocol.model_dump()
    return "; ".join(f"{key}: {mine[key]!r} against {theirs[key]!r}" for key in OF_ALL if mine[key] != theirs[key])


def _barrier(metric: str, a: Protocol, b: Protocol) -> str | None:
    """Why a metric that both runs have was not measured alike. One that is not installed may depend on everything."""
    known = declared(metric)
    needs = frozenset(("prompts", "reference")) if known is None else known.needs
    reasons = []
    if a.prompts != b.prompts and ("prompts" in needs or None not in (a.prompts, b.prompts)):
        reasons.append(f"prompts: {a.prompts!r} against {b.prompts!r}")
    if a.reference_n != b.reference_n and "reference" in needs:
        reasons.append(f"reference_n: {a.reference_n} against {b.reference_n}")
    roles = {*a.evaluators, *b.evaluators} if known is None else known.roles
    limits = {key for key in (*a.thresholds, *b.thresholds) if key.rpartition(".")[0] == metric}
    named: list[tuple[str, Mapping[str, Any], Mapping[str, Any], Iterable[str]]] = [
        ("evaluators", a.evaluators, b.evaluators, roles),
        ("thresholds", a.thresholds, b.thresholds, limits),
        ("metrics", a.metrics, b.metrics, [metric]),
    ]
    for field, mine, theirs, keys in named:
        for key in sorted(keys):
            if mine.get(key) != theirs.get(key):
                reasons.append(f"{field}: {key} {mine.get(key, 'none')!s} against {theirs.get(key, 'none')!s}")
    return "; ".join(reasons) or None


def _groups(a: Run, b: Run) -> dict[str, str] | str:
    """Sample id -> group; or why there is none: the runs group the same images differently.

    Where the images of a run are independent of each other, as without prompts, the other run's groups count.
    """
    known = [run.groups for run in (a, b) if any(name != group for name, group in run.groups.items())]
    if len(known) == 2:
        for name in sorted(known[0].keys() & known[1].keys()):
            if known[0][name] != known[1][name]:
                return f"the image {name} is in another group ({known[0][name]!r} against {known[1][name]!r})"
    return {**a.groups, **b.groups, **{name: group for groups in known for name, group in groups.items()}}


def _matched(a: Run, b: Run, guidance: str | float | None) -> list[tuple[Point, Point]] | str:
    """The points that are set side by side, or why there are none. UserError for a scale that A does not have."""
    pairs = [
        (one, other)
        for one in a.record.points
        for other in b.record.points
        if one.guidance is None or other.guidance is None or one.guidance == other.guidance
    ]
    if guidance is not None and guidance != BEST:
        (scale,) = guidance_scales(guidance)
        one, other = a.at(scale), b.at(scale)
        if one is None:
            raise UserError(f"{a.path} has no point at guidance {guidance_text(scale)}; choose one of {a.scales}")
        if other is None:
            return f"{b.path} has no point at guidance {guidance_text(scale)}, but {b.scales}"
        return [(one, other)]
    if pairs or guidance == BEST:
        return pairs
    return f"{a.path} has guidance {a.scales} and {b.path} {b.scales}, no scale in common; --guidance {BEST} needs none"


def best(record: Record, metric: str) -> Point | None:
    """The point with the metric's best value, or None if it has none or no direction."""
    known = declared(metric)
    scored = [
        (score.value, point)
        for point in record.points
        if (score := point.scores.get(metric)) is not None and score.value is not None
    ]
    if not scored or known is None:
        return None
    return (max if known.direction == "higher" else min)(scored, key=lambda pair: pair[0])[1]


# ------------------------------------------------------------------------------------------------------ one number


def _row(
    metric: str, part: str, point_a: Point, point_b: Point, a: Run, b: Run, groups: Mapping[str, str] | str
) -> Row:
    """One number of both runs, and the most that can be said of its difference."""
    one, other = _score(point_a, metric, part), _score(point_b, metric, part)
    found = Row(
        run=b.letter,
        metric=metric,
        column=part or None,
        guidance_a=point_a.guidance,
        guidance_b=point_b.guidance,
        a=None if one is None else one.value,
        b=None if other is None else other.value,
    )
    if one is None or other is None or one.value is None or other.value is None:
        lacking = [
            f"{name}: {'not measured' if score is None else f'{score.status}, {score.reason}'}"
            for name, score in ((a.letter, one), (b.letter, other))
            if score is None or score.value is None
        ]
        return found.model_copy(update={"reason": "; ".join(lacking)})
    values_a = values_of(a.rows, point_a.guidance, metric, part)
    values_b = values_of(b.rows, point_b.guidance, metric, part)
    difference = paired(one, other, values_a, values_b, groups if isinstance(groups, dict) else {})
    changes = {
        "difference": difference.value,
        **{name: getattr(difference, name) for name in PairedDifference._fields if name != "value"},
        "n": difference.n or min(one.n, other.n),
        "better": None if part else _better(metric, difference.interval, a.letter, b.letter),
    }
    return found.model_copy(update=changes)


def _score(point: Point, metric: str, part: str) -> Score | None:
    score = point.scores[metric]
    return score.also.get(part) if part else score


def _better(metric: str, interval: tuple[float, float] | None, a: str, b: str) -> str | None:
    known = declared(metric)
    if known is None or interval is None or interval[0] <= 0 <= interval[1]:
        return None
    return a if (interval[0] > 0) == (known.direction == "higher") else b


def _remarks(found: Comparison, a: Run, b: Run) -> None:
    """Notes on one pair."""
    mine, theirs = a.record.protocol, b.record.protocol
    keys = sorted({*mine.sampler, *theirs.sampler})
    differ = [f"sampler {key}" for key in keys if mine.sampler.get(key) != theirs.sampler.get(key)]
    if mine.seed != theirs.seed:
        differ.append(f"seed: {mine.seed} against {theirs.seed}")
    if differ:
        found.notes.append(f"The models {a.letter} and {b.letter} differ in {', '.join(differ)}.")
    if mine.prompts != theirs.prompts and None in (mine.prompts, theirs.prompts):
        blind, reader = (a.letter, b.letter) if mine.prompts is None else (b.letter, a.letter)
        found.notes.append(f"{blind} was made without prompts, {reader} with them.")
    for run in (a, b):
        if not run.rows:
            file = (run.path if run.path.is_dir() else run.path.parent) / PER_SAMPLE
            found.notes.append(f"{file} is not there: nothing can be paired by image.")


# ------------------------------------------------------------------------------------------------------ for people


def print_comparison(found: Comparison, format: str = "rich", console: Console | None = None) -> None:
    """On standard output; `json` is the comparison itself, and `csv` has all columns of the metrics."""
    if format == "json":
        print(json.dumps(found.model_dump(mode="json"), indent=1))
    else:
        show(comparison_tables(found, everything=format == "csv"), format, console)


def comparison_tables(found: Comparison, everything: bool = False) -> list[Table]:
    """A table for each guidance scale, the numbers of A, of each other run, and their differences side by side.

    everything: all columns of the metrics, not the headlines only. How to read them stands below the last.
    """
    grouped: dict[str, list[Row]] = {}
    for row in found.rows:
        metric = declared(row.metric)
        if everything or metric is None or (row.column or "") in metric.headline:
            grouped.setdefault(_label(row), []).append(row)
    tables = [_table(title, rows) for title, rows in grouped.items()]
    columns = {column.key: column for table in tables for column in table.columns}
    return [*tables, Table("", [], notes=[*units(list(columns.values())), *footnotes(found)])]


def _label(row: Row) -> str:
    a, b = guidance_text(row.guidance_a), guidance_text(row.guidance_b)
    if a == b or not a or not b:
        return f"guidance {a or b}" if a or b else ""
    return f"guidance {a} (A), {b} ({row.run})"


def _table(title: str, rows: Sequence[Row]) -> Table:
    columns = [number_column(row.metric, row.column or "") for row in rows]
    single: dict[str, dict[str, Cell]] = {"A": {}}
    against: dict[str, dict[str, Cell]] = {}
    for row, column in zip(rows, columns, strict=True):
        for run, value in (("A", row.a), (row.run, row.b)):
            shown_value = None if value is None else value * column.scale
            single.setdefault(run, {})[column.key] = Cell(shown_value, status="skipped" if value is None else "ok")
        more = {"p": row.p_value, "better": row.better, "pairing": row.pairing, "units": row.units}
        ends = None if row.interval is None else (row.interval[0] * column.scale, row.interval[1] * column.scale)
        difference, error = (
            None if value is None else value * column.scale for value in (row.difference, row.standard_error)
        )
        status = "skipped" if difference is None else "ok"
        cell = Cell(difference, ends, error, row.n, status=status, reason=row.reason, more=more)
        against.setdefault(row.run, {})[column.key] = cell
    shown = [TableRow("A", "model", cells=single["A"])]
    for run in against:
        shown.append(TableRow(run, "model", cells=single[run]))
        shown.append(TableRow(f"A − {run}", "difference", cells=against[run]))
    distinct = list({column.key: column for column in columns}.values())
    return Table(title, distinct, shown, facts={"setting": title}, across=True)


def footnotes(found: Comparison) -> list[str]:
    lines = []
    for side in found.runs:
        weights = "" if side.model.weights is None else f", weights {side.model.weights}"
        lines.append(f"{side.letter}: {side.path} ({side.model.name}{weights})")
    for left in found.left_out:
        lines.append(f"Not compared: {left.run}{f', {left.metric}' if left.metric else ''}: {left.reason}.")
    counts = {
        kind: " or ".join(str(n) for n in sorted({row.units or 0 for row in found.rows if row.pairing == kind}))
        for kind in ("images", "blocks")
    }
    if counts["images"]:
        lines.append(
            "Means over images: images of one name are paired, differences bootstrapped over"
            f" {counts['images']} groups."
        )
    if counts["blocks"]:
        lines.append(
            f"Numbers of a set: paired jackknife over the same {counts['blocks']} blocks of samples, Student's t."
        )
    lines.append("± is half the 95 % interval of the difference. better: the interval leaves 0 out.")
    lines.append("Each p-value is for its own row; none is corrected for their number.")
    lines += found.notes
    reasons: dict[str, dict[str, None]] = {}
    for row in found.rows:
        if row.reason:
            name = row.metric if row.column is None else f"{row.metric} {row.column}"
            by = row.reason if row.a is None or row.b is None else f"{row.run}: {row.reason}"
            reasons.setdefault(by, {})[name] = None
    return lines + [f"{', '.join(names)}: {reason}." for reason, names in reasons.items()]
