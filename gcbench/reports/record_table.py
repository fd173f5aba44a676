"""Records as tables: for the terminal, and as tidy CSV."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from gcbench.core.files import write_text
from gcbench.core.record import ROW, Record
from gcbench.core.registry import registry
from gcbench.core.score import Score


def titles(names: list[str], n: int | None = None) -> dict[str, str]:
    """Metric name -> heading with the direction of better. Where n is part of the name (FID@n), it is put in."""
    arrows = {"higher": "↑", "lower": "↓"}
    out, known = {}, set(registry("metrics"))
    for name in names:
        metric = registry("metrics")[name] if name in known else None
        title = metric.title.replace("@n", f"@{n}" if n else "@n") if metric else ""
        out[name] = f"{title} {arrows[metric.direction]}" if metric else name
    return out


def digits(value: float | None) -> int:
    size = 0.0 if value is None else abs(value)
    return 5 if 0 < size < 0.02 else 3 if size < 10 else 1 if size < 1000 else 0


def columns(record: Record) -> list[tuple[str, str | None]]:
    """(metric, None) for every metric, then (metric, column) for the further columns of each."""
    names: dict[str, dict[str, None]] = {}
    checked = [record.self_check.real] if record.self_check else []
    for scores in [record.ceiling, *(point.scores for point in record.points), *checked]:
        for name, score in scores.items():
            names.setdefault(name, {}).update(dict.fromkeys(score.also))
    return [(name, None) for name in names] + [(name, other) for name in names for other in names[name]]


def pick(scores: Mapping[str, Score], column: tuple[str, str | None]) -> Score | None:
    score = scores.get(column[0])
    return score if score is None or column[1] is None else score.also.get(column[1])


def cell(score: Score | None) -> str:
    if score is None:
        return "–"
    return score.text(digits(score.value)) if score.status == "ok" else "–"


def heading(head: str, other: str | None) -> str:
    """A column's heading in words that wrap: `Semantic Recall ↑`, and for a further column `mIoU void share`."""
    return head if other is None else f"{head.rstrip(' ↑↓').split(':')[0]} {other.replace('_', ' ').replace('@', ' @')}"


WIDE = 5
"""Columns beside the guidance scale that fit a line of 80 characters."""


def print_record(record: Record, console: Console | None = None) -> None:
    """The record on standard output: a row a point, then ceiling and floor; the protocol below."""
    console = console or Console(highlight=False)
    shown = columns(record)
    heads = titles([name for name, _ in shown], record.protocol.n)
    for start in range(0, len(shown), WIDE):
        part = shown[start : start + WIDE]
        table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
        table.add_column("guidance", justify="right", no_wrap=True)
        for name, other in part:
            table.add_column(heading(heads[name], other), justify="right", width=13, overflow="fold")
        for point in record.points:
            label = "–" if point.guidance is None else f"{point.guidance:g}"
            mark = "* " if point.pareto else ""
            table.add_row(mark + label, *(cell(pick(point.scores, column)) for column in part))
        for label, scores in real_rows(record):
            if scores:
                table.add_row(label, *(cell(pick(scores, column)) for column in part), style="dim")
        console.print(table)
        console.print()
    for line in footnotes(record):
        console.print(line, soft_wrap=True)


def real_rows(record: Record) -> list[tuple[str, Mapping[str, Score]]]:
    """The rows of a record's table that are about real images."""
    rows: list[tuple[str, Mapping[str, Score]]] = [("ceiling", record.ceiling), ("floor", record.floor)]
    if record.self_check:
        rows += [("self-check", record.self_check.real), ("permuted", record.self_check.permuted)]
    return rows


def footnotes(record: Record) -> list[str]:
    protocol = record.protocol
    n = f"{protocol.n} images" if protocol.n else ""
    model = record.model
    about = [model.name]
    if model.trained_on:
        about.append(f"trained on {model.trained_on}")
    if model.parameters:
        about.append(f"{model.parameters / 1e6:.1f} M parameters")
    lines = [
        f"{', '.join(about)}; {protocol.dataset}/{protocol.split} ({protocol.dataset_version}), {n} of"
        f" {protocol.size[0]}×{protocol.size[1]}, reference of {protocol.reference_n}.",
        *units(record),
        "± is half the 95 % interval for the metric at this n, the reference fixed."
        + (" * is on the Pareto front of realism and recall." if any(point.pareto for point in record.points) else ""),
        "ceiling: real images with their own captions; floor: captions and layouts permuted among them.",
    ]
    if record.self_check:
        lines.append(
            f"self-check: the evaluators on all {record.self_check.n} real pairs of the split (distances: one half"
            " against the other); permuted: with captions and layouts permuted among them."
        )
    lines += [f"{role}: {name}" for role, name in protocol.evaluators.items()]
    for name, score in record.ceiling.items():
        if score.value is not None and score.n and score.n != protocol.n:
            lines.append(f"The ceiling of {name} is at n = {score.n}, not {protocol.n}: compare with care.")
    reasons = {
        f"{name} {score.status}": score.reason
        for point in record.points
        for name, score in point.scores.items()
        if score.status != "ok"
    }
    lines += [f"{what}: {reason}" for what, reason in reasons.items()]
    biased = {
        name: score.detail["sizes"]
        for point in record.points
        for name, score in point.scores.items()
        if "n_not_above_d" in score.detail.get("warnings", ())
    }
    for name, sizes in biased.items():
        assert isinstance(sizes, dict)
        lines.append(f"{name}: n = {sizes['n']:.0f} is not above d = {sizes['d']:.0f}, so its bias is strong.")
    lines += [f"Warning: {line}." for line in record.provenance.warnings]
    return [*lines, *stage_seconds(record)]


def units(record: Record) -> list[str]:
    """One line: the metrics of the table, each with its unit; none where no metric of the record is known here."""
    known = set(registry("metrics"))
    names = [name for name, other in columns(record) if other is None and name in known]
    found = [registry("metrics")[name] for name in names]
    return ["Units: " + "; ".join(f"{m.title.removesuffix('@n')} in {m.unit}" for m in found) + "."] if found else []


def stage_seconds(record: Record) -> list[str]:
    """One line of the seconds that each stage took, summed over the points; none for a record that states none."""
    spent: dict[str, float] = {}
    for point in record.points:
        for stage, seconds in point.seconds.items():
            spent[stage] = spent.get(stage, 0.0) + seconds
    spent |= {stage: seconds for stage, seconds in record.provenance.seconds.items() if stage != record.kind}
    if not spent:
        return []
    names = {"evaluate": "evaluate images", "real": "evaluate real images"}
    return [
        "Seconds: " + ", ".join(f"{names.get(stage, stage)} {seconds:.1f}" for stage, seconds in spent.items()) + "."
    ]


def scores_csv(record: Record) -> str:
    """One row a number: set (guidance, ceiling or floor), metric, column, value and interval."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows([ROW, *record.rows()])
    return out.getvalue()


def write_scores(record: Record, path: Path) -> None:
    write_text(path, scores_csv(record))
