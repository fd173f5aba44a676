"""How figure 6 looks: one metric against another over guidance, the recall of rare classes, and how rare they are."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter

from gcbench.core.run_spec import guidance_text
from gcbench.reports import drawing
from gcbench.reports.figure6 import CEILING, FLOOR, RARE, Figure, Number

MARKERS = "osD^vP*"
WIDE = 8.0
"""The ratio of the largest to the smallest distance from which the axis is logarithmic."""


def draw(figure: Figure, folder: Path, name: str) -> None:
    """Write `name`.png and `name`.svg."""
    with mpl.rc_context(drawing.STYLE):
        paper = drawing.new_figure((11, 8.2))
        panels = paper.subplot_mosaic([["trade-off", "shares"], ["recall", "recall"]], width_ratios=(1.7, 1))
        lacking = ", ".join(line.partition(":")[0] for line in figure.left_out)
        more = f"\nnot drawn: {lacking}" if lacking else ""
        drawing.set_title(paper, figure.protocol, after=f"; thin lines are 95 % intervals{more}")
        _shares(figure.panel("shares"), panels["shares"])
        _recall(figure, panels["recall"])
        _trade_off(figure, panels["trade-off"])
        drawing.save(paper, folder, name)


def _colour(figure: Figure, model: str) -> str:
    return drawing.COLOURS[figure.models.index(model) % len(drawing.COLOURS)]


def _trade_off(figure: Figure, panel: Axes) -> None:
    cost, gain = (column.metric for column in figure.axes)
    labels, bars = [], []
    for place, model in enumerate(figure.models):
        xs, ys = (figure.panel("trade-off", model, metric) for metric in (cost, gain))
        colour, scales = _colour(figure, model), [guidance_text(x.guidance) for x in xs]
        label = drawing.shown(model) if len(xs) < 2 else f"{drawing.shown(model)}, w = {scales[0]} to {scales[-1]}"
        if xs:
            places, marker = ([x.cell for x in xs], [y.cell for y in ys]), f"{MARKERS[place % len(MARKERS)]}-"
            bars += drawing.error_points(panel, *places, marker, ms=5, lw=1.1, color=colour, label=label)
        if scales and scales[-1]:  # one end of each curve is named
            labels.append((f"w = {scales[-1]}", (xs[-1].value, ys[-1].value), colour))
    real = {(one.model, one.metric): one for one in figure.panel("trade-off") if one.model in (CEILING, FLOOR)}
    x, y = real.get((CEILING, cost)), real.get((CEILING, gain))
    if x and y:
        drawing.error_points(panel, [x.cell], [y.cell], "*", ms=11, color=drawing.INK, label="ceiling: real")
    if floor := real.get((FLOOR, gain)):
        panel.axhline(floor.value, color=drawing.INK, lw=0.9, ls="--", label="floor: permuted captions", zorder=0)
    values = [one.value for one in figure.panel("trade-off", metric=cost)]
    if min(values) > 0 and max(values) > WIDE * min(values):
        panel.set_xscale("log")
        panel.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        panel.xaxis.set_minor_formatter(FuncFormatter(lambda v, _: f"{v:g}" if f"{v:e}"[0] in "25" else ""))
        panel.tick_params(axis="x", which="both", labelsize=9)
    panel.set_xlabel(drawing.shown(figure.axes[0].heading))
    panel.set_ylabel(drawing.shown(figure.axes[1].heading))
    panel.set_title(drawing.shown(f"{figure.axes[0].head} against {figure.axes[1].head}, over guidance"))
    handles, names = panel.get_legend_handles_labels()
    order = sorted(range(len(names)), key=lambda i: names[i].startswith((CEILING, FLOOR)))  # models first
    panel.legend([handles[i] for i in order], [names[i] for i in order])
    drawing.label_points(panel, labels, bars, [])


def _recall(figure: Figure, panel: Axes) -> None:
    numbers = figure.panel("recall")
    shares = {one.class_: one.value for one in figure.panel("shares")}
    classes = sorted({one.class_ for one in numbers}, key=lambda name: -shares[name])
    models = [model for model in figure.models if figure.panel("recall", model)]
    width = 0.8 / max(len(models), 1)
    for place, model in enumerate(models):
        bars = figure.panel("recall", model)
        guidance = guidance_text(bars[0].guidance)
        at = [classes.index(one.class_) + (place - (len(models) - 1) / 2) * width for one in bars]
        style: Any = {
            "label": drawing.shown(model) + (guidance and f", w = {guidance}"),
            "color": _colour(figure, model),
        }
        if any(one.low is not None for one in bars):
            style["yerr"] = drawing.errors([one.cell for one in bars])
            style["error_kw"] = {"elinewidth": 0.7, "capsize": 1.5, "ecolor": drawing.INK}
        panel.bar(at, [one.value for one in bars], width * 0.92, **style)
    for model, style in ((CEILING, "-"), (FLOOR, (0, (3, 2)))):
        if marks := figure.panel("recall", model):
            middle = np.array([classes.index(one.class_) for one in marks])
            values = [one.value for one in marks]
            panel.hlines(values, middle - 0.44, middle + 0.44, color=drawing.INK, lw=1, ls=style, label=model)
    panel.set_xticks(range(len(classes)), map(drawing.shown, classes))
    panel.tick_params(axis="x", length=0)
    panel.set_xlim(-0.6, max(len(classes), 1) - 0.4)
    panel.set_ylim(0, 1.03 * figure.recall.scale)
    panel.set_ylabel("recall of the class where it is named")
    panel.set_title(drawing.shown(f"rare classes, each model at the guidance of its best {figure.recall.head}"))
    if numbers:
        panel.legend(loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=len(models) + 2)


def _shares(numbers: Sequence[Number], panel: Axes) -> None:
    """The most frequent class on top; classes that no training layout shows have no bar."""
    listed = list(reversed(numbers))
    colours = [drawing.RED if one.value < RARE else drawing.GREY for one in listed]
    panel.barh(range(len(listed)), [100 * one.value for one in listed], color=colours, height=0.72)
    panel.set_yticks(range(len(listed)), [drawing.shown(one.class_) for one in listed], fontsize=8)
    panel.tick_params(axis="y", length=0)
    panel.margins(y=0.01)
    panel.set_xscale("log")
    panel.set_xlim(left=50 * min((one.value for one in listed if one.value), default=RARE))  # half the rarest's
    panel.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.axvline(100 * RARE, color=drawing.INK, lw=0.8, ls=":")
    panel.set_xlabel("share of the area of the training layouts (%)")
    panel.set_title(f"classes; red: rare, below {100 * RARE:g} %")
