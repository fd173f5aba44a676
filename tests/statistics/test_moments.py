"""Sums of many rows in parts, against numpy on the whole."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gcbench.statistics import moments as module
from gcbench.statistics.moments import Growing, Moments, moments, sums
from gcbench.statistics.sample_rows import SampleRows


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 7 rows, so that small sets have many."""
    monkeypatch.setattr(module, "CHUNK", 7)


def features(n: int, d: int, seed: int = 0) -> np.ndarray:
    """Far from 0 against their spread, where sums of plain squares lose digits."""
    return (np.random.default_rng(seed).standard_normal((n, d)) + 1000).astype(np.float32)


@pytest.mark.parametrize("n", [2, 7, 8, 50])
def test_moments_are_those_of_numpy(n: int) -> None:
    x = features(n, 4)
    got = moments(x)
    np.testing.assert_allclose(got.mean, x.mean(axis=0, dtype=np.float64), rtol=1e-14)
    np.testing.assert_allclose(got.covariance, np.cov(x.astype(np.float64), rowvar=False), rtol=1e-11, atol=1e-12)


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 1000))
def test_sums_add_up_and_come_apart(n1: int, n2: int, seed: int) -> None:
    x = features(n1 + n2, 3, seed)
    first, second, whole = sums(x[:n1]), sums(x[n1:]), sums(x)
    for got, expected in ((first.plus(second), whole), (whole.minus(second), first)):
        assert got.n == expected.n
        np.testing.assert_allclose(got.mean, expected.mean, rtol=1e-13)
        np.testing.assert_allclose(got.scatter, expected.scatter, atol=1e-8)


@settings(max_examples=30)
@given(cuts=st.sets(st.integers(1, 59)), d=st.sampled_from([2, 20, 70]))
def test_a_growing_set_forgets_its_batches(cuts: set[int], d: int) -> None:
    """The same digits for every size of batch; the same moments as all rows at once; rows where n ≤ d."""
    x = features(60, d)
    whole, parts = Growing(), Growing()
    names = [f"{i:03}" for i in range(60)]
    whole.add(names, x)
    for a, b in pairwise([0, *sorted(cuts), 60]):
        parts.add(names[a:b], x[a:b])
        if d < 60:
            assert sum(map(len, parts._waiting)) < max(14, d + 1)  # no more than a chunk or two stays
    one, other = whole.condensed(), parts.condensed()
    if d > 60:
        assert isinstance(other, np.ndarray)
        np.testing.assert_array_equal(other, x)
        return
    assert isinstance(one, Moments)
    assert isinstance(other, Moments)
    assert other.n == 60
    np.testing.assert_array_equal(one.covariance, other.covariance)
    np.testing.assert_array_equal(one.mean, other.mean)
    np.testing.assert_allclose(other.covariance, np.cov(x.astype(np.float64), rowvar=False), rtol=1e-8, atol=1e-9)


def test_a_growing_set_goes_on_after_it_was_read() -> None:
    x, growing = features(40, 3), Growing()
    growing.add([f"a{i}" for i in range(20)], x[:20])
    assert growing.condensed() is growing.condensed()
    growing.add([f"b{i}" for i in range(20)], x[20:])
    got = growing.condensed()
    assert isinstance(got, Moments)
    np.testing.assert_allclose(got.covariance, moments(x).covariance, rtol=1e-10, atol=1e-10)


def test_a_growing_set_refuses_what_it_has() -> None:
    growing = Growing()
    growing.add(["a"], features(1, 2))
    with pytest.raises(ValueError, match="'c' came twice"):
        growing.add(["b", "c", "c"], features(3, 2))
    with pytest.raises(ValueError, match="'a' came twice"):
        growing.add(["b", "a"], features(2, 2))
    assert len(growing) == 1


def test_rows_where_they_lie_give_the_same_digits_as_an_array() -> None:
    x, store = features(30, 4), SampleRows()
    order = np.random.default_rng(1).permutation(30)
    for part in np.array_split(order, 4):
        store.add([f"{i:02}" for i in part], x[part])
    np.testing.assert_array_equal(moments(store.in_order()).covariance, moments(x).covariance)


def test_what_has_no_moments_is_an_error() -> None:
    for n in (0, 1):
        with pytest.raises(ValueError, match="at least 2"):
            moments(np.zeros((n, 3)))
    with pytest.raises(ValueError, match="not finite"):
        moments(np.where(np.arange(60).reshape(20, 3) == 50, np.inf, 0.0))
    with pytest.raises(ValueError, match=r"\[n,d\]"):
        moments(np.zeros(5))
