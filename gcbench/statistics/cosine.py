"""Cosine distances of features: arrays in, numbers out.

    d(x, y) = 1 - x·y / (|x| |y|),   in [0,2]

In float64, a tile at a time.
"""

import numpy as np

TILE = 1024
"""Rows and columns of the matrix of cosines that are there at a time."""


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """Rows [n,d] divided by their lengths, float64; NaN where a row is 0 or not finite."""
    x = rows.astype(np.float64)
    with np.errstate(invalid="ignore"):
        lengths = np.linalg.norm(x, axis=1, keepdims=True)  # [n,1]
        return np.divide(x, lengths, out=np.full(x.shape, np.nan), where=(lengths > 0) & np.isfinite(lengths))


def nearest_distances(units: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Cosine distance of each unit row [n,d] to the nearest of `others` [m,d], unit rows too: [n]. To ten decimals, so
    that copies are at 0 and no rounding tells equal distances apart.
    ValueError: there is none, or sets of different d."""
    if not len(others) or units.shape[1] != others.shape[1]:
        raise ValueError(f"{units.shape} and {others.shape}: nothing of the same d to be near to")
    nearest = np.full(len(units), -np.inf)
    for start in range(0, len(units), TILE):
        rows = slice(start, start + TILE)
        for other in range(0, len(others), TILE):
            cosines = units[rows] @ others[other : other + TILE].T  # [t,u]
            np.maximum(nearest[rows], cosines.max(axis=1), out=nearest[rows])
    return np.clip(np.round(1 - nearest, 10), 0, 2)


def distances_within(units: np.ndarray, cluster: np.ndarray) -> np.ndarray:
    """Mean cosine distance of each unit row [n,d] to the other rows of its cluster [n], numbered from 0: [n]; NaN where
    it is the only one."""
    sizes = np.bincount(cluster)  # [C]
    sums = np.zeros((len(sizes), units.shape[1]))
    np.add.at(sums, cluster, units)
    others = sizes[cluster] - 1  # [n]
    cosines = (units * sums[cluster]).sum(axis=1) - np.square(units).sum(axis=1)  # [n], over the others
    mean = np.divide(cosines, others, out=np.full(len(units), np.nan), where=others > 0)
    return np.clip(1 - mean, 0, 2)
