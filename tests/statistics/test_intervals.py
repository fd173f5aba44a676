"""Intervals against closed forms, scipy and small simulations."""

import json
from collections.abc import Callable
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gcbench.statistics.frechet import condense, frechet_jackknife
from gcbench.statistics.intervals import (
    cluster_bootstrap_mean,
    group_jackknife,
    paired_difference,
    paired_jackknife,
)


def alone(n: int) -> list[str]:
    return [str(i) for i in range(n)]


def mean_without(x: np.ndarray) -> Callable[[np.ndarray], float]:
    return lambda kept: float(x[kept].mean())


def test_jackknife_of_a_mean_is_its_classical_error() -> None:
    x = np.random.default_rng(0).standard_normal(200)
    jack = group_jackknife(mean_without(x), alone(200))
    error = x.std(ddof=1) / np.sqrt(200)
    assert jack.standard_error == pytest.approx(error, rel=1e-12)
    assert jack.interval == pytest.approx(stats.t.interval(0.95, 199, loc=x.mean(), scale=error), rel=1e-9)
    assert sorted(jack.influence) == pytest.approx(np.sort(x - x.mean()) / 200)


def test_groups_of_one_size_count_as_their_means() -> None:
    means = np.random.default_rng(0).standard_normal(10)
    x, groups = np.tile(means, 4), [f"g{i % 10}" for i in range(40)]
    jack = group_jackknife(mean_without(x), groups)
    expected = stats.t.interval(0.95, 9, loc=means.mean(), scale=means.std(ddof=1) / np.sqrt(10))
    assert jack.interval == pytest.approx(expected, rel=1e-9)
    assert jack.groups == 10


def test_groups_of_several_sizes_have_the_cluster_error_of_a_ratio() -> None:
    """Of a mean Σ sums / Σ counts (Cochran 1977, eq. 6.13, with G/(G-1)); the bootstrap over groups tends to it."""
    rng = np.random.default_rng(1)
    sizes = rng.integers(1, 30, 25)
    x = np.repeat(rng.standard_normal(25), sizes) + 0.3 * rng.standard_normal(sizes.sum())
    groups = np.repeat([f"g{i:02}" for i in range(25)], sizes).tolist()
    sums = np.array([(x[np.array(groups) == g] - x.mean()).sum() for g in sorted(set(groups))]) / len(x)
    expected = np.sqrt(25 / 24 * np.square(sums).sum())
    assert group_jackknife(mean_without(x), groups).standard_error == pytest.approx(expected, rel=1e-9)
    assert cluster_bootstrap_mean(x, groups, seed=0).standard_error == pytest.approx(expected, rel=0.1)


@given(st.lists(st.integers(0, 6), min_size=2, max_size=30), st.randoms())
def test_names_and_order_change_nothing(members: list[int], random: Random) -> None:
    x = np.random.default_rng(len(members)).standard_normal(len(members))
    order, names = list(range(len(x))), list("abcdefg")
    random.shuffle(order)
    random.shuffle(names)
    groups, others = [f"g{g}" for g in members], [names[members[i]] for i in order]
    for one, other in (
        (group_jackknife(mean_without(x), groups), group_jackknife(mean_without(x[order]), others)),
        (cluster_bootstrap_mean(x, groups, 0), cluster_bootstrap_mean(x[order], others, 0)),
    ):
        assert (one.standard_error is None) == (len(set(members)) < 2)
        if one.interval is not None:
            assert one.standard_error == pytest.approx(other.standard_error, rel=1e-9, abs=1e-12)
            assert one.interval == pytest.approx(other.interval, rel=1e-9, abs=1e-12)


def test_stored_blocks_hold_whole_groups_and_say_which() -> None:
    x = np.random.default_rng(0).standard_normal(700)
    groups = [f"g{i % 350}" for i in range(700)]
    jack = group_jackknife(mean_without(x), groups)
    detail = jack.detail()
    assert (len(detail["influence"]), detail["blocks"]["groups"]) == (100, 350)
    assert sum(detail["influence"]) == pytest.approx(sum(jack.influence))
    assert json.loads(json.dumps(float(jack.fingerprint))) == jack.fingerprint
    renamed = group_jackknife(mean_without(x), ["other" if g == "g7" else g for g in groups])
    moved = group_jackknife(mean_without(x), ["g7" if i == 0 else g for i, g in enumerate(groups)])
    assert len({one.fingerprint for one in (jack, renamed, moved)}) == 3
    paired = paired_jackknife(0.0, detail["influence"], [0.0] * 100)
    assert paired.standard_error == pytest.approx(jack.standard_error, rel=0.2)


@pytest.mark.parametrize("n", [1, 2])
def test_one_group_gives_no_interval(n: int) -> None:
    jack = group_jackknife(lambda kept: float(len(kept)), ["a"] * n)
    assert (jack.value, jack.standard_error, jack.interval, jack.detail()) == (n, None, None, {})


def test_a_value_that_is_not_finite_gives_no_interval() -> None:
    jack = group_jackknife(lambda kept: float("nan") if 0 not in kept else 1.0, alone(20))
    assert (jack.value, jack.standard_error, jack.interval) == (1.0, None, None)


def test_jackknife_error_of_a_frechet_distance_is_that_of_fresh_draws() -> None:
    """The naive bootstrap would double the bias instead."""
    rng = np.random.default_rng(1)
    d, n = 12, 120
    scale = np.linspace(0.3, 2, d)
    reference = condense(rng.standard_normal((3000, d)) * scale)
    values, errors = [], []
    for _ in range(100):
        whole, jack = frechet_jackknife(reference, rng.standard_normal((n, d)) * scale + 0.4)
        assert jack.standard_error is not None
        values.append(whole.distance)
        errors.append(jack.standard_error)
    assert 0.85 < np.mean(errors) / np.std(values, ddof=1) < 1.25


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


@pytest.mark.parametrize("clusters", [5, 10, 200])
def test_few_groups_keep_the_level_and_p_agrees_with_the_interval(clusters: int) -> None:
    """Without t and G/(G-1) the interval of 5 groups holds the truth in 74 of 100 tries, of 10 in 81."""
    rng = np.random.default_rng(clusters)
    groups, held, rejected, tries = [f"g{i % clusters}" for i in range(4 * clusters)], 0, 0, 250
    for seed in range(tries):
        x = np.tile(rng.standard_normal(clusters), 4) + 0.3 * rng.standard_normal(4 * clusters)
        found = paired_difference(x, np.zeros(len(x)), groups, seed=seed, resamples=500)
        assert found.interval is not None
        assert found.p_value is not None
        outside = found.interval[0] > 0 or found.interval[1] < 0
        assert outside == (found.p_value < 0.05) or found.p_value == pytest.approx(0.05, abs=1e-6)
        held += cluster_bootstrap_mean(x, groups, seed=seed, resamples=500).interval == pytest.approx(found.interval)
        rejected += outside
    assert held == tries
    assert 0.015 <= rejected / tries <= 0.085


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


def test_paired_jackknife_of_means_is_the_t_test_of_group_means() -> None:
    rng = np.random.default_rng(8)
    shared = rng.standard_normal(200)
    a, b = shared + 0.1 * rng.standard_normal(200) + 0.02, shared
    groups = [f"g{i // 20}" for i in range(200)]
    jack_a, jack_b = (group_jackknife(mean_without(x), groups) for x in (a, b))
    found = paired_jackknife(jack_a.value - jack_b.value, jack_a.influence, jack_b.influence)
    test = stats.ttest_rel(a.reshape(10, 20).mean(1), b.reshape(10, 20).mean(1))
    assert found.p_value == pytest.approx(test.pvalue, rel=1e-9)
    assert found.interval == pytest.approx(test.confidence_interval(), rel=1e-9)
    assert jack_a.standard_error is not None
    assert found.standard_error is not None
    assert found.standard_error < 0.3 * jack_a.standard_error  # what the pairs share is gone


def test_paired_jackknife_holds_its_level() -> None:
    """Two sets from one distribution, a Fréchet distance each: p < 0.05 about as often as it says. Independent rows,
    and clusters of five whose names alternate, where blocks that cut them would reject in half of the tries."""
    rng = np.random.default_rng(9)
    reference = condense(rng.standard_normal((500, 4)))
    p: list[float] = []
    for copies in (1, 5):
        groups = [f"g{i % (60 // copies)}" for i in range(60)]
        for _ in range(100):
            x = np.tile(rng.standard_normal((2, 60 // copies, 4)) + 0.5, (1, copies, 1))
            a, b = (frechet_jackknife(reference, each, groups)[1] for each in x)
            p.append(paired_jackknife(a.value - b.value, a.influence, b.influence).p_value or 0)
    assert 0.015 <= np.mean(np.array(p) < 0.05) < 0.1
    assert 0.3 < np.mean(p) < 0.8


def test_paired_jackknife_without_a_spread() -> None:
    assert paired_jackknife(0.0, [1.0, 2.0], [1.0, 2.0]) == (0, 0, (0, 0), 1)
    assert paired_jackknife(1.0, [2.0, 3.0], [1.0, 2.0]).p_value == 0
    assert paired_jackknife(1.0, [], [])[1:] == (None, None, None)
    assert paired_jackknife(1.0, [1.0, float("nan")], [1.0, 2.0])[1:] == (None, None, None)
    with pytest.raises(ValueError, match="2 and 1 blocks"):
        paired_jackknife(1.0, [1.0, 2.0], [1.0])
