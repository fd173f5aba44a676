"""FD(segmenter): do the pictures look real to the dataset's own segmenter?"""

from collections.abc import Mapping

import numpy as np

from gcbench.core.contracts import Metric, Task
from gcbench.core.samples import Features, Samples
from gcbench.core.score import Score
from gcbench.statistics.blocks import Blocks
from gcbench.statistics.frechet import condense, frechet_distance
from gcbench.statistics.intervals import block_jackknife


class FD(Metric):
    """|m_r - m_g|² + tr(S_r + S_g - 2 (S_r S_g)^½) on the segmenter's pooled features [n,d] of the pictures.

    m [d] and S [d,d] are the mean and the sample covariance (divisor n - 1); r: real pictures of the split;
    g: the samples. In squared units of the features, so values of different segmenters are not comparable. It
    is no FID: that name belongs to the Inception network of 2015, and the two differ in scale and in what
    they see.

    Bias: too large in small samples, by a term in 1/n, strongly where n ≤ d: compare at equal n. n, d and
    rank are in the detail. Source: Dowson & Landau 1982, "The Fréchet distance between multivariate normal
    distributions".
    """

    needs = frozenset({"images", "reference"})
    roles = ("segmenter",)
    direction = "lower"
    unit = "squared feature units"
    title = "FD(segmenter)"
    summary = "Fréchet distance between real and generated pictures on the segmenter's features (not FID)"

    def __init__(self, task: Task):
        super().__init__(task)
        self.reference = Blocks()  # a row: float32 [d]
        self._samples = Blocks()

    def update_reference(self, samples: Samples, features: Mapping[str, Features]) -> None:
        self.reference.add(samples.ids, _vectors(features))

    def update(self, samples: Samples, features: Mapping[str, Features]) -> None:
        self._samples.add(samples.ids, _vectors(features))

    def merge(self, other: Metric) -> None:
        assert isinstance(other, FD)
        self._samples.merge(other._samples)

    def compute(self) -> Score:
        if len(self._samples) < 2:
            return Score.skipped("needs at least 2 pictures", n=len(self._samples))
        if len(self.reference) < 2:
            return Score.skipped("needs at least 2 pictures in the reference")
        real, made = self.reference.sorted().values, self._samples.sorted().values  # float32 [n,d]
        if not (np.isfinite(real).all() and np.isfinite(made).all()):
            return Score.failed("the segmenter gave features that are not finite", n=len(made))
        reference = condense(real)
        frechet = frechet_distance(reference, made)
        jack = block_jackknife(
            lambda kept: frechet_distance(reference, made[kept]).distance, frechet.n, value=frechet.distance
        )
        return Score(
            value=frechet.distance,
            standard_error=jack.standard_error,
            interval=jack.interval,
            n=frechet.n,
            detail={
                "parts": {"mean": frechet.mean_part, "covariance": frechet.covariance_part},
                "sizes": {
                    "n": frechet.n,
                    "n_reference": frechet.n_reference,
                    "d": frechet.d,
                    "rank": frechet.rank,
                },
                "left_out": list(jack.left_out),
            },
        )


def _vectors(features: Mapping[str, Features]) -> np.ndarray:
    vectors = features["segmenter"].vectors  # [B,d]
    assert vectors is not None
    return vectors.float().cpu().numpy()
