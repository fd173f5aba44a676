"""The kernel distance against loops over pairs, torch-fidelity, and what unbiased means."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch_fidelity.metric_kid import kid_features_to_metric

from gcbench.statistics import kernel as module
from gcbench.statistics.intervals import group_jackknife
from gcbench.statistics.kernel import kernel_distance


def features(n: int, d: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return (np.random.default_rng(seed).gamma(0.5, size=(n, d)) + shift).astype(np.float32)


def by_pairs(x: np.ndarray, y: np.ndarray) -> float:
    """The definition, pair by pair."""
    x, y = x.astype(np.float64), y.astype(np.float64)

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return float((a @ b / len(a) + 1) ** 3)

    def within(z: np.ndarray) -> float:
        return float(np.mean([k(z[i], z[j]) for i in range(len(z)) for j in range(len(z)) if i != j]))

    return within(x) + within(y) - 2 * float(np.mean([k(a, b) for a in x for b in y]))


def by_torch_fidelity(x: np.ndarray, y: np.ndarray, subsets: int, size: int) -> dict[str, float]:
    """Of float64 features: it multiplies in their own precision."""
    given = (torch.from_numpy(z.astype(np.float64)) for z in (x, y))
    return kid_features_to_metric(*given, kid_subsets=subsets, kid_subset_size=size, verbose=False)


@pytest.mark.parametrize("n", [2, 3, 20])
def test_the_definition_pair_by_pair(n: int) -> None:
    x, y = features(n, 5, 0), features(n, 5, 1, 0.2)
    result = kernel_distance(y, x)
    assert result.value == pytest.approx(by_pairs(x, y), rel=1e-10)
    assert (result.subsets, result.size, result.sd) == (1, n, None)


@pytest.mark.parametrize(("n", "d"), [(50, 300), (300, 64)])
def test_one_subset_of_all_is_that_of_torch_fidelity(n: int, d: int) -> None:
    x, y = features(n, d, 0), features(n, d, 1, 0.03)
    theirs = by_torch_fidelity(x, y, 1, n)["kernel_inception_distance_mean"]
    assert kernel_distance(y, x, subsets=1, size=n).value == pytest.approx(theirs, rel=1e-9)


def test_subsets_have_the_mean_and_spread_of_torch_fidelitys() -> None:
    """Another random generator: equal but for the chance of the draw."""
    x, y = features(400, 16, 0), features(500, 16, 1, 0.1)
    ours, theirs = kernel_distance(y, x, subsets=400, size=60), by_torch_fidelity(x, y, 400, 60)
    assert ours.sd is not None
    error = ours.sd / 20
    assert ours.value == pytest.approx(theirs["kernel_inception_distance_mean"], abs=5 * error)
    assert ours.sd == pytest.approx(theirs["kernel_inception_distance_std"], rel=0.2)


def test_tiles_and_ways_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """All subsets at once or one by one, in large or small tiles: the same subsets, the same numbers."""
    x, y = features(90, 7, 0), features(110, 7, 1, 0.1)
    first = kernel_distance(y, x, subsets=12, size=40)
    monkeypatch.setattr(module, "TILE", 16)
    small = kernel_distance(y, x, subsets=12, size=40)
    at_once = module._draws
    monkeypatch.setattr(
        module,
        "_draws",
        lambda a, b, n, m: (pair for i in range(12) for pair in at_once(a[i : i + 1], b[i : i + 1], n, m)),
    )
    single = kernel_distance(y, x, subsets=12, size=40)
    for other in (small, single):
        assert other.value == pytest.approx(first.value, rel=1e-10)
        assert other.sd == pytest.approx(first.sd, rel=1e-10)
        scale = np.abs(first.jackknife.influence).max()
        np.testing.assert_allclose(other.jackknife.influence, first.jackknife.influence, atol=1e-9 * scale)


@pytest.mark.parametrize("groups", [40, 13])
def test_the_jackknife_leaves_out_groups_of_the_samples(groups: int) -> None:
    x, y = features(40, 6, 0), features(40, 6, 1, 0.1)
    names = [f"g{i % groups}" for i in range(40)]
    brute = group_jackknife(lambda kept: by_pairs(x[kept], y), names)
    found = kernel_distance(y, x, groups=names).jackknife
    np.testing.assert_allclose(found.influence, brute.influence, rtol=1e-7)
    assert found.standard_error == pytest.approx(brute.standard_error, rel=1e-9)


def test_the_standard_error_is_that_of_fresh_draws() -> None:
    """For the expectation over samples and subsets, the reference fixed: at worst cautious, with few subsets too."""
    reference = features(150, 8, 99)
    for n, subsets, size in ((60, 20, 1000), (200, 10, 50)):
        runs = [kernel_distance(reference, features(n, 8, s, 0.1), subsets, size, seed=s) for s in range(80)]
        spread = np.std([run.value for run in runs], ddof=1)
        claimed = np.mean([run.jackknife.standard_error for run in runs])
        assert 0.85 < claimed / spread < 1.5


def test_unbiased_and_deaf_to_order() -> None:
    """Sets of one distribution: 0 on average, below 0 about as often as above."""
    values = [kernel_distance(features(30, 6, 2 * s), features(30, 6, 2 * s + 1)).value for s in range(200)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(200)
    assert 0.2 < np.mean(np.array(values) < 0) < 0.8


@given(st.integers(2, 12), st.integers(2, 12), st.integers(0, 1000))
def test_symmetric_where_both_sets_are_a_subset(n: int, d: int, seed: int) -> None:
    x, y = features(n, d, seed), features(n, d, seed + 1, 0.5)
    value = kernel_distance(x, y).value
    assert kernel_distance(y, x).value == pytest.approx(value, rel=1e-9, abs=1e-12)
    order = np.random.default_rng(seed).permutation(n)
    assert kernel_distance(x, y[order]).value == pytest.approx(value, rel=1e-9, abs=1e-12)


def test_the_draw_is_its_own() -> None:
    x, y = features(40, 3, 0), features(60, 3, 1)
    np.random.seed(0)  # noqa: NPY002
    first = kernel_distance(y, x, seed=5)
    np.random.seed(1)  # noqa: NPY002
    assert kernel_distance(y, x, seed=5) == first
    assert kernel_distance(y, x, seed=6).value != first.value


def test_what_cannot_be_compared_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        kernel_distance(features(5, 3, 0), features(1, 3, 1))
    with pytest.raises(ValueError, match="3 and 4 features"):
        kernel_distance(features(5, 3, 0), features(5, 4, 1))
    assert kernel_distance(features(9, 3, 0), features(2, 3, 1)).jackknife.interval is None
