"""PRDC as a metric. Its neighbourhoods are tested in tests/statistics/test_neighbours.py."""

import numpy as np
import pytest
from conftest import pooled_features
from hypothesis import given, settings
from hypothesis import strategies as st

from gcbench.core.contracts import Task
from gcbench.core.errors import UserError
from gcbench.core.score import Score
from gcbench.metrics.prdc import PRDC
from gcbench.statistics.intervals import cluster_bootstrap_mean
from gcbench.statistics.neighbours import neighbourhoods

TASK = Task(("road",), None, {})


def filled(real: np.ndarray, made: np.ndarray, groups: tuple[str, ...] | None = None) -> PRDC:
    metric = PRDC(TASK)
    metric.update_reference(*pooled_features(real, "r"))
    metric.update(*pooled_features(made, "s", groups))
    return metric


def columns(score: Score) -> dict[str, Score]:
    return {"precision": score, **score.also}


def features(n: int, d: int, seed: int, shift: float = 0.0, scale: float = 1.0) -> np.ndarray:
    return scale * np.random.default_rng(seed).standard_normal((n, d)) + shift


def test_the_four_and_their_neighbours() -> None:
    real, made = features(90, 6, 0), features(70, 6, 1, 0.5, 0.8)
    score = filled(real, made).compute()
    found = neighbourhoods(real.astype(np.float32), made.astype(np.float32), 3, 5)
    assert PRDC.thresholds == {"k": 3, "k_density": 5}
    assert {name: one.value for name, one in columns(score).items()} == pytest.approx(
        {
            "precision": found.precise.mean(),
            "recall": found.recall,
            "density": found.density.mean(),
            "coverage": found.coverage,
        }
    )
    assert score.detail["sizes"] == {"n": 70, "n_reference": 90, "d": 6}
    for one in columns(score).values():
        assert one.n == 70
        assert one.interval is not None
        assert one.interval[0] <= one.value <= one.interval[1]
        assert one.standard_error > 0


def test_a_mean_over_images_is_bootstrapped_over_groups() -> None:
    real, made = features(60, 4, 0), features(40, 4, 1, 1.0)
    groups = tuple(f"g{i // 4}" for i in range(40))
    metric = filled(real, made, groups)
    score, table = metric.compute(), metric.per_sample()
    for column, one in (("", score), ("density", score.also["density"])):
        values = np.array(list(table[column].values()))
        assert one.interval == cluster_bootstrap_mean(values, groups, seed=0).interval
    assert set(table[""].values()) == {0.0, 1.0}
    assert set(table) == {"", "density"}


def test_one_image_again_and_again_has_precision_and_no_recall() -> None:
    """Mode collapse: the samples lie on one real image."""
    real = features(50, 3, 0)
    made = np.repeat(real[:1], 30, axis=0) + 1e-4 * features(30, 3, 1)
    score = filled(real, made).compute()
    assert score.value == 1
    assert score.also["density"].value > 0.3
    assert score.also["recall"].value <= 1 / 50
    assert score.also["coverage"].value < 0.5


@settings(max_examples=15)
@given(st.integers(0, 1000), st.floats(0.1, 10))
def test_deaf_to_a_common_shift_turn_and_scale(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    real, made = rng.standard_normal((25, 5)), rng.standard_normal((20, 5)) + 0.3
    turn, _ = np.linalg.qr(rng.standard_normal((5, 5)))
    shift = rng.standard_normal(5)
    one = filled(real, made).compute()
    other = filled(scale * real @ turn + shift, scale * made @ turn + shift).compute()
    assert {name: each.value for name, each in columns(one).items()} == {
        name: each.value for name, each in columns(other).items()
    }


def test_more_samples_are_measured_anew() -> None:
    """compute and per_sample share their work; what is added after counts."""
    real, made = features(40, 3, 0), features(30, 3, 1)
    metric = filled(real, made[:20])
    before = metric.compute()
    rest = PRDC(TASK)
    samples, seen = pooled_features(made, "s")
    rest.update(samples.take(range(20, 30)), {"inception": seen["inception"].take(range(20, 30))})
    metric.merge(rest)
    assert metric.compute() == filled(real, made).compute() != before
    assert len(metric.per_sample()[""]) == 30


def test_what_is_missing_or_broken() -> None:
    x = features(20, 3, 0)
    assert PRDC(TASK).compute().reason == "needs at least 2 images"
    assert filled(x, x[:3]).compute().reason == "needs more than 3 images, so that each has 3 neighbours"
    assert filled(x[:5], x).compute().reason == "needs more than 5 images in the reference"
    assert filled(x[:5], x).per_sample() == {}
    few = filled(x, features(4, 3, 1)).compute()
    assert few.also["recall"].interval is None
    assert few.also["coverage"].interval is not None
    x[7] = np.nan
    with pytest.raises(UserError, match="inception gave features that are not finite for r0007 of the real images"):
        PRDC(TASK).update_reference(*pooled_features(x, "r"))
