"""The image of a sweep: realism against correspondence with error bars, and every metric against guidance."""

from functools import partial
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from gcbench.core.files import write_atomic
from gcbench.core.record import Record
from gcbench.core.score import Score
from gcbench.reports.pareto import axes as trade_off
from gcbench.reports.record_table import titles

INK, ACCENT, SECOND, THIRD, GREY = "#1b2a41", "#c1121f", "#2a6f97", "#588157", "#8d99ae"


def value(score: Score) -> float:
    assert score.value is not None
    return score.value


def _bar(score: Score) -> list[list[float]] | None:
    """Distances from the value to its interval's ends, for errorbar."""
    if score.value is None or score.interval is None:
        return None
    return [[max(0.0, score.value - score.interval[0])], [max(0.0, score.interval[1] - score.value)]]


def draw(record: Record, folder: Path, axes: Any = None) -> None:
    """Write `curve.png` and `curve.svg`; a record without the two axes of the trade-off gets the right panel only."""
    found = trade_off(record)
    matplotlib.rcParams["svg.hashsalt"] = "gcbench"
    with plt.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure, panels = plt.subplots(1, 2 if found else 1, figsize=(10 if found else 5.2, 4), squeeze=False)
        if found:
            _trade_off(record, panels[0][0], *found)
        _against_guidance(record, panels[0][-1])
        protocol = record.protocol
        figure.suptitle(
            f"{record.model.name} on {protocol.dataset}/{protocol.split}, n = {protocol.n},"
            f" {protocol.size[0]}×{protocol.size[1]}, evaluator {', '.join(protocol.evaluators.values()) or 'none'}",
            fontsize=9,
            color=INK,
        )
        figure.tight_layout()
        formats: dict[str, dict[str, Any]] = {"png": {"dpi": 150}, "svg": {"metadata": {"Date": None}}}
        for ending, extra in formats.items():
            write_atomic(folder / f"curve.{ending}", partial(figure.savefig, format=ending, **extra))
        plt.close(figure)


def _trade_off(record: Record, panel: Axes, x: str, y: str) -> None:
    heads = titles([x, y], record.protocol.n)
    points = sorted(record.points, key=lambda point: point.guidance or 0)
    xs = [value(point.scores[x]) for point in points]
    ys = [value(point.scores[y]) for point in points]
    panel.plot(xs, ys, color=GREY, lw=1, zorder=1)
    for point, px, py in zip(points, xs, ys, strict=True):
        colour = ACCENT if point.pareto else INK
        panel.errorbar(
            [px],
            [py],
            xerr=_bar(point.scores[x]),
            yerr=_bar(point.scores[y]),
            fmt="o",
            ms=5,
            color=colour,
            elinewidth=0.8,
            capsize=2,
            zorder=2,
        )
        if point.guidance is not None:
            panel.annotate(f"{point.guidance:g}", (px, py), xytext=(5, 5), textcoords="offset points", color=colour)
    for label, scores in (("ceiling: real images", record.ceiling), ("floor: permuted captions", record.floor)):
        score = scores.get(y)
        if score is not None and score.value is not None:
            panel.axhline(score.value, color=THIRD, lw=0.8, ls="--")
            panel.annotate(
                label,
                (1, score.value),
                xycoords=("axes fraction", "data"),
                ha="right",
                va="bottom",
                color=THIRD,
                fontsize=8,
            )
    panel.set_xlabel(heads[x])
    panel.set_ylabel(heads[y])
    panel.set_title("trade-off over guidance (red: Pareto front)", fontsize=9, color=INK)


def _against_guidance(record: Record, panel: Axes) -> None:
    """Metrics that live in [0,1], with intervals."""
    points = sorted(record.points, key=lambda point: point.guidance or 0)
    lines: list[tuple[str, list[Score | None]]] = []
    for name, head, column in (
        ("semantic-recall", "Semantic Recall", None),
        ("semantic-recall", "precision", "precision"),
        ("miou", "mIoU (layout, evaluator)", None),
    ):
        scores = [point.scores.get(name) for point in points]
        picked = [s if s is None or column is None else s.also.get(column) for s in scores]
        if any(s is not None and s.value is not None for s in picked):
            lines.append((head, picked))
    places = range(len(points))
    for (head, scores), colour in zip(lines, (ACCENT, SECOND, THIRD), strict=False):
        kept = [(place, s) for place, s in zip(places, scores, strict=True) if s is not None and s.value is not None]
        panel.errorbar(
            [place for place, _ in kept],
            [value(s) for _, s in kept],
            yerr=[
                [(_bar(s) or [[0.0], [0.0]])[0][0] for _, s in kept],
                [(_bar(s) or [[0.0], [0.0]])[1][0] for _, s in kept],
            ],
            fmt="o-",
            ms=4,
            lw=1.2,
            capsize=2,
            elinewidth=0.8,
            color=colour,
            label=head,
        )
    panel.set_xticks(list(places), ["–" if p.guidance is None else f"{p.guidance:g}" for p in points])
    panel.set_xlabel("guidance scale")
    panel.set_ylim(0, 1.02)
    if lines:
        panel.legend(frameon=False, fontsize=8, loc="lower right")
    panel.set_title("with 95 % intervals", fontsize=9, color=INK)
