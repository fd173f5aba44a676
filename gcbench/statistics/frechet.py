"""The Fréchet distance of two sets of features: arrays in, numbers out. Knows nothing of pictures.

    d² = |m1 - m2|² + tr S1 + tr S2 - 2 tr (S1 S2)^½        (Dowson & Landau 1982)

with sample means m [d] and sample covariances S [d,d] (divisor n - 1). If the features are in units u, the
value is in u². It is d², not its root: the field calls that the distance, and so do we.

No matrix square root is ever taken. With any R such that RᵀR = S,

    tr (S1 S2)^½ = ‖R1 R2ᵀ‖_*  (the sum of singular values)  = Σ √eig(R1 S2 R1ᵀ).

A set of n ≤ d rows gives R as its centred rows / √(n - 1), [n,d]; a larger set is summed up by S, whose R
comes from its eigenvectors. So a small set never needs a d x d matrix, and no imaginary part can arise.

Bias: d² is too large in small samples, roughly by a term in 1/n. Compare only values of the same n.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Moments:
    """A set of features summed up: mean [d], covariance [d,d] with divisor n - 1, and n."""

    mean: np.ndarray
    covariance: np.ndarray
    n: int

    def __post_init__(self) -> None:
        d = len(self.mean)
        if self.covariance.shape != (d, d):
            raise ValueError(f"a covariance of shape {self.covariance.shape} does not fit a mean of {d} numbers")
        if self.n < 2:
            raise ValueError(f"a Fréchet distance needs at least 2 rows a set, not {self.n}")
        if not (np.isfinite(self.mean).all() and np.isfinite(self.covariance).all()):
            raise ValueError("the moments are not finite")

    @cached_property
    def root(self) -> np.ndarray:
        """R [d,d] with RᵀR = S, from the symmetric eigenvectors; rounding below 0 counts as 0."""
        values, vectors = np.linalg.eigh(self.covariance)  # [d], [d,d]
        return np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T  # [d,d]


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


def moments(features: np.ndarray) -> Moments:
    """Mean and covariance of features [n,d], in float64."""
    x = _checked(features)
    mean = x.mean(axis=0)  # [d]
    centred = x - mean
    return Moments(mean, centred.T @ centred / (len(x) - 1), len(x))


def condense(features: np.ndarray) -> "np.ndarray | Moments":
    """The cheaper form of a set that will be compared many times: moments if n > d, else its rows."""
    return moments(features) if len(features) > features.shape[1] else features


def frechet_distance(reference: "np.ndarray | Moments", samples: "np.ndarray | Moments") -> Frechet:
    """The Fréchet distance between features [n,d] (float32 or float64), either given as rows or as moments.

    Raises:
        ValueError: fewer than 2 rows, features that are not finite, or sets of different d.
    """
    a, b = _Side(reference), _Side(samples)
    if len(a.mean) != len(b.mean):
        raise ValueError(f"sets of {len(a.mean)} and {len(b.mean)} features cannot be compared")
    cross, rank = _cross_trace(a, b)
    difference = a.mean - b.mean
    mean_part = float(difference @ difference)
    covariance_part = max(0.0, a.trace + b.trace - 2 * cross)
    return Frechet(mean_part + covariance_part, mean_part, covariance_part, a.n, b.n, len(a.mean), rank)


class _Side:
    """One set, in the form its size asks for: `rows` R [n,d] if n ≤ d, else `moments`."""

    def __init__(self, given: "np.ndarray | Moments"):
        condensed = given if isinstance(given, Moments) else condense(_checked(given))
        if isinstance(condensed, Moments):
            self.rows: np.ndarray | None = None
            self.moments: Moments | None = condensed
            self.mean, self.n = condensed.mean, condensed.n
            self.trace = float(np.trace(condensed.covariance))
        else:
            self.mean, self.n = condensed.mean(axis=0), len(condensed)
            self.rows, self.moments = (condensed - self.mean) / np.sqrt(self.n - 1), None
            self.trace = float(np.square(self.rows).sum())


def _cross_trace(a: _Side, b: _Side) -> tuple[float, int]:
    """tr (S1 S2)^½ and its rank."""
    if a.rows is not None and b.rows is not None:
        return _from_roots(a.rows, b.rows)
    if a.rows is not None and b.moments is not None:
        return _from_root_and_covariance(a.rows, b.moments.covariance)
    assert a.moments is not None
    if b.rows is not None:
        return _from_root_and_covariance(b.rows, a.moments.covariance)
    assert b.moments is not None
    return _from_root_and_covariance(a.moments.root, b.moments.covariance)


def _from_roots(root1: np.ndarray, root2: np.ndarray) -> tuple[float, int]:
    """From R1 [n1,d] and R2 [n2,d]: the nuclear norm of R1 R2ᵀ. The most exact way."""
    values = np.linalg.svd(root1 @ root2.T, compute_uv=False)
    return float(values.sum()), _count(values, max(len(root1), len(root2)))


def _from_root_and_covariance(root1: np.ndarray, covariance2: np.ndarray) -> tuple[float, int]:
    """From R1 [r,d] and S2 [d,d]: the roots of the eigenvalues of the symmetric R1 S2 R1ᵀ [r,r]."""
    product = root1 @ covariance2 @ root1.T
    values = np.maximum(np.linalg.eigvalsh((product + product.T) / 2), 0.0)
    return float(np.sqrt(values).sum()), _count(values, len(root1))


def _count(values: np.ndarray, size: int) -> int:
    """How many values stand above rounding."""
    return int((values > values.max() * size * np.finfo(np.float64).eps).sum())


def _checked(features: np.ndarray) -> np.ndarray:
    """Features [n,d] in float64, or a ValueError that says what is wrong with them."""
    x = np.asarray(features, dtype=np.float64)
    if x.ndim != 2:
        raise ValueError(f"features must be [n,d], not of shape {x.shape}")
    if len(x) < 2:
        raise ValueError(f"a Fréchet distance needs at least 2 rows a set, not {len(x)}")
    if not np.isfinite(x).all():
        raise ValueError("the features hold values that are not finite")
    return x
