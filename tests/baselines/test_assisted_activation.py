"""What Semantic Palette adds to a GAN: assisted activation, its losses, soft layouts and the palette prior, by hand."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import convolve
from scipy.stats import entropy as shannon

from gcbench.baselines.semantic_palette.assisted import (
    claims,
    entropy,
    probabilities,
    soften,
    spread,
    straight_through,
)
from gcbench.baselines.semantic_palette.layout_gan import LayoutCritic, LayoutGANConfig, LayoutGenerator
from gcbench.baselines.semantic_palette.prior import PalettePrior

SMALL = LayoutGANConfig(classes=5, latent=6, width=4, widest=8, critic_width=4, patch=2)


def palettes(n: int, k: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).dirichlet(np.full(k, 0.4), n)).float()


@given(scale=st.floats(0, 30), seed=st.integers(0, 1000), size=st.sampled_from([(1, 1), (4, 8), (7, 5), (64, 128)]))
def test_claims_are_the_areas_asked_for(scale: float, seed: int, size: tuple[int, int]) -> None:
    logits = torch.randn(2, 6, *size, generator=torch.Generator().manual_seed(seed)) * scale
    asked = palettes(2, 6, seed) * size[0] * size[1]  # pixels
    torch.testing.assert_close(claims(logits, asked / size[0] / size[1]).sum((2, 3)), asked, rtol=0.01, atol=1e-6)


def test_every_scale_of_the_generator_claims_the_areas_asked_for() -> None:
    torch.manual_seed(0)
    generator = LayoutGenerator(SMALL, (32, 64), palette=True)
    asked = palettes(3, 5)
    scales = generator(torch.randn(3, 6), asked)
    assert [tuple(m.shape) for m in scales] == [(3, 5, 4, 8), (3, 5, 8, 16), (3, 5, 32, 64)]
    for m in scales:
        torch.testing.assert_close(m.mean((2, 3)), asked, rtol=0.01, atol=1e-6)


def test_activation_by_a_naive_loop() -> None:
    rng = np.random.default_rng(0)
    logits, palette = rng.normal(size=(3, 4, 5)), rng.dirichlet(np.ones(3))
    m = np.empty((3, 4, 5))
    for k in range(3):
        total = sum(np.exp(logits[k, i, j]) for i in range(4) for j in range(5))
        for i in range(4):
            for j in range(5):
                m[k, i, j] = palette[k] * 20 * np.exp(logits[k, i, j]) / total
    found = claims(torch.from_numpy(logits)[None].float(), torch.from_numpy(palette)[None].float())
    np.testing.assert_allclose(found[0], m, rtol=1e-4)
    y = (m + 1e-6) / (m + 1e-6).sum(0)
    np.testing.assert_allclose(probabilities(found)[0], y, rtol=1e-4)
    assert spread([found]).item() == pytest.approx(((m.sum(0) - 1) ** 2).mean(), rel=1e-4)
    assert entropy([found]).item() == pytest.approx(shannon(y, axis=0).mean(), rel=1e-4)


def test_losses_of_layouts_that_are_known() -> None:
    """A layout that keeps to its palette loses nothing; one that says the same everywhere only its entropy."""
    layout = torch.randint(0, 5, (2, 8, 16), generator=torch.Generator().manual_seed(0))
    onehot = F.one_hot(layout, 5).movedim(-1, 1).float()
    shares = onehot.mean((2, 3))
    sure = claims(50 * onehot, shares)
    torch.testing.assert_close(sure, onehot, atol=1e-4, rtol=0)
    assert spread([sure]).item() == pytest.approx(0, abs=1e-6)
    assert entropy([sure]).item() == pytest.approx(0, abs=1e-3)
    even = claims(torch.zeros(2, 5, 8, 16), shares)
    assert spread([even]).item() == pytest.approx(0, abs=1e-6)
    assert entropy([even]).item() == pytest.approx(shannon(shares, axis=1).mean(), rel=1e-3)
    assert spread([even, 2 * even]).item() == pytest.approx(0.5)  # claimed twice: (2 - 1)², the mean of two scales
    twice = onehot[:, [0]] * torch.tensor([1.0, 1, 0, 0, 0]).view(1, 5, 1, 1)
    assert spread([twice]).item() == pytest.approx(1)  # pixels claimed twice or not at all


def test_straight_through_draws_and_its_gradient() -> None:
    generator = torch.Generator().manual_seed(0)
    row = torch.tensor([1.0, 0.0, -1.0])
    logits = row.view(1, 3, 1, 1).expand(1, 3, 150, 200)
    drawn = straight_through(logits, torch.rand(logits.shape, generator=generator))
    assert set(drawn.round(decimals=5).unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(drawn.mean((0, 2, 3)), row.softmax(0), atol=0.01, rtol=0)  # 6 standard errors are 0.017

    small = torch.randn(2, 3, 2, 2, generator=generator).requires_grad_()
    u, weights = torch.rand(2, 2, 3, 2, 2, generator=generator)
    (found,) = torch.autograd.grad((straight_through(small, u) * weights).sum(), small)
    y = (small.detach() - (-u.log()).log()).softmax(1)
    torch.testing.assert_close(found, y * (weights - (y * weights).sum(1, keepdim=True)))  # the softmax's Jacobian


def test_softened_layouts() -> None:
    layout = torch.randint(0, 4, (2, 9, 14), generator=torch.Generator().manual_seed(0))
    onehot = F.one_hot(layout, 4).movedim(-1, 1).float()
    kernel = np.outer([1, 2, 1], [1, 2, 1]) / 16
    want = [[(c + convolve(c, kernel, mode="nearest")) / 2 for c in image] for image in onehot.numpy()]
    soft = soften(onehot)
    np.testing.assert_allclose(soft, np.array(want), atol=1e-6)
    torch.testing.assert_close(soft.sum(1), torch.ones(2, 9, 14))
    assert torch.equal(soft.argmax(1), layout)  # a pixel keeps 1/2 + 1/8 at least


def test_sb_gan_has_neither_palette_nor_joints() -> None:
    generator = LayoutGenerator(SMALL, (32, 64), palette=False)
    assert [tuple(x.shape) for x in generator(torch.randn(2, 6), None)] == [(2, 5, 32, 64)]
    assert len(generator.joints) == 0
    assert len(generator.to_coarser) == 0


@pytest.mark.parametrize(
    ("size", "patch", "seed"),
    [
        ((64, 128), 1, (4, 8)),
        ((64, 128), 2, (4, 8)),
        ((32, 64), 2, (4, 8)),
        ((96, 128), 2, (6, 8)),
        ((64, 64), 1, (4, 4)),
    ],
)
def test_seeds_follow_from_sizes(size: tuple[int, int], patch: int, seed: tuple[int, int]) -> None:
    cfg = SMALL.model_copy(update={"patch": patch})
    generator, critic = LayoutGenerator(cfg, size, palette=True), LayoutCritic(cfg, size)
    assert generator.seed == seed
    finest = generator(torch.randn(2, 6), palettes(2, 5))[-1]
    assert tuple(finest.shape) == (2, 5, *size)
    assert tuple(critic(finest).shape) == (2, 1)


def test_paper_size() -> None:
    with torch.device("meta"):
        generator = LayoutGenerator(LayoutGANConfig(classes=35), (128, 256), palette=True)
    assert sum(p.numel() for p in generator.parameters()) == pytest.approx(28.5e6, rel=0.005)
    assert generator.seed == (4, 8)


def planted(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Palettes of three kinds of scene, and which kind each is; the third class is missing in the first kind."""
    rng = np.random.default_rng(0)
    kinds = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    alphas = np.array([[60, 30, 0, 10], [20, 20, 40, 20], [5, 80, 5, 10]]) * 4.0
    shares = np.zeros((n, 4))
    for kind, alpha in enumerate(alphas):
        present = alpha > 0
        rows = np.flatnonzero(kinds == kind)
        shares[np.ix_(rows, np.flatnonzero(present))] = rng.dirichlet(alpha[present], len(rows))
    return shares, kinds


def test_the_mixture_recovers_planted_class_shares() -> None:
    shares, kinds = planted(1500)
    prior = PalettePrior(4, 6)
    prior.fit(shares)
    used = prior.weights > 0
    assert int(used.sum()) == 3  # by AIC, of 6 allowed
    order = prior.weights.argsort(descending=True)[:3]
    for component, kind in zip(order, range(3), strict=True):
        rows = shares[kinds == kind]
        assert prior.weights[component].item() == pytest.approx((kinds == kind).mean(), abs=0.01)
        np.testing.assert_allclose(prior.means[component], rows.mean(0), atol=0.003)
        covariance = prior.factors[component] @ prior.factors[component].T
        np.testing.assert_allclose(covariance, np.cov(rows.T, ddof=0) + 1e-6 * np.eye(4), atol=1e-4)
    generator = torch.Generator().manual_seed(0)
    drawn = prior.sample(torch.rand(20000, generator=generator), torch.randn(20000, 4, generator=generator)).numpy()
    np.testing.assert_allclose(drawn.mean(0), shares.mean(0), atol=0.005)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(shares.T), atol=0.002)
    again = PalettePrior(4, 6)
    again.fit(shares)
    assert all(torch.equal(a, b) for a, b in zip(prior.buffers(), again.buffers(), strict=True))


def test_palettes_are_palettes_and_follow_their_numbers() -> None:
    prior = PalettePrior(3, 4)
    prior.weights[:2] = torch.tensor([0.25, 0.75])
    prior.means[:2] = torch.tensor([[0.5, 0.5, 0.0], [0.1, 0.2, 0.7]])
    prior.factors[:2] = torch.tensor([[0.1, 0, 0], [0, 0.1, 0], [0, 0, 0.0]])
    u = torch.tensor([0.0, 0.2499, 0.25, 1 - 2**-24])
    torch.testing.assert_close(prior.sample(u, torch.zeros(4, 3)), prior.means[[0, 0, 1, 1]])
    wild = prior.sample(torch.zeros(2), torch.tensor([[-9.0, 0, 0], [20.0, 0, 0]]))
    torch.testing.assert_close(wild, torch.tensor([[0.0, 1, 0], [2 / 3, 1 / 3, 0]]))  # clipped to [0,1], of sum 1


def test_a_handful_of_layouts_makes_one_component() -> None:
    shares = np.random.default_rng(0).dirichlet(np.ones(5), 6)
    prior = PalettePrior(5, 30)
    prior.fit(shares)
    assert (prior.weights > 0).sum() == 1
    np.testing.assert_allclose(prior.means[0], shares.mean(0), atol=1e-6)
