"""FD(segmenter) against closed forms, below and above n = d."""

import numpy as np
import pytest
import torch

from gcbench.core.contracts import Task
from gcbench.core.errors import UserError
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


def test_few_images() -> None:
    x = np.random.default_rng(2).standard_normal((10, 4))
    assert FD(TASK).compute().reason == "needs at least 2 images"
    assert score(x, x[:1]).reason == "needs at least 2 images"
    assert score(x[:1], x).reason == "needs at least 2 images in the reference"
    assert score(x, x[:2]).interval is None
    assert score(x, x[:4]).interval is not None


def test_features_that_are_not_finite_are_the_users_to_mend() -> None:
    """One sentence that names the images, for samples and for real images; nothing is added."""
    x = np.ones((9, 3))
    broken = np.where(np.arange(9)[:, None] % 4 == 1, np.nan, x)
    metric = FD(TASK)
    with pytest.raises(UserError, match=r"segmenter .* not finite for s0001, s0005 of the samples; .*--evaluator"):
        metric.update(*give(broken, "s"))
    with pytest.raises(UserError, match="r0001, r0005 of the real images"):
        metric.update_reference(*give(broken, "r"))
    with pytest.raises(UserError, match="s0004 and 4 more"):
        metric.update(*give(np.full((9, 3), np.inf), "s"))
    assert metric.compute().n == 0


@pytest.mark.parametrize(("n", "warned"), [(16, True), (32, True), (33, False)])
def test_a_warning_where_n_is_not_above_d(n: int, warned: bool) -> None:
    x = np.random.default_rng(3).standard_normal((n, 32))
    assert ("warnings" in score(x, x).detail) == warned


def test_a_reference_in_batches_is_the_reference() -> None:
    rng = np.random.default_rng(4)
    real, made = rng.standard_normal((50, 4)), rng.standard_normal((30, 4))
    metric = FD(TASK)
    for start in range(0, 50, 7):
        samples, features = give(real, "r")
        rows = range(start, min(start + 7, 50))
        metric.update_reference(samples.take(rows), {"segmenter": features["segmenter"].take(rows)})
    metric.update(*give(made, "s"))
    assert metric.compute() == score(real, made)
    with pytest.raises(ValueError, match="'r0000' came twice"):
        metric.update_reference(*give(real[:4], "r"))


def test_a_segmenter_without_pooled_features_skips_it() -> None:
    samples, _ = give(np.zeros((5, 3)), "s")
    metric, part = FD(TASK), FD(TASK)
    for one in (metric.update_reference, part.update):
        one(samples, {"segmenter": Features(labels=torch.zeros(5, 1, 1, dtype=torch.int64))})
    metric.merge(part)
    assert metric.compute().status == "skipped"
    assert metric.compute().reason == "this segmenter gives no pooled features; choose another with --evaluator"


def test_it_is_not_called_fid() -> None:
    assert FD.title == "FD(segmenter)"
