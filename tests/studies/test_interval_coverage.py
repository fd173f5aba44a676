"""The script that validates the intervals: what it counts, and what it draws."""

from itertools import pairwise

import numpy as np
import pytest

from studies import interval_coverage as coverage


def test_held_counts_intervals() -> None:
    intervals = np.array([[0.0, 1.0], [0.4, 0.6], [0.6, 0.9], [0.5, 0.5]])
    assert coverage.held(intervals, 0.5) == 0.75


@pytest.mark.parametrize("order", [0, 1, 2])
def test_names_stand_together_alternate_or_are_shuffled(order: int) -> None:
    ids, groups = coverage.named(20, 5, order)
    assert len(set(ids)) == 20
    assert sorted(map(groups.count, set(groups))) == [5] * 4
    by_name = [group for _, group in sorted(zip(ids, groups, strict=True))]
    changes = sum(a != b for a, b in pairwise(by_name))
    assert [changes == 3, changes == 19, 3 < changes < 19][order]


@pytest.mark.parametrize("tails", ["", "t3", "lognormal"])
def test_features_of_a_group_are_alike(tails: str) -> None:
    cell = coverage.Cell("fd", tails=tails)
    x = coverage.feature_rows(np.random.default_rng(0), 400, 5, cell).reshape(80, 5, -1)
    assert x[:, 0].std() > 0
    alike = [np.corrcoef(x[:, 0, j], x[:, 1, j])[0, 1] for j in range(x.shape[2])]
    apart = [np.corrcoef(x[:-1, 0, j], x[1:, 1, j])[0, 1] for j in range(x.shape[2])]
    assert np.mean(alike) > 0.3 > abs(np.mean(apart))


def test_clustered_intervals_of_a_distance_hold() -> None:
    """Blocks that cut the groups hold it in half of the draws."""
    (row,) = coverage.coverage(coverage.Cell("fd"), n=50, group=5, draws=60)
    assert row.held > 0.85
    assert row.rejected < 0.15
    assert row.error == pytest.approx(1, abs=0.4)
