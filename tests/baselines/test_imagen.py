"""imagen is gcdp without its layout, and nothing else."""

from pathlib import Path

import pytest
import torch
from conftest import Cli

from gcbench.baselines.imagen import Imagen
from gcbench.core import checkpoint
from gcbench.core.contracts import ModelOptions
from gcbench.core.record import Record
from gcbench.data.open_dataset import open_dataset
from gcbench.gcdp.config import PAPER
from gcbench.gcdp.model import GCDP
from gcbench.networks.unet import UNet, UNetConfig

LAYOUT_ONLY = ("network.unet.init_emb_seg.", "network.unet.final_conv_seg.")
WIDER = ("network.unet.init_conv.", "network.unet.drawing.0.")
"""Layers that read the layout's channels beside the image's."""

SMALL = {
    "model.unet.dim": 16,
    "model.unet.mults": [1, 1],
    "model.unet.blocks": [1, 1],
    "model.unet.self_attention": [False, False],
    "model.unet.cross_attention": [False, True],
    "model.unet.drawing_blocks": 1,
    "model.sample_steps": 2,
}


def test_it_differs_from_gcdp_by_the_layout_alone(toyland: Path) -> None:
    dataset = open_dataset(str(toyland))
    ours, theirs = Imagen.recipe(dataset, dict(SMALL)), GCDP.recipe(dataset, dict(SMALL))
    mine = {name: tensor.shape for name, tensor in ours.state_dict().items()}
    full = {name: tensor.shape for name, tensor in theirs.state_dict().items()}
    assert {name for name in full if name not in mine} == {name for name in full if name.startswith(LAYOUT_ONLY)}
    assert mine.keys() <= full.keys()
    assert {name for name in mine if mine[name] != full[name] and not name.startswith(WIDER)} == set()
    assert ours.train_config == theirs.train_config
    mine_config, full_config = ours.cfg.model_dump(), theirs.cfg.model_dump()
    assert mine_config["process"].pop("classes") is None
    assert full_config["process"].pop("classes") == 5
    assert mine_config == full_config


def test_train_sample_sweep(toyland: Path, tmp_path: Path, cli: Cli, oracle: None, without_curve: None) -> None:
    settings = [part for key, value in SMALL.items() for part in ("--set", f"{key}={value}".replace("F", "f"))]
    settings = [part.replace("True", "true") for part in settings]
    common = ("--model", "imagen", "--dataset", toyland)
    run = tmp_path / "trained"
    trained = cli("train", *common, *settings, "--steps", 20, "--set", "train.batch_size=4", "--out", run)
    assert trained.code == 0, trained.err
    weights = run / "model.safetensors"
    card = checkpoint.read_card(weights)
    assert (card.name, card.config["process"]["classes"]) == ("imagen", None)

    swept = cli("sweep", *common, "--checkpoint", weights, "--guidance", "1,3", "-n", 4, "--out", tmp_path / "run")
    assert swept.code == 0, swept.err
    record = Record.read(tmp_path / "run" / "record.json")
    assert [point.guidance for point in record.points] == [1, 3]
    for point in record.points:
        assert point.scores["semantic-recall"].status == "ok"
        assert point.scores["fd"].status == "ok"
        for name in ("miou", "fsd"):
            assert point.scores[name].reason == "the samples have no layouts"
    other = cli("sweep", "--model", "gcdp", "--dataset", toyland, "--checkpoint", weights, "-n", 4)
    assert other.code == 2
    assert "'imagen', not of 'gcdp'" in other.complaint


def test_paper_size() -> None:
    """What reads and draws layouts is all that the reference model of 697.353 M parameters has beyond it."""
    with torch.device("meta"):
        ours, theirs = (
            UNet(UNetConfig.model_validate({**PAPER.unet.model_dump(), "classes": classes, "text_dim": 1024}))
            for classes in (None, 20)
        )
    mine, full = (sum(p.numel() for p in network.parameters()) for network in (ours, theirs))
    reading = 20 * 3 + 3 * (64 * 3**2 + 32 * 7**2 + 32 * 15**2)  # a vector a class; its place in the first kernels
    drawing = 20 * 128 * 3**2 + 20
    assert full - mine == reading + drawing
    assert mine / 1e6 == pytest.approx(697.302, abs=6e-4)


@pytest.mark.parametrize("model", ["imagen", "gcdp", "ldm", "dataset-ddpm"])
def test_more_sampling_steps_than_the_process_has(toyland: Path, tmp_path: Path, cli: Cli, model: str) -> None:
    few = ("--set", "model.process.steps=10")
    refused = cli("train", "--model", model, "--dataset", toyland, *few, "--out", tmp_path / "run")
    assert refused.code == 2
    assert ": give 1 to 10, as the process has steps" in refused.complaint


def test_guidance_and_texts_change_the_image(toyland: Path, tmp_path: Path) -> None:
    dataset = open_dataset(str(toyland))
    recipe = Imagen.recipe(dataset, dict(SMALL))
    with torch.no_grad():
        for name, parameter in recipe.network.named_parameters():
            if "final_conv" in name:
                parameter.normal_(std=0.4, generator=torch.Generator().manual_seed(0))
    checkpoint.save(tmp_path / "model.safetensors", recipe.weights(), recipe.card({}))
    model = Imagen.open(dataset, ModelOptions(checkpoint=tmp_path / "model.safetensors"))
    assert (model.conditional, model.guided, model.layouts) == (True, True, False)

    def image(prompt: str, guidance: float) -> torch.Tensor:
        made = model.generate([prompt], n=1, size=(32, 64), guidance=guidance, seeds=[3])
        assert made.layouts is None
        return made.images

    assert torch.equal(image("a car", 2.0), image("a car", 2.0))
    assert not torch.equal(image("a car", 1.0), image("a tree", 1.0))
    assert not torch.equal(image("a car", 1.0), image("a car", 4.0))
