"""Adversarial losses and penalties against closed forms: values by hand, gradients by formula."""

import math

import pytest
import torch
from torch import Tensor

from gcbench.networks.adversarial import (
    gradient_penalty,
    hinge_discriminator,
    logistic_discriminator,
    logistic_generator,
    path_lengths,
    r1,
)


def test_losses_by_hand() -> None:
    real, fake = torch.tensor([2.0, -1.0]), torch.tensor([0.5, -3.0])
    want = sum(math.log1p(math.exp(-v)) for v in (2, -1)) / 2 + sum(math.log1p(math.exp(v)) for v in (0.5, -3)) / 2
    assert logistic_discriminator(real, fake).item() == pytest.approx(want, rel=1e-6)
    want = sum(math.log1p(math.exp(-v)) for v in (0.5, -3)) / 2
    assert logistic_generator(fake).item() == pytest.approx(want, rel=1e-6)
    assert hinge_discriminator(real, fake).item() == pytest.approx((0 + 2) / 2 + (1.5 + 0) / 2, rel=1e-6)


def images(seed: int, b: int = 3) -> Tensor:
    return torch.randn(b, 2, 3, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_r1_of_a_linear_discriminator() -> None:
    """D(x) = a·x: the penalty is |a|² whatever x is, its gradient 2a."""
    a = images(0)[0].requires_grad_()
    x = images(1).requires_grad_()
    penalty = r1((x * a).sum((1, 2, 3)), x)
    (gradient,) = torch.autograd.grad(penalty, a)
    assert penalty.item() == pytest.approx(a.square().sum().item(), rel=1e-12)
    torch.testing.assert_close(gradient, 2 * a.detach())


def test_r1_of_a_quadratic_discriminator() -> None:
    """D(x) = Σ c x² / 2: the slope at x is c x, the penalty mean_i Σ c² x_i², its gradient mean_i 2 c x_i²."""
    c = images(0)[0].requires_grad_()
    x = images(1).requires_grad_()
    penalty = r1((c * x.square() / 2).sum((1, 2, 3)), x)
    (gradient,) = torch.autograd.grad(penalty, c)
    with torch.no_grad():
        assert penalty.item() == pytest.approx((c * x).square().sum((1, 2, 3)).mean().item(), rel=1e-12)
        torch.testing.assert_close(gradient, 2 * c * x.square().mean(0))


def test_wgan_gp_of_a_linear_critic() -> None:
    """D(x) = a·x: (|a| - 1)² wherever it is looked at, its gradient 2 (|a| - 1) a / |a|."""
    a = images(0)[0].requires_grad_()
    u = torch.tensor([0.0, 0.3, 0.9], dtype=torch.float64)
    penalty = gradient_penalty(lambda x: (x * a).sum((1, 2, 3)), images(1), images(2), u)
    (gradient,) = torch.autograd.grad(penalty, a)
    with torch.no_grad():
        norm = a.norm()
        assert penalty.item() == pytest.approx((norm.item() - 1) ** 2, rel=1e-12)
        torch.testing.assert_close(gradient, 2 * (norm - 1) * a / norm)


def test_wgan_gp_looks_between_the_two() -> None:
    """D(x) = c|x|²/2 has the slope c x: the penalty is mean_i (c|x_i| - 1)² at x_i = u real + (1 - u) fake, and its
    gradient with respect to c mean_i 2 (c|x_i| - 1) |x_i|; none reaches the images."""
    real, fake = images(1).requires_grad_(), images(2)
    u = torch.tensor([0.0, 0.3, 0.9], dtype=torch.float64)
    c = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    penalty = gradient_penalty(lambda x: c * x.square().sum((1, 2, 3)) / 2, real, fake, u)
    to_c, to_real = torch.autograd.grad(penalty, (c, real), allow_unused=True)
    with torch.no_grad():
        lengths = torch.stack([(w * r + (1 - w) * f).norm() for w, r, f in zip(u, real, fake, strict=True)])
        torch.testing.assert_close(penalty, (c * lengths - 1).square().mean())
        torch.testing.assert_close(to_c, (2 * (c * lengths - 1) * lengths).mean())
    assert to_real is None


def test_path_lengths_of_a_linear_generator() -> None:
    """image = Σ_l M_l s_l: the length is the root of the mean over l of |M_l^T y|², y = noise/√(HW); the gradient of
    its square with respect to M_l is 2 y (M_l^T y)^T / L."""
    draw = torch.Generator().manual_seed(0)
    layers, d, shape = 3, 4, (2, 3, 5)
    size = math.prod(shape)
    maps = torch.randn(layers, size, d, generator=draw, dtype=torch.float64, requires_grad=True)
    styles = torch.randn(2, layers, d, generator=draw, dtype=torch.float64, requires_grad=True)
    images = torch.einsum("lnd,bld->bn", maps, styles).view(2, *shape)
    noise = torch.randn(2, *shape, generator=draw, dtype=torch.float64)
    lengths = path_lengths(images, styles, noise)
    (gradient,) = torch.autograd.grad(lengths[0].square(), maps)
    with torch.no_grad():
        y = noise.view(2, size) / (3 * 5) ** 0.5
        turned = torch.stack([torch.stack([maps[layer].T @ y[b] for layer in range(layers)]) for b in range(2)])
        torch.testing.assert_close(lengths, turned.square().sum(2).mean(1).sqrt())
        torch.testing.assert_close(gradient, 2 / layers * torch.einsum("n,ld->lnd", y[0], turned[0]))
