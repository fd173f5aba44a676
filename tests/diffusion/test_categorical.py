"""The layout's categorical process against brute-force Bayes on explicit K×K transition matrices.

The reference here knows nothing of the code's shortcuts: a chain of matrices Q_i = a_i I + (1-a_i)/K 11ᵀ, their
products, and Bayes' rule over all K values of y_0, y_s and y_t.
"""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from gcbench.diffusion import categorical
from gcbench.diffusion.schedules import Schedule

K = 5
T = 12
LEVELS = Schedule("cosine", T, normalised=True).alpha_bar
STEPS = [(1, 0), (2, 1), (7, 6), (12, 11), (7, 2), (12, 4), (9, 0), (12, 0)]

Posterior = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def chain(start: int, end: int, classes: int = K) -> np.ndarray:
    """The product of the single-step matrices start+1..end: entry [i,j] is P(y_end = j | y_start = i)."""
    out = np.eye(classes)
    for i in range(start + 1, end + 1):
        keep = float(LEVELS[i] / LEVELS[i - 1])
        out = out @ (keep * np.eye(classes) + (1 - keep) / classes * np.ones((classes, classes)))
    return out


def bayes(t: int, s: int) -> np.ndarray:
    """Exact q(y_s = k | y_t = i, y_0 = j) as an array [i,j,k]."""
    to_s, to_t = chain(0, s), chain(s, t)
    joint = to_s[None, :, :] * to_t.T[:, None, :]  # [y_t, y_0, y_s]
    return joint / joint.sum(axis=2, keepdims=True)


def level(t: int) -> Tensor:
    return LEVELS[t].view(1, 1, 1)


def every_pair() -> tuple[Tensor, Tensor]:
    """All K² pairs (y_t, y_0) as an image of K×K pixels."""
    y_t, y_0 = torch.meshgrid(torch.arange(K), torch.arange(K), indexing="ij")
    return y_t[None], y_0[None]


def one_hot(y: Tensor) -> Tensor:
    return torch.nn.functional.one_hot(y, K).permute(0, 3, 1, 2).double()


def random_p0(seed: int = 0, *, peaked: bool = False) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(1, K, K, K, generator=generator, dtype=torch.float64) * (4 if peaked else 1)
    return logits.softmax(dim=1)


def soft_bayes(t: int, s: int, y_t: Tensor, p0: Tensor) -> np.ndarray:
    """The soft plug by matrices: normalise(Q_{s->t}[k, y_t] · (p0 Q_{0->s})[k]). [K,H,W]"""
    weights = chain(s, t)[:, y_t[0].numpy()] * np.einsum("jhw,jk->khw", p0[0].numpy(), chain(0, s))
    return weights / weights.sum(axis=0)


# ------------------------------------------------------------------------------------------------ forward


def test_a_skipped_kernel_is_the_product_of_its_single_steps() -> None:
    """What `posterior` uses for s -> t, [k = y_t] a + (1-a)/K with a the ratio of levels, is the chain's product."""
    for t, s in STEPS:
        a = float(LEVELS[t] / LEVELS[s])
        np.testing.assert_allclose(chain(s, t), a * np.eye(K) + (1 - a) / K, atol=1e-12)


# ------------------------------------------------------------------------------------------------ posterior


@pytest.mark.parametrize("form", [categorical.posterior, categorical.mixture_posterior])
@pytest.mark.parametrize(("t", "s"), STEPS)
def test_exact_posterior_for_every_pair(form: Posterior, t: int, s: int) -> None:
    y_t, y_0 = every_pair()
    found = form(y_t, one_hot(y_0), level(t), level(s))[0].permute(1, 2, 0)
    np.testing.assert_allclose(found.numpy(), bayes(t, s), atol=1e-6)


@pytest.mark.parametrize("peaked", [False, True])
@pytest.mark.parametrize(("t", "s"), STEPS)
def test_soft_posterior(t: int, s: int, peaked: bool) -> None:
    y_t, _ = every_pair()
    p0 = random_p0(peaked=peaked)
    found = categorical.posterior(y_t, p0, level(t), level(s))
    np.testing.assert_allclose(found[0].numpy(), soft_bayes(t, s, y_t, p0), atol=1e-6)


@pytest.mark.parametrize("peaked", [False, True])
@pytest.mark.parametrize(("t", "s"), STEPS)
def test_mixture_posterior(t: int, s: int, peaked: bool) -> None:
    y_t, _ = every_pair()
    p0 = random_p0(1, peaked=peaked)
    expected = np.einsum("jhw,hwjk->khw", p0[0].numpy(), bayes(t, s)[y_t[0].numpy()])
    found = categorical.mixture_posterior(y_t, p0, level(t), level(s))
    np.testing.assert_allclose(found[0].numpy(), expected, atol=1e-6)


def test_the_two_reverse_processes_differ_on_soft_predictions() -> None:
    y_t, _ = every_pair()
    soft = categorical.posterior(y_t, random_p0(), level(7), level(6))
    mixed = categorical.mixture_posterior(y_t, random_p0(), level(7), level(6))
    assert (soft - mixed).abs().max() > 0.01


def printed_eq11_posterior(y_t: Tensor, p0: Tensor, alpha_bar_t: Tensor, alpha_bar_s: Tensor) -> Tensor:
    """Mutant: the forward probabilities of the printed Eq. 11, (1-alpha_bar) y_0 + alpha_bar / K."""
    a = alpha_bar_t / alpha_bar_s
    weights = (a * one_hot(y_t) + (1 - a) / K) * ((1 - alpha_bar_s) * p0 + alpha_bar_s / K)
    return weights / weights.sum(dim=1, keepdim=True)


def printed_eq12_posterior(y_t: Tensor, p0: Tensor, alpha_bar_t: Tensor, alpha_bar_s: Tensor) -> Tensor:
    """Mutant: the second bracket of the printed Eq. 12, alpha_bar_t y_0 + (1-alpha_bar_{t-1}) / K."""
    a = alpha_bar_t / alpha_bar_s
    weights = (a * one_hot(y_t) + (1 - a) / K) * (alpha_bar_t * p0 + (1 - alpha_bar_s) / K)
    return weights / weights.sum(dim=1, keepdim=True)


@pytest.mark.parametrize("mutant", [printed_eq11_posterior, printed_eq12_posterior])
def test_the_printed_equations_are_caught(mutant: Posterior) -> None:
    """The paper's Eq. 11 and 12 as printed are off by far more than the tolerance of the checks above."""
    y_t, y_0 = every_pair()
    found = mutant(y_t, one_hot(y_0), level(7), level(6))[0].permute(1, 2, 0)
    assert np.abs(found.numpy() - bayes(7, 6)).max() > 1e-3


def test_the_printed_eq11_is_no_forward_process() -> None:
    """At level 0 it would give uniform noise, at the last level the clean label."""
    clean = (1 - float(LEVELS[0])) * np.eye(K) + float(LEVELS[0]) / K
    assert np.abs(clean - chain(0, 0)).max() > 0.5


# ------------------------------------------------------------------------------------------------ losses


def dense_kl(t: int, s: int, p0: Tensor) -> np.ndarray:
    """KL(q(y_s | y_t, y_0) ‖ p(y_s | y_t)) for every pair, summed over explicit probabilities. [y_t,y_0]"""
    y_t, _ = every_pair()
    q = bayes(t, s)
    p = soft_bayes(t, s, y_t, p0).transpose(1, 2, 0)
    return np.where(q > 0, q * (np.log(np.maximum(q, 1e-300)) - np.log(p)), 0).sum(axis=2)


@pytest.mark.parametrize(("t", "s"), STEPS)
def test_kl_against_dense_sums(t: int, s: int) -> None:
    y_t, y_0 = every_pair()
    p0 = random_p0(2)
    found = categorical.posterior_kl(y_t, y_0, p0.log(), level(t), level(s))[0].numpy()
    np.testing.assert_allclose(found, dense_kl(t, s, p0), atol=1e-9)
    assert (found >= 0).all()


@pytest.mark.parametrize(("t", "s"), STEPS)
def test_kl_vanishes_at_the_truth(t: int, s: int) -> None:
    y_t, y_0 = every_pair()
    found = categorical.posterior_kl(y_t, y_0, one_hot(y_0).clamp_min(1e-300).log(), level(t), level(s))
    assert found.abs().max() < 1e-10


def test_kl_at_the_last_step_is_the_cross_entropy() -> None:
    y_t, y_0 = every_pair()
    p0 = random_p0(3)
    p = soft_bayes(1, 0, y_t, p0)  # [K,y_t,y_0]
    expected = -np.log(np.take_along_axis(p, y_0.numpy(), axis=0)[0])
    found = categorical.posterior_kl(y_t, y_0, p0.log(), level(1), level(0))
    np.testing.assert_allclose(found[0].numpy(), expected, atol=1e-9)


@pytest.mark.parametrize("t", [1, 2, 100, 500, 990, 1000])
def test_kl_in_single_precision(t: int) -> None:
    """T·KL, as the loss has it, is good to 1e-3 nats in float32 at every noise level, and its gradient to 1 %."""
    levels = Schedule("cosine", 1000, normalised=True).alpha_bar
    generator = torch.Generator().manual_seed(t)
    y0 = torch.randint(20, (1, 16, 16), generator=generator)
    level_t, level_s = levels[t].view(1, 1, 1), levels[t - 1].view(1, 1, 1)
    y_t = categorical.diffuse(y0, level_t, 20, torch.rand(1, 16, 16, generator=generator))
    logits = torch.randn(1, 20, 16, 16, generator=generator) * 2
    values, gradients = [], []
    for precision in (torch.float32, torch.float64):
        leaf = logits.detach().clone().to(precision).requires_grad_()
        loss = 1000 * categorical.posterior_kl(y_t, y0, leaf.log_softmax(1), level_t, level_s).mean()
        loss.backward()
        values.append(loss.item())
        gradients.append(leaf.grad.double())
    assert values[0] == pytest.approx(values[1], abs=1e-3)
    if values[1] > 1e-3:
        assert (gradients[0] - gradients[1]).norm() < 0.01 * gradients[1].norm()


def test_prior_kl_against_dense_sums() -> None:
    for t in (1, 6, T):
        q = chain(0, t)[0]
        found = float(categorical.prior_kl(LEVELS[t], K))
        assert found == pytest.approx((q * np.log(q * K)).sum(), abs=1e-12)
    assert float(categorical.prior_kl(LEVELS[0], K)) == pytest.approx(math.log(K))


def test_authors_scale_is_bits_divided_by_classes() -> None:
    assert categorical.authors_scale(20) == pytest.approx(np.log2(np.e) / 20)


# ------------------------------------------------------------------------------------------------ draws

PIXELS = 200


def uniforms(seed: int) -> Tensor:
    return torch.rand(1, PIXELS, PIXELS, generator=torch.Generator().manual_seed(seed))


def agrees(drawn: Tensor, expected: np.ndarray) -> bool:
    """χ² of the drawn classes; classes of probability 0 must not occur at all."""
    counts = np.bincount(drawn.flatten().numpy(), minlength=K)
    possible = expected > 1e-12
    assert counts[~possible].sum() == 0
    if possible.sum() == 1:
        return True
    expected = expected[possible].astype(np.float64)
    expected /= expected.sum()
    return stats.chisquare(counts[possible], expected * counts.sum()).pvalue > 1e-3


def test_draw_has_the_right_frequencies() -> None:
    p = torch.tensor([0.0, 0.1, 0.6, 0.0, 0.3])
    drawn = categorical.draw(p.view(1, K, 1, 1).expand(1, K, PIXELS, PIXELS), uniforms(0))
    assert drawn.dtype == torch.int64
    assert agrees(drawn, p.numpy())


def test_draw_at_the_ends_of_the_unit_interval() -> None:
    p = torch.tensor([0.0, 0.5, 0.5, 0.0, 0.0]).view(1, K, 1, 1).expand(1, K, 1, 2)
    u = torch.tensor([[[0.0, 1 - 2**-24]]])
    assert categorical.draw(p, u).tolist() == [[[1, 2]]]


@pytest.mark.parametrize("t", [0, 1, 6, T])
def test_diffuse_has_the_right_frequencies(t: int) -> None:
    y0 = torch.full((1, PIXELS, PIXELS), 3)
    assert agrees(categorical.diffuse(y0, level(t), K, uniforms(t)), chain(0, t)[3])


@pytest.mark.parametrize("p0", [(0.2, 0.2, 0.2, 0.2, 0.2), (0.7, 0.0, 0.05, 0.25, 0.0), (0.0, 1.0, 0.0, 0.0, 0.0)])
@pytest.mark.parametrize(("t", "s"), [(1, 0), (7, 6), (7, 2), (12, 11), (12, 0)])
def test_draw_posterior_has_the_right_frequencies(p0: tuple[float, ...], t: int, s: int) -> None:
    for y in (1, 3):
        probabilities = torch.tensor(p0).view(1, K, 1, 1).expand(1, K, PIXELS, PIXELS)
        y_t = torch.full((1, PIXELS, PIXELS), y)
        expected = soft_bayes(t, s, y_t[:, :1, :1], probabilities[..., :1, :1].double())[:, 0, 0]
        logits = probabilities.log() + 3  # any shift of the logits means the same
        drawn = categorical.draw_posterior(y_t, logits, level(t), level(s), uniforms(10 * t + s))
        assert agrees(drawn, expected), (p0, t, s, y)


def test_draw_posterior_never_gives_an_impossible_class_at_the_end_of_the_interval() -> None:
    """At s = 0 a class that p0 rules out cannot come, even at the largest number below 1."""
    u = 1 - torch.arange(1, 2001, dtype=torch.float64).view(1, 1, -1) * 2.0**-24
    p0 = torch.tensor([0.0, 0.3, 0.7, 0.0, 0.0]).view(1, K, 1, 1).expand(1, K, 1, u.shape[-1])
    for y in range(K):
        for t in (1, 5, 12):
            y_t = torch.full((1, 1, u.shape[-1]), y)
            drawn = categorical.draw_posterior(y_t, p0.log(), level(t), level(0), u.float())
            assert set(drawn.flatten().tolist()) <= {1, 2}, (y, t)
