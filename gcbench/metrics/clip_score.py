"""CLIP score: how near does an image lie to its text in the space that CLIP learnt for both?"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from gcbench.core.samples import Features, Samples
from gcbench.metrics.mean_metric import MeanMetric


class CLIPScore(MeanMetric):
    """100 · mean_i cos(v_i, t_i), in [-100,100].

    v_i, t_i [d]: CLIP's embeddings of image i and of its prompt; cos(a, b) = a·b / (|a| |b|), in float64. Not
    clamped: a cosine below 0 counts as it is. torchmetrics puts 0 for a mean below 0, and the source below puts 0 for
    each such cosine and scales by 2.5 instead of 100. A prompt longer than CLIP reads is scored by its beginning and
    counted in the detail (`prompts: truncated`).

    Bias: none of its own (a mean over images). Real images do not score 100, and values of different CLIP models
    are not comparable: read it between ceiling and floor.
    Source: Hessel et al. 2021, "CLIPScore: A Reference-free Evaluation Metric for Image Captioning".
    """

    needs = frozenset({"images", "prompts"})
    roles = ("clip",)
    direction = "higher"
    unit = "100 · cosine"
    title = "CLIP score"
    summary = "100 times the mean cosine of CLIP's embeddings of image and prompt"
    range = (-100.0, 100.0)
    axis = "correspondence"
    gain = 0.05

    broken = "the clip evaluator gave embeddings that are zero or not finite"

    def values(self, samples: Samples, features: Mapping[str, Features]) -> Mapping[str, np.ndarray]:
        vectors, texts = self.seen(features, "vectors"), self.seen(features, "texts")  # [B,d] each
        cosines = _cosines(vectors.double().cpu().numpy(), texts.vectors.double().cpu().numpy())  # [B]
        return {"": 100 * cosines, "truncated": texts.truncated.cpu().numpy()[:, None]}  # [B], [B,1]

    def detail(self, kept: Mapping[str, np.ndarray]) -> dict[str, Any]:
        return {"prompts": {"truncated": float(kept["truncated"].sum())}}


def _cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Row by row of [B,d]; infinite where a row is zero or not finite."""
    with np.errstate(invalid="ignore"):
        lengths = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))  # [B]
        cosines = np.divide((a * b).sum(axis=1), lengths, out=np.full(len(a), np.inf), where=lengths > 0)
    return np.where(np.isfinite(cosines), cosines, np.inf)
