"""The squared maximum mean discrepancy of two sets of features with a Gaussian kernel: arrays in, numbers out.

    k(x, y) = exp(-|x - y|² / 2σ²),   V = mean_{i,j} k(x_i, x_j) + mean_{i,j} k(y_i, y_j) - 2 mean_{i,j} k(x_i, y_j)

over the rows x_i of one set and y_j of another. V takes the pairs i = j too, whose kernel is 1: the estimate of least
variance, never below 0 and biased by about (1 - mean k) (1/n + 1/m). U leaves them out of the first two means:
unbiased, and below 0 at times (Gretton et al. 2012, "A Kernel Two-Sample Test", Eq. 5 and 3).

Sums are of k - 1, in float64, a tile at a time: that changes neither V nor U, and digits are kept where σ is large
against the distances.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gcbench.statistics.intervals import Jackknife, jackknife
from gcbench.statistics.moments import Features

TILE = 1024
"""Rows and columns of the kernel's matrix that are there at a time."""


class GaussianMMD(NamedTuple):
    """V and U, each with the jackknife over groups of the samples, the reference fixed."""

    biased: Jackknife
    unbiased: Jackknife


def gaussian_mmd(
    reference: Features, samples: Features, sigma: float, groups: Sequence[str] | None = None, scale: float = 1.0
) -> GaussianMMD:
    """`scale` · MMD² between features [m,d] and [n,d]. groups: of the samples, each for itself by default.
    ValueError: fewer than 2 rows, or sets of different d."""
    n, m = len(samples), len(reference)
    if min(n, m) < 2:
        raise ValueError(f"a kernel distance needs at least 2 rows a set, not {min(n, m)}")
    if reference.shape[1] != samples.shape[1]:
        raise ValueError(f"sets of {reference.shape[1]} and {samples.shape[1]} features cannot be compared")
    names = [str(i) for i in range(n)] if groups is None else groups
    group = np.unique(np.asarray(names, dtype=str), return_inverse=True)[1]  # [n]
    count = int(group.max()) + 1
    one_hot = group[:, None] == np.arange(count) if count < n else None  # [n,G], where groups have several rows
    within, cross, inside = np.zeros(n), np.zeros(n), np.zeros(count)  # row sums [n], [n]; pairs of one group [G]
    for rows, x in _tiles(samples):
        for columns, y in _tiles(samples):
            kernel = _kernel(x, y, sigma)  # [t,u], of k - 1
            within[rows] += kernel.sum(axis=1)
            if one_hot is not None:
                same = group[rows, None] == group[columns]  # [t,u]
                np.add.at(inside, group[rows], np.where(same, kernel, 0.0).sum(axis=1))
        for _, y in _tiles(reference):
            cross[rows] += _kernel(x, y, sigma).sum(axis=1)
    of_reference = sum(float(_kernel(x, y, sigma).sum()) for _, x in _tiles(reference) for _, y in _tiles(reference))
    sizes = np.bincount(group)  # [G]
    left = n - sizes  # [G], rows without each group
    xx = within.sum() - 2 * np.bincount(group, within) + inside  # [G]
    xy = cross.sum() - np.bincount(group, cross)  # [G]
    found = []
    for less in (0, 1):  # V divides by n², U by n (n - 1)
        pairs, yy = np.where(left > less, left * (left - less), np.nan), of_reference / (m * (m - less))
        value = within.sum() / (n * (n - less)) + yy - 2 * cross.sum() / (n * m)
        with np.errstate(divide="ignore", invalid="ignore"):
            without = xx / pairs + yy - 2 * xy / (left * m)  # [G]
        floor = 0.0 if less == 0 else -np.inf  # V is not below 0, but for rounding
        found.append(jackknife(scale * max(value, floor), scale * np.maximum(without, floor), names))
    return GaussianMMD(*found)


def _tiles(features: Features) -> list[tuple[slice, np.ndarray]]:
    places = [slice(start, min(start + TILE, len(features))) for start in range(0, len(features), TILE)]
    return [(rows, features[rows].astype(np.float64)) for rows in places]


def _kernel(x: np.ndarray, y: np.ndarray, sigma: float) -> np.ndarray:
    """exp(-|x - y|² / 2σ²) - 1 of all rows [t,d] and [u,d]: [t,u]."""
    square = np.square(x).sum(axis=1)[:, None] + np.square(y).sum(axis=1) - 2 * x @ y.T
    return np.expm1(-np.maximum(square, 0.0) / (2 * sigma**2))
