"""Two stages in a row, of random weights: what the second is told, what shapes a sample, what is refused, training."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import SIZE, Cli, assert_same_images, assert_same_layouts, comparable, write_gcdp, write_toyland
from PIL import Image

from gcbench import regress, sample, sweep
from gcbench.core import checkpoint
from gcbench.core.contracts import Dataset, ModelOptions
from gcbench.core.errors import UserError
from gcbench.data.open_dataset import open_dataset
from gcbench.gcdp import sampling
from gcbench.gcdp.cascade import Cascade
from gcbench.gcdp.model import GCDP
from gcbench.gcdp.training import GCDPRecipe, ImageRecipe
from gcbench.networks.unet import LowRes
from gcbench.training.recipe import TrainConfig

SMALL = (SIZE[0] // 2, SIZE[1] // 2)
TEXTS = ["a car", "a sky and a tree", "a road", "no car", "an image with road"]
SEEDS = [5, 1, 40, 7, 2]


@pytest.fixture(scope="module")
def world(toyland: Path) -> Dataset:
    return open_dataset(str(toyland))


@pytest.fixture(scope="module")
def stages(world: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("stages")
    base = write_gcdp(folder / "base/model.safetensors", world, size=SMALL)
    return base, write_gcdp(folder / "sr/model.safetensors", world, lowres=True)


def opened(world: Dataset, stages: tuple[Path, Path], **options: Any) -> Cascade:
    model = GCDP.open(world, ModelOptions(checkpoint=stages[0], cascade=stages[1], **options))
    assert isinstance(model, Cascade)
    return model


def drawn(model: Cascade, rows: list[int], guidance: float = 2.0) -> Any:
    texts, seeds = [TEXTS[i] for i in rows], [SEEDS[i] for i in rows]
    return model.generate(texts, n=len(rows), size=SIZE, guidance=guidance, seeds=seeds)


def test_a_sample_depends_on_its_own_text_and_seed(world: Dataset, stages: tuple[Path, Path]) -> None:
    """Not on the batch it is in or its place there; both stages' noise and the text shape it."""
    model = opened(world, stages)
    whole = drawn(model, [0, 1, 2, 3, 4])
    assert whole.images.shape == (5, 3, *SIZE)
    assert whole.layouts.shape == (5, *SIZE)
    assert whole.layout_source == "generated"
    assert whole.prompts == tuple(TEXTS)
    for rows in ([3], [4, 0]):
        part = drawn(model, rows)
        assert_same_images(part.images, whole.images[rows])
        assert_same_layouts(part.layouts, whole.layouts[rows])
    same = model.generate([TEXTS[0]] * 2, n=2, size=SIZE, guidance=2.0, seeds=[5, 6])
    other = model.generate([TEXTS[1]], n=1, size=SIZE, guidance=2.0, seeds=[5])
    assert (same.images[0] != same.images[1]).any()
    assert (same.images[0] != other.images[0]).any()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Any, list[int]]]:
    """What each stage is asked: kind of what stands beside, the texts, the seeds."""
    asked: list[tuple[Any, Any, list[int]]] = []
    real: Callable[..., Any] = sampling.sample_many

    def spy(network: Any, process: Any, prompts: Any, seeds: Any, how: Any, **more: Any) -> Any:
        asked.append((more["beside"], prompts, list(seeds)))
        return real(network, process, prompts, seeds, how, **more)

    monkeypatch.setattr("gcbench.gcdp.model.sample_many", spy)
    return asked


def test_ids_not_colours_are_passed_on_with_the_same_text_and_other_noise(
    world: Dataset, stages: tuple[Path, Path], told: list[tuple[Any, Any, list[int]]]
) -> None:
    """The second stage gets the first one's bytes and class ids as they are; a text that denies reads alike in both."""
    model = opened(world, stages)
    drawn(model, [0, 3])
    small = model.base.generate([TEXTS[0], TEXTS[3]], n=2, size=SMALL, guidance=2.0, seeds=[5, 7])
    (first, texts, seeds), (beside, again, others), _ = told
    assert first is None
    assert seeds == [5, 7]
    assert beside.kind == "low"
    assert torch.equal(beside.images, small.images)
    assert torch.equal(beside.layouts, small.layouts)
    assert again == texts
    assert "car" not in texts[1]
    assert not {*seeds} & {*others}


def test_what_the_second_stage_is_told_is_the_nearest_enlarging_noised_at_low_noise(
    world: Dataset, stages: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By NumPy: at low_noise 0 the pair itself, but for the schedule's 1e-4; at 0.2 as much noise as the linear
    schedule has there: abar = exp(-(1e-4 + 10 t²)), of image and layout alike."""
    seen: list[LowRes] = []
    real = sampling.enlarged

    def spy(*arguments: Any) -> LowRes:
        seen.append(real(*arguments))
        return seen[-1]

    monkeypatch.setattr(sampling, "enlarged", spy)
    for noise in (0.0, 0.2):
        drawn(opened(world, stages, settings={"sampler.low_noise": noise}), [0, 1, 2, 4], 1.0)
    texts, seeds = [TEXTS[i] for i in (0, 1, 2, 4)], [SEEDS[i] for i in (0, 1, 2, 4)]
    small = opened(world, stages).base.generate(texts, n=4, size=SMALL, guidance=1.0, seeds=seeds)
    images = small.images.numpy().repeat(2, 2).repeat(2, 3) / 127.5 - 1
    layouts = small.layouts.numpy().repeat(2, 1).repeat(2, 2)  # type: ignore[union-attr]
    clean, noisy = seen
    assert np.abs(clean.image.numpy() - images).max() < 0.06  # sigma = 0.01
    assert (clean.layout.numpy() == layouts).mean() > 0.99  # type: ignore[union-attr]
    abar = float(np.exp(-(1e-4 + 10 * 0.2**2)))
    assert noisy.log_snr.tolist() == pytest.approx([np.log(abar / (1 - abar))] * 4, rel=1e-4)
    rest = noisy.image.numpy() - np.sqrt(abar) * images
    assert rest.std() == pytest.approx(np.sqrt(1 - abar), rel=0.02)
    stays = abar + (1 - abar) / len(world.classes)
    assert (noisy.layout.numpy() == layouts).mean() == pytest.approx(stays, abs=0.02)  # type: ignore[union-attr]


def test_a_run_says_both_stages_and_resumes(
    stages: tuple[Path, Path], toyland: Path, tmp_path: Path, oracle: None
) -> None:
    """Weights, steps and sampler of each in the record; the same call resumes it, another guidance of the second stage
    does not; measured again, it holds."""
    folders = f"{stages[0].parent},{stages[1].parent}"
    options: dict[str, Any] = {"dataset": str(toyland), "n": 4, "guidance": "2", "metrics": "miou", "steps": 2}
    options["keep_samples"] = True
    settings = {"sampler.sr_guidance": 3, "sampler.sr_steps": 3, "sampler.sr_image_sampler": "ddim"}
    record = sweep(cascade=folders, settings=settings, out=tmp_path / "a", **options)
    cards = [checkpoint.read_card(path) for path in stages]
    assert record.model.weights == "+".join(card.sha256 for card in cards)
    assert record.model.note == "cascade 16x32 to 32x64"
    counts = [sum(t.numel() for t in checkpoint.load(path, kind="model").state.values()) for path in stages]
    assert record.model.parameters == sum(counts)
    expected = {"steps": 2, "sr_steps": 3, "sr_guidance": 3, "low_noise": 0.2, "sr_image_sampler": "ddim"}
    assert expected.items() <= record.protocol.sampler.items()
    assert record.protocol.sampler["image_sampler"] == "ancestral"
    assert record.protocol.size == SIZE
    assert record.spec is not None
    assert record.spec["cascade"] == ["base", "sr"]  # no path of this machine
    assert record.training is not None
    trainings = [record.training, *record.training.further]
    assert [training.images for training in trainings] == [card.images_seen for card in cards]
    assert [training.split for training in trainings] == [card.provenance.get("split") for card in cards]
    again = sweep(cascade=stages, settings=settings, out=tmp_path / "a", **options)
    assert comparable(again.model_dump()) == comparable(record.model_dump())
    same = regress(runs=tmp_path / "a", dataset=str(toyland), cascade=folders, settings=settings)
    assert [check.status for check in same.runs[0].checks if check.status != "pass"] == []
    with pytest.raises(UserError, match="sr_guidance"):
        sweep(cascade=stages, settings={**settings, "sampler.sr_guidance": 1}, out=tmp_path / "a", **options)


def test_imagen_has_stages_too(world: Dataset, stages: tuple[Path, Path], toyland: Path, tmp_path: Path) -> None:
    """Without layouts, from a base of its own; the stages of another model are refused."""
    kind = ("imagen", ImageRecipe)
    base = write_gcdp(tmp_path / "base.safetensors", world, size=SMALL, kind=kind)
    upper = write_gcdp(tmp_path / "sr.safetensors", world, lowres=True, kind=kind)
    options: dict[str, Any] = {"dataset": str(toyland), "prompts": ["a car"], "n": 2, "guidance": 2}
    (samples,) = sample(tmp_path / "out", "imagen", cascade=(base, upper), **options)
    assert samples.images.shape == (2, 3, *SIZE)
    assert samples.layouts is None
    with pytest.raises(UserError, match="is of the model 'gcdp', not of 'imagen'"):
        sample(tmp_path / "mixed", "imagen", cascade=(base, stages[1]), **options)


def test_an_unconditional_first_stage_asks_for_no_text(
    world: Dataset, stages: tuple[Path, Path], tmp_path: Path
) -> None:
    base = write_gcdp(tmp_path / "base.safetensors", world, size=SMALL, text=False)
    model = opened(world, (base, stages[1]))
    assert not model.conditional
    assert model.generate(None, n=1, size=SIZE, guidance=1.0, seeds=[3]).images.shape == (1, 3, *SIZE)


def test_what_cannot_be_a_cascade_is_refused_in_a_sentence(
    cli: Cli, world: Dataset, stages: tuple[Path, Path], toyland: Path, tmp_path: Path
) -> None:
    base, upper = stages
    tiny = write_gcdp(tmp_path / "tiny.safetensors", world, size=(8, 16))
    other = open_dataset(str(write_toyland(tmp_path / "other", {"train": 1, "val": 1})))
    other.classes = tuple(reversed(other.classes))
    strange = write_gcdp(tmp_path / "strange.safetensors", other, lowres=True)
    both = f"{base},{upper}"

    def refused(*arguments: object, command: str = "sample") -> str:
        out = tmp_path / "refused"
        got = cli(command, "--dataset", toyland, "--out", out, "-n", 1, *arguments)
        assert got.code == 2
        assert not got.out
        assert "Traceback" not in got.err
        return got.complaint

    assert "give two checkpoints" in refused("--cascade", base)
    assert "give two checkpoints" in refused("--cascade", f"{both},{base}")
    assert "give two checkpoints" in refused("--cascade", f"{base},")
    assert f"{tmp_path / 'absent'} does not exist" in refused("--cascade", f"{base},{tmp_path / 'absent'}")
    assert "leave one out" in refused("--cascade", both, "--checkpoint", base)
    assert "train each stage" in refused("--cascade", both, "-n", 2, "--train", command="sweep")
    assert f"{upper} is a super-resolution stage; give both stages, this one second" in refused(
        "--cascade", f"{upper},{base}"
    )
    assert f"{base} is a base stage; give both stages, this one first" in refused("--cascade", f"{base},{base}")
    assert f"{upper} is a super-resolution stage" in refused("--checkpoint", upper)
    assert "draws 8x16 and the second enlarges 16x32 to 32x64" in refused("--cascade", f"{tiny},{upper}")
    assert "trained for 5 other classes" in refused("--cascade", f"{base},{strange}")
    for model in ("lafite", "dataset-ddpm", "real", "ldm"):
        assert f"--cascade: {model} has one stage" in refused("--cascade", both, "--model", model)
    assert "draws 32x64 only" in refused("--cascade", both, "--size", "64x128")
    assert "did you mean sampler.low_noise?" in refused("--cascade", both, "--set", "sampler.sr_low_noise=0.1")
    assert "low_noise=1.5 is not valid: give less than 1" in refused(
        "--cascade", both, "--set", "sampler.low_noise=1.5"
    )
    assert "sampler.sr_steps='x' is no number" in refused("--cascade", both, "--set", "sampler.sr_steps=x")
    assert "--steps 21 is outside 1..20" in refused("--cascade", both, "--set", "sampler.sr_steps=21")
    assert "unknown setting 'sampler.low_noise'" in refused("--checkpoint", base, "--set", "sampler.low_noise=0.1")


@pytest.mark.parametrize("value", [Path("base"), ("a",), ("a", "b", "c"), 7, (1, 2), "", ",", {"a": "b"}])
def test_what_is_no_pair_of_paths_is_refused_in_python(tmp_path: Path, value: Any) -> None:
    with pytest.raises(UserError, match="cascade"):
        sample(tmp_path / "out", cascade=value)


def test_the_second_stage_trains_previews_and_resumes(
    cli: Cli, stages: tuple[Path, Path], toyland: Path, tmp_path: Path
) -> None:
    """`preset=tiny-sr`, made small: a run stopped after two steps and resumed is the run never stopped; its preview
    shows above each sample the pair it enlarges; its weights are a second stage."""
    small = ["model.unet.dim=8", "model.unet.groups=4", "model.sample_steps=1", "model.unet.drawing_blocks=1"]
    settings = [word for one in ["preset=tiny-sr", "train.batch_size=2", *small] for word in ("--set", one)]
    begin = ["train", "--model", "gcdp", "--dataset", toyland, *settings]
    assert cli(*begin, "--steps", 3, "--out", tmp_path / "whole").code == 0
    assert cli(*begin, "--steps", 2, "--out", tmp_path / "cut").code == 0
    assert cli(*begin, "--steps", 3, "--out", tmp_path / "cut", "--resume").code == 0
    cards = [checkpoint.read_card(tmp_path / run / "model.safetensors") for run in ("whole", "cut")]
    assert cards[0].sha256 == cards[1].sha256
    rows = list(csv.DictReader((tmp_path / "whole/log.csv").open()))
    assert all(np.isfinite(float(rows[-1][name])) for name in ("loss", "image", "label"))
    assert cards[0].config["unet"]["lowres"]
    image = np.asarray(Image.open(tmp_path / "whole/previews/0000003.png").convert("RGB"))
    dataset = open_dataset(str(toyland))
    pair = dataset.pair("val", 0, SMALL)[0]
    edge = next(
        i for i in range(9) if (image[i : i + SIZE[0], i : i + SIZE[1]] == pair.repeat(2, 0).repeat(2, 1)).all()
    )
    assert edge < 9  # the first tile is the nearest enlarging of the first held-out pair
    got = cli("sample", "--dataset", toyland, "--cascade", f"{stages[0].parent},{tmp_path / 'whole'}", "-n", 1,
              "--steps", 1, "--guidance", 2, "--out", tmp_path / "out")  # fmt: skip
    assert got.code == 0, got.err
    assert Image.open(tmp_path / "out/images/000000.png").size == SIZE[::-1]
    (said,) = [
        json.loads(path.read_text()) for path in (tmp_path / "out").glob("*.json") if "protocol" in path.read_text()
    ]
    assert '"sr_guidance": 1.0' in json.dumps(said)


def test_training_draws_one_time_a_batch_and_shrinks_by_the_nearest_pixel(
    world: Dataset, stages: tuple[Path, Path]
) -> None:
    """One log-SNR for all; the layout that it is told has every second pixel twice, but where noise has changed it."""
    cfg = opened(world, stages).upper.cfg
    recipe = GCDPRecipe("gcdp", cfg, world, TrainConfig())
    generator = torch.Generator().manual_seed(0)
    layout = torch.randint(0, 5, (64, *SIZE), generator=generator)
    image = torch.rand(64, 3, *SIZE, generator=generator)
    times = set()
    for _ in range(5):
        low = recipe.low(image, layout, generator)
        assert len(set(low.log_snr.tolist())) == 1
        times |= {*low.log_snr.tolist()}
        nearest = layout[:, ::2, ::2].repeat_interleave(2, 1).repeat_interleave(2, 2)
        abar = float(low.log_snr[0].sigmoid())
        assert float((low.layout == nearest).double().mean()) == pytest.approx(abar + (1 - abar) / 5, abs=0.02)
    assert len(times) == 5


@pytest.mark.parametrize("low", ["32x64", [64, 128], [12, 32], "16x48"])
def test_a_low_size_that_is_no_part_of_the_size_is_refused(
    cli: Cli, toyland: Path, tmp_path: Path, low: list[int] | str
) -> None:
    got = cli("train", "--model", "gcdp", "--dataset", toyland, "--set", "preset=tiny-sr", "--out", tmp_path / "out",
              "--set", f"model.low_size={low}")  # fmt: skip
    assert got.code == 2
    named = list(map(int, low.split("x"))) if isinstance(low, str) else low
    assert f"model.low_size={named} is no whole part of model.size=[32, 64]" in got.complaint
