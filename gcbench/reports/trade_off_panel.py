"""One panel: a metric of realism against one of correspondence, a line a model over guidance."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from gcbench.core.run_spec import guidance_text
from gcbench.reports import drawing
from gcbench.reports.figure6 import CEILING, FLOOR, Number
from gcbench.reports.table import Column

MARKERS = "osD^vP*"
HATCHES = ("", "////", "....", "xxxx", "----", "oooo", "||||")
WIDE = 8.0
"""The ratio of the largest to the smallest distance from which the axis is logarithmic."""


class Curves(NamedTuple):
    """What is drawn and not yet named. labels: text, place and colour. bars: both ends of every error bar. beside: the
    legend is beside the panel in any case."""

    panel: Axes
    labels: list[tuple[str, drawing.Place, str]]
    bars: list[tuple[drawing.Place, drawing.Place]]
    beside: bool


def model_colour(models: Sequence[str], model: str) -> str:
    return drawing.COLOURS[models.index(model) % len(drawing.COLOURS)]


def model_marker(place: int) -> str:
    """Where the colours come round again, the marker is another: 49 models are told apart."""
    return MARKERS[(place + place // len(drawing.COLOURS)) % len(MARKERS)]


def model_hatch(place: int) -> str:
    """As `model_marker`, of a bar."""
    return HATCHES[place // len(drawing.COLOURS) % len(HATCHES)]


def trade_off_panel(
    panel: Axes,
    numbers: Sequence[Number],
    models: Sequence[str],
    axes: tuple[Column, Column],
    title: str,
    ends: Mapping[str, str] | None = None,
) -> Curves:
    """Draw `numbers` of two metrics, axes (cost, gain): a line a model over guidance, the ceiling and the floor.

    Of several runs of a model the last is the mean; the others are pale. ends: model -> what is written at the end of
    its curve; None for the guidance there. What it returns wants `name_curves`.
    """
    cost, gain = (column.metric for column in axes)

    def of(model: str, metric: str, run: str) -> list[Number]:
        return [number for number in numbers if (number.model, number.metric, number.run) == (model, metric, run)]

    labels, bars = [], []
    for place, model in enumerate(models):
        colour = model_colour(models, model)
        *each, mean = list(dict.fromkeys(number.run for number in numbers if number.model == model)) or [""]
        for run in each:
            lines = ([number.value for number in of(model, metric, run)] for metric in (cost, gain))
            panel.plot(*lines, "-", lw=0.9, color=colour, alpha=0.3, zorder=1)
        xs, ys = (of(model, metric, mean) for metric in (cost, gain))
        scales = [guidance_text(x.guidance) for x in xs]
        label = drawing.shown(model) if len(xs) < 2 else f"{drawing.shown(model)}, w = {scales[0]} to {scales[-1]}"
        if xs:
            places, marker = ([x.cell for x in xs], [y.cell for y in ys]), f"{model_marker(place)}-"
            bars += drawing.error_points(panel, *places, marker, ms=5, lw=1.1, color=colour, label=label)
        end = ends[model] if ends else f"w = {scales[-1]}" if scales and scales[-1] else ""
        if xs and end:  # one end of each curve is named
            labels.append((drawing.shown(end), (xs[-1].value, ys[-1].value), colour))
    real = {(number.model, number.metric): number for number in numbers if number.model in (CEILING, FLOOR)}
    x, y = real.get((CEILING, cost)), real.get((CEILING, gain))
    if x and y:
        bars += drawing.error_points(panel, [x.cell], [y.cell], "*", ms=11, color=drawing.INK, label="ceiling: real")
    if floor := real.get((FLOOR, gain)):
        panel.axhline(floor.value, color=drawing.INK, lw=0.9, ls="--", label="floor: permuted captions", zorder=0)
    values = [number.value for number in numbers if number.metric == cost]
    if min(values) > 0 and max(values) > WIDE * min(values):
        panel.set_xscale("log")
        panel.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        panel.xaxis.set_minor_formatter(FuncFormatter(lambda v, _: f"{v:g}" if f"{v:e}"[0] in "25" else ""))
        panel.tick_params(axis="x", which="both", labelsize=9)
        panel.tick_params(axis="x", which="minor", pad=5)  # level with those of the longer ticks
    panel.set_xlabel(drawing.shown(axes[0].heading))
    panel.set_ylabel(drawing.shown(axes[1].heading))
    panel.set_title(drawing.shown(title))
    return Curves(panel, labels, bars, beside=ends is not None)


def name_curves(*drawn: Curves) -> None:
    """The legends, then the ends of the curves. It measures the figure, so call it when all of its panels are drawn."""
    for panel, _, bars, beside in drawn:
        handles, names = panel.get_legend_handles_labels()
        order = sorted(range(len(names)), key=lambda i: names[i].startswith((CEILING, FLOOR)))  # models first
        entries = [handles[i] for i in order], [names[i] for i in order]
        if beside:
            panel.legend(*entries, **drawing.BESIDE)
        else:
            drawing.place_legend(panel, entries, bars)
    for panel, labels, bars, _ in drawn:
        drawing.label_points(panel, labels, bars, [])
