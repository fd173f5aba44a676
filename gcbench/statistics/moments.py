"""Mean and covariance of features in float64, however many rows there are: arrays in, numbers out.

Rows are read some thousands at a time and never copied to float64 as a whole. Sums of products are taken about a mean,
so that nothing is lost where the mean is large against the spread.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np

from gcbench.statistics.sample_rows import first_repeated

CHUNK = 2048
"""Rows converted to float64 at a time."""


class Features(Protocol):
    """Features [n,d], float32 or float64: an array, or what gives arrays where it is sliced."""

    def __len__(self) -> int: ...

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, places: Any, /) -> np.ndarray: ...


@dataclass(frozen=True)
class Moments:
    """A set of features summed up: mean [d], covariance [d,d] with divisor n - 1, and n, 0 where it is not known."""

    mean: np.ndarray
    covariance: np.ndarray
    n: int

    def __post_init__(self) -> None:
        d = len(self.mean)
        if self.covariance.shape != (d, d):
            raise ValueError(f"a covariance of shape {self.covariance.shape} does not fit a mean of {d} numbers")
        if self.n == 1:
            raise ValueError("a Fréchet distance needs at least 2 rows a set, not 1")
        if not (np.isfinite(self.mean).all() and np.isfinite(self.covariance).all()):
            raise ValueError("the moments are not finite")

    @cached_property
    def root(self) -> np.ndarray:
        """R [d,d] with RᵀR = S, from the symmetric eigenvectors; rounding below 0 counts as 0."""
        values, vectors = np.linalg.eigh(self.covariance)  # [d], [d,d]
        return np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T  # [d,d]


class Sums(NamedTuple):
    """n rows summed up: their number, mean [d] and scatter Σ (x - mean)(x - mean)ᵀ [d,d], in float64.

    Sums of two sets give those of their union, and the other way round (Chan, Golub & LeVeque 1979).
    """

    n: int
    mean: np.ndarray
    scatter: np.ndarray

    def plus(self, other: "Sums") -> "Sums":
        """With another set added."""
        n, apart = self.n + other.n, other.mean - self.mean
        scatter = np.outer(apart, apart * (self.n * other.n / n))  # [d,d]
        scatter += self.scatter
        scatter += other.scatter
        return Sums(n, self.mean + apart * (other.n / n), scatter)

    def minus(self, part: "Sums") -> "Sums":
        """Without a part of it."""
        n, apart = self.n - part.n, part.mean - self.mean
        scatter = np.outer(apart, apart * (-part.n * self.n / n))  # [d,d]
        scatter += self.scatter
        scatter -= part.scatter
        return Sums(n, self.mean - apart * (part.n / n), scatter)

    def moments(self) -> Moments:
        if self.n < 2:
            raise ValueError(f"a Fréchet distance needs at least 2 rows a set, not {self.n}")
        return Moments(self.mean, self.scatter / (self.n - 1), self.n)


def sums(features: Features) -> Sums:
    """Of features [n,d], n ≥ 1, read twice."""
    n, d = features.shape
    mean = np.zeros(d)
    for start in range(0, n, CHUNK):
        mean += features[start : start + CHUNK].sum(axis=0, dtype=np.float64)
    mean /= n
    scatter = np.zeros((d, d))
    for start in range(0, n, CHUNK):
        x = features[start : start + CHUNK] - mean  # float64 [m,d]
        scatter += x.T @ x
    return Sums(n, mean, scatter)


def moments(features: Features) -> Moments:
    """Mean and covariance of features [n,d], in float64.
    ValueError: fewer than 2 rows, or features that are not finite."""
    check(features)
    return sums(features).moments()


class Growing:
    """A set that batches fill and that holds no more than some thousand rows: beyond n = d it is summed up.

    Sums are taken over fixed numbers of rows in the order of arrival, so the size of the batches changes no digit.
    """

    def __init__(self) -> None:
        self._ids: set[str] = set()
        self._waiting: list[np.ndarray] = []  # rows that are not yet in the sums
        self._sums: Sums | None = None
        self._condensed: np.ndarray | Moments | None = None

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, ids: Sequence[str], rows: np.ndarray) -> None:
        """Add B rows [B,d]; ValueError if an id is there already. Nothing is added then."""
        if shared := self._ids.intersection(ids):
            raise ValueError(f"sample ids must be unique, {min(shared)!r} came twice")
        if len(set(ids)) < len(ids):
            raise ValueError(f"sample ids must be unique, {first_repeated(ids)!r} came twice")
        self._ids.update(ids)
        self._waiting.append(np.array(rows))
        self._condensed = None
        step = max(2 * CHUNK, rows.shape[1] + 1)
        if sum(map(len, self._waiting)) >= step:
            waiting = np.concatenate(self._waiting)
            whole = len(waiting) // step * step
            for start in range(0, whole, step):
                self._sums = self._with(waiting[start : start + step])
            self._waiting = [waiting[whole:].copy()]

    def condensed(self) -> "np.ndarray | Moments":
        """Moments if n > d, else the rows [n,d]. ValueError if there is none."""
        if self._condensed is None:
            rows = np.concatenate(self._waiting)  # [m,d]
            small = self._sums is None and len(rows) <= rows.shape[1]
            self._condensed = rows if small else self._with(rows).moments()
        return self._condensed

    def _with(self, rows: np.ndarray) -> Sums:
        if self._sums is None:
            return sums(rows)
        return self._sums.plus(sums(rows)) if len(rows) else self._sums


def check(features: Features) -> None:
    """ValueError unless they are rows [n,d], at least 2 of them, all finite."""
    if len(features.shape) != 2:
        raise ValueError(f"features must be [n,d], not of shape {features.shape}")
    if len(features) < 2:
        raise ValueError(f"a Fréchet distance needs at least 2 rows a set, not {len(features)}")
    for start in range(0, len(features), CHUNK):
        if not np.isfinite(features[start : start + CHUNK]).all():
            raise ValueError("the features hold values that are not finite")
