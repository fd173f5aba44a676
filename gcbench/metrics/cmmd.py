"""CMMD: the Gaussian kernel distance between real and generated images on CLIP's embeddings."""

from collections.abc import Mapping
from math import inf
from typing import ClassVar

import numpy as np

from gcbench.core.score import Score
from gcbench.metrics.pooled import PooledMetric
from gcbench.statistics.cosine import unit_rows
from gcbench.statistics.gaussian_mmd import gaussian_mmd
from gcbench.statistics.sample_rows import SampleRows


class CMMD(PooledMetric):
    """1000 · [mean_{i,j} k(x_i, x_j) + mean_{i,j} k(y_i, y_j) - 2 mean_{i,j} k(x_i, y_j)],
    k(x, y) = exp(-|x - y|² / 2σ²) with σ = `sigma` = 10.

    x_i: CLIP's embeddings of the n samples, y_j: of the real images, each divided by its length. The network is CLIP
    ViT-L/14 at 336 pixels. `--evaluator encoder=…` takes that encoder's features instead, and the number is then called
    after it, such as MMD(DINOv2-L): it is no CMMD.

    As in the authors' code, the means are over all pairs, i = j too. The column `unbiased` leaves these out of the
    first two, as the paper's formula does. Images: the authors cut out the central square and resize it to 336 pixels
    (bicubic as PIL's on 8-bit images); CLIP's own way, taken here, resizes first and cuts then. Of square images both
    are the same, of others the pixels at the two cut edges differ a little.

    Bias: the value is too large by about 1000 (1 - mean k) (1/n + 1/m); `unbiased` has none, and may be below 0.
    Intervals: jackknife over groups, the reference fixed. An embedding of length 0 has no direction, and fails.
    Source: Jayasumana et al. 2024, "Rethinking FID: Towards a Better Evaluation Metric for Image Generation".
    """

    roles = ("clip",)
    alternative = ("encoder", "MMD({})")
    direction = "lower"
    unit = "1000 · MMD²"
    title = "CMMD"
    summary = "Gaussian kernel distance between real and generated images on CLIP's embeddings"
    range = (0.0, inf)
    ranges: ClassVar[Mapping[str, tuple[float, float]]] = {"unbiased": (-inf, inf)}
    axis = "realism"
    thresholds: ClassVar[Mapping[str, float]] = {"sigma": 10, "scale": 1000}
    reference: SampleRows

    def score(self) -> Score:
        samples = self._samples.in_order()
        real, made = unit_rows(self.reference.in_order()[:]), unit_rows(samples[:])  # [m,d], [n,d]
        if np.isnan(real).any() or np.isnan(made).any():
            return Score.failed(f"the {self.roles[0]} evaluator gave embeddings that are zero", n=len(made))
        sigma, scale = self.thresholds["sigma"], self.thresholds["scale"]
        biased, unbiased = gaussian_mmd(real, made, sigma, samples.groups, scale)
        score = self.scored(
            biased,
            n=len(made),
            detail={
                "sizes": {"n": len(made), "n_reference": len(real), "d": made.shape[1]},
                **biased.detail(),
            },
        )
        score.also = {"unbiased": self.scored(unbiased, "unbiased", n=len(made), detail=unbiased.detail())}
        return score
