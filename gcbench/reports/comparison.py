"""`gcbench compare`: the difference of every number to that of the first run, as an object and as tables.

What is comparable is compared; what is not is named with its reason, run by run and metric by metric.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field
from rich.console import Console

from gcbench.core.errors import UserError
from gcbench.core.names import plain
from gcbench.core.protocol import Protocol
from gcbench.core.record import ModelInfo
from gcbench.core.run_spec import guidance_text
from gcbench.core.score import FEW_GROUPS
from gcbench.reports.record_table import declared, number_column, units
from gcbench.reports.run_pair import BEST, NotComparable, Row, Run, RunPair, best, read_runs
from gcbench.reports.table import Cell, Column, Table, show
from gcbench.reports.table import Row as TableRow


class Side(BaseModel):
    """A run that is compared. letter: what it is called below; A is the one that all others are compared with."""

    letter: str
    path: str
    model: ModelInfo


class LeftOut(BaseModel):
    """What of a run was not compared with A, and why. metric: None for all of them."""

    run: str
    metric: str | None = None
    reason: str

    def __str__(self) -> str:
        return f"{self.run}{f', {self.metric}' if self.metric else ''}: {self.reason}"


class Comparison(BaseModel):
    """Runs against the first of them. protocol: of A. notes: what a reader of the numbers should know."""

    runs: list[Side]
    protocol: Protocol
    rows: list[Row] = Field(default_factory=list)
    left_out: list[LeftOut] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame` of the rows."""
        import pandas

        return pandas.DataFrame([row.model_dump() for row in self.rows], columns=list(Row.model_fields))


def compare(*runs: Path, guidance: str | float | None = None) -> Comparison:
    """The difference of the first run to each other one, in every metric and at every guidance scale of both.

    guidance: one scale only; or `best`: each metric at the scale where each run has its best value. A run without
    guidance is set beside every scale of the other.

    Per-image metrics: the images of one name are paired, their differences bootstrapped by prompt or group. Set
    metrics: the stored influences of blocks of whole groups are paired block by block (`paired_jackknife`).
    """
    if len(runs) < 2:
        raise UserError("compare takes at least two runs; give a second run directory")
    first, *others = read_runs(runs)
    if not first.record.points:
        empty = " and ".join(str(run.path) for run in (first, *others) if not run.record.points)
        raise UserError(f"no finished point in {empty}; let the run end first")
    comparison = Comparison(
        runs=[Side(letter=run.letter, path=plain(run.path), model=run.record.model) for run in (first, *others)],
        protocol=first.record.protocol.of_any_model(),
    )
    for other in others:
        _add(comparison, first, other, guidance)
    if not comparison.rows:
        paths = " and ".join(str(run.path) for run in (first, *others))
        why = "; ".join(map(str, comparison.left_out))
        raise UserError(f"nothing of {paths} can be compared ({why}); measure them under one protocol")
    if few := [row.units for row in comparison.rows if row.units and row.units < FEW_GROUPS]:
        comparison.notes.append(
            f"Fewer than {FEW_GROUPS} groups ({min(few)}): the intervals are wide, and uncertain themselves."
        )
    if guidance == BEST:
        comparison.notes.append("The best scales were chosen on these same samples, so both values flatter their run.")
    comparison.notes = list(dict.fromkeys(comparison.notes))
    return comparison


def _add(comparison: Comparison, a: Run, b: Run, guidance: str | float | None) -> None:
    """The rows of one pair, and what is left out of it."""
    try:
        pair = RunPair(a, b)
        points = pair.points(guidance)
    except NotComparable as reason:
        comparison.left_out.append(LeftOut(run=b.letter, reason=str(reason)))
        return
    comparable = []
    for name in a.metrics | b.metrics:
        try:
            pair.check(name)
            comparable.append(name)
            if guidance == BEST:
                best_a, best_b = best(a.record.points, name), best(b.record.points, name)
                if best_a is None or best_b is None:
                    empty = " and ".join(run.letter for run in (a, b) if run.never(name))
                    why = f"{empty} without a value" if empty else "its direction is not known here"
                    raise NotComparable(f"no best scale: {why}")
                comparison.rows.append(pair.row(name, "", best_a, best_b))
        except NotComparable as reason:
            comparison.left_out.append(LeftOut(run=b.letter, metric=name, reason=str(reason)))
    for point_a, point_b in points:
        for name in comparable:
            having = [run.letter for run, point in ((a, point_a), (b, point_b)) if name in point.scores]
            if len(having) == 1:
                scale = guidance_text((point_a if having == [a.letter] else point_b).guidance)
                why = f"only {having[0]} has it at guidance {scale}"
                comparison.left_out.append(LeftOut(run=b.letter, metric=name, reason=why))
            elif having:
                further = dict.fromkeys([*point_a.scores[name].also, *point_b.scores[name].also])
                comparison.rows += [pair.row(name, part, point_a, point_b) for part in ("", *further)]
    comparison.notes += pair.remarks()


# ------------------------------------------------------------------------------------------------------ for people


def print_comparison(comparison: Comparison, format: str = "rich", console: Console | None = None) -> None:
    """On standard output; `json` is the comparison itself, and `csv` has all columns of the metrics."""
    if format == "json":
        print(json.dumps(comparison.model_dump(mode="json"), indent=1))
    else:
        show(comparison_tables(comparison, everything=format == "csv"), format, console)


def comparison_tables(comparison: Comparison, everything: bool = False) -> list[Table]:
    """A table for each guidance scale. everything: all columns of the metrics, not the headlines only."""
    grouped: dict[str, list[Row]] = {}
    for row in comparison.rows:
        metric = declared(row.metric)
        if everything or metric is None or (row.column or "") in metric.headline:
            grouped.setdefault(_label(row), []).append(row)
    tables = [_table(title, rows, comparison.protocol) for title, rows in grouped.items()]
    columns = {column.key: column for table in tables for column in table.columns}
    return [*tables, Table("", [], notes=[*units(list(columns.values())), *footnotes(comparison)])]


def _label(row: Row) -> str:
    a, b = guidance_text(row.guidance_a), guidance_text(row.guidance_b)
    if a == b or not a or not b:
        return f"guidance {a or b}" if a or b else ""
    return f"guidance {a} (A), {b} ({row.run})"


def _table(title: str, rows: Sequence[Row], protocol: Protocol) -> Table:
    columns: dict[str, Column] = {}
    cells: dict[str, dict[str, Cell]] = {}  # name of a line -> column key -> cell
    for row in rows:
        column = number_column(row.metric, row.column or "", protocol)
        columns[column.key] = column
        more = {"p": row.p_value, "better": row.better, "pairing": row.pairing, "units": row.units}
        numbers = row.difference, row.interval, row.standard_error
        shown = {"A": column.scaled(row.a), row.run: column.scaled(row.b)}
        shown[f"A − {row.run}"] = column.scaled(*numbers, n=row.n, reason=row.reason, more=more)
        for name, cell in shown.items():
            cells.setdefault(name, {})[column.key] = cell
    lines = [TableRow(name, "difference" if "−" in name else "model", cells=line) for name, line in cells.items()]
    return Table(title, list(columns.values()), lines, facts={"setting": title}, across=True)


def footnotes(comparison: Comparison) -> list[str]:
    lines = []
    for side in comparison.runs:
        weights = "" if side.model.weights is None else f", weights {side.model.weights}"
        lines.append(f"{side.letter}: {side.path} ({side.model.name}{weights})")
    lines += [f"Not compared: {left}." for left in comparison.left_out]
    for kind, text in (
        ("images", "Means over images: images of one name are paired, differences bootstrapped over {} groups."),
        ("blocks", "Numbers of a set: paired jackknife over the same {} blocks of whole groups, Student's t."),
    ):
        if counts := sorted({row.units or 0 for row in comparison.rows if row.pairing == kind}):
            lines.append(text.format(" or ".join(map(str, counts))))
    better = " better: the interval leaves 0 out." if any(row.better for row in comparison.rows) else ""
    lines.append(f"± is half the 95 % interval of the difference.{better}")
    lines.append("Each p-value is for its own row; none is corrected for their number.")
    lines += comparison.notes
    reasons: dict[str, dict[str, None]] = {}
    for row in comparison.rows:
        if row.reason:
            name = row.metric if row.column is None else f"{row.metric} {row.column}"
            reasons.setdefault(row.reason, {})[name] = None
    return lines + [f"{', '.join(names)}: {reason}." for reason, names in reasons.items()]
