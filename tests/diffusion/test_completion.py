"""Completion: what is known stays, what is noised again is distributed as the process says, oracles are followed."""

import numpy as np
import pytest
import torch
from torch import Tensor

from gcbench.diffusion import gaussian
from gcbench.diffusion.completion import Known, _noised_again, complete
from gcbench.diffusion.joint import JointProcess, ProcessConfig
from gcbench.diffusion.noise import SeededNoise

K, SIZE = 5, (8, 8)


def process(**settings: object) -> JointProcess:
    return JointProcess(ProcessConfig.model_validate({"classes": K, "steps": 100, **settings}))


def test_noising_again_gives_the_distribution_of_the_forward_process() -> None:
    """x_s ~ q(x_s | x_0) noised again is q(x_t | x_0), mean and variance; and the layout keeps y_0 as often as at t."""
    p, seeds = process(), range(400)
    step, following = p.steps(10)[3:5]
    noise = SeededNoise(seeds)
    x0 = torch.full((len(seeds), 3, *SIZE), 0.5)
    y0 = torch.full((len(seeds), *SIZE), 2)
    x_s = gaussian.diffuse(x0, noise.normal(3, *SIZE), following.image_t.float())
    kept = float(following.label_t)
    y_s = torch.where(noise.uniform(*SIZE) < kept, y0, (noise.uniform(*SIZE) * K).long())
    x, y = _noised_again(x_s, y_s, step, following, p, noise, "exact")
    n, level = x.numel(), float(step.image_t)
    assert float(x.mean()) == pytest.approx(0.5 * level**0.5, abs=4 * ((1 - level) / n) ** 0.5)
    assert float(x.var()) == pytest.approx(1 - level, rel=4 * (2 / n) ** 0.5)
    share = float(step.label_t) + (1 - float(step.label_t)) / K
    assert y is not None
    assert float((y == 2).double().mean()) == pytest.approx(share, abs=4 * (share * (1 - share) / y.numel()) ** 0.5)
    less, _ = _noised_again(x_s, y_s, step, following, p, noise, "authors")
    assert float(less.var()) < (1 - level) * 0.99  # theirs loses noise


@pytest.mark.parametrize("repeats", [1, 3])
def test_what_is_known_stays_and_the_rest_follows_an_oracle(repeats: int) -> None:
    """The oracle knows the true pair: an image is found for a given layout, a layout for a given image."""
    p = process()
    generator = torch.Generator().manual_seed(0)
    x0 = torch.rand(2, 3, *SIZE, generator=generator) * 2 - 1
    y0 = torch.randint(0, K, (2, *SIZE), generator=generator)

    def oracle(x: Tensor, y: Tensor | None, log_snr: Tensor) -> tuple[Tensor, Tensor]:
        level = log_snr.double().sigmoid().view(-1, 1, 1, 1)
        eps = (x - level.sqrt() * x0) / (1 - level).sqrt()
        return eps.float(), 30.0 * torch.nn.functional.one_hot(y0, K).movedim(-1, 1)

    left = torch.zeros(2, *SIZE, dtype=torch.bool)
    left[:, :, :4] = True
    for known in (Known(layout=y0), Known(image=x0), Known(x0, y0, left, left)):
        states = list(complete(p, oracle, SeededNoise([0, 1]), known, SIZE, 20, repeats=repeats))
        assert len(states) == 19 * repeats + 1
        end = states[-1]
        np.testing.assert_allclose(end.image, x0, atol=2e-2)
        assert torch.equal(end.layout, y0)  # type: ignore[arg-type]


def test_the_known_layout_is_kept_exactly_whatever_the_network_says() -> None:
    def nothing(x: Tensor, y: Tensor | None, log_snr: Tensor) -> tuple[Tensor, Tensor]:
        return torch.zeros_like(x), torch.zeros(len(x), K, *SIZE)

    y0 = torch.randint(0, K, (1, *SIZE), generator=torch.Generator().manual_seed(1))
    *_, end = complete(process(), nothing, SeededNoise([0]), Known(layout=y0), SIZE, 5, repeats=2)
    assert torch.equal(end.layout, y0)  # type: ignore[arg-type]
    alone = list(complete(process(), nothing, SeededNoise([7]), Known(layout=y0), SIZE, 5))[-1].image
    pair = Known(layout=y0.expand(2, -1, -1))
    beside = list(complete(process(), nothing, SeededNoise([3, 7]), pair, SIZE, 5))[-1].image
    assert torch.equal(alone[0], beside[1])  # a sample depends on its own seed
