"""FSD: are the layouts as a whole composed like real ones?"""

from collections.abc import Mapping, Sequence
from math import inf

import numpy as np

from gcbench.core.contracts import Task
from gcbench.core.samples import Features, Samples
from gcbench.core.score import Score
from gcbench.metrics.fd import frechet_score
from gcbench.metrics.row_metric import RowMetric
from gcbench.statistics.sample_rows import SampleRows


class FSD(RowMetric):
    """The Fréchet segmentation distance: |m_r - m_g|² + tr(S_r + S_g - 2 (S_r S_g)^½), in per cent².

    m [K] and S [K,K] are the mean and the sample covariance (divisor n - 1) of h_i [K], the proportions of
    the classes in layout i in per cent of its area. r: ground-truth layouts of the split; g: the samples'
    layouts. The value keeps void as a class of its own; the column `void=drop` leaves it out and scales what
    is left of each layout to 100 (a layout that is void everywhere is unscored there). Only `void=drop` is
    fair to layouts of a segmenter that never says void.

    Bias: too large in small samples, by a term in 1/n: compare at equal n. Shares of classes only: it cannot
    see where they are. Source: Bau et al. 2019, "Seeing What a GAN Cannot Generate" (there both sets are
    segmented images); as used in "Learning to Generate Semantic Layouts for Higher Text-Image
    Correspondence in Text-to-Image Synthesis", ICCV 2023, whose unit and class set we infer to be these.
    """

    needs = frozenset({"layouts", "reference"})
    direction = "lower"
    unit = "per cent²"
    title = "FSD"
    summary = "Fréchet distance between the class proportions of generated and of real layouts"
    range = (0.0, inf)
    headline = ("", "void=drop")
    default = True

    least = 2

    def __init__(self, task: Task):
        super().__init__(task)
        self.reference = SampleRows()

    def update_reference(self, samples: Samples, features: Mapping[str, Features]) -> None:
        self.reference.add(samples.ids, self.rows(samples, features))

    def score(self) -> Score:
        _, made, groups = self._samples.sorted()  # [n,K]
        real = self.reference.sorted().values
        score = _score(real, made, groups, self.task.classes)
        if self.task.void is None:
            score.also["void=drop"] = Score.skipped("the dataset has no void class")
        else:
            names = tuple(name for k, name in enumerate(self.task.classes) if k != self.task.void)
            real, made = np.delete(real, self.task.void, axis=1), np.delete(made, self.task.void, axis=1)
            score.also["void=drop"] = _score(real, made, groups, names)
        return score

    def rows(self, samples: Samples, features: Mapping[str, Features]) -> np.ndarray:
        """How many pixels each class has in each layout: int64 [B,K]."""
        assert samples.layouts is not None  # or the batch was lacking; real pairs have them
        classes = len(self.task.classes)
        rows = [np.bincount(layout.ravel(), minlength=classes) for layout in samples.layouts.cpu().numpy()]
        if any(len(row) > classes for row in rows):
            raise ValueError(f"a layout has id {max(map(len, rows)) - 1}, the dataset has {classes} classes")
        return np.array(rows)


def _score(real: np.ndarray, made: np.ndarray, groups: Sequence[str], names: tuple[str, ...]) -> Score:
    """The distance between pixel counts [n,K] of real and made layouts; rows without a pixel are left out."""
    h_real, h_made = _per_cent(real), _per_cent(made)  # [n,K]
    unscored = len(made) - len(h_made)
    if min(len(h_real), len(h_made)) < 2:
        return Score.skipped("needs at least 2 images that are not all void", n=len(h_made), unscored=unscored)
    shown = [group for group, row in zip(groups, made, strict=True) if row.any()]
    score = frechet_score(h_real, h_made, shown, unscored)
    shift = h_made.mean(axis=0) - h_real.mean(axis=0)  # [K]
    score.detail["mean_shift"] = dict(zip(names, shift.tolist(), strict=True))
    return score


def _per_cent(pixels: np.ndarray) -> np.ndarray:
    """Pixel counts [n,K] to per cent of their sum, float64; rows without a pixel fall away."""
    area = pixels.sum(axis=1, keepdims=True)  # [n,1]
    kept = area[:, 0] > 0
    return 100 * pixels[kept] / area[kept]
