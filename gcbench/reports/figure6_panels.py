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
from gcbench.reports.figure6 import CEILING, F1, FLOOR, RARE, Figure, Number
from gcbench.reports.table import Column
from gcbench.reports.trade_off_panel import Curves, model_colour, model_hatch, name_curves, trade_off_panel


def draw(figure: Figure, folder: Path, name: str) -> None:
    """Write `name`.png and `name`.svg."""
    with mpl.rc_context(drawing.STYLE):
        paper = drawing.new_figure((12.5, 8.2))
        rows: Any = [["trade-off", "f1", "shares"], ["recall"] * 3]
        panels = paper.subplot_mosaic(rows, width_ratios=(1.6, 1.2, 1))
        omitted = ", ".join(line.partition(":")[0] for line in figure.left_out)
        more = f"\nnot drawn: {omitted}" if omitted else ""
        drawing.set_title(paper, figure.protocol, after=f"; thin lines are 95 % intervals{more}")
        _shares(figure.panel("shares"), panels["shares"])
        _recall(figure, panels["recall"])
        cost, gain = figure.axes
        title = f"{cost.head} against {gain.head}, over guidance"
        curves = [trade_off_panel(panels["trade-off"], figure.panel("trade-off"), figure.models, (cost, gain), title)]
        name_curves(*curves, *_f1(figure, panels["f1"]))
        drawing.save(paper, folder, name)


def _f1(figure: Figure, panel: Axes) -> list[Curves]:
    numbers = figure.panel("f1")
    if not numbers:
        panel.set_axis_off()
        return []
    gain = Column(F1, "F1 of named classes", direction="higher", metric=F1)
    axes = figure.axes[0], gain
    return [trade_off_panel(panel, numbers, figure.models, axes, "the same with F1 of precision and recall")]


def _recall(figure: Figure, panel: Axes) -> None:
    numbers = figure.panel("recall")
    shares = {number.class_: number.value for number in figure.panel("shares")}
    classes = sorted({number.class_ for number in numbers}, key=lambda name: -shares[name])
    models = [model for model in figure.models if figure.panel("recall", model)]
    width = 0.8 / max(len(models), 1)
    for place, model in enumerate(models):
        bars = figure.panel("recall", model)
        guidance = guidance_text(bars[0].guidance)
        at = [classes.index(bar.class_) + (place - (len(models) - 1) / 2) * width for bar in bars]
        style: Any = {
            "label": drawing.shown(model) + (guidance and f", w = {guidance}"),
            "color": model_colour(figure.models, model),
            "hatch": model_hatch(figure.models.index(model)),
            "edgecolor": "white",
            "lw": 0,
        }
        if any(bar.low is not None for bar in bars):
            style["yerr"] = drawing.errors([bar.cell for bar in bars])
            style["error_kw"] = {"elinewidth": 0.7, "capsize": 1.5, "ecolor": drawing.INK}
        panel.bar(at, [bar.value for bar in bars], width * 0.92, **style)
    for model, style in ((CEILING, "-"), (FLOOR, (0, (3, 2)))):
        if marks := figure.panel("recall", model):
            middle = np.array([classes.index(mark.class_) for mark in marks])
            values = [mark.value for mark in marks]
            panel.hlines(values, middle - 0.44, middle + 0.44, color=drawing.INK, lw=1, ls=style, label=model)
    panel.set_xticks(range(len(classes)), map(drawing.shown, classes))
    panel.tick_params(axis="x", length=0)
    panel.set_xlim(-0.6, max(len(classes), 1) - 0.4)
    panel.set_ylim(0, 1.03 * figure.recall.scale)
    panel.set_ylabel("recall of the class where it is named")
    panel.set_title(drawing.shown(f"rare classes, each model at the guidance of its best {figure.recall.head}"))
    if numbers:
        drawing.legend_below(panel, len(models) + 2)


def _shares(numbers: Sequence[Number], panel: Axes) -> None:
    """The most frequent class on top; classes that no training layout shows have no bar."""
    listed = list(reversed(numbers))
    colours = [drawing.RED if number.value < RARE else drawing.GREY for number in listed]
    panel.barh(range(len(listed)), [100 * number.value for number in listed], color=colours, height=0.72)
    panel.set_yticks(range(len(listed)), [drawing.shown(number.class_) for number in listed], fontsize=8)
    panel.tick_params(axis="y", length=0)
    panel.margins(y=0.01)
    panel.set_xscale("log")
    panel.set_xlim(left=50 * min((number.value for number in listed if number.value), default=RARE))  # half the rarest
    panel.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.axvline(100 * RARE, color=drawing.INK, lw=0.8, ls=":")
    panel.set_xlabel("share of the area\nof the training layouts (%)")
    panel.set_title(f"classes; red: rare, below {100 * RARE:g} %")
