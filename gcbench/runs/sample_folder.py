"""Samples as a folder that `gcbench evaluate` reads: images/, layouts/, prompts.jsonl."""

from collections.abc import Sequence
from pathlib import Path

from gcbench.core.samples import Samples
from gcbench.data.contact_sheet import save_png
from gcbench.data.prompts import Line, write_prompts


def _group(samples: Samples, row: int) -> str | None:
    """The sample's group where it says more than its id and its text do."""
    group = (samples.groups or samples.ids)[row]
    return None if group == samples.ids[row] or (samples.prompts and group == samples.prompts[row]) else group


def write_samples(folder: Path, batches: Sequence[Samples]) -> None:
    """Write all batches: images/ID.png, layouts/ID.png (8-bit class ids) and prompts.jsonl.

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
