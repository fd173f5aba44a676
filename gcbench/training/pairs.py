"""Training pairs held in memory, once a machine, and the batch of a step: the same one whenever it is asked for."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from gcbench.core.contracts import Dataset, Size
from gcbench.data import image_files
from gcbench.training.processes import Processes
from gcbench.training.recipe import Batch
from gcbench.training.shared_arrays import SharedArrays


class Pairs:
    """All pairs of a split at one size, uint8 in memory; `for_crops` holds them twice as high and wide.

    processes: those that train together; those of one machine read a part each, and share one copy of all.

    `batch(step)` depends on seed and step alone, so a resumed run sees the same data as one never stopped.
    """

    def __init__(
        self,
        dataset: Dataset,
        split: str,
        size: Size,
        *,
        for_crops: bool = False,
        tick: Callable[[], object] = lambda: None,
        processes: Processes | None = None,
    ):
        n = len(dataset.ids(split))
        self.size, self.nearest = size, dataset.resize == image_files.NEAREST
        held = (2 * size[0], 2 * size[1]) if for_crops else size
        self.mirror = None if dataset.mirror is None else np.array(dataset.mirror, np.uint8)
        byte, flag = np.dtype(np.uint8), np.dtype(bool)
        shapes = {
            "images": ((n, *held, 3), byte),
            "layouts": ((n, *held), byte),
            "attributes": ((n, len(dataset.attributes)), flag),
        }
        shared = SharedArrays(processes, shapes) if processes is not None and processes.count > 1 else None
        arrays: dict[str, Any] = shared.arrays if shared else {name: np.empty(*facts) for name, facts in shapes.items()}
        self.images, self.layouts, self.attributes = (arrays[name] for name in shapes)

        def read() -> dict[int, tuple[str, ...]]:
            captions = {}
            for i in shared.rows(n) if shared else range(n):
                self.images[i], self.layouts[i] = dataset.pair(split, i, held)
                captions[i] = tuple(dataset.captions(split, i))
                if dataset.attributes:
                    self.attributes[i] = dataset.attribute_labels(split, i)
                tick()
            return captions

        if processes is None:
            captions = read()
        else:
            parts = processes.told(processes.together(read))
            captions = {i: texts for part in parts for i, texts in part.items()}
        self.captions = [captions[i] for i in range(n)]
        if shared:
            shared.ready()

    def __len__(self) -> int:
        return len(self.images)

    def batch(
        self,
        step: int,
        size: int,
        *,
        seed: int,
        flip: bool,
        crop: tuple[float, float] = (1.0, 1.0),
        swap: bool = True,
        places: Sequence[int] | None = None,
    ) -> Batch:
        """The batch of `size` pairs of step 0, 1, ...: epochs are permutations; flips, crops and captions are drawn.
        flip, crop, swap: as flip, crop and swap_mirrored of TrainConfig. places: those of the batch's pairs that are
        wanted, in their order; None for all."""
        n = len(self)
        order = {
            epoch: np.random.default_rng([seed, epoch]).permutation(n)
            for epoch in range(step * size // n, ((step + 1) * size - 1) // n + 1)
        }
        rows = np.array([order[place // n][place % n] for place in range(step * size, (step + 1) * size)])
        rng = np.random.default_rng([seed, step, 1])
        flips = rng.random(size) < (0.5 if flip else 0.0)
        texts = [self.captions[row][rng.integers(len(self.captions[row]))] for row in rows]
        factors_rng = np.random.default_rng([seed, step, 2])
        factors, corners = factors_rng.uniform(*crop, size), factors_rng.random((size, 2))
        own = np.arange(size) if places is None else np.asarray(places)
        rows, flips, texts = rows[own], flips[own], [texts[place] for place in own]
        images, layouts = self.cropped(rows, factors[own], corners[own])
        images[flips], layouts[flips] = images[flips, :, ::-1], layouts[flips, :, ::-1]
        if self.mirror is not None and swap:
            layouts[flips] = self.mirror[layouts[flips]]
        return Batch(
            torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(),
            torch.from_numpy(layouts).long(),
            texts,
            torch.from_numpy(self.attributes[rows]) if self.attributes.shape[1] else None,
        )

    def cropped(self, rows: np.ndarray, factors: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The pairs, each enlarged by a factor of its own and cut to size at a place of its own, in [0,1)²."""
        images, layouts = self.images[rows], self.layouts[rows]
        if images.shape[1:3] == self.size and (factors == 1).all():
            return images, layouts
        height, width = images.shape[1:3]
        parts = []
        for image, layout, factor, (down, right) in zip(images, layouts, factors, places, strict=True):
            h, w = height / factor, width / factor
            top, left = down * (height - h), right * (width - w)
            box = (left, top, min(left + w, width), min(top + h, height))
            parts.append(image_files.resize_pair(image, layout, self.size, box, nearest=self.nearest))
        return np.stack([image for image, _ in parts]), np.stack([layout for _, layout in parts])
