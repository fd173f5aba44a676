"""FID@n against pytorch-fid's and torch-fidelity's numbers on the same features, and closed forms."""

import tracemalloc
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from conftest import pooled_features
from pytorch_fid.fid_score import calculate_frechet_distance
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

from gcbench.core.contracts import Task
from gcbench.core.samples import Features, Samples
from gcbench.core.score import Score
from gcbench.metrics.fd import FD
from gcbench.metrics.fid import FID

TASK = Task(("road",), None, {})


def pooled(n: int, d: int, seed: int, shift: float = 0.0) -> np.ndarray:
    """As Inception's: non-negative, of decaying spectrum; float32."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).standard_normal((d, d)) * np.arange(1, d + 1)[:, None] ** -0.5
    return np.maximum(rng.standard_normal((n, d)) @ mixing + shift, 0).astype(np.float32)


def score(real: np.ndarray, made: np.ndarray) -> Score:
    metric = FID(TASK)
    metric.update_reference(*pooled_features(real, "r"))
    metric.update(*pooled_features(made, "s"))
    return metric.compute()


@pytest.mark.parametrize(("n_reference", "n", "d"), [(400, 300, 64), (300, 40, 64), (60, 50, 128)])
def test_the_number_is_that_of_torch_fidelity_and_pytorch_fid(n_reference: int, n: int, d: int) -> None:
    """1e-5 relative where the covariances have full rank; below, they lose what the low-rank way keeps."""
    real, made = pooled(n_reference, d, 0), pooled(n, d, 1, 0.1)
    ours = score(real, made).value
    # torch-fidelity keeps the mean in float32, which alone costs 1e-7
    first, second = (fid_features_to_statistics(torch.from_numpy(x.astype(np.float64))) for x in (real, made))
    theirs = fid_statistics_to_metric(first, second, verbose=False)["frechet_inception_distance"]
    assert ours == pytest.approx(theirs, rel=1e-9 if n > d else 1e-5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other = calculate_frechet_distance(first["mu"], first["sigma"], second["mu"], second["sigma"])
    assert ours == pytest.approx(other, rel=1e-9 if n > d else 1e-5)
    plain = [fid_features_to_statistics(torch.from_numpy(x)) for x in (real, made)]
    assert ours == pytest.approx(
        fid_statistics_to_metric(*plain, verbose=False)["frechet_inception_distance"], rel=1e-5
    )


def test_gaussians_of_known_moments() -> None:
    """N(0, I) and N(m, diag s²): |m|² + Σ (s - 1)², up to the bias, which the closed form of the bias removes."""
    rng = np.random.default_rng(0)
    d, n = 4, 20000
    m, s = np.array([1.0, 0, 0, 2]), np.array([1.0, 2, 0.5, 1])
    result = score(
        rng.standard_normal((n, d)).astype(np.float32), (rng.standard_normal((n, d)) * s + m).astype(np.float32)
    )
    assert result.value == pytest.approx(5 + 1 + 0.25, rel=0.02)
    assert result.interval is not None
    assert result.interval[0] < 6.25 < result.interval[1]


@pytest.mark.parametrize("n", [30, 200])
def test_a_set_is_at_no_distance_from_itself(n: int) -> None:
    x = pooled(n, 64, 3)
    result = score(x, x)
    assert 0 <= result.value < 1e-9 * np.square(x).sum(axis=1).mean()


def test_n_is_part_of_the_name() -> None:
    from gcbench.core.protocol import Protocol
    from gcbench.reports.record_table import number_column

    about = {"dataset": "toys", "dataset_version": "1", "split": "val", "n": 500, "size": (2, 2), "resize": "none"}
    protocol = Protocol.model_validate(about)
    assert [number_column(name, protocol=protocol).heading for name in ("fid", "fd")] == [
        "FID@500 ↓",
        "FD(segmenter) ↓",
    ]
    on = {"evaluators": {"encoder": "DINOv2-L#abc 224px"}, "readers": {"fd": "encoder"}}
    protocol = protocol.model_copy(update=on)
    assert [number_column(name, protocol=protocol).heading for name in ("fid", "fd")] == ["FID@500 ↓", "FD(DINOv2-L) ↓"]
    assert FID.title == "FID@n"
    assert FID.alternative is None  # never another network under this name
    assert FID.roles == ("inception",)
    assert FD.roles == ("segmenter",)


def test_a_large_mean_costs_no_digits() -> None:
    """Sums of plain squares would: the same features, 1000 away from 0."""
    rng = np.random.default_rng(5)
    real, made = rng.integers(-64, 64, (300, 8)) / 64, rng.integers(-64, 64, (250, 8)) / 50
    near, far = score(real.astype(np.float32), (made := (made * 64).round() / 64).astype(np.float32)), None
    far = score((real + 1000).astype(np.float32), (made + 1000).astype(np.float32))
    assert far.value == pytest.approx(near.value, rel=1e-9)
    assert far.standard_error == pytest.approx(near.standard_error, rel=1e-7)


def test_many_images_are_held_once_and_real_ones_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Peak memory while the sets are filled and measured, against the size of the rows of one."""
    monkeypatch.setattr("gcbench.statistics.moments.CHUNK", 128)
    monkeypatch.setattr("gcbench.statistics.frechet.ROWS", 128)
    n, d = 8000, 256
    real, made = pooled_features(pooled(n, d, 0), "r"), pooled_features(pooled(n, d, 1), "s")
    size = n * d * 4
    metric = FID(TASK)

    def fill(update: Callable[..., None], given: tuple[Samples, dict[str, Features]]) -> None:
        for start in range(0, n, 16):
            rows = range(start, start + 16)
            update(given[0].take(rows), {"inception": given[1]["inception"].take(rows)})

    tracemalloc.start()
    try:
        fill(metric.update_reference, real)
        assert tracemalloc.get_traced_memory()[1] < 0.6 * size
        fill(metric.update, made)
        metric.compute()
        assert tracemalloc.get_traced_memory()[1] < 2.3 * size  # names and matrices of d × d among it
    finally:
        tracemalloc.stop()
