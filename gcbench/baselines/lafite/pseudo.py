"""Pseudo text features: what an image's feature becomes, so that a generator can be trained without texts.

f [B,D]: unit features of images; eps [B,D]: N(0,1). All forms give unit features h [B,D].

fixed (the paper): h = f + ξ eps |f|/|eps|, normalised. eps is nearly orthogonal to f when D is large, so that the
cosine of h and f is 1/√(1 + ξ²) then: 0.80 for ξ = 0.75.
legacy_mix (the released code): h = (1 - ξ) f + ξ eps/|eps|, normalised: (1 - ξ)/√((1 - ξ)² + ξ²), 0.32 for ξ = 0.75.
learned: h = f + μ(f) + exp(s(f)) eps, normalised; μ and s are networks, trained so that h finds the image's text.

Source: Zhou et al. 2022, "Towards Language-Free Training for Text-to-Image Generation", section 3.1.
"""

import math
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from gcbench.baselines.lafite.config import PseudoConfig


def fixed(f: Tensor, eps: Tensor, xi: float) -> Tensor:
    return F.normalize(f + xi * eps * f.norm(dim=1, keepdim=True) / eps.norm(dim=1, keepdim=True))  # [B,D]


def legacy_mix(f: Tensor, eps: Tensor, xi: float) -> Tensor:
    return F.normalize((1 - xi) * f + xi * F.normalize(eps))  # [B,D]


class Pseudo(nn.Module):
    """The form that the config names. A learned one begins as the fixed form, up to the length of eps."""

    def __init__(self, cfg: PseudoConfig, dim: int):
        super().__init__()
        self.cfg = cfg
        if cfg.kind == "learned":
            self.mean = mlp(dim, cfg.hidden, 0.0)
            self.log_scale = mlp(dim, cfg.hidden, math.log(cfg.xi / math.sqrt(dim)))

    def forward(self, f: Tensor, eps: Tensor) -> Tensor:
        if self.cfg.kind == "learned":
            return F.normalize(f + self.mean(f) + self.log_scale(f).exp() * eps)
        return (legacy_mix if self.cfg.kind == "legacy_mix" else fixed)(f, eps, self.cfg.xi)


def mlp(dim: int, hidden: int, start: float) -> nn.Sequential:
    """Four layers [B,dim] -> [B,dim] whose answer is `start` everywhere, before it is trained."""
    widths = (dim, hidden, hidden, hidden)
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        layers += [nn.Linear(a, b), nn.LeakyReLU(0.2)]
    last = nn.Linear(hidden, dim)
    nn.init.zeros_(last.weight)
    nn.init.constant_(last.bias, start)
    return nn.Sequential(*layers, last)
