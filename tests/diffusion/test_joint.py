"""The joint process: times visited, recovery by an oracle, exact sampling of a known distribution, losses."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from gcbench.diffusion.joint import JointProcess, Losses, Predict, ProcessConfig, State
from gcbench.diffusion.noise import SeededNoise
from gcbench.diffusion.schedules import continuous_alpha_bar

K = 6


def process(**settings: object) -> JointProcess:
    return JointProcess(ProcessConfig.model_validate({"steps": 40, "classes": K, **settings}))


def truth(b: int = 2, size: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x0 = torch.rand(b, 3, size, size, generator=generator) * 1.8 - 0.9
    return x0, torch.randint(K, (b, size, size), generator=generator)


def oracle(x0: Tensor, y0: Tensor) -> Predict:
    """Knows the clean pair: the eps that leads from it to x_t, found from the log-SNR alone, and sure logits."""

    def predict(x: Tensor, y: Tensor | None, log_snr: Tensor) -> tuple[Tensor, Tensor]:
        alpha_bar = torch.sigmoid(log_snr.double()).view(-1, 1, 1, 1)
        noise = torch.sigmoid(-log_snr.double()).view(-1, 1, 1, 1)
        eps = (x - alpha_bar.sqrt() * x0) / noise.sqrt()
        return eps, 60 * torch.nn.functional.one_hot(y0, K).permute(0, 3, 1, 2).double()

    return predict


def run(p: JointProcess, predict: Predict, seeds: list[int], size: int = 4, steps: int = 40) -> list[State]:
    return list(p.sample(predict, SeededNoise(seeds), (size, size), steps))


def zeros(x: Tensor, y: Tensor | None, log_snr: Tensor) -> tuple[Tensor, Tensor]:
    return torch.zeros_like(x), torch.zeros(len(x), K, *x.shape[2:])


# ------------------------------------------------------------------------------------------------ times


@pytest.mark.parametrize("steps", [1, 3, 7, 39, 40])
def test_every_time_occurs_once(steps: int) -> None:
    """The network is told strictly falling noise levels from T, each once; with all steps, every one of 1..T."""
    p = process()
    told: list[float] = []

    def predict(x: Tensor, y: Tensor | None, log_snr: Tensor) -> tuple[Tensor, Tensor]:
        assert (log_snr == log_snr[0]).all()
        told.append(float(log_snr[0]))
        return zeros(x, y, log_snr)

    states = run(p, predict, [0, 1], steps=steps)
    known = {float(p.image.log_snr(torch.tensor(t))): t for t in range(1, 41)}
    times = [known[value] for value in told]
    assert times[0] == 40
    assert len(times) == len(states) == steps
    assert all(a > b for a, b in pairwise(times))
    assert [round(40 * state.u) for state in states] == [*times[1:], 0]
    if steps == 40:
        assert times == list(range(40, 0, -1))


def test_label_levels_follow_the_same_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """The label's posterior is asked for the levels of the very times that the network was told, each once."""
    from gcbench.diffusion import categorical

    p = process(last_label="draw")
    pairs: list[tuple[float, float]] = []
    true_draw = categorical.draw_posterior

    def spy(y: Tensor, logits: Tensor, level_t: Tensor, level_s: Tensor, u: Tensor) -> Tensor:
        pairs.append((float(level_t), float(level_s)))
        return true_draw(y, logits, level_t, level_s, u)

    monkeypatch.setattr(categorical, "draw_posterior", spy)
    run(p, zeros, [0])
    level = [float(v) for v in p.label.alpha_bar]
    assert pairs == [(level[t], level[t - 1]) for t in range(40, 0, -1)]


# ------------------------------------------------------------------------------------------------ sampling


@pytest.mark.parametrize("sampler", ["ancestral", "ddim"])
@pytest.mark.parametrize("posterior", ["soft", "mixture"])
@pytest.mark.parametrize("last", ["argmax", "draw"])
@pytest.mark.parametrize("steps", [3, 40])
def test_an_oracle_recovers_the_pair(sampler: str, posterior: str, last: str, steps: int) -> None:
    x0, y0 = truth()
    p = process(image_sampler=sampler, posterior=posterior, last_label=last)
    end = run(p, oracle(x0, y0), [5, 6], steps=steps)[-1]
    assert end.layout is not None
    torch.testing.assert_close(end.image.float(), x0, atol=1e-4, rtol=0)
    assert torch.equal(end.layout, y0)


def toward(x: Tensor, y: Tensor | None, log_snr: Tensor) -> tuple[Tensor, Tensor]:
    """A predictor that depends on everything that it is given, pixel by pixel."""
    assert y is not None
    field = torch.stack([x.mean(1) * (k + 1) + y * 0.3 - k * log_snr.view(-1, 1, 1) * 0.05 for k in range(K)], dim=1)
    return torch.tanh(x + 0.1 * y.unsqueeze(1)), field


@pytest.mark.parametrize("settings", [{}, {"posterior": "mixture", "last_label": "draw", "image_sampler": "ddim"}])
def test_a_sample_depends_on_its_own_seed_only(settings: dict[str, str]) -> None:
    p = process(**settings)
    seeds = [11, 4, 7]
    together = run(p, toward, seeds, steps=9)
    turned = run(p, toward, seeds[::-1], steps=9)
    for i, seed in enumerate(seeds):
        alone = run(p, toward, [seed], steps=9)
        for a, b, c in zip(together, alone, turned, strict=True):
            assert a.layout is not None
            assert b.layout is not None
            assert c.layout is not None
            assert torch.equal(a.layout[i], b.layout[0])
            assert torch.equal(a.layout[i], c.layout[2 - i])
            torch.testing.assert_close(a.image[i], b.image[0], atol=1e-6, rtol=0)


def exact_label_posterior(prior: Tensor, p: JointProcess) -> Predict:
    """For pixels that are independent draws of `prior`: the true p(y_0 | y_t) by Bayes over the forward process."""
    levels = {float(p.image.log_snr(torch.tensor(t))): float(p.label.alpha_bar[t]) for t in range(1, p.cfg.steps + 1)}

    def predict(x: Tensor, y: Tensor | None, log_snr: Tensor) -> tuple[Tensor, Tensor]:
        keep = levels[float(log_snr[0])]
        forward = keep * torch.eye(len(prior)) + (1 - keep) / len(prior)  # [y_0,y_t]
        table = (prior[:, None] * forward).log()
        return torch.zeros_like(x), table[:, y].permute(1, 0, 2, 3)

    return predict


def label_prior(prior: Tensor) -> Predict:
    """For the same pixels: what is known of y_0 without the pixel's own y_t, that is the prior."""
    return lambda x, y, log_snr: (
        torch.zeros_like(x),
        prior.log().view(1, -1, 1, 1).expand(len(x), -1, *x.shape[2:]),
    )


def agrees(p: JointProcess, predict: Predict, prior: tuple[float, ...], steps: int) -> bool:
    end = run(p, predict, [1, 2], size=100, steps=steps)[-1]
    assert end.layout is not None
    counts = np.bincount(end.layout.flatten().numpy(), minlength=len(prior))
    expected = np.array(prior)
    assert counts[expected == 0].sum() == 0
    possible = expected > 0
    return stats.chisquare(counts[possible], expected[possible] * counts.sum()).pvalue > 1e-3


@pytest.mark.parametrize("prior", [(0.8, 0.2), (0.05, 0.6, 0.0, 0.35)])
@pytest.mark.parametrize("steps", [40, 10, 2])
def test_sampling_gives_the_distribution_that_was_learnt(prior: tuple[float, ...], steps: int) -> None:
    """Each reverse process walks back through the true marginals if its head is at its optimum, skipped steps too.

    The optimum of D3PM's mixture is p(y_0 | y_t). That of the soft plug is p(y_0 | all but the pixel's own y_t): its
    first factor brings that evidence in, and a head that had brought it already would count it twice.
    """
    table = torch.tensor(prior)
    mixture = process(classes=len(prior), posterior="mixture", last_label="draw")
    assert agrees(mixture, exact_label_posterior(table, mixture), prior, steps)
    soft = process(classes=len(prior), posterior="soft", last_label="draw")
    assert agrees(soft, label_prior(table), prior, steps)
    assert not agrees(soft, exact_label_posterior(table, soft), prior, steps)


def test_the_soft_plugs_optimum_minimises_the_label_loss() -> None:
    """The same for the loss: averaged over y_t, predicting the prior costs less than predicting p(y_0 | y_t)."""
    prior = torch.tensor([0.8, 0.2])
    p = process(classes=2, image_weight=0.0)
    y0 = (torch.rand(4, 100, 100, generator=torch.Generator().manual_seed(0)) > 0.8).long()
    x0, eps = torch.zeros(4, 3, 100, 100), torch.zeros(4, 3, 100, 100)
    u = torch.rand(4, 100, 100, generator=torch.Generator().manual_seed(1))
    t = torch.full((4,), 20)
    best, other = (p.losses(f, x0, y0, t, eps, u).total for f in (label_prior(prior), exact_label_posterior(prior, p)))
    assert best < other


def test_the_argmax_of_the_last_step_is_the_likeliest_class() -> None:
    """Argmax draws no number: the layout of the last step is the largest prediction, whatever the seed."""
    p = process()

    def sure(x: Tensor, y: Tensor | None, log_snr: Tensor) -> tuple[Tensor, Tensor]:
        logits = torch.zeros(len(x), K, *x.shape[2:])
        logits[:, 4] = 0.5
        return torch.zeros_like(x), logits

    end = run(p, sure, [0, 1], size=16, steps=1)[-1]
    assert end.layout is not None
    assert (end.layout == 4).all()
    drawn = run(process(last_label="draw"), sure, [0, 1], size=16, steps=1)[-1]
    assert drawn.layout is not None
    assert len(drawn.layout.unique()) == K


def test_images_alone() -> None:
    x0, _ = truth()

    def predict(x: Tensor, y: Tensor | None, log_snr: Tensor) -> tuple[Tensor, None]:
        assert y is None
        return oracle(x0, torch.zeros(2, 4, 4, dtype=torch.long))(x, None, log_snr)[0], None

    end = run(process(classes=None), predict, [0, 1])[-1]
    assert end.layout is None
    torch.testing.assert_close(end.image.float(), x0, atol=1e-4, rtol=0)


def test_ancestral_steps_keep_the_marginals_of_gaussian_data() -> None:
    """Data N(m, v): with the exact eps (linear in x) and no clipping, many steps give back m and v."""
    m, v = 0.2, 0.04
    p = process(steps=400, classes=None, threshold=1.0)
    levels = {float(p.image.log_snr(torch.tensor(t))): float(p.image.alpha_bar[t]) for t in range(1, 401)}

    def predict(x: Tensor, y: Tensor | None, log_snr: Tensor) -> tuple[Tensor, None]:
        a = levels[float(log_snr[0])]
        x0 = m + a**0.5 * v / (a * v + 1 - a) * (x - a**0.5 * m)
        return (x - a**0.5 * x0) / (1 - a) ** 0.5, None

    end = run(p, predict, [0, 1, 2, 3], size=40, steps=400)[-1].image
    assert float(end.mean()) == pytest.approx(m, abs=0.01)
    assert float(end.std()) == pytest.approx(v**0.5, rel=0.05)


# ------------------------------------------------------------------------------------------------ losses


def losses_at(p: JointProcess, predict: Predict, t: int, *, b: int = 4, size: int = 48) -> Losses:
    generator = torch.Generator().manual_seed(t)
    classes = p.cfg.classes or 1
    x0 = torch.rand(b, 3, size, size, generator=generator) * 2 - 1
    y0 = torch.randint(classes, (b, size, size), generator=generator)
    eps = torch.randn(x0.shape, generator=generator)
    return p.losses(predict, x0, y0, torch.full((b,), t), eps, torch.rand(b, size, size, generator=generator))


def silent(classes: int) -> Predict:
    """Zero heads, as at the start of training."""
    return lambda x, y, log_snr: (torch.zeros_like(x), torch.zeros(len(x), classes, *x.shape[2:]))


def test_losses_of_zero_heads_are_the_known_ones() -> None:
    """At t = .37, 20 classes, the public code's scaling: image .556 (= sigma), label .209."""
    settings = {"steps": 1000, "classes": 20, "label_scale": "authors"}
    sigma = (1 - continuous_alpha_bar("cosine", 0.37)) ** 0.5
    assert sigma == pytest.approx(0.5556, abs=1e-4)
    image = losses_at(process(**settings, label_weight=0.0), silent(20), 370).total
    label = losses_at(process(**settings, image_weight=0.0), silent(20), 370).total
    assert float(image) == pytest.approx(sigma, rel=0.02)
    assert float(label) == pytest.approx(0.209, rel=0.02)


def test_scale_weight_and_lambdas() -> None:
    sigma = (1 - continuous_alpha_bar("cosine", 0.5)) ** 0.5
    plain = losses_at(process(loss_weight="none"), silent(K), 20)
    assert plain.label is not None
    assert float(plain.total) == pytest.approx(float(plain.image + plain.label), rel=1e-5)
    weighed = losses_at(process(image_weight=2.0, label_weight=0.5), silent(K), 20)
    assert weighed.label is not None
    assert float(weighed.image) == float(plain.image)
    assert float(weighed.label) == float(plain.label)
    assert float(weighed.total) == pytest.approx(sigma * float(2 * plain.image + 0.5 * plain.label), rel=1e-5)
    authors = losses_at(process(loss_weight="none", label_scale="authors", image_weight=0.0), silent(K), 20)
    assert float(authors.total) == pytest.approx(float(plain.label) / (np.log(2) * K), rel=1e-5)


def test_an_oracle_has_no_loss() -> None:
    p = process()
    x0, y0 = truth(4)
    generator = torch.Generator().manual_seed(1)
    eps, u = torch.randn(4, 3, 4, 4, generator=generator), torch.rand(4, 4, 4, generator=generator)
    found = p.losses(oracle(x0, y0), x0, y0, torch.tensor([1, 2, 20, 40]), eps, u)
    assert found.label is not None
    assert float(found.image) < 1e-6
    assert float(found.label) < 1e-5
    assert float(found.total) < 1e-5


def test_each_sample_has_its_own_time() -> None:
    """A batch of mixed times = the mean of its samples' losses one by one."""
    p = process()
    x0, y0 = truth(3)
    generator = torch.Generator().manual_seed(1)
    eps, u = torch.randn(3, 3, 4, 4, generator=generator), torch.rand(3, 4, 4, generator=generator)
    t = torch.tensor([1, 17, 40])
    whole = p.losses(toward, x0, y0, t, eps, u).total
    parts = [p.losses(toward, *(v[i : i + 1] for v in (x0, y0, t, eps, u))).total for i in range(3)]
    torch.testing.assert_close(whole, torch.stack(parts).mean())


def test_image_loss_without_layouts() -> None:
    p = process(classes=None)
    found = p.losses(
        lambda x, y, log_snr: (torch.zeros_like(x), None),
        torch.zeros(2, 3, 4, 4),
        None,
        torch.tensor([20, 20]),
        torch.full((2, 3, 4, 4), 2.0),
        None,
    )
    assert found.label is None
    assert float(found.image) == 4
    assert float(found.total) == pytest.approx(4 * float((1 - p.image.alpha_bar[20]).sqrt()))


def terms(p: JointProcess, predict: Predict, x0: Tensor, y0: Tensor, t: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(t)
    eps = torch.randn(x0.shape, generator=generator, dtype=x0.dtype)
    return p.vlb(predict, x0, y0, t, eps, torch.rand(y0.shape, generator=generator))


def test_variational_bound_vanishes_for_an_oracle() -> None:
    p = process()
    x0, y0 = truth()
    x0 = x0.double()
    for t in (1, 2, 20, 39):
        image, label = terms(p, oracle(x0, y0), x0, y0, t)
        assert image.shape == label.shape == (2,)
        assert image.max() < 1e-6
        assert label.max() < 1e-5


def partly(x0: Tensor, y0: Tensor, share: float) -> Predict:
    """Between zero heads (share 0) and the oracle (share 1)."""
    true = oracle(x0, y0)

    def predict(x: Tensor, y: Tensor | None, log_snr: Tensor) -> tuple[Tensor, Tensor]:
        eps, logits = true(x, y, log_snr)
        assert logits is not None
        return share * eps, share * logits / 6

    return predict


@pytest.mark.parametrize("t", [1, 2, 20, 39])
def test_variational_bound_falls_toward_the_oracle(t: int) -> None:
    p = process()
    x0, y0 = truth()
    values = [terms(p, partly(x0, y0, share), x0, y0, t) for share in (0.0, 0.4, 0.8, 1.0)]
    for worse, better in pairwise(values):
        assert (better[0] < worse[0]).all()
        assert (better[1] < worse[1]).all()


def test_image_term_of_the_bound_is_the_scaled_eps_error() -> None:
    """Ho et al. 2020, Eq. 12: ½ beta² / (variance a (1-alpha_bar)) |eps - eps_hat|², here with DDPM's own names."""
    p = process()
    x0, y0 = truth()
    x0, t = x0.double(), 20
    now, before = float(p.image.alpha_bar[t]), float(p.image.alpha_bar[t - 1])
    alpha = now / before
    beta = 1 - alpha
    variance = (1 - before) / (1 - now) * beta
    generator = torch.Generator().manual_seed(t)
    eps = torch.randn(x0.shape, generator=generator, dtype=x0.dtype)
    expected = 0.5 * beta**2 / (variance * alpha * (1 - now)) * (eps**2).flatten(1).sum(1)
    found, _ = terms(p, lambda x, y, log_snr: zeros(x, y, log_snr), x0, y0, t)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)


def test_priors_are_small() -> None:
    p = process(steps=1000)
    image, label = p.prior(truth()[0])
    assert image.shape == label.shape == (2,)
    assert (image >= 0).all()
    assert float(image.max()) < 1e-3
    assert float(label.max()) < 1e-3
