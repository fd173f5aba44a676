"""The script that validates the intervals: what it counts, and that it tells a good interval from a naive one."""

import numpy as np
import pytest

from gcbench.core.contracts import Metric
from studies import interval_coverage as coverage


def test_held_counts_intervals() -> None:
    intervals = np.array([[0.0, 1.0], [0.4, 0.6], [0.6, 0.9], [0.5, 0.5]])
    assert coverage.held(intervals, 0.5) == 0.75


def test_a_naive_resample_is_of_the_same_images_as_if_each_stood_alone() -> None:
    drawn = coverage.prompted_vectors(np.random.default_rng(0), 12)
    again = coverage.again(drawn, np.random.default_rng(1))
    assert again.samples.groups == again.samples.ids == drawn.samples.ids
    vectors, resampled = drawn.features["clip"].vectors, again.features["clip"].vectors
    assert vectors is not None
    assert resampled is not None
    assert {tuple(row) for row in resampled.tolist()} < {tuple(row) for row in vectors.tolist()}


@pytest.mark.slow
def test_clustered_intervals_hold_and_naive_ones_do_not() -> None:
    row = coverage.coverage("clip-score", n=200, draws=60, bootstrap=(60, 60))
    assert row.interval > 0.85
    assert row.naive < row.interval
    assert row.error == pytest.approx(row.spread, rel=0.35)


@pytest.mark.parametrize("name", ["fid", "clip-score"])
def test_draws_are_fresh_and_of_n_images(name: str) -> None:
    one, other = (coverage.POPULATIONS[name](np.random.default_rng([0, i]), 16) for i in range(2))
    (a,), (b,) = one.features.values(), other.features.values()
    assert a.vectors is not None
    assert b.vectors is not None
    assert a.vectors.shape[0] == len(one.samples) == 16
    assert not np.array_equal(a.vectors.numpy(), b.vectors.numpy())
    assert issubclass(coverage.registry("metrics")[name], Metric)
