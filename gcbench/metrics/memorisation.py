"""Memorisation: do generated images lie nearer to those of the training than real held-out images do?"""

from collections.abc import Mapping
from math import inf
from typing import ClassVar

import numpy as np

from gcbench.core.contracts import Task
from gcbench.core.samples import Features, Samples
from gcbench.core.score import Score
from gcbench.metrics.pooled import PooledMetric
from gcbench.metrics.row_metric import by_sample
from gcbench.statistics.cosine import nearest_distances, unit_rows
from gcbench.statistics.sample_rows import SampleRows


class Memorisation(PooledMetric):
    """mean_i P_j[d(x_i) < d(y_j)] + ½ P_j[d(x_i) = d(y_j)],   d(z) = min_t 1 - cos(f(z), f(t)).

    x_i: the n samples; y_j: the m held-out real images of the reference; t: the images that the model was trained on,
    as far as its weights say, else the dataset's training split; f: features of the encoder (DINOv2 by default). In
    words: the chance that a generated image is nearer to the training images than a real one that cannot have been
    copied from them. Where samples are as far from the training images as held-out images are, it is 0.5; near 1, they
    are copies or nearly so; far below 0.5, they are far from any real image. The column `ratio` is mean_i d(x_i) /
    mean_j d(y_j), 1 where they are as far. detail: the two mean distances, n, m, and how many were trained on.

    Distances fall with the number of training images, for both sides alike: neither column depends on it in
    expectation where both sets come from one distribution. What is measured is the nearness of whole images, in what
    the encoder sees; a copied part, or one in a thousand copied images, does not move it.

    Bias: none where the held-out images are independent of the training (whole sequences apart). Interval: bootstrap
    over groups of samples, the real images fixed. Skipped where the dataset has one split. The statistic is that of
    Meehan et al. 2020, "A Non-Parametric Test to Detect Data-Copying in Generative Models" (Mann and Whitney's U / nm,
    over one cell); nearest training images in a network's features: Somepalli et al. 2023, "Diffusion Art or Digital
    Forgery? Investigating Data Replication in Diffusion Models".
    """

    needs = frozenset({"images", "reference", "training"})
    roles = ("encoder",)
    direction = "lower"
    unit = "probability"
    title = "Memorisation"
    summary = "Chance that a generated image is nearer to the training images than a held-out real one; 0.5 is none"
    range = (0.0, 1.0)
    ranges: ClassVar[Mapping[str, tuple[float, float]]] = {"ratio": (0.0, inf)}
    headline = ("", "ratio")
    reference: SampleRows
    training: SampleRows

    def __init__(self, task: Task):
        super().__init__(task)
        self.training = SampleRows()  # a row: float32 [d]

    def update_training(self, samples: Samples, features: Mapping[str, Features]) -> None:
        if features[self.roles[0]].vectors is not None:
            self.training.add(samples.ids, self._vectors(samples, features, "the training images"))

    def score(self) -> Score:
        groups = self._samples.in_order().groups
        if not len(self.training):
            return Score.skipped("no images that the model was trained on", n=len(groups))
        made, held = self._distances()  # [n], [m]
        if np.isnan(made).any() or np.isnan(held).any():
            return Score.failed(f"the {self.roles[0]} evaluator gave features that are zero", n=len(groups))
        score = self.mean(_nearer(made, held), groups)
        if held.mean() > 0:
            score.also["ratio"] = self.mean(made / held.mean(), groups, "ratio")
        else:
            score.also["ratio"] = Score.skipped("all held-out images are training images", n=len(groups))
        sizes = {"n": len(made), "n_reference": len(held), "n_training": len(self.training)}
        score.detail = {
            "distance": {"generated": float(made.mean()), "held_out": float(held.mean())},
            "sizes": {name: float(size) for name, size in sizes.items()},
        }
        return score

    def per_sample(self) -> Mapping[str, Mapping[str, float | None]]:
        """ "" (the share of held-out images that are farther, 0 to 1) and `ratio`."""
        if self._skipped() or not len(self.training):
            return {}
        ids, (made, held) = self._samples.in_order().ids, self._distances()
        columns = {"": _nearer(made, held)} | ({"ratio": made / held.mean()} if held.mean() > 0 else {})
        return {name: by_sample(ids, values) for name, values in columns.items()}

    def _distances(self) -> tuple[np.ndarray, np.ndarray]:
        """To the nearest training image: of each sample [n], of each held-out image [m]; NaN where features have no
        length."""
        made, held, trained = (unit_rows(rows.in_order()[:]) for rows in (self._samples, self.reference, self.training))
        return nearest_distances(made, trained), nearest_distances(held, trained)


def _nearer(made: np.ndarray, held: np.ndarray) -> np.ndarray:
    """The share of `held` [m] that is larger, for each of `made` [n]; what is equal counts half."""
    ordered = np.sort(held)
    larger = len(held) - np.searchsorted(ordered, made, side="right")
    equal = np.searchsorted(ordered, made, side="right") - np.searchsorted(ordered, made, side="left")
    return (larger + equal / 2) / len(held)
