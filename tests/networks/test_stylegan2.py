"""StyleGAN2's parts against scipy's convolutions, its sizes and its published numbers of parameters."""

import numpy as np
import pytest
import torch
from scipy.signal import convolve2d, correlate2d
from torch import Tensor, nn

from gcbench.networks.stylegan2 import (
    Conv,
    Discriminator,
    Linear,
    Mapping,
    ModulatedConv,
    Noise,
    StyleGAN2Config,
    Synthesis,
    fir,
    group_deviation,
    mixed,
    upsample,
)

TAPS = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64


def small(size: tuple[int, int] = (16, 32), **more: object) -> StyleGAN2Config:
    return StyleGAN2Config.model_validate(
        {"size": size, "z_dim": 6, "w_dim": 5, "mapping_layers": 2, "channel_base": 96, "channel_max": 12, **more}
    )


def stream(b: int, seed: int = 0) -> Noise:
    generator = torch.Generator().manual_seed(seed)
    return lambda h, w: torch.randn(b, 1, h, w, generator=generator)


def one_image(x: np.ndarray, weight: np.ndarray, up: bool) -> np.ndarray:
    """x [in,h,w] through explicit weights [out,in,k,k] by scipy, channel by channel."""
    out = []
    for row in weight:
        total = 0.0
        for channel, kernel in zip(x, row, strict=True):
            if up:
                spread = np.zeros((2 * channel.shape[0] - 1, 2 * channel.shape[1] - 1))
                spread[::2, ::2] = channel
                k = kernel.shape[0]
                wide = convolve2d(convolve2d(spread, kernel), 4 * TAPS)
                first = 1 + k // 2  # what `same` size would cut of either filter
                total = total + wide[first : first + 2 * len(channel), first : first + 2 * channel.shape[1]]
            else:
                total = total + correlate2d(channel, kernel, mode="same")
        out.append(total)
    return np.stack(out)


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("demodulate", [False, True])
def test_a_modulated_convolution_is_one_of_weights_of_its_own_for_each_image(
    kernel: int, up: bool, demodulate: bool
) -> None:
    torch.manual_seed(0)
    layer = ModulatedConv(3, 4, kernel, 5, demodulate=demodulate, up=up).double()
    x, style = torch.randn(2, 3, 5, 6).double(), torch.randn(2, 5).double()
    got = layer(x, style).detach().numpy()
    for b in range(2):
        s = (style[b] @ layer.affine.weight.T / 5**0.5 + layer.affine.bias).detach().numpy()
        weight = layer.weight.detach().numpy() / (3 * kernel**2) ** 0.5 * s[:, None, None]
        if demodulate:
            weight = weight / np.sqrt((weight**2).sum(axis=(1, 2, 3), keepdims=True))
        np.testing.assert_allclose(got[b], one_image(x[b].numpy(), weight, up), rtol=1e-6, atol=1e-8)


def test_demodulated_outputs_have_unit_variance_whatever_the_style() -> None:
    torch.manual_seed(0)
    layer = ModulatedConv(32, 64, 3, 8)
    x = torch.randn(4, 32, 34, 34)
    style = torch.randn(4, 8) * torch.tensor([0.0, 1.0, 5.0, 30.0])[:, None]
    spread = layer(x, style)[:, :, 1:-1, 1:-1].std(dim=(1, 2, 3))  # without the border, where zeros come in
    torch.testing.assert_close(spread, torch.ones(4), rtol=0.05, atol=0)
    plain = ModulatedConv(32, 64, 3, 8, demodulate=False)
    assert plain(x, style)[3].std() > 5


def test_filters_keep_a_constant() -> None:
    x = torch.full((2, 3, 4, 6), 1.7)
    torch.testing.assert_close(upsample(x), torch.full((2, 3, 8, 12), 1.7))
    spread = torch.zeros(2, 3, 8, 12)
    spread[:, :, ::2, ::2] = x
    risen = fir(spread, 2, gain=4.0)[:, :, :8, :12]
    torch.testing.assert_close(risen[:, :, 2:-2, 2:-2], torch.full((2, 3, 4, 8), 1.7))
    fallen = fir(torch.full((2, 3, 8, 12), 1.7), 1, stride=2)
    torch.testing.assert_close(fallen[:, :, 1:-1, 1:-1], torch.full((2, 3, 2, 4), 1.7))
    assert fallen[0, 0, 0, 2].item() == pytest.approx(1.7 * 7 / 8)  # of the taps 1, 3, 3, 1 one falls outside


def test_upsampling_is_the_filter_over_spread_pixels() -> None:
    x = torch.randn(1, 1, 5, 7, generator=torch.Generator().manual_seed(0))
    spread = np.zeros((14, 18))
    spread[::2, ::2] = np.pad(x[0, 0].numpy(), 1, mode="edge")
    want = convolve2d(spread, 4 * TAPS)[3:13, 3:17]
    np.testing.assert_allclose(upsample(x)[0, 0].numpy(), want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kernel", [1, 3])
def test_a_falling_convolution_is_the_filter_then_every_second_place(kernel: int) -> None:
    torch.manual_seed(0)
    layer = Conv(2, 3, kernel, down=True, bias=False).double()
    x = torch.randn(1, 2, 6, 8).double()
    got = layer(x)[0].detach().numpy()
    assert got.shape == (3, 3, 4)
    weight = layer.weight.detach().numpy() / (2 * kernel**2) ** 0.5
    cut = slice((5 - kernel) // 2, -((5 - kernel) // 2))  # how far zeros around the image are seen
    for j in range(3):
        blurred = [convolve2d(channel, TAPS)[cut, cut] for channel in x[0].numpy()]
        whole = sum(correlate2d(a, w, mode="valid") for a, w in zip(blurred, weight[j], strict=True))
        np.testing.assert_allclose(got[j], whole[::2, ::2], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("size", "sizes"),
    [
        ((64, 128), [(4, 8), (8, 16), (16, 32), (32, 64), (64, 128)]),
        ((32, 64), [(4, 8), (8, 16), (16, 32), (32, 64)]),
        ((48, 80), [(3, 5), (6, 10), (12, 20), (24, 40), (48, 80)]),
        ((36, 20), [(9, 5), (18, 10), (36, 20)]),
        ((4, 4), [(4, 4)]),
    ],
)
@pytest.mark.parametrize("generator", ["skip", "residual"])
def test_images_of_any_shape(size: tuple[int, int], sizes: list[tuple[int, int]], generator: str) -> None:
    cfg = small(size, generator=generator)
    assert cfg.sizes == sizes
    synthesis, discriminator = Synthesis(cfg, 7), Discriminator(cfg, head_dim=9)
    seen: list[tuple[int, tuple[int, ...]]] = []

    def between(number: int, x: Tensor) -> Tensor:
        seen.append((number, tuple(x.shape[-2:])))
        return x

    images = synthesis(torch.randn(3, cfg.layers, 7), stream(3), between)
    assert images.shape == (3, 3, *size)
    assert seen == [(0, sizes[0])] + [(2 * r + side, sizes[r]) for r in range(1, len(sizes)) for side in (-1, 0)]
    logits, features = discriminator(images)
    assert (logits.shape, features.shape) == ((3,), (3, 9))


@pytest.mark.parametrize("generator", ["skip", "residual"])
def test_gradients_reach_every_parameter_and_every_style(generator: str) -> None:
    torch.manual_seed(0)
    cfg = small(generator=generator)
    mapping, synthesis, discriminator = Mapping(6, 5, 2), Synthesis(cfg, 5), Discriminator(cfg)
    styles = mapping(torch.randn(4, 6))[:, None].expand(-1, cfg.layers, -1)
    styles.retain_grad()
    logits, _ = discriminator(synthesis(styles, stream(4)))
    logits.square().sum().backward()
    for part in (mapping, synthesis, discriminator):
        for name, parameter in part.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name
    assert styles.grad is not None
    assert bool((styles.grad.abs().sum(dim=(0, 2)) > 0).all())


def test_an_image_depends_on_its_own_style_and_noise_alone() -> None:
    torch.manual_seed(0)
    cfg = small()
    synthesis = Synthesis(cfg, 5)
    with torch.no_grad():
        for module in synthesis.modules():
            if hasattr(module, "strength"):
                module.strength.fill_(0.5)
    styles = torch.randn(3, cfg.layers, 5)
    images = synthesis(styles, stream(3))
    other = synthesis(torch.cat((styles[:1], torch.randn(2, cfg.layers, 5))), stream(3))
    torch.testing.assert_close(images[0], other[0])
    assert not torch.allclose(images[1], other[1])
    assert not torch.allclose(images[0], synthesis(styles, stream(3, seed=1))[0])


def test_equalised_layers_start_at_unit_variance() -> None:
    torch.manual_seed(0)
    x = torch.randn(512, 400)
    for rate in (1.0, 0.01):
        assert Linear(400, 300, rate=rate)(x).std().item() == pytest.approx(1, rel=0.02)
    assert Linear(400, 300, start=1.0, rate=0.01)(torch.zeros(1, 400)).unique().tolist() == [1.0]
    assert Conv(40, 30, 3)(torch.randn(4, 40, 20, 20))[:, :, 1:-1, 1:-1].std().item() == pytest.approx(1, rel=0.05)
    mapping = Mapping(6, 64, 3)
    z = torch.randn(4, 6)
    torch.testing.assert_close(mapping(z), mapping(7 * z))  # only the direction of z counts


def test_the_slow_layer_learns_by_its_rate() -> None:
    """A step of size one on the stored weight changes what is computed 100 times less."""
    moved = []
    for rate in (1.0, 0.01):
        layer = Linear(4, 1, rate=rate)
        before = layer(torch.ones(1, 4))
        with torch.no_grad():
            layer.weight += 1
            layer.bias += 1
        moved.append((layer(torch.ones(1, 4)) - before).item())
    assert moved[0] == pytest.approx(3, rel=1e-5)  # 4 / √4 + 1
    assert moved[1] == pytest.approx(0.03, rel=1e-3)


def test_the_deviation_of_a_group() -> None:
    x = torch.randn(8, 3, 2, 4, generator=torch.Generator().manual_seed(0))
    got = group_deviation(x, 4).numpy()
    assert got.shape == (8, 1, 2, 4)
    for first in range(2):  # images 0, 2, 4, 6 and 1, 3, 5, 7
        want = x[first::2].numpy().std(axis=0).mean()
        np.testing.assert_allclose(got[first::2], want, rtol=1e-5)
    assert group_deviation(x[:1], 4).abs().max() < 1e-3
    assert group_deviation(x[:6], 4).shape == (6, 1, 2, 4)  # groups of two


def test_mixed_styles_change_at_one_layer() -> None:
    first, second = torch.zeros(400, 6, 2), torch.ones(400, 6, 2)
    styles = mixed(first, second, 0.75, torch.Generator().manual_seed(0))[:, :, 0]
    assert bool((styles.diff(dim=1) >= 0).all())  # 0 … 0 1 … 1
    assert (styles[:, 0] == 0).all()
    counts = styles.sum(1)
    assert (counts > 0).float().mean().item() == pytest.approx(0.75, abs=0.06)
    assert set(counts[counts > 0].tolist()) == {1, 2, 3, 4, 5}
    assert torch.equal(mixed(first, second, 0.0, torch.Generator()), first)


def test_paper_size_has_the_published_number_of_parameters() -> None:
    """Configuration F at 1024²: as the authors' networks print them, 28 794 124 with a mapping of two layers for G."""

    def count(module: nn.Module) -> int:
        return sum(parameter.numel() for parameter in module.parameters())

    cfg = StyleGAN2Config(size=(1024, 1024), z_dim=512, w_dim=512, channel_base=32768, channel_max=512)
    with torch.device("meta"):
        assert count(Synthesis(cfg, 512)) + count(Mapping(512, 512, 2)) == 28_794_124
        assert count(Discriminator(cfg)) == 29_012_513
