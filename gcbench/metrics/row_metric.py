"""What most metrics share: one row of numbers a sample as state, and the reasons why a set cannot be scored."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from gcbench.core.contracts import Metric, State, Task
from gcbench.core.errors import UserError
from gcbench.core.samples import Features, Samples
from gcbench.core.score import Score
from gcbench.statistics.intervals import cluster_bootstrap_mean
from gcbench.statistics.sample_rows import SampleRows


class RowMetric(Metric):
    """Keeps one row a sample, which batches fill and processes merge exactly.

    A subclass gives the rows of a batch (`rows`) and the score of all of them (`score`), which is only asked for where
    the set can be scored. If it has a reference, that has a length.

    least: how many images it takes, on each side. unscored: why no image has a value, in one line. broken: what an
    infinite value means.
    """

    least: ClassVar[int] = 1
    unscored: ClassVar[str] = "no image could be scored"
    broken: ClassVar[str] = "some images have values that are not finite"

    def __init__(self, task: Task):
        super().__init__(task)
        self._samples = SampleRows()
        self._refusals: set[str] = set()

    @abstractmethod
    def rows(self, samples: Samples, features: Mapping[str, Features]) -> np.ndarray:
        """What is kept of a batch: [B,...]."""

    @abstractmethod
    def score(self) -> Score:
        """The score of `_samples`, against `reference` if there is one."""

    def unfit(self) -> str | None:
        """Why the metric cannot be had on this dataset; None if it can."""
        return None

    def lacking(self, samples: Samples, features: Mapping[str, Features]) -> str | None:
        """Why a set that holds this batch cannot be scored; None if it can."""
        if "prompts" in self.needs and samples.prompts is None:
            return "the samples have no prompts"
        if "layouts" in self.needs and samples.layouts is None:
            return "the samples have no layouts"
        return None

    def update(self, samples: Samples, features: Mapping[str, Features]) -> None:
        if reason := self.lacking(samples, features):
            self._refusals.add(reason)
        else:
            self._samples.add(samples.ids, self.rows(samples, features), samples.groups)

    def merge(self, other: Metric) -> None:
        if not isinstance(other, RowMetric) or type(other) is not type(self):
            raise UserError(f"{type(self).__name__} cannot merge a {type(other).__name__}; merge states of one metric")
        self._samples.merge(other._samples)
        self._refusals |= other._refusals

    def state(self) -> State:
        """Ids in their order, their groups, a tensor of rows if there are any, and the refusals; no reference."""
        import torch

        state: State = {"ids": [], "groups": [], "refusals": sorted(self._refusals)}
        if len(self._samples):
            ids, values, groups = self._samples.sorted()
            state |= {"ids": ids, "groups": groups, "rows": torch.from_numpy(values)}
        return state

    def load(self, state: State) -> None:
        try:
            self._restore(state)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            name = type(self).__name__
            raise UserError(f"this is no state of {name} ({error!r}); measure these samples again") from error

    def _restore(self, state: State) -> None:
        """All of `state`, or an error and nothing."""
        samples, refusals = SampleRows(), set(state["refusals"])
        if state["ids"]:
            samples.add(state["ids"], state["rows"].cpu().numpy(), state["groups"])
        self._samples, self._refusals = samples, refusals

    def compute(self) -> Score:
        return self._skipped() or self.score()

    def mean(self, values: np.ndarray, groups: Sequence[str], column: str = "") -> Score:
        """The mean of values [n] over the images that are scored, those that are not NaN; bootstrap over groups."""
        if np.isinf(values).any():
            return Score.failed(self.broken, n=len(values))
        scored = np.flatnonzero(~np.isnan(values))
        unscored = len(values) - len(scored)
        if not len(scored):
            return Score.skipped(self.unscored, unscored=unscored)
        mean = cluster_bootstrap_mean(values[scored], [groups[int(i)] for i in scored], seed=0)
        return self.scored(mean, column, n=len(scored), unscored=unscored)

    def seen(self, features: Mapping[str, Features], field: str) -> Any:
        """A field of what the metric's evaluator said; UserError if that evaluator does not give it."""
        role = self.roles[0]
        if (value := getattr(features[role], field)) is None:
            raise UserError(f"this {role} gives no {field}, which {self.title} reads; choose another with --evaluator")
        return value

    def _skipped(self) -> Score | None:
        """Why there is no score, if there is none."""
        n = len(self._samples)
        if reason := self.unfit() or "; ".join(sorted(self._refusals)):
            return Score.skipped(reason)
        if n < self.least:
            return Score.skipped("no images" if self.least == 1 else f"needs at least {self.least} images", n=n)
        if "reference" in self.needs and len(self.reference) < self.least:
            return Score.skipped(f"needs at least {self.least} images in the reference")
        return None


def by_sample(ids: Sequence[str], values: np.ndarray) -> dict[str, float | None]:
    """A column [n] by sample id; None where there is no number."""
    return {name: float(v) if np.isfinite(v) else None for name, v in zip(ids, values, strict=True)}
