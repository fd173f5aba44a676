"""ldm on a finished autoencoder, in diffusers' own layout: frozen, known by its hash, never stored again."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Cli
from safetensors.torch import load_file, save_file
from test_ldm import SIZE, SMALL, as_arguments, generator, recipe_of, saved

from gcbench.baselines.ldm.model import LDM
from gcbench.baselines.ldm.reconstruction import LDMReconstruction
from gcbench.core import checkpoint
from gcbench.core.contracts import Dataset, ModelOptions
from gcbench.core.errors import UserError
from gcbench.data.open_dataset import open_dataset
from gcbench.training.pairs import Pairs

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def dataset(toyland: Path) -> Dataset:
    return open_dataset(str(toyland))


def write_vae(folder: Path, seed: int) -> Path:
    """Stable Diffusion's autoencoder in shape and layout, of few channels and random weights."""
    from diffusers import AutoencoderKL

    torch.manual_seed(seed)
    kl = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(4, 4, 8),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
    )
    kl.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_vae(tmp_path_factory.mktemp("vae") / "sd", 0)


@pytest.fixture(scope="module")
def weights(dataset: Dataset, vae: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = recipe_of(dataset, vae__kind="diffusers", vae__path=str(vae))
    return saved(recipe, tmp_path_factory.mktemp("ldm"))


def test_latents_and_images_are_diffusers_own(dataset: Dataset, vae: Path, weights: Path) -> None:
    from diffusers import AutoencoderKL

    kl = AutoencoderKL.from_pretrained(vae)
    recipe = recipe_of(dataset, vae__kind="diffusers", vae__path=str(vae))
    batch = Pairs(dataset, "train", SIZE).batch(0, 4, seed=0, flip=False)
    x = batch.images / 127.5 - 1
    seen: list[torch.Tensor] = []
    recipe.process.loss = lambda predict, z0, t, eps: seen.append(z0) or z0.sum()  # type: ignore[method-assign, func-returns-value]
    recipe(batch, generator(3), "unet")
    with torch.no_grad():
        posterior = kl.encode(x).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=generator(3))
        torch.testing.assert_close(seen[0], (posterior.mean + posterior.std * noise) * 0.18215)
        z = torch.randn(2, 4, 8, 16)
        torch.testing.assert_close(recipe.network.decode(z), kl.decode(z / 0.18215).sample)

    model = LDMReconstruction.open(dataset, ModelOptions(checkpoint=weights))
    made = model.generate(None, n=1, size=SIZE, guidance=1.0, seeds=[2])
    real = torch.from_numpy(dataset.pair("val", 2, SIZE)[0]).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        back = kl.decode(kl.encode(real).latent_dist.mode()).sample
    assert (made.images - (back.clamp(-1, 1) + 1) * 127.5).abs().max() <= 1


def test_it_is_frozen_and_not_stored(
    toyland: Path, vae: Path, tmp_path: Path, cli: Cli, oracle: None, without_curve: None
) -> None:
    settings = {**SMALL, "model.vae.kind": "diffusers", "train.batch_size": 2}
    run = tmp_path / "run"
    common = ("--model", "ldm", "--dataset", toyland)
    arguments = [*as_arguments(settings), "--set", f"model.vae.path={vae}"]
    trained = cli("train", *common, *arguments, "--steps", 3, "--out", run)
    assert trained.code == 0, trained.err
    tensors = load_file(run / "model.safetensors")
    assert {"std", "null", "text.table.weight"} <= tensors.keys()
    assert not [name for name in tensors if name.startswith("vae.")]
    card = checkpoint.read_card(run / "model.safetensors")
    assert card.config["vae"]["path"] == str(vae)
    assert len(card.config["vae"]["sha256"]) == 12
    state = torch.load(run / "state.pt", weights_only=True)["module"]
    before = load_file(vae / WEIGHTS)
    assert all(torch.equal(state[f"network.vae.kl.{name}"], before[name]) for name in before)
    swept = cli(
        "sweep", *common, "--checkpoint", run, "--guidance", "2", "-n", 3, "--out", tmp_path / "sweep", "--json"
    )
    assert swept.code == 0, swept.err
    assert f"autoencoder {vae} {card.config['vae']['sha256']}" in swept.out


def test_it_may_lie_elsewhere_if_it_is_the_same(dataset: Dataset, vae: Path, weights: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(vae, tmp_path / "moved"))

    def image(**settings: str) -> torch.Tensor:
        keys: dict[str, Any] = {f"sampler.vae_{key}": value for key, value in settings.items()}
        model = LDM.open(dataset, ModelOptions(checkpoint=weights, settings=keys))
        return model.generate(["car"], n=1, size=SIZE, guidance=2.0, seeds=[1]).images

    assert torch.equal(image(path=str(moved)), image())
    other = write_vae(tmp_path / "other", 1)
    for opened in (LDM, LDMReconstruction):
        with pytest.raises(UserError, match="has other weights"):
            opened.open(dataset, ModelOptions(checkpoint=weights, settings={"sampler.vae_path": str(other)}))


def truncate(folder: Path) -> None:
    whole = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(whole[: len(whole) // 2])


def forget(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    del tensors["decoder.conv_out.bias"]
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


def widen(folder: Path) -> None:
    config = (folder / "config.json").read_text()
    (folder / "config.json").write_text(config.replace('"latent_channels": 4', '"latent_channels": 6'))


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (truncate, "cannot be opened"),
        (forget, "lacks 1 weights of its own config (first decoder.conv_out.bias)"),
        (widen, "cannot be opened"),
        (lambda folder: (folder / WEIGHTS).unlink(), "cannot be opened"),
        (lambda folder: (folder / "config.json").write_text("{"), "cannot be opened"),
    ],
)
def test_a_damaged_one_is_refused(
    harm: Callable[[Path], object], words: str, toyland: Path, vae: Path, tmp_path: Path, cli: Cli
) -> None:
    folder = Path(shutil.copytree(vae, tmp_path / "vae"))
    harm(folder)
    chosen = ("--set", "model.vae.kind=diffusers", "--set", f"model.vae.path={folder}")
    result = cli("train", "--model", "ldm", "--dataset", toyland, *chosen, "--out", tmp_path / "run")
    assert result.code == 2, result.err
    assert words in result.complaint
    assert str(folder) in result.complaint


def test_offline_no_name_is_looked_up(dataset: Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from diffusers import AutoencoderKL

    asked: list[bool] = []
    opened = AutoencoderKL.from_pretrained

    def watched(path: str, **options: Any) -> Any:
        asked.append(options["local_files_only"])
        return opened(path, cache_dir=tmp_path, **options)

    monkeypatch.setattr(AutoencoderKL, "from_pretrained", watched)
    monkeypatch.setenv("GCBENCH_OFFLINE", "1")
    with pytest.raises(UserError, match="'nobody/nothing' cannot be opened"):
        recipe_of(dataset, vae__kind="diffusers", vae__path="nobody/nothing")
    assert asked == [True]
