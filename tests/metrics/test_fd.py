"""FD(segmenter) against closed forms, below and above n = d."""

import numpy as np
import pytest
import torch

from gcbench.core.contracts import Task
from gcbench.core.samples import Features, Samples
from gcbench.metrics.fd import FD

TASK = Task(("road",), None, {})


def give(vectors: np.ndarray, name: str) -> tuple[Samples, dict[str, Features]]:
    n = len(vectors)
    images = torch.zeros(n, 3, 1, 1, dtype=torch.uint8)
    ids = tuple(f"{name}{i:04}" for i in range(n))
    features = {"segmenter": Features(vectors=torch.from_numpy(vectors.astype(np.float32)))}
    return Samples(images, None, None, None, ids), features


def score(real: np.ndarray, made: np.ndarray):
    metric = FD(TASK)
    metric.update_reference(*give(real, "r"))
    metric.update(*give(made, "s"))
    return metric.compute()


@pytest.mark.parametrize("n", [16, 200])
def test_shift_and_scale_of_the_same_features(n: int) -> None:
    """Scaled by 2 about the mean and shifted: |shift|² + tr S, for n below and above d = 32."""
    x = np.random.default_rng(0).integers(-8, 8, (n, 32)).astype(np.float64)  # exact in float32
    result = score(x, 2 * x + 3)
    shift = x.mean(0) + 3
    assert result.detail["parts"]["mean"] == pytest.approx(shift @ shift, rel=1e-9)
    assert result.detail["parts"]["covariance"] == pytest.approx(x.var(0, ddof=1).sum(), rel=1e-6)
    assert result.detail["sizes"] == {"n": n, "n_reference": n, "d": 32, "rank": min(n - 1, 32)}


def test_bias_falls_with_n_and_the_interval_is_for_this_n() -> None:
    rng = np.random.default_rng(1)
    real = rng.standard_normal((2000, 8))
    values = [score(real, rng.standard_normal((n, 8))) for n in (40, 400)]
    assert values[0].value > 3 * values[1].value
    assert values[0].interval[0] < values[0].value < values[0].interval[1]


def test_few_pictures() -> None:
    x = np.random.default_rng(2).standard_normal((10, 4))
    assert FD(TASK).compute().reason == "needs at least 2 pictures"
    assert score(x, x[:1]).reason == "needs at least 2 pictures"
    assert score(x[:1], x).reason == "needs at least 2 pictures in the reference"
    assert score(x, x[:3]).interval is None
    assert score(x, x[:4]).interval is not None


def test_features_that_are_not_finite_fail_with_a_reason() -> None:
    x = np.ones((5, 3))
    result = score(x, np.full((5, 3), np.nan))
    assert result.status == "failed"
    assert result.value is None


def test_it_is_not_called_fid() -> None:
    assert FD.title == "FD(segmenter)"
