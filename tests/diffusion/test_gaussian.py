"""The image's Gaussian process against numerical integration, single steps and closed forms."""

import numpy as np
import pytest
import torch
from scipy import stats

from gcbench.diffusion import gaussian
from gcbench.diffusion.schedules import Schedule

LEVELS = Schedule("cosine", 20).alpha_bar
PAIRS = [(2, 1), (10, 9), (10, 3), (19, 2)]


def numbers(*values: float) -> tuple[torch.Tensor, ...]:
    return tuple(torch.tensor(v, dtype=torch.float64) for v in values)


@pytest.mark.parametrize(("t", "s"), PAIRS)
def test_posterior_by_numerical_bayes(t: int, s: int) -> None:
    """q(x_s | x_t, x_0) ∝ q(x_t | x_s) q(x_s | x_0): multiplied on a grid, then its mean and variance."""
    x0, x_t = 0.6, -0.8
    one_step = float(LEVELS[t] / LEVELS[s])
    grid = np.linspace(-12, 12, 480_001)
    log_density = stats.norm.logpdf(x_t, np.sqrt(one_step) * grid, np.sqrt(1 - one_step))
    log_density += stats.norm.logpdf(grid, np.sqrt(float(LEVELS[s])) * x0, np.sqrt(1 - float(LEVELS[s])))
    weights = np.exp(log_density - log_density.max())
    weights /= weights.sum()
    mean = (weights * grid).sum()
    variance = (weights * (grid - mean) ** 2).sum()
    found = gaussian.posterior(*numbers(x_t, x0), LEVELS[t], LEVELS[s])
    assert float(found.mean) == pytest.approx(mean, abs=1e-6)
    assert float(found.variance) == pytest.approx(variance, rel=1e-6)


@pytest.mark.parametrize(("t", "s"), PAIRS)
def test_posterior_by_conjugate_algebra(t: int, s: int) -> None:
    """Precisions add, means weigh by precision: the textbook rule for a Gaussian prior and likelihood."""
    x0, x_t = numbers(-0.3, 1.7)
    a = LEVELS[t] / LEVELS[s]
    prior_precision, likelihood_precision = 1 / (1 - LEVELS[s]), a / (1 - a)
    precision = prior_precision + likelihood_precision
    mean = (prior_precision * LEVELS[s].sqrt() * x0 + likelihood_precision * x_t / a.sqrt()) / precision
    found = gaussian.posterior(x_t, x0, LEVELS[t], LEVELS[s])
    torch.testing.assert_close(found.mean, mean, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(found.variance, 1 / precision, rtol=1e-10, atol=0)


def test_posterior_at_zero_is_the_clean_image() -> None:
    x0, x_t = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    found = gaussian.posterior(x_t, x0, LEVELS[5], LEVELS[0])
    torch.testing.assert_close(found.mean, x0)
    assert found.variance == 0


@pytest.mark.parametrize(("t", "s"), [(10, 3), (19, 2), (20, 0)])
def test_a_skipped_step_is_its_single_steps(t: int, s: int) -> None:
    """One posterior from t to s = the single posteriors t -> t-1 -> ... -> s composed, moments carried through."""
    x0, x_t = numbers(0.25, -1.1)
    mean, variance = x_t, torch.zeros((), dtype=torch.float64)
    for level in range(t, s, -1):
        at_zero = gaussian.posterior(torch.zeros_like(x_t), x0, LEVELS[level], LEVELS[level - 1])
        at_one = gaussian.posterior(torch.ones_like(x_t), x0, LEVELS[level], LEVELS[level - 1])
        slope = at_one.mean - at_zero.mean
        mean, variance = at_zero.mean + slope * mean, at_zero.variance + slope**2 * variance
    found = gaussian.posterior(x_t, x0, LEVELS[t], LEVELS[s])
    torch.testing.assert_close(found.mean, mean, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(found.variance, variance, rtol=1e-9, atol=1e-12)


def test_forward_moments() -> None:
    x0 = torch.full((1, 1, 300, 300), 0.7, dtype=torch.float64)
    eps = torch.randn(x0.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x_t = gaussian.diffuse(x0, eps, LEVELS[8])
    assert float(x_t.mean()) == pytest.approx(0.7 * float(LEVELS[8]) ** 0.5, abs=0.01)
    assert float(x_t.var()) == pytest.approx(1 - float(LEVELS[8]), abs=0.01)


@pytest.mark.parametrize("t", [1, 10, 19])
def test_eps_and_x0_say_the_same(t: int) -> None:
    x0, eps = torch.randn(2, 3, 4, 4).double(), torch.randn(2, 3, 4, 4).double()
    x_t = gaussian.diffuse(x0, eps, LEVELS[t])
    torch.testing.assert_close(gaussian.predict_x0(x_t, eps, LEVELS[t]), x0, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(gaussian.predict_eps(x_t, x0, LEVELS[t]), eps, rtol=1e-9, atol=1e-9)


def test_ddim_moves_along_the_line_of_one_eps() -> None:
    """With the true x_0 every DDIM step lands on the forward process of the same eps, and at 0 on x_0."""
    x0, eps = torch.randn(2, 3, 4, 4).double(), torch.randn(2, 3, 4, 4).double()
    x = LEVELS[19].sqrt() * x0 + (1 - LEVELS[19]).sqrt() * eps
    for t, s in [(19, 12), (12, 11), (11, 2), (2, 0)]:
        x = gaussian.ddim_step(x, x0, LEVELS[t], LEVELS[s])
        torch.testing.assert_close(x, LEVELS[s].sqrt() * x0 + (1 - LEVELS[s]).sqrt() * eps, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(x, x0, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("quantile", [0.0, 0.5, 0.95, 0.995, 1.0])
def test_dynamic_threshold_against_numpy(quantile: float) -> None:
    x0 = torch.randn(3, 3, 5, 7, generator=torch.Generator().manual_seed(1)) * 3
    x0[2] *= 0.05  # inside [-1,1]: must come back untouched
    found = gaussian.dynamic_threshold(x0, quantile).numpy()
    for image, out in zip(x0.numpy(), found, strict=True):
        s = max(1.0, np.quantile(np.abs(image), quantile, method="inverted_cdf"))
        np.testing.assert_allclose(out, np.clip(image, -s, s) / s, rtol=1e-6)
    assert np.abs(found).max() <= 1
    np.testing.assert_array_equal(found[2], x0[2].numpy())


def test_kl_against_torch() -> None:
    p = gaussian.Normal(torch.tensor([0.0, 1.0, -2.0]), torch.tensor([1.0, 0.5, 2.0]))
    q = gaussian.Normal(torch.tensor([0.3, 1.0, 0.0]), torch.tensor([2.0, 0.5, 0.1]))
    expected = torch.distributions.kl_divergence(
        torch.distributions.Normal(p.mean, p.variance.sqrt()), torch.distributions.Normal(q.mean, q.variance.sqrt())
    )
    torch.testing.assert_close(gaussian.kl(p, q), expected)


def test_prior_kl_against_torch() -> None:
    x0, level = torch.linspace(-1, 1, 5), torch.tensor(0.1)
    start = torch.distributions.Normal(level.sqrt() * x0, (1 - level).sqrt())
    expected = torch.distributions.kl_divergence(start, torch.distributions.Normal(0.0, 1.0))
    torch.testing.assert_close(gaussian.prior_kl(x0, level), expected)
