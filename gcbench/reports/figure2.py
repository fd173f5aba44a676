"""`gcbench figure 2`: triplets of a dataset, image, text and layout, as PNG, SVG and CSV. Needs no model."""

from pathlib import Path
from typing import Any

import matplotlib as mpl

from gcbench.core.contracts import Dataset
from gcbench.core.files import write_text
from gcbench.core.reference import Reference
from gcbench.core.samples import Samples
from gcbench.reports import drawing, tiles
from gcbench.reports.table import csv_text
from gcbench.text.class_mentions import named_classes

HEADS = ("id", "text", "class", "share", "named")


def rows(samples: Samples, dataset: Dataset, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """One row a class that a layout shows: its share of the area, and whether the text names it."""
    assert samples.layouts is not None
    lines = []
    for name, text, layout in zip(names, samples.prompts or (), samples.layouts, strict=True):
        named = set(named_classes(text, dataset.aliases))
        ids, counts = layout.unique(return_counts=True)
        for k, count in zip(ids.tolist(), counts.tolist(), strict=True):
            word = dataset.classes[k]
            share = count / layout.numel()
            lines.append({"id": name, "text": text, "class": word, "share": share, "named": int(word in named)})
    return lines


def make(dataset: Dataset, split: str, n: int, folder: Path) -> list[dict[str, Any]]:
    """Write the figure of the split's first n pairs, each with its first caption; returns the rows of its CSV."""
    reference = Reference(dataset, split, dataset.size)
    samples = reference.samples(range(min(n, len(reference))))
    assert samples.layouts is not None
    lines = rows(samples, dataset, tuple(dataset.ids(split)[: len(samples)]))
    write_text(folder / "figure2.csv", csv_text(lines, HEADS))
    h, w = samples.images.shape[2:]
    with mpl.rc_context(drawing.STYLE):
        wide = 3.0
        paper = drawing.new_figure((3 * wide, 1.1 + (0.15 + wide * h / w) * len(samples)))
        panels = paper.subplots(len(samples), 3, squeeze=False)
        for place, (image, text, layout) in enumerate(
            zip(samples.images, samples.prompts or (), samples.layouts, strict=True)
        ):
            tiles.image_tile(panels[place, 0], image)
            tiles.text_tile(panels[place, 1], text, int(14 * wide))
            panels[place, 1].set_box_aspect(h / w)  # as its neighbours
            tiles.layout_tile(panels[place, 2], layout, dataset)
        for panel, name in zip(panels[0], ("image", "text", "layout"), strict=True):
            panel.set_title(name)
        tiles.caption(paper, f"{reference} ({dataset.version}), the first {len(samples)} pairs, {h}×{w}")
        tiles.class_legend(paper, samples.layouts, dataset)
        drawing.save(paper, folder, "figure2")
    return lines
