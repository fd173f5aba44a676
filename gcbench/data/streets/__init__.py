"""The bundled dataset `streets`: street scenes drawn from seeds, in Cityscapes' classes, with captions.

Nothing is read from disk and nothing is written: a pair depends on the version, the split and its index.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from gcbench.core.contracts import Dataset, Size
from gcbench.core.errors import UserError
from gcbench.data.cityscapes_classes import ALIASES, CLASSES, PALETTE, VOID
from gcbench.data.streets.render import SIZE, render, stable_scene
from gcbench.text.captions import build_caption

GENERATION = 1
"""Raised whenever a pixel of any scene changes."""
COUNTS = {"train": 2975, "val": 500}
CAPTIONS = 3


class Streets(Dataset):
    """Drawn street scenes: 2975 to train, 500 to validate."""

    name = "streets"
    classes = tuple(CLASSES)
    palette = tuple(PALETTE)
    void = VOID
    size = SIZE
    splits = tuple(COUNTS)
    aliases = ALIASES
    resize = "none (drawn at size)"

    @classmethod
    def open(cls) -> "Streets":
        return cls()

    @property
    def version(self) -> str:
        return f"streets-{GENERATION}"

    def ids(self, split: str) -> Sequence[str]:
        return [f"{split}_{index:06d}" for index in range(_count(split))]

    def pair(self, split: str, index: int, size: Size) -> tuple[np.ndarray, np.ndarray]:
        image, layout = render(_seed(split, index), (int(size[0]), int(size[1])))
        return image, layout.copy()

    def captions(self, split: str, index: int) -> Sequence[str]:
        """Three orders of the classes in the layout at the default size; void is never named."""
        return list(_captions(split, int(index)))


def _count(split: str) -> int:
    if split not in COUNTS:
        raise UserError(f"The dataset streets has no split {split!r}: choose one of {', '.join(COUNTS)}.")
    return COUNTS[split]


def _seed(split: str, index: int) -> np.random.SeedSequence:
    if not 0 <= index < _count(split):
        raise IndexError(f"{split} has {_count(split)} scenes; there is no number {index}")
    return np.random.SeedSequence((GENERATION, tuple(COUNTS).index(split), int(index)))


@lru_cache(maxsize=4096)
def _captions(split: str, index: int) -> tuple[str, ...]:
    seed = _seed(split, index)
    present = np.unique(stable_scene(seed).layout).tolist()
    names = [CLASSES[label] for label in present if label != VOID]
    rng = np.random.default_rng((GENERATION, tuple(COUNTS).index(split), index, 2))
    return tuple(build_caption(names, rng) for _ in range(CAPTIONS))
