"""The Gaussian part, on images: forward process, posterior, DDIM step, dynamic thresholding, VLB terms.

All levels are alpha_bar values broadcastable to the image, alpha_bar_s > alpha_bar_t for s < t.
Sources: Ho et al. 2020 (DDPM), Song et al. 2021 (DDIM), Saharia et al. 2022 (dynamic thresholding).
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Normal(NamedTuple):
    mean: Tensor
    variance: Tensor


def diffuse(x0: Tensor, eps: Tensor, alpha_bar: Tensor) -> Tensor:
    """x_t = √alpha_bar x_0 + √(1 - alpha_bar) eps."""
    return alpha_bar.sqrt() * x0 + (1 - alpha_bar).sqrt() * eps


def predict_x0(x_t: Tensor, eps: Tensor, alpha_bar: Tensor) -> Tensor:
    """x_0 = (x_t - √(1 - alpha_bar) eps) / √alpha_bar, the divisor at least 1e-8."""
    return (x_t - (1 - alpha_bar).sqrt() * eps) / alpha_bar.sqrt().clamp_min(1e-8)


def velocity(x0: Tensor, eps: Tensor, alpha_bar: Tensor) -> Tensor:
    """v = √alpha_bar eps - √(1 - alpha_bar) x_0 (Salimans & Ho 2022)."""
    return alpha_bar.sqrt() * eps - (1 - alpha_bar).sqrt() * x0


def x0_of_velocity(x_t: Tensor, v: Tensor, alpha_bar: Tensor) -> Tensor:
    """x_0 = √alpha_bar x_t - √(1 - alpha_bar) v; nothing is divided by what little signal is left."""
    return alpha_bar.sqrt() * x_t - (1 - alpha_bar).sqrt() * v


def predict_eps(x_t: Tensor, x0: Tensor, alpha_bar: Tensor) -> Tensor:
    """The eps that belongs to x_0: (x_t - √alpha_bar x_0) / √(1 - alpha_bar)."""
    return (x_t - alpha_bar.sqrt() * x0) / (1 - alpha_bar).sqrt()


def posterior(x_t: Tensor, x0: Tensor, alpha_bar_t: Tensor, alpha_bar_s: Tensor) -> Normal:
    """q(x_s | x_t, x_0) for any s < t, skipped steps included.

    With a = alpha_bar_t / alpha_bar_s:
    mean = [√a (1 - alpha_bar_s) x_t + √alpha_bar_s (1 - a) x_0] / (1 - alpha_bar_t),
    variance = (1 - alpha_bar_s)(1 - a) / (1 - alpha_bar_t).
    """
    a = alpha_bar_t / alpha_bar_s
    noise_t, noise_s = 1 - alpha_bar_t, 1 - alpha_bar_s
    mean = (a.sqrt() * noise_s / noise_t) * x_t + (alpha_bar_s.sqrt() * (1 - a) / noise_t) * x0
    return Normal(mean, noise_s * (1 - a) / noise_t)


def ddim_step(x_t: Tensor, x0: Tensor, alpha_bar_t: Tensor, alpha_bar_s: Tensor) -> Tensor:
    """Deterministic step (eta = 0): x_s = √alpha_bar_s x_0 + √(1 - alpha_bar_s) eps(x_t, x_0)."""
    return diffuse(x0, predict_eps(x_t, x0, alpha_bar_t), alpha_bar_s)


def dynamic_threshold(x0: Tensor, quantile: float = 0.95, *, interpolated: bool = False) -> Tensor:
    """Clamp each image to ±s and divide by s, s = max(1, the `quantile` of |x_0|): stays in [-1, 1].

    The quantile is the ⌈quantile·n⌉-th smallest value, which kthvalue finds without sorting, or interpolated linearly
    between the two values beside quantile·(n-1).
    """
    magnitude = x0.flatten(1).abs()  # [B,CHW]
    if interpolated:
        s = magnitude.quantile(quantile, dim=1)
    else:
        rank = max(1, min(magnitude.shape[1], -int(-quantile * magnitude.shape[1] // 1)))
        s = magnitude.kthvalue(rank, dim=1).values
    s = s.clamp_min(1).view(-1, 1, 1, 1)
    return x0.clamp(-s, s) / s


def kl(p: Normal, q: Normal) -> Tensor:
    """KL(p ‖ q) in nats, element by element."""
    ratio = p.variance / q.variance
    return 0.5 * (ratio + (p.mean - q.mean) ** 2 / q.variance - 1 - ratio.log())


def prior_kl(x0: Tensor, alpha_bar_T: Tensor) -> Tensor:
    """KL(q(x_T | x_0) ‖ N(0, 1)) in nats, element by element: the VLB's parameter-free term."""
    start = Normal(alpha_bar_T.sqrt() * x0, (1 - alpha_bar_T).expand_as(x0))
    return kl(start, Normal(torch.zeros_like(x0), torch.ones_like(x0)))
