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

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.linalg

from gcbench.statistics.intervals import Jackknife, jackknife, runs
from gcbench.statistics.moments import Features, Moments, check, moments, sums


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


def frechet_jackknife(reference: "Features | Moments", samples: Features) -> tuple[Frechet, Jackknife]:
    """The distance, and its block jackknife over the samples with the reference fixed.

    What the runs share is computed once. n > d: the sums over all rows less those over a run are the sums without it.
    n ≤ d: what is left of the product of the two roots, without the run's rows, is centred anew.
    ValueError: as `frechet_distance`.
    """
    check(samples)
    a, (n, d) = _Side.of(reference), samples.shape
    left_out = []
    if n > d:
        total = sums(samples)
        b = _Side.of(total.moments())
        whole = _compare(a, b, _cross_trace(a, b))
        for run in runs(n):
            part = _Side.of(total.minus(sums(samples[run[0] : run[-1] + 1])).moments())
            left_out.append(_compare(a, part, _cross_trace(a, part)).distance)
        return whole, jackknife(whole.distance, left_out)
    x = np.asarray(samples[:], dtype=np.float64)
    b = _Side.of(x)
    product = _product(a, b)
    whole = _compare(a, b, _from_product(product, a, b))
    for run in runs(n):
        part = _Side.of(np.delete(x, run, axis=0))
        left = np.delete(product, run, axis=1) * ((n - 1) / (part.n - 1)) ** 0.5
        left -= left.mean(axis=1, keepdims=True)
        if a.rows is None:
            left = np.delete(left, run, axis=0) * ((n - 1) / (part.n - 1)) ** 0.5
            left -= left.mean(axis=0)
        left_out.append(_compare(a, part, _from_product(left, a, part)).distance)
    return whole, jackknife(whole.distance, left_out)


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
