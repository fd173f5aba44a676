"""Held-out real pairs as if a model had drawn them: the ceiling row of every table."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from gcbench.core.contracts import Dataset, Model, ModelOptions, Size
from gcbench.core.reference import Reference
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
        self.layouts = self.layouts and dataset.has_layouts
        self.split = dataset.splits[-1]

    @classmethod
    def open(cls, dataset: Dataset, options: ModelOptions) -> "Real":
        return cls(dataset)

    def generate(
        self, prompts: Sequence[str] | None, *, n: int, size: Size, guidance: float, seeds: Sequence[int]
    ) -> Samples:
        reference = Reference(self.dataset, self.split, size)
        samples = reference.samples([seed % len(reference) for seed in seeds])
        return replace(samples, ids=tuple(f"{seed:06d}" for seed in seeds), groups=None)

    def describe(self) -> Mapping[str, str | int | None]:
        return {"note": f"real pairs of the split {self.split}"}
