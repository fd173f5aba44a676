"""Attribute recall: does an image have the attributes that its text affirms?"""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from gcbench.core.samples import Features, Samples
from gcbench.core.score import Score
from gcbench.metrics.row_metric import RowMetric, by_sample
from gcbench.statistics.intervals import cluster_bootstrap_mean
from gcbench.statistics.sample_rows import Rows
from gcbench.text.attribute_mentions import affirmed


class AttributeRecall(RowMetric):
    """Σ_i |F(x_i) ∩ A_i| / Σ_i |A_i|, in [0,1]: the share of all affirmed attributes that is found in the images.

    A_i: the attributes that prompt i affirms, negations excluded (the rules: `gcbench.text.attribute_mentions`).
    F(x_i): those to which the attribute classifier gives at least `found_from` = 0.5. Pooled: a prompt that affirms
    five attributes weighs five times one that affirms one. The column `per_image`: the mean over images of |F(x_i) ∩
    A_i| / |A_i|. A prompt that affirms nothing is unscored and counted. An attribute of the dataset that the
    classifier does not know (its probability is NaN) is unscored wherever it is affirmed, and counted (`pairs`). n:
    the images scored.

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

    unscored = "no prompt affirms an attribute that the classifier knows"

    def unfit(self) -> str | None:
        return None if self.task.attributes else "the dataset has no attributes"

    def rows(self, samples: Samples, features: Mapping[str, Features]) -> np.ndarray:
        """Affirmed, known to the classifier, found: bool [B,3,A]."""
        probabilities = self.seen(features, "probabilities").cpu().numpy()  # [B,A]
        if probabilities.shape[1] != len(self.task.attributes):
            raise ValueError(f"the classifier gave {probabilities.shape[1]} of {len(self.task.attributes)} attributes")
        in_prompt = np.array([self._affirmed(prompt) for prompt in samples.prompts or ()])  # [B,A]
        predicted = probabilities >= self.thresholds["found_from"]
        return np.stack([in_prompt, ~np.isnan(probabilities), predicted], axis=1)

    def score(self) -> Score:
        rows = self._samples.sorted()
        asked, hit = _asked(rows), _hit(rows)  # bool [n,A]
        mean = self.mean(_shares(rows), rows.groups, "per_image")
        if mean.status != "ok":
            return mean
        image, _ = np.nonzero(asked)  # [pairs]
        pooled = cluster_bootstrap_mean(hit[asked], [rows.groups[i] for i in image], seed=0)
        return self.scored(
            pooled,
            n=mean.n,
            unscored=mean.unscored,
            also={"per_image": mean},
            detail={
                "per_attribute": self._by_attribute(hit.sum(axis=0), asked.sum(axis=0)),
                "affirmed": self._by_attribute(rows.values[:, 0].sum(axis=0)),
                "pairs": {"scored": int(asked.sum()), "unscored": int((rows.values[:, 0] & ~rows.values[:, 1]).sum())},
            },
        )

    def per_sample(self) -> Mapping[str, Mapping[str, float | None]]:
        """`per_image`: |F ∩ A_i| / |A_i|. "": |F ∩ A_i| / mean |A|, whose mean is the pooled value.

        None where nothing is asked of an image. The second may exceed 1.
        """
        if self._skipped():
            return {}
        rows = self._samples.sorted()
        asked = _asked(rows).sum(axis=1)  # [n]
        parts = np.divide(_hit(rows).sum(axis=1), asked[asked > 0].mean() if asked.any() else 1.0)  # [n]
        parts[asked == 0] = np.nan
        return {"": by_sample(rows.ids, parts), "per_image": by_sample(rows.ids, _shares(rows))}

    def _affirmed(self, prompt: str) -> list[bool]:
        names = affirmed(prompt, self.task.attribute_words)
        return [name in names for name in self.task.attributes]

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
