"""Losses of two networks against each other, and what keeps the evaluating one smooth.

Logits are real numbers of any shape, high for real; images [B,C,H,W]. Every function gives a scalar.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def logistic_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """mean softplus(-D(real)) + mean softplus(D(fake)) (Goodfellow et al. 2014)."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def logistic_generator(fake: Tensor) -> Tensor:
    """Non-saturating: mean softplus(-D(fake))."""
    return F.softplus(-fake).mean()


def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """mean max(0, 1 - D(real)) + mean max(0, 1 + D(fake)) (Lim & Ye 2017); the generator's is -mean D(fake)."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def r1(logits: Tensor, real: Tensor) -> Tensor:
    """mean_i ‖∇ D(x_i)‖² over real x, which must want a gradient (Mescheder et al. 2018). γ/2 is the caller's."""
    (gradient,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
    return gradient.square().flatten(1).sum(1).mean()


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, u: Tensor) -> Tensor:
    """WGAN-GP: mean_i (‖∇ D(x_i)‖ - 1)² at x = u real + (1 - u) fake, u [B] in [0,1) (Gulrajani et al. 2017)."""
    u = u.view(-1, *[1] * (real.dim() - 1))
    between = (u * real + (1 - u) * fake).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (gradient.flatten(1).norm(dim=1) - 1).square().mean()


def path_lengths(images: Tensor, styles: Tensor, noise: Tensor) -> Tensor:
    """‖J^T y‖ [B], J of the images with respect to the styles [B,L,D], y = noise/√(HW): the root of the mean over L of
    the squared lengths (Karras et al. 2020)."""
    h, w = images.shape[-2:]
    (gradient,) = torch.autograd.grad((images * noise / (h * w) ** 0.5).sum(), styles, create_graph=True)
    return gradient.square().sum(2).mean(1).sqrt()
