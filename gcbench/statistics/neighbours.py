"""Nearest neighbours among features, and who lies in whose neighbourhood: precision, recall, density, coverage.

The neighbourhood of a row of a set is the closed ball about it that reaches to its k-th nearest neighbour among the
other rows of that set. With real features y [m,d] and generated features x [n,d], r_k their radii:

    precision = mean_i 1[some j: |x_i - y_j| ≤ r_k(y_j)]      recall   = mean_j 1[some i: |x_i - y_j| ≤ r_k(x_i)]
    density   = mean_i (1/k) #{j: |x_i - y_j| ≤ r_k(y_j)}     coverage = mean_j 1[some i: |x_i - y_j| ≤ r_k(y_j)]

(Kynkäänniemi et al. 2019, "Improved Precision and Recall Metric"; Naeem et al. 2020, "Reliable Fidelity and Diversity
Metrics".) The first pair and the second have a k of their own.

The balls are closed, as in the first source: a row at exactly the distance of the k-th neighbour is inside, so that two
copies of one set have precision, recall and coverage 1, even if all their rows are the same. Distances are squared and
come from float64 matrix products, a tile at a time; what differs by less than the rounding of a product counts as
equal, so that the size of the tiles decides nothing.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from gcbench.statistics.intervals import runs
from gcbench.statistics.moments import Features

TILE = 1024
"""Rows and columns of the matrix of distances that are there at a time."""


class Neighbourhoods(NamedTuple):
    """precise, density: of each sample, bool [n] and float [n]. recall, coverage: with all samples.

    recall_without, coverage_without: without each of B runs of samples; recall_without is empty where too few remain.
    """

    precise: np.ndarray
    density: np.ndarray
    recall: float
    coverage: float
    recall_without: list[float]
    coverage_without: list[float]


def neighbourhoods(reference: Features, samples: Features, k: int = 3, k_density: int = 5) -> Neighbourhoods:
    """Who lies where; `k` for precision and recall, `k_density` for density and coverage.
    ValueError: a set has no k other rows for each of its rows, or the sets differ in d."""
    n, m = len(samples), len(reference)
    if reference.shape[1] != samples.shape[1]:
        raise ValueError(f"sets of {reference.shape[1]} and {samples.shape[1]} features cannot be compared")
    if n <= k or m <= max(k, k_density):
        raise ValueError(f"{n} samples and {m} real rows are too few for {k} and {k_density} neighbours")
    centre = reference[: 4 * TILE].mean(axis=0, dtype=np.float64)  # distances do not change, rounding shrinks
    real, made = _Set(reference, centre), _Set(samples, centre)
    blocks = runs(n) or [np.arange(n)]
    near = _nearest(real, [np.arange(m)], max(k, k_density))[:, 0]  # [m,K]
    narrow, wide = near[:, k - 1], near[:, k_density - 1]  # [m] each, squared radii
    radii = _radii(_nearest(made, blocks, k), k)  # [1+B,n]: among all samples, and without each run
    precise, count = np.zeros(n, dtype=bool), np.zeros(n)
    reached = np.zeros((len(radii), m), dtype=bool)  # real rows in a sample's ball: of all samples, without each run
    covered = np.zeros((len(blocks), m), dtype=bool)  # real rows with a sample of this run in their ball
    for columns, right in real.tiles(0, m):
        for b, block in enumerate(blocks):
            for rows, left in made.tiles(block[0], block[-1] + 1):
                distance = _squared(left, right, slack=True)  # [t,u]
                precise[rows] |= (distance <= narrow[columns]).any(axis=1)
                inside = distance <= wide[columns]
                count[rows] += inside.sum(axis=1)
                covered[b, columns] |= inside.any(axis=0)
                for without in range(len(radii)):
                    if without != b + 1:
                        reached[without, columns] |= (distance <= radii[without, rows, None]).any(axis=0)
    several, enough = len(blocks) > 1, n - max(map(len, blocks)) > k
    return Neighbourhoods(
        precise,
        count / k_density,
        float(reached[0].mean()),
        float(covered.any(axis=0).mean()),
        [float(row.mean()) for row in reached[1:]] if enough else [],
        [float(np.delete(covered, b, axis=0).any(axis=0).mean()) for b in range(len(blocks))] if several else [],
    )


class _Tile(NamedTuple):
    x: np.ndarray  # float64 [t,d]
    square: np.ndarray  # [t]


class _Set:
    """Features about a centre, in float64, a tile at a time."""

    def __init__(self, features: Features, centre: np.ndarray):
        self.features, self.centre = features, centre

    def __len__(self) -> int:
        return len(self.features)

    def tiles(self, start: int, stop: int) -> Iterator[tuple[slice, _Tile]]:
        """The rows from `start` to `stop`."""
        for place in range(start, stop, TILE):
            rows = slice(place, min(place + TILE, stop))
            x = self.features[rows] - self.centre
            yield rows, _Tile(x, np.square(x).sum(axis=1))


def _nearest(rows_of: _Set, blocks: Sequence[np.ndarray], k: int) -> np.ndarray:
    """Squared distances of each row of a set to its k nearest others in each block of the set: [n,B,k], rising.

    Infinite where a block holds fewer. A tile serves its rows and, turned over, its columns.
    """
    found = np.full((len(rows_of), len(blocks), k), np.inf)

    def meet(rows: slice, block: int, distance: np.ndarray) -> None:
        both = np.concatenate([found[rows, block], distance], axis=1)
        found[rows, block] = np.partition(both, k - 1, axis=1)[:, :k]

    for b, block in enumerate(blocks):
        for rows, left in rows_of.tiles(block[0], block[-1] + 1):
            distance = _squared(left, left)  # [t,t]
            np.fill_diagonal(distance, np.inf)
            meet(rows, b, distance)
            for other in range(b, len(blocks)):
                start = rows.stop if other == b else blocks[other][0]
                for columns, right in rows_of.tiles(start, blocks[other][-1] + 1):
                    distance = _squared(left, right)  # [t,u]
                    meet(rows, other, distance)
                    meet(columns, b, distance.T)
    found.sort(axis=2)
    return found


def _radii(near: np.ndarray, k: int) -> np.ndarray:
    """From `_nearest` [n,B,k]: each row's k-th smallest of all, then without each block if there are several."""
    blocks = near.shape[1]

    def radius(kept: np.ndarray) -> np.ndarray:
        return np.partition(kept.reshape(len(kept), -1), k - 1, axis=1)[:, k - 1].copy()  # [n]

    without = (radius(np.delete(near, b, axis=1)) for b in range(blocks) if blocks > 1)
    return np.stack([radius(near), *without])


def _squared(left: _Tile, right: _Tile, slack: bool = False) -> np.ndarray:
    """Squared distances [t,u], or with `slack` the least that they can be within rounding.

    The slack bears the rounding of a radius as well: if |l - r| is the radius of r, the neighbour z that gave it has
    |z|² ≤ (|l| + 2|r|)² ≤ 2|l|² + 8|r|², so that its error is at most nine times that of the pair itself.
    """
    distance = left.x @ right.x.T
    distance *= -2.0
    if slack:
        kept = 1.0 - 40 * left.x.shape[1] * np.finfo(np.float64).eps
        distance += kept * left.square[:, None]
        distance += kept * right.square
    else:
        distance += left.square[:, None]
        distance += right.square
    return distance
