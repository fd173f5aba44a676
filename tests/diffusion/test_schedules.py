"""Noise schedules against closed forms, and the times of a short run."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gcbench.diffusion.schedules import NAMES, Schedule, continuous_alpha_bar, spaced_times


@pytest.mark.parametrize(
    ("name", "u", "expected"),
    [
        ("cosine", 0.0, 0.99984),
        ("cosine", 0.01, 0.99921),
        ("cosine", 0.5, 0.49377),
        ("cosine", 0.98, 9.71e-4),
        ("cosine", 0.99, 2.43e-4),
        ("linear", 0.0, 0.9999),
        ("linear", 0.2, 0.6702),
        ("linear", 0.5, 0.0821),
        ("linear", 1.0, 4.54e-5),
    ],
)
def test_known_values(name: str, u: float, expected: float) -> None:
    assert continuous_alpha_bar(name, u) == pytest.approx(expected, rel=1e-3)
    if 0 < u < 1:
        assert Schedule(name, 100).alpha_bar[round(100 * u)] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("u", [0.1, 0.37, 0.8])
def test_closed_forms(u: float) -> None:
    assert continuous_alpha_bar("cosine", u) == pytest.approx(
        math.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2, rel=1e-12
    )
    assert continuous_alpha_bar("linear", u) == pytest.approx(math.exp(-1e-4 - 10 * u * u), rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("normalised", [False, True])
def test_monotone_from_clean_to_noise(name: str, normalised: bool) -> None:
    levels = Schedule(name, 1000, normalised=normalised).alpha_bar
    assert levels.shape == (1001,)
    assert levels.dtype == torch.float64
    assert levels[0] == 1
    assert (levels.diff() < 0).all()
    assert 0 < levels[-1] < 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_normalised_levels_are_ratios(name: str) -> None:
    """Label levels are the image's divided by the level at u = 0, so that level 0 loses nothing."""
    plain, normal = Schedule(name, 50).alpha_bar, Schedule(name, 50, normalised=True).alpha_bar
    torch.testing.assert_close(normal[1:] * continuous_alpha_bar(name, 0.0), plain[1:], rtol=1e-12, atol=0)


def test_log_snr_is_the_logit() -> None:
    schedule = Schedule("cosine", 100)
    t = torch.tensor([1, 50, 99])
    torch.testing.assert_close(schedule.log_snr(t), torch.logit(schedule.alpha_bar[t]).float())
    assert schedule.log_snr(torch.arange(1, 101)).isfinite().all()


def test_unknown_schedule_is_refused() -> None:
    with pytest.raises(ValueError, match="cosine, linear"):
        Schedule("sigmoid", 10)


@given(st.integers(1, 2000), st.data())
def test_spaced_times_fall_strictly_from_the_top_to_zero(total: int, data: st.DataObject) -> None:
    steps = data.draw(st.integers(1, total))
    times = spaced_times(total, steps)
    gaps = [a - b for a, b in pairwise(times)]
    assert times[0] == total
    assert times[-1] == 0
    assert len(times) == steps + 1
    assert min(gaps) >= 1
    assert max(gaps) - min(gaps) <= 1


def test_all_times_when_no_step_is_skipped() -> None:
    assert spaced_times(1000, 1000) == list(range(1000, -1, -1))


@pytest.mark.parametrize("steps", [0, 11])
def test_impossible_numbers_of_steps_are_refused(steps: int) -> None:
    with pytest.raises(ValueError, match=r"1\.\.10"):
        spaced_times(10, steps)
