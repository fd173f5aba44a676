"""SPADE, its evaluators and spectral normalisation, against batch norm, singular values and sums by hand."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm
from torchvision.models.feature_extraction import create_feature_extractor
from torchvision.models.vgg import cfgs, make_layers

from gcbench.core.errors import UserError
from gcbench.networks.patch_discriminator import (
    PatchConfig,
    PatchDiscriminator,
    PatchOutput,
    critic_loss,
    feature_matching,
    generator_loss,
)
from gcbench.networks.perceptual import perceptual_loss
from gcbench.networks.spade import SPADE, SPADEConfig, SPADEGenerator
from gcbench.networks.spectral import spectral
from gcbench.networks.subpixels import start_alike

SMALL = SPADEConfig(classes=5, width=4, multiples=(4, 2, 1), hidden=6, patch=2)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("k", [0, 3])
def test_a_constant_map_is_batch_norm_with_that_scale_and_shift(k: int, training: bool) -> None:
    torch.manual_seed(0)
    spade = SPADE(7, 5, 6).train(training)
    spade.norm.running_mean.normal_()
    spade.norm.running_var.uniform_(0.5, 2)
    mean, variance = spade.norm.running_mean.clone(), spade.norm.running_var.clone()
    x = torch.randn(3, 7, 10, 12) * 3 + 1
    layout = F.one_hot(torch.full((3, 10, 12), k), 5).movedim(-1, 1).float()
    # away from the border both convolutions see the same everywhere, so that their taps add up
    hidden = (spade.shared.weight.sum((2, 3))[:, k] + spade.shared.bias).relu()
    scale, shift = (spade.modulation.weight.sum((2, 3)) @ hidden + spade.modulation.bias).chunk(2)
    want = F.batch_norm(x, mean, variance, 1 + scale, shift, training=training)
    inner = (slice(None), slice(None), slice(2, -2), slice(2, -2))
    torch.testing.assert_close(spade(x, layout)[inner], want[inner], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(spade.norm.running_mean, mean)
    torch.testing.assert_close(spade.norm.running_var, variance)


def test_the_layout_decides_where() -> None:
    torch.manual_seed(0)
    spade = SPADE(7, 5, 6).eval()
    x = torch.randn(1, 7, 8, 20)
    left, right = torch.zeros(2, 1, 8, 20, dtype=torch.long)
    right[..., 10:] = 2
    maps = [F.one_hot(layout, 5).movedim(-1, 1).float() for layout in (left, right)]
    changed = (spade(x, maps[0]) != spade(x, maps[1])).any(1)[0].any(0)  # [W]
    assert not changed[:8].any()  # two 3×3 convolutions see two pixels far
    assert changed[10:].all()


def test_the_generator_draws_every_pixel_from_layouts_of_any_shape() -> None:
    generator = SPADEGenerator(SMALL).eval()
    layout = torch.rand(2, 5, 12, 20).softmax(1).requires_grad_()
    image = generator(layout)
    assert image.shape == (2, 3, 12, 20)
    assert image.abs().max() <= 1
    image.square().sum().backward()
    assert layout.grad is not None
    assert (layout.grad != 0).any(1).all()  # a soft layout learns at every pixel
    assert SMALL.stride == 4


def test_an_image_in_evaluation_is_its_layouts_alone() -> None:
    torch.manual_seed(0)
    generator = SPADEGenerator(SMALL)
    layouts = torch.rand(4, 5, 12, 20).softmax(1)
    for _ in range(3):
        generator(layouts)
    generator.eval()
    torch.testing.assert_close(generator(layouts)[1:2], generator(layouts[1:2]))
    before = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    generator(layouts)
    assert all(torch.equal(before[name], tensor) for name, tensor in generator.state_dict().items())


def test_paper_size() -> None:
    with torch.device("meta"):
        generator = SPADEGenerator(SPADEConfig())
    count = sum(p.numel() for p in generator.parameters())
    assert count == pytest.approx(92.6e6, rel=0.005)
    with torch.device("meta"):
        assert generator(torch.zeros(1, 20, 128, 256)).shape == (1, 3, 128, 256)


def test_spectral_norm_is_the_largest_singular_value() -> None:
    torch.manual_seed(0)
    conv = spectral(nn.Conv2d(5, 8, 3))
    original = conv.parametrizations.weight.original
    with torch.no_grad():  # a singular value well above the others, which the iteration finds soon
        original += 0.2 * torch.randn(8, 1, 1, 1) * torch.randn(5, 3, 3)
    for _ in range(30):
        conv.weight  # noqa: B018 (each look is one power iteration)
    want = original / torch.linalg.svdvals(original.flatten(1))[0]
    torch.testing.assert_close(conv.weight, want)
    directions = torch.randn(8, 5, 3, 3)
    found, exact = (torch.autograd.grad((w * directions).sum(), original)[0] for w in (conv.weight, want))
    torch.testing.assert_close(found, exact, rtol=1e-4, atol=1e-5)


def test_spectral_norm_outlives_averaged_vectors() -> None:
    """The average of u over a training is shorter than 1: torch's own would then divide by too little."""
    torch.manual_seed(0)
    ours, theirs = spectral(nn.Conv2d(5, 8, 3)), spectral_norm(nn.Conv2d(5, 8, 3), n_power_iterations=30)
    for conv in (ours, theirs):
        for _ in range(60):
            conv.weight  # noqa: B018
        conv.eval()
    ours.parametrizations.weight[0].u.mul_(0.6)
    theirs.parametrizations.weight[0]._u.mul_(0.6)
    largest = [torch.linalg.svdvals(conv.weight.flatten(1))[0].item() for conv in (ours, theirs)]
    assert largest == pytest.approx([1, 1 / 0.6], rel=1e-3)


def test_evaluators_by_hand() -> None:
    def evaluation(values: float, logit: float) -> PatchOutput:
        return PatchOutput(
            [torch.full((2, 3, 4, 4), values), torch.full((2, 1, 2, 2), 2 * values)], torch.tensor(logit)
        )

    real, fake = [evaluation(1.0, 0.5), evaluation(0.0, 3.0)], [evaluation(1.5, -0.25), evaluation(-1.0, 0.5)]
    assert critic_loss(real, fake).item() == pytest.approx(((0.5 + 0.75) + (0 + 1.5)) / 2)
    assert generator_loss(fake).item() == pytest.approx((0.25 - 0.5) / 2)
    assert feature_matching(real, fake).item() == pytest.approx(((0.5 + 1.0) + (1.0 + 2.0)) / 2)


def test_two_scales_of_patches() -> None:
    torch.manual_seed(0)
    evaluator = PatchDiscriminator(8, PatchConfig(width=4))
    x = torch.randn(2, 8, 32, 64)
    fine, coarse = evaluator(x)
    assert [f.shape[1] for f in fine.features] == [4, 8, 16, 32]
    assert [tuple(f.shape[2:]) for f in fine.features] == [(17, 33), (9, 17), (5, 9), (6, 10)]
    assert tuple(coarse.features[0].shape[2:]) == (9, 17)
    moved = x.clone()
    moved[:, :, :2, :2] += 1  # one corner changes, and the other's first features do not
    assert torch.equal(evaluator(moved)[0].features[0][:, :, -1, -1], fine.features[0][:, :, -1, -1])
    assert not torch.equal(evaluator(moved)[0].features[0][:, :, 0, 0], fine.features[0][:, :, 0, 0])


def test_shuffled_pixels_start_alike() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(4, 3 * 4, 3, padding=1)
    for parameter in conv.parameters():
        start_alike(parameter, 2)
    x = torch.randn(1, 4, 5, 6)
    drawn = F.pixel_shuffle(conv(x), 2)
    assert torch.equal(drawn, F.interpolate(drawn[..., ::2, ::2], scale_factor=2))


def test_perceptual_loss_reads_torchvisions_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    vgg = make_layers(cfgs["E"]).eval()
    state = {f"features.{name}": tensor for name, tensor in vgg.state_dict().items()}
    save_file(state, tmp_path / "vgg19.safetensors")
    loss = perceptual_loss(tmp_path / "vgg19.safetensors")
    x, y = torch.rand(2, 1, 3, 32, 32) * 2 - 1
    nodes = {"1": "relu1_1", "6": "relu2_1", "11": "relu3_1", "20": "relu4_1", "29": "relu5_1"}
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    extract = create_feature_extractor(vgg, nodes)
    seen = [extract((((p + 1) / 2) - mean.view(3, 1, 1)) / std.view(3, 1, 1)) for p in (x, y)]
    weights = dict(zip(nodes.values(), (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1), strict=True))
    want = sum(weight * (seen[0][name] - seen[1][name]).abs().mean() for name, weight in weights.items())
    torch.testing.assert_close(loss(x, y), want)
    assert loss(x, x).item() == 0
    save_file({"other": torch.zeros(1)}, tmp_path / "other.safetensors")
    for name in ("other.safetensors", "missing.pth"):
        with pytest.raises(UserError, match=name):
            perceptual_loss(tmp_path / name)
