"""Classifier-free guidance, and noise that belongs to a sample and not to its batch."""

import torch
from scipy import stats

from gcbench.diffusion.guidance import guide
from gcbench.diffusion.noise import SeededNoise


def test_guidance_scales() -> None:
    conditional, null = torch.randn(2, 3), torch.randn(2, 3)
    torch.testing.assert_close(guide(conditional, null, 1.0), conditional)
    torch.testing.assert_close(guide(conditional, null, 0.0), null)
    torch.testing.assert_close(guide(conditional, null, 3.0), 3 * conditional - 2 * null)


def test_guided_logits_are_a_product_of_powers() -> None:
    """On logits, scale w means p ∝ p_cond^w · p_null^(1-w)."""
    conditional, null = torch.randn(4, 6), torch.randn(4, 6)
    product = conditional.softmax(1) ** 2.5 * null.softmax(1) ** -1.5
    expected = product / product.sum(1, keepdim=True)
    torch.testing.assert_close(guide(conditional, null, 2.5).softmax(1), expected)


def test_streams_belong_to_seeds() -> None:
    """A seed gives the same numbers alone, in any place of a batch, and whoever its neighbours are."""
    together = SeededNoise([3, 9, 3])
    alone = SeededNoise([9])
    for _ in range(3):
        a, b = together.normal(3, 4, 5), alone.normal(3, 4, 5)
        assert torch.equal(a[1], b[0])
        assert torch.equal(a[0], a[2])
        u, v = together.uniform(4, 5), alone.uniform(4, 5)
        assert torch.equal(u[1], v[0])


def test_next_numbers_are_new() -> None:
    noise = SeededNoise([1])
    assert not torch.equal(noise.normal(8), noise.normal(8))
    assert not torch.equal(SeededNoise([1]).normal(8), SeededNoise([2]).normal(8))


def test_distributions() -> None:
    noise = SeededNoise(range(20))
    normal, uniform = noise.normal(500), noise.uniform(500)
    assert normal.dtype == uniform.dtype == torch.float32
    assert stats.kstest(normal.flatten().numpy(), "norm").pvalue > 1e-3
    assert stats.kstest(uniform.flatten().numpy(), "uniform").pvalue > 1e-3
    assert ((uniform >= 0) & (uniform < 1)).all()


def test_the_callers_generator_is_left_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    SeededNoise([5]).normal(10)
    assert torch.equal(torch.rand(3), expected)
