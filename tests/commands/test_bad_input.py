"""A user's mistakes: one sentence on standard error that names the file or option and the mend, exit code 2, no
traceback, and nothing lost.
"""

import errno
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Cli, Result, card_beside, comparable, content
from PIL import Image
from safetensors.torch import load_file, save_file

from gcbench.core import checkpoint
from gcbench.core.record import Record


def refused(result: Result, *fragments: str) -> None:
    """One sentence, the last of standard error, that holds all `fragments`; nothing on standard output."""
    assert result.code == 2, (result.code, result.err)
    assert result.out == ""
    assert "Traceback" not in result.err
    assert result.err.count("gcbench: ") == 1, result.err
    assert result.complaint.startswith("gcbench: "), result.err  # a message of one line
    for fragment in fragments:
        assert fragment in result.complaint, result.complaint


@pytest.fixture
def sweep(cli: Cli, toyland: Path, painter: str, oracle: None, without_curve: None) -> Callable[..., Result]:
    """A sweep that works, but for the options a test adds. The last of a repeated option wins."""
    base = ["sweep", "--model", f"{painter}:Painter", "--dataset", toyland, "-n", 4, "--guidance", "1", "--out", "run"]
    return lambda *more: cli(*base, *more)


# ---------------------------------------------------------------------------------------- names and numbers


@pytest.mark.parametrize(
    ("mistake", "fragments"),
    [
        (["--model", "gdcp"], ["'gdcp'", "did you mean gcdp"]),
        (["--model", "my_model.py"], ["--model my_model.py", "existing file", "my_model.py:MyModel"]),
        (["--model", "absent.py:Mine"], ["absent.py:Mine", "existing file"]),
        (["--dataset", "street"], ["'street'", "did you mean streets"]),
        (["--dataset", "data/mine"], ["data/mine is not there", "dataset.toml"]),
        (["--metrics", "semantic_recall"], ["'semantic_recall'", "did you mean semantic-recall"]),
        (["--metrics", "miou,fid9"], ["'fid9'", "did you mean"]),
        (["--metrics", ","], ["--metrics", "gcbench list metrics"]),
        (["--split", "validation"], ["'validation'", "train or val"]),
        (["-n", "1"], ["-n 1", "at least 2"]),
        (["-n", "0"], ["-n 0", "at least 1"]),
        (["--guidance", "nan"], ["guidance scale nan", "--guidance 1,2,4"]),
        (["--guidance", "inf"], ["guidance scale inf"]),
        (["--guidance", "1,strong"], ["'strong' is no number", "--guidance 1,2,4"]),
        (["--guidance", "1,-2"], ["guidance scale -2", "at least 0"]),
        (["--guidance", ""], ["''", "--guidance 1,2,4"]),
        (["--size", "64"], ["'64'", "--size 64x128"]),
        (["--size", "0x64"], ["'0x64'", "--size 64x128"]),
        (["--size", "²x64"], ["'²x64'", "--size 64x128"]),
        (["--precision", "fp64"], ["--precision 'fp64'", "fp32 or bf16"]),
        (["--batch-size", "0"], ["--batch-size 0", "at least 1"]),
        (["--device", "gpu"], ["--device 'gpu'", "cpu or cuda"]),
        (["--checkpoint", "no.safetensors", "--model", "gcdp"], ["no.safetensors does not exist", "gcbench train"]),
        (["--model", "gcdp"], ["no weights of gcdp for toyland", "gcbench train --model gcdp", "--train"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) and value[0].startswith("--") else None,
)
def test_sweep_options(sweep: Callable[..., Result], mistake: list[str], fragments: list[str]) -> None:
    """And the finished run in the same place keeps every byte."""
    assert sweep().code == 0
    before = content(Path("run"))
    refused(sweep(*mistake), *fragments)
    assert content(Path("run")) == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_cuda_without_a_gpu(sweep: Callable[..., Result]) -> None:
    refused(sweep("--device", "cuda"), "--device cuda", "no GPU", "auto or cpu")


@pytest.mark.parametrize(
    ("spec", "fragments"),
    [
        ("segmentr=@toyland", ["'segmentr'", "did you mean segmenter"]),
        ("segmenter", ["'segmenter' lacks '='", "ROLE=ID[@FILE]"]),
        ("segmenter=@nowhere", ["'nowhere'", "gcbench train --evaluator segmenter"]),
        ("segmenter=hrnet_w48@streets", ["hrnet_w18_small, not hrnet_w48"]),
        ("segmenter=@streets", ["20 other classes than the dataset's 5", "train one for this dataset"]),
    ],
)
@pytest.mark.usefixtures("without_curve")
def test_evaluators(cli: Cli, toyland: Path, painter: str, spec: str, fragments: list[str]) -> None:
    """An evaluator asked for by name must be had, and of the dataset's classes."""
    dataset = "streets" if "w48" in spec else toyland
    asked = ["--model", f"{painter}:Painter", "--dataset", dataset, "-n", 2, "--guidance", 1]
    refused(cli("sweep", *asked, "--evaluator", spec, "--out", "run"), *fragments)
    assert not Path("run/record.json").exists()


@pytest.mark.usefixtures("without_curve")
def test_an_evaluator_given_twice_or_for_nothing(cli: Cli, toyland: Path, painter: str) -> None:
    base = ["sweep", "--model", f"{painter}:Painter", "--dataset", toyland, "-n", 4, "--guidance", 1, "--out", "run"]
    twice = ["--evaluator", "clip=ViT-B-32@a.pt", "--evaluator", "clip=ViT-B-16@b.pt"]
    refused(
        cli(*base, "--metrics", "fsd", *twice), "clip=ViT-B-16@b.pt: clip is given twice; give one evaluator a role"
    )
    result = cli(*base, "--metrics", "fsd", *twice[:2])
    assert result.code == 0, result.err
    assert "--evaluator clip=ViT-B-32@a.pt is not used: no metric of this run asks for clip." in result.err


def test_cityscapes_without_data(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(cli("sweep", "--dataset", "cityscapes"), "GCBENCH_DATA", "leftImg8bit and gtFine", "--dataset streets")
    monkeypatch.setenv("GCBENCH_DATA", str(tmp_path))
    refused(cli("sweep", "--dataset", "cityscapes"), str(tmp_path / "cityscapes"), "leftImg8bit", "--dataset streets")
    (tmp_path / "cityscapes").mkdir()
    refused(cli("sweep", "--dataset", "cityscapes"), "leftImg8bit/<split>/<city>", "--dataset streets")


# ---------------------------------------------------------------------------------------------- checkpoints


@pytest.fixture
def broken(gcdp: Path, tmp_path: Path) -> Path:
    """A copy of the checkpoint to break."""
    folder = tmp_path / "broken"
    folder.mkdir()
    for ending in (".safetensors", ".json"):
        shutil.copy(gcdp.with_suffix(ending), folder)
    card_beside(folder / gcdp.name)
    return folder / gcdp.name


def edit_card(path: Path, **changes: Any) -> None:
    card = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps({**card, **changes}))


def other_classes(path: Path) -> None:
    edit_card(path, classes=["road", "lorry", "sky", "tree", "nothing"])


def fewer_classes(path: Path) -> None:
    edit_card(path, classes=["road", "car"])


def evaluators_own(path: Path) -> None:
    edit_card(path, kind="evaluator", name="segmenter")


def another_model(path: Path) -> None:
    edit_card(path, name="imagen")


def truncated(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def without_card(path: Path) -> None:
    path.with_suffix(".json").unlink()


def card_of_something_else(path: Path) -> None:
    path.with_suffix(".json").write_text('{"a": 1}')


def other_weights(path: Path) -> None:
    state = load_file(path)
    save_file({key: value + 1 for key, value in state.items()}, path)


def unknown_config(path: Path) -> None:
    card = checkpoint.read_card(path)
    edit_card(path, config={**card.config, "wings": 2})


def other_network(path: Path) -> None:
    card = checkpoint.read_card(path)
    edit_card(path, config={**card.config, "unet": {**card.config["unet"], "dim": 16}})


@pytest.mark.parametrize(
    ("damage", "fragments"),
    [
        (other_classes, ["'lorry' where 'car' is expected", "train one for this dataset"]),
        (fewer_classes, ["2 other classes than the dataset's 5"]),
        (evaluators_own, ["is of the evaluator 'segmenter', not of 'gcdp'"]),
        (another_model, ["is of the model 'imagen', not of 'gcdp'"]),
        (truncated, ["cannot be read", "truncated"]),
        (without_card, [".json is missing", "beside it"]),
        (card_of_something_else, [".json is not the card of a checkpoint"]),
        (other_weights, ["SHA-256 differs", "copy both again"]),
        (unknown_config, ["does not know (at wings)", "train it again"]),
        (other_network, ["does not fit the network of its own config"]),
    ],
)
@pytest.mark.usefixtures("oracle", "without_curve")
def test_checkpoints(
    cli: Cli, toyland: Path, broken: Path, damage: Callable[[Path], None], fragments: list[str]
) -> None:
    damage(broken)
    before = content(broken.parent)
    result = cli("sweep", "--dataset", toyland, "--checkpoint", broken, "-n", 2, "--guidance", 1)
    refused(result, str(broken.with_suffix("")), *fragments)
    assert content(broken.parent) == before


@pytest.mark.parametrize("steps", [0, -1, 21])
@pytest.mark.parametrize("command", ["sweep", "sample"])
@pytest.mark.usefixtures("oracle")
def test_sampling_steps(cli: Cli, toyland: Path, gcdp: Path, command: str, steps: int) -> None:
    asked = ["--dataset", toyland, "--checkpoint", gcdp, "-n", 2, "--steps", steps, "--out", "there"]
    refused(cli(command, *asked), f"--steps {steps}", "1..20" if steps > 0 else "at least 1")


@pytest.mark.parametrize("command", ["sample", "sweep"])
@pytest.mark.usefixtures("oracle", "without_curve")
def test_a_size_that_the_network_cannot_take(cli: Cli, toyland: Path, gcdp: Path, command: str) -> None:
    asked = ["--dataset", toyland, "--checkpoint", gcdp, "-n", 2, "--guidance", 1, "--size", "30x60", "--out", "there"]
    refused(cli(command, *asked), "30x60", "multiples of 8")


# ------------------------------------------------------------------------------------------ run directories


def test_another_protocol(sweep: Callable[..., Result]) -> None:
    """Refused, naming what differs; --fresh starts anew."""
    assert sweep().code == 0
    before = content(Path("run"))
    refused(sweep("-n", 5), "run holds another run", "n: 4 against 5", "--fresh", "--out")
    refused(sweep("--seed", 7), "seed: 0 against 7")
    refused(sweep("--split", "train"), "split: 'val' against 'train'")
    refused(sweep("--size", "16x32"), "size: (32, 64) against (16, 32)")
    refused(sweep("--metrics", "fsd,miou"), "metrics: ", "['fsd', 'miou']")
    assert content(Path("run")) == before
    assert sweep("-n", 5, "--fresh").code == 0
    assert Record.read(Path("run/record.json")).protocol.n == 5


def test_a_directory_of_evaluate(sweep: Callable[..., Result], cli: Cli, toyland: Path) -> None:
    assert sweep().code == 0
    result = cli("evaluate", "--images", toyland / "val/images", "--dataset", toyland, "--out", "run")
    refused(result, "kind: 'sweep' against 'evaluate'")


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_out_is_a_file(sweep: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """Known before a single image is evaluated."""
    Path("file").write_text("a letter")
    monkeypatch.setattr("gcbench.commands.sweep.measure_real", None)
    refused(sweep("--out", place), place, "--out")
    assert Path("file").read_text() == "a letter"


@pytest.mark.parametrize(
    ("name", "text", "fragments"),
    [
        ("record.json", "{", ["record.json is not a record"]),
        ("record.json", '{"schema_version": 9}', ["record.json has schema 9, and this version of gcbench reads 2"]),
        ("per_sample.csv", "guidance,id,semantic-recall\n1,000000,high\n", ["per_sample.csv is damaged", "--fresh"]),
        ("per_sample.csv", "a\n1\n", ["per_sample.csv is damaged"]),
        ("per_sample.csv", "guidance,id\n", ["per_sample.csv is damaged", "--fresh"]),
    ],
)
def test_a_damaged_run(sweep: Callable[..., Result], name: str, text: str, fragments: list[str]) -> None:
    assert sweep().code == 0
    (Path("run") / name).write_text(text)
    before = content(Path("run"))
    refused(sweep("--guidance", "1,2"), *fragments)
    assert content(Path("run")) == before
    assert sweep("--guidance", "1,2", "--fresh").code == 0


@pytest.mark.parametrize("full_at", ["per_sample.csv", "scores.csv", "record.json"])
def test_a_full_disk(sweep: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, full_at: str) -> None:
    """The first point survives, and once there is room the sweep goes on to what it would have been."""
    assert sweep("--out", "whole", "--guidance", "1,2").code == 0
    assert sweep().code == 0
    before = Path("run/record.json").read_bytes()
    real = os.replace

    def replace(source: Any, target: Any) -> None:
        if Path(target).name == full_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("gcbench.core.files.os.replace", replace)
        refused(sweep("--guidance", "1,2"), full_at, "No space left on device", "free space")
    assert Path("run/record.json").read_bytes() == before
    assert not list(Path("run").glob(".*"))
    assert sweep("--guidance", "1,2").code == 0
    done, whole = (json.loads(Path(name, "record.json").read_text()) for name in ("run", "whole"))
    assert comparable(done) == comparable(whole)
    assert Path("run/per_sample.csv").read_bytes() == Path("whole/per_sample.csv").read_bytes()


def test_a_place_that_cannot_be_written(sweep: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    """Known before a single image is evaluated."""

    def acquire(lock: object, **settings: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("gcbench.runs.lock.Lock._acquire", acquire)
    monkeypatch.setattr("gcbench.commands.sweep.measure_real", None)
    refused(sweep(), "cannot write run", "Permission denied", "choose another --out")


# ------------------------------------------------------------------------------------------------- images


def image_files(root: Path, n: int = 16) -> list[Path]:
    """Whole images, to be broken."""
    root.mkdir()
    rng = np.random.default_rng(0)
    for i in range(n):
        Image.fromarray(rng.integers(0, 256, (32, 64, 3), np.uint8)).save(root / f"p{i:02d}.png")
    return sorted(root.iterdir())


def sixteen_empty(root: Path) -> tuple[Path, list[str]]:
    for path in image_files(root / "mine"):
        path.write_bytes(b"")
    names = [f"p{i:02d}.png (it is empty or no image)" for i in range(10)]
    return root / "mine", ["cannot read 16 images of 16: ", *names, "and 6 more; replace these files"]


def half_cut(root: Path) -> tuple[Path, list[str]]:
    for path in image_files(root / "mine")[::2]:
        path.write_bytes(path.read_bytes()[:-100])
    return root / "mine", ["cannot read 8 images of 16: ", "p00.png (", "p14.png (", "replace these files"]


def no_images_at_all(root: Path) -> tuple[Path, list[str]]:
    image_files(root / "mine")[3].write_text("a letter")
    return root / "mine", [f"cannot read the image {root / 'mine/p03.png'} (it is empty or no image)"]


def zipped(root: Path) -> Path:
    with zipfile.ZipFile(root / "mine.zip", "w") as archive:
        for path in image_files(root / "mine", 3):
            archive.write(path, path.name)
    return root / "mine.zip"


def corrupt_members(root: Path) -> tuple[Path, list[str]]:
    content = bytearray(zipped(root).read_bytes())
    for name in (b"p00.png", b"p02.png"):
        content[content.index(name) + 500] ^= 1
    (root / "mine.zip").write_bytes(content)
    return root / "mine.zip", ["cannot read 2 images of 3: ", "mine.zip/p00.png (Bad CRC", "mine.zip/p02.png (Bad"]


def encrypted_members(root: Path) -> tuple[Path, list[str]]:
    content = bytearray(zipped(root).read_bytes())
    content[content.rindex(b"p01.png") - 46 + 8] |= 1  # the flags of its entry in the central directory
    (root / "mine.zip").write_bytes(content)
    return root / "mine.zip", ["1 of 3 images in ", "mine.zip are encrypted: p01.png; unpack it"]


def cut_zip(root: Path) -> tuple[Path, list[str]]:
    path = zipped(root)
    path.write_bytes(path.read_bytes()[:-30])
    return path, [f"cannot read {path} (File is not a zip file); make or copy the file again"]


def real_numbers(root: Path) -> tuple[Path, list[str]]:
    np.savez(root / "mine.npz", np.linspace(-1, 1, 2 * 4 * 8 * 3, dtype=np.float32).reshape(2, 4, 8, 3))
    return root / "mine.npz", ["arr_0 is float32 of shape (2, 4, 8, 3) with values from -1.0 to 1.0; save images as"]


def channels_first(root: Path) -> tuple[Path, list[str]]:
    np.savez(root / "mine.npz", np.full((2, 3, 4, 8), 7, np.uint8))
    return root / "mine.npz", ["arr_0 is uint8 of shape (2, 3, 4, 8) with values from 7 to 7; save", "[N,H,W,3]"]


def zero_sized(root: Path) -> tuple[Path, list[str]]:
    np.savez(root / "mine.npz", np.zeros((2, 0, 8, 3), np.uint8))
    return root / "mine.npz", ["arr_0 is uint8 of shape (2, 0, 8, 3); save images as uint8 [N,H,W,3]"]


def python_objects(root: Path) -> tuple[Path, list[str]]:
    np.savez(root / "mine.npz", np.array([{}, {}], object))
    return root / "mine.npz", ["arr_0 is object of shape (2,); save images"]


def statistics(root: Path) -> tuple[Path, list[str]]:
    np.savez(root / "mine.npz", mu=np.zeros(3), sigma=np.eye(3))
    return root / "mine.npz", ["mine.npz holds mu, sigma; save the images", "as arr_0"]


@pytest.mark.parametrize(
    "make",
    [
        *(sixteen_empty, half_cut, no_images_at_all, corrupt_members, encrypted_members, cut_zip),
        *(real_numbers, channels_first, zero_sized, python_objects, statistics),
    ],
)
@pytest.mark.usefixtures("oracle")
def test_images(
    cli: Cli,
    toyland: Path,
    tmp_path: Path,
    make: Callable[[Path], tuple[Path, list[str]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All that cannot be read are counted and named, before anything is evaluated; none is left out in silence."""
    monkeypatch.setattr("gcbench.commands.evaluate.Shards", None)
    path, fragments = make(tmp_path)
    refused(cli("evaluate", "--images", path, "--dataset", toyland), *fragments)
    assert not Path("runs").exists()


# ----------------------------------------------------------------------------------------- sample and train


@pytest.mark.parametrize(
    ("mistake", "fragments"),
    [
        (["--prompt", ""], ["prompt 1 is empty"]),
        (["--prompt", "a road", "--prompt", "  "], ["prompt 2 is empty"]),
        (["-n", "0"], ["-n 0", "at least 1"]),
        (["--guidance", "nan"], ["guidance scale nan"]),
        (["--guidance", "-1"], ["guidance scale -1", "at least 0"]),
        (["--precision", "fp64"], ["--precision 'fp64'"]),
        (["--size", "x"], ["'x'", "64x128"]),
        (["--device", "tpu9"], ["--device 'tpu9'"]),
        (["--model", "gcpd"], ["did you mean gcdp"]),
    ],
)
def test_sample_options(cli: Cli, toyland: Path, painter: str, mistake: list[str], fragments: list[str]) -> None:
    base = ["--model", f"{painter}:Painter", "--dataset", toyland, "-n", 2, "--out", "there"]
    refused(cli("sample", *base, *mistake), *fragments)
    assert not Path("there").exists()


def test_sample_into_images_or_a_file(cli: Cli, toyland: Path, painter: str) -> None:
    base = ["sample", "--model", f"{painter}:Painter", "--dataset", toyland, "-n", 2, "--out", "there"]
    assert cli(*base).code == 0
    before = content(Path("there"))
    refused(cli(*base, "--seed", 5), "there holds another run (seed: 0 against 5)", "another --out", "--fresh")
    assert content(Path("there")) == before
    Path("file").write_text("a letter")
    refused(cli(*base, "--out", "file"), "--out file is a file")


def test_sample_prompts_for_a_model_that_reads_none(cli: Cli, toyland: Path, painter: str) -> None:
    asked = ["--model", f"{painter}:Plain", "--dataset", toyland, "--prompt", "a road", "--out", "there"]
    refused(cli("sample", *asked), "reads no prompts", "leave --prompt out")


def test_sample_breaks_the_contract(cli: Cli, toyland: Path, painter: str) -> None:
    asked = ["--model", f"{painter}:TooFew", "--dataset", toyland, "-n", 3, "--out", "there"]
    refused(cli("sample", *asked), ":TooFew gave 2 images", "not 3")


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        ([], ["--model NAME or --evaluator ROLE"]),
        (["--model", "gcdp", "--evaluator", "segmenter"], ["--model NAME or --evaluator ROLE"]),
        (["--model", "gdcp"], ["did you mean gcdp"]),
        (["--evaluator", "segmentor"], ["did you mean segmenter"]),
        (["--model", "gcdp", "--set", "train.step=3"], ["'train.step'", "did you mean train.steps"]),
        (["--model", "gcdp", "--set", "train.steps"], ["lacks '='", "--set KEY=VALUE"]),
        (["--model", "gcdp", "--set", "train.lr=fast"], ["train.lr='fast'"]),
        (["--model", "gcdp", "--set", "preset=huge"], ["'huge'", "tiny"]),
        (["--model", "gcdp", "--set", "train.batch_size=0"], ["train.batch_size=0", "at least 1"]),
        (["--model", "gcdp", "--set", "train.precision=fp64"], ["train.precision='fp64'", "fp32, bf16 or fp16"]),
        (["--model", "gcdp", "--steps", "0"], ["--steps 0", "at least 1"]),
        (["--model", "gcdp", "--limit", "0"], ["--limit 0"]),
        (["--model", "gcdp", "--config", "absent.toml"], ["--config absent.toml cannot be read"]),
        (["--model", "gcdp", "--config", "bad.toml"], ["--config bad.toml is not valid TOML"]),
        (["--model", "gcdp", "--config", "odd.toml"], ["'model.unet.dimm'", "model.unet.dim"]),
        (["--model", "gcdp", "--out", "bad.toml"], ["--out bad.toml is a file"]),
        (["--model", "gcdp", "--device", "gpu"], ["--device 'gpu'"]),
    ],
)
def test_train_options(cli: Cli, toyland: Path, arguments: list[str], fragments: list[str]) -> None:
    Path("bad.toml").write_text("[train\nsteps = 3")
    Path("odd.toml").write_text("[model.unet]\ndimm = 8")
    refused(cli("train", "--dataset", toyland, *arguments), *fragments)
    assert not Path("runs").exists()


def test_train_into_a_training_run(cli: Cli, toyland: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused without --resume before any pair is read; with it, only the same settings go on."""
    tiny = ["--set", "model.unet.dim=8", "--set", "model.unet.groups=4", "--set", "train.batch_size=2"]
    tiny += ["--set", "model.sample_steps=1"]
    base = ["train", "--model", "gcdp", "--dataset", toyland, *tiny, "--steps", 1, "--out", "run"]
    result = cli(*base)
    assert result.code == 0, result.err
    assert {"model.safetensors", "model.json", "log.csv", "config.json"} <= {
        path.name for path in Path("run").iterdir()
    }
    before = content(Path("run"))
    refused(cli(*base, "--resume", "--set", "train.lr=1e-5"), "run/config.json says other settings", "another --out")
    monkeypatch.setattr("gcbench.training.pairs.Pairs", None)
    refused(cli(*base), "run already holds a training run", "--resume")
    assert content(Path("run")) == before


def test_compiling_without_a_compiler(cli: Cli, toyland: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gcbench.commands.train.shutil.which", lambda name: None)
    result = cli("train", "--model", "gcdp", "--dataset", toyland, "--set", "train.compile=true", "--out", "run")
    assert (result.code, result.out) == (2, "")
    assert "train.compile=true: there is no C++ compiler here; install g++" in result.complaint
    assert not Path("run").exists()
