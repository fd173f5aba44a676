"""lafite from training to records: texts reach every layer, the encoder is part of the model or a CLIP's file."""

import csv
import json
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from conftest import Cli, assert_same_images
from safetensors.torch import save_file

from gcbench.baselines.lafite.config import PAPER, TINY, LafiteConfig
from gcbench.baselines.lafite.encoder import BagOfWordsEncoder
from gcbench.baselines.lafite.model import Lafite
from gcbench.baselines.lafite.network import Generator, TextToImage
from gcbench.baselines.lafite.training import LafiteRecipe
from gcbench.core import checkpoint
from gcbench.core.contracts import ModelOptions
from gcbench.core.errors import UserError
from gcbench.core.record import Record
from gcbench.data.open_dataset import open_dataset
from gcbench.networks.stylegan2 import Discriminator
from gcbench.training.pairs import Pairs
from gcbench.training.trainer import train

SMALL: dict[str, Any] = {
    "model.stylegan.channel_base": 256,
    "model.stylegan.channel_max": 16,
    "model.stylegan.w_dim": 16,
    "model.stylegan.z_dim": 8,
    "model.stylegan.mapping_layers": 2,
    "model.encoder.dim": 16,
    "model.encoder.widths": [8, 16, 16],
    "model.text_dim": 8,
    "model.sample_batch": 4,
    "train.batch_size": 4,
}


def settings(**more: Any) -> list[str]:
    return [part for key, value in (SMALL | more).items() for part in ("--set", f"{key}={json.dumps(value)}")]


def recipe_of(toyland: Path, **more: Any) -> LafiteRecipe:
    recipe = Lafite.recipe(open_dataset(str(toyland)), SMALL | more)
    assert isinstance(recipe, LafiteRecipe)
    return recipe


def opened(recipe: LafiteRecipe, toyland: Path, folder: Path, **options: Any) -> Lafite:
    checkpoint.save(folder / "model.safetensors", recipe.weights(), recipe.card({}))
    return Lafite.open(open_dataset(str(toyland)), ModelOptions(checkpoint=folder / "model.safetensors", **options))


def test_train_sweep_sample(toyland: Path, tmp_path: Path, cli: Cli, oracle: None, without_curve: None) -> None:
    common = ("--model", "lafite", "--dataset", toyland)
    more = {"model.preparation": 0.4, "model.mixing_prob": 0, "model.loss.itc": 20, "train.batch_size": 6}
    run = tmp_path / "trained"
    trained = cli("train", *common, *settings(**more, **{"train.log_every": 10}), "--steps", 120, "--out", run)
    assert trained.code == 0, trained.err
    with open(run / "log.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    matching = [float(row["encoder"]) for row in rows if row["encoder"]]
    encoded = [float(row["itc"]) for row in rows if row["itc"]]
    assert (len(matching), len(encoded)) == (5, 8)  # one stage after the other, the change within ten steps
    assert matching[-1] < 0.7 * matching[0]
    assert (
        sum(encoded[-3:]) / 3 < 0.9 * encoded[0]
    )  # what is drawn comes to fit its text, as the frozen encoder sees it
    assert (run / "previews" / "0000120.png").is_file()

    weights = run / "model.safetensors"
    swept = cli("sweep", *common, "--checkpoint", weights, "-n", 4, "--out", tmp_path / "run")
    assert swept.code == 0, swept.err
    record = Record.read(tmp_path / "run" / "record.json")
    [point] = record.points  # no guidance: one point
    assert point.scores["semantic-recall"].status == "ok"
    assert point.scores["fd"].status == "ok"
    for name in ("miou", "fsd"):
        assert point.scores[name].reason == "the samples have no layouts"

    drawn = cli("sample", *common, "--checkpoint", weights, "--prompt", "a car", "-n", 2, "--out", tmp_path / "drawn")
    assert drawn.code == 0, drawn.err
    assert len(list((tmp_path / "drawn").rglob("*.png"))) >= 2

    for wrong, said in (
        (("--steps", 5), "no sampling steps"),
        (("--size", "40x40"), "images of 32x64 only"),
        (("--set", "truncation=0.7"), "has nothing to choose"),
    ):
        refused = cli("sweep", *common, "--checkpoint", weights, "-n", 4, "--out", tmp_path / "no", *wrong)
        assert (refused.code, said in refused.complaint) == (2, True), refused.err


def test_an_image_depends_on_its_own_seed_and_text(toyland: Path, tmp_path: Path) -> None:
    recipe = recipe_of(toyland)
    with torch.no_grad():  # let the noise of each convolution show
        for name, parameter in recipe.network.named_parameters():
            if name.endswith("strength"):
                parameter.fill_(0.3)
    model = opened(recipe, toyland, tmp_path)
    assert (model.conditional, model.guided, model.layouts) == (True, False, False)
    prompts = ["a car", "an image with a road and a tree and sky", "a tree", "car", "a road", "the sky"]

    def images(order: list[int]) -> torch.Tensor:
        made = model.generate(
            [prompts[i] for i in order], n=len(order), size=(32, 64), guidance=1, seeds=[100 + i for i in order]
        )
        assert made.layouts is None
        assert made.images.dtype == torch.uint8
        return made.images

    together = images([0, 1, 2, 3, 4, 5])
    assert_same_images(images([5, 4, 3, 2, 1, 0]).flip(0), together)
    for i in range(6):
        assert_same_images(images([i])[0], together[i])
    same = model.generate(["a car", "a tree", "a car"], n=3, size=(32, 64), guidance=1, seeds=[1, 1, 2]).images
    assert not torch.equal(same[0], same[1])  # another text
    assert not torch.equal(same[0], same[2])  # another seed
    with pytest.raises(UserError, match="give prompts"):
        model.generate(None, n=1, size=(32, 64), guidance=1, seeds=[1])
    assert str(model.describe()["note"]).endswith("evaluates nothing")
    assert model.seconds_per_image((32, 64), 1.0) > 0


def test_the_text_reaches_every_modulated_layer() -> None:
    """Which of the network's modulations move when the text alone changes: all of them."""
    cfg = LafiteConfig.model_validate(TINY.model_dump() | {"size": (32, 64)})
    torch.manual_seed(0)
    generator = Generator(cfg)
    affine = {name: part for name, part in generator.synthesis.named_modules() if name.endswith("affine")}
    seen: dict[str, list[torch.Tensor]] = {name: [] for name in affine}
    for name, part in affine.items():
        part.register_forward_hook(lambda module, inputs, output, name=name: seen[name].append(output))
    w = generator.latents(torch.randn(2, cfg.stylegan.z_dim))
    texts = torch.nn.functional.normalize(torch.randn(2, 2, cfg.encoder.dim), dim=2)
    with torch.no_grad():
        for h in texts:
            generator(w, h, lambda height, width: torch.zeros(2, 1, height, width))
    assert len(affine) == 7 + 4  # convolutions and images of four resolutions
    for name, (one, other) in seen.items():
        assert (one - other).abs().amax() > 0.01, name


def test_resume_gives_the_same_weights(toyland: Path, tmp_path: Path) -> None:
    """Stopped in the middle of the second stage; path lengths and style mixing are on, pseudo features learned."""
    more = {
        "train.steps": 10,
        "train.save_every": 6,
        "train.batch_size": 3,
        "model.preparation": 0.3,
        "model.pseudo.kind": "learned",
        "model.pseudo.hidden": 8,
        "model.loss.path": 2.0,
        "model.loss.path_every": 2,
        "model.loss.r1_every": 3,
        "model.stylegan.mixing": 0.9,
    }
    pairs = Pairs(open_dataset(str(toyland)), "train", (32, 64))
    one = train(recipe_of(toyland, **more), pairs, tmp_path / "one", provenance={})

    class Stopped(Exception):
        pass

    def stop(step: int, loss: float, speed: float) -> None:
        if step == 8:
            raise Stopped

    with pytest.raises(Stopped):
        train(recipe_of(toyland, **more), pairs, tmp_path / "two", provenance={}, tick=stop)
    two = train(recipe_of(toyland, **more), pairs, tmp_path / "two", provenance={}, resume=True)
    assert checkpoint.read_card(one).sha256 == checkpoint.read_card(two).sha256  # of the weights; seconds differ
    assert (tmp_path / "one" / "log.csv").read_text().splitlines()[0].split(",")[:4] == [
        "step", "encoder", "matched", "pseudo",
    ]  # fmt: skip


def test_optimizer_groups_and_phases(toyland: Path) -> None:
    """What moves in each phase; the encoder is trained first and never after."""
    recipe = recipe_of(toyland, **{"model.pseudo.kind": "learned", "model.loss.path": 2.0})
    phases = {phase.name: phase for phase in recipe.phases()}
    assert {name: phase.groups for name, phase in phases.items()} == {
        "encoder": ("encoder",),
        "pseudo": ("pseudo",),
        "generator": ("generator",),
        "discriminator": ("discriminator",),
        "r1": ("discriminator",),
        "path": ("generator",),
    }
    assert (phases["encoder"].start, phases["encoder"].stop, phases["generator"].start) == (0, 0.2, 0.2)
    assert (phases["r1"].every, phases["path"].every) == (16, 4)
    moved = [parameter for group in recipe.optimizer_groups().values() for parameter in group.parameters]
    assert len(moved) == len(set(moved)) == len(list(recipe.parameters()))


def test_mixing_prob_chooses_between_texts_and_images(toyland: Path) -> None:
    """1: the texts are not read; 0: the images are not. In between: row by row, as often as said."""
    batch = Pairs(open_dataset(str(toyland)), "train", (32, 64)).batch(0, 6, seed=0, flip=False)
    real = batch.images.float() / 127.5 - 1

    def conditions(probability: float, *, text: bool = True, image: bool = True) -> torch.Tensor:
        recipe = recipe_of(toyland, **{"model.mixing_prob": probability})
        texts = batch.texts if text else ["sky"] * 6
        return recipe.conditions(real if image else -real, texts, torch.Generator().manual_seed(0))

    assert torch.equal(conditions(1.0), conditions(1.0, text=False))
    assert not torch.equal(conditions(1.0), conditions(1.0, image=False))
    assert torch.equal(conditions(0.0), conditions(0.0, image=False))
    assert not torch.equal(conditions(0.0), conditions(0.0, text=False))
    moved = (conditions(0.5) != conditions(0.5, image=False)).any(1)
    use = torch.rand(6, generator=torch.Generator().manual_seed(0)) < 0.5
    assert torch.equal(moved, use)
    assert torch.allclose(conditions(0.5).norm(dim=1), torch.ones(6), atol=1e-5)


def test_the_word_encoder_does_not_mind_order_or_company(toyland: Path) -> None:
    recipe = recipe_of(toyland)
    texts = recipe.network.texts
    assert isinstance(texts, BagOfWordsEncoder)
    read = texts(["car and road", "road and car", "tree", "zebra", ""])
    assert torch.allclose(read[0], read[1], atol=1e-6)
    assert not torch.allclose(read[0], read[2], atol=1e-2)
    assert torch.allclose(read[3], read[4], atol=1e-6)  # unknown words are left out
    assert torch.allclose(read.norm(dim=1), torch.ones(5), atol=1e-5)


def test_paper_size_without_memory() -> None:
    """About 39 M were counted for 256×256, of which 25 M are StyleGAN2's. Here 35.9 M: there, each of the six images
    before the last has text layers of its own (6 · 2 · (512² + 512) = 3.2 M); here it shares those of the next
    convolution, with which it shares its w too. The seed map 4×8 has 8192 numbers more."""
    with torch.device("meta"):
        generator = Generator(PAPER)
        discriminator = Discriminator(PAPER.stylegan, PAPER.encoder.dim)
    count = sum(p.numel() for p in generator.parameters())
    shared = 6 * 2 * (512**2 + 512)
    assert count == pytest.approx(35.9e6, rel=0.01)
    assert count + shared == pytest.approx(39e6, rel=0.05)
    without_text = count - sum(p.numel() for p in generator.readers.parameters())
    widening = 512 * sum(m.weight.shape[0] for n, m in generator.synthesis.named_modules() if n.endswith("affine"))
    assert without_text - widening == pytest.approx(25e6, rel=0.05)
    evaluating = sum(p.numel() for p in discriminator.parameters())
    wider = 512 * 16 * 512  # the last map is 4×8, not 4×4
    assert evaluating - wider - 512 * 513 == pytest.approx(24e6, rel=0.05)  # StyleGAN2's, without the head for texts


def test_tiny_is_small() -> None:
    with torch.device("meta"):
        network = TextToImage(TINY, BagOfWordsEncoder(TINY.encoder))
        discriminator = Discriminator(TINY.stylegan, TINY.encoder.dim)
    assert sum(p.numel() for part in (network, discriminator) for p in part.parameters()) < 3e6


# ----------------------------------------------------------------------------------------------------- CLIP's files


@pytest.fixture
def clip_settings(tmp_path: Path) -> dict[str, Any]:
    """A CLIP of open_clip's of random weights, far smaller than any that is published, and its file."""
    tower = {"layers": 1, "width": 32}
    config = {
        "embed_dim": 16,
        "vision_cfg": {**tower, "image_size": 32, "patch_size": 16, "head_width": 16},
        "text_cfg": {**tower, "context_length": 77, "vocab_size": 49408, "heads": 2},
    }
    (tmp_path / "toy-clip.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / "toy-clip.json")
    torch.manual_seed(5)
    network = open_clip.create_model("toy-clip", load_weights=False)
    save_file(network.state_dict(), tmp_path / "clip.safetensors")
    encoder = {"kind": "open_clip", "name": "toy-clip", "path": str(tmp_path / "clip.safetensors")}
    return {f"model.encoder.{key}": value for key, value in encoder.items()}


class Plane(torch.nn.Module):
    """D(x) = a·x, and no feature."""

    def __init__(self, a: torch.Tensor, dim: int):
        super().__init__()
        self.a, self.dim = a, dim

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return (x * self.a).sum((1, 2, 3)), torch.zeros(len(x), self.dim)


def test_penalties_count_for_the_steps_between_them(toyland: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """R1 of a plane is |a|², times γ/2, times its interval; path lengths are set against their running mean."""
    recipe = recipe_of(
        toyland,
        **{"model.loss.r1_every": 8, "model.loss.gamma": 3.0},
        **{"model.loss.path": 2.0, "model.loss.path_every": 5},
    )
    assert {phase.name: phase.every for phase in recipe.phases() if phase.name in ("r1", "path")} == {
        "r1": 8,
        "path": 5,
    }
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(3, 32, 64, generator=generator)
    recipe.discriminator = Plane(a, recipe.cfg.encoder.dim)  # type: ignore[assignment]
    batch = Pairs(recipe.dataset, "train", (32, 64)).batch(0, 2, seed=0, flip=False)
    loss = recipe(batch, generator, "r1")["loss"]
    assert loss.item() == pytest.approx(3.0 / 2 * 8 * a.square().sum().item(), rel=1e-5)

    lengths = torch.tensor([3.0, 5.0])
    monkeypatch.setattr("gcbench.baselines.lafite.training.path_lengths", lambda images, styles, noise: lengths)
    loss = recipe(batch, generator, "path")["loss"]
    mean = 0.01 * 4.0  # of the first two lengths, from 0
    assert recipe.path_mean.item() == pytest.approx(mean)
    assert loss.item() == pytest.approx(2.0 * 5 * ((3 - mean) ** 2 + (5 - mean) ** 2) / 2, rel=1e-5)


def test_a_clip_from_its_file(toyland: Path, tmp_path: Path, clip_settings: dict[str, Any]) -> None:
    more = {**clip_settings, "train.steps": 2, "train.batch_size": 2}
    recipe = recipe_of(toyland, **more)
    assert {phase.name for phase in recipe.phases()} == {"generator", "discriminator", "r1"}
    assert all(phase.start == 0 for phase in recipe.phases())  # nothing to prepare

    torch.manual_seed(5)
    network = open_clip.create_model("toy-clip", load_weights=False).eval()
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD))
    images = torch.rand(2, 3, 32, 32)  # of the network's own size: nothing to resize
    with torch.no_grad():
        expected = network.encode_image((images - mean) / std, normalize=True)
        assert torch.allclose(recipe.images(images * 2 - 1), expected, atol=1e-5)
        tokens = open_clip.get_tokenizer("toy-clip")(["a car", "a tree"])
        assert torch.allclose(recipe.network.texts(["a car", "a tree"]), network.encode_text(tokens, normalize=True))
    wide = torch.zeros(1, 3, 32, 64, requires_grad=True)
    recipe.images(wide)[0, 0].backward()
    assert wide.grad is not None
    assert (wide.grad.abs().sum((0, 1, 2)) > 0).all()  # the whole width is seen

    pairs = Pairs(recipe.dataset, "train", (32, 64))
    before = {name: tensor.clone() for name, tensor in recipe.images.state_dict().items()}
    weights = train(recipe, pairs, tmp_path / "run", provenance={})
    assert all(torch.equal(tensor, before[name]) for name, tensor in recipe.images.state_dict().items())
    stored = checkpoint.load(weights, kind="model").state
    assert not any(name.startswith(("images.", "network.texts.")) for name in stored)

    dataset = open_dataset(str(toyland))
    model = Lafite.open(dataset, ModelOptions(checkpoint=weights))
    assert "toy-clip#" in str(model.describe()["note"])
    assert "must not be evaluated" in str(model.describe()["note"])
    made = model.generate(["a car"], n=1, size=(32, 64), guidance=1, seeds=[3]).images

    file = Path(clip_settings["model.encoder.path"])
    moved = file.rename(tmp_path / "moved.safetensors")
    with pytest.raises(UserError, match=r"are not there; give their file by --set sampler\.encoder_path=FILE"):
        Lafite.open(dataset, ModelOptions(checkpoint=weights))
    again = Lafite.open(dataset, ModelOptions(checkpoint=weights, settings={"sampler.encoder_path": str(moved)}))
    assert torch.equal(again.generate(["a car"], n=1, size=(32, 64), guidance=1, seeds=[3]).images, made)

    save_file({name: tensor + 1 for name, tensor in network.state_dict().items()}, moved)
    with pytest.raises(UserError, match="other weights than those"):
        Lafite.open(dataset, ModelOptions(checkpoint=weights, settings={"sampler.encoder_path": str(moved)}))
    for key, hint in (
        ("encoder.name", r"known: sampler\.encoder_path"),
        ("encoder.path", r"called sampler\.encoder_path"),
    ):
        with pytest.raises(UserError, match=hint):
            Lafite.open(dataset, ModelOptions(checkpoint=weights, settings={key: "x"}))


def test_an_encoder_that_is_not_there(toyland: Path, tmp_path: Path, cli: Cli, clip_settings: dict[str, Any]) -> None:
    empty = tmp_path / "empty.safetensors"
    save_file({"x": torch.zeros(1)}, empty)
    for change, said in (
        ({"model.encoder.path": ""}, "needs its weights"),
        ({"model.encoder.path": str(tmp_path / "no.pt")}, "are not there"),
        ({"model.encoder.path": str(empty)}, "does not hold the weights of open_clip's toy-clip"),
        ({"model.encoder.name": "toy-clap"}, "did you mean toy-clip"),
        ({"model.encoder.dim": 24}, "model.encoder.dim=24: a feature of toy-clip has"),
        ({"model.stylegan.channel_base": 16}, "these settings build no network"),
        ({"train.compile": True}, "takes second derivatives"),
    ):
        given = settings(**{**clip_settings, **change})
        refused = cli("train", "--model", "lafite", "--dataset", toyland, *given, "--out", tmp_path / "run")
        assert (refused.code, said in refused.complaint) == (2, True), refused.err
