"""FD: do the images look real to the dataset's own segmenter, or to an encoder that the user names?"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, ClassVar

import numpy as np

from gcbench.core.contracts import Task
from gcbench.core.score import Score
from gcbench.metrics.pooled import PooledMetric
from gcbench.statistics.frechet import frechet_jackknife
from gcbench.statistics.moments import Features, Growing, Moments


class FD(PooledMetric):
    """|m_r - m_g|² + tr(S_r + S_g - 2 (S_r S_g)^½) on pooled features [n,d] of the images: the segmenter's, or those of
    the encoder that `--evaluator encoder=…` names, and then it is called after that one, such as FD(DINOv2-L).

    m [d] and S [d,d] are the mean and the sample covariance (divisor n - 1); r: real images of the split;
    g: the samples. In squared units of the features, so values of different networks are not comparable. It
    is no FID: that name belongs to the Inception network of 2015, and the two differ in scale and in what
    they see.

    Bias: too large in small samples, by a term in 1/n, strongly where n ≤ d: compare at equal n. n, d and
    rank are in the detail, and a warning where n ≤ d. Source: Dowson & Landau 1982, "The Fréchet distance between
    multivariate normal distributions"; on DINOv2's features Stein et al. 2023, "Exposing flaws of generative model
    evaluation metrics and their unfair treatment of diffusion models".
    """

    roles = ("segmenter",)
    alternative: ClassVar[tuple[str, str] | None] = ("encoder", "FD({})")
    direction = "lower"
    unit = "squared feature units"
    title = "FD(segmenter)"
    summary = "Fréchet distance between real and generated images on the segmenter's or an encoder's features (not FID)"
    range = (0.0, inf)
    axis = "realism"
    default = True
    reference: "Growing | Summed"  # type: ignore[assignment]

    def __init__(self, task: Task):
        super().__init__(task)
        self.reference = Growing()  # a row: float32 [d]

    def take_moments(self, mean: np.ndarray, covariance: np.ndarray, n: int) -> bool:
        self.reference = Summed(Moments(mean, covariance, n))
        return True

    def score(self) -> Score:
        made = self._samples.in_order()
        if isinstance(self.reference, Summed) and len(self.reference.moments.mean) != made.shape[1]:
            d = len(self.reference.moments.mean)
            return Score.skipped(
                f"the reference is of {d} features, and this {self.roles[0]} gives {made.shape[1]}", n=len(made)
            )
        return frechet_score(self.reference.condensed(), made, made.groups)


@dataclass(frozen=True)
class Summed:
    """A reference of which only mean and covariance are known."""

    moments: Moments

    def __len__(self) -> int:
        return self.moments.n or FD.least

    def condensed(self) -> Moments:
        return self.moments


def frechet_score(
    reference: "Features | Moments", samples: Features, groups: Sequence[str], unscored: int = 0
) -> Score:
    """The Fréchet distance of samples [n,d] from the reference, with its jackknife over groups.

    detail: the two `parts` of the distance; `sizes` n, n of the reference, d and rank; the jackknife's `influence` and
    `blocks`; `warnings` where n ≤ d, because the bias is strong there.
    ValueError: as `frechet_distance`.
    """
    frechet, jack = frechet_jackknife(reference, samples, groups)
    detail: dict[str, Any] = {
        "parts": {"mean": frechet.mean_part, "covariance": frechet.covariance_part},
        "sizes": {"n": frechet.n, "n_reference": frechet.n_reference or None, "d": frechet.d, "rank": frechet.rank},
        **jack.detail(),
    }
    if frechet.n <= frechet.d:
        detail["warnings"] = {"n_not_above_d": 1.0}
    return Score.of(jack, n=frechet.n, unscored=unscored, within=(0.0, inf), detail=detail)
