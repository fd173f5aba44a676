"""mIoU: does the image agree with the layout that was generated beside it?"""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from gcbench.core.samples import Features, Samples
from gcbench.core.score import Score
from gcbench.metrics.row_metric import RowMetric
from gcbench.statistics.confusion import accuracy_of, class_counts, confusion_jackknife, confusion_matrix, iou_of


class MeanIoU(RowMetric):
    """IoU_k = C[k,k] / (C[k,:] + C[:,k] - C[k,k]) and its mean over classes, in [0,1].

    C [K,K] is one confusion matrix of all pixels of all images: rows the generated layout [H,W], columns
    the segmenter's prediction from the image [H,W]. Pixels whose layout is void do not count; a class that
    neither side has is left out and counted. A model could gain by drawing void where it is unsure, so
    `void_share` (per cent of the layouts' area) stands beside it. Layouts that an evaluator derived from the
    image are refused: they would agree with a segmenter by construction.

    Bias: the segmenter errs, so the ceiling on real pairs is below 1; classes that are rare at this n make
    the mean jump, and the jackknife's interval shows it. Source: "Learning to Generate Semantic Layouts for
    Higher Text-Image Correspondence in Text-to-Image Synthesis", ICCV 2023, Table 1 (in per cent, void rule
    unstated).
    """

    needs = frozenset({"images", "layouts"})
    roles = ("segmenter",)
    direction = "higher"
    unit = "%"
    title = "mIoU"
    summary = "Agreement between the generated layout and a segmenter's view of the generated image"
    scale: ClassVar[Mapping[str, float]] = {"": 100.0, "pixel_accuracy": 100.0}  # void_share is in % as it is
    range = (0.0, 1.0)
    headline = ("", "void_share")
    default = True
    gain = 0.005
    when_given: ClassVar[str | None] = "layout-faithfulness"
    of_others: ClassVar[str] = "given"
    elsewhere: ClassVar[str] = "the layouts were given to the model; layout-faithfulness measures the images on them"

    ranges: ClassVar[Mapping[str, tuple[float, float]]] = {"void_share": (0.0, 100.0)}
    least = 2

    def lacking(self, samples: Samples, features: Mapping[str, Features]) -> str | None:
        if samples.layout_source is not None and samples.layout_source.startswith("derived:"):
            return f"the layouts are {samples.layout_source}: they agree with a segmenter by construction"
        if samples.layout_source == self.of_others:
            return self.elsewhere
        return super().lacking(samples, features)

    def rows(self, samples: Samples, features: Mapping[str, Features]) -> np.ndarray:
        """The `class_counts` of each image's confusion matrix: int32 [B,3,K]."""
        assert samples.layouts is not None  # or the batch was lacking
        pairs = zip(samples.layouts.cpu().numpy(), self.seen(features, "labels").cpu().numpy(), strict=True)
        matrices = (confusion_matrix(layout, labels, len(self.task.classes)) for layout, labels in pairs)
        rows = [class_counts(matrix, self.task.void) for matrix in matrices]
        return np.array(rows, dtype=np.int32)

    def score(self) -> Score:
        _, counts, groups = self._samples.sorted()  # [n,3,K]
        void = self.task.void
        iou = iou_of(counts.sum(axis=0, dtype=np.int64), void)
        layouts = counts[:, 1]  # [n,K]
        all_void = 0 if void is None else int((layouts.sum(axis=1) == layouts[:, void]).sum())
        n = len(counts) - all_void
        if not iou.scored:
            return Score.skipped("every layout is void everywhere", unscored=all_void)
        jack = confusion_jackknife(lambda total: iou_of(total, void).mean, counts, groups)
        names = [(k, name) for k, name in enumerate(self.task.classes) if k != void]
        return self.scored(
            jack,
            n=n,
            unscored=all_void,
            detail={
                "per_class": {name: _or_none(iou.per_class[k]) for k, name in names},
                "classes": {"scored": iou.scored, "absent": iou.absent},
                **jack.detail(),
            },
            also={
                "void_share": self._void_share(layouts, groups),
                "pixel_accuracy": self._pixel_accuracy(counts, groups, n),
            },
        )

    def _void_share(self, layouts: np.ndarray, groups: list[str]) -> Score:
        """Per cent of a layout's area that is void, the mean over images."""
        if self.task.void is None:
            return Score.skipped("the dataset has no void class")
        shares = 100 * layouts[:, self.task.void] / layouts.sum(axis=1)  # [n]
        return self.mean(shares, groups, "void_share")

    def _pixel_accuracy(self, counts: np.ndarray, groups: list[str], n: int) -> Score:
        """The share of pixels, void layouts left out, on which layout and prediction agree: in [0,1]."""
        jack = confusion_jackknife(lambda total: accuracy_of(total, self.task.void), counts, groups)
        return self.scored(jack, "pixel_accuracy", n=n, unscored=len(counts) - n, detail=jack.detail())


class LayoutFaithfulness(MeanIoU):
    """Whether an image follows the layout that its model was given: `MeanIoU` of given layouts, in [0,1].

    The same number under another name, for it answers another question: agreement with a layout that the model drew
    itself also rewards layouts that are easy to paint, and the two are never compared. Its ceiling is real images with
    their own layouts. Bias: as of mIoU; a model trained against the segmenter that measures scores too high. Source:
    the mIoU of layout-to-image papers, Park et al. 2019, "Semantic Image Synthesis with Spatially-Adaptive
    Normalization" (there with other segmenters).
    """

    title = "Layout faithfulness"
    summary = "mIoU of layouts that were given: a segmenter's view of the image against the layout it was made from"
    default = False
    when_given = None
    of_others = "generated"
    elsewhere = "the layouts were generated beside the images; miou measures their agreement"


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
