"""`gcbench figure 8`: clusters of the decoders' features over time, and their agreement with the true layout."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
from torch import Tensor

from gcbench.core.contracts import Dataset
from gcbench.core.files import write_text
from gcbench.reports import drawing, tiles
from gcbench.reports.table import Cell, csv_text

HEADS = ("model", "level", "height", "width", "time", "metric", "value", "low", "high", "n")


class Shown(NamedTuple):
    """One pair. maps: model -> time -> its clusters as an image uint8 [3,h,w]. level: whose clusters they are."""

    image: Tensor
    layout: Tensor
    maps: Mapping[str, Mapping[float, Tensor]]
    level: str


def draw(lines: Sequence[Mapping[str, Any]], shown: Shown, dataset: Dataset, caption: str, folder: Path) -> None:
    """Write figure8.csv, .png and .svg. lines: with the columns HEADS; time is a share of the process."""
    write_text(folder / "figure8.csv", csv_text(lines, HEADS))
    models, times = list(shown.maps), sorted({line["time"] for line in lines})
    h, w = shown.image.shape[1:]
    wide = 10.5 / (len(times) + 1)
    with mpl.rc_context(drawing.STYLE):
        paper = drawing.new_figure((12, 5.0 + (0.25 + wide * h / w) * len(models)))
        ratios = ((0.25 + wide * h / w) * len(models) + 0.8, 3.2)
        upper, lower = paper.subfigures(2, 1, squeeze=False, height_ratios=ratios)[:, 0]
        _maps(upper.subplots(len(models), len(times) + 1, squeeze=False), shown, dataset, times)
        tiles.class_legend(upper, [shown.layout], dataset)
        panels = lower.subplots(1, len(models), sharey=True, squeeze=False)[0]
        _curves(panels, lines, models)
        handles, names = panels[0].get_legend_handles_labels()
        lower.legend(handles, names, title="decoder level", loc="outside right center")
        tiles.caption(paper, caption)
        drawing.save(paper, folder, "figure8")


def _maps(panels: Any, shown: Shown, dataset: Dataset, times: Sequence[float]) -> None:
    for row, (model, maps) in enumerate(shown.maps.items()):
        for column, time in enumerate(times):
            tiles.image_tile(panels[row, column], maps[time])
            if row == 0:
                panels[row, column].set_title(f"t = {time:g} T")
        tiles.side_label(panels[row, 0], model.replace(", ", ",\n"))
        last = panels[row, -1]
        if row == 0:
            tiles.layout_tile(last, shown.layout, dataset)
            last.set_title("true layout")
        elif row == 1:
            tiles.image_tile(last, shown.image)
            last.set_title("true image")
        else:
            last.set_axis_off()


def _curves(panels: Any, lines: Sequence[Mapping[str, Any]], models: Sequence[str]) -> None:
    levels = list(dict.fromkeys((line["level"], line["height"], line["width"]) for line in lines))
    for panel, model in zip(panels, models, strict=True):
        for place, (level, height, width) in enumerate(levels):
            own = [row for row in lines if (row["model"], row["level"]) == (model, level) and row["value"] is not None]
            cells = [Cell(row["value"], None if row["low"] is None else (row["low"], row["high"])) for row in own]
            panel.errorbar(
                [row["time"] for row in own],
                [cell.at for cell in cells],
                yerr=drawing.errors(cells),
                fmt="osD^vP*"[place % 7] + "-",
                ms=4,
                lw=1.2,
                elinewidth=0.8,
                color=drawing.COLOURS[place % len(drawing.COLOURS)],
                label=f"{level}, {height}×{width}",
            )
        panel.set_title(drawing.shown(model))
        panel.set_xlabel("t / T (1 is pure noise)")
        panel.axhline(0, color=drawing.GREY, lw=0.8, ls=":")
    panels[0].set_ylabel("adjusted mutual information")
