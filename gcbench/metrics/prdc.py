"""Precision, recall, density and coverage: do the images lie among the real ones, and all of these among them?"""

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any, ClassVar

import numpy as np

from gcbench.core.contracts import Task
from gcbench.core.score import Score
from gcbench.metrics.pooled import PooledMetric
from gcbench.metrics.row_metric import by_sample
from gcbench.statistics.intervals import jackknife
from gcbench.statistics.neighbours import Neighbourhoods, neighbourhoods
from gcbench.statistics.sample_rows import OrderedRows, SampleRows


class PRDC(PooledMetric):
    """Precision, and beside it recall, density and coverage, on pooled Inception features of the images.

    `--evaluator encoder=…` takes that encoder's features instead, and the title names it.

    With x_i the n samples, y_j the m real images, and B_k(z) the closed ball about z that reaches to the k-th nearest
    other image of z's own set:

        precision = mean_i 1[some j: x_i ∈ B(y_j)]      density  = mean_i (1/k) #{j: x_i ∈ B(y_j)}
        recall    = mean_j 1[some i: y_j ∈ B(x_i)]      coverage = mean_j 1[some i: x_i ∈ B(y_j)]

    k is `k` = 3 in precision and recall, `k_density` = 5 in density and coverage, as in their sources. All but density
    are shares, in [0,1]; density is 1 where both sets come from one distribution, and may be above. The balls are
    closed: of two copies of one set precision, recall and coverage are 1. (The sources' code differs: that of `prdc`
    takes open balls, which are empty where many images are the same. Without ties both agree.)

    Bias: precision and recall rise with the size of the set whose balls are drawn, coverage with n: compare at equal n
    and with the same reference. Intervals, the reference fixed: precision and density are means over the samples,
    bootstrapped over groups; recall and coverage are means over the real images, so they take the jackknife over
    groups of samples. Sources: Kynkäänniemi et al. 2019, "Improved Precision and Recall Metric for Assessing Generative
    Models" (with VGG features); Naeem et al. 2020, "Reliable Fidelity and Diversity Metrics for Generative Models".
    """

    roles = ("inception",)
    alternative = ("encoder", "PRDC({}): precision")
    direction = "higher"
    unit = "share of images"
    title = "PRDC: precision"
    summary = "Precision of the images among the real ones, with recall, density and coverage, on Inception features"
    headline = ("", "recall", "density", "coverage")
    range = (0.0, 1.0)
    ranges: ClassVar[Mapping[str, tuple[float, float]]] = {"density": (0.0, inf)}
    thresholds: ClassVar[Mapping[str, float]] = {"k": 3, "k_density": 5}
    reference: SampleRows

    def __init__(self, task: Task):
        super().__init__(task)
        self._last: tuple[Any, Neighbourhoods] | None = None  # the sets that were measured last, and what came out

    def score(self) -> Score:
        made = self._samples.in_order()
        if missing := self._too_few():
            return Score.skipped(missing, n=len(made))
        prdc = self._measured(made)
        score = self.mean(prdc.precise, made.groups)
        score.also = {
            "recall": self._of_real("recall", prdc.recall, prdc.recall_without, made.groups),
            "density": self.mean(prdc.density, made.groups, "density"),
            "coverage": self._of_real("coverage", prdc.coverage, prdc.coverage_without, made.groups),
        }
        sizes = {"n": len(made), "n_reference": len(self.reference), "d": made.shape[1]}
        score.detail = {"sizes": {name: float(size) for name, size in sizes.items()}}
        return score

    def per_sample(self) -> Mapping[str, Mapping[str, float | None]]:
        """ "" (precision, 0 or 1) and `density`; recall and coverage are no means over samples."""
        if self._skipped() or self._too_few():
            return {}
        made = self._samples.in_order()
        prdc = self._measured(made)
        return {"": by_sample(made.ids, prdc.precise), "density": by_sample(made.ids, prdc.density)}

    def _too_few(self) -> str | None:
        k, k_density = self.thresholds["k"], self.thresholds["k_density"]
        if len(self._samples) <= k:
            return f"needs more than {k:.0f} images, so that each has {k:.0f} neighbours"
        if len(self.reference) <= max(k, k_density):
            return f"needs more than {max(k, k_density):.0f} images in the reference"
        return None

    def _of_real(self, column: str, value: float, without: np.ndarray, groups: Sequence[str]) -> Score:
        """A mean over the real images, whose error is that of the samples."""
        jack = jackknife(value, without.tolist(), groups)
        return self.scored(jack, column, n=len(groups), detail=jack.detail())

    def _measured(self, made: OrderedRows) -> Neighbourhoods:
        """Once for `compute` and `per_sample`. Rows are only added, so their number tells whether they are the same."""
        sets = (self._samples, len(self._samples), self.reference, len(self.reference))
        if self._last is None or self._last[0] != sets:
            k, k_density = int(self.thresholds["k"]), int(self.thresholds["k_density"])
            self._last = sets, neighbourhoods(self.reference.in_order(), made, k, k_density, made.groups)
        return self._last[1]
