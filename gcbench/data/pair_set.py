"""Pairs from anywhere in place of a dataset's training split."""

import hashlib
from collections.abc import Sequence

import numpy as np

from gcbench.core.contracts import Dataset, Size

PAIRS = "pairs"
"""The split that is trained on."""


class PairSet(Dataset):
    """Another dataset whose training split is `images` uint8 [n,H,W,3] and `layouts` uint8 [n,H,W]; they have no texts.

    name: of what this is, so that nothing trained on it passes for trained on the dataset.
    """

    def __init__(self, whole: Dataset, name: str, images: np.ndarray, layouts: np.ndarray):
        self.whole, self.images, self.layouts = whole, images, layouts
        for field in Dataset.__annotations__:
            setattr(self, field, getattr(whole, field))
        self.name, self.attributes, self.parts = name, (), ()
        self.splits = (PAIRS, *whole.splits[1:])
        self.size = (images.shape[1], images.shape[2])

    @classmethod
    def open(cls) -> "PairSet":
        raise TypeError("PairSet is made of a dataset that is open")

    @property
    def version(self) -> str:
        return content_hash(self.images, self.layouts)

    def ids(self, split: str) -> Sequence[str]:
        return [f"{i:06d}" for i in range(len(self.images))] if split == PAIRS else self.whole.ids(split)

    def pair(self, split: str, index: int, size: Size) -> tuple[np.ndarray, np.ndarray]:
        if split != PAIRS:
            return self.whole.pair(split, index, size)
        if tuple(size) != self.size:
            raise ValueError(f"these pairs are of {self.size}, not {size}")
        return self.images[index], self.layouts[index]

    def captions(self, split: str, index: int) -> Sequence[str]:
        return ("",) if split == PAIRS else self.whole.captions(split, index)


def content_hash(images: np.ndarray, layouts: np.ndarray) -> str:
    """A hash of all pixels and labels in their order."""
    digest = hashlib.sha256(repr((images.shape, layouts.shape)).encode())
    digest.update(images.tobytes())
    digest.update(layouts.tobytes())
    return digest.hexdigest()[:12]
