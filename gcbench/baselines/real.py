"""Held-out real pairs as if a model had drawn them: the ceiling row of every table."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from gcbench.core.contracts import Dataset, Model, ModelOptions, Size
from gcbench.core.samples import Samples


class Real(Model):
    """Held-out real pairs, the ceiling row: seed i takes pair i of the dataset's last split (modulo their count).

    It reads no prompt, images are what they are: a record has one point. Its samples' prompts are the pairs' own.
    """

    conditional = False
    guided = False
    layouts = True

    def __init__(self, dataset: Dataset):
        self.dataset = dataset
        self.split = dataset.splits[-1]

    @classmethod
    def open(cls, dataset: Dataset, options: ModelOptions) -> "Real":
        return cls(dataset)

    def generate(
        self, prompts: Sequence[str] | None, *, n: int, size: Size, guidance: float, seeds: Sequence[int]
    ) -> Samples:
        places = [seed % len(self.dataset.ids(self.split)) for seed in seeds]
        pairs = [self.dataset.pair(self.split, place, size) for place in places]
        return Samples(
            torch.from_numpy(np.stack([image for image, _ in pairs])).permute(0, 3, 1, 2).contiguous(),
            torch.from_numpy(np.stack([layout for _, layout in pairs])).long(),
            "real",
            tuple(self.dataset.captions(self.split, place)[0] for place in places),
            tuple(f"{seed:06d}" for seed in seeds),
        )

    def describe(self) -> Mapping[str, str | int | None]:
        return {"note": f"real pairs of the split {self.split}"}
