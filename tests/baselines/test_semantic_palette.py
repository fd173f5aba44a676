"""Semantic Palette and SB-GAN, trained, resumed, sampled and swept: on toyland, and where the sky is always above."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import Cli, assert_same_images, assert_same_layouts
from PIL import Image
from safetensors.torch import load_file

from gcbench.baselines.semantic_palette.assisted import probabilities
from gcbench.baselines.semantic_palette.config import PAPER, TINY
from gcbench.baselines.semantic_palette.model import SemanticPalette
from gcbench.baselines.semantic_palette.network import PaletteToPair
from gcbench.core import checkpoint
from gcbench.core.contracts import Dataset, ModelOptions, Size
from gcbench.core.record import Record
from gcbench.data.open_dataset import open_dataset
from gcbench.training.pairs import Pairs
from gcbench.training.trainer import train

SMALL: dict[str, Any] = {
    "model.layout.latent": 8,
    "model.layout.width": 8,
    "model.layout.widest": 32,
    "model.layout.critic_width": 8,
    "model.image.width": 8,
    "model.image.multiples": [2, 2, 1],
    "model.image.hidden": 8,
    "model.discriminator.width": 4,
    "model.sample_batch": 4,
    "model.image_from": 0.3,
    "model.both_from": 0.8,
    "train.batch_size": 4,
    "train.lr": 4e-3,
    "train.warmup": 0,
    "train.ema": 0.9,
    "train.log_every": 5,
}


class Horizons(Dataset):
    """Sixteen pairs: sky above a horizon, road below."""

    name = "horizons"
    classes = ("road", "sky")
    palette = ((0, 0, 0), (90, 160, 220))
    void = None
    size = (32, 64)
    splits = ("train", "val")
    aliases = {name: (name,) for name in ("road", "sky")}  # noqa: RUF012
    resize = "none"
    version = "1"

    @classmethod
    def open(cls) -> "Horizons":
        return cls()

    def ids(self, split: str) -> Sequence[str]:
        return [str(i) for i in range(16)]

    def pair(self, split: str, index: int, size: Size) -> tuple[np.ndarray, np.ndarray]:
        layout = np.zeros(size, np.uint8)
        layout[: 8 + index] = 1
        return np.repeat(layout[..., None] * 200, 3, axis=2).astype(np.uint8), layout

    def captions(self, split: str, index: int) -> Sequence[str]:
        return ["a road under the sky"]


def colour_error(network: PaletteToPair, dataset: Dataset) -> float:
    """How far images of held-out layouts are from the real images, of 255."""
    pairs = Pairs(dataset, "val", (32, 64))
    layouts, images = torch.from_numpy(pairs.layouts).long(), torch.from_numpy(pairs.images).movedim(-1, 1)
    with torch.no_grad():
        drawn = network.eval().image(F.one_hot(layouts, 5).movedim(-1, 1).float()) * 127.5 + 127.5
    return (drawn - images).abs().mean().item()


@pytest.fixture(scope="module")
def weights(toyland: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = SemanticPalette.recipe(
        open_dataset(str(toyland)), {**SMALL, "train.steps": 10, "train.weights_dtype": "float16"}
    )
    pairs = Pairs(recipe.dataset, "train", recipe.size)
    return train(recipe, pairs, tmp_path_factory.mktemp("palette") / "run", provenance={})


def test_train_sample_sweep(toyland: Path, tmp_path: Path, cli: Cli, oracle: None, without_curve: None) -> None:
    settings = [part for key, value in SMALL.items() for part in ("--set", f"{key}={value}")]
    common = ("--model", "semantic-palette", "--dataset", toyland)
    run = tmp_path / "trained"
    trained = cli("train", *common, *settings, "--steps", 60, "--out", run)
    assert trained.code == 0, trained.err
    assert Image.open(run / "previews" / "0000060.png").size == (4 * 64 + 3 * 2, 4 * 64 + 3 * 2)
    logged = (run / "log.csv").read_text().splitlines()[0].split(",")
    names = (
        "layout-critic",
        "layout",
        "pair-discriminator",
        "image",
        "discriminators",
        "generators",
        "image-discriminator",
        "unpaired",
    )
    assert set(names) < set(logged)
    found = checkpoint.load(run / "model.safetensors", kind="model", name="semantic-palette")
    assert found.card.config["vgg"] == "off"
    assert {name.split(".")[0] for name in found.state} == {"prior", "layout", "image"}  # no discriminator is kept

    dataset = open_dataset(str(toyland))
    before = colour_error(SemanticPalette.recipe(dataset, dict(SMALL)).network, dataset)
    model = SemanticPalette.open(dataset, ModelOptions(checkpoint=run / "model.safetensors"))
    assert colour_error(model.network, dataset) < 0.5 * before

    common = (*common, "--checkpoint", run / "model.safetensors")
    swept = cli("sweep", *common, "-n", 6, "--out", tmp_path / "run")
    assert swept.code == 0, swept.err
    [point] = Record.read(tmp_path / "run" / "record.json").points  # no guidance, one point
    assert point.guidance is None
    assert {name: point.scores[name].status for name in ("fd", "fsd", "miou")} == dict.fromkeys(
        ("fd", "fsd", "miou"), "ok"
    )
    assert point.scores["semantic-recall"].reason == "the samples have no prompts"
    sampled = cli("sample", *common, "-n", 3, "--out", tmp_path / "drawn")
    assert sampled.code == 0, sampled.err
    assert {path.parent.name for path in (tmp_path / "drawn").rglob("*.png")} >= {"images", "layouts"}


@pytest.mark.parametrize("palette", [True, False])
def test_the_layout_gan_learns_what_is_above(palette: bool, tmp_path: Path) -> None:
    settings = {"train.steps": 60, "model.image_from": 0.98, "model.both_from": 0.99, "model.palette": palette}
    recipe = SemanticPalette.recipe(Horizons(), {**SMALL, **settings})

    def sky() -> tuple[float, float]:
        """The class's probability in the top and the bottom row."""
        generator = torch.Generator().manual_seed(0)
        z, normal = torch.randn(64, 8, generator=generator), torch.randn(64, 2, generator=generator)
        with torch.no_grad():
            last = recipe.network.layout(*recipe.network.latent(z, torch.rand(64, generator=generator), normal))[-1]
        rows = (probabilities(last) if palette else last.softmax(1))[:, 1].mean((0, 2))  # [H]
        return rows[0].item(), rows[-1].item()

    top, bottom = sky()
    assert top - bottom < 0.3
    path = train(recipe, Pairs(recipe.dataset, "train", recipe.size), tmp_path / "run", provenance={})
    top, bottom = sky()
    assert top - bottom > 0.6
    model = SemanticPalette.open(Horizons(), ModelOptions(checkpoint=path))
    drawn = model.generate(None, n=6, size=(32, 64), guidance=1, seeds=range(6)).layouts
    assert drawn is not None
    assert (drawn[:, 0] == 1).float().mean() > 0.8
    assert (drawn[:, -1] == 0).float().mean() > 0.8
    assert model.describe()["note"] == (None if palette else "palette=false: SB-GAN")
    assert (model.network.prior is None) is not palette


def test_an_image_depends_on_its_own_seed(toyland: Path, tmp_path: Path) -> None:
    dataset = open_dataset(str(toyland))
    recipe = SemanticPalette.recipe(dataset, dict(SMALL))
    prior = recipe.network.prior
    prior.weights.copy_(torch.eye(len(prior.weights))[0])
    prior.means.fill_(0.2)  # all classes are common, so that layouts of random weights differ
    prior.factors.copy_(0.2 * torch.eye(5).expand_as(prior.factors))
    checkpoint.save(tmp_path / "model.safetensors", recipe.weights(), recipe.card({}))
    model = SemanticPalette.open(dataset, ModelOptions(checkpoint=tmp_path / "model.safetensors"))
    assert (model.conditional, model.guided, model.layouts) == (False, False, True)
    seeds = [5, 6, 7, 8, 9, 10]
    together = model.generate(None, n=6, size=(32, 64), guidance=1, seeds=seeds)
    assert together.layouts is not None
    assert together.images.dtype == torch.uint8
    assert (together.images.shape, together.layouts.shape) == ((6, 3, 32, 64), (6, 32, 64))
    assert len({image.numpy().tobytes() for image in together.images}) == 6
    reverse = model.generate(None, n=6, size=(32, 64), guidance=4, seeds=seeds[::-1])
    alone = model.generate(["a car"], n=1, size=(32, 64), guidance=1, seeds=[7])
    for other, place in ((reverse, 3), (alone, 0)):
        assert other.layouts is not None
        assert_same_images(other.images[place], together.images[2])
        assert_same_layouts(other.layouts[place], together.layouts[2])


def test_resume_gives_the_same_weights(toyland: Path, tmp_path: Path) -> None:
    """A run killed before each stage's end, and taken up again within it, against one never stopped."""

    class Stopped(Exception):
        pass

    def run(out: Path, stop: int | None = None) -> str:
        settings = {**SMALL, "train.steps": 12, "train.save_every": 2}
        recipe = SemanticPalette.recipe(open_dataset(str(toyland)), settings)

        def tick(step: int, loss: float, speed: float) -> None:
            if step == stop:
                raise Stopped

        pairs = Pairs(recipe.dataset, "train", recipe.size)
        return checkpoint.read_card(train(recipe, pairs, out, provenance={}, resume=True, tick=tick)).sha256

    whole = run(tmp_path / "whole")
    for stop in (4, 9, 12):  # stages begin at steps 4 and 10
        with pytest.raises(Stopped):
            run(tmp_path / "parts", stop)
    assert run(tmp_path / "parts") == whole
    assert (tmp_path / "parts" / "log.csv").read_text().count("\n") == 4


def test_phases_move_their_own_groups(toyland: Path) -> None:
    """Two groups hold the layout generator, one for its own stage and a slower one end to end."""
    from gcbench.training.phases import Optimizers, due

    recipe = SemanticPalette.recipe(open_dataset(str(toyland)), {**SMALL, "train.steps": 10})
    optimizers = Optimizers(recipe, recipe.train_config)
    batch = Pairs(recipe.dataset, "train", recipe.size).batch(0, 4, seed=0, flip=False)
    parts = {
        "layout": recipe.network.layout,
        "image": recipe.network.image,
        "layout-critic": recipe.layout_critic,
        "pair-discriminator": recipe.pair_discriminator,
        "image-discriminator": recipe.image_discriminator,
    }
    moved = {}
    for step in (0, 5, 8):
        for phase in due(recipe.phases(), step, 10):
            before = {name: [p.detach().clone() for p in part.parameters()] for name, part in parts.items()}
            optimizers.begin(phase, step)
            recipe(batch, torch.Generator().manual_seed(step), phase.name)["loss"].backward()
            optimizers.move(phase)
            moved[phase.name] = {
                name: max((a - b).abs().max().item() for a, b in zip(before[name], part.parameters(), strict=True))
                for name, part in parts.items()
            }
    assert {name: {part for part, change in changes.items() if change} for name, changes in moved.items()} == {
        "layout-critic": {"layout-critic"},
        "layout": {"layout"},
        "pair-discriminator": {"pair-discriminator"},
        "image": {"image"},
        "discriminators": {"layout-critic", "pair-discriminator", "image-discriminator"},
        "generators": {"layout", "image"},
    }
    # Adam's first step is as long as the learning rate
    assert moved["layout"]["layout"] == pytest.approx(4e-3, rel=0.01)
    assert moved["generators"]["layout"] == pytest.approx(4e-4, rel=0.01)


def test_images_teach_layouts_end_to_end(toyland: Path) -> None:
    """The discriminator of images alone reaches the layout generator through the soft layout."""
    recipe = SemanticPalette.recipe(open_dataset(str(toyland)), dict(SMALL))
    _, drawn = recipe._draw(3, torch.Generator().manual_seed(0))
    [evaluation, _] = recipe.image_discriminator(recipe.network.image(drawn))
    evaluation.logits.sum().backward()
    gradients = [p.grad for p in recipe.network.layout.parameters()]
    assert all(g is not None and g.isfinite().all() and g.abs().max() > 0 for g in gradients)


def test_bad_input_is_one_sentence(toyland: Path, weights: Path, tmp_path: Path, cli: Cli) -> None:
    common = ("--model", "semantic-palette", "--dataset", toyland, "--checkpoint", weights, "-n", 4)
    for arguments, complaint in (
        (("--size", "64x64"), "draws images of 32x64 only"),
        (("--steps", 5), "draws in one pass and has no sampling steps; leave it out"),
        (("--set", "truncation=0.7"), "--set truncation: semantic-palette has nothing to choose when it samples"),
    ):
        refused = cli("sample", *common, *arguments, "--out", tmp_path / "no")
        assert (refused.code, complaint in refused.complaint) == (2, True), refused.err
    for setting, complaint in (
        ("model.size=[30,60]", "take multiples of 16"),
        ("model.layout.patch=3", "the layout GAN's patches; take multiples of 3"),
        ("model.image.patch=0", "setting model.image.patch=0 is not valid: give at least 1"),
        ("model.both_from=0.1", "setting model.both_from=0.1 is not valid: give at least model.image_from=0.45"),
        ("model.vgg=nowhere.pth", "nowhere.pth"),
        ("model.layuot.latent=3", "did you mean model.layout.latent"),
    ):
        refused = cli(
            "train", "--model", "semantic-palette", "--dataset", toyland, "--set", setting, "--out", tmp_path / "no"
        )
        assert (refused.code, complaint in refused.complaint) == (2, True), refused.err


def test_tiny_and_paper_sizes() -> None:
    def millions(network: torch.nn.Module) -> float:
        return sum(p.numel() for p in network.parameters()) / 1e6

    assert millions(PaletteToPair(TINY)) < 2
    with torch.device("meta"):
        network = PaletteToPair(PAPER)
        assert millions(network.image) == pytest.approx(92.6, rel=0.005)
        # the paper counts 35 classes in its layouts; 20 here
        assert millions(network.layout) == pytest.approx(28.5 - 15 * (512 * 32 + 9 * 2304 + 2432) / 1e6, rel=0.005)
    assert json.loads(PAPER.model_dump_json())["vgg"] == "off"


def test_what_is_stored_is_what_samples(toyland: Path, weights: Path) -> None:
    """Half-precision files keep palettes: of sum 1, and close to those that training drew."""
    dataset = open_dataset(str(toyland))
    prior = SemanticPalette.open(dataset, ModelOptions(checkpoint=weights)).network.prior
    fitted = SemanticPalette.recipe(dataset, dict(SMALL)).network.prior
    assert prior is not None
    assert fitted is not None
    assert load_file(weights)["prior.means"].dtype == torch.float16
    u, normal = torch.rand(100), torch.randn(100, 5)
    drawn = prior.sample(u, normal)
    torch.testing.assert_close(drawn, fitted.sample(u, normal), atol=1e-3, rtol=0)
    torch.testing.assert_close(drawn.sum(1), torch.ones(100))
