"""Semantic Recall: does an image show the classes that its text names?"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from gcbench.core.samples import Features, Samples
from gcbench.metrics.mean_metric import MeanMetric
from gcbench.text.class_mentions import class_mentions


class SemanticRecall(MeanMetric):
    """mean_i |classes(F(x_i)) ∩ C_i| / |C_i|, in [0,1].

    C_i: the classes that prompt i names, void excluded. F: the segmenter, its labels [H,W] at the image's
    own size. A class is found from `min_pixels` = 1 pixel on (the paper's rule); the column `recall@0.1%`
    asks for `min_area` of the image, hence for 1 pixel at least. void is never found. A prompt that names no
    class is unscored and counted. Beside it, precision: |found ∩ C_i| / |found|, where an image with nothing
    found is unscored; a noisy image in which F sees every class has recall 1 and shows up there. Both in one number,
    F1: 2 |found ∩ C_i| / (|found| + |C_i|), the harmonic mean of the two, and 0 where nothing is found.

    What prompt i only denies ("no cars", "car-free"; the rules: `gcbench.text.negation`), D_i, is not in C_i: found
    all the same it lowers precision, as all that is found and not wanted does. A prompt that only denies is unscored.
    `detail` counts both (`negated`, `prompts`), and says how often what is denied is found (`negated_found`).

    Bias: none of its own (a mean over images), but F errs on real images too: read it between ceiling and
    floor. Source: "Learning to Generate Semantic Layouts for Higher Text-Image Correspondence in
    Text-to-Image Synthesis", ICCV 2023, which reports the 1-pixel recall only.
    """

    needs = frozenset({"images", "prompts"})
    roles = ("segmenter",)
    direction = "higher"
    unit = "share of named classes"
    title = "Semantic Recall"
    summary = "Share of the classes named in the prompt that a segmenter finds in the image"
    range = (0.0, 1.0)
    axis = "correspondence"
    headline = ("", "recall@0.1%", "precision")
    default = True
    gain = 0.005
    thresholds: ClassVar[Mapping[str, float]] = {"min_pixels": 1.0, "min_area": 0.001}

    unscored = "no prompt names a class, or nothing was found"

    def values(self, samples: Samples, features: Mapping[str, Features]) -> Mapping[str, np.ndarray]:
        labels = self.seen(features, "labels")  # [B,H,W]
        images = zip(samples.prompts or (), labels.cpu().numpy(), strict=True)
        rows = np.array([self._row(prompt, labels_i) for prompt, labels_i in images])  # [B,4,K]
        named, negated, small, large = rows.swapaxes(0, 1)  # bool [B,K] each
        silent = ~named.any(axis=1, keepdims=True)  # [B,1], prompts that name no class
        return {
            "": _share(named & small, named),
            "recall@0.1%": _share(named & large, named),
            "precision": _share(named & small, small & ~silent),
            "precision@0.1%": _share(named & large, large & ~silent),
            "f1": _f1(named, small),
            "f1@0.1%": _f1(named, large),
            "named": named,
            "negated": negated,
            "per_class": named & small,
            "per_class@0.1%": named & large,
            "negated_found": negated & small,
        }

    def detail(self, kept: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """Of the images whose prompt names a class, or denies it, the share that shows it; None where no prompt does.

        Where prompts deny: how many do, how many of them name no class, and how many deny which class.
        """
        detail: dict[str, Any] = {
            name: self._shares(kept[name], kept["named"]) for name in ("per_class", "per_class@0.1%")
        }
        negated = kept["negated"]  # [n,K]
        if negated.any():
            counts = negated.sum(axis=0)  # [K]
            detail["negated"] = {label: float(counts[k]) for k, label in enumerate(self.task.classes) if counts[k]}
            detail["negated_found"] = self._shares(kept["negated_found"], negated)
            denying = negated.any(axis=1)  # [n]
            alone = denying & ~kept["named"].any(axis=1)
            detail["prompts"] = {"denying": float(denying.sum()), "only denying": float(alone.sum())}
        return detail

    def _shares(self, part: np.ndarray, whole: np.ndarray) -> dict[str, float | None]:
        """Class -> Σ part / Σ whole, of [n,K]; None where the whole is empty; without void."""
        parts, wholes = part.sum(axis=0), whole.sum(axis=0)  # [K]
        return {
            label: float(parts[k] / wholes[k]) if wholes[k] else None
            for k, label in enumerate(self.task.classes)
            if k != self.task.void
        }

    def _row(self, prompt: str, labels: np.ndarray) -> np.ndarray:
        """Which classes are named, denied only, found from `min_pixels`, found from `min_area`: bool [4,K]."""
        mentions = class_mentions(prompt, self.task.aliases)
        affirmed = {mention.name for mention in mentions if not mention.negated}
        named = np.array([name in affirmed for name in self.task.classes])  # [K]
        negated = np.isin(self.task.classes, [mention.name for mention in mentions if mention.name not in affirmed])
        pixels = np.bincount(labels.ravel(), minlength=len(named))  # [K]
        if len(pixels) > len(named):
            raise ValueError(f"the segmenter gave label {len(pixels) - 1} of only {len(named)} classes")
        small = pixels >= self.thresholds["min_pixels"]
        large = pixels / labels.size >= self.thresholds["min_area"]
        row = np.stack([named, negated, small, large])  # [4,K]
        if self.task.void is not None:
            row[:, self.task.void] = False
        return row


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """|part| / |whole|, row by row of bool [n,K]; NaN where the whole is empty."""
    size = whole.sum(axis=1)  # [n]
    return np.divide(part.sum(axis=1), size, out=np.full(len(size), np.nan), where=size > 0)


def _f1(named: np.ndarray, found: np.ndarray) -> np.ndarray:
    """2 |found and named| / (|found| + |named|), row by row of bool [n,K]; NaN where nothing is named."""
    both, sizes = (named & found).sum(axis=1), named.sum(axis=1) + found.sum(axis=1)  # [n]
    return np.divide(2 * both, sizes, out=np.full(len(named), np.nan), where=named.any(axis=1))
