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

from gcbench.statistics.intervals import by_group
from gcbench.statistics.moments import Features

TILE = 1024
"""Rows and columns of the matrix of distances that are there at a time."""


class Neighbourhoods(NamedTuple):
    """precise, density: of each sample, bool [n] and float [n]. recall, coverage: with all samples.

    recall_without, coverage_without: without each of G groups of samples, in the order of `by_group`; recall_without is
    empty where too few remain, both where there is one group.
    """

    precise: np.ndarray
    density: np.ndarray
    recall: float
    coverage: float
    recall_without: np.ndarray
    coverage_without: np.ndarray


def neighbourhoods(
    reference: Features, samples: Features, k: int = 3, k_density: int = 5, groups: Sequence[str] | None = None
) -> Neighbourhoods:
    """Who lies where; `k` for precision and recall, `k_density` for density and coverage.

    groups: of the samples; each for itself by default. Beside the tiles some k + (size of the largest group) numbers a
    sample are kept.
    ValueError: a set has no k other rows for each of its rows, or the sets differ in d.
    """
    n, m = len(samples), len(reference)
    if reference.shape[1] != samples.shape[1]:
        raise ValueError(f"sets of {reference.shape[1]} and {samples.shape[1]} features cannot be compared")
    if n <= k or m <= max(k, k_density):
        raise ValueError(f"{n} samples and {m} real rows are too few for {k} and {k_density} neighbours")
    centre = reference[: 4 * TILE].mean(axis=0, dtype=np.float64)  # distances do not change, rounding shrinks
    real, made = _Set(reference, centre), _Set(samples, centre)
    parts = [np.array([i]) for i in range(n)] if groups is None else by_group(groups)
    largest = max(map(len, parts))
    group = np.empty(n, dtype=np.int64)
    for g, part in enumerate(parts):
        group[part] = g
    near, _ = _nearest(real, max(k, k_density))  # [m,K]
    narrow, wide = near[:, k - 1], near[:, k_density - 1]  # [m] each, squared radii
    near, neighbours = _nearest(made, min(k + largest, n - 1))  # [n,L] each
    radii = near[:, k - 1]  # [n]
    growth = _growth(near, group[neighbours], group, k) if len(parts) > 1 and n - largest > k else []
    precise, count = np.zeros(n, dtype=bool), np.zeros(n)
    reached, covered = _Owners(m, len(parts)), _Owners(m, len(parts))
    grown = np.empty(0, dtype=np.int64)  # g · m + j where real row j lies in a ball that grew for want of group g
    for columns, right in real.tiles(0, m):
        for rows, left in made.tiles(0, n):
            distance = _squared(left, right, slack=True)  # [t,u]
            precise[rows] |= (distance <= narrow[columns]).any(axis=1)
            inside = distance <= wide[columns]
            count[rows] += inside.sum(axis=1)
            covered.add(columns, inside, group[rows])
            within = distance <= radii[rows, None]
            reached.add(columns, within, group[rows])
            for missing, larger in growth:
                i, j = np.nonzero((distance <= larger[rows, None]) & ~within)
                grown = np.union1d(grown, missing[rows][i] * m + (columns.start + j))
    nothing = np.empty(0)
    return Neighbourhoods(
        precise,
        count / k_density,
        reached.share,
        covered.share,
        reached.shares_without(grown) if growth else nothing,
        covered.shares_without() if len(parts) > 1 else nothing,
    )


class _Owners:
    """Which of m real rows lie in a ball, and by whose doing: the first and the last of the groups."""

    def __init__(self, m: int, groups: int):
        self.first, self.last, self.groups = np.full(m, groups), np.full(m, -1), groups

    def add(self, columns: slice, inside: np.ndarray, group: np.ndarray) -> None:
        """inside: which real row lies in which sample's ball [t,u]; group: of the samples [t]."""
        self.first[columns] = np.minimum(self.first[columns], np.where(inside, group[:, None], self.groups).min(axis=0))
        self.last[columns] = np.maximum(self.last[columns], np.where(inside, group[:, None], -1).max(axis=0))

    @property
    def share(self) -> float:
        return float((self.last >= 0).mean())

    def shares_without(self, grown: np.ndarray | None = None) -> np.ndarray:
        """Without each group [G]. grown: g · m + j where row j lies in another group's ball that grew without g."""
        m, alone = len(self.last), self.first == self.last
        count = (self.last >= 0).sum() - np.bincount(self.last[alone], minlength=self.groups)  # [G]
        if grown is not None and len(grown):
            g, j = np.divmod(grown, m)
            gained = (self.last[j] < 0) | (alone[j] & (self.last[j] == g))
            count += np.bincount(g[gained], minlength=self.groups)
        return count / m


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


def _nearest(rows_of: _Set, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Squared distances of each row of a set to its k nearest others, rising [n,k], and which rows these are [n,k].

    A tile serves its rows and, turned over, its columns.
    """
    n = len(rows_of)
    found, places = np.full((n, k), np.inf), np.zeros((n, k), dtype=np.int64)

    def meet(rows: slice, columns: slice, distance: np.ndarray) -> None:
        both = np.concatenate([found[rows], distance], axis=1)
        which = np.broadcast_to(np.arange(columns.start, columns.stop), distance.shape)
        nearest = np.argpartition(both, k - 1, axis=1)[:, :k]
        places[rows] = np.take_along_axis(np.concatenate([places[rows], which], axis=1), nearest, axis=1)
        found[rows] = np.take_along_axis(both, nearest, axis=1)

    for rows, left in rows_of.tiles(0, n):
        distance = _squared(left, left)  # [t,t]
        np.fill_diagonal(distance, np.inf)
        meet(rows, rows, distance)
        for columns, right in rows_of.tiles(rows.stop, n):
            distance = _squared(left, right)  # [t,u]
            meet(rows, columns, distance)
            meet(columns, rows, distance.T)
    order = np.argsort(found, axis=1, kind="stable")
    return np.take_along_axis(found, order, axis=1), np.take_along_axis(places, order, axis=1)


def _growth(near: np.ndarray, group_of: np.ndarray, group: np.ndarray, k: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each of a sample's k nearest: its group [n], and the sample's squared radius without that group [n].

    near, group_of [n,L]: squared distances of the neighbours, rising, and their groups. Where that is the sample's own
    group, its ball falls away with it: no radius, -1.
    """
    found = []
    for slot in range(k):
        missing = group_of[:, slot]  # [n]
        left = (group_of != missing[:, None]).cumsum(axis=1) >= k  # [n,L]
        radius = np.take_along_axis(near, left.argmax(axis=1)[:, None], axis=1)[:, 0]
        found.append((missing, np.where(missing == group, -1.0, radius)))
    return found


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
