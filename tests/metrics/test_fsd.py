"""FSD by hand and against a matrix square root; the unit is per cent; void kept and dropped."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from gcbench.core.contracts import Task
from gcbench.core.samples import Samples
from gcbench.metrics.fsd import FSD

TASK = Task(("road", "car", "person", "void"), 3, {})


def batch(layouts: torch.Tensor | None, n: int, name: str = "s", source: str = "generated") -> Samples:
    size = (4, 25) if layouts is None else layouts.shape[1:]
    images = torch.zeros(n, 3, *size, dtype=torch.uint8)
    ids = tuple(f"{name}{i:03}" for i in range(n))
    return Samples(images, layouts, None if layouts is None else source, None, ids)


def score(real: torch.Tensor, made: torch.Tensor | None, n: int = 3, task: Task = TASK):
    metric = FSD(task)
    metric.update_reference(batch(real, len(real), "r", "real"), {})
    metric.update(batch(made, n if made is None else len(made)), {})
    return metric.compute()


def composed(*counts: tuple[int, int, int, int]) -> torch.Tensor:
    """Layouts [B,4,25] of so many pixels of each class: 100 pixels, so a pixel is a per cent."""
    rows = [np.repeat(np.arange(4), count) for count in counts]
    return torch.from_numpy(np.array(rows)).reshape(-1, 4, 25)


def random_layouts(n: int, seed: int, weights: tuple[float, ...]) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    mixed = rng.dirichlet(np.array(weights) * 3, n)
    return composed(*(tuple(rng.multinomial(100, p)) for p in mixed))


def test_by_hand_in_per_cent() -> None:
    """Two classes ± 10 points about means 10 points apart: the mean part is 10² + 10²."""
    real = composed((60, 40, 0, 0), (40, 60, 0, 0))
    made = composed((70, 30, 0, 0), (50, 50, 0, 0))
    result = score(real, made)
    assert result.value == pytest.approx(200)
    assert result.detail["parts"] == {"mean": pytest.approx(200), "covariance": pytest.approx(0, abs=1e-9)}
    assert result.detail["mean_shift"] == pytest.approx({"road": 10, "car": -10, "person": 0, "void": 0})
    wider = composed((80, 20, 0, 0), (20, 80, 0, 0))  # standard deviations three times as large
    assert score(real, wider).value == pytest.approx(2 * (np.sqrt(1800) - np.sqrt(200)) ** 2)


def test_against_a_matrix_square_root() -> None:
    real, made = random_layouts(80, 0, (3, 2, 1, 1)), random_layouts(60, 1, (2, 2, 2, 1))

    def proportions(layouts: torch.Tensor, classes: int) -> np.ndarray:
        pixels = np.array([[(x == k).sum().item() for k in range(classes)] for x in layouts])
        return 100 * pixels / pixels.sum(axis=1, keepdims=True)

    def expected(classes: int) -> float:
        a, b = proportions(real, classes), proportions(made, classes)
        s1, s2 = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
        noise = 1e-9 * np.eye(classes)  # the proportions add up to 100: both are singular
        root = sqrtm((s1 + noise) @ (s2 + noise)).real
        return float(np.square(a.mean(0) - b.mean(0)).sum() + np.trace(s1 + s2 - 2 * root))

    result = score(real, made)
    assert result.value == pytest.approx(expected(4), rel=1e-5)
    assert result.also["void=drop"].value == pytest.approx(expected(3), rel=1e-5)
    assert result.detail["sizes"] == {"n": 60, "n_reference": 80, "d": 4, "rank": 3}
    assert result.groups == len(result.detail["influence"]) == 60
    assert result.interval is not None


def test_void_alone_moves_keep_and_not_drop() -> None:
    """A segmenter that never says void is punished by `void=keep` only."""
    real = composed((40, 20, 20, 20), (20, 40, 20, 20), (20, 20, 40, 20), (40, 40, 0, 20))
    made = composed((50, 25, 25, 0), (25, 50, 25, 0), (25, 25, 50, 0), (50, 50, 0, 0))
    result = score(real, made)
    assert result.value > 400
    assert result.also["void=drop"].value == pytest.approx(0, abs=1e-6)


def test_layouts_that_are_all_void_are_unscored_only_where_void_is_dropped() -> None:
    real = random_layouts(30, 0, (1, 1, 1, 1))
    made = torch.cat([random_layouts(5, 1, (1, 1, 1, 1)), composed((0, 0, 0, 100))])
    result = score(real, made)
    assert (result.n, result.unscored) == (6, 0)
    assert (result.also["void=drop"].n, result.also["void=drop"].unscored) == (5, 1)


def test_size_of_the_layouts_does_not_matter() -> None:
    real, made = random_layouts(20, 0, (1, 1, 1, 1)), random_layouts(20, 1, (1, 1, 1, 1))
    larger = made.repeat_interleave(2, 1).repeat_interleave(2, 2)
    assert score(real, larger).value == score(real, made).value


def test_what_is_missing_is_skipped_with_a_reason() -> None:
    real = random_layouts(5, 0, (1, 1, 1, 1))
    assert score(real, None).reason == "the samples have no layouts"
    assert score(real, real[:1]).reason == "needs at least 2 images"
    assert score(real[:1], real).reason == "needs at least 2 images in the reference"
    assert FSD(TASK).compute().reason == "needs at least 2 images"
    assert score(real, composed(*[(0, 0, 0, 100)] * 3)).also["void=drop"].status == "skipped"
    bare = score(real % 3, real % 3, task=Task(("a", "b", "c"), None, {}))
    assert bare.also["void=drop"].reason == "the dataset has no void class"
    with pytest.raises(ValueError, match="id 3, the dataset has 3 classes"):
        score(real, real, task=Task(("a", "b", "c"), None, {}))
