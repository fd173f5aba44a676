"""CMMD against a double sum, the published code's formula, and closed forms."""

import numpy as np
import pytest
import torch

from gcbench.core.contracts import Task
from gcbench.core.samples import Features, Samples
from gcbench.core.score import Score
from gcbench.metrics.cmmd import CMMD
from gcbench.statistics import gaussian_mmd as module
from gcbench.statistics.gaussian_mmd import gaussian_mmd

TASK = Task(("road",), None, {})


def score(real: np.ndarray, made: np.ndarray, groups: list[str] | None = None) -> Score:
    metric = CMMD(TASK)
    for rows, update, prefix in ((real, metric.update_reference, "r"), (made, metric.update, "s")):
        ids = tuple(f"{prefix}{i:04}" for i in range(len(rows)))
        named = tuple(groups) if groups and prefix == "s" else None
        blank = torch.zeros(1, dtype=torch.uint8).expand(len(rows), 3, 1, 1)
        seen = Features(vectors=torch.from_numpy(rows.astype(np.float32)))
        update(Samples(blank, None, None, None, ids, named), {"clip": seen})
    return metric.compute()


def embeddings(n: int, d: int, seed: int, shift: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, d)) * rng.uniform(0.5, 3, (n, 1)) + shift).astype(np.float32)


def double_sum(real: np.ndarray, made: np.ndarray) -> tuple[float, float]:
    """1000 · MMD², pair by pair: with the pairs of one row with itself, and without."""
    y, x = ([row.astype(float) / np.sqrt((row.astype(float) ** 2).sum()) for row in rows] for rows in (real, made))

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.exp(-((a - b) ** 2).sum() / (2 * 10**2)))

    n, m = len(x), len(y)
    xy = sum(k(a, b) for a in x for b in y) / (n * m)
    xx, yy = (sum(k(a, b) for a in z for b in z) for z in (x, y))
    biased = xx / n**2 + yy / m**2 - 2 * xy
    return 1000 * biased, 1000 * ((xx - n) / (n * (n - 1)) + (yy - m) / (m * (m - 1)) - 2 * xy)


def published(real: np.ndarray, made: np.ndarray) -> float:
    """The formula of the authors' code, in its own order of operations, on embeddings of length 1."""
    x, y = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (made.astype(float), real.astype(float)))
    x2, y2, gamma = np.diag(x @ x.T), np.diag(y @ y.T), 1 / (2 * 10**2)
    xx = np.exp(-gamma * (-2 * x @ x.T + x2[:, None] + x2[None])).mean()
    xy = np.exp(-gamma * (-2 * x @ y.T + x2[:, None] + y2[None])).mean()
    yy = np.exp(-gamma * (-2 * y @ y.T + y2[:, None] + y2[None])).mean()
    return float(1000 * (xx + yy - 2 * xy))


@pytest.mark.parametrize(("m", "n", "d"), [(7, 5, 3), (40, 23, 16), (20, 60, 8)])
def test_it_is_the_double_sum_and_the_published_formula(
    m: int, n: int, d: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TILE", 8)  # several tiles, the last one short
    real, made = embeddings(m, d, 0), embeddings(n, d, 1, shift=0.3)
    found, (biased, unbiased) = score(real, made), double_sum(real, made)
    assert found.value == pytest.approx(biased, rel=1e-5)
    assert found.value == pytest.approx(published(real, made), rel=1e-5)
    assert found.also["unbiased"].value == pytest.approx(unbiased, rel=1e-5)
    assert abs(biased - unbiased) > 1e-3  # the kept mutant: each is not the other


def test_what_is_left_without_a_group_is_measured_anew() -> None:
    real, made = embeddings(9, 4, 2), embeddings(12, 4, 3)
    groups = list("aabbbcddeefg")
    found = gaussian_mmd(real, made, 10.0, groups)
    for less, jack in enumerate(found):
        kept = [made[[g != name for g in groups]] for name in sorted(set(groups))]
        without = [gaussian_mmd(real, rows, 10.0)[less].value for rows in kept]
        sizes = np.array([groups.count(name) for name in sorted(set(groups))])
        assert jack.influence == pytest.approx((1 - sizes / 12) * (jack.value - without), rel=1e-8, abs=1e-14)


def test_two_copies_are_at_no_distance_and_length_does_not_count() -> None:
    real, made = embeddings(20, 6, 4), embeddings(20, 6, 5)
    assert score(real, real).value == pytest.approx(0, abs=1e-9)
    assert score(real, 3 * made).value == pytest.approx(score(real, made).value, rel=1e-6)


def test_two_points_in_closed_form() -> None:
    """All samples at e1, all real ones at e2: |e1 - e2|² = 2, so 2000 (1 - exp(-2/200))."""
    real, made = np.tile([0.0, 2.0], (3, 1)), np.tile([1.0, 0.0], (4, 1))
    assert score(real, made).value == pytest.approx(2000 * (1 - np.exp(-0.01)), rel=1e-12)


def test_an_embedding_of_length_0_fails() -> None:
    made = embeddings(4, 3, 6)
    made[2] = 0
    found = score(embeddings(4, 3, 7), made)
    assert (found.status, found.reason) == ("failed", "the clip evaluator gave embeddings that are zero")


def test_the_unbiased_column_has_no_bias_and_the_value_has_that_of_its_docstring() -> None:
    """300 draws of both sets from one distribution."""
    draws = [score(embeddings(10, 3, 1000 + i), embeddings(8, 3, 5000 + i)) for i in range(300)]
    unbiased = np.array([one.also["unbiased"].value for one in draws])
    assert abs(unbiased.mean()) < 4 * unbiased.std(ddof=1) / np.sqrt(300)
    x = embeddings(2000, 3, 9).astype(float)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    away = 1000 * (1 - np.exp(-np.square(x[:1000] - x[1000:]).sum(axis=1) / 200)).mean()
    assert np.mean([one.value for one in draws]) == pytest.approx(away * (1 / 10 + 1 / 8), rel=0.1)
