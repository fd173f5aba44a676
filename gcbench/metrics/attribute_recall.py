"""Attribute recall: does an image have the attributes that its text affirms?"""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from gcbench.text.attribute_mentions import affirmed
from gcbench.core.contracts import Metric, Task
from gcbench.core.samples import Features, Samples
from gcbench.core.score import Score
from gcbench.statistics.blocks import Blocks, Rows
from gcbench.statistics.intervals import cluster_bootstrap_mean


class AttributeRecall(Metric):
    """Σ_i |F(x_i) ∩ A_i| / Σ_i |A_i|, in [0,1]: the share of all affirmed attributes that is found in the images.

    A_i: the attributes that prompt i affirms, negations excluded (the rules: `gcbench.text.attribute_mentions`). F(x_i): those
    to which the attribute classifier gives at least `found_from` = 0.5. Pooled: a prompt that affirms five attributes
    weighs five times one that affirms one. The column `per_image`: the mean over images of |F(x_i) ∩ A_i| / |A_i|.
    A prompt that affirms nothing is unscored and counted. An attribute of the dataset that the classifier does not know
    (its probability is NaN) is unscored wherever it is affirmed, and counted (`pairs`). n: the images scored.

    There is no precision beside it: captions name some of what an image shows, so an attribute that is found and not
    named is no error. A classifier that finds everything has recall 1; the floor shows it.

    Interval: bootstrap over groups, of the ratio itself. Bias: none of its own, but F errs on real images too: read
    it between ceiling and floor. Source: the engine's own definition; the attributes are CelebA's (Liu et al. 2015,
    "Deep Learning Face Attributes in the Wild").
    """

    needs = frozenset({"images", "prompts"})
    roles = ("attributes",)
    direction = "higher"
    unit = "share of affirmed attributes"
    title = "Attribute recall"
    summary = "Share of the attributes affirmed in the prompt that a classifier finds in the image"
    range = (0.0, 1.0)
    axis = "correspondence"
    headline = ("", "per_image")
    gain = 0.005
    thresholds: ClassVar[Mapping[str, float]] = {"found_from": 0.5}

    def __init__(self, task: Task):
        super().__init__(task)
        self._images = Blocks()  # a row: bool [3,A], affirmed / known to the classifier / found
        self._prompts_missing = False

    def update(self, samples: Samples, features: Mapping[str, Features]) -> None:
        if samples.prompts is None:
            self._prompts_missing = True
            return
        probabilities = features["attributes"].probabilities  # [B,A]
        assert probabilities is not None
        given = probabilities.cpu().numpy()
        if given.shape[1] != len(self.task.attributes):
            raise ValueError(f"the classifier gave {given.shape[1]} of {len(self.task.attributes)} attributes")
        said = np.array([self._affirmed(prompt) for prompt in samples.prompts])  # [B,A]
        found = given >= self.thresholds["found_from"]
        self._images.add(samples.ids, np.stack([said, ~np.isnan(given), found], axis=1), samples.groups)  # [B,3,A]

    def merge(self, other: Metric) -> None:
        assert isinstance(other, AttributeRecall)
        self._images.merge(other._images)
        self._prompts_missing |= other._prompts_missing

    def compute(self) -> Score:
        if not self.task.attributes:
            return Score.skipped("the dataset has no attributes")
        if self._prompts_missing:
            return Score.skipped("the samples have no prompts")
        if not len(self._images):
            return Score.skipped("no images")
        rows = self._images.sorted()
        asked, hit = _asked(rows), _hit(rows)  # bool [n,A]
        scored = np.flatnonzero(asked.any(axis=1))
        n, unscored = len(scored), len(asked) - len(scored)
        if not n:
            return Score.skipped("no prompt affirms an attribute that the classifier knows", unscored=unscored)
        image, _ = np.nonzero(asked)  # [pairs]
        pooled = cluster_bootstrap_mean(hit[asked], [rows.groups[i] for i in image], seed=0)
        mean = cluster_bootstrap_mean(_shares(rows)[scored], [rows.groups[i] for i in scored], seed=0)
        return Score(
            **pooled._asdict(),
            n=n,
            unscored=unscored,
            also={"per_image": Score(**mean._asdict(), n=n, unscored=unscored)},
            detail={
                "per_attribute": self._by_attribute(hit.sum(axis=0), asked.sum(axis=0)),
                "affirmed": self._by_attribute(rows.values[:, 0].sum(axis=0)),
                "pairs": {"scored": int(asked.sum()), "unscored": int((rows.values[:, 0] & ~rows.values[:, 1]).sum())},
            },
        )

    def per_sample(self) -> Mapping[str, Mapping[str, float | None]]:
        """`per_image`: |F ∩ A_i| / |A_i|. `attribute-recall`: |F ∩ A_i| / mean |A|, whose mean is the pooled value.

        None where nothing is asked of an image. The second may exceed 1.
        """
        if self._prompts_missing or not len(self._images):
            return {}
        rows = self._images.sorted()
        asked = _asked(rows).sum(axis=1)  # [n]
        parts = np.divide(_hit(rows).sum(axis=1), asked[asked > 0].mean() if asked.any() else 1.0)  # [n]
        return {
            name: {i: float(v) if k else None for i, v, k in zip(rows.ids, values, asked, strict=True)}
            for name, values in {"attribute-recall": parts, "per_image": _shares(rows)}.items()
        }

    def _affirmed(self, prompt: str) -> list[bool]:
        said = affirmed(prompt, self.task.attribute_words)
        return [name in said for name in self.task.attributes]

    def _by_attribute(self, part: np.ndarray, whole: np.ndarray | None = None) -> dict[str, float | None]:
        """Counts [A], or their shares of `whole` [A] with None where that is 0."""
        whole = np.ones(len(part)) if whole is None else whole
        return {name: float(part[k] / whole[k]) if whole[k] else None for k, name in enumerate(self.task.attributes)}


def _asked(rows: Rows) -> np.ndarray:
    """Affirmed and known to the classifier: bool [n,A]."""
    return rows.values[:, 0] & rows.values[:, 1]


def _hit(rows: Rows) -> np.ndarray:
    return _asked(rows) & rows.values[:, 2]


def _shares(rows: Rows) -> np.ndarray:
    """Each image's own recall [n]; NaN where nothing is asked of it."""
    asked = _asked(rows).sum(axis=1)  # [n]
    return np.divide(_hit(rows).sum(axis=1), asked, out=np.full(len(asked), np.nan), where=asked > 0)
