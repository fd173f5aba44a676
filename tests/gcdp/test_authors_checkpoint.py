"""`gcbench weights import` on files that the authors' trainer wrote: the network they hold gives their outputs."""

from pathlib import Path

import pytest
import torch
from conftest import Cli, tiny_t5
from test_authors_arrays import Arrays, files

from gcbench.core.checkpoint import load
from gcbench.core.errors import UserError
from gcbench.data.open_dataset import open_dataset
from gcbench.gcdp.authors_checkpoint import read_authors_checkpoint, unet_config
from gcbench.gcdp.config import PAPER, GCDPConfig
from gcbench.networks.unet import LowRes, UNet


def outputs(path: Path, config: GCDPConfig, state: dict[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """Of the imported network, on the input that stands beside the file."""
    arrays = Arrays(path.with_name(f"{path.stem}-expected.npz"))
    width = config.text.dim if config.text else None
    unet = UNet(config.unet.model_copy(update={"classes": config.process.classes, "text_dim": width})).eval()
    unet.load_state_dict({name.removeprefix("unet."): tensor for name, tensor in state.items()})
    low = None
    if config.unet.lowres:
        low = LowRes(arrays["low_image"], arrays["low_layout"], arrays["low_log_snr"])
    with torch.no_grad():
        text = unet.encode_text(arrays["text_embeds"], arrays["text_mask"], torch.ones(2, dtype=torch.bool))
        return unet(arrays["image"], arrays["layout"], arrays["log_snr"], text, low)


@pytest.mark.parametrize("weights", ["ema", "model"])
@pytest.mark.parametrize("path", files("checkpoint-*.pt"))
def test_the_imported_network_gives_their_outputs(path: Path, weights: str, tmp_path: Path, cli: Cli) -> None:
    arrays = Arrays(path.with_name(f"{path.stem}-expected.npz"))
    ran = cli("weights", "import", path, "--as", "gcdp", "--out", tmp_path / "w", "--weights", weights)
    assert ran.code == 0
    stored = load(tmp_path / "w", kind="model", name="gcdp")
    config = GCDPConfig.model_validate(stored.card.config)
    noise, logits = outputs(path, config, stored.state)
    torch.testing.assert_close(noise, arrays[f"eps_{weights}"], atol=5e-5, rtol=0)
    torch.testing.assert_close(logits, arrays[f"logits_{weights}"], atol=5e-5, rtol=0)
    told = arrays.config
    assert config.process.label_schedule == told["label_schedule"].removesuffix("_p")
    assert config.unet.lowres == told["network"]["lowres_cond"]
    assert stored.card.provenance["import"]["steps"] == told["steps"]


def test_the_shapes_of_the_paper_s_networks_give_their_configs() -> None:
    for change in (
        {"text_dim": 1024},
        {"text_dim": None, "cross_attention": (False,) * 4},
        {"text_dim": 1024, "lowres": True, "self_attention": (False,) * 4},
    ):
        config = PAPER.unet.model_copy(update={"classes": 20, **change})
        config = type(config).model_validate(config.model_dump())
        with torch.device("meta"):
            state = UNet(config).state_dict()
        assert unet_config(state) == config


@pytest.mark.parametrize("path", files("checkpoint-base.pt"))
def test_sampling_from_an_imported_checkpoint(path: Path, tmp_path: Path, cli: Cli) -> None:
    """With a T5 of the width that the checkpoint reads; in the authors' conventions and in ours."""
    cli("weights", "import", path, "--as", "gcdp", "--size", "8x16", "--out", tmp_path / "w")
    t5 = tiny_t5(tmp_path / "t5", 32)
    settings = (
        "--set",
        f"sampler.text_encoder={t5}",
        "--steps",
        "4",
        "-n",
        "1",
        "--prompt",
        "a car",
        "--device",
        "cpu",
    )
    images = []
    for name, more in (("ours", ()), ("theirs", ("--set", "sampler.preset=authors"))):
        ran = cli("sample", "--checkpoint", tmp_path / "w", *settings, *more, "--out", tmp_path / name)
        assert ran.code == 0, ran.err
        images.append(next((tmp_path / name).rglob("images/*.png")).read_bytes())
    assert images[0] != images[1]


@pytest.mark.parametrize("path", files("checkpoint-*.pt"))
def test_the_dataset_s_files_need_not_be_here(path: Path, tmp_path: Path, cli: Cli) -> None:
    ran = cli("weights", "import", path, "--as", "gcdp", "--dataset", "cityscapes", "--out", tmp_path / "w")
    assert ran.code == 0, ran.err
    config = load(tmp_path / "w", kind="model", name="gcdp").card.config
    assert config["size"] == ([256, 512] if "sr" in path.name else [128, 256])


def other_files(folder: Path) -> dict[str, tuple[Path, str]]:
    """Files that are no checkpoint of theirs, and a word of what is said of each."""
    made: dict[str, tuple[Path, str]] = {}

    def keep(name: str, content: object, word: str) -> None:
        torch.save(content, folder / f"{name}.pt")
        made[name] = (folder / f"{name}.pt", word)

    keep("a list", [1, 2], "list")
    keep("a state dict", {"layer.weight": torch.zeros(2)}, "not a checkpoint")
    keep("no network", {"model": {"a": torch.zeros(1)}, "ema": {}}, "not a checkpoint")
    keep("another network", {"model": {"unets.0.final_conv.weight": torch.zeros(1)}, "ema": {}}, "another network")
    (folder / "text.pt").write_text("not a pickle")
    made["text"] = (folder / "text.pt", "not a whole file")
    made["absent"] = (folder / "absent.pt", "does not exist")
    return made


def test_files_of_others_are_refused_in_one_sentence(tmp_path: Path) -> None:
    for path, word in other_files(tmp_path).values():
        with pytest.raises(UserError, match=word) as refused:
            read_authors_checkpoint(path, open_dataset("streets"))
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("path", files("checkpoint-base.pt"))
def test_damaged_checkpoints_are_refused(path: Path, tmp_path: Path) -> None:
    content = torch.load(path, weights_only=True)
    nan = {**content, "ema": {key: tensor * float("nan") for key, tensor in content["ema"].items()}}
    some = {**content, "ema": {key: tensor for key, tensor in content["ema"].items() if "mid_block1" not in key}}
    table = "noise_schedulers_lbl.0.log_cumprod_alpha"
    odd = {**content, "model": {**content["model"], table: content["model"][table] * 2}}
    for name, changed, word in (
        ("nan", nan, "not finite"),
        ("some", some, "another network"),
        ("odd", odd, "schedule"),
    ):
        torch.save(changed, tmp_path / f"{name}.pt")
        with pytest.raises(UserError, match=word):
            read_authors_checkpoint(tmp_path / f"{name}.pt", open_dataset("streets"))
    with pytest.raises(UserError, match="20 classes"):
        read_authors_checkpoint(path, open_dataset("faces"))


@pytest.mark.parametrize("command", ["sample", "train"])
def test_a_file_of_theirs_given_as_it_is_names_the_command(command: str, tmp_path: Path, cli: Cli) -> None:
    torch.save({}, tmp_path / "checkpoint.300000.pt")
    option = "--checkpoint" if command == "sample" else "--init"
    ran = cli(command, "--model", "gcdp", option, tmp_path / "checkpoint.300000.pt", "--out", tmp_path / "out")
    assert ran.code == 2
    assert "gcbench weights import checkpoint.300000.pt --as gcdp" in ran.err
