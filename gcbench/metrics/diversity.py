"""Diversity: how unlike are the images that a model draws of one prompt from several seeds?"""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from gcbench.core.samples import Features, Samples
from gcbench.core.score import Score
from gcbench.metrics.pooled import PooledMetric
from gcbench.metrics.row_metric import by_sample
from gcbench.statistics.cosine import distances_within, unit_rows

KEYS, BITS = 3, 22
"""Numbers by which a row tells its prompt, and bits of each: whole numbers that float32 holds exactly."""


class Diversity(PooledMetric):
    """mean_i v_i,   v_i = mean_j 1 - cos(f(x_i), f(x_j)) over the other samples j of i's prompt.

    f: features of the encoder (DINOv2 by default). 0 where all images of a prompt are one, 1 where they are as unlike
    as can be expected of unrelated directions. Of equally many samples a prompt it is the mean over prompts of the mean
    pairwise distance.

    It needs several samples of a prompt: `gcbench sweep --per-prompt K`, or finished images of which several have one
    text. A prompt with one sample is unscored, and its image counted. detail: how many prompts have one sample, and how
    many several. Higher is not better at any price: noise is diverse. Read it beside a metric of correspondence.

    Bias: none, whatever the number of seeds, a mean over pairs. Interval: bootstrap over prompts (and groups: what
    shares a prompt or a group stays together). Source: the mean pairwise distance over seeds of Zhu et al. 2017,
    "Toward Multimodal Image-to-Image Translation", with the cosine distance of an encoder for LPIPS.
    """

    needs = frozenset({"images", "prompts"})
    roles = ("encoder",)
    direction = "higher"
    unit = "cosine distance"
    title = "Diversity"
    summary = "Mean cosine distance between images of one prompt in an encoder's features (sweep --per-prompt)"
    range = (0.0, 2.0)
    least = 1
    unscored = "every prompt has one sample; draw several with --per-prompt"
    broken = "the encoder gave features that are zero"

    def rows(self, samples: Samples, features: Mapping[str, Features]) -> np.ndarray:
        """The prompt's keys, then the features: float32 [B,3+d]."""
        assert samples.prompts is not None  # or the batch was lacking
        keys = np.array([_keys(text) for text in samples.prompts], dtype=np.float32)  # [B,3]
        return np.concatenate([keys, super().rows(samples, features).astype(np.float32)], axis=1)

    def score(self) -> Score:
        values, prompt, clusters = self._values()
        score = self.mean(values, clusters)
        sizes = np.bincount(prompt)
        score.detail = {"prompts": {"of_several": float((sizes > 1).sum()), "of_one": float((sizes == 1).sum())}}
        return score

    def per_sample(self) -> Mapping[str, Mapping[str, float | None]]:
        if self._skipped():
            return {}
        return {"": by_sample(self._samples.in_order().ids, self._values()[0])}

    def _values(self) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """v [n], NaN for a prompt's only sample and infinite for features without length; the prompts, numbered [n];
        what is dependent, n names."""
        _, rows, groups = self._samples.sorted()  # [n,3+d]
        prompt = np.unique(rows[:, :KEYS], axis=0, return_inverse=True)[1].reshape(-1)  # [n]
        units = unit_rows(rows[:, KEYS:])
        values = distances_within(units, prompt)
        values[np.isnan(units).any(axis=1)] = np.inf
        return values, prompt, _joined(prompt, groups)


def _keys(prompt: str) -> list[int]:
    number = int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:9])
    return [(number >> BITS * place) % 2**BITS for place in range(KEYS)]


def _joined(prompt: np.ndarray, groups: Sequence[str]) -> list[str]:
    """Names of what hangs together by a prompt or by a group."""
    group = np.unique(np.asarray(groups, dtype=str), return_inverse=True)[1]  # [n]
    first = prompt.max() + 1
    size = first + group.max() + 1
    graph = coo_array((np.ones(len(prompt)), (prompt, first + group)), shape=(size, size))
    return [str(part) for part in connected_components(graph, directed=False)[1][prompt]]
