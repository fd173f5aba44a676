"""What can be trained at all trains on three processes as on one: same gradients, statistics and log, whatever a
network does with several images of a batch. Run as a script, by a launcher, this file is one of the processes."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from test_trainer import rows

from gcbench.core.registry import registry
from gcbench.data.open_dataset import open_dataset
from gcbench.training.pairs import Pairs
from gcbench.training.trainer import train

GAN: dict[str, Any] = {
    "model.channel_base": 128,
    "model.channel_max": 16,
    "model.z_dim": 8,
    "model.w_dim": 8,
    "model.mapping_layers": 2,
    "model.sample_batch": 2,
}
UNET: dict[str, Any] = {
    "model.unet.dim": 8,
    "model.unet.mults": [1],
    "model.unet.blocks": [1],
    "model.unet.self_attention": [False],
    "model.unet.heads": 2,
    "model.unet.dim_head": 4,
    "model.unet.groups": 4,
    "model.unet.init_kernels": [3],
    "model.process.steps": 20,
    "model.sample_steps": 1,
}
TEXT: dict[str, Any] = {"model.unet.cross_attention": [True], "model.text.dim": 4}
ENSEMBLE = {
    "model.members": 2,
    "model.calibration": 8,
    "model.batch_pixels": 60,
    "model.classifier_lr": 1e-7,
    "model.labelled": 3,
}
RECIPES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "gcdp": ("models", "gcdp", {**UNET, **TEXT}),
    "gcdp-sr": ("models", "gcdp", {"preset": "tiny-sr", **UNET, **TEXT, "train.crop": [1.0, 1.5]}),
    "imagen": ("models", "imagen", {**UNET, **TEXT, "model.training_times": "continuous"}),
    "ldm": (
        "models",
        "ldm",
        {
            "model.vae.channels": [8, 16],
            "model.vae.groups": 4,
            "model.unet.channels": [16, 16],
            "model.unet.cross_attention": [False, True],
            "model.unet.heads": 2,
            "model.text.dim": 8,
            "model.process.steps": 20,
            "model.sample_steps": 1,
        },
    ),
    "lafite": (
        "models",
        "lafite",
        {
            "model.stylegan.channel_base": 128,
            "model.stylegan.channel_max": 16,
            "model.stylegan.z_dim": 8,
            "model.stylegan.w_dim": 8,
            "model.encoder.dim": 8,
            "model.preparation": 0.5,
            "model.loss.legacy_batch_sum": True,
            "model.loss.path": 1.0,
            "model.loss.path_every": 1,
            "model.sample_batch": 2,
        },
    ),
    "ganformer": ("models", "ganformer", {**GAN, "model.components": 2}),
    "semantic-gan": (
        "models",
        "semantic-gan",
        {**GAN, "model.pairs.width": 4, "model.path": 1.0, "model.path_every": 1},
    ),
    "dataset-gan": ("models", "dataset-gan", {**GAN, **ENSEMBLE, "model.inversion_steps": 1, "model.gan_share": 0.5}),
    "dataset-ddpm": (
        "models",
        "dataset-ddpm",
        {
            **UNET,
            **ENSEMBLE,
            "model.unet.cross_attention": [False],
            "model.ddpm_share": 0.5,
            "model.decoder_blocks": ["up0.0", "final"],
        },
    ),
    "semantic-palette": (
        "models",
        "semantic-palette",
        {
            "model.layout.latent": 8,
            "model.layout.width": 8,
            "model.layout.widest": 8,
            "model.layout.critic_width": 8,
            "model.image.width": 8,
            "model.image.multiples": [2, 2, 1],
            "model.image.hidden": 4,
            "model.discriminator.width": 4,
            "model.image_from": 0.25,
            "model.both_from": 0.5,
            "model.sample_batch": 4,
        },
    ),
    "segmenter": ("evaluators", "segmenter", {"network.scale": 1.0}),
}
TRAIN: dict[str, Any] = {
    "train.steps": 4,
    "train.batch_size": 8,
    "train.lr": 1e-7,  # the weights stay where they are, so that rounding does not grow from step to step
    "train.warmup": 0,
    "train.log_every": 1,
    "train.ema": 0.5,
    "train.precision": "fp32",
}
PROCESSES = 3


def trained(name: str, toyland: str, out: Path) -> None:
    kind, what, settings = RECIPES[name]
    recipe = registry(kind)[what].recipe(open_dataset(toyland), {**settings, **TRAIN})
    pairs = Pairs(recipe.dataset, "train", recipe.size, for_crops=recipe.train_config.crop != (1.0, 1.0))
    train(recipe, pairs, out, provenance={}, device="cpu")


@pytest.fixture(scope="module")
def ran(toyland: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("three")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(PROCESSES)]
    done = subprocess.run(
        [*launch, __file__, str(toyland), str(out)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return out


@pytest.mark.parametrize("name", RECIPES)
def test_three_processes_make_the_gradients_of_one(ran: Path, toyland: Path, tmp_path: Path, name: str) -> None:
    trained(name, str(toyland), tmp_path)
    one, three = (torch.load(folder / "state.pt", weights_only=True) for folder in (tmp_path, ran / name))
    for group, optimizer in one["optimizers"].items():
        others = three["optimizers"][group]["state"]
        assert others.keys() == optimizer["state"].keys()
        norms = {key: float(held["exp_avg"].norm()) for key, held in optimizer["state"].items()}
        assert all(others[key]["step"] == held["step"] for key, held in optimizer["state"].items())
        for key, held in optimizer["state"].items():
            apart = float((others[key]["exp_avg"] - held["exp_avg"]).norm())
            assert apart <= 2e-3 * norms[key] + 1e-5 * max(norms.values()), (group, key)
        assert not norms or max(norms.values()) > 1e-4
    for part in ("module", "ema"):
        for key, value in one[part].items():
            torch.testing.assert_close(three[part][key], value, rtol=1e-4, atol=2e-6)
    for mine, theirs in zip(rows(tmp_path), rows(ran / name), strict=True):
        for key in mine.keys() - {"images_per_second"}:
            assert float(theirs[key] or 0) == pytest.approx(float(mine[key] or 0), rel=2e-4, abs=2e-6), key


if __name__ == "__main__":
    for each in RECIPES:
        trained(each, sys.argv[1], Path(sys.argv[2]) / each)
    torch.distributed.barrier()
    os._exit(0)  # gloo's threads may abort a process that ends in order
