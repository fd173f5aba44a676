"""What metrics on one evaluator's pooled features share: their state, and the refusal of what is no number."""

from abc import abstractmethod
from collections.abc import Mapping

import numpy as np

from gcbench.core.contracts import Metric, Task
from gcbench.core.errors import UserError
from gcbench.core.samples import Features, Samples
from gcbench.core.score import Score
from gcbench.statistics.blocks import Blocks
from gcbench.statistics.moments import Growing


class PooledMetric(Metric):
    """Compares `Features.vectors` [n,d] of the samples with those of real images, both from the evaluator `roles[0]`.

    A subclass says how in `score`, which is only asked where both sides have 2 images at least. Its reference keeps
    every row (`Blocks`), unless sums are enough (`Growing`).

    Raises:
        UserError: the evaluator gave features that are not finite; it names the images.
    """

    needs = frozenset({"images", "reference"})
    reference: "Blocks | Growing"

    def __init__(self, task: Task):
        super().__init__(task)
        self.reference = Blocks()  # a row: float32 [d]
        self._samples = Blocks()
        self._vectors_missing = False

    def update_reference(self, samples: Samples, features: Mapping[str, Features]) -> None:
        if (rows := self._vectors(samples, features, "the real images")) is not None:
            self.reference.add(samples.ids, rows)

    def update(self, samples: Samples, features: Mapping[str, Features]) -> None:
        if (rows := self._vectors(samples, features, "the samples")) is not None:
            self._samples.add(samples.ids, rows, samples.groups)
        else:
            self._vectors_missing = True

    def merge(self, other: Metric) -> None:
        assert isinstance(other, PooledMetric)
        self._samples.merge(other._samples)
        self._vectors_missing |= other._vectors_missing

    def compute(self) -> Score:
        if self._vectors_missing:
            return Score.skipped(f"this {self.roles[0]} gives no pooled features; choose another with --evaluator")
        if len(self._samples) < 2:
            return Score.skipped("needs at least 2 images", n=len(self._samples))
        if len(self.reference) < 2:
            return Score.skipped("needs at least 2 images in the reference")
        return self.score()

    @abstractmethod
    def score(self) -> Score:
        """The score of `_samples` against `reference`."""

    def _vectors(self, samples: Samples, features: Mapping[str, Features], whose: str) -> np.ndarray | None:
        role = self.roles[0]
        vectors = features[role].vectors  # [B,d]
        if vectors is None:
            return None
        rows = vectors.float().cpu().numpy()
        broken = [name for name, fine in zip(samples.ids, np.isfinite(rows).all(axis=1), strict=True) if not fine]
        if broken:
            more = f" and {len(broken) - 5} more" if len(broken) > 5 else ""
            raise UserError(
                f"the evaluator {role} gave features that are not finite for {', '.join(broken[:5])}{more} of {whose};"
                f" look at these images, or give other weights with --evaluator {role}=ID@FILE"
            )
        return rows
