"""`gcbench figure 5`: samples of one or more models with their texts, as PNG, SVG and CSV."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from torch import Tensor

from gcbench.core.contracts import Dataset
from gcbench.core.files import write_text
from gcbench.core.run_spec import guidance_text
from gcbench.core.samples import Samples
from gcbench.reports import drawing, tiles
from gcbench.reports.table import csv_text
from gcbench.text.class_mentions import named_classes

HEADS = ("model", "guidance", "seed", "id", "text", "class", "named", "share")


def rows(name: str, guidance: float, seed: int, samples: Samples, dataset: Dataset) -> list[dict[str, Any]]:
    """One row a class that a text names or a layout shows. share: of the model's own layout, missing without one."""
    lines: list[dict[str, Any]] = []
    for i, text in enumerate(samples.prompts or ()):
        about = {
            "model": name,
            "guidance": guidance_text(guidance),
            "seed": seed + i,
            "id": samples.ids[i],
            "text": text,
        }
        named = set(named_classes(text, dataset.aliases))
        layout = None if samples.layouts is None else samples.layouts[i]
        for k, word in enumerate(dataset.classes):
            share = None if layout is None else float((layout == k).float().mean())
            if word in named or share:
                lines.append({**about, "class": word, "named": int(word in named), "share": share})
    return lines


def draw(samples: Mapping[str, Samples], dataset: Dataset, caption: str, folder: Path) -> None:
    """Write figure5.png and .svg: a column a text; below it each model's image, and its layout if it draws one."""
    first = next(iter(samples.values()))
    h, w = first.images.shape[2:]
    strips: list[tuple[str, Tensor, bool]] = []
    for name, own in samples.items():
        strips.append((name, own.images, False))
        if own.layouts is not None:
            strips.append((f"{name},\nlayout", own.layouts, True))
    wide, texts = 2.4, 0.95
    high = wide * h / w
    with mpl.rc_context(drawing.STYLE):
        paper = drawing.new_figure((0.9 + wide * len(first), 1.2 + texts + (high + 0.05) * len(strips)))
        ratios = [texts, *[high] * len(strips)]
        panels = paper.subplots(len(strips) + 1, len(first), squeeze=False, height_ratios=ratios)
        for place, text in enumerate(first.prompts or [""] * len(first)):
            tiles.text_tile(panels[0, place], text, int(17 * wide), 7)
        for row, (name, strip, is_layout) in enumerate(strips, 1):
            for place, tile in enumerate(strip):
                if is_layout:
                    tiles.layout_tile(panels[row, place], tile, dataset)
                else:
                    tiles.image_tile(panels[row, place], tile)
            tiles.side_label(panels[row, 0], name)
        tiles.caption(paper, caption)
        if layouts := [layout for _, strip, is_layout in strips if is_layout for layout in strip]:
            tiles.class_legend(paper, layouts, dataset)
        drawing.save(paper, folder, "figure5")


def write_rows(lines: Sequence[Mapping[str, Any]], folder: Path) -> None:
    write_text(folder / "figure5.csv", csv_text(lines, HEADS))
