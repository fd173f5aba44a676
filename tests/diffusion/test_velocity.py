"""The v head says the same as the eps head, in other numbers."""

import torch

from gcbench.diffusion import gaussian
from gcbench.diffusion.guidance import guide
from gcbench.diffusion.joint import JointProcess, ProcessConfig
from gcbench.diffusion.noise import SeededNoise


def pair(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x0 = torch.rand(2, 3, 4, 4, generator=generator, dtype=torch.float64) * 2 - 1
    eps = torch.randn(2, 3, 4, 4, generator=generator, dtype=torch.float64)
    return x0, eps, torch.tensor(0.3, dtype=torch.float64)


def test_rotation_and_back() -> None:
    """(x_t, v) is (x_0, eps) turned by an angle: norms stay, and x_0 comes back."""
    x0, eps, level = pair()
    x_t, v = gaussian.diffuse(x0, eps, level), gaussian.velocity(x0, eps, level)
    torch.testing.assert_close(x_t**2 + v**2, x0**2 + eps**2)
    torch.testing.assert_close(gaussian.x0_of_velocity(x_t, v, level), x0)


def test_guidance_on_v_is_guidance_on_eps() -> None:
    x0, eps, level = pair()
    x_t = gaussian.diffuse(x0, eps, level)
    heads = [gaussian.velocity(x0, eps, level) + shift for shift in (0.3, -0.2)]
    clean = [gaussian.x0_of_velocity(x_t, head, level) for head in heads]
    noises = [gaussian.predict_eps(x_t, one, level) for one in clean]
    by_v = gaussian.x0_of_velocity(x_t, guide(heads[0], heads[1], 3.0), level)
    by_eps = gaussian.predict_x0(x_t, guide(noises[0], noises[1], 3.0), level)
    torch.testing.assert_close(by_v, by_eps)


def test_a_perfect_v_head_recovers_the_image() -> None:
    process = JointProcess(ProcessConfig(image_head="v", steps=50))
    x0 = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1

    def predict(x: torch.Tensor, y: object, log_snr: torch.Tensor) -> tuple[torch.Tensor, None]:
        level = torch.sigmoid(log_snr.double()).view(-1, 1, 1, 1).float()
        return gaussian.velocity(x0, gaussian.predict_eps(x, x0, level), level), None

    *_, state = process.sample(predict, SeededNoise(range(3)), (8, 8), 50)
    assert float((state.image - x0).abs().max()) < 1e-3


def test_loss_of_a_perfect_head_is_zero() -> None:
    process = JointProcess(ProcessConfig(image_head="v"))
    x0, eps, _ = pair()
    t = torch.tensor([100, 900])
    level = process.image.alpha_bar[t].view(-1, 1, 1, 1)
    right = process.losses(lambda x, y, s: (gaussian.velocity(x0, eps, level), None), x0, None, t, eps, None)
    wrong = process.losses(lambda x, y, s: (eps, None), x0, None, t, eps, None)
    assert float(right.total) < 1e-9 < 0.01 < float(wrong.total)
