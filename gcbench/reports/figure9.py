"""`gcbench figure 9`: from layout to image and from image to layout, each step taken once or several times."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
from torch import Tensor

from gcbench.core.contracts import Dataset
from gcbench.core.files import write_text
from gcbench.reports import drawing, tiles
from gcbench.reports.table import csv_text

HEADS = ("direction", "repeats", "metric", "unit", "value", "low", "high", "n")


class Strip(NamedTuple):
    """One row of tiles: images uint8 [n,3,H,W] or layouts int64 [n,H,W]. label: what it is, and its number."""

    label: str
    tiles: Tensor


def row_label(name: str, line: Mapping[str, Any]) -> str:
    """With the row's number, its interval in brackets."""
    ends = "" if line["low"] is None else f"\n[{line['low']:.1f}, {line['high']:.1f}]"
    return f"{name}\n{line['metric']} {line['value']:.1f} %{ends}"


def draw(
    lines: Sequence[Mapping[str, Any]],
    strips: Mapping[str, Sequence[Strip]],
    dataset: Dataset,
    caption: str,
    folder: Path,
) -> None:
    """Write figure9.csv, .png and .svg. strips: direction -> its rows, each with as many tiles."""
    write_text(folder / "figure9.csv", csv_text(lines, HEADS))
    groups = list(strips.values())
    count, h, w = len(groups[0][0].tiles), *groups[0][0].tiles.shape[-2:]
    wide = 2.2
    high = (0.06 + wide * h / w) * sum(map(len, groups)) + 0.4 * len(groups)
    with mpl.rc_context(drawing.STYLE):
        paper = drawing.new_figure((1.5 + wide * count, 1.4 + high))
        parts = paper.subfigures(len(groups), 1, squeeze=False, height_ratios=[len(group) for group in groups])[:, 0]
        for part, (direction, group) in zip(parts, strips.items(), strict=True):
            panels = part.subplots(len(group), count, squeeze=False)
            part.suptitle(direction, fontweight="bold")
            for row, strip in zip(panels, group, strict=True):
                for panel, tile in zip(row, strip.tiles, strict=True):
                    if tile.ndim == 2:
                        tiles.layout_tile(panel, tile, dataset)
                    else:
                        tiles.image_tile(panel, tile)
                tiles.side_label(row[0], strip.label)
        tiles.caption(paper, caption)
        tiles.class_legend(
            paper, [tile for group in groups for s in group if s.tiles.ndim == 3 for tile in s.tiles], dataset
        )
        drawing.save(paper, folder, "figure9")
