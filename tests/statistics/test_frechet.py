"""Fréchet distance against closed forms and scipy's matrix square root (an oracle here, never in use)."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from gcbench.statistics.frechet import (
    _from_moments,
    _nuclear,
    _roots,
    condense,
    frechet_distance,
    frechet_jackknife,
)
from gcbench.statistics.intervals import group_jackknife
from gcbench.statistics.moments import Moments, moments


def exact_sample(mean: np.ndarray, variances: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """n rows of exactly this sample mean and diagonal covariance; at most n - 1 variances may be > 0."""
    kept = np.flatnonzero(variances)
    basis, _ = np.linalg.qr(np.column_stack([np.ones(n), rng.standard_normal((n, len(kept)))]))
    x = np.tile(mean, (n, 1))
    x[:, kept] += basis[:, 1:] * np.sqrt((n - 1) * variances[kept])
    return x


def by_sqrtm(a: np.ndarray, b: np.ndarray) -> float:
    s1, s2 = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    difference = a.mean(0) - b.mean(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        root = sqrtm(s1 @ s2)
    return float(difference @ difference + np.trace(s1 + s2 - 2 * root.real))


@pytest.mark.parametrize(("n_reference", "n"), [(40, 50), (40, 9), (9, 50), (9, 8)])
def test_diagonal_covariances_have_a_closed_form(n_reference: int, n: int) -> None:
    rng = np.random.default_rng(1)
    d = 10
    a, b = rng.uniform(0.5, 4, d), rng.uniform(0.5, 4, d)
    a[6:] = 0 if n_reference < 10 else a[6:]
    b[:3] = 0 if n < 10 else b[:3]
    m1, m2 = rng.standard_normal(d), rng.standard_normal(d)
    result = frechet_distance(exact_sample(m1, a, n_reference, rng), exact_sample(m2, b, n, rng))
    assert result.mean_part == pytest.approx(np.square(m1 - m2).sum(), rel=1e-12)
    assert result.covariance_part == pytest.approx(np.square(np.sqrt(a) - np.sqrt(b)).sum(), rel=1e-7)
    assert result.distance == result.mean_part + result.covariance_part
    assert (result.n_reference, result.n, result.d) == (n_reference, n, d)
    assert result.rank == int(((a > 0) & (b > 0)).sum())


def test_a_shift_of_the_mean_is_all_that_a_shifted_copy_shows() -> None:
    x = np.random.default_rng(2).standard_normal((60, 5))
    result = frechet_distance(x, x + np.array([3.0, 4, 0, 0, 0]))
    assert result.distance == pytest.approx(25, rel=1e-9)
    assert result.covariance_part == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("n_reference", "n", "d"), [(80, 70, 12), (200, 30, 20), (15, 90, 8)])
def test_agrees_with_a_matrix_square_root(n_reference: int, n: int, d: int) -> None:
    rng = np.random.default_rng(3)
    a = rng.standard_normal((n_reference, d)) @ rng.standard_normal((d, d))
    b = rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) + 1
    expected = by_sqrtm(a, b)
    assert frechet_distance(a, b).distance == pytest.approx(expected, rel=1e-8)
    assert frechet_distance(b, a).distance == pytest.approx(expected, rel=1e-8)
    assert frechet_distance(moments(a), b).distance == pytest.approx(expected, rel=1e-8)
    assert frechet_distance(moments(a), moments(b)).distance == pytest.approx(expected, rel=1e-8)


def test_a_divisor_of_n_would_be_seen() -> None:
    """A kept mutant: covariances with divisor n miss the closed form by far more than the tests allow."""
    rng = np.random.default_rng(4)
    x, y = exact_sample(np.zeros(3), np.ones(3), 20, rng), exact_sample(np.zeros(3), 4 * np.ones(3), 20, rng)
    mutant = Moments(x.mean(0), np.cov(x, rowvar=False, ddof=0), 20)
    assert frechet_distance(x, y).distance == pytest.approx(3, rel=1e-9)
    assert frechet_distance(mutant, y).distance != pytest.approx(3, rel=1e-2)


@pytest.mark.parametrize(("n1", "n2", "d"), [(60, 50, 24), (40, 35, 30)])
def test_low_rank_and_full_path_agree(n1: int, n2: int, d: int) -> None:
    """The nuclear norm of two roots, one root against a covariance, and eigenvectors: one number."""
    rng = np.random.default_rng(5)
    a, b = rng.standard_normal((n1, d)), rng.standard_normal((n2, d)) * rng.uniform(0.2, 3, d)
    root1, root2 = (a - a.mean(0)) / np.sqrt(n1 - 1), (b - b.mean(0)) / np.sqrt(n2 - 1)
    nuclear, rank = _nuclear(root1 @ root2.T, max(n1, n2))
    eigenvectors = moments(a).root
    for full in (_roots(eigenvectors @ moments(b).covariance @ eigenvectors.T), _from_moments(moments(a), moments(b))):
        assert full.trace == pytest.approx(nuclear, rel=1e-8)
        assert full.rank == rank == d


def test_a_singular_covariance_has_no_cholesky_factor_and_needs_none() -> None:
    """A feature that never varies, and two that are the same."""
    rng = np.random.default_rng(10)
    a, b = rng.standard_normal((60, 6)), rng.standard_normal((50, 6)) * 2
    for x in (a, b):
        x[:, 2] = 7
        x[:, 4] = x[:, 3]
    result = frechet_distance(a, b)
    assert result.distance == pytest.approx(by_sqrtm(a + 1e-9 * rng.standard_normal(a.shape), b), rel=1e-6)
    assert result.rank == 4


@pytest.mark.parametrize(
    ("n_reference", "n", "d"), [(60, 55, 8), (60, 23, 8), (15, 30, 20), (12, 13, 40), (90, 13, 40)]
)
@pytest.mark.parametrize("groups", ["each", "pairs", "two large ones", "of several sizes"])
def test_what_the_jackknife_shares_changes_no_value(n_reference: int, n: int, d: int, groups: str) -> None:
    """Each left-out value is the distance of the rows that are kept, in every form that the two sets can have."""
    size = {"each": 1, "pairs": 2, "two large ones": n // 2}.get(groups, 0)
    names = [f"g{i // size}" if size else f"g{int(i**0.5)}" for i in range(n)]
    rng = np.random.default_rng(11)
    a = rng.standard_normal((n_reference, d)) * rng.uniform(0.5, 2, d) + 100
    b = rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) + 100.5
    for reference in (a, condense(a)):
        frechet, jack = frechet_jackknife(reference, b, names)
        brute = group_jackknife(lambda kept: frechet_distance(a, b[kept]).distance, names)
        assert frechet == frechet_distance(a, b)
        assert jack.value == frechet.distance
        scale = np.abs(brute.influence).max()
        np.testing.assert_allclose(jack.influence, brute.influence, rtol=1e-5, atol=1e-5 * scale)
        assert jack.standard_error == pytest.approx(brute.standard_error, rel=1e-5)


def test_low_rank_paths_agree_below_d() -> None:
    """Rows against rows, and rows against stored moments of as few images."""
    rng = np.random.default_rng(6)
    a, b = rng.standard_normal((25, 64)), rng.standard_normal((20, 64)) + 0.3
    rows = frechet_distance(a, b)
    assert frechet_distance(moments(a), b).distance == pytest.approx(rows.distance, rel=1e-8)
    assert rows.rank == 19
    # with d x d matrices alone, each null direction adds rounding of about √eps
    assert frechet_distance(moments(a), moments(b)).distance == pytest.approx(rows.distance, rel=1e-6)


@pytest.mark.parametrize("n", [6, 300])
def test_a_set_is_at_no_distance_from_itself(n: int) -> None:
    x = np.random.default_rng(7).standard_normal((n, 40)) * 10
    assert 0 <= frechet_distance(x, x).distance < 1e-7


def test_float32_is_computed_in_float64() -> None:
    rng = np.random.default_rng(8)
    a = (rng.standard_normal((50, 6)) + 1000).astype(np.float32)
    b = (rng.standard_normal((50, 6)) + 1000).astype(np.float32)
    assert frechet_distance(a, b) == frechet_distance(a.astype(np.float64), b.astype(np.float64))


def test_condensing_changes_no_digit() -> None:
    rng = np.random.default_rng(9)
    for n in (4, 40):
        a, b = rng.standard_normal((n, 10)), rng.standard_normal((25, 10))
        assert frechet_distance(condense(a), b) == frechet_distance(a, b)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 12), st.integers(2, 12), st.integers(1, 8), st.integers(0, 10_000))
def test_symmetric_and_equivariant(n1: int, n2: int, d: int, seed: int) -> None:
    """Symmetric, never negative; deaf to a common rotation and shift; a scale c of the features gives c²."""
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((n1, d)), rng.standard_normal((n2, d)) * 2 + 1
    rotation, _ = np.linalg.qr(rng.standard_normal((d, d)))
    shift = rng.standard_normal(d)
    value = frechet_distance(a, b).distance
    assert value >= 0
    assert frechet_distance(b, a).distance == pytest.approx(value, rel=1e-6, abs=1e-6)
    turned = frechet_distance(a @ rotation + shift, b @ rotation + shift).distance
    assert turned == pytest.approx(value, rel=1e-6, abs=1e-6)
    assert frechet_distance(3 * a, 3 * b).distance == pytest.approx(9 * value, rel=1e-6, abs=1e-6)
    mixed = frechet_distance(a, b[rng.permutation(n2)]).distance
    assert mixed == pytest.approx(value, rel=1e-6, abs=1e-6)


def test_what_cannot_be_compared_is_an_error() -> None:
    x = np.zeros((5, 3))
    with pytest.raises(ValueError, match="at least 2"):
        frechet_distance(x, x[:1])
    with pytest.raises(ValueError, match="not finite"):
        frechet_distance(x, np.full((5, 3), np.nan))
    with pytest.raises(ValueError, match="3 and 4 features"):
        frechet_distance(x, np.zeros((5, 4)))
    with pytest.raises(ValueError, match=r"\[n,d\]"):
        frechet_distance(x, np.zeros(5))
    with pytest.raises(ValueError, match="at least 2"):
        Moments(np.zeros(3), np.eye(3), 1)
    with pytest.raises(ValueError, match="does not fit"):
        Moments(np.zeros(3), np.eye(4), 5)
