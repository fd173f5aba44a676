"""The kernel distance (squared maximum mean discrepancy) of two sets of features: arrays in, numbers out.

    MMD² = mean_{i≠j} k(x_i, x_j) + mean_{i≠j} k(y_i, y_j) - 2 mean_{i,j} k(x_i, y_j),   k(x, y) = (x·y / d + 1)³

over the rows x_i of one set and y_j of another: unbiased, hence below 0 at times (Gretton et al. 2012; the cubic kernel
is that of Bińkowski et al. 2018, "Demystifying MMD GANs"). The kernel has no unit. The usual number is the mean over
subsets of both sets, drawn without replacement within a subset.

The kernel's values are computed in float64, a tile at a time. A subset is a column of weights 0 and 1, so each value
serves all subsets that hold its two rows.
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from gcbench.statistics.intervals import Jackknife, jackknife
from gcbench.statistics.moments import Features

TILE = 1024
"""Rows and columns of the kernel's matrix that are there at a time."""


class KernelDistance(NamedTuple):
    """value: the mean over subsets. sd: their standard deviation, None if there is only one. size: rows a subset."""

    value: float
    sd: float | None
    subsets: int
    size: int
    jackknife: Jackknife


class _Draw(NamedTuple):
    """Some subsets: the rows that any of them holds, rising, and which of those each of S subsets holds (0 or 1)."""

    rows: np.ndarray  # [u]
    weights: np.ndarray  # [u,S]


def kernel_distance(
    reference: Features,
    samples: Features,
    subsets: int = 100,
    size: int = 1000,
    seed: int = 0,
    groups: Sequence[str] | None = None,
) -> KernelDistance:
    """MMD² between features [n,d], averaged over `subsets` of `size` rows each, or of the smaller set if it has fewer.

    If both sets are as large as a subset, there is one subset. The jackknife deletes groups of the samples (each for
    itself by default) from every subset, the reference fixed; the variance sd² / subsets of the
    draw of subsets is added, so that the interval is for the expectation over samples and draws. It is somewhat
    cautious where subsets leave out many samples, because the jackknife sees a part of the draw too.
    ValueError: fewer than 2 rows, or sets of different d.
    """
    n, m = len(samples), len(reference)
    if min(n, m) < 2:
        raise ValueError(f"a kernel distance needs at least 2 rows a set, not {min(n, m)}")
    if reference.shape[1] != samples.shape[1]:
        raise ValueError(f"sets of {reference.shape[1]} and {samples.shape[1]} features cannot be compared")
    size = min(size, n, m)
    if size == n == m:
        subsets = 1
    rng = np.random.default_rng(seed)
    x_order, y_order = _by_content(samples), _by_content(reference)  # so that names decide nothing
    chosen = [
        (x_order[rng.choice(n, size, replace=False)], y_order[rng.choice(m, size, replace=False)])
        for _ in range(subsets)
    ]
    names = [str(i) for i in range(n)] if groups is None else groups
    group = np.unique(np.asarray(names, dtype=str), return_inverse=True)[1]  # [n]
    whole, left_out = [], np.zeros(group.max() + 1)  # [G]
    for x, y in _draws([a for a, _ in chosen], [b for _, b in chosen], n, m):
        values, without = _distances(samples, reference, x, y, group)
        whole.append(values)
        left_out += without.sum(axis=1) / subsets
    values = np.concatenate(whole)  # [S]
    sd = float(values.std(ddof=1)) if subsets > 1 else None
    value = float(values.mean())
    jack = jackknife(value, left_out, names, other_variance=0.0 if sd is None else sd**2 / subsets)
    return KernelDistance(value, sd, subsets, size, jack)


def _by_content(features: Features) -> np.ndarray:
    """The rows' places [n] in an order that is theirs alone, and as good as random."""
    digests = [hashlib.sha256(features[i : i + 1].tobytes()).digest() for i in range(len(features))]
    return np.array(sorted(range(len(digests)), key=digests.__getitem__))


def _draws(x: Sequence[np.ndarray], y: Sequence[np.ndarray], n: int, m: int) -> Iterator[tuple[_Draw, _Draw]]:
    """The subsets of x and of y, all at once, or one by one where that takes fewer values of the kernel."""
    subsets, size = len(x), len(x[0])
    step = subsets if (n + m) ** 2 <= subsets * (2 * size) ** 2 else 1
    for start in range(0, subsets, step):
        yield _draw(x[start : start + step], n), _draw(y[start : start + step], m)


def _draw(chosen: Sequence[np.ndarray], n: int) -> _Draw:
    held = np.zeros((n, len(chosen)))
    for subset, rows in enumerate(chosen):
        held[rows, subset] = 1.0
    rows = np.flatnonzero(held.any(axis=1))
    return _Draw(rows, held[rows])


def _distances(
    samples: Features, reference: Features, x: _Draw, y: _Draw, group: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """MMD² of each subset [S], and the same without each group of the samples [G,S]; NaN with fewer than 2 left."""
    size = x.weights.sum(axis=0)  # [S]
    within_y = _row_sums(reference, reference, y, y).sum(axis=0) / (size * (size - 1))  # [S]
    xx = _row_sums(samples, samples, x, x)  # [u,S]
    xy = _row_sums(samples, reference, x, y)  # [u,S]

    def distance(left: np.ndarray, sum_xx: np.ndarray, sum_xy: np.ndarray) -> np.ndarray:
        pairs, rows = np.where(left > 1, left * (left - 1), np.nan), np.where(left > 1, left, np.nan)
        return sum_xx / pairs + within_y - 2 * sum_xy / (rows * size)

    total_xx, total_xy = xx.sum(axis=0), xy.sum(axis=0)  # [S]
    here = group[x.rows]  # [u]
    gone, gone_xx, gone_xy = (_by_group(rows, here, group.max() + 1) for rows in (x.weights, xx, xy))  # [G,S] each
    for g in np.flatnonzero(np.bincount(here) > 1):  # pairs of which both are gone
        mine = here == g
        part = _Draw(x.rows[mine], x.weights[mine])
        gone_xx[g] -= _row_sums(samples, samples, part, part).sum(axis=0) / 2
    return distance(size, total_xx, total_xy), distance(size - gone, total_xx - 2 * gone_xx, total_xy - gone_xy)


def _by_group(rows: np.ndarray, group: np.ndarray, groups: int) -> np.ndarray:
    """Sums [G,S] of rows [u,S] over the groups [u] of 0..G-1."""
    sums = np.zeros((groups, rows.shape[1]))
    np.add.at(sums, group, rows)
    return sums


def _row_sums(a: Features, b: Features, x: _Draw, y: _Draw) -> np.ndarray:
    """x_is Σ_j k(a_i, b_j) y_js for row i and subset s: [u,S]. Where both are one set, j = i is left out."""
    same = x is y
    out = np.zeros_like(x.weights)
    for i in range(0, len(x.rows), TILE):
        rows = slice(i, i + TILE)
        left = a[x.rows[rows]].astype(np.float64)  # [t,d]
        for j in range(i if same else 0, len(y.rows), TILE):
            columns = slice(j, j + TILE)
            right = left if same and i == j else b[y.rows[columns]].astype(np.float64)  # [t,d]
            tile = left @ right.T  # [t,t]
            tile /= left.shape[1]
            tile += 1.0
            tile *= tile * tile
            if same and i == j:
                np.fill_diagonal(tile, 0.0)
            out[rows] += tile @ y.weights[columns]
            if same and i != j:
                out[columns] += tile.T @ x.weights[rows]
    return out * x.weights
