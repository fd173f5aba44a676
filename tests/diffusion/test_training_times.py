"""The times at which diffusion models train."""

import pytest
import torch

from gcbench.diffusion.schedules import training_times


@pytest.mark.parametrize("power", [1.0, 2.0, 0.5])
def test_times_are_distributed_as_a_power_of_uniform(power: float) -> None:
    """P(t ≤ x T) = x^(1/power), to 1/n in every single draw, since each n-th part of [0,1) has one u."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        t = training_times(64, 1000, power, generator)
        assert 1 <= int(t.min()) <= int(t.max()) <= 1000
        for x in (0.1, 0.25, 0.5, 0.9):
            share = (t <= x * 1000).float().mean().item()
            assert share == pytest.approx(x ** (1 / power), abs=1 / 64 + 1e-6)


def test_their_order_is_random() -> None:
    first, second = (training_times(8, 1000, 1.0, torch.Generator().manual_seed(seed)) for seed in (0, 1))
    assert first.argsort().tolist() != second.argsort().tolist()
    assert first.tolist() == training_times(8, 1000, 1.0, torch.Generator().manual_seed(0)).tolist()
