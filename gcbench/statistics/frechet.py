"""The Fréchet distance of two sets of features: arrays in, numbers out. Knows nothing of images.

    d² = |m1 - m2|² + tr S1 + tr S2 - 2 tr (S1 S2)^½        (Dowson & Landau 1982)

with sample means m [d] and sample covariances S [d,d] (divisor n - 1). If the features are in units u, the
value is in u². It is d², not its root: the field calls that the distance, and so do we.

No matrix square root is ever taken. With any R such that RᵀR = S,

    tr (S1 S2)^½ = ‖R1 R2ᵀ‖_*  (the sum of singular values)  = Σ √eig(R1 S2 R1ᵀ).

A set of n ≤ d rows gives R as its centred rows / √(n - 1), [n,d]; a larger set is summed up by S, whose R is its
Cholesky factor, or comes from its eigenvectors where S is singular. So a small set never needs a d x d matrix, and no
imaginary part can arise.

Bias: d² is too large in small samples, roughly by a term in 1/n. Compare only values of the same n.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import scipy.linalg

from gcbench.statistics.intervals import Jackknife, by_group, jackknife
from gcbench.statistics.moments import Features, Moments, check, moments, sums

ROWS = 512
"""Rows that are brought to coordinates at a time."""


@dataclass(frozen=True)
class Frechet:
    """A distance (squared units of the features) and its two parts, which add up to it.

    rank: directions, to rounding, in which both sets vary; below d where a set is small (at most n - 1).
    """

    distance: float
    mean_part: float
    covariance_part: float
    n_reference: int
    n: int
    d: int
    rank: int


def condense(features: Features) -> "Features | Moments":
    """The cheaper form of a set that will be compared many times: moments if n > d, else its rows."""
    check(features)
    return moments(features) if len(features) > features.shape[1] else features


def frechet_distance(reference: "Features | Moments", samples: "Features | Moments") -> Frechet:
    """The Fréchet distance between features [n,d] (float32 or float64), either given as rows or as moments.
    ValueError: fewer than 2 rows, features that are not finite, or sets of different d."""
    a, b = _Side.of(reference), _Side.of(samples)
    return _compare(a, b, _cross_trace(a, b))


def frechet_jackknife(
    reference: "Features | Moments", samples: Features, groups: Sequence[str] | None = None
) -> tuple[Frechet, Jackknife]:
    """The distance, and its jackknife over groups of samples (each for itself by default), the reference fixed.

    What is left without a group is exact, and costs no eigenvalue problem of its own where the group is small: see
    `_Deletion`. No interval where fewer than 2 rows are left.
    ValueError: as `frechet_distance`.
    """
    check(samples)
    n, d = samples.shape
    names = [str(i) for i in range(n)] if groups is None else groups
    parts = by_group(names)
    a = _Side.of(reference)
    b = _Side.of(samples if n <= d else sums(samples).moments())
    whole = _compare(a, b, _cross_trace(a, b))
    enough = len(parts) > 1 and n - max(map(len, parts)) > 1
    return whole, jackknife(whole.distance, _Deletion(a, b, samples).left_out(parts) if enough else [], names)


class _Deletion:
    """Distances without some rows, from one decomposition of the whole.

    Let M = R1 S2 R1ᵀ = V Λ Vᵀ, and z_i = Vᵀ R1 (x_i - m) / √(n-1) the coordinates of row i, so that Σ_i z_i z_iᵀ = Λ.
    Without the rows Z [k,r] of a group, n' = n - k are left, and with the mean taken anew

        (n'-1) R1 S2' R1ᵀ = (n-1) V (Λ - Zᵀ W Z) Vᵀ,   W = I + 11ᵀ/n'.

    From √λ = (1/π) ∫ log(1 + λ/s²) ds over s > 0 follows

        tr (Λ - Zᵀ W Z)^½ = tr Λ^½ + (1/π) ∫ log det(I - W Z (Λ + s²)⁻¹ Zᵀ) ds,

    determinants of k × k. With s = e^x the trapezoidal rule of step h errs by about exp(-π²/h): its nodes serve all.
    """

    step = 0.45
    span = (-18.5, 9.5)  # of x, about the largest root; beyond, both tails fall as exp(-|x|) and are summed up

    def __init__(self, a: "_Side", b: "_Side", samples: Features):
        self.a, self.b, self.samples = a, b, samples
        if b.rows is None:
            values, basis = _decomposed(a, b)
            self.to_coordinates: np.ndarray | None = basis / (b.n - 1) ** 0.5
        else:
            self.to_coordinates = None
            if a.rows is None:
                values, vectors = np.linalg.eigh(_product(a, b))  # [n], [n,n]
                values = np.maximum(values, 0.0)
                roots = np.sqrt(values)
            else:
                _, roots, transposed = np.linalg.svd(_product(a, b), full_matrices=False)
                values, vectors = np.square(roots), transposed.T
            self.coordinates = vectors * roots  # [n,r]
        kept = values > values.max(initial=0.0) * max(a.n, b.n) * np.finfo(np.float64).eps
        self.values, self.kept = values[kept], kept  # [r]
        self.trace = float(np.sqrt(self.values).sum())
        x = np.arange(*self.span, self.step)  # [Q]
        s = np.exp(x) * np.sqrt(self.values.max(initial=0.0))
        self.weights = s * self.step / np.pi
        self.weights[[0, -1]] *= 1 + 1 / np.expm1(self.step)
        self.inverse = 1 / (self.values[:, None] + np.square(s))  # [r,Q]

    def left_out(self, parts: Sequence[np.ndarray]) -> np.ndarray:
        """The distance without each of these groups of places: [G]."""
        found = np.empty(len(parts))
        sizes = np.array([len(part) for part in parts])
        bounds = [*np.flatnonzero(np.diff(np.cumsum(sizes) // ROWS, prepend=-1)), len(parts)]
        for start, stop in pairwise(bounds):
            rows = np.concatenate(parts[start:stop])
            y = self.samples[rows] - self.b.mean  # float64 [m,d]
            z = self.coordinates[rows] if self.to_coordinates is None else y @ self.to_coordinates
            z = z[:, self.kept]  # [m,r]
            ends = np.cumsum(sizes[start:stop])
            first = ends - sizes[start:stop]
            left = self.b.n - sizes[start:stop]  # [g], rows that are left
            change = -np.add.reduceat(y, first, axis=0) / left[:, None]  # of the mean [g,d]
            mean_part = np.square(self.b.mean - self.a.mean + change).sum(axis=1)  # [g]
            gone = np.add.reduceat(np.square(y).sum(axis=1), first) + left * np.square(change).sum(axis=1)
            trace = (self.b.trace * (self.b.n - 1) - gone) / (left - 1)
            cross = np.empty(len(left))
            single = sizes[start:stop] == 1
            cross[single] = self._without_one(z[first[single]])
            for g in np.flatnonzero(~single):
                cross[g] = self._without(z[first[g] : ends[g]])
            cross *= np.sqrt((self.b.n - 1) / (left - 1))
            found[start:stop] = mean_part + np.maximum(0.0, self.a.trace + trace - 2 * cross)
        return found

    def _without_one(self, z: np.ndarray) -> np.ndarray:
        """tr (Λ - W zzᵀ)^½ for each row of z [k,r]: [k]."""
        share = np.square(z) @ self.inverse * (self.b.n / (self.b.n - 1))  # [k,Q]
        return self.trace + np.log1p(-np.minimum(share, 1 - np.finfo(np.float64).eps)) @ self.weights

    def _without(self, z: np.ndarray) -> float:
        """tr (Λ - Zᵀ W Z)^½ for rows z [k,r], by the cheaper way."""
        (k, r), left = z.shape, self.b.n - len(z)
        if k * k * (r + k) * len(self.weights) > r**3:
            weighted = z + z.sum(axis=0) / left  # W Z
            return _roots(np.diag(self.values) - z.T @ weighted).trace if r else 0.0
        inner = np.einsum("ir,rq,jr->qij", z, self.inverse, z, optimize=True)  # [Q,k,k]
        sign, log = np.linalg.slogdet(np.eye(k) - 1 / self.b.n - inner)
        least = np.log(np.finfo(np.float64).eps)
        log = np.where(sign > 0, np.maximum(log, k * least), k * least) + np.log(self.b.n / left)
        return self.trace + float(log @ self.weights)


def _decomposed(a: "_Side", b: "_Side") -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues [r] of R1 S2 R1ᵀ, at least 0, and R1ᵀ V [d,r], for b summed up."""
    assert b.moments is not None
    if a.rows is not None:
        root = a.rows  # [n1,d]
    else:
        assert a.moments is not None
        try:
            root = np.linalg.cholesky(a.moments.covariance).T  # [d,d]
        except np.linalg.LinAlgError:  # S1 is not positive definite
            root = a.moments.root
    values, vectors = np.linalg.eigh(root @ b.moments.covariance @ root.T)
    return np.maximum(values, 0.0), root.T @ vectors


@dataclass(frozen=True)
class _Side:
    """One set, in the form its size asks for: its root `rows` R [n,d] if n ≤ d, else `moments`."""

    n: int
    mean: np.ndarray
    trace: float
    rows: np.ndarray | None
    moments: Moments | None

    @classmethod
    def of(cls, given: "Features | Moments") -> "_Side":
        condensed = given if isinstance(given, Moments) else condense(given)
        if isinstance(condensed, Moments):
            return cls(condensed.n, condensed.mean, float(np.trace(condensed.covariance)), None, condensed)
        x = np.asarray(condensed[:], dtype=np.float64)
        mean = x.mean(axis=0)
        root = (x - mean) / np.sqrt(len(x) - 1)
        return cls(len(x), mean, float(np.square(root).sum()), root, None)


class _Cross(NamedTuple):
    """tr (S1 S2)^½ and its rank."""

    trace: float
    rank: int


def _compare(a: _Side, b: _Side, cross: _Cross) -> Frechet:
    difference = a.mean - b.mean
    mean_part = float(difference @ difference)
    covariance_part = max(0.0, a.trace + b.trace - 2 * cross.trace)
    return Frechet(mean_part + covariance_part, mean_part, covariance_part, a.n, b.n, len(a.mean), cross.rank)


def _cross_trace(a: _Side, b: _Side) -> _Cross:
    if b.moments is None:
        return _from_product(_product(a, b), a, b)
    if a.moments is None:
        return _from_product(_product(b, a), b, a)
    _check_same_d(a, b)
    return _from_moments(a.moments, b.moments)


def _product(a: _Side, b: _Side) -> np.ndarray:
    """For b of n2 ≤ d rows: R1 R2ᵀ [n1,n2] if a has rows too, else R2 S1 R2ᵀ [n2,n2]."""
    _check_same_d(a, b)
    assert b.rows is not None
    if a.rows is not None:
        return a.rows @ b.rows.T
    assert a.moments is not None
    return b.rows @ a.moments.covariance @ b.rows.T


def _from_product(product: np.ndarray, a: _Side, b: _Side) -> _Cross:
    """From `_product(a, b)`: its nuclear norm, the most exact way; or the roots of its eigenvalues."""
    return _roots(product) if a.rows is None else _nuclear(product, max(a.n, b.n))


def _from_moments(a: Moments, b: Moments) -> _Cross:
    """The roots of the eigenvalues of S2 S1, by way of Cholesky's factor of S1, or of its eigenvectors."""
    try:
        values = scipy.linalg.eigh(
            b.covariance, a.covariance, type=2, eigvals_only=True, driver="gv", check_finite=False
        )
    except np.linalg.LinAlgError:  # S1 is not positive definite
        return _roots(a.root @ b.covariance @ a.root.T)
    return _sum_of_roots(values)


def _nuclear(product: np.ndarray, size: int) -> _Cross:
    values = np.linalg.svd(product, compute_uv=False)
    return _Cross(float(values.sum()), _count(values, size))


def _roots(product: np.ndarray) -> _Cross:
    """From a matrix [r,r] that is symmetric but for rounding."""
    return _sum_of_roots(np.linalg.eigvalsh((product + product.T) / 2))


def _sum_of_roots(values: np.ndarray) -> _Cross:
    values = np.maximum(values, 0.0)
    return _Cross(float(np.sqrt(values).sum()), _count(values, len(values)))


def _count(values: np.ndarray, size: int) -> int:
    """How many values stand above rounding."""
    return int((values > values.max() * size * np.finfo(np.float64).eps).sum())


def _check_same_d(a: _Side, b: _Side) -> None:
    if len(a.mean) != len(b.mean):
        raise ValueError(f"sets of {len(a.mean)} and {len(b.mean)} features cannot be compared")
