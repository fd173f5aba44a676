"""Samples as a folder that `gcbench evaluate` reads: images/, layouts/, prompts.jsonl."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from gcbench.core.samples import Samples
from gcbench.data.contact_sheet import save_png
from gcbench.data.prompts import Line, read_prompts, write_prompts

PROMPTS = "prompts.jsonl"


class SampleFolder:
    """images/ID.png, layouts/ID.png (8-bit class ids) and prompts.jsonl, written batch by batch, or the texts last;
    nothing is held but these.

    `add` writes an image after its layout and its text, so that where all images of a batch are, all of it is.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._lines = read_prompts(folder / PROMPTS) if (folder / PROMPTS).exists() else {}

    def add(self, samples: Samples) -> None:
        """Write a batch: the texts of all so far, then its layouts and images."""
        if samples.prompts is not None:
            groups = samples.groups or samples.ids
            self.write_texts(zip(samples.ids, samples.prompts, groups, strict=True))
        self.add_images(samples)

    def write_texts(self, texts: Iterable[tuple[str, str, str]]) -> None:
        """Write (id, text, group) of samples, with those that are there."""
        self._lines |= {
            name: Line(f"{name}.png", (text,), _own_group(name, text, group)) for name, text, group in texts
        }
        write_prompts(self.folder / PROMPTS, [self._lines[name] for name in sorted(self._lines)])

    def add_images(self, samples: Samples) -> None:
        """Write a batch's layouts and images alone: processes that share a folder write no file that is another's."""
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


def _own_group(name: str, text: str, group: str) -> str | None:
    """The sample's group where it says more than its id and its text do."""
    return None if group in (name, text) else group
