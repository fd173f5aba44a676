"""The real pairs that samples are measured against, and the prompts that samples are made from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from gcbench.core.contracts import Dataset, Size
from gcbench.core.samples import Samples, sample_ids


class Prompts(NamedTuple):
    """The n texts that a run is made from: rows of the split, one caption each, and what is dependent.

    groups: what the dataset says, where it names the pair's group. Else one row taken again and one text read again
    are a group, called after the first of its pairs. left_out: further captions of these pairs, which are not read.
    """

    rows: list[int]
    texts: tuple[str, ...]
    groups: tuple[str, ...]
    left_out: int = 0

    @property
    def note(self) -> str:
        """What is left out, in a sentence; empty where nothing is."""
        further = f"{self.left_out} further text{'s' * (self.left_out > 1)} of these images"
        return f"Left out: {further}; a sample is drawn from one." if self.left_out else ""


@dataclass(frozen=True)
class Reference:
    """A split of a dataset at one size (H, W)."""

    dataset: Dataset
    split: str
    size: Size

    def __len__(self) -> int:
        return len(self.dataset.ids(self.split))

    def __str__(self) -> str:
        return f"{self.dataset.name}/{self.split}"

    @property
    def version(self) -> str:
        """What data this is; part of every protocol."""
        return self.dataset.version

    @property
    def groups(self) -> Sequence[str]:
        """What is dependent: one name a pair."""
        return self.dataset.groups(self.split)

    def samples(self, rows: Sequence[int], start: int = 0) -> Samples:
        """The pairs at `rows`, each with its first caption, if they have any. Sample ids count from `start`."""
        dataset, split, size, groups = self.dataset, self.split, self.size, self.groups
        images, layouts = [], []
        for row in rows:
            if dataset.has_layouts:
                image, layout = dataset.pair(split, row, size)
                layouts.append(layout)
            else:
                image = dataset.image(split, row, size)
            images.append(image)
        return Samples(
            torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous(),  # [B,3,H,W]
            torch.from_numpy(np.stack(layouts)).long() if dataset.has_layouts else None,  # [B,H,W]
            "real" if dataset.has_layouts else None,
            tuple(dataset.captions(split, row)[0] for row in rows) if dataset.has_texts else None,
            sample_ids(len(rows), start),
            tuple(groups[row] for row in rows),
        )

    def prompts(self, n: int, per_prompt: int = 1) -> Prompts:
        """n texts: of the first pairs, each its first caption, `per_prompt` times in a row; if the split is short,
        again with the next caption."""
        rows = [i // per_prompt % len(self) for i in range(n)]
        texts, known, taken = [], dict[int, int](), set[tuple[int, int]]()
        for i, row in enumerate(rows):
            captions = self.dataset.captions(self.split, row)
            which = i // per_prompt // len(self) % len(captions)
            texts.append(captions[which])
            known[row] = len(captions)
            taken.add((row, which))
        ids, groups = self.dataset.ids(self.split), self.groups
        named = {groups[row] for row in rows if groups[row] != ids[row]}
        first: dict[str, str] = {}  # text or id of a pair without a group -> the first such pair that is joined with it
        for row, text in zip(rows, texts, strict=True):
            if groups[row] not in named:
                own = first.setdefault(f"id {ids[row]}", ids[row])
                same = first.setdefault(f"text {text}", own)
                if own != same:
                    kept, gone = sorted((own, same), key=ids.index)
                    first = {key: kept if name == gone else name for key, name in first.items()}
        dependent = tuple(first.get(f"id {ids[row]}", groups[row]) for row in rows)
        return Prompts(rows, tuple(texts), dependent, sum(known.values()) - len(taken))
