"""The curves of several runs in one panel, for the report: the same axes, a colour and a marker a run, its letter at
the end. Only runs whose two metrics were measured alike share a panel; why another is left out is said."""

from collections.abc import Sequence
from typing import NamedTuple

import matplotlib as mpl
from matplotlib.figure import Figure

from gcbench.core.record import Point
from gcbench.reports import drawing
from gcbench.reports.figure6 import CEILING, FLOOR, trade_off_numbers
from gcbench.reports.pareto import Axes, trade_off
from gcbench.reports.record_table import number_column
from gcbench.reports.run_pair import NotComparable, Run, RunPair
from gcbench.reports.table import missing
from gcbench.reports.trade_off_panel import name_curves, trade_off_panel

MANY = 8
"""More runs than these are counted in the title, not listed."""


class Overlay(NamedTuple):
    """figure: None where fewer than two runs fit. title: what it shows. left_out: a line a run that is not in it."""

    figure: Figure | None
    title: str
    left_out: list[str]


def overlay(runs: Sequence[Run]) -> Overlay:
    """The runs that may be compared with the first one that has a curve, in both of its metrics."""
    having = [(run, axes) for run in runs if run.record.points and (axes := trade_off(run.record))]
    if not having:
        return Overlay(None, "", ["No run has a metric of realism beside one of correspondence at every scale."])
    first, axes = having[0]
    reasons = {run.letter: _unlike(run, first, axes) for run in runs}
    left_out = [f"{run.letter} is not in it: {why}." for run in runs if (why := reasons[run.letter])]
    drawn = [run for run in runs if not reasons[run.letter]]
    protocol = first.record.protocol
    cost, gain = columns = (number_column(axes[0], protocol=protocol), number_column(axes[1], protocol=protocol))
    listed = ", ".join(run.letter for run in drawn) if len(drawn) <= MANY else f"{len(drawn)} runs"
    title = f"{gain.head} against {cost.head} of {listed}"
    if len(drawn) < 2:
        return Overlay(None, title, left_out)
    names = {f"{run.letter} {run.title}": run for run in drawn}
    numbers = []
    for name, run in names.items():
        for point in sorted(run.record.points, key=lambda point: point.guidance or 0):
            if not any(missing(point.scores.get(metric)) for metric in axes):
                numbers += trade_off_numbers(name, point, columns)
    for name, scores in ((CEILING, first.record.ceiling), (FLOOR, first.record.floor)):
        numbers += trade_off_numbers(name, Point(scores=scores), columns)
    with mpl.rc_context(drawing.STYLE):
        figure = drawing.new_figure((8.6, 4.8))
        letters = {name: run.letter for name, run in names.items()}
        name_curves(trade_off_panel(figure.subplots(), numbers, list(names), columns, title, letters))
    return Overlay(figure, title, left_out)


def _unlike(run: Run, first: Run, axes: Axes) -> str:
    """Why a run cannot stand beside the first one; empty where it can."""
    if run is first:
        return ""
    try:
        pair = RunPair(first, run)
        for metric in axes:
            pair.check(metric)
    except NotComparable as reason:
        return str(reason)
    whys = ["; ".join(f"{m}: {why}" for m in axes if (why := missing(p.scores.get(m)))) for p in run.record.points]
    return whys[0] if all(whys) else ""
