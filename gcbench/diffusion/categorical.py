"""The categorical part, on layouts: uniform-kernel forward process, posterior, draws, losses.

y is a hard class id [B,H,W]; probabilities and logits carry K on axis 1 [B,K,H,W]; levels are alpha_bar values
[B,1,1], with alpha_bar_s ≥ alpha_bar_t for s < t. Because y_t is hard, the posterior's first factor takes only two
values, so nothing here makes a one-hot tensor. Sources: Hoogeboom et al. 2021 (multinomial diffusion), Austin et
al. 2021 (D3PM); the corrected Eq. 11 and 12 of the ICCV 2023 paper.
"""

import math

import torch
from torch import Tensor


def split_levels(alpha_bar_t: Tensor, alpha_bar_s: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """a = alpha_bar_t / alpha_bar_s, 1 - a, alpha_bar_s, 1 - alpha_bar_s.

    Subtracted in the levels' own precision (float64 in a schedule) and only then cast: near t = 0, 1 - a is small.
    """
    a = alpha_bar_t / alpha_bar_s
    return a.to(dtype), (1 - a).to(dtype), alpha_bar_s.to(dtype), (1 - alpha_bar_s).to(dtype)


def diffuse(y0: Tensor, alpha_bar: Tensor, classes: int, u: Tensor) -> Tensor:
    """Draw y_t from q(y_t | y_0) with one uniform number u [B,H,W] a pixel.

    u < alpha_bar keeps y_0; the rest of u's range is cut evenly into the K classes.
    """
    keep, blur = alpha_bar.to(u.dtype), (1 - alpha_bar).to(u.dtype)
    uniform = ((u - keep) / blur.clamp_min(1e-12) * classes).long().clamp(0, classes - 1)
    return torch.where(u < keep, y0, uniform)


def posterior(y_t: Tensor, p0: Tensor, alpha_bar_t: Tensor, alpha_bar_s: Tensor) -> Tensor:
    """q(y_s | y_t, y_0) with the soft p0 in the place of one-hot y_0, for any s < t. [B,K,H,W]

    normalise_K( [a [k = y_t] + (1-a)/K] · [alpha_bar_s p0_k + (1-alpha_bar_s)/K] ), a = alpha_bar_t / alpha_bar_s.
    Exact where p0 is one-hot; with a predicted p0 it defines the reverse process (Hoogeboom et al. 2021).
    """
    classes = p0.shape[1]
    a, move, s, blur = (level.unsqueeze(1) for level in split_levels(alpha_bar_t, alpha_bar_s, p0.dtype))
    second = s * p0 + blur / classes
    weights = second * (move / classes)
    at_y = second.gather(1, y_t.unsqueeze(1)) * a
    weights = weights.scatter_add(1, y_t.unsqueeze(1), at_y.to(weights.dtype))
    return weights / weights.sum(dim=1, keepdim=True)


def mixture_posterior(y_t: Tensor, p0: Tensor, alpha_bar_t: Tensor, alpha_bar_s: Tensor) -> Tensor:
    """D3PM's reverse process: Σ_j p0_j q(y_s | y_t, y_0 = j), a mixture of exact posteriors. [B,K,H,W]

    Each exact posterior has its own normaliser z_j = a q_s(y_t | j) + (1-a)/K, q_s the forward probability at s.
    """
    classes = p0.shape[1]
    a, move, s, blur = (level.unsqueeze(1) for level in split_levels(alpha_bar_t, alpha_bar_s, p0.dtype))
    here = y_t.unsqueeze(1)
    z_other = a * blur / classes + move / classes
    z_same = z_other + a * s
    scaled = p0 / z_other
    at_y = p0.gather(1, here) * (1 / z_same - 1 / z_other)
    scaled = scaled.scatter_add(1, here, at_y)  # p0_j / z_j
    second = s * scaled + blur / classes * scaled.sum(dim=1, keepdim=True)
    weights = second * (move / classes)
    return weights.scatter_add(1, here, second.gather(1, here) * a)


def draw(weights: Tensor, u: Tensor) -> Tensor:
    """Inverse CDF: the class in whose interval of the cumulative sum u [B,H,W] in [0,1) falls. int64 [B,H,W]

    weights: [B,K,H,W], not negative, in proportion to the probabilities.
    """
    return _count_below(weights, u * weights.sum(dim=1))


def _count_below(weights: Tensor, threshold: Tensor) -> Tensor:
    """How many of the first K-1 cumulative sums over the classes are ≤ threshold [B,H,W].

    Class by class: K passes over one plane each cost less than one cumulative sum over all planes.
    """
    drawn = torch.zeros(threshold.shape, dtype=torch.uint8, device=threshold.device)
    total = torch.zeros_like(threshold)
    for plane in weights.unbind(1)[:-1]:
        total += plane
        drawn += total <= threshold
    return drawn.long()


def draw_posterior(y_t: Tensor, logits: Tensor, alpha_bar_t: Tensor, alpha_bar_s: Tensor, u: Tensor) -> Tensor:
    """Draw y_s from `posterior` at p0 = softmax(logits), with one uniform number a pixel, without building either.

    The posterior is a mixture: y_t itself with weight a·r(y_t), and r = alpha_bar_s p0 + (1-alpha_bar_s)/K with
    weight (1-a)/K; r again is p0 or uniform. So one number u chooses the branch, and what is left of it, rescaled,
    is the uniform number of the branch's own draw.
    """
    classes = logits.shape[1]
    a, away, s, blur = split_levels(alpha_bar_t, alpha_bar_s, logits.dtype)
    weights = (logits - logits.amax(dim=1, keepdim=True)).exp_()  # p0 up to its sum
    total = weights.sum(dim=1)
    p0_at_y = weights.gather(1, y_t.unsqueeze(1)).squeeze(1) / total
    stay = a * (s * p0_at_y + blur / classes)
    move = away / classes
    v = u * (stay + move)  # in [0, stay + move)
    rest = ((v - stay) / move.clamp_min(1e-30)).clamp(0, 1)  # uniform in [0,1] where the pixel moves
    uniform = ((rest - s) / blur.clamp_min(1e-12) * classes).long().clamp(0, classes - 1)
    drawn = _count_below(weights, (rest / s).clamp(max=1) * total)
    return torch.where(v < stay, y_t, torch.where(rest < s, drawn, uniform))


def posterior_kl(y_t: Tensor, y0: Tensor, log_p0: Tensor, alpha_bar_t: Tensor, alpha_bar_s: Tensor) -> Tensor:
    """KL( q(y_s | y_t, y_0) ‖ p(y_s | y_t) ) in nats a pixel [B,H,W], p being `posterior` at p0.

    Both share the first factor, and q's second factor takes two values, so with L_k = log(alpha_bar_s p0_k +
    (1-alpha_bar_s)/K) only Σ_k L_k, L at y_0 and L at y_t are needed. At s = 0 it is the cross-entropy.
    """
    classes = log_p0.shape[1]
    a, move, s, blur = split_levels(alpha_bar_t, alpha_bar_s, log_p0.dtype)
    b, rest = move / classes, blur / classes
    log_second = torch.logaddexp(log_p0 + s.log().unsqueeze(1), rest.log().unsqueeze(1).expand_as(log_p0))  # [B,K,H,W]
    at_0 = log_second.gather(1, y0.unsqueeze(1)).squeeze(1)
    at_t = log_second.gather(1, y_t.unsqueeze(1)).squeeze(1)
    same = (y_t == y0).to(log_p0.dtype)

    z_q = b + a * (s * same + rest)
    # Σ_k q_k L_k, by the four kinds of class: any, y_0, y_t, and both at once. 0·(-inf) counts as 0.
    total = torch.where(rest > 0, b * rest * log_second.sum(dim=1), torch.zeros_like(at_0))
    total = total + b * s * at_0
    total = total + torch.where(rest > 0, a * rest * at_t, torch.zeros_like(at_0))
    total = total + torch.where(same > 0, a * s * at_t, torch.zeros_like(at_0))
    cross = total / z_q

    # Σ_k q_k log r_k, r = s [k = y_0] + (1-s)/K
    high = (s + rest).log()
    low = torch.where(rest > 0, rest, torch.ones_like(rest)).log()
    q_at_0 = (b + a * same) * (s + rest) / z_q
    self_term = q_at_0 * high + (1 - q_at_0) * low

    p_at_t = at_t.exp()
    z_p = b + a * p_at_t
    return (self_term - cross + z_p.log() - z_q.log()).clamp_min(0)


def prior_kl(alpha_bar_T: Tensor, classes: int) -> Tensor:
    """KL( q(y_T | y_0) ‖ uniform ) in nats a pixel: the VLB's parameter-free term."""
    high = alpha_bar_T + (1 - alpha_bar_T) / classes
    low = (1 - alpha_bar_T) / classes
    return high * (high * classes).log() + (classes - 1) * torch.xlogy(low, low * classes)


def authors_scale(classes: int) -> float:
    """The public code's factor on the per-pixel KL in nats: 1 / (ln 2 · K)."""
    return 1 / (math.log(2) * classes)
