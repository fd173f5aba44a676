"""The curve of a sweep: one metric against another with error bars, and what is bounded by 0 and 1 against guidance."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes as Panel
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from gcbench.core.record import Point, Record
from gcbench.core.run_spec import guidance_text
from gcbench.reports import drawing
from gcbench.reports.pareto import Axes, trade_off
from gcbench.reports.record_table import number_column, number_columns
from gcbench.reports.table import Cell, Column, Row


def draw(record: Record, folder: Path, axes: Axes | None = None) -> None:
    """Write `curve.png` and `curve.svg`; the left panel only where every point has both metrics of the trade-off."""
    names = trade_off(record, axes)
    bounded = _bounded(record)
    points = sorted(record.points, key=lambda point: point.guidance or 0)
    size, columns = ((10, 4.2), 2) if names and bounded else ((5.2, 4.2), 1)
    with mpl.rc_context(drawing.STYLE):
        figure = drawing.new_figure(size)
        panels = figure.subplots(1, columns, squeeze=False)
        drawing.set_title(figure, record.protocol, f"{record.model.name} on ")
        if bounded or not names:
            _against_guidance(panels[0][-1], points, bounded)
        if names:
            _trade_off(panels[0][0], record, points, *(number_column(name, protocol=record.protocol) for name in names))
        drawing.save(figure, folder, "curve")


def panels(record: Record, axes: Axes | None = None) -> list[tuple[str, Figure]]:
    """Each panel as a figure of its own with a title, for a page that is read on narrow screens too."""
    names, bounded = trade_off(record, axes), _bounded(record)
    points = sorted(record.points, key=lambda point: point.guidance or 0)
    drawn = []
    with mpl.rc_context(drawing.STYLE):
        if names:
            figure = drawing.new_figure((5.2, 4.2))
            columns = [number_column(name, protocol=record.protocol) for name in names]
            _trade_off(figure.subplots(), record, points, *columns)
            drawn.append((f"{columns[1].head} against {columns[0].head} over guidance", figure))
        if bounded:
            figure = drawing.new_figure((5.2, 4.2))
            _against_guidance(figure.subplots(), points, bounded)
            drawn.append((f"{', '.join(column.head for column in bounded)} against guidance", figure))
    return drawn


def _bounded(record: Record) -> list[Column]:
    """The headline columns of metrics whose value lies in [0, 1]: those that have its scale."""
    columns = number_columns([point.scores for point in record.points], record.protocol)
    scales = {column.metric: column.scale for column in columns if not column.part and column.range == (0.0, 1.0)}
    return [column for column in columns if scales.get(column.metric) == column.scale]


def _cells(points: Sequence[Point], column: Column) -> list[Cell]:
    return [column.cell(Row("", scores=point.scores)) for point in points]


def _trade_off(panel: Panel, record: Record, points: Sequence[Point], x: Column, y: Column) -> None:
    xs, ys = _cells(points, x), _cells(points, y)
    places = [(a.at, b.at) for a, b in zip(xs, ys, strict=True)]
    panel.plot(*zip(*places, strict=True), color=drawing.GREY, lw=1, zorder=1)
    colours = [drawing.RED if point.pareto else drawing.INK for point in points]
    bars = []
    for x_cell, y_cell, colour in zip(xs, ys, colours, strict=True):
        bars += drawing.error_points(panel, [x_cell], [y_cell], "o", ms=5, color=colour, zorder=2)
    for label, scores in (("ceiling: real images", record.ceiling), ("floor: permuted captions", record.floor)):
        real = y.cell(Row("", scores=scores))
        if real.value is not None:
            at = panel.get_yaxis_transform()
            panel.axhline(real.at, color=drawing.GREEN, lw=0.8, ls="--")
            panel.text(1, real.at, label, ha="right", va="bottom", color=drawing.GREEN, fontsize=8, transform=at)
    panel.set_xlabel(drawing.shown(x.heading))
    panel.set_ylabel(drawing.shown(y.heading))
    front = " (red: Pareto front)" if any(point.pareto for point in points) else ""
    panel.set_title(f"trade-off over guidance{front}")
    texts = [(guidance_text(point.guidance), at, c) for point, at, c in zip(points, places, colours, strict=True)]
    drawing.label_points(panel, [label for label in texts if label[0]], bars, places)


def _against_guidance(panel: Panel, points: Sequence[Point], columns: Sequence[Column]) -> None:
    """Shares, with intervals; those that are shown in per cent have their scale on the right."""
    for place, column in enumerate(columns):
        cells = [(at, cell) for at, cell in enumerate(_cells(points, column)) if cell.value is not None]
        shares = [cell.at / column.scale for _, cell in cells]
        lengths = [[length / column.scale for length in side] for side in drawing.errors([cell for _, cell in cells])]
        style: Any = {"fmt": "o--" if column.part else "o-", "ms": 4, "lw": 1.2, "elinewidth": 0.8}
        style |= {"color": drawing.COLOURS[place % len(drawing.COLOURS)], "label": drawing.shown(column.heading)}
        panel.errorbar([at for at, _ in cells], shares, lengths, **style)
    panel.set_xticks(range(len(points)), [guidance_text(point.guidance) or "–" for point in points])
    panel.set_xlabel("guidance scale")
    panel.set_ylim(0, 1.02)
    per_cent = next((column for column in columns if column.scale != 1), None)
    if per_cent is not None:
        right = panel.secondary_yaxis("right")
        right.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value * per_cent.scale:g}"))
        right.set_ylabel(drawing.shown(per_cent.unit))
    if columns:
        panel.legend()
    panel.set_title("with 95 % intervals")
