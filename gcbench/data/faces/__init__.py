"""The bundled dataset `faces`: faces drawn from seeds, in CelebAMask-HQ's parts, with attributes and captions.

Nothing is read from disk and nothing is written: a pair depends on the version, the split and its index. l_ parts are
at the left of the image (of a person who faces the camera), r_ parts at its right.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from gcbench.core.contracts import Dataset, Size
from gcbench.core.errors import UserError
from gcbench.data.celeba_attributes import ATTRIBUTE_WORDS
from gcbench.data.celeba_parts import ALIASES, CLASSES, MIRROR, PALETTE
from gcbench.data.faces.captions import build_caption
from gcbench.data.faces.person import ATTRIBUTES, attributes
from gcbench.data.faces.render import SIZE, person, render

GENERATION = 1
"""Raised whenever a pixel, a caption or an attribute of any face changes."""
COUNTS = {"train": 5400, "val": 600}
CAPTIONS = 5


class Faces(Dataset):
    """Drawn faces: 5400 to train, 600 to validate."""

    name = "faces"
    classes = CLASSES
    palette = PALETTE
    void = None
    size = SIZE
    splits = tuple(COUNTS)
    aliases = ALIASES
    resize = "none (drawn at size)"
    mirror = MIRROR
    attributes = tuple(ATTRIBUTES)
    attribute_words = {name: ATTRIBUTE_WORDS[name] for name in ATTRIBUTES}  # noqa: RUF012

    @classmethod
    def open(cls) -> "Faces":
        return cls()

    @property
    def version(self) -> str:
        return f"faces-{GENERATION}"

    def ids(self, split: str) -> Sequence[str]:
        return [f"{split}_{index:06d}" for index in range(_count(split))]

    def pair(self, split: str, index: int, size: Size) -> tuple[np.ndarray, np.ndarray]:
        return render(_seed(split, index), (int(size[0]), int(size[1])))

    def captions(self, split: str, index: int) -> Sequence[str]:
        """Five texts, each of some of the attributes."""
        return list(_captions(split, int(index)))

    def attribute_labels(self, split: str, index: int) -> np.ndarray:
        return np.array(list(attributes(person(_seed(split, index))).values()))  # [A]


def _count(split: str) -> int:
    if split not in COUNTS:
        raise UserError(f"The dataset faces has no split {split!r}: choose one of {', '.join(COUNTS)}.")
    return COUNTS[split]


def _seed(split: str, index: int) -> np.random.SeedSequence:
    if not 0 <= index < _count(split):
        raise IndexError(f"{split} has {_count(split)} faces; there is no number {index}")
    return np.random.SeedSequence((GENERATION, tuple(COUNTS).index(split), int(index)))


@lru_cache(maxsize=4096)
def _captions(split: str, index: int) -> tuple[str, ...]:
    present = attributes(person(_seed(split, index)))
    rng = np.random.default_rng((GENERATION, tuple(COUNTS).index(split), index, 2))
    return tuple(build_caption(present, rng)[0] for _ in range(CAPTIONS))
