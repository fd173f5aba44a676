"""What the bundled datasets share, whose pairs are drawn from seeds: splits, ids, seeds and captions by index.

Nothing is read from disk and nothing is written: a pair depends on the version, the split and its index.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import ClassVar, Self

import numpy as np

from gcbench.core.contracts import Dataset
from gcbench.core.errors import UserError


class DrawnDataset(Dataset):
    """counts: split -> number of its pairs. part_counts: part of the first split -> number of pairs, the split's
    first. generation: raised whenever a pixel, a caption or an attribute changes."""

    counts: ClassVar[Mapping[str, int]]
    part_counts: ClassVar[Mapping[str, int]] = MappingProxyType({})
    generation: ClassVar[int] = 1
    resize = "none (drawn at size)"

    @abstractmethod
    def texts(self, seed: np.random.SeedSequence, rng: np.random.Generator) -> Sequence[str]:
        """The captions of the pair of a seed."""

    @classmethod
    def open(cls) -> Self:
        return cls()

    @property
    def version(self) -> str:
        return f"{self.name}-{self.generation}"

    def ids(self, split: str) -> Sequence[str]:
        return [f"{self._whole(split)}_{index:06d}" for index in range(self._count(split))]

    def seed(self, split: str, index: int, *stream: int) -> np.random.SeedSequence:
        """Of a pair, or of another of its random streams. IndexError if there is no such pair."""
        if not 0 <= index < self._count(split):
            raise IndexError(f"{split} has {self._count(split)} pairs; there is no number {index}")
        place = tuple(self.counts).index(self._whole(split))
        return np.random.SeedSequence((self.generation, place, int(index), *stream))

    def captions(self, split: str, index: int) -> Sequence[str]:
        return list(_captions(type(self), self._whole(split), int(index)))

    def _count(self, split: str) -> int:
        known = {**self.counts, **self.part_counts}
        if split not in known:
            raise UserError(f"The dataset {self.name} has no split {split!r}: choose one of {', '.join(known)}.")
        return known[split]

    def _whole(self, split: str) -> str:
        """The split that a part is of."""
        return next(iter(self.counts)) if split in self.part_counts else split


@lru_cache(maxsize=8192)
def _captions(kind: type[DrawnDataset], split: str, index: int) -> tuple[str, ...]:
    dataset = kind()
    return tuple(dataset.texts(dataset.seed(split, index), np.random.default_rng(dataset.seed(split, index, 2))))
