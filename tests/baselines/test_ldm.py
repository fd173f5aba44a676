"""ldm: what it is made of, against diffusers' own loops and closed forms, and its whole life by the command line."""

import csv
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Cli, assert_same_images
from PIL import Image
from torch import Tensor

from gcbench.baselines.ldm.config import PAPER, TINY, LDMConfig, UNetConfig, VAEConfig
from gcbench.baselines.ldm.model import LDM
from gcbench.baselines.ldm.reconstruction import LDMReconstruction
from gcbench.baselines.ldm.training import LDMRecipe
from gcbench.core import checkpoint
from gcbench.core.contracts import Dataset, ModelOptions
from gcbench.core.record import Record
from gcbench.data.open_dataset import open_dataset
from gcbench.networks.text import WordEncoder
from gcbench.training.pairs import Pairs
from gcbench.training.recipe import Batch, TrainConfig
from gcbench.training.trainer import train

SIZE = (32, 64)
SMALL: dict[str, Any] = {
    "model.vae.channels": [8, 16],
    "model.vae.groups": 4,
    "model.unet.channels": [16, 16],
    "model.unet.cross_attention": [False, True],
    "model.unet.heads": 2,
    "model.text.dim": 8,
    "model.text.max_length": 12,
    "model.process.steps": 20,
    "model.sample_steps": 3,
    "model.sample_batch": 3,
}


def as_arguments(settings: dict[str, Any]) -> list[str]:
    pairs = (f"{key}={str(value).lower()}" for key, value in settings.items())
    return [part for pair in pairs for part in ("--set", pair)]


def recipe_of(dataset: Dataset, **settings: Any) -> LDMRecipe:
    """A small recipe whose U-Net, of random weights, answers loudly; a field of the config is `vae__kl=…`."""
    more = {f"model.{key.replace('__', '.')}": value for key, value in settings.items()}
    recipe = LDM.recipe(dataset, {**SMALL, **more})
    assert isinstance(recipe, LDMRecipe)
    with torch.no_grad():
        recipe.network.unet.conv_out.weight.normal_(std=0.2, generator=torch.Generator().manual_seed(0))
        recipe.network.std.fill_(0.5 if recipe.own_vae else recipe.network.std.item())
    return recipe


def saved(recipe: LDMRecipe, folder: Path) -> Path:
    checkpoint.save(folder / "model.safetensors", recipe.weights(), recipe.card({"steps": 0}))
    return folder / "model.safetensors"


@pytest.fixture(scope="module")
def dataset(toyland: Path) -> Dataset:
    return open_dataset(str(toyland))


@pytest.fixture(scope="module")
def weights(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(recipe_of(dataset), tmp_path_factory.mktemp("ldm"))


@pytest.fixture(scope="module")
def batch(dataset: Dataset) -> Batch:
    return Pairs(dataset, "train", SIZE).batch(0, 6, seed=0, flip=False)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ------------------------------------------------------------------------------------------------ sampling


@pytest.mark.parametrize(("head", "steps"), [("v", 20), ("eps", 20), ("eps", 10)])
@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_an_image_is_that_of_diffusers_own_loop(
    head: str, steps: int, guidance: float, dataset: Dataset, tmp_path: Path
) -> None:
    """DDIMScheduler, one text at a time without padding or mask, two passes a step: the same image."""
    from diffusers import DDIMScheduler

    path = saved(recipe_of(dataset, process__head=head), tmp_path)
    model = LDM.open(dataset, ModelOptions(checkpoint=path, steps=steps))
    prompt, seed = "an image with car and tree", 7
    drawn = model.generate([prompt], n=1, size=SIZE, guidance=guidance, seeds=[seed]).images

    network = model.network
    assert isinstance(network.text, WordEncoder)
    ids = torch.tensor([[network.text.index[word] for word in prompt.split()]])
    scheduler = DDIMScheduler(
        num_train_timesteps=20,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        timestep_spacing="trailing",
        prediction_type={"v": "v_prediction", "eps": "epsilon"}[head],
    )
    scheduler.set_timesteps(steps)
    z = torch.randn(1, 4, 8, 16, generator=generator(seed))
    with torch.no_grad():
        for t in scheduler.timesteps:
            conditional = network.unet(z, t, encoder_hidden_states=network.text.table(ids)).sample
            null = network.unet(z, t, encoder_hidden_states=network.null.view(1, 1, -1)).sample
            z = scheduler.step(null + guidance * (conditional - null), t, z).prev_sample
        image = torch.nn.functional.pixel_shuffle(network.vae.kl.decode(0.5 * z).sample, 2)
    expected = (image.clamp(-1, 1) + 1) * 127.5
    assert len(scheduler.timesteps) == steps
    assert expected.std() > 5
    assert (drawn - expected).abs().max() <= 1


def test_guidance_and_texts_change_the_image(dataset: Dataset, weights: Path) -> None:
    model = LDM.open(dataset, ModelOptions(checkpoint=weights))
    assert (model.conditional, model.guided, model.layouts) == (True, True, False)

    def image(prompt: str, scale: float) -> Tensor:
        made = model.generate([prompt], n=1, size=SIZE, guidance=scale, seeds=[3])
        assert made.layouts is None
        return made.images

    assert torch.equal(image("car", 2.0), image("car", 2.0))
    assert not torch.equal(image("car", 1.0), image("tree", 1.0))
    assert not torch.equal(image("car", 1.0), image("car", 6.0))
    assert torch.equal(image("car", 0.0), image("tree", 0.0))  # the null alone
    without = model.generate(None, n=1, size=SIZE, guidance=4.0, seeds=[3]).images
    assert (without.int() - image("tree", 0.0).int()).abs().max() <= 1
    assert model.seconds_per_image(SIZE, 2.0) > 0


def test_an_image_depends_on_its_own_seed_and_text(dataset: Dataset, weights: Path) -> None:
    model = LDM.open(dataset, ModelOptions(checkpoint=weights))
    texts = {4: "car", 5: "an image with car and tree and sky", 6: "tree", 7: "sky", 8: "car"}

    def draw(*seeds: int) -> Tensor:
        prompts = [texts[seed] for seed in seeds]
        return model.generate(prompts, n=len(seeds), size=SIZE, guidance=2.0, seeds=seeds).images

    together = draw(4, 5, 6, 7, 8)
    assert_same_images(draw(8, 6, 4)[[2, 1, 0]], together[[0, 2, 4]])
    assert_same_images(draw(7), together[3:4])
    assert not torch.equal(together[0], together[4])  # one text, two seeds


def test_half_precision_stays_near(dataset: Dataset, weights: Path) -> None:
    full, half = (
        LDM.open(dataset, ModelOptions(checkpoint=weights, precision=precision))  # type: ignore[arg-type]
        .generate(["car"], n=1, size=SIZE, guidance=2.0, seeds=[1])
        .images.float()
        for precision in ("fp32", "bf16")
    )
    assert 0 < (full - half).abs().mean() < 4


# ------------------------------------------------------------------------------------------------ reconstruction


def test_the_reconstruction_is_the_autoencoders_own(dataset: Dataset, weights: Path) -> None:
    """An AutoencoderKL of diffusers, filled from the file by hand: encode, mode, decode."""
    from diffusers import AutoencoderKL
    from safetensors.torch import load_file

    kl = AutoencoderKL(
        in_channels=12,
        out_channels=12,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 16),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        mid_block_add_attention=False,
    )
    prefix = "vae.kl."
    kl.load_state_dict({k.removeprefix(prefix): v for k, v in load_file(weights).items() if k.startswith(prefix)})
    model = LDMReconstruction.open(dataset, ModelOptions(checkpoint=weights))
    made = model.generate(None, n=4, size=SIZE, guidance=1.0, seeds=[13, 0, 5, 14])
    places = [13, 0, 5, 0]  # the split holds 14 pairs
    pairs = [dataset.pair("val", place, SIZE) for place in places]
    x = torch.stack([torch.from_numpy(image) for image, _ in pairs]).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.no_grad():
        latents = kl.encode(torch.nn.functional.pixel_unshuffle(x, 2)).latent_dist.mode()
        back = torch.nn.functional.pixel_shuffle(kl.decode(latents).sample, 2)
    assert latents.shape == (4, 4, 8, 16)
    assert (made.images - (back.clamp(-1, 1) + 1) * 127.5).abs().max() <= 1
    assert made.layout_source == "real"
    assert made.layouts is not None
    assert torch.equal(made.layouts, torch.stack([torch.from_numpy(layout).long() for _, layout in pairs]))
    assert made.prompts == tuple(dataset.captions("val", place)[0] for place in places)
    alone = model.generate(None, n=1, size=SIZE, guidance=1.0, seeds=[5])
    assert_same_images(alone.images, made.images[2:3])
    assert model.describe()["parameters"] == sum(p.numel() for p in kl.parameters())


# ------------------------------------------------------------------------------------------------ training


def test_scaled_latents_have_unit_variance(dataset: Dataset, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = recipe_of(dataset)
    seen: list[Tensor] = []
    loss = recipe.process.loss
    monkeypatch.setattr(
        recipe.process, "loss", lambda predict, z0, t, eps: (seen.append(z0), loss(predict, z0, t, eps))[1]
    )
    recipe(batch, generator(), "unet")
    first = recipe.network.std.clone()
    other = batch._replace(images=255 - batch.images)
    recipe(other, generator(1), "unet")
    assert seen[0].std().item() == pytest.approx(1, abs=1e-5)
    assert torch.equal(recipe.network.std, first)  # the first batch says it for all
    with torch.no_grad():
        for parameter in recipe.network.vae.kl.quant_conv.parameters():
            parameter[:4] *= 3  # the means of the latents
    recipe(batch, generator(), "vae")
    recipe(batch, generator(), "unet")
    assert seen[2].std().item() == pytest.approx(1, abs=1e-5)
    assert recipe.network.std > 1.2 * first


def test_the_losses_are_those_of_the_formulas(dataset: Dataset, batch: Batch) -> None:
    """A silent head misses eps by its variance, and v too; the KL of a unit normal with mean 2 is 2 nats an element."""
    for head in ("eps", "v"):
        recipe = recipe_of(dataset, process__head=head)
        torch.nn.init.zeros_(recipe.network.unet.conv_out.weight)
        losses = [recipe(batch, generator(seed), "unet")["loss"].item() for seed in range(4)]
        assert sum(losses) / 4 == pytest.approx(1, abs=0.1)
    recipe = recipe_of(dataset, vae__kl=0.5)
    quant = recipe.network.vae.kl.quant_conv
    with torch.no_grad():
        quant.weight.zero_()
        quant.bias.copy_(torch.tensor([2.0] * 4 + [0.0] * 4))
    values = recipe(batch, generator(), "vae")
    nats = 2.0 * 4 * 8 * 16 / (3 * 32 * 64)
    assert values["kl"].item() == pytest.approx(nats, rel=1e-5)
    assert values["loss"].item() == pytest.approx(values["reconstruction"].item() + 0.5 * nats, rel=1e-5)


def test_dropped_texts_teach_the_null_alone(dataset: Dataset, batch: Batch) -> None:
    def gradients(drop: float) -> tuple[Tensor | None, Tensor | None]:
        recipe = recipe_of(dataset, cond_drop=drop)
        recipe(batch, generator(), "unet")["loss"].backward()
        assert isinstance(recipe.network.text, WordEncoder)
        return recipe.network.null.grad, recipe.network.text.table.weight.grad

    null, table = gradients(1.0)
    assert null is not None
    assert null.abs().sum() > 0
    assert table is None or table.abs().sum() == 0
    null, table = gradients(0.0)
    assert table is not None
    assert table.abs().sum() > 0
    assert null is None or null.abs().sum() == 0


def test_a_tenth_of_the_texts_is_dropped(dataset: Dataset, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = recipe_of(dataset)
    kept: list[Tensor] = []
    read = recipe.network.read
    monkeypatch.setattr(recipe.network, "read", lambda texts, keep: (kept.append(keep), read(texts, keep))[1])
    monkeypatch.setattr(recipe.process, "loss", lambda *_: torch.zeros(()))
    for seed in range(100):
        recipe(batch, generator(seed), "unet")
    assert 0.85 < torch.cat(kept).float().mean() < 0.95  # 600 texts: 4 standard deviations


def test_a_stage_moves_its_own_weights(dataset: Dataset, tmp_path: Path) -> None:
    """Stopped in either stage and resumed, the weights are those of a run never stopped; the second leaves the
    autoencoder as the first made it."""

    class Stopped(Exception):
        pass

    pairs = Pairs(dataset, "train", SIZE)

    def run(out: Path, stop: int | None = None, resume: bool = False) -> dict[str, Tensor]:
        settings = {"train.steps": 10, "train.batch_size": 3, "train.save_every": 2, "train.preview_every": 3}
        recipe = LDM.recipe(dataset, {**SMALL, **settings})

        def tick(step: int, loss: float, speed: float) -> None:
            if step == stop:
                raise Stopped

        with suppress(Stopped):
            train(recipe, pairs, out, provenance={}, resume=resume, tick=tick)
        return torch.load(out / "state.pt", weights_only=True)["module"]

    whole = run(tmp_path / "whole")
    assert whole.keys() == run(tmp_path / "parts", stop=3).keys()
    between = run(tmp_path / "parts", stop=7, resume=True)
    resumed = run(tmp_path / "parts", resume=True)
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    moved = {key for key in whole if not torch.equal(whole[key], between[key])}
    assert moved
    assert not any(key.startswith("network.vae.") for key in moved)
    assert "network.std" not in moved
    heights = [Image.open(path).height for path in sorted((tmp_path / "whole" / "previews").iterdir())]
    assert heights == [2 * 34 - 2] + 3 * [3 * 34 - 2]  # nothing is drawn before the second stage


def test_train_sample_sweep(toyland: Path, tmp_path: Path, cli: Cli, oracle: None, without_curve: None) -> None:
    run = tmp_path / "trained"
    common = ("--model", "ldm", "--dataset", toyland)
    settings = {
        **SMALL,
        "train.batch_size": 6,
        "train.lr": 0.01,
        "train.warmup": 5,
        "train.ema": 0.9,
        "train.log_every": 5,
        "model.vae.share": 0.4,
    }
    trained = cli("train", *common, *as_arguments(settings), "--steps", 100, "--out", run)
    assert trained.code == 0, trained.err
    with open(run / "log.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for stage in ("vae", "unet"):
        losses = [float(row[stage]) for row in rows if row[stage]]
        assert sum(losses[-3:]) / 3 < 0.8 * losses[0], losses
    assert [bool(row["unet"]) for row in rows] == [False] * 8 + [True] * 12
    preview = Image.open(run / "previews" / "0000100.png")
    assert preview.size == (8 * 66 - 2, 3 * 34 - 2)  # held out, reconstructed, drawn

    weights = run / "model.safetensors"
    swept = cli("sweep", *common, "--checkpoint", weights, "--guidance", "1,3", "-n", 4, "--out", tmp_path / "sweep")
    assert swept.code == 0, swept.err
    record = Record.read(tmp_path / "sweep" / "record.json")
    assert [point.guidance for point in record.points] == [1, 3]
    assert record.protocol.sampler == {"sampler": "ddim", "steps": 3.0, "precision": "fp32"}
    for point in record.points:
        assert point.scores["semantic-recall"].status == "ok"
        for name in ("miou", "fsd"):
            assert point.scores[name].reason == "the samples have no layouts"
    sampled = cli(
        "sample",
        *common,
        "--checkpoint",
        weights,
        "--prompt",
        "a car",
        "-n",
        3,
        "--steps",
        2,
        "--out",
        tmp_path / "out",
    )
    assert sampled.code == 0, sampled.err
    assert len(list((tmp_path / "out" / "images").iterdir())) == 3

    floor = ("--model", "ldm-reconstruction", "--dataset", toyland, "--checkpoint", weights)
    swept = cli("sweep", *floor, "-n", 14, "--out", tmp_path / "floor")
    assert swept.code == 0, swept.err
    record = Record.read(tmp_path / "floor" / "record.json")
    assert [point.guidance for point in record.points] == [None]
    scores = record.points[0].scores
    assert {scores[name].status for name in ("semantic-recall", "miou", "fd")} == {"ok"}
    assert scores["fsd"].reason == "the layouts are real ones; the ceiling is what these reach"


# ------------------------------------------------------------------------------------------------ what is refused


def test_bad_input_is_one_sentence(toyland: Path, weights: Path, tmp_path: Path, cli: Cli) -> None:
    given = ("--dataset", toyland, "--checkpoint", weights, "--out", tmp_path / "out")
    for model, arguments, words in [
        ("ldm", ("--steps", 21), "--steps 21 is outside 1..20"),
        ("ldm", ("--set", "sampler.vae_path=x"), "--set sampler.vae_path: ldm has nothing to choose when it samples"),
        ("ldm", ("--size", "64x64"), "ldm draws images of 32x64 only"),
        ("ldm-reconstruction", ("--steps", 5), "has no sampling steps"),
        ("ldm-reconstruction", ("--size", "64x64"), "ldm-reconstruction draws images of 32x64 only"),
    ]:
        result = cli("sample", "--model", model, *given, "-n", 2, *arguments)
        assert result.code == 2, (arguments, result.err)
        assert words in result.complaint
    for arguments, words in [
        (("--model", "ldm-reconstruction"), "ldm-reconstruction has nothing to train"),
        (("--model", "ldm", "--set", "model.size=[36,64]"), "take multiples of 16"),
        (("--model", "ldm", "--set", "model.vae.kind=other"), "model.vae.kind='other' is not valid"),
    ]:
        result = cli("train", "--dataset", toyland, "--out", tmp_path / "run", *arguments)
        assert result.code == 2, (arguments, result.err)
        assert words in result.complaint
    result = cli("sweep", "--model", "ldm-reconstruction", "--dataset", toyland, "-n", 4)
    assert result.code == 2
    assert "gcbench train --model ldm --dataset" in result.complaint


def test_without_diffusers(toyland: Path, weights: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    sentence = "ldm needs the extra diffusers: pip install 'gcbench[diffusers]'"
    for arguments in [
        ("train", "--model", "ldm"),
        ("sweep", "--model", "ldm", "--checkpoint", weights),
        ("sweep", "--model", "ldm-reconstruction", "--checkpoint", weights),
    ]:
        result = cli(*arguments, "--dataset", toyland)
        assert result.code == 2
        assert sentence in result.complaint
    assert cli("list", "models").code == 0


def test_diffusers_is_imported_when_used() -> None:
    code = "import sys, gcbench.baselines.ldm; print([m for m in ('diffusers', 'transformers') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


# ------------------------------------------------------------------------------------------------ sizes


def test_parameter_counts() -> None:
    """AutoencoderKL of Stable Diffusion: 83.65 M. Its U-Net: 859.52 M at texts of 768 numbers. T5-large's texts have
    1024: of 16 cross-attentions, of widths that sum to 12480, keys and values grow by 2 · 12480 · 256 = 6.39 M."""
    from gcbench.baselines.ldm.autoencoder import build_autoencoder
    from gcbench.baselines.ldm.network import build_unet

    def millions(module: torch.nn.Module) -> float:
        return sum(p.numel() for p in module.parameters()) / 1e6

    with torch.device("meta"):
        assert millions(build_autoencoder(VAEConfig())) == pytest.approx(83.65, abs=0.01)
        assert millions(build_unet(UNetConfig(), 4, 768)) == pytest.approx(859.52, abs=0.01)
        assert millions(build_unet(PAPER.unet, 4, PAPER.text.dim)) == pytest.approx(859.52 + 6.39, abs=0.01)
    paper: LDMConfig = PAPER
    assert (paper.vae.kind, paper.process.betas, paper.process.steps) == ("diffusers", (0.00085, 0.012), 1000)


def test_the_tiny_size(dataset: Dataset) -> None:
    recipe = LDMRecipe("ldm", TINY, dataset, TrainConfig())
    assert sum(p.numel() for p in recipe.parameters()) < 5e6
    assert recipe.network.latent_shape((64, 128)) == (4, 16, 32)
