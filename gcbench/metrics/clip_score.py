"""CLIP score: how near does an image lie to its text in the space that CLIP learnt for both?"""

from collections.abc import Mapping

import numpy as np

from gcbench.core.contracts import Metric, Task
from gcbench.core.samples import Features, Samples
from gcbench.core.score import Score
from gcbench.statistics.blocks import Blocks, Rows
from gcbench.statistics.intervals import cluster_bootstrap_mean


class CLIPScore(Metric):
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

    def __init__(self, task: Task):
        super().__init__(task)
        self._images = Blocks()  # a row: float64 [2], 100 · cosine and whether the prompt was truncated
        self._prompts_missing = False

    def update(self, samples: Samples, features: Mapping[str, Features]) -> None:
        if samples.prompts is None:
            self._prompts_missing = True
            return
        vectors, texts = features["clip"].vectors, features["clip"].texts
        assert vectors is not None
        assert texts is not None
        cosines = _cosines(vectors.double().cpu().numpy(), texts.vectors.double().cpu().numpy())  # [B]
        rows = np.stack([100 * cosines, texts.truncated.double().cpu().numpy()], axis=1)  # [B,2]
        self._images.add(samples.ids, rows, samples.groups)

    def merge(self, other: Metric) -> None:
        assert isinstance(other, CLIPScore)
        self._images.merge(other._images)
        self._prompts_missing |= other._prompts_missing

    def compute(self) -> Score:
        rows = self._rows()
        if rows is None:
            return Score.skipped("the samples have no prompts" if self._prompts_missing else "no images")
        values, truncated = rows.values[:, 0], rows.values[:, 1]  # [n] each
        if not np.isfinite(values).all():
            return Score.failed("the clip evaluator gave embeddings that are zero or not finite", n=len(values))
        mean = cluster_bootstrap_mean(values, rows.groups, seed=0)
        return Score(
            value=mean.value,
            standard_error=mean.standard_error,
            interval=mean.interval,
            n=len(values),
            detail={"prompts": {"truncated": float(truncated.sum())}},
        )

    def per_sample(self) -> Mapping[str, Mapping[str, float | None]]:
        """`clip-score`; None where an embedding was zero or not finite."""
        rows = self._rows()
        if rows is None:
            return {}
        pairs = zip(rows.ids, rows.values[:, 0], strict=True)
        return {"clip-score": {name: float(value) if np.isfinite(value) else None for name, value in pairs}}

    def _rows(self) -> Rows | None:
        return None if self._prompts_missing or not len(self._images) else self._images.sorted()


def _cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Row by row of [B,d]; NaN where a row is zero or not finite."""
    with np.errstate(invalid="ignore"):
        lengths = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))  # [B]
        return np.divide((a * b).sum(axis=1), lengths, out=np.full(len(a), np.nan), where=lengths > 0)
