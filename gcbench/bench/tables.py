"""Records as tables: for the terminal, and as tidy CSV."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from gcbench.core.files import write_text
from gcbench.core.record import Record
from gcbench.core.registry import registry
from gcbench.core.score import Score


def titles(names: list[str]) -> dict[str, str]:
    """Metric name -> heading with the direction of better."""
    arrows = {"higher": "↑", "lower": "↓"}
    out, known = {}, set(registry("metrics"))
    for name in names:
        metric = registry("metrics")[name] if name in known else None
        out[name] = f"{metric.title} {arrows[metric.direction]}" if metric else name
    return out


def digits(score: Score) -> int:
    size = 0.0 if score.value is None else abs(score.value)
    return 3 if size < 10 else 1 if size < 1000 else 0


def columns(record: Record) -> list[tuple[str, str | None]]:
    """(metric, None) for every metric, then (metric, column) for the further columns of each."""
    names: dict[str, dict[str, None]] = {}
    for scores in [record.ceiling, *(point.scores for point in record.points)]:
        for name, score in scores.items():
            names.setdefault(name, {}).update(dict.fromkeys(score.also))
    return [(name, None) for name in names] + [(name, other) for name in names for other in names[name]]


def pick(scores: Mapping[str, Score], column: tuple[str, str | None]) -> Score | None:
    score = scores.get(column[0])
    return score if score is None or column[1] is None else score.also.get(column[1])


def cell(score: Score | None) -> str:
    if score is None:
        return "–"
    return score.text(digits(score)) if score.status == "ok" else "–"


def heading(head: str, other: str | None) -> str:
    """A column's heading in words that wrap: `Semantic Recall ↑`, and for a further column `mIoU void share`."""
    return head if other is None else f"{head.rstrip(' ↑↓')} {other.replace('_', ' ').replace('@', ' @')}"


WIDE = 5
"""Columns beside the guidance scale that fit a line of 80 characters."""


def print_record(record: Record, console: Console | None = None) -> None:
    """The record on standard output: a row a point, then ceiling and floor; the protocol below."""
    console = console or Console(highlight=False)
    shown = columns(record)
    heads = titles([name for name, _ in shown])
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
        for label, scores in (("ceiling", record.ceiling), ("floor", record.floor)):
            if scores:
                table.add_row(label, *(cell(pick(scores, column)) for column in part), style="dim")
        console.print(table)
        console.print()
    for line in footnotes(record):
        console.print(line, soft_wrap=True)


def footnotes(record: Record) -> list[str]:
    protocol = record.protocol
    n = f"{protocol.n} pictures" if protocol.n else ""
    model = record.model
    about = [model.name]
    if model.trained_on:
        about.append(f"trained on {model.trained_on}")
    if model.parameters:
        about.append(f"{model.parameters / 1e6:.1f} M parameters")
    lines = [
        f"{', '.join(about)}; {protocol.dataset}/{protocol.split} ({protocol.dataset_version}), {n} of"
        f" {protocol.size[0]}×{protocol.size[1]}, reference of {protocol.reference_n}.",
        "± is half the 95 % interval for the metric at this n, the reference fixed. * is on the Pareto front of"
        " realism and recall.",
        "ceiling: real pictures with their own captions; floor: captions and layouts permuted among them.",
    ]
    lines += [f"{role}: {name}" for role, name in protocol.evaluators.items()]
    for name, score in record.ceiling.items():
        if score.value is not None and score.n and score.n != protocol.n:
            lines.append(f"The ceiling of {name} is at n = {score.n}, not {protocol.n}: compare with care.")
    reasons = {
        name: score.reason for point in record.points for name, score in point.scores.items() if score.status != "ok"
    }
    lines += [f"{name}: {reason}" for name, reason in reasons.items()]
    return lines


SCORE_FIELDS = ("value", "standard_error", "low", "high", "n", "unscored", "status", "reason")


def scores_csv(record: Record) -> str:
    """One row a number: set (guidance, ceiling or floor), metric, column, value and interval."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["model", "set", "guidance", "pareto", "metric", "column", *SCORE_FIELDS])
    sets = [("samples", point.guidance, point.pareto, point.scores) for point in record.points]
    sets += [("ceiling", None, None, record.ceiling), ("floor", None, None, record.floor)]
    for kind, guidance, pareto, scores in sets:
        for name, score in scores.items():
            for column, one in {"": score, **score.also}.items():
                low, high = one.interval or (None, None)
                row = [one.value, one.standard_error, low, high, one.n, one.unscored, one.status, one.reason]
                writer.writerow([record.model.name, kind, guidance, pareto, name, column, *row])
    return out.getvalue()


def write_scores(record: Record, path: Path) -> None:
    write_text(path, scores_csv(record))
