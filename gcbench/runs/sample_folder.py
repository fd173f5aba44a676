"""Samples as a folder that `gcbench evaluate` reads: images/, layouts/, prompts.jsonl."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from gcbench.core.samples import Samples
from gcbench.data.contact_sheet import save_png
from gcbench.data.prompts import Line, read_prompts, write_prompts

PROMPTS = "prompts.jsonl"


class SampleFolder:
    """images/ID.png, layouts/ID.png (8-bit class ids) and prompts.jsonl, written batch by batch; nothing is held but
    the texts.

    An image is written after its layout and its text, so that where all images of a batch are, all of it is.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._lines = read_prompts(folder / PROMPTS) if (folder / PROMPTS).exists() else {}

    def add(self, samples: Samples) -> None:
        """Write a batch: the texts of all so far, then its layouts and images."""
        for row, text in enumerate(samples.prompts or ()):
            name = samples.ids[row]
            self._lines[name] = Line(f"{name}.png", (text,), _group(samples, row))
        if samples.prompts is not None:
            write_prompts(self.folder / PROMPTS, [self._lines[name] for name in sorted(self._lines)])
        for row, name in enumerate(samples.ids):
            if samples.layouts is not None:
                save_png(self._png("layouts", name), samples.layouts[row])
            save_png(self._png("images", name), samples.images[row])

    def holds(self, ids: Sequence[str], parts: Sequence[str], texts: bool) -> bool:
        """Whether these parts of the samples are there, and their texts if they have any."""
        files = all(self._png(part, name).is_file() for part in parts for name in ids)
        return files and (not texts or all(name in self._lines for name in ids))

    def read(self, ids: Sequence[str], groups: Sequence[str] | None, source: str = "generated") -> Samples:
        """Samples that are there. source: of their layouts, if they have any."""
        images = [np.array(Image.open(self._png("images", name))) for name in ids]
        drawn = all(self._png("layouts", name).is_file() for name in ids)
        layouts = [np.array(Image.open(self._png("layouts", name))) for name in ids] if drawn else []
        texts = [self._lines[name].text[0] for name in ids if name in self._lines]
        return Samples(
            torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous(),
            torch.from_numpy(np.stack(layouts)).long() if drawn else None,
            source if drawn else None,
            tuple(texts) if len(texts) == len(ids) else None,
            tuple(ids),
            None if groups is None else tuple(groups),
        )

    def _png(self, part: str, name: str) -> Path:
        return self.folder / part / f"{name}.png"


def _group(samples: Samples, row: int) -> str | None:
    """The sample's group where it says more than its id and its text do."""
    group = (samples.groups or samples.ids)[row]
    return None if group == samples.ids[row] or (samples.prompts and group == samples.prompts[row]) else group
