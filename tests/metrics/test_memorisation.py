"""Memorisation against loops over pairs, scipy's Mann-Whitney statistic, and what copies and fresh draws must give."""

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu

from gcbench.core.contracts import Task
from gcbench.core.samples import Features, Samples
from gcbench.core.score import Score
from gcbench.metrics.memorisation import Memorisation


def metric(made: np.ndarray, held: np.ndarray, trained: np.ndarray) -> Memorisation:
    new = Memorisation(Task(("road",), None, {}))
    for rows, update, prefix in (
        (trained, new.update_training, "t"),
        (held, new.update_reference, "r"),
        (made, new.update, "s"),
    ):
        blank = torch.zeros(1, dtype=torch.uint8).expand(len(rows), 3, 1, 1)
        ids = tuple(f"{prefix}{i:04}" for i in range(len(rows)))
        seen = {"encoder": Features(vectors=torch.from_numpy(rows.astype(np.float32)))}
        if len(rows):
            update(Samples(blank, None, None, None, ids), seen)
    return new


def score(made: np.ndarray, held: np.ndarray, trained: np.ndarray) -> Score:
    return metric(made, held, trained).compute()


def draw(n: int, seed: int, d: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)


def nearest(row: np.ndarray, others: np.ndarray) -> float:
    return min(1 - float(row @ other) / float(np.linalg.norm(row) * np.linalg.norm(other)) for other in others)


def test_it_is_the_share_of_pairs_and_scipys_statistic() -> None:
    made, held, trained = (x.astype(float) for x in (draw(9, 0), draw(7, 1), draw(20, 2)))
    made[3] = held[2]  # equal distances count half
    near, far = ([nearest(row, trained) for row in rows] for rows in (made, held))
    pairs = np.mean([[1.0 if a < b - 1e-12 else 0.5 if abs(a - b) < 1e-12 else 0.0 for b in far] for a in near])
    found = score(made, held, trained)
    assert found.value == pytest.approx(pairs)
    assert found.value == pytest.approx(mannwhitneyu(far, near).statistic / (9 * 7))
    assert found.also["ratio"].value == pytest.approx(np.mean(near) / np.mean(far), rel=1e-5)
    assert found.detail["distance"]["held_out"] == pytest.approx(np.mean(far), rel=1e-5)


def test_copies_are_found_and_distant_images_are_not() -> None:
    trained, held = draw(30, 3), draw(12, 4)
    copies = score(2 * trained[:10], held, trained)  # length does not count
    assert copies.value == 1
    assert copies.also["ratio"].value == pytest.approx(0, abs=1e-6)
    rng = np.random.default_rng(5)
    first, other = np.array([5.0, 0, 0, 0, 0]), np.array([-5.0, 0, 0, 0, 0])
    around = [centre + 0.1 * rng.standard_normal((10, 5)) for centre in (first, first, other)]
    assert score(around[2], around[0], around[1]).value == 0


def test_fresh_draws_are_as_near_as_held_out_images() -> None:
    """0.5 in expectation, whatever the number of training images."""
    for trained in (5, 60):
        values = [score(draw(8, 10 * i), draw(8, 10 * i + 1), draw(trained, 10 * i + 2)).value for i in range(60)]
        assert abs(np.mean(values) - 0.5) < 4 * np.std(values) / np.sqrt(60)


def test_what_is_missing_is_said() -> None:
    assert score(draw(3, 0), draw(3, 1), draw(0, 2)).reason == "no images that the model was trained on"
    zero = draw(4, 4)
    zero[1] = 0
    assert score(zero, draw(3, 1), draw(3, 2)).status == "failed"
    assert score(draw(3, 1), draw(3, 2), zero).status == "failed"


def test_a_state_has_no_real_images_and_fresh_keeps_them() -> None:
    full = metric(draw(4, 0), draw(5, 1), draw(6, 2))
    other = full.fresh()
    other.load(full.state())
    assert other.compute() == full.compute()
    assert "rows" in full.state()
    assert len(full.state()["ids"]) == 4
