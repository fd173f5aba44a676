"""Metrics that are means over images: a subclass gives the values of a batch, and this does the rest."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from gcbench.core.contracts import Metric, State, Task
from gcbench.core.errors import UserError
from gcbench.core.samples import Features, Samples
from gcbench.core.score import Score
from gcbench.metrics.row_metric import RowMetric, by_sample

if TYPE_CHECKING:
    import torch

Values: TypeAlias = "torch.Tensor | np.ndarray | Sequence[float | None]"


class MeanMetric(RowMetric):
    """mean_i v(x_i), with the bootstrap over groups, for one column or several.

    A subclass declares itself and writes `values`. What is derived: skipped where the samples lack what it `needs`,
    where there are no images, or where none is scored; failed where a value is infinite; ids, groups, merge, state,
    and the values per sample. It may also write `unfit` (a dataset without what it needs) and `detail`.
    """

    def __init__(self, task: Task):
        super().__init__(task)
        self._shapes: dict[str, list[int]] = {}  # of what is kept of an image, by name: [] for a column

    @abstractmethod
    def values(self, samples: Samples, features: Mapping[str, Features]) -> Mapping[str, Values]:
        """column -> one value an image [B], "" for the metric's own value; NaN or None where an image is unscored.

        Arrays of more dimensions [B,...] are no columns; they are kept for `detail`.
        """

    def detail(self, kept: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """The score's detail, from all that `values` gave, of all samples in order: float64 [n] and [n,...]."""
        return {}

    def rows(self, samples: Samples, features: Mapping[str, Features]) -> np.ndarray:
        """All values of an image side by side: float64 [B,D]."""
        arrays = {name: _array(values) for name, values in self.values(samples, features).items()}
        for name, values in arrays.items():
            if values.shape[:1] != (len(samples),):
                raise UserError(
                    f"{type(self).__name__}.values gave an array of shape {values.shape} for {len(samples)} images in"
                    f" {name!r}; give one value an image"
                )
        self._agree({name: list(values.shape[1:]) for name, values in arrays.items()})
        return np.concatenate([values.reshape(len(samples), -1) for values in arrays.values()], axis=1)

    def merge(self, other: Metric) -> None:
        if isinstance(other, type(self)) and other._shapes:
            self._agree(other._shapes)
        super().merge(other)

    def state(self) -> State:
        return {**super().state(), "shapes": [[name, shape] for name, shape in self._shapes.items()]}

    def _restore(self, state: State) -> None:
        shapes = {name: list(shape) for name, shape in state["shapes"]}
        super()._restore(state)
        self._shapes = shapes

    def score(self) -> Score:
        rows = self._samples.sorted()
        kept = self._kept(rows.values)
        scores = {name: self.mean(v, rows.groups, name) for name, v in kept.items() if v.ndim == 1}
        score = scores.pop("")
        if score.status == "failed":
            return score
        score.also, score.detail = scores, self.detail(kept)
        return score

    def per_sample(self) -> Mapping[str, Mapping[str, float | None]]:
        if self._skipped():
            return {}
        rows = self._samples.sorted()
        return {name: by_sample(rows.ids, v) for name, v in self._kept(rows.values).items() if v.ndim == 1}

    def _agree(self, shapes: dict[str, list[int]]) -> None:
        """Every batch has the same columns."""
        if "" not in shapes or (self._shapes and self._shapes != shapes):
            expected = list(self._shapes or [""])
            raise UserError(f"{type(self).__name__}.values gave {list(shapes)}, not {expected}; give all at each batch")
        self._shapes = shapes

    def _kept(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """What `rows` put side by side [n,D], by name."""
        ends = np.cumsum([np.prod(shape, dtype=int) for shape in self._shapes.values()])
        parts = np.split(rows, ends[:-1], axis=1)
        return {
            name: part.reshape(len(rows), *shape)
            for (name, shape), part in zip(self._shapes.items(), parts, strict=True)
        }


def _array(values: Values) -> np.ndarray:
    numbers = values.detach().cpu().numpy() if hasattr(values, "detach") else values  # of a tensor
    return np.array(numbers, dtype=np.float64)  # None becomes NaN
