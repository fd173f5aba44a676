"""Some pairs of a dataset: what a training with `--limit` or `--split` sees, in every part of it."""

from collections.abc import Sequence

import numpy as np

from gcbench.core.contracts import Dataset, Size


class Subset(Dataset):
    """Another dataset that is trained on `split`, if named, and there on `limit` pairs; all else is that dataset's."""

    def __init__(self, whole: Dataset, limit: int | None = None, split: str | None = None):
        self.whole, self.limit = whole, limit
        for name in Dataset.__annotations__:
            setattr(self, name, getattr(whole, name))
        if split is not None:
            self.splits = (split, *(name for name in whole.splits if name != split))

    @classmethod
    def open(cls) -> "Subset":
        raise TypeError("Subset is made of a dataset that is open")

    @property
    def version(self) -> str:
        return self.whole.version

    @property
    def argument(self) -> str:
        return self.whole.argument

    def ids(self, split: str) -> Sequence[str]:
        return self._cut(split, self.whole.ids(split))

    def groups(self, split: str) -> Sequence[str]:
        return self._cut(split, self.whole.groups(split))

    def pair(self, split: str, index: int, size: Size) -> tuple[np.ndarray, np.ndarray]:
        return self.whole.pair(split, index, size)

    def image(self, split: str, index: int, size: Size) -> np.ndarray:
        return self.whole.image(split, index, size)

    def captions(self, split: str, index: int) -> Sequence[str]:
        return self.whole.captions(split, index)

    def attribute_labels(self, split: str, index: int) -> np.ndarray | None:
        return self.whole.attribute_labels(split, index)

    def resize_by_nearest(self) -> None:
        self.whole.resize_by_nearest()
        self.resize = self.whole.resize

    def fingerprint(self, split: str) -> str:
        return self.whole.fingerprint(split)

    def _cut(self, split: str, names: Sequence[str]) -> Sequence[str]:
        return names[: self.limit] if split == self.splits[0] else names
