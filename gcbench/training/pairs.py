"""Training pairs held in memory, and the batch that belongs to a step: the same one whenever it is asked for."""

from collections.abc import Callable

import numpy as np
import torch

from gcbench.core.contracts import Dataset, Size
from gcbench.training.recipe import Batch


class Pairs:
    """All pairs of a split at one size, uint8 in memory.

    `batch(step)` depends on seed and step alone, so a resumed run sees the same data as one never stopped.
    """

    def __init__(self, dataset: Dataset, split: str, size: Size, *, tick: Callable[[], object] = lambda: None):
        n = len(dataset.ids(split))
        self.images = np.empty((n, *size, 3), np.uint8)
        self.layouts = np.empty((n, *size), np.uint8)
        self.captions: list[tuple[str, ...]] = []
        self.attributes = np.empty((n, len(dataset.attributes)), bool)
        self.mirror = None if dataset.mirror is None else np.array(dataset.mirror, np.uint8)
        for i in range(n):
            self.images[i], self.layouts[i] = dataset.pair(split, i, size)
            self.captions.append(tuple(dataset.captions(split, i)))
            if dataset.attributes:
                self.attributes[i] = dataset.attribute_labels(split, i)
            tick()

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, step: int, size: int, *, seed: int, flip: bool) -> Batch:
        """The batch of `size` pairs of step 0, 1, ...: epochs are permutations; flips and captions are drawn."""
        n = len(self)
        places = np.arange(step * size, (step + 1) * size)
        order = {epoch: np.random.default_rng([seed, epoch]).permutation(n) for epoch in np.unique(places // n)}
        rows = np.array([order[place // n][place % n] for place in places])
        rng = np.random.default_rng([seed, step, 1])
        flips = rng.random(size) < (0.5 if flip else 0.0)
        texts = [self.captions[row][rng.integers(len(self.captions[row]))] for row in rows]
        images, layouts = self.images[rows], self.layouts[rows]
        images[flips], layouts[flips] = images[flips, :, ::-1], layouts[flips, :, ::-1]
        if self.mirror is not None:
            layouts[flips] = self.mirror[layouts[flips]]
        return Batch(
            torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(),
            torch.from_numpy(layouts).long(),
            texts,
            torch.from_numpy(self.attributes[rows]) if self.attributes.shape[1] else None,
        )
