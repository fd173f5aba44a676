"""Legends hide nothing that is drawn, and none is cut."""

from itertools import product
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes

from gcbench.reports import drawing
from gcbench.reports.figure6 import Number
from gcbench.reports.table import Column
from gcbench.reports.trade_off_panel import name_curves, trade_off_panel

AXES = Column("fd", "FD", direction="lower", metric="fd"), Column("f1", "F1", direction="higher", metric="f1")


def extent(panel: Axes) -> Any:
    legend, canvas = panel.get_legend(), panel.figure.canvas
    assert legend is not None
    canvas.draw()  # type: ignore[attr-defined]
    return legend.get_window_extent()


def numbers(points: list[tuple[str, float, float]], half: float) -> list[Number]:
    return [
        Number("f1", model, None, "", metric, value, value - half * wide, value + half * wide)
        for model, x, y in points
        for metric, value, wide in (("fd", x, 40.0), ("f1", y, 1.0))
    ]


CORNERS = [(f"corner {i}", x, y) for i, (x, y) in enumerate(product((25.0, 60.0), (0.7, 0.8)))]
RING = [(f"model {i}", x, y) for i, (x, y) in enumerate(product((25.0, 36.0, 48.0, 60.0), (0.7, 0.73, 0.77, 0.8)))]


@pytest.mark.parametrize(("points", "inside"), [(CORNERS[:1], True), (CORNERS, True), (RING, False)])
def test_a_legend_hides_no_point_and_no_bar(points: list[tuple[str, float, float]], inside: bool) -> None:
    drawn, half = numbers(points, 0.02), 0.02
    with mpl.rc_context(drawing.STYLE):
        panel = drawing.new_figure((4.2, 3.6)).subplots()
        name_curves(trade_off_panel(panel, drawn, [model for model, _, _ in points], AXES, "title"))
        box = extent(panel)
    along = np.linspace(-half, half, 101)
    for _, x, y in points:
        bars = np.concatenate([[(x + 40 * d, y) for d in along], [(x, y + d) for d in along]])
        assert not box.count_contains(panel.transData.transform(bars))
    assert (box.x1 <= panel.get_window_extent().x1) == inside
    assert box.x1 <= panel.figure.get_window_extent().x1
    low, high = panel.get_ylim()
    assert low < min(y for _, _, y in points) - half
    assert high > max(y for _, _, y in points) + half
    texts = [text.get_window_extent() for text in panel.texts]
    assert not box.count_overlaps(texts)


@pytest.mark.parametrize("count", [2, 14])
def test_a_legend_below_is_not_wider_than_the_figure(count: int) -> None:
    with mpl.rc_context(drawing.STYLE):
        panel = drawing.new_figure((12.5, 3)).subplots()
        for i in range(count):
            panel.bar(i, 1, label=f"a model with a name, w = {i}")
        drawing.legend_below(panel, count)
        box = extent(panel)
    legend = panel.get_legend()
    assert legend is not None
    assert len(legend.get_texts()) == count
    assert box.x0 >= 0
    assert box.x1 <= panel.figure.get_window_extent().x1
