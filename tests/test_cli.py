"""The command line itself: quick help, usage errors, lists, data commands."""

import importlib.metadata
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from conftest import CLASSES, SIZE, Cli, content, write_toyland
from PIL import Image

import gcbench
from gcbench.cli import EXAMPLES, app, registered
from gcbench.commands.data import check
from gcbench.core.record import Record
from gcbench.core.registry import KINDS
from gcbench.data.cityscapes_classes import CLASSES as URBAN
from gcbench.data.open_dataset import open_dataset


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)


def test_help_needs_no_torch() -> None:
    code = """
import sys
sys.argv = ["gcbench", "--help"]
from gcbench.cli import main
try:
    main()
except SystemExit as leaving:
    heavy = sorted({"torch", "numpy", "matplotlib", "pydantic", "scipy"} & set(sys.modules))
    print(leaving.code, heavy)
"""
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert "sweep" in done.stdout
    assert done.stdout.splitlines()[-1] == "0 []"


def test_as_a_module_a_mistake_is_one_sentence_and_code_2() -> None:
    done = python("-m", "gcbench", "sweep", "--model", "gcdb")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "gcbench: unknown model 'gcdb'; did you mean gcdp?\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["swep"],
        ["sweep", "--modle", "gcdp"],
        ["sweep", "-n", "many"],
        ["sweep", "--batch-size", "1.5"],
        ["evaluate"],
        ["sample"],
        ["train", "--steps", "few"],
        ["data", "check"],
    ],
)
def test_usage_errors(cli: Cli, arguments: list[str]) -> None:
    result = cli(*arguments)
    assert result.code == 2
    assert result.out == ""
    assert "Usage" in result.err
    assert "Traceback" not in result.err


def commands(group: typer.Typer, prefix: str = "") -> list[str]:
    """`sweep`, `data list`, ...: every command there is."""
    names = [prefix + (one.name or one.callback.__name__) for one in group.registered_commands if one.callback]
    for one in group.registered_groups:
        assert one.typer_instance is not None
        names += commands(one.typer_instance, f"{one.name} ")
    return names


@pytest.mark.parametrize("command", commands(app))
@pytest.mark.parametrize("columns", ["80", "120"])
def test_every_command_has_help_with_two_examples(
    cli: Cli, command: str, columns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    result = cli(*command.split(), "-h")
    assert result.code == 0
    assert "Usage" in result.out
    below = [line.strip() for line in result.out.rpartition("Examples:")[2].splitlines() if line.strip()]
    assert len(below) >= 2
    assert any(line.startswith(f"gcbench {command}") for line in below)


@pytest.mark.parametrize("example", sorted({example for both in EXAMPLES.values() for example in both.splitlines()}))
def test_examples_are_of_options_that_there_are(cli: Cli, example: str) -> None:
    words = shlex.split(example)
    result = cli(*words[words.index("gcbench") + 1 :], "--help")
    assert result.code == 0, result.err
    assert len(example) <= 78


def test_no_command_of_the_past_has_examples() -> None:
    assert set(EXAMPLES) == set(commands(app))


def test_the_version(cli: Cli) -> None:
    assert cli("--version").out == f"gcbench {gcbench.__version__}\n"
    assert importlib.metadata.version("gcbench") == gcbench.__version__


def test_completion_can_be_shown() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "gcbench", "--show-completion", "bash"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},  # whatever started the tests
    )
    assert "_GCBENCH_COMPLETE" in shown.stdout or "COMPLETE" in shown.stdout, shown.stderr
    assert registered("models")("gc") == ["gcdp"]


@pytest.mark.parametrize(
    ("arguments", "module", "message"),
    [
        (["sweep"], "sweep.sweep", "stopped; the same command resumes the run"),
        (["sweep", "--fresh"], "sweep.sweep", "stopped; the same command without --fresh resumes the run"),
        (["train", "--model", "gcdp"], "train.train", "stopped; the same command with --resume continues it"),
        (["train", "--model", "gcdp", "--resume"], "train.train", "stopped; the same command resumes the run"),
        (["suite", "run", "table1"], "suite.run_suite", "stopped; the same command resumes the run"),
        (["sample", "--out", "x"], "sample.sample", "stopped; the same command resumes the run"),
        (["evaluate", "--images", "x", "--fresh"], "evaluate.evaluate", "stopped; the same command resumes the run"),
        (["speed"], "speed.run", "gcbench: stopped"),
    ],
)
def test_ctrl_c_is_one_line(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, arguments: list[str], module: str, message: str
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"gcbench.commands.{module}", interrupted)
    result = cli(*arguments)
    assert (result.code, result.out) == (130, "")
    assert message in result.complaint
    assert result.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["sweep", "--model", "nothing"],
        ["sweep", "--metrics", "nothing"],
        ["sweep", "--dataset", "nothing"],
        ["sweep", "-n", "0"],
        ["sweep", "--guidance", "much"],
        ["sweep", "--vary", "steps"],
        ["sweep", "--vary", "steps=10"],
        ["sweep", "--vary", "steps=10,x"],
        ["sweep", "--vary", "precision=fp32,fp8"],
        ["sweep", "--vary", "sampler.threshold=1,2/3"],
        ["sweep", "--vary", "steps=10,20", "--until-saturation"],
        ["sample", "--out", "x", "--size", "9"],
        ["evaluate", "--images", "x", "--evaluator", "nothing=1"],
        ["train"],
        ["train", "--model", "nothing"],
        ["train", "--model", "gcdp", "--dataset", "./nothing"],
        ["compare", "a", "b"],
        ["regress", "--suite", "nothing"],
        ["figure", "3"],
        ["suite", "run", "nothing"],
        ["table1", "--format", "nothing"],
    ],
    ids=" ".join,
)
def test_mistakes_are_refused_before_torch_is_loaded(arguments: list[str]) -> None:
    code = """
import sys
sys.modules["torch"] = sys.modules["matplotlib"] = None  # importing them raises
from gcbench.cli import main
main()
"""
    done = python("-c", code, *arguments)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("gcbench: ")
    assert done.stderr.count("\n") == 1


def test_the_python_api_is_listed_and_loads_torch_late() -> None:
    code = """
import sys, gcbench
print("torch" in sys.modules, sorted(gcbench.__all__) == dir(gcbench))
print(all(callable(getattr(gcbench, name)) for name in gcbench.__all__ if name != "__version__"))
"""
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "False True\nTrue\n"


def test_no_arguments_show_the_help(cli: Cli) -> None:
    result = cli()
    assert result.code == 2
    assert "sweep" in result.out + result.err


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("models", ["gcdp"]),
        ("metrics", ["semantic-recall", "miou", "fsd", "fd"]),
        ("datasets", ["streets", "cityscapes", "camvid"]),
        ("evaluators", ["segmenter"]),
    ],
)
def test_lists(cli: Cli, what: str, names: list[str]) -> None:
    result = cli("list", what)
    assert result.code == 0
    assert set(names) <= {line.split()[0] for line in result.out.splitlines() if line.strip()}


def test_without_a_name_all_four_are_listed(cli: Cli) -> None:
    result = cli("list")
    assert result.code == 0
    lines = [line.strip() for line in result.out.splitlines()]
    assert [line for line in lines if line in KINDS] == list(KINDS)
    for name in ("gcdp", "fid", "streets", "segmenter"):
        assert any(line.startswith(f"{name} ") for line in lines)


def test_an_unknown_list(cli: Cli) -> None:
    result = cli("list", "model")
    assert (result.code, result.out) == (2, "")
    assert "models, metrics, datasets, evaluators" in result.complaint


def test_a_broken_dataset_does_not_hide_the_others(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cityscapes" / "leftImg8bit" / "val" / "ulm").mkdir(parents=True)
    (tmp_path / "cityscapes" / "leftImg8bit" / "val" / "ulm" / "ulm_0_leftImg8bit.png").touch()
    monkeypatch.setenv("GCBENCH_DATA", str(tmp_path))
    result = cli("list", "datasets")
    assert result.code == 0
    assert "streets" in result.out
    assert "not here" in " ".join(result.out.split())


def test_table1(cli: Cli) -> None:
    result = cli("table1", "--format", "json")
    assert result.code == 0
    assert json.loads(result.out)


# --------------------------------------------------------------------------------------------------- data


def test_data_list_names_the_place(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "not set" in cli("data", "list").err
    monkeypatch.setenv("GCBENCH_DATA", str(tmp_path))
    result = cli("data", "list")
    assert result.code == 0
    assert str(tmp_path) in result.err
    assert "streets" in result.out


def test_data_check_of_a_whole_dataset(cli: Cli, toyland: Path) -> None:
    result = cli("data", "check", toyland)
    assert result.code == 0
    assert all(name in result.out for name in CLASSES)
    assert "val: 14 pairs in 14 groups" in result.err


@pytest.mark.parametrize("damage", ["unpaired", "truncated", "strange id", "no caption"])
def test_data_check_of_a_broken_one(cli: Cli, tmp_path: Path, damage: str) -> None:
    root = write_toyland(tmp_path / "broken", {"val": 4})
    part = root / "val"
    culprit = "val01"
    if damage == "unpaired":
        (part / "layouts" / "val01.png").unlink()
    elif damage == "truncated":
        whole = (part / "images" / "val01.png").read_bytes()
        (part / "images" / "val01.png").write_bytes(whole[: len(whole) // 2])
    elif damage == "strange id":
        Image.new("L", SIZE[::-1], 77).save(part / "layouts" / "val01.png")
    else:
        lines = (part / "prompts.jsonl").read_text().splitlines()
        (part / "prompts.jsonl").write_text("\n".join(lines[:1] + lines[2:]))
    result = cli("data", "check", root)
    assert result.code == 2
    assert culprit in result.err
    assert str(root) in result.complaint
    assert "Traceback" not in result.err


def test_data_prepare_writes_a_smaller_copy(cli: Cli, toyland: Path, tmp_path: Path) -> None:
    result = cli("data", "prepare", toyland, "--out", tmp_path / "small", "--size", "16x32", "--limit", 3)
    assert result.code == 0, result.err
    small = open_dataset(str(tmp_path / "small"))
    assert (small.size, small.classes, small.void) == ((16, 32), CLASSES, 4)
    assert len(small.ids("val")) == len(small.ids("train")) == 3
    assert small.captions("val", 0) == open_dataset(str(toyland)).captions("val", 0)
    assert check(str(tmp_path / "small"), 10)


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        (["--as", "coco"], ["coco", "cityscapes, diffusers, folder"]),
        (["--as", "cityscapes"], ["toyland", "folder"]),
        (["--limit", "0"], ["--limit 0"]),
        (["--limit", "-3"], ["--limit -3"]),
        (["--size", "big"], ["'big'", "64x128"]),
    ],
)
def test_export_mistakes(cli: Cli, toyland: Path, tmp_path: Path, arguments: list[str], fragments: list[str]) -> None:
    result = cli("data", "export", toyland, "--out", tmp_path / "copy", *arguments)
    assert result.code == 2
    assert all(fragment in result.complaint for fragment in fragments), result.err
    assert not (tmp_path / "copy").exists()


def test_export_into_another_folder_of_the_user(cli: Cli, toyland: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    before = content(tmp_path / "mine")
    result = cli("data", "export", toyland, "--out", tmp_path / "mine")
    assert result.code == 2
    assert "choose another --out" in result.complaint
    assert content(tmp_path / "mine") == before


@pytest.mark.usefixtures("without_curve")
def test_streets_as_cityscapes_and_back(
    cli: Cli, painter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Cityscapes tree works from export to a sweep with an evaluator of another dataset of its classes."""
    target = tmp_path / "data" / "cityscapes"
    assert cli("data", "export", "streets", "--as", "cityscapes", "--limit", 4, "--out", target).code == 0
    monkeypatch.setenv("GCBENCH_DATA", str(tmp_path / "data"))
    asked = ["--dataset", "cityscapes", "--size", "64x128", "-n", 2, "--guidance", 2, "--out", tmp_path / "run"]
    evaluator = ["--evaluator", "segmenter=hrnet_w18_small@streets"]
    result = cli("sweep", "--model", f"{painter}:Painter", *asked, *evaluator, "--json")
    assert result.code == 0, result.err
    record = Record.model_validate_json(result.out)
    assert record.protocol.evaluators["segmenter"].startswith("hrnet_w18_small@streets#")
    assert record.protocol.size == (64, 128)
    ceiling, floor = (scores["semantic-recall"].value for scores in (record.ceiling, record.floor))
    assert ceiling is not None
    assert floor is not None
    assert ceiling > floor
    assert set(record.ceiling["miou"].detail["per_class"]) <= set(URBAN)


def test_an_argument_in_another_encoding_is_refused_in_one_sentence(tmp_path) -> None:
    for arguments in ([b"data", b"check", b"./caf\xe9"], [b"sample", b"--out", b"x", b"--prompt", b"caf\xe9 cars"]):
        done = subprocess.run([sys.executable, "-m", "gcbench", *arguments], cwd=tmp_path, capture_output=True)
        assert (done.returncode, done.stdout, list(tmp_path.iterdir())) == (2, b"", [])
        assert re.fullmatch(rb"gcbench: the argument [^\n]*caf\\udce9[^\n]* is not UTF-8; [^\n]*\n", done.stderr)
