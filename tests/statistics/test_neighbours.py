"""Neighbourhoods against brute force, torch-fidelity and the `prdc` package; ties; memory."""

import tracemalloc
from contextlib import redirect_stdout
from io import StringIO

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from prdc import compute_prdc
from torch_fidelity.metric_prc import prc_features_to_metric

from gcbench.statistics import neighbours as module
from gcbench.statistics.intervals import by_group
from gcbench.statistics.neighbours import Neighbourhoods, neighbourhoods


def features(n: int, d: int, seed: int, shift: float = 0.0, scale: float = 1.0) -> np.ndarray:
    return (scale * np.random.default_rng(seed).standard_normal((n, d)) + shift).astype(np.float32)


def by_definition(real: np.ndarray, made: np.ndarray, k: int, k_density: int) -> dict[str, np.ndarray | float]:
    """Closed balls, from the whole matrix of differences."""

    def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.sqrt(np.square(a[:, None].astype(np.float64) - b[None]).sum(-1))

    def radius(a: np.ndarray, k: int) -> np.ndarray:
        others = distances(a, a)
        np.fill_diagonal(others, np.inf)
        return np.sort(others, axis=1)[:, k - 1]

    apart = distances(made, real)  # [n,m]
    inside = apart <= radius(real, k_density)
    return {
        "precise": (apart <= radius(real, k)).any(axis=1),
        "density": inside.sum(axis=1) / k_density,
        "recall": float((apart <= radius(made, k)[:, None]).any(axis=0).mean()),
        "coverage": float(inside.any(axis=0).mean()),
    }


def same(got: Neighbourhoods, expected: dict[str, np.ndarray | float]) -> None:
    for name, value in expected.items():
        np.testing.assert_array_equal(getattr(got, name), value, err_msg=name)


@given(st.integers(6, 30), st.integers(6, 30), st.integers(1, 4), st.integers(1, 5), st.integers(1, 5), st.data())
def test_the_definition(n: int, m: int, d: int, k: int, k_density: int, data: st.DataObject) -> None:
    """Of features with many ties, small whole numbers; and of features without."""
    seed = data.draw(st.integers(0, 1000))
    made, real = features(n, d, seed), features(m, d, seed + 1, 0.5)
    if data.draw(st.booleans()):
        made, real = np.round(made), np.round(real)
    same(neighbourhoods(real, made, k, k_density), by_definition(real, made, k, k_density))


@pytest.mark.parametrize("seed", [811, 818, 969])
def test_ties_with_a_radius_that_rounds_more(seed: int) -> None:
    """Whole numbers on a line, where a radius comes from a pair farther from the centre than the pair it is held to."""
    made, real = np.round(features(6, 1, seed)), np.round(features(19, 1, seed + 1, 0.5))
    same(neighbourhoods(real, made, 1, 2), by_definition(real, made, 1, 2))


@pytest.mark.parametrize(("n", "m", "d"), [(120, 150, 64), (300, 200, 10)])
def test_precision_and_recall_are_those_of_torch_fidelity(n: int, m: int, d: int) -> None:
    made, real = features(n, d, 0, 0.1, 0.9), features(m, d, 1)
    given = (torch.from_numpy(x.astype(np.float64)) for x in (made, real))
    theirs = prc_features_to_metric(*given, prc_neighborhood=3, verbose=False)
    ours = neighbourhoods(real, made)
    assert ours.precise.mean() == pytest.approx(theirs["precision"], rel=1e-6)
    assert ours.recall == pytest.approx(theirs["recall"], rel=1e-6)
    assert 0.05 < ours.precise.mean() < 0.99
    assert 0.05 < ours.recall < 0.99


@pytest.mark.parametrize(("n", "m", "d", "shift", "scale"), [(120, 150, 64, 0.3, 1.0), (300, 200, 10, 0.3, 0.5)])
def test_density_and_coverage_are_those_of_prdc(n: int, m: int, d: int, shift: float, scale: float) -> None:
    made, real = features(n, d, 0, shift, scale), features(m, d, 1)
    with redirect_stdout(StringIO()):
        theirs = compute_prdc(real.astype(np.float64), made.astype(np.float64), nearest_k=5)
    ours = neighbourhoods(real, made, k=5)
    assert ours.density.mean() == pytest.approx(theirs["density"], rel=1e-9)
    assert ours.coverage == pytest.approx(theirs["coverage"], rel=1e-9)
    assert ours.precise.mean() == pytest.approx(theirs["precision"], rel=1e-9)
    assert ours.recall == pytest.approx(theirs["recall"], rel=1e-9)
    assert 0.05 < ours.coverage < 0.99


def test_two_copies_of_a_set() -> None:
    """Every row reaches its own copy; with closed balls the k-th neighbour too, so the density is (k + 1) / k."""
    x = features(80, 30, 0, shift=100)
    result = neighbourhoods(x, x.copy())
    assert (result.precise.mean(), result.recall, result.coverage) == (1, 1, 1)
    assert result.density.mean() == pytest.approx(6 / 5)


def test_sets_whose_rows_are_all_the_same() -> None:
    """Where open balls are empty: `prdc` gives 0 for all four."""
    x = np.full((20, 40), 1.1, dtype=np.float32)
    result = neighbourhoods(x, x.copy())
    assert (result.precise.mean(), result.recall, result.coverage) == (1, 1, 1)
    far = neighbourhoods(x, x + 1)
    assert (far.precise.mean(), far.recall, far.coverage, far.density.mean()) == (0, 0, 0, 0)


@settings(max_examples=20)
@given(tile=st.integers(3, 45), copies=st.booleans())
def test_the_size_of_the_tiles_decides_nothing(tile: int, copies: bool) -> None:
    """Also where generated rows are copies of real ones, at exactly the radius of others."""
    real, made = features(37, 50, 0, shift=30), features(41, 50, 1, shift=30, scale=0.9)
    if copies:
        made[:20] = real[5:25]
    whole = neighbourhoods(real, made)
    before = module.TILE
    try:
        module.TILE = tile
        tiled = neighbourhoods(real, made)
    finally:
        module.TILE = before
    for one, other in zip(whole, tiled, strict=True):
        np.testing.assert_array_equal(one, other)


@given(st.integers(8, 30), st.integers(1, 3), st.integers(1, 5), st.booleans(), st.integers(0, 1000))
def test_what_is_left_out_is_a_set_without_that_group(n: int, d: int, size: int, ties: bool, seed: int) -> None:
    real, made = features(20, d, seed), features(n, d, seed + 1, 0.3)
    if ties:
        real, made = np.round(real), np.round(made)
    groups = [f"g{i % -(-n // size)}" for i in range(n)]
    result = neighbourhoods(real, made, groups=groups)
    for g, part in enumerate(by_group(groups) if len(set(groups)) > 1 else []):
        without = by_definition(real, np.delete(made, part, axis=0), 3, 5)
        assert result.coverage_without[g] == pytest.approx(without["coverage"])
        assert len(result.recall_without) == 0 or result.recall_without[g] == pytest.approx(without["recall"])
    assert (len(result.recall_without) == 0) == (len(set(groups)) < 2 or n - max(map(len, by_group(groups))) <= 3)


def test_too_few_samples_for_an_interval() -> None:
    real = features(20, 2, 0)
    few = neighbourhoods(real, features(4, 2, 1))  # without one, none has 3 neighbours
    assert (len(few.recall_without), len(few.coverage_without)) == (0, 4)
    fewer = neighbourhoods(real, features(6, 2, 1), groups=["a"] * 6)
    assert (len(fewer.recall_without), len(fewer.coverage_without)) == (0, 0)


def test_never_all_distances_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TILE", 100)
    n = 1500
    real, made = features(n, 4, 0), features(n, 4, 1)
    tracemalloc.start()
    neighbourhoods(real, made)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < n * n * 8 / 8


def test_what_cannot_be_compared_is_an_error() -> None:
    with pytest.raises(ValueError, match="too few"):
        neighbourhoods(features(9, 2, 0), features(3, 2, 1))
    with pytest.raises(ValueError, match="too few"):
        neighbourhoods(features(5, 2, 0), features(9, 2, 1))
    with pytest.raises(ValueError, match="3 and 4 features"):
        neighbourhoods(features(9, 3, 0), features(9, 4, 1))
