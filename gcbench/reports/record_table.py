"""A record as a table: what a sweep prints, and `scores.csv`. Knows of a metric what it declares, and no metric."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from gcbench.core.files import write_text
from gcbench.core.protocol import Protocol
from gcbench.core.record import Record
from gcbench.core.registry import registry
from gcbench.core.run_spec import guidance_text
from gcbench.core.score import FEW_GROUPS, Score
from gcbench.reports.table import Column, Kind, Row, Table, render, show


def declared(metric: str) -> Any | None:
    """The class of a metric, or None for one that is not installed."""
    return registry("metrics").get(metric)


def number_column(metric: str, part: str = "", protocol: Protocol | None = None) -> Column:
    """The column of a metric's value, or of a further one, by what the metric declares. protocol: has what is part of
    some titles, n (FID@n) or the evaluator (FD(DINOv2-L)).

    A metric that is not installed has its own name as heading, no unit and no direction.
    """
    key = f"{metric}.{part}" if part else metric
    known = declared(metric)
    if known is None:
        return Column(key, f"{metric} {part}".strip(), metric=metric, part=part)
    title = known.title
    if protocol is not None:
        title = title.replace("@n", f"@{protocol.n}" if protocol.n else "@n")
        if known.alternative and (reader := protocol.reader(metric)):
            title = known.alternative[1].format(reader)
    if part:
        words, more = title.split(":")[0].split(), part.replace("_", " ").replace("@", " @").split()
        head = " ".join(words + more[words[-1].lower() == more[0] :])  # not: Semantic Recall recall @0.1%
        return Column(key, head, known.unit, None, known.scale.get(part, 1.0), metric=metric, part=part)
    scale = known.scale.get("", 1.0)
    return Column(key, title, known.unit, known.direction, scale, range=known.range, metric=metric)


def number_columns(
    scores: Iterable[Mapping[str, Score]], protocol: Protocol | None, everything: bool = False
) -> list[Column]:
    """The columns of these scores: of each metric those that it has as headline, or all."""
    parts: dict[str, dict[str, None]] = {}
    for each in scores:
        for name, score in each.items():
            parts.setdefault(name, {"": None}).update(dict.fromkeys(score.also))
    shown = []
    for name, known in parts.items():
        metric = declared(name)
        headline = known if everything or metric is None else [part for part in metric.headline if part in known]
        shown += [number_column(name, part, protocol) for part in headline]
    return shown


GUIDANCE = Column(
    "guidance", "guidance", of=lambda row: (row.point and guidance_text(row.point.guidance)) or None, repeat=True
)
PARETO = Column(
    "pareto",
    "front",
    of=lambda row: "" if row.point is None or row.point.pareto is None else row.point.pareto,
    show=lambda on_front: "*" if on_front else "",
)


def record_table(record: Record, everything: bool = False) -> Table:
    """A row a point, then those of real images. everything: all columns, not the headlines only."""
    rows = [Row(record.model.name, "model", point.scores, record, point) for point in record.points]
    real: list[tuple[str, Kind, Mapping[str, Score]]] = [("ceiling", "ceiling", record.ceiling)]
    real.append(("floor", "floor", record.floor))
    if check := record.self_check:
        real += [("self-check", "self-check", check.real), ("self-check, permuted", "self-check", check.permuted)]
    rows += [Row(name, kind, scores, record) for name, kind, scores in real if scores]
    columns = [GUIDANCE, PARETO, *number_columns([row.scores for row in rows], record.protocol, everything)]
    return Table("", columns, rows, [*footnotes(record, columns, rows), *stage_seconds(record)])


def print_record(record: Record, console: Console | None = None) -> None:
    """The record on standard output, its protocol and reasons below."""
    show([record_table(record)], console=console)


def scores_csv(record: Record) -> str:
    """One row a number, in the metric's unit."""
    return render([record_table(record, everything=True)], "csv")


def write_scores(record: Record, path: Path) -> None:
    write_text(path, scores_csv(record))


# ------------------------------------------------------------------------------------------------------ footnotes


def units(columns: Sequence[Column]) -> list[str]:
    """One line: the metrics of the table, each with its unit."""
    named = [f"{column.head} in {column.unit}" for column in columns if column.unit and not column.part]
    return [f"Units: {'; '.join(named)}."] if named else []


def footnotes(record: Record, columns: Sequence[Column], rows: Sequence[Row]) -> list[str]:
    """What a reader of these columns and rows of a record should know: protocol, signs, reasons, warnings."""
    protocol, model = record.protocol, record.model
    n = f"{protocol.n} images" if protocol.n else ""
    size = f"{model.parameters / 1e6:.1f} M parameters" if model.parameters else ""
    about = filter(None, (model.name, f"trained on {model.trained_on}" if model.trained_on else "", size))
    lines = [
        f"{', '.join(about)}; {protocol.dataset}/{protocol.split} ({protocol.dataset_version}), {n} of"
        f" {protocol.size[0]}×{protocol.size[1]}, {reference_of(protocol)}.",
        *units(columns),
        "± is half the 95 % interval for the metric at this n, the reference fixed; [ ] its ends if uneven.",
        *few_groups(rows),
    ]
    if protocol.given:
        lines.append(f"The {protocol.given} were given to the model, which drew the rest.")
    if PARETO in columns and any(point.pareto for point in record.points):
        lines.append(
            "* is on the Pareto front: no other is better on one axis beyond the interval and not worse on the other."
        )
    lines.append("ceiling: real images with their own captions; floor: captions and layouts permuted among them.")
    if record.self_check:
        lines.append(
            f"self-check: the evaluators on all {record.self_check.n} real pairs of the split (distances: one half"
            " against the other); permuted: with captions and layouts permuted among them."
        )
    lines += [f"{role}: {name}" for role, name in protocol.evaluators.items()]
    for name, score in record.ceiling.items():
        if score.value is not None and score.n and score.n != protocol.n:
            lines.append(f"The ceiling of {name} is at n = {score.n}, not {protocol.n}: compare with care.")
    scores = [(name, score) for point in record.points for name, score in point.scores.items()]
    lines += [f"{name} {score.status}: {score.reason}" for name, score in scores if score.status != "ok"]
    for name, score in scores:
        sizes = score.detail.get("sizes")
        if "n_not_above_d" in score.detail.get("warnings", ()) and isinstance(sizes, dict):
            lines.append(f"{name}: n = {sizes['n']:.0f} is not above d = {sizes['d']:.0f}, so its bias is strong.")
    lines += [f"Warning: {line}." for line in record.provenance.warnings]
    return [*dict.fromkeys(lines)]


def reference_of(protocol: Protocol) -> str:
    """What the samples were measured against, in words."""
    named = f" ({protocol.reference})" if protocol.reference else ""
    return f"reference of {protocol.reference_n or 'unknown size'}{named}"


def few_groups(rows: Iterable[Row]) -> list[str]:
    """One line where an interval of these rows rests on few independent groups."""
    few: dict[str, int] = {}
    for row in rows:
        for score in [part for whole in row.scores.values() for part in (whole, *whole.also.values())]:
            if score.interval is not None and score.groups is not None and score.groups < FEW_GROUPS:
                few[row.name] = min(score.groups, few.get(row.name, FEW_GROUPS))
    counts = ", ".join(f"{name} {count}" for name, count in few.items())
    return (
        [f"Fewer than {FEW_GROUPS} groups ({counts}): the intervals are wide, and uncertain themselves."] if few else []
    )


def stage_seconds(record: Record) -> list[str]:
    """One line of the seconds that each stage took, summed over points and processes; none for a record without any."""
    spent: dict[str, float] = {}
    for point in record.points:
        for stage, seconds in point.seconds.items():
            spent[stage] = spent.get(stage, 0.0) + seconds
    spent |= {stage: seconds for stage, seconds in record.provenance.seconds.items() if stage != record.kind}
    names = {"evaluate": "evaluate images", "real": "evaluate real images"}
    parts = [f"{names.get(stage, stage)} {seconds:.1f}" for stage, seconds in spent.items()]
    several = record.provenance.processes
    heading = "Seconds" if several == 1 else f"Seconds, of {several} processes together"
    return [f"{heading}: {', '.join(parts)}."] if parts else []
