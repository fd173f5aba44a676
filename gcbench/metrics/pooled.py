"""What metrics on one evaluator's pooled features share: their rows, and the refusal of what is no number."""

from collections.abc import Mapping

import numpy as np

from gcbench.core.contracts import Task
from gcbench.core.errors import UserError
from gcbench.core.samples import Features, Samples
from gcbench.metrics.row_metric import RowMetric
from gcbench.statistics.moments import Growing
from gcbench.statistics.sample_rows import SampleRows


class PooledMetric(RowMetric):
    """Compares `Features.vectors` [n,d] of the samples with those of real images, both from the evaluator `roles[0]`.

    Its reference keeps every row (`SampleRows`), unless sums are enough (`Growing`).
    UserError: the evaluator gave features that are not finite; it names the images.
    """

    needs = frozenset({"images", "reference"})
    least = 2
    reference: "SampleRows | Growing"

    def __init__(self, task: Task):
        super().__init__(task)
        self.reference = SampleRows()  # a row: float32 [d]

    def update_reference(self, samples: Samples, features: Mapping[str, Features]) -> None:
        if features[self.roles[0]].vectors is not None:
            self.reference.add(samples.ids, self._vectors(samples, features, "the real images"))

    def lacking(self, samples: Samples, features: Mapping[str, Features]) -> str | None:
        if features[self.roles[0]].vectors is None:
            return f"this {self.roles[0]} gives no pooled features; choose another with --evaluator"
        return super().lacking(samples, features)

    def rows(self, samples: Samples, features: Mapping[str, Features]) -> np.ndarray:
        return self._vectors(samples, features, "the samples")

    def _vectors(self, samples: Samples, features: Mapping[str, Features], whose: str) -> np.ndarray:
        role = self.roles[0]
        rows = self.seen(features, "vectors").float().cpu().numpy()  # [B,d]
        broken = [name for name, fine in zip(samples.ids, np.isfinite(rows).all(axis=1), strict=True) if not fine]
        if broken:
            more = f" and {len(broken) - 5} more" if len(broken) > 5 else ""
            raise UserError(
                f"the evaluator {role} gave features that are not finite for {', '.join(broken[:5])}{more} of {whose};"
                f" look at these images, or give other weights with --evaluator {role}=ID@FILE"
            )
        return rows
