"""DatasetGAN: features of the layers, the search for a real image's styles, labels from few pairs; runs."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import Cli, assert_same_images, assert_same_layouts
from test_semantic_gan import SIZE, SMALL, count
from torch import Tensor, nn

from gcbench.baselines.dataset_ddpm.ensemble import TRY, Ensemble
from gcbench.baselines.dataset_ddpm.features import at_pixels
from gcbench.baselines.dataset_gan.config import PAPER, TINY
from gcbench.baselines.dataset_gan.features import distance, drawn_with_maps, invert, repeated, width
from gcbench.baselines.dataset_gan.model import DatasetGAN
from gcbench.baselines.dataset_gan.training import DatasetGANRecipe
from gcbench.baselines.stylegan2 import Generator, seeded
from gcbench.core import checkpoint
from gcbench.core.contracts import Dataset, ModelOptions
from gcbench.core.errors import UserError
from gcbench.core.record import Record
from gcbench.core.samples import to_bytes
from gcbench.data.open_dataset import open_dataset
from gcbench.diffusion.noise import derived_seed
from gcbench.training.pairs import Pairs
from gcbench.training.recipe import Batch
from gcbench.training.trainer import train

FEW: dict[str, Any] = {**SMALL, "model.members": 3, "model.calibration": 8, "model.inversion_steps": 4}
D = 16 + 2 * (16 + 8 + 4)  # maps of height 4, 8, 16, 32


@pytest.fixture
def dataset(toyland: Path) -> Dataset:
    return open_dataset(str(toyland))


def recipe_of(dataset: Dataset, **settings: Any) -> DatasetGANRecipe:
    recipe = DatasetGAN.recipe(dataset, {**FEW, **{f"model.{key}": value for key, value in settings.items()}})
    assert isinstance(recipe, DatasetGANRecipe)
    return recipe.eval()


def drawn(generator: Generator, seeds: list[int]) -> Tensor:
    """[B,3,H,W] in [-1,1], as they are after a byte each."""
    with torch.no_grad():
        return to_bytes(generator(*seeded(generator, seeds, 1.0))).float() / 127.5 - 1


# ------------------------------------------------------------------------------------------------ its idea


def test_features_are_what_each_layer_gave(dataset: Dataset) -> None:
    generator = recipe_of(dataset).generator
    heard: list[Tensor] = []
    layers = [layer for layer in generator.modules() if hasattr(layer, "strength")]
    layers.sort(key=lambda layer: layer.conv.weight.shape[0], reverse=True)
    handles = [layer.register_forward_hook(lambda module, inputs, output: heard.append(output)) for layer in layers]
    with torch.no_grad():
        plain = generator(*seeded(generator, [1, 2], 1.0))
        for handle in handles:
            handle.remove()
        images, maps = drawn_with_maps(generator, *seeded(generator, [1, 2], 1.0))
    torch.testing.assert_close(images, plain)
    assert len(heard) == 7
    every = torch.arange(SIZE[0] * SIZE[1])
    expected = torch.cat([F.interpolate(x, SIZE, mode="bilinear", align_corners=False) for x in heard], 1)
    assert expected.shape[1] == width(generator) == D
    torch.testing.assert_close(at_pixels(maps, 1, every, SIZE), expected[1].flatten(1).T, rtol=1e-4, atol=1e-4)


def test_the_search_finds_a_drawn_image_and_each_alone(dataset: Dataset) -> None:
    generator = recipe_of(dataset).generator
    images = drawn(generator, [5, 6])
    how = {"steps": 80, "lr": 0.1, "closeness": 0.0}
    together = invert(generator, images, repeated(generator, [1, 2]), **how)  # type: ignore[arg-type]
    with torch.no_grad():
        noise = repeated(generator, [1, 2])
        found = distance(generator(together, noise), images)
        usual = distance(generator(generator.usual().mean(0).expand_as(together), noise), images)
    assert (found < 0.1 * usual).all()
    alone = invert(generator, images[1:], repeated(generator, [2]), **how)  # type: ignore[arg-type]
    torch.testing.assert_close(alone[0], together[1], rtol=0.05, atol=0.05)
    held = invert(generator, images, repeated(generator, [1, 2]), steps=20, lr=0.1, closeness=1e6)
    spread = generator.usual().std(0)
    assert ((held - generator.usual().mean(0)) / spread).abs().max() < 0.1
    assert not generator.synthesis.seed.grad


def test_distance_is_a_sum_over_three_scales() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 2, 3, 8, 16)).astype("float32")
    want = np.zeros(2)
    for size in (1, 2, 4):
        means = [x.reshape(2, 3, 8 // size, size, 16 // size, size).mean((3, 5)) for x in (a, b)]
        want += ((means[0] - means[1]) ** 2).mean((1, 2, 3))
    np.testing.assert_allclose(distance(torch.from_numpy(a), torch.from_numpy(b)).numpy(), want, rtol=1e-5)


def test_few_labelled_images_teach_the_labels_of_others(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """The "real" images are some that the network can draw, their class whether one number of its last layer is high:
    from a search that finds their styles it is learnt, and read off others. (Styles that a search finds in a network
    without training draw the image, but by other features.)"""
    recipe = recipe_of(dataset, labelled=6, ignored_share=0, kept_pixels=2048, sample_batch=4)
    asked = iter((range(100, 104), range(104, 106)))
    heard: list[Tensor] = []
    recipe.generator.synthesis.staying[-1].register_forward_hook(lambda module, inputs, output: heard.append(output))

    def high(seeds: list[int]) -> tuple[Tensor, Tensor]:
        images = to_bytes(drawn(recipe.generator, seeds))
        return images, heard[-1][:, 0] > 0

    real, classes = high(list(range(100, 106)))

    def pair(split: str, index: int, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        return real[index].permute(1, 2, 0).numpy(), classes[index].numpy().astype(np.uint8)

    def found(generator: Generator, images: Tensor, *given: object, **how: object) -> Tensor:
        seeds = next(asked)
        torch.testing.assert_close(images, real[[seed - 100 for seed in seeds]].float() / 127.5 - 1)
        return seeded(generator, seeds, 1.0)[0]

    monkeypatch.setattr(dataset, "pair", pair)
    monkeypatch.setattr("gcbench.baselines.dataset_gan.training.invert", found)
    optimizer = torch.optim.Adam(recipe.annotator.parameters(), lr=3e-3)
    recipe.annotator.train()
    generator = torch.Generator().manual_seed(0)
    for _ in range(150):
        parts = recipe(Batch(torch.empty(0), torch.empty(0), []), generator, "classifiers")
        optimizer.zero_grad()
        parts["loss"].backward()
        optimizer.step()
    images, layouts, doubts = recipe.eval().sampled(list(range(12)))
    same, wanted = high(list(range(12)))
    assert torch.equal(images, same)
    assert 0.2 < wanted.float().mean() < 0.8  # chance would be right of about half
    assert (layouts == wanted).float().mean() > 0.85
    assert (doubts > 0).all()


# ----------------------------------------------------------------------------------------------- the model


def loud(annotator: Ensemble) -> None:
    """Classifiers that disagree, as if they had learnt something."""
    generator = torch.Generator().manual_seed(1)
    for module in annotator.modules():
        if isinstance(module, nn.BatchNorm1d):
            assert module.num_batches_tracked is not None
            module.num_batches_tracked += 1
        if isinstance(module, nn.Linear):
            module.weight.data.normal_(std=0.5, generator=generator)


@pytest.fixture
def weights(dataset: Dataset, tmp_path: Path) -> Path:
    recipe = recipe_of(dataset)
    loud(recipe.annotator)
    checkpoint.save(tmp_path / "model.safetensors", recipe.weights(), recipe.card({}))
    return tmp_path / "model.safetensors"


def test_a_sample_depends_on_its_own_seed(dataset: Dataset, weights: Path) -> None:
    model, again = (DatasetGAN.open(dataset, ModelOptions(checkpoint=weights)) for _ in range(2))
    assert (model.conditional, model.guided, model.layouts) == (False, False, True)
    seeds = [3, 14, 15, 92, 6]
    doubts = model.draw_once(seeds, 3)[2]
    for one in (model, again):
        one.network["annotator"].uncertainties.fill_(float(doubts.sort().values[2:4].mean()))  # two are drawn again

    def draw(one: DatasetGAN, seeds: list[int]) -> Any:
        return one.generate(None, n=len(seeds), size=SIZE, guidance=1, seeds=seeds)

    together, backwards = draw(model, seeds), draw(again, seeds[::-1])
    first = model.draw_once(seeds, 3)
    redrawn = [i for i in range(5) if not torch.equal(together.images[i], first[0][i])]
    assert redrawn
    assert set(redrawn) <= set(doubts.argsort()[3:].tolist())
    second = model.draw_once([derived_seed(seeds[redrawn[0]], TRY, i) for i in (1, 2, 3)], 1)[0]
    assert any(torch.equal(together.images[redrawn[0]], image) for image in second)
    for i, seed in enumerate(seeds):
        for other, row in ((draw(again, [seed]), 0), (backwards, 4 - i)):
            assert_same_images(together.images[i], other.images[row])
            assert_same_layouts(together.layouts[i], other.layouts[row])
    assert model.sampler() == {"psi": 1.0, "keep": 0.9, "tries": 4.0, "precision": "fp32"}


def test_a_checkpoint_without_trained_classifiers_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    recipe = recipe_of(dataset)
    checkpoint.save(tmp_path / "early.safetensors", recipe.weights(), recipe.card({}))
    with pytest.raises(UserError, match=r"early.safetensors was saved before its pixel classifiers were trained"):
        DatasetGAN.open(dataset, ModelOptions(checkpoint=tmp_path / "early.safetensors"))


def test_parameters_of_paper_and_tiny() -> None:
    with torch.device("meta"):
        generator, small = Generator(PAPER), Generator(TINY)
        ensemble = Ensemble(PAPER, width(generator), 20)
    assert width(generator) == 512 + 2 * (4 * 512 + 256 + 128) == 5376
    mlp = (5376 + 1) * 128 + (128 + 1) * 32 + (32 + 1) * 20 + 2 * (128 + 32)
    assert count(ensemble) == 10 * mlp
    assert width(small) == 128 + 2 * (128 + 64 + 32 + 16)
    assert count(generator) == pytest.approx(
        30.03e6, rel=1e-3
    )  # StyleGAN2's for 256×256, and its seed is twice as wide


# ------------------------------------------------------------------------------------------------ training

RUN = {**FEW, "model.batch_pixels": 64, "train.batch_size": 4, "train.log_every": 1, "model.gan_share": 0.5}


def test_train_sample_sweep(toyland: Path, tmp_path: Path, cli: Cli, oracle: None, without_curve: None) -> None:
    settings = [part for key, value in RUN.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    common = ("--model", "dataset-gan", "--dataset", toyland)
    run = tmp_path / "trained"
    trained = cli("train", *common, *settings, "--set", "model.classifier_lr=0.01", "--steps", 60, "--out", run)
    assert trained.code == 0, trained.err
    with open(run / "log.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    reading = [float(row["classifiers"]) for row in rows if row["classifiers"]]
    assert [bool(row["generator"]) for row in rows] == [True] * 30 + [False] * 30
    assert len(reading) == 30
    assert sum(reading[-5:]) < 0.7 * sum(reading[:5])
    assert float(rows[-1]["inversion"]) > 0
    weights = run / "model.safetensors"
    measured = checkpoint.load(weights, kind="model").state["annotator.uncertainties"]
    assert len(measured.unique()) > 1
    assert measured.max() < 1.0986  # log 3, the most that three classifiers can disagree

    swept = cli("sweep", *common, "--checkpoint", weights, "-n", 6, "--out", tmp_path / "run")
    assert swept.code == 0, swept.err
    record = Record.read(tmp_path / "run" / "record.json")
    [point] = record.points
    assert (point.guidance, record.protocol.prompts, record.protocol.sampler["keep"]) == (None, None, 0.9)
    assert "searched for" in str(record.model.note)
    assert {name: point.scores[name].status for name in ("fd", "miou", "fsd")} == dict.fromkeys(
        ("fd", "miou", "fsd"), "ok"
    )
    refused = {
        ("sampler.keep=0",): "setting sampler.keep=0 is not valid: give more than 0",
        ("sampler.psi=-1",): "setting sampler.psi=-1 is not valid",
        ("filter.keep=0.5",): "it is called sampler.keep here",
    }
    for (setting,), complaint in refused.items():
        bad = cli("sample", *common, "--checkpoint", weights, "--set", setting, "-n", 2, "--out", tmp_path / "bad")
        assert (bad.code, complaint in bad.complaint) == (2, True), bad.complaint


def test_a_resumed_run_gives_the_same_weights(toyland: Path, tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    def stop(step: int, loss: float, speed: float) -> None:
        if step == 11:
            raise Stopped

    dataset = open_dataset(str(toyland))
    settings = {**RUN, "train.steps": 12, "train.save_every": 4, "train.preview_every": 12}
    pairs = Pairs(dataset, "train", dataset.size)

    def run(out: Path, **how: object) -> dict[str, Tensor]:
        recipe = DatasetGAN.recipe(dataset, dict(settings))
        path = train(recipe, pairs, out, provenance={}, **how)  # type: ignore[arg-type]
        return checkpoint.load(path, kind="model").state

    unbroken = run(tmp_path / "unbroken")
    with pytest.raises(Stopped):
        run(tmp_path / "broken", tick=stop)  # its last state is of step 8, in the classifiers' stage
    resumed = run(tmp_path / "broken", resume=True)
    assert unbroken.keys() == resumed.keys()
    assert all(torch.equal(unbroken[name], resumed[name]) for name in unbroken)
    assert (tmp_path / "broken" / "previews" / "0000012.png").is_file()
