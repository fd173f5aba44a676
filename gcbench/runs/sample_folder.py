"""Samples as a folder that `gcbench evaluate` reads: images/, layouts/, prompts.jsonl, and a contact sheet."""

from collections.abc import Sequence
from pathlib import Path

import torch

from gcbench.core.contracts import Dataset
from gcbench.data.contact_sheet import grid, save_png
from gcbench.core.samples import Samples
from gcbench.data.prompts import Line, write_prompts

SHEET = 16
"""Images on the contact sheet."""


def _group(samples: Samples, row: int) -> str | None:
    """The sample's group where it says more than its id and its text do."""
    assert samples.groups is not None
    assert samples.prompts is not None
    group = samples.groups[row]
    return None if group in (samples.ids[row], samples.prompts[row]) else group


def write_samples(folder: Path, batches: Sequence[Samples], dataset: Dataset) -> None:
    """Write all batches: images/ID.png, layouts/ID.png (8-bit class ids), prompts.jsonl and grid.png.

    What an earlier call wrote of a growing list of batches is kept.
    """
    lines = []
    for samples in batches:
        for i, name in enumerate(samples.ids):
            if not (folder / "images" / f"{name}.png").exists():
                save_png(folder / "images" / f"{name}.png", samples.images[i])
            if samples.layouts is not None and not (folder / "layouts" / f"{name}.png").exists():
                save_png(folder / "layouts" / f"{name}.png", samples.layouts[i])
            if samples.prompts is not None:
                lines.append(Line(f"{name}.png", (samples.prompts[i],), _group(samples, i)))
    if lines:
        write_prompts(folder / "prompts.jsonl", lines)
    images = torch.cat([samples.images for samples in batches])[:SHEET]
    drawn = [samples.layouts for samples in batches if samples.layouts is not None]
    layouts = torch.cat(drawn)[:SHEET] if drawn else None
    save_png(folder / "grid.png", grid(images, layouts, dataset.palette))
