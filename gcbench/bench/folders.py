"""Samples as a folder that `gcbench evaluate` reads: images/, layouts/, prompts.jsonl, and a contact sheet."""

from collections.abc import Sequence
from pathlib import Path

import torch

from gcbench.core.contracts import Dataset
from gcbench.core.pictures import grid, save_png
from gcbench.core.samples import Samples
from gcbench.data.prompts import Line, write_prompts

SHEET = 16
"""Pictures on the contact sheet."""


def write_samples(folder: Path, batches: Sequence[Samples], dataset: Dataset) -> None:
    """Write all batches: images/ID.png, layouts/ID.png (8-bit class ids), prompts.jsonl and grid.png."""
    lines = []
    for samples in batches:
        for i, name in enumerate(samples.ids):
            save_png(folder / "images" / f"{name}.png", samples.images[i])
            if samples.layouts is not None:
                save_png(folder / "layouts" / f"{name}.png", samples.layouts[i])
            if samples.prompts is not None:
                lines.append(Line(f"{name}.png", (samples.prompts[i],), None))
    if lines:
        write_prompts(folder / "prompts.jsonl", lines)
    images = torch.cat([samples.images for samples in batches])[:SHEET]
    drawn = [samples.layouts for samples in batches if samples.layouts is not None]
    layouts = torch.cat(drawn)[:SHEET] if drawn else None
    save_png(folder / "grid.png", grid(images, layouts, dataset.palette))
