"""Intervals against closed forms, scipy and small simulations."""

from functools import partial

import numpy as np
import pytest
from scipy import stats

from gcbench.statistics.frechet import condense, frechet_distance
from gcbench.statistics.intervals import (
    Jackknife,
    block_jackknife,
    cluster_bootstrap_mean,
    paired_difference,
    paired_jackknife,
)


def test_jackknife_of_a_mean_is_the_error_of_block_means() -> None:
    x = np.random.default_rng(0).standard_normal(200)
    means = x.reshape(10, 20).mean(axis=1)
    jack = block_jackknife(lambda kept: float(x[kept].mean()), 200)
    assert jack.value == pytest.approx(x.mean())
    assert jack.standard_error == pytest.approx(means.std(ddof=1) / np.sqrt(10), rel=1e-12)
    expected = stats.t.interval(0.95, 9, loc=x.mean(), scale=means.std(ddof=1) / np.sqrt(10))
    assert jack.interval == pytest.approx(expected, rel=1e-9)
    np.testing.assert_allclose(jack.left_out, [(x.sum() - 20 * m) / 180 for m in means])


@pytest.mark.parametrize(("n", "blocks"), [(4, 2), (5, 2), (19, 9), (20, 10), (23, 10), (1000, 10)])
def test_blocks_are_contiguous_and_cover_all(n: int, blocks: int) -> None:
    gone: list[int] = []

    def statistic(kept: np.ndarray) -> float:
        missing = np.setdiff1d(np.arange(n), kept)
        assert (np.diff(missing) == 1).all()
        gone.extend(missing.tolist())
        return float(len(kept))

    jack = block_jackknife(statistic, n, value=0.0)
    assert len(jack.left_out) == blocks
    assert gone == list(range(n))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_samples_give_no_interval(n: int) -> None:
    jack = block_jackknife(lambda kept: float(len(kept)), n)
    assert (jack.value, jack.standard_error, jack.interval, jack.left_out) == (n, None, None, [])


def test_a_value_that_is_not_finite_gives_no_interval() -> None:
    jack = block_jackknife(lambda kept: float("nan") if 0 not in kept else 1.0, 20)
    assert (jack.value, jack.standard_error, jack.interval) == (1.0, None, None)
    assert len(jack.left_out) == 10


def test_jackknife_error_of_a_frechet_distance_is_cautious() -> None:
    """Against the spread over fresh draws; the naive bootstrap would double the bias instead."""
    rng = np.random.default_rng(1)
    d, n = 12, 120
    scale = np.linspace(0.3, 2, d)
    reference = condense(rng.standard_normal((3000, d)) * scale)
    values, errors = [], []

    def distance_of(x: np.ndarray, kept: np.ndarray) -> float:
        return frechet_distance(reference, x[kept]).distance

    for _ in range(60):
        x = rng.standard_normal((n, d)) * scale + 0.2
        jack = block_jackknife(partial(distance_of, x), n)
        assert jack.standard_error is not None
        values.append(jack.value)
        errors.append(jack.standard_error)
    ratio = np.mean(errors) / np.std(values, ddof=1)
    assert 0.9 < ratio < 1.6


def test_bootstrap_error_of_independent_values_is_the_classical_one() -> None:
    x = np.random.default_rng(2).standard_normal(400)
    mean = cluster_bootstrap_mean(x, [str(i) for i in range(400)], seed=0)
    assert mean.value == pytest.approx(x.mean())
    assert mean.standard_error == pytest.approx(x.std() / 20, rel=0.05)
    assert mean.interval is not None
    assert mean.interval[0] < x.mean() < mean.interval[1]


def test_copies_within_a_cluster_add_no_certainty() -> None:
    x = np.random.default_rng(3).standard_normal(50)
    names = [f"{i:02}" for i in range(50)]
    once = cluster_bootstrap_mean(x, names, seed=0)
    thrice = cluster_bootstrap_mean(np.repeat(x, 3), np.repeat(names, 3).tolist(), seed=0)
    assert thrice.standard_error == pytest.approx(once.standard_error, rel=1e-9)
    blind = cluster_bootstrap_mean(np.repeat(x, 3), [str(i) for i in range(150)], seed=0)
    assert once.standard_error is not None
    assert blind.standard_error is not None
    assert blind.standard_error < 0.7 * once.standard_error


def test_bootstrap_covers_the_truth_under_clusters() -> None:
    """40 clusters of 1 to 9 dependent values, true mean 0: the 95 % interval holds it about as often."""
    rng = np.random.default_rng(4)
    hits = 0
    for _ in range(200):
        sizes = rng.integers(1, 10, 40)
        x = np.repeat(rng.standard_normal(40), sizes) + 0.5 * rng.standard_normal(sizes.sum())
        clusters = np.repeat([str(i) for i in range(40)], sizes).tolist()
        interval = cluster_bootstrap_mean(x, clusters, seed=0, resamples=400).interval
        assert interval is not None
        hits += interval[0] <= 0 <= interval[1]
    assert 0.89 <= hits / 200 <= 0.99


def test_bootstrap_draws_from_its_own_seed() -> None:
    x, names = np.arange(30.0), [str(i) for i in range(30)]
    np.random.seed(0)  # noqa: NPY002
    first = cluster_bootstrap_mean(x, names, seed=7)
    np.random.seed(1)  # noqa: NPY002
    assert cluster_bootstrap_mean(x, names, seed=7) == first
    assert cluster_bootstrap_mean(x, names, seed=8) != first


def test_one_cluster_gives_no_interval() -> None:
    mean = cluster_bootstrap_mean(np.array([1.0, 2, 3]), ["a"] * 3, seed=0)
    assert (mean.value, mean.standard_error, mean.interval) == (2, None, None)
    assert paired_difference(np.ones(3), np.zeros(3), ["a"] * 3, seed=0)[1:] == (None, None, None)


def test_pairing_takes_out_what_the_pairs_share() -> None:
    rng = np.random.default_rng(5)
    shared = rng.standard_normal(300)
    a, b = shared + 0.05 + 0.1 * rng.standard_normal(300), shared
    names = [str(i) for i in range(300)]
    result = paired_difference(a, b, names, seed=0)
    assert result.value == pytest.approx((a - b).mean())
    assert result.standard_error == pytest.approx((a - b).std() / np.sqrt(300), rel=0.06)
    assert result.p_value is not None
    assert result.p_value < 0.01
    assert result.interval is not None
    assert result.interval[0] > 0
    swapped = paired_difference(b, a, names, seed=0)
    assert swapped.value == -result.value
    assert swapped.p_value == result.p_value


def test_p_value_without_a_difference() -> None:
    names = [str(i) for i in range(40)]
    assert paired_difference(np.ones(40), np.ones(40), names, seed=0).p_value == 1
    rng = np.random.default_rng(6)
    p = [
        paired_difference(a, b, names, seed=0, resamples=400).p_value or 0 for a, b in rng.standard_normal((150, 2, 40))
    ]
    assert 0.01 <= np.mean(np.array(p) < 0.05) <= 0.12


def test_p_value_is_near_that_of_a_t_test() -> None:
    rng = np.random.default_rng(7)
    a, b = rng.standard_normal((2, 200))
    ours = paired_difference(a + 0.15, b, [str(i) for i in range(200)], seed=0, resamples=8000).p_value
    assert ours == pytest.approx(stats.ttest_rel(a + 0.15, b).pvalue, abs=0.02)


def test_unscored_values_must_be_left_out_first() -> None:
    with pytest.raises(ValueError, match="unscored"):
        cluster_bootstrap_mean(np.array([1, np.nan]), ["a", "b"], seed=0)
    with pytest.raises(ValueError, match="at least one"):
        cluster_bootstrap_mean(np.array([]), [], seed=0)
    with pytest.raises(ValueError, match="2 values and 1 clusters"):
        cluster_bootstrap_mean(np.ones(2), ["a"], seed=0)


def test_paired_jackknife_of_means_is_the_t_test_of_block_means() -> None:
    """For means over equal blocks the left-out values are linear in the block means."""
    rng = np.random.default_rng(8)
    shared = rng.standard_normal(200)
    a, b = shared + 0.1 * rng.standard_normal(200) + 0.02, shared
    jack_a, jack_b = (block_jackknife(lambda kept, x=x: float(x[kept].mean()), 200) for x in (a, b))
    found = paired_jackknife(jack_a.value - jack_b.value, jack_a.left_out, jack_b.left_out)
    test = stats.ttest_rel(a.reshape(10, 20).mean(1), b.reshape(10, 20).mean(1))
    assert found.p_value == pytest.approx(test.pvalue, rel=1e-9)
    assert found.interval == pytest.approx(test.confidence_interval(), rel=1e-9)
    assert jack_a.standard_error is not None
    assert found.standard_error is not None
    assert found.standard_error < 0.3 * jack_a.standard_error  # what the pairs share is gone


def test_paired_jackknife_holds_its_level() -> None:
    """Two sets from one distribution, a Fréchet distance each: p < 0.05 about as often as it says, or less."""
    rng = np.random.default_rng(9)
    reference = condense(rng.standard_normal((500, 4)))

    def jackknife(x: np.ndarray) -> Jackknife:
        return block_jackknife(lambda kept: frechet_distance(reference, x[kept]).distance, len(x))

    p = []
    for _ in range(80):
        a, b = jackknife(rng.standard_normal((60, 4))), jackknife(rng.standard_normal((60, 4)))
        p.append(paired_jackknife(a.value - b.value, a.left_out, b.left_out).p_value or 0)
    assert np.mean(np.array(p) < 0.05) < 0.13
    assert 0.3 < np.mean(p) < 0.8


def test_paired_jackknife_without_a_spread() -> None:
    assert paired_jackknife(0.0, [1.0, 2.0], [1.0, 2.0]) == (0, 0, (0, 0), 1)
    assert paired_jackknife(1.0, [2.0, 3.0], [1.0, 2.0]).p_value == 0
    assert paired_jackknife(1.0, [], [])[1:] == (None, None, None)
    assert paired_jackknife(1.0, [1.0, float("nan")], [1.0, 2.0])[1:] == (None, None, None)
    with pytest.raises(ValueError, match="2 and 1 blocks"):
        paired_jackknife(1.0, [1.0, 2.0], [1.0])
