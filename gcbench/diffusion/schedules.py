"""Noise schedules: how much of the signal is left at time t = 0..T, and the times that a short run visits."""

import math

import torch
from torch import Tensor

NAMES = ("cosine", "linear")


def continuous_alpha_bar(name: str, u: float) -> float:
    """Signal variance left at u in [0,1].

    cosine: cos²(π/2 (u+s)/(1+s)), s = 0.008, with the log-SNR's argument clamped as in Nichol & Dhariwal 2021;
    linear: exp(-(1e-4 + 10 u²)) (Saharia et al. 2022). Never below 1e-15, so that the log-SNR, which networks read,
    stays in a sane range at u = 1.
    """
    if name == "cosine":
        odds = max(math.cos((u + 0.008) / 1.008 * math.pi / 2) ** -2 - 1, 1e-5)  # noise to signal
    elif name == "linear":
        odds = math.expm1(1e-4 + 10 * u * u)
    else:
        raise ValueError(f"unknown schedule {name!r}; known: {', '.join(NAMES)}")
    return 1 / (1 + min(odds, 1e15))


def continuous_log_snr(name: str, u: Tensor) -> Tensor:
    """log(alpha_bar / (1 - alpha_bar)) at u in [0,1], in u's own precision, at least -34.54 (alpha_bar 1e-15)."""
    if name == "cosine":
        odds = (torch.cos((u + 0.008) / 1.008 * (math.pi / 2)) ** -2 - 1).clamp_min(1e-5)
    else:
        odds = torch.expm1(1e-4 + 10 * u * u)
    return -odds.clamp_max(1e15).log()


class Schedule:
    """A schedule on T steps. `alpha_bar` is float64 [T+1]; level 0 is clean: alpha_bar[0] = 1.

    Gaussian: x_t = √alpha_bar x_0 + √(1 - alpha_bar) eps. Categorical: y_t keeps y_0 with probability
    alpha_bar, else is uniform. For labels the table is divided by its value at u = 0, so that no level is lost.
    """

    def __init__(self, name: str, steps: int, *, normalised: bool = False):
        self.name = name
        self.steps = steps
        self.start = torch.tensor(continuous_alpha_bar(name, 0.0), dtype=torch.float64)
        self._scale = float(self.start) if normalised else 1.0
        self.alpha_bar = torch.stack([self.at(i / steps) for i in range(steps + 1)])
        self._tables = {self.alpha_bar.device: self.alpha_bar}

    def at(self, u: float) -> Tensor:
        """alpha_bar at u = t/T in [0,1], a float64 scalar; 1 at u = 0."""
        level = continuous_alpha_bar(self.name, u) / self._scale if u else 1.0
        return torch.tensor(level, dtype=torch.float64)

    def log_snr(self, t: Tensor) -> Tensor:
        """float32 log(alpha_bar / (1 - alpha_bar)) at integer times t ≥ 1."""
        alpha_bar = self.levels(t)
        return torch.log(alpha_bar / (1 - alpha_bar)).float()

    def levels(self, t: Tensor) -> Tensor:
        """float64 alpha_bar at integer times, on their device; a table stays there, so that nothing waits for it."""
        if t.device not in self._tables:
            self._tables[t.device] = self.alpha_bar.to(t.device)
        return self._tables[t.device][t]


def spaced_times(total: int, steps: int) -> list[int]:
    """`steps` + 1 integer times from `total` down to 0, evenly spaced, each once.

    With steps = total every time occurs. UserError belongs to the caller: here it is a ValueError.
    """
    if not 1 <= steps <= total:
        raise ValueError(f"steps must lie in 1..{total}, not {steps}")
    return [total - (i * total) // steps for i in range(steps + 1)]


def training_times(n: int, steps: int, power: float, generator: torch.Generator) -> Tensor:
    """n times in 1..T, distributed as T u^power with uniform u: int64 [n].

    One u in each of n equal parts of [0,1), in random order: uniform, with less variance between batches.
    """
    u = (torch.randperm(n, generator=generator) + torch.rand(n, generator=generator)) / n
    return (u**power * steps).long().clamp(max=steps - 1) + 1
