"""SemanticGAN: the layout's branch, what each discriminator's gradient reaches, penalties; training, sampling."""

import csv
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from conftest import Cli, assert_same_images, assert_same_layouts
from torch import Tensor, nn

from gcbench.baselines.semantic_gan.config import PAPER, TINY
from gcbench.baselines.semantic_gan.model import SemanticGAN
from gcbench.baselines.semantic_gan.network import PairGenerator
from gcbench.baselines.semantic_gan.training import SemanticGANRecipe, as_layout
from gcbench.baselines.stylegan2 import lazy
from gcbench.core import checkpoint
from gcbench.core.contracts import Dataset, ModelOptions
from gcbench.core.errors import UserError
from gcbench.core.record import Record
from gcbench.core.registry import registry
from gcbench.data.open_dataset import open_dataset
from gcbench.networks.patch_discriminator import PatchConfig, PatchDiscriminator, PatchOutput
from gcbench.networks.stylegan2 import Discriminator
from gcbench.training.recipe import Batch

SIZE = (32, 64)
SMALL: dict[str, Any] = {
    "model.channel_base": 128,
    "model.channel_max": 16,
    "model.z_dim": 8,
    "model.w_dim": 8,
    "model.mapping_layers": 2,
    "model.sample_batch": 3,
}
PATCHES = {"model.pairs.width": 8, "model.pairs.layers": 2, "model.pairs.scales": 2}


@pytest.fixture
def dataset(toyland: Path) -> Dataset:
    return open_dataset(str(toyland))


def recipe_of(dataset: Dataset, **settings: Any) -> SemanticGANRecipe:
    given = {**SMALL, **PATCHES, **{f"model.{key}": value for key, value in settings.items()}}
    recipe = SemanticGAN.recipe(dataset, given)
    assert isinstance(recipe, SemanticGANRecipe)
    with torch.no_grad():
        for name, parameter in recipe.named_parameters():
            if name.endswith("strength"):
                parameter.fill_(0.5)
            if name.endswith("layout.bias"):
                parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)))
    return recipe


def batch_of(b: int) -> Batch:
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(256, (b, 3, *SIZE), dtype=torch.uint8, generator=draw)
    return Batch(images, torch.randint(5, (b, *SIZE), generator=draw), [""] * b)


def test_logits_are_the_sum_of_what_each_resolution_adds(dataset: Dataset) -> None:
    generator = recipe_of(dataset).generator
    heard: list[Tensor] = []
    layers = [generator.synthesis.first, *generator.synthesis.staying]
    handles = [layer.register_forward_hook(lambda module, inputs, output: heard.append(output)) for layer in layers]
    styles = torch.randn(2, generator.cfg.layers, 8)
    with torch.no_grad():
        pair = generator(styles, lambda h, w: torch.zeros(2, 1, h, w))
    for handle in handles:
        handle.remove()
    assert pair.shape == (2, 3 + 5, *SIZE)
    for of, part in (("image", pair[:, :3]), ("layout", pair[:, 3:])):
        total = torch.zeros_like(part)
        for r, x in enumerate(heard):
            branch = getattr(generator.synthesis.to_rgb[r], of)
            style = styles[:, 2 * r + 1]
            scale = style @ branch.conv.affine.weight.T / 8**0.5 + branch.conv.affine.bias  # [B,C]
            kernel = branch.conv.weight[:, :, 0, 0] / x.shape[1] ** 0.5  # [out,C]
            added = torch.einsum("oc,bc,bchw->bohw", kernel, scale, x) + branch.bias[:, None, None]
            for _ in range(len(heard) - 1 - r):
                added = F.interpolate(added, scale_factor=2, mode="bilinear", align_corners=False)
            total += added.detach()
        torch.testing.assert_close(part, total, rtol=1e-4, atol=1e-4)


def test_a_layout_is_hard_and_its_gradient_soft() -> None:
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 5, 4, 6, generator=draw).double().requires_grad_()
    weight = torch.randn(2, 5, 4, 6, generator=draw).double()
    p = logits.detach().exp() / logits.detach().exp().sum(1, keepdim=True)
    for kind in ("straight-through", "softmax"):
        layout = as_layout(logits, kind)
        want = F.one_hot(logits.argmax(1), 5).movedim(-1, 1).double() if kind == "straight-through" else p
        torch.testing.assert_close(layout, want)
        (gradient,) = torch.autograd.grad((layout * weight).sum(), logits)
        torch.testing.assert_close(gradient, p * (weight - (p * weight).sum(1, keepdim=True)))


class Linear(nn.Module):
    """A discriminator of images or pairs whose logit is a weighted sum: its gradient is the weights."""

    def __init__(self, weight: Tensor, scales: int = 0):
        super().__init__()
        self.weight, self.scales = nn.Parameter(weight), scales

    def forward(self, x: Tensor) -> Any:
        if not self.scales:
            return (x * self.weight).flatten(1).sum(1), None
        return [PatchOutput([], (x * self.weight).sum(1, keepdim=True)) for _ in range(self.scales)]


def test_r1_is_the_squared_gradient_of_both(dataset: Dataset) -> None:
    recipe = recipe_of(dataset, gamma=3.0, r1_every=5)
    images, pairs = torch.randn(3, *SIZE), torch.randn(8, *SIZE)
    recipe.discriminator, recipe.pair_discriminator = Linear(images), Linear(pairs, scales=2)  # type: ignore[assignment]
    loss = recipe(batch_of(4), torch.Generator(), "r1")["loss"]
    of_pairs = (2 * pairs / (SIZE[0] * SIZE[1])).square().sum()  # two scales, each the mean over patches
    torch.testing.assert_close(loss, 3.0 / 2 * 5 * (images.square().sum() + of_pairs), rtol=1e-4, atol=0)


def test_the_discriminator_of_pairs_moves_no_image(dataset: Dataset) -> None:
    recipe = recipe_of(dataset, feature_matching=0)
    recipe.discriminator = Linear(torch.zeros(3, *SIZE))  # type: ignore[assignment]
    recipe(batch_of(2), torch.Generator().manual_seed(0), "generator")["loss"].backward()
    for branch in recipe.generator.synthesis.to_rgb:
        assert branch.image.bias.grad is None or not branch.image.bias.grad.any()  # type: ignore[union-attr]
        assert branch.layout.bias.grad.any()  # type: ignore[union-attr, operator]
    assert recipe.generator.synthesis.seed.grad is not None  # the features are common to both
    assert recipe.generator.synthesis.seed.grad.any()


def test_gradients_reach_every_parameter(dataset: Dataset) -> None:
    recipe = recipe_of(dataset)
    recipe(batch_of(4), torch.Generator().manual_seed(0), "generator")["loss"].backward()
    assert {name for name, p in recipe.generator.named_parameters() if p.grad is None or not p.grad.any()} == set()
    recipe.zero_grad()
    recipe(batch_of(4), torch.Generator().manual_seed(0), "discriminator")["loss"].backward()
    named = [one for one in recipe.named_parameters() if not one[0].endswith("last.bias")]  # hinges may cancel there
    silent = {name for name, p in named if p.grad is None or not p.grad.any()}
    assert silent == {f"generator.{name}" for name, _ in recipe.generator.named_parameters()}


def test_lazy_optimisers_make_one_steps_way_in_every_plus_one_moves(dataset: Dataset) -> None:
    group = lazy([nn.Linear(2, 2)], (0.0, 0.99), 16)
    assert group.rate * 17 == pytest.approx(16)
    assert group.betas is not None
    assert group.betas[0] == 0
    assert group.betas[1] ** 17 == pytest.approx(0.99**16)
    assert lazy([nn.Linear(2, 2)], (0.0, 0.99), None)[1:] == (1.0, (0.0, 0.99))
    plain, long = recipe_of(dataset, gamma=0), recipe_of(dataset, path=1.0, path_every=8)
    assert [(phase.name, phase.every) for phase in plain.phases()] == [("generator", 1), ("discriminator", 1)]
    assert [group.rate for group in plain.optimizer_groups().values()] == [1.0, 1.0]
    assert [(phase.name, phase.every) for phase in long.phases()][2:] == [("r1", 16), ("path", 8)]
    assert [group.rate for group in long.optimizer_groups().values()] == pytest.approx([8 / 9, 16 / 17])
    trained = {id(p) for group in long.optimizer_groups().values() for p in group.parameters}
    assert trained == {id(p) for p in long.parameters()}


def test_path_lengths_are_compared_with_their_running_mean(dataset: Dataset) -> None:
    """At a start of 0 the mean is 1 % of the lengths' mean, and the loss follows from the mean square."""
    recipe = recipe_of(dataset, path=2.0, path_every=4)
    loss = recipe(batch_of(1), torch.Generator().manual_seed(0), "path")["loss"].item()  # one image: one length
    length = float(recipe.path_mean) * 100
    assert length > 0
    assert loss == pytest.approx(2 * 4 * (0.99 * length) ** 2, rel=1e-4)


@pytest.fixture
def weights(dataset: Dataset, tmp_path: Path) -> Path:
    recipe = recipe_of(dataset)
    checkpoint.save(tmp_path / "model.safetensors", recipe.weights(), recipe.card({}))
    return tmp_path / "model.safetensors"


def opened(dataset: Dataset, weights: Path, **settings: Any) -> SemanticGAN:
    return SemanticGAN.open(dataset, ModelOptions(checkpoint=weights, settings=settings))


def test_a_sample_depends_on_its_own_seed_and_a_stored_model_draws_the_same(dataset: Dataset, weights: Path) -> None:
    model, again = opened(dataset, weights), opened(dataset, weights)
    seeds = [3, 14, 15, 92]
    together = model.generate(None, n=4, size=SIZE, guidance=1, seeds=seeds)
    assert (together.layout_source, model.conditional, model.guided) == ("generated", False, False)
    for i, seed in enumerate(seeds):
        alone = again.generate(None, n=1, size=SIZE, guidance=1, seeds=[seed])
        assert_same_images(together.images[i], alone.images[0])
        assert_same_layouts(together.layouts[i], alone.layouts[0])
    assert not torch.equal(together.images[0], together.images[1])
    assert len(together.layouts.unique()) > 1


def test_psi_draws_styles_towards_their_mean(dataset: Dataset, weights: Path) -> None:
    def spread(psi: float) -> float:
        model = opened(dataset, weights, **{"sampler.psi": psi})
        for layer in model.network.modules():
            if hasattr(layer, "strength"):
                layer.strength.data.zero_()  # the noise would differ
        assert model.sampler() == {"psi": psi, "precision": "fp32"}
        return float(model.draw(None, range(6), size=SIZE, guidance=1)[0].float().std(0).mean())

    assert spread(0) == 0 < spread(0.5) < spread(1)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_parameters_of_paper_and_tiny() -> None:
    def styled(a: int, b: int) -> int:
        return 9 * a * b + b + 1 + 513 * a  # kernel, bias, strength, the style's affine layer

    widths = [512, 512, 512, 512, 512, 256, 128]  # 4×8 to 256×512
    steps = list(pairwise(widths))
    drawing = 512 * 4 * 8 + styled(512, 512) + sum(styled(a, b) + styled(b, b) for a, b in steps)
    branches = sum(513 * c + c * k + k for c in widths for k in (3, 20))
    with torch.device("meta"):
        generator, small = PairGenerator(PAPER), PairGenerator(TINY)
        images, pairs = Discriminator(PAPER), PatchDiscriminator(23, PAPER.pairs)
    assert count(generator) == 8 * 513 * 512 + drawing + branches
    assert count(generator) == pytest.approx(30.03e6 + sum(533 * c + 20 for c in widths), rel=1e-3)  # as without them
    assert count(images) > 20e6
    scale = 23 * 64 * 16 + 64 + 16 * (64 * 128 + 128 * 256 + 256 * 512) + 512 * 16 + 1
    assert count(pairs) == 3 * scale
    assert 0.5e6 < count(small) < 1.5e6


def test_train_sample_sweep(toyland: Path, tmp_path: Path, cli: Cli, oracle: None, without_curve: None) -> None:
    common = ("--model", "semantic-gan", "--dataset", toyland)
    given = {**SMALL, **PATCHES, "model.path": 1.0, "train.batch_size": 4, "train.log_every": 4, "train.warmup": 0}
    settings = [part for key, value in given.items() for part in ("--set", f"{key}={value}")]
    run = tmp_path / "trained"
    trained = cli("train", *common, *settings, "--steps", 24, "--out", run)
    assert trained.code == 0, trained.err
    with open(run / "log.csv", newline="") as log:
        rows = list(csv.DictReader(log))
    counts = {name: sum(bool(row[name]) for row in rows) for name in ("generator", "discriminator", "r1", "path")}
    assert counts == {"generator": 6, "discriminator": 6, "r1": 2, "path": 6}
    assert float(rows[-1]["pair-discriminator"]) < float(rows[0]["pair-discriminator"])
    assert (run / "previews" / "0000024.png").is_file()
    weights = run / "model.safetensors"
    assert checkpoint.read_card(weights).config["classes"] == 5

    swept = cli("sweep", *common, "--checkpoint", weights, "-n", 6, "--out", tmp_path / "run")
    assert swept.code == 0, swept.err
    record = Record.read(tmp_path / "run" / "record.json")
    [point] = record.points
    assert (point.guidance, record.protocol.prompts) == (None, None)
    assert record.model.parameters == count(opened(open_dataset(str(toyland)), weights).network)
    assert {name: point.scores[name].status for name in ("fd", "miou", "fsd")} == dict.fromkeys(
        ("fd", "miou", "fsd"), "ok"
    )
    refused = {
        ("--size", "64x128"): "semantic-gan draws images of 32x64 only",
        ("--steps", "5"): "--steps 5: semantic-gan draws in one pass",
        ("--set", "sampler.phi=1"): "did you mean sampler.psi?",
        ("--set", "sampler.psi=-1"): "setting sampler.psi=-1 is not valid: give at least 0",
        ("--prompt", "a car"): "reads no prompts",
    }
    for arguments, complaint in refused.items():
        bad = cli("sample", *common, "--checkpoint", weights, "-n", 2, *arguments, "--out", tmp_path / "bad")
        assert (bad.code, complaint in bad.complaint) == (2, True), bad.complaint


def test_a_residual_generator_has_one_branch(dataset: Dataset) -> None:
    recipe = recipe_of(dataset, generator="residual")
    assert len(recipe.generator.synthesis.to_rgb) == 1
    assert recipe.generator(*recipe.latents(2, torch.Generator())).shape == (2, 8, *SIZE)
    with pytest.raises(UserError, match="layout"):
        recipe_of(dataset, layout="hard")


@pytest.mark.parametrize("model", ["semantic-gan", "dataset-gan", "ganformer", "lafite", "semantic-palette"])
def test_no_second_derivative_is_compiled(model: str, dataset: Dataset) -> None:
    with pytest.raises(UserError, match=f"setting train.compile: {model} takes second derivatives"):
        registry("models")[model].recipe(dataset, {"train.compile": True})


@pytest.mark.parametrize(("model", "part"), [("semantic-gan", "pairs"), ("semantic-palette", "discriminator")])
def test_more_scales_than_an_image_has_are_refused(model: str, part: str, dataset: Dataset) -> None:
    """64 pixels are one after six halvings, two after five."""
    with pytest.raises(UserError, match=rf"setting model.{part}.scales=7 halves images of 32x64 to one pixel"):
        registry("models")[model].recipe(dataset, {f"model.{part}.scales": 7, f"model.{part}.width": 1})
    discriminator = PatchDiscriminator(3, PatchConfig(width=2, layers=2, scales=6))
    assert len(discriminator(torch.randn(2, 3, *SIZE))) == 6
