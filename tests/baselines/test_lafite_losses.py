"""Lafite's own formulas against closed forms, loops and numbers by hand; the released code's deviations, shown."""

import math

import pytest
import torch
import torch.nn.functional as F

from gcbench.baselines.lafite.config import PseudoConfig
from gcbench.baselines.lafite.contrastive import contrastive, cosines, matching, paired_logits
from gcbench.baselines.lafite.pseudo import Pseudo, fixed, legacy_mix


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# ------------------------------------------------------------------------------------------------ pseudo features


@pytest.mark.parametrize("xi", [0.1, 0.75, 3.0])
def test_fixed_pseudo_features_have_the_stated_cosine(xi: float) -> None:
    f, eps = F.normalize(drawn(4000, 512)), drawn(4000, 512, seed=1)
    h = fixed(f, eps, xi)
    assert torch.allclose(h.norm(dim=1), torch.ones(4000), atol=1e-5)
    assert (h * f).sum(1).mean().item() == pytest.approx(1 / math.sqrt(1 + xi**2), abs=2e-3)


def test_the_stated_cosines_at_three_quarters() -> None:
    f, eps = F.normalize(drawn(4000, 512)), drawn(4000, 512, seed=1)
    assert (fixed(f, eps, 0.75) * f).sum(1).mean().item() == pytest.approx(0.80, abs=2e-3)
    assert (legacy_mix(f, eps, 0.75) * f).sum(1).mean().item() == pytest.approx(0.316, abs=2e-3)


def test_the_mixed_form_is_the_fixed_form_of_stronger_noise() -> None:
    """(1 - ξ) f + ξ n has the direction of f + ξ/(1 - ξ) n: 0.75 means 3."""
    f, eps = F.normalize(drawn(6, 512)), drawn(6, 512, seed=1)
    assert torch.allclose(legacy_mix(f, eps, 0.75), fixed(f, eps, 3.0), atol=1e-6)
    assert not torch.allclose(legacy_mix(f, eps, 0.75), fixed(f, eps, 0.75), atol=0.01)


def test_the_fixed_form_by_hand() -> None:
    """f = (1, 0) and noise along the second axis, of any length: h is at the angle whose tangent is ξ."""
    for length in (0.2, 5.0):
        h = fixed(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, length]]), 0.75)
        assert torch.allclose(h, torch.tensor([[0.8, 0.6]]))
    h = legacy_mix(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 5.0]]), 0.75)
    assert torch.allclose(h, torch.tensor([[0.25, 0.75]]) / math.hypot(0.25, 0.75))


def test_learned_pseudo_features_begin_as_fixed_ones_and_learn_to_find_their_texts() -> None:
    """Texts are the images' features turned by one rotation, which noise alone cannot know."""
    torch.manual_seed(0)
    dim = 16
    learned = Pseudo(PseudoConfig(kind="learned", xi=0.75, hidden=32), dim)
    f = F.normalize(drawn(4000, dim))
    with torch.no_grad():
        begun = learned(f, drawn(4000, dim, seed=1))
    plain = fixed(f, drawn(4000, dim, seed=1), 0.75)
    assert (begun * f).sum(1).mean().item() == pytest.approx((plain * f).sum(1).mean().item(), abs=0.01)

    rotation = torch.linalg.qr(drawn(dim, dim, seed=2)).Q
    optimiser = torch.optim.Adam(learned.parameters(), lr=3e-3)
    for step in range(150):
        images = F.normalize(drawn(64, dim, seed=10 + step))
        loss = contrastive(learned(images, drawn(64, dim, seed=1000 + step)), images @ rotation, tau=0.5)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        h = learned(f, drawn(4000, dim, seed=3))
    assert torch.allclose(h.norm(dim=1), torch.ones(4000), atol=1e-5)
    assert (h * (f @ rotation)).sum(1).mean() > 0.6
    assert (begun * (f @ rotation)).sum(1).mean() < 0.2


# ---------------------------------------------------------------------------------------------- contrastive losses


def naive(images: torch.Tensor, texts: torch.Tensor, tau: float, lam: float, *, exponent: bool) -> float:
    """One pair at a time, in Python's own numbers."""
    p, t = images.tolist(), texts.tolist()
    n = len(p)

    def similarity(i: int, j: int) -> float:
        inner = sum(a * b for a, b in zip(p[i], t[j], strict=True))
        scaled = inner / math.hypot(*p[i]) / math.hypot(*t[j]) / tau
        return math.exp(scaled) if exponent else scaled

    texts_find = images_find = 0.0
    for k in range(n):
        texts_find -= math.log(math.exp(similarity(k, k)) / sum(math.exp(similarity(i, k)) for i in range(n))) / n
        images_find -= math.log(math.exp(similarity(k, k)) / sum(math.exp(similarity(k, j)) for j in range(n))) / n
    return tau * (lam * images_find + (1 - lam) * texts_find)


@pytest.mark.parametrize("lam", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("legacy_exp", [False, True])
def test_contrastive_loss_against_a_loop(lam: float, legacy_exp: bool) -> None:
    images, texts = 3 * drawn(5, 7).double(), drawn(5, 7, seed=1).double()
    loss = contrastive(images, texts, tau=0.5, lam=lam, legacy_exp=legacy_exp)
    assert loss.item() == pytest.approx(naive(images, texts, 0.5, lam, exponent=legacy_exp), rel=1e-9)


def test_contrastive_loss_by_hand() -> None:
    """Orthogonal pairs: own cosine 1, the others 0. With exp, e² and 1 stand in the softmax for 2 and 0."""
    pairs = 4 * torch.eye(3)
    own, other = math.exp(2), 1.0
    assert contrastive(pairs, pairs, tau=0.5).item() == pytest.approx(0.5 * math.log((own + 2 * other) / own), rel=1e-5)
    own, other = math.exp(math.exp(2)), math.exp(1)
    released = contrastive(pairs, pairs, tau=0.5, legacy_exp=True).item()
    assert released == pytest.approx(0.5 * math.log1p(2 * other / own), rel=1e-3)
    assert released < 0.05 * contrastive(pairs, pairs, tau=0.5).item()  # satisfied long before the correct one


def test_directions_differ() -> None:
    """Two images alike, two texts apart: the images tell the texts apart no better than the texts the images."""
    images, texts = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    texts_find = contrastive(images, texts, tau=1.0, lam=0.0).item()
    images_find = contrastive(images, texts, tau=1.0, lam=1.0).item()
    assert texts_find == pytest.approx(math.log(2))  # either image is as likely for each text
    assert images_find == pytest.approx(0.5 * (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(1))))


def test_symmetric_matching_is_the_mean_of_two_cross_entropies() -> None:
    cos = cosines(drawn(6, 8), drawn(6, 8, seed=1))
    own = torch.arange(6)
    expected = (F.cross_entropy(5 * cos, own) + F.cross_entropy(5 * cos.T, own)) / 2
    assert torch.allclose(matching(5 * cos, 0.5), expected)


# ----------------------------------------------------------------------------------------- the discriminator's view


def test_each_image_is_evaluated_with_its_own_text() -> None:
    logits = torch.tensor([0.5, -1.0])
    features, texts = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[1.0, 0.0], [0.0, 0.5]])
    assert paired_logits(logits, features, texts).tolist() == [1.5, 1.0]
    assert paired_logits(logits, features, texts, legacy_batch_sum=True).tolist() == [3.5, 2.0]  # 1 + 2 on both


def test_the_batch_sum_lets_a_stranger_change_an_image_s_logit() -> None:
    logits, features, texts = drawn(4), drawn(4, 8, seed=1), drawn(4, 8, seed=2)
    other = texts.clone()
    other[3] = -other[3]
    assert torch.equal(paired_logits(logits, features, texts)[:3], paired_logits(logits, features, other)[:3])
    summed, moved = (paired_logits(logits, features, t, legacy_batch_sum=True) for t in (texts, other))
    assert torch.allclose(summed - moved, 2 * (features[3] * texts[3]).sum().expand(4), atol=1e-5)
