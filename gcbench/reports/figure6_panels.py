"""How figure 6 looks: realism against obedience, the recall of rare classes, and how rare they are."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter

from gcbench.core.files import write_atomic
from gcbench.reports.curve import ACCENT, GREY, INK, SECOND, THIRD
from gcbench.reports.figure6 import CEILING, COST, FLOOR, GAIN, RARE, Figure, Number
from gcbench.reports.record_table import titles

COLOURS = (ACCENT, SECOND, "#e09f3e", "#7b2d8b", THIRD, "#3d5a80", "#9c6644")
MARKERS = "osD^vP*"
WIDE = 8.0
"""The ratio of the largest to the smallest distance from which the axis is logarithmic."""


def draw(figure: Figure, folder: Path, name: str) -> None:
    """Write `name`.png and `name`.svg."""
    matplotlib.rcParams["svg.hashsalt"] = "gcbench"
    with plt.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        paper = plt.figure(figsize=(11, 8.2), layout="constrained")
        panels = paper.subplot_mosaic([["trade-off", "shares"], ["recall", "recall"]], width_ratios=(1.7, 1))
        _trade_off(figure, panels["trade-off"])
        _shares(figure.panel("shares"), panels["shares"])
        _recall(figure, panels["recall"])
        protocol = figure.protocol
        lacking = ", ".join(line.partition(":")[0] for line in figure.left_out)
        paper.suptitle(
            f"{protocol.dataset}/{protocol.split}, n = {protocol.n}, {protocol.size[0]}×{protocol.size[1]},"
            f" evaluator {', '.join(protocol.evaluators.values()) or 'none'}; thin lines are 95 % intervals"
            + (f"\nnot drawn: {lacking}" if lacking else ""),
            fontsize=9,
            color=INK,
        )
        formats: dict[str, dict[str, Any]] = {"png": {"dpi": 150}, "svg": {"metadata": {"Date": None}}}
        for ending, extra in formats.items():
            write_atomic(folder / f"{name}.{ending}", partial(paper.savefig, format=ending, **extra))
        plt.close(paper)


def _colour(figure: Figure, model: str) -> str:
    return COLOURS[figure.models.index(model) % len(COLOURS)]


def _errors(numbers: Sequence[Number]) -> list[list[float]]:
    """Distances from the values to their intervals' ends, for errorbar; 0 where there is none."""
    return [
        [0.0 if one.low is None else max(0.0, one.value - one.low) for one in numbers],
        [0.0 if one.high is None else max(0.0, one.high - one.value) for one in numbers],
    ]


def _trade_off(figure: Figure, panel: Axes) -> None:
    heads = titles([COST, GAIN], figure.protocol.n)
    for place, model in enumerate(figure.models):
        xs, ys = (figure.panel("trade-off", model, metric) for metric in (COST, GAIN))
        colour = _colour(figure, model)
        panel.errorbar(
            [x.value for x in xs],
            [y.value for y in ys],
            xerr=_errors(xs),
            yerr=_errors(ys),
            fmt=f"{MARKERS[place % len(MARKERS)]}-",
            ms=5,
            lw=1.1,
            elinewidth=0.7,
            capsize=1.5,
            color=colour,
            label=model if len(xs) < 2 else f"{model}, w = {xs[0].guidance:g} to {xs[-1].guidance:g}",
        )
        if xs and xs[-1].guidance is not None:  # the end of the curve that is away from its beginning
            right = xs[-1].value >= xs[0].value
            panel.annotate(
                f"w = {xs[-1].guidance:g}",
                (xs[-1].value, ys[-1].value),
                xytext=(6 if right else -6, 5),
                textcoords="offset points",
                ha="left" if right else "right",
                color=colour,
                fontsize=8,
            )
    real = {(one.model, one.metric): one for one in figure.panel("trade-off") if one.model in (CEILING, FLOOR)}
    x, y = real.get((CEILING, COST)), real.get((CEILING, GAIN))
    if x and y:
        panel.errorbar(
            [x.value],
            [y.value],
            xerr=_errors([x]),
            yerr=_errors([y]),
            fmt="*",
            ms=11,
            elinewidth=0.7,
            capsize=1.5,
            color=INK,
            label="ceiling: real",
        )
    if floor := real.get((FLOOR, GAIN)):
        panel.axhline(floor.value, color=INK, lw=0.9, ls="--", label="floor: permuted captions", zorder=0)
    values = [one.value for one in figure.panel("trade-off", metric=COST)]
    if min(values) > 0 and max(values) > WIDE * min(values):
        panel.set_xscale("log")
        panel.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        panel.xaxis.set_minor_formatter(FuncFormatter(lambda v, _: f"{v:g}" if f"{v:e}"[0] in "25" else ""))
        panel.tick_params(axis="x", which="both", labelsize=9)
    panel.set_xlabel(heads[COST])
    panel.set_ylabel(heads[GAIN])
    panel.set_title("realism against obedience, over guidance", fontsize=9, color=INK)
    handles, labels = panel.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda i: labels[i].startswith((CEILING, FLOOR)))  # models first
    panel.legend([handles[i] for i in order], [labels[i] for i in order], frameon=False, fontsize=8)


def _recall(figure: Figure, panel: Axes) -> None:
    numbers = figure.panel("recall")
    shares = {one.class_: one.value for one in figure.panel("shares")}
    classes = sorted({one.class_ for one in numbers}, key=lambda name: -shares[name])
    models = [model for model in figure.models if figure.panel("recall", model)]
    width = 0.8 / max(len(models), 1)
    for place, model in enumerate(models):
        bars = figure.panel("recall", model)
        scale = bars[0].guidance
        panel.bar(
            [classes.index(one.class_) + (place - (len(models) - 1) / 2) * width for one in bars],
            [one.value for one in bars],
            width * 0.92,
            yerr=_errors(bars) if any(one.low is not None for one in bars) else None,
            error_kw={"elinewidth": 0.7, "capsize": 1.5, "ecolor": INK},
            color=_colour(figure, model),
            label=model if scale is None else f"{model}, w = {scale:g}",
        )
    for model, style, label in ((CEILING, "-", "ceiling"), (FLOOR, (0, (3, 2)), "floor")):
        marks = figure.panel("recall", model)
        places = [classes.index(one.class_) for one in marks]
        panel.hlines(
            [one.value for one in marks],
            [place - 0.44 for place in places],
            [place + 0.44 for place in places],
            color=INK,
            lw=1,
            ls=style,
            label=label if marks else "",
        )
    panel.set_xticks(range(len(classes)), classes)
    panel.tick_params(axis="x", length=0)
    panel.set_xlim(-0.6, max(len(classes), 1) - 0.4)
    panel.set_ylim(0, 1.03)
    panel.set_ylabel("recall of the class where it is named")
    panel.set_title("rare classes, each model at the guidance of its best Semantic Recall", fontsize=9, color=INK)
    if numbers:
        panel.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=len(models) + 2)


def _shares(numbers: Sequence[Number], panel: Axes) -> None:
    """The most frequent class on top; classes that no training layout shows have no bar."""
    shown = [one for one in reversed(numbers)]
    panel.barh(
        range(len(shown)),
        [100 * one.value for one in shown],
        color=[ACCENT if one.value < RARE else GREY for one in shown],
        height=0.72,
    )
    panel.set_yticks(range(len(shown)), [one.class_ for one in shown], fontsize=8)
    panel.tick_params(axis="y", length=0)
    panel.margins(y=0.01)
    panel.set_xscale("log")
    panel.set_xlim(left=50 * min((one.value for one in shown if one.value), default=RARE))  # half the rarest's
    panel.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.axvline(100 * RARE, color=INK, lw=0.8, ls=":")
    panel.set_xlabel("share of the area of the training layouts (%)")
    panel.set_title(f"classes; red: rare, below {100 * RARE:g} %", fontsize=9, color=INK)
