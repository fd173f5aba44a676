"""Semantic Recall: does an image show the classes that its text names?"""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from gcbench.core.contracts import Metric, Task
from gcbench.text.class_mentions import named_classes
from gcbench.core.samples import Features, Samples
from gcbench.core.score import Score
from gcbench.statistics.blocks import Blocks, Rows
from gcbench.statistics.intervals import cluster_bootstrap_mean


class SemanticRecall(Metric):
    """mean_i |classes(F(x_i)) ∩ C_i| / |C_i|, in [0,1].

    C_i: the classes that prompt i names, void excluded. F: the segmenter, its labels [H,W] at the image's
    own size. A class is found from `min_pixels` = 1 pixel on (the paper's rule); the column `recall@0.1%`
    asks for `min_area` of the image, hence for 1 pixel at least. void is never found. A prompt that names no
    class is unscored and counted. Beside it, precision: |found ∩ C_i| / |found|, where an image with nothing
    found is unscored; a noisy image in which F sees every class has recall 1 and shows up there.

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

    def __init__(self, task: Task):
        super().__init__(task)
        self._images = Blocks()  # a row: bool [3,K], named / found from 1 pixel / found from 0.1 %
        self._prompts_missing = False

    def update(self, samples: Samples, features: Mapping[str, Features]) -> None:
        if samples.prompts is None:
            self._prompts_missing = True
            return
        labels = features["segmenter"].labels  # [B,H,W]
        assert labels is not None
        images = zip(samples.prompts, labels.cpu().numpy(), strict=True)
        rows = [self._row(prompt, labels_i) for prompt, labels_i in images]
        self._images.add(samples.ids, np.array(rows), samples.groups)  # [B,3,K]

    def merge(self, other: Metric) -> None:
        assert isinstance(other, SemanticRecall)
        self._images.merge(other._images)
        self._prompts_missing |= other._prompts_missing

    def compute(self) -> Score:
        if self._prompts_missing:
            return Score.skipped("the samples have no prompts")
        if not len(self._images):
            return Score.skipped("no images")
        rows = self._images.sorted()
        scores = {name: _mean(values, rows.groups) for name, values in _columns(rows).items()}
        score = scores.pop("semantic-recall")
        score.also = scores
        score.detail = {"per_class": self._per_class(rows, 1), "per_class@0.1%": self._per_class(rows, 2)}
        return score

    def per_sample(self) -> Mapping[str, Mapping[str, float | None]]:
        """`semantic-recall`, `recall@0.1%`, `precision`, `precision@0.1%`; None where it is unscored."""
        if self._prompts_missing or not len(self._images):
            return {}
        rows = self._images.sorted()
        return {
            name: {i: None if np.isnan(v) else float(v) for i, v in zip(rows.ids, values, strict=True)}
            for name, values in _columns(rows).items()
        }

    def _row(self, prompt: str, labels: np.ndarray) -> np.ndarray:
        """Which classes are named, found from `min_pixels`, found from `min_area`: bool [3,K]."""
        names = named_classes(prompt, self.task.aliases)
        named = np.array([name in names for name in self.task.classes])  # [K]
        pixels = np.bincount(labels.ravel(), minlength=len(named))  # [K]
        if len(pixels) > len(named):
            raise ValueError(f"the segmenter gave label {len(pixels) - 1} of only {len(named)} classes")
        small = pixels >= self.thresholds["min_pixels"]
        large = pixels / labels.size >= self.thresholds["min_area"]
        row = np.stack([named, small, large])  # [3,K]
        if self.task.void is not None:
            row[:, self.task.void] = False
        return row

    def _per_class(self, rows: Rows, found: int) -> dict[str, float | None]:
        """Of the images whose prompt names a class, the share that shows it; None where no prompt does."""
        asked = rows.values[:, 0].sum(axis=0)  # [K]
        hit = (rows.values[:, 0] & rows.values[:, found]).sum(axis=0)  # [K]
        return {
            name: float(hit[k] / asked[k]) if asked[k] else None
            for k, name in enumerate(self.task.classes)
            if k != self.task.void
        }


def _columns(rows: Rows) -> dict[str, np.ndarray]:
    """Each column's value an image [n], NaN where it is unscored."""
    named, small, large = rows.values[:, 0], rows.values[:, 1], rows.values[:, 2]  # bool [n,K] each
    silent = ~named.any(axis=1, keepdims=True)  # [n,1], prompts that name no class
    return {
        "semantic-recall": _share(named & small, named),
        "recall@0.1%": _share(named & large, named),
        "precision": _share(named & small, small & ~silent),
        "precision@0.1%": _share(named & large, large & ~silent),
    }


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """|part| / |whole|, row by row of bool [n,K]; NaN where the whole is empty."""
    size = whole.sum(axis=1)  # [n]
    return np.divide(part.sum(axis=1), size, out=np.full(len(size), np.nan), where=size > 0)


def _mean(values: np.ndarray, groups: list[str]) -> Score:
    """The mean of a column [n] over the images that are scored in it."""
    scored = np.flatnonzero(~np.isnan(values))
    unscored = len(values) - len(scored)
    if not len(scored):
        return Score.skipped("no prompt names a class, or nothing was found", unscored=unscored)
    mean = cluster_bootstrap_mean(values[scored], [groups[i] for i in scored], seed=0)
    return Score(
        value=mean.value,
        standard_error=mean.standard_error,
        interval=mean.interval,
        n=len(scored),
        unscored=unscored,
    )
