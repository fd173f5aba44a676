"""What the figures share: colours, error bars, texts that are never cut or hidden, the two files of a figure."""

import textwrap
from collections.abc import Sequence
from functools import partial
from io import BytesIO
from itertools import pairwise
from math import cos, pi, sin
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.path import Path as Line
from matplotlib.transforms import Bbox

from gcbench.core.files import write_atomic
from gcbench.core.names import plain
from gcbench.core.protocol import Protocol
from gcbench.reports.table import Cell

INK, GREY = "#1b2a41", "#8d99ae"
COLOURS = RED, BLUE, GREEN, *_ = ("#c1121f", "#2a6f97", "#588157", "#e09f3e", "#7b2d8b", "#00a896", "#9c6644")
# What a matplotlibrc may say of the machine, not of how a figure looks; all else is ours.
PERSONAL = ("backend", "interactive", "toolbar", "webagg", "tk.", "macosx", "date.epoch", "timezone")
STYLE: Any = {
    **{
        key: value for key, value in mpl.rcParamsDefault.items() if not key.startswith(PERSONAL)
    },  # nobody's matplotlibrc
    **{"font.size": 9, "axes.titlesize": 9, "axes.titlecolor": INK, "figure.titlesize": 9},
    **{"legend.fontsize": 8, "legend.frameon": False, "errorbar.capsize": 2},
    **{"axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "gcbench"},
}


def new_figure(figsize: tuple[float, float]) -> Figure:
    """An empty figure that no window shows and no notebook prints."""
    figure = Figure(figsize=figsize, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def shown(text: object) -> str:
    """A text of the user's: without control characters, no formula, and a label that no legend leaves out."""
    seen = plain(text).replace("$", r"\$")
    return f" {seen}" if seen.startswith("_") else seen


def set_title(figure: Figure, protocol: Protocol, before: str = "", after: str = "") -> None:
    """What was measured, in lines that fit the width of the figure."""
    text = (
        f"{before}{protocol.dataset}/{protocol.split}, n = {protocol.n}, {protocol.size[0]}×{protocol.size[1]},"
        f" evaluator {', '.join(protocol.evaluators.values()) or 'none'}{after}"
    )
    width = int(figure.get_figwidth() * 12)
    figure.suptitle("\n".join(textwrap.fill(shown(line), width) for line in text.split("\n")), color=INK)


def errors(cells: Sequence[Cell]) -> list[list[float]]:
    """Distances from the values to their intervals' ends, for errorbar; 0 where there is none."""
    return [[max(0.0, cell.at - cell.ends[0]) for cell in cells], [max(0.0, cell.ends[1] - cell.at) for cell in cells]]


def save(figure: Figure, folder: Path, name: str) -> None:
    """Write `name`.png and `name`.svg."""
    formats: dict[str, dict[str, Any]] = {"png": {"dpi": 150}, "svg": {"metadata": {"Date": None}}}
    for ending, extra in formats.items():
        write_atomic(folder / f"{name}.{ending}", partial(figure.savefig, format=ending, **extra))


def svg(figure: Figure) -> bytes:
    """The figure as SVG whose texts are texts, for a page that shows it."""
    out = BytesIO()
    with mpl.rc_context({"svg.fonttype": "none"}):
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    return out.getvalue()


Place = tuple[float, float]


def error_points(
    panel: Axes, xs: Sequence[Cell], ys: Sequence[Cell], fmt: str, **style: Any
) -> list[tuple[Place, Place]]:
    """Points with error bars both ways; both ends of every bar."""
    places = [x.at for x in xs], [y.at for y in ys]
    panel.errorbar(*places, xerr=errors(xs), yerr=errors(ys), fmt=fmt, elinewidth=0.8, **style)
    level = [((x.ends[0], y.at), (x.ends[1], y.at)) for x, y in zip(xs, ys, strict=True)]
    return level + [((x.at, y.ends[0]), (x.at, y.ends[1])) for x, y in zip(xs, ys, strict=True)]


INSIDE: Any = (
    *("upper right", "upper left", "lower right", "lower left"),
    *("center right", "center left", "upper center", "lower center"),
)
BESIDE: Any = {"loc": "upper left", "bbox_to_anchor": (1, 1)}
ROOM = (0, 0.15, 0.3)
"""What is added below a panel to make a place for its legend, as a share of its height."""


def place_legend(panel: Axes, entries: tuple[list[Any], list[str]], bars: Sequence[tuple[Place, Place]]) -> None:
    """The legend of handles and names where it hides no bar, line or marker, with more room below if need be; beside
    the panel if there is no such place.

    It draws the figure to measure it, so call it when all else is drawn.
    """
    canvas: Any = panel.figure.canvas
    canvas.draw()
    low, high = panel.get_ylim()
    for room in ROOM:
        panel.set_ylim(low - room * (high - low), high)
        inside, lines, marks = panel.get_window_extent(), *_drawn(panel, bars)
        for place in INSIDE:
            box = panel.legend(*entries, loc=place).get_window_extent(canvas.get_renderer())
            hidden = box.count_contains(marks) or any(line.intersects_bbox(box, filled=False) for line in lines)
            if not hidden and inside.contains(*box.min) and inside.contains(*box.max):
                return
    panel.set_ylim(low, high)
    panel.legend(*entries, **BESIDE)


def _drawn(panel: Axes, bars: Sequence[tuple[Place, Place]]) -> tuple[list[Line], np.ndarray]:
    """All lines of the panel and all its points [n,2], in pixels. The caps of error bars are joined by no line."""
    paths = [line.get_transform().transform_path(line.get_path()) for line in panel.lines]
    joined = [path for path, line in zip(paths, panel.lines, strict=True) if line.get_linestyle() != "None"]
    lines = joined + [Line(panel.transData.transform(bar)) for bar in bars]
    return lines, np.concatenate([np.empty((0, 2)), *(path.vertices for path in paths)])


def legend_below(panel: Axes, columns: int) -> None:
    """The legend below the panel, in so many columns, or in as many as the figure is wide."""
    canvas: Any = panel.figure.canvas
    for count in range(columns, 0, -1):
        legend = panel.legend(loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=count)
        if legend.get_window_extent(canvas.get_renderer()).width <= canvas.figure.bbox.width:
            return


FAR = 12
"""Points (1/72 inch) from which a label needs a line to what it names."""


def label_points(
    panel: Axes, labels: Sequence[tuple[str, Place, str]], bars: Sequence[tuple[Place, Place]], path: Sequence[Place]
) -> None:
    """Write each (text, place, colour) beside its place, where it lies on no bar, place, line of `path` or other label.

    bars: both ends of every error bar; all in the panel's data. It draws the figure to measure it, so call it last.
    """
    canvas: Any = panel.figure.canvas
    canvas.draw()
    pixel = canvas.figure.dpi / 72
    lines = [Line(panel.transData.transform(line)) for line in (*bars, *pairwise(path))]
    spots = [panel.transData.transform(place) for _, place, _ in labels]
    taken = [Bbox.from_extents(*(spot - 4 * pixel), *(spot + 4 * pixel)) for spot in spots]
    taken += [text.get_window_extent() for text in (*panel.texts, *filter(None, [panel.get_legend()]))]
    inside = panel.get_window_extent()
    tries = [(radius, turn * pi / 8) for radius in (5, 8, FAR, 17, 23, 30, 38) for turn in (2, 6, 14, 10, *range(16))]
    for (text, place, colour), spot in zip(labels, spots, strict=True):
        measured = panel.text(0, 0, text)
        half = np.array(measured.get_window_extent().size) / 2
        measured.remove()
        candidates: list[tuple[int, int, Any, Bbox]] = []  # how much is hidden, how far, where, the box
        for radius, angle in tries:
            middle = np.array([cos(angle), sin(angle)]) * (radius * pixel + half)
            box = Bbox([spot + middle - half - 1, spot + middle + half + 1])
            hidden = box.count_overlaps(taken) + sum(line.intersects_bbox(box, filled=False) for line in lines)
            hidden += not (inside.contains(*box.min) and inside.contains(*box.max))
            candidates.append((hidden, radius, middle / pixel, box))
            if not hidden:
                break
        _, radius, offset, box = min(candidates, key=lambda candidate: candidate[0])
        arrow = {"arrowstyle": "-", "color": colour, "lw": 0.5, "shrinkA": 0, "shrinkB": 3} if radius > FAR else None
        panel.annotate(
            text, place, offset, textcoords="offset points", ha="center", va="center", color=colour, arrowprops=arrow
        ).set_in_layout(False)
        taken.append(box)
