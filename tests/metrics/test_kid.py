"""KID: the kernel distance as a metric. The distance itself is tested in tests/statistics/test_kernel.py."""

import numpy as np
import pytest
import torch
from conftest import pooled_features
from torch_fidelity.metric_kid import kid_features_to_metric

from gcbench.core.contracts import Task
from gcbench.core.errors import UserError
from gcbench.core.score import Score
from gcbench.metrics.kid import KID

TASK = Task(("road",), None, {})


def score(real: np.ndarray, made: np.ndarray) -> Score:
    metric = KID(TASK)
    metric.update_reference(*pooled_features(real, "r"))
    metric.update(*pooled_features(made, "s"))
    return metric.compute()


def features(n: int, d: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return (np.random.default_rng(seed).gamma(0.5, size=(n, d)) + shift).astype(np.float32)


def test_one_subset_of_all_is_that_of_torch_fidelity() -> None:
    """To 1e-5 relative, although theirs is in float32 here."""
    real, made = features(250, 128, 0), features(250, 128, 1, 0.1)
    given = (torch.from_numpy(x) for x in (made, real))
    theirs = kid_features_to_metric(*given, kid_subsets=1, kid_subset_size=250, verbose=False)
    result = score(real, made)
    assert result.value == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-5)
    assert result.detail["subsets"] == {"count": 1, "size": 250, "standard_deviation": None}
    assert result.detail["sizes"] == {"n": 250, "n_reference": 250, "d": 128}


def test_the_interval_is_not_the_spread_of_the_subsets() -> None:
    """That one depends on the size of a subset; the error falls with n."""
    real = features(1500, 8, 0)
    results = [score(real, features(n, 8, 1, 0.1)) for n in (1100, 1400)]
    for result in results:
        assert result.detail["subsets"]["count"] == 100
        assert result.detail["subsets"]["size"] == 1000
        assert result.interval is not None
        low, high = result.interval
        assert low < result.value < high
        assert len(result.detail["influence"]) == 100
        assert result.standard_error > result.detail["subsets"]["standard_deviation"] / 10


def test_below_zero_stays_below_zero() -> None:
    values = [score(features(20, 4, 2 * s), features(20, 4, 2 * s + 1)).value for s in range(12)]
    assert min(values) < 0 < max(values)


def test_what_is_missing_or_broken() -> None:
    x = features(10, 4, 0)
    assert KID(TASK).compute().reason == "needs at least 2 images"
    assert score(x[:1], x).reason == "needs at least 2 images in the reference"
    assert score(x, x[:2]).interval is None
    x[3] = np.inf
    with pytest.raises(UserError, match="inception gave features that are not finite for s0003 of the samples"):
        KID(TASK).update(*pooled_features(x, "s"))
    assert KID.thresholds == {"subsets": 100, "subset_size": 1000}
