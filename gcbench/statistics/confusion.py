"""Confusion matrices between two maps of class ids, and what is read off them. Knows nothing of images.

Everywhere rows are the layout (what was asked for or drawn) and columns the prediction (what was seen).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gcbench.statistics.intervals import Jackknife, by_group, jackknife


@dataclass(frozen=True)
class IoU:
    """Intersection over union. per_class [K] is NaN for a class that is left out; mean is over the others.

    scored: classes in the mean. absent: classes left out because neither layout nor prediction has them.
    """

    mean: float
    per_class: np.ndarray
    scored: int
    absent: int


def confusion_matrix(layout: np.ndarray, prediction: np.ndarray, classes: int, ignore: int | None = None) -> np.ndarray:
    """Pixels by (layout, prediction): int64 [K,K] of two arrays of ids 0..K-1 of one shape, of any rank.

    ignore: pixels whose layout has this id are left out; it need not be below K (255 in a file).
    ValueError: the shapes differ, or an id that is not ignored is outside 0..K-1.
    """
    if layout.shape != prediction.shape:
        raise ValueError(f"layout {layout.shape} and prediction {prediction.shape} differ in shape")
    rows, columns = layout.ravel(), prediction.ravel()  # [P]
    if ignore is not None:
        kept = rows != ignore
        rows, columns = rows[kept], columns[kept]
    for name, ids in (("layout", rows), ("prediction", columns)):
        if ids.size and (ids.min() < 0 or ids.max() >= classes):
            raise ValueError(f"the {name} has ids {ids.min()} to {ids.max()}, outside 0 to {classes - 1}")
    flat = rows.astype(np.int64) * classes + columns  # [P]
    return np.bincount(flat, minlength=classes * classes).reshape(classes, classes)  # [K,K]


def class_counts(confusion: np.ndarray, void: int | None = None) -> np.ndarray:
    """Pixels by class, all that IoU and accuracy need of a confusion matrix [K,K]: hits, of the layout, seen. [3,K]

    Hits C[k,k] and what is seen, Σ_j C[j,k], are of pixels whose layout is not void; of the layout Σ_j C[k,j] are all,
    void's own too. They add up over images as the matrices do; in int32, K = 171 takes 2 KB an image, not 117 KB.
    """
    counted = without_void(confusion, void)
    return np.stack([np.diagonal(counted), confusion.sum(axis=1), counted.sum(axis=0)])


def mean_iou(confusion: np.ndarray, void: int | None = None) -> IoU:
    """IoU_k = C[k,k] / (C[k,:] + C[:,k] - C[k,k]) from a confusion matrix [K,K], in [0,1], and their mean.

    Pixels whose layout is void do not count, for any class. A prediction of void elsewhere is a miss of the
    layout's class, and void itself is no class of the mean. A class that neither side has is left out, not 0.
    The mean is NaN where no class is left.
    """
    return iou_of(class_counts(confusion, void), void)


def iou_of(counts: np.ndarray, void: int | None = None) -> IoU:
    """`mean_iou` of the matrix whose `class_counts` these are [3,K]."""
    hits, layout, seen = counts.astype(np.float64)  # [K] each
    union = layout + seen - hits  # [K]
    real = np.arange(len(hits)) != (-1 if void is None else void)  # [K]
    scored = real & (union > 0)
    per_class = np.divide(hits, union, out=np.full(len(hits), np.nan), where=scored)
    mean = float(per_class[scored].mean()) if scored.any() else float("nan")
    return IoU(mean, per_class, int(scored.sum()), int((real & ~scored).sum()))


def pixel_accuracy(confusion: np.ndarray, void: int | None = None) -> float:
    """The share in [0,1] of pixels, void layouts left out, on which the two agree; NaN if none is left."""
    return accuracy_of(class_counts(confusion, void), void)


def accuracy_of(counts: np.ndarray, void: int | None = None) -> float:
    """`pixel_accuracy` of the matrix whose `class_counts` these are [3,K]."""
    hits, layout, _ = counts
    pixels = layout.sum() - (0 if void is None else layout[void])
    return float(hits.sum() / pixels) if pixels else float("nan")


def without_void(confusion: np.ndarray, void: int | None) -> np.ndarray:
    """The same matrix without the pixels whose layout is void."""
    if void is None:
        return confusion
    counted = confusion.copy()
    counted[..., void, :] = 0
    return counted


def confusion_jackknife(
    statistic: Callable[[np.ndarray], float], counts: np.ndarray, groups: Sequence[str]
) -> Jackknife:
    """A number of the sum of the images' `class_counts` [n,3,K], with its jackknife over groups."""
    total, parts = counts.sum(axis=0, dtype=np.int64), by_group(groups)  # [3,K]
    without = [statistic(total - counts[part].sum(axis=0, dtype=np.int64)) for part in parts]
    return jackknife(statistic(total), without if len(parts) > 1 else [], groups)
