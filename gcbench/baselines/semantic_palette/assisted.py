"""The semantically assisted activation, which makes a layout keep to a palette, and the losses that sharpen it.

From logits a [B,K,H,W] and a palette c [B,K]: claims m_kp = c_k HW softmax_p(a_k), one spatial softmax a class, so that
each class claims exactly its area; then probabilities y_kp = (m_kp + ε) / Σ_k (m_kp + ε).
Source: Le Moing et al. 2021, "Semantic Palette", Section 3.2.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

EPS = 1e-6


def claims(logits: Tensor, palette: Tensor) -> Tensor:
    """m [B,K,H,W]: Σ_p m_kp = c_k HW."""
    b, k, h, w = logits.shape
    shares = logits.float().flatten(2).softmax(2).view(b, k, h, w)
    return shares * (h * w * palette.view(b, k, 1, 1))


def probabilities(m: Tensor) -> Tensor:
    """y [B,K,H,W], of sum 1 over the classes at every pixel."""
    m = m + EPS
    return m / m.sum(1, keepdim=True)


def spread(scales: Sequence[Tensor]) -> Tensor:
    """mean_p (Σ_k m_kp - 1)², the mean over scales: every pixel is to be claimed once."""
    return torch.stack([(m.sum(1) - 1).square().mean() for m in scales]).mean()


def entropy(scales: Sequence[Tensor]) -> Tensor:
    """mean_p -Σ_k y_kp ln y_kp, the mean over scales: by one class alone."""
    return torch.stack([-torch.special.xlogy(y, y).sum(1).mean() for y in map(probabilities, scales)]).mean()


def straight_through(logits: Tensor, u: Tensor) -> Tensor:
    """One-hot [B,K,H,W] of a draw from softmax(logits), with the gradient of its Gumbel softmax of temperature 1
    (Jang et al. 2017). u: like logits, in [0,1)."""
    gumbel = -(-u.clamp(1e-9, 1 - 1e-7).log()).log()
    soft = (logits.float() + gumbel).softmax(1)
    hard = F.one_hot(soft.argmax(1), soft.shape[1]).movedim(-1, 1).to(soft)
    return hard + soft - soft.detach()


def soften(layout: Tensor) -> Tensor:
    """Half a one-hot layout [B,K,H,W] and half the same behind the filter [1,2,1]/4 in both directions, the border's
    pixels repeated outside: real layouts as a critic sees them, so that it cannot tell them by being one-hot."""
    x = F.pad(layout, (1, 1, 1, 1), mode="replicate")
    x = (x[..., :-2, :] + 2 * x[..., 1:-1, :] + x[..., 2:, :]) / 4
    x = (x[..., :-2] + 2 * x[..., 1:-1] + x[..., 2:]) / 4
    return (layout + x) / 2
