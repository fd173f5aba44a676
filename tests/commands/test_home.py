"""`~` is the home folder in every option that takes a path; a bare name is never a path."""

import json
from pathlib import Path

import pytest
from conftest import Cli, write_toyland

from gcbench.cli import at_home
from gcbench.data.open_dataset import open_dataset
from gcbench.evaluators.attributes import Attributes
from gcbench.evaluators.trained_segmenter import find_trained
from gcbench.weights.find_weights import find_weights


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    write_toyland(tmp_path / "home/data", {"train": 2, "val": 4})
    return tmp_path / "home"


@pytest.mark.usefixtures("oracle", "without_curve")
def test_paths_that_no_shell_has_read(cli: Cli, home: Path) -> None:
    """As in --out=~/run, in quotes, and in scripts."""
    result = cli(
        *("evaluate", "--images=~/data/val/images", "--layouts=~/data/val/layouts", "--dataset=~/data"),
        *("--prompts=~/data/val/prompts.jsonl", "--metrics=miou", "--device=cpu", "--out=~/run"),
    )
    assert result.code == 0, result.err
    assert json.loads((home / "run/record.json").read_text())["points"][0]["scores"]["miou"]["status"] == "ok"
    for command in (("compare", "~/run", "~/run"), ("data", "check", "~/data"), ("table1", "--measured=~")):
        assert cli(*command).code == 0
    assert cli("data", "export", "~/data", "--out=~/copy").code == 0
    assert (home / "copy/export.json").is_file()
    assert not any(Path().iterdir())
    result = cli("sweep", "--dataset=~/data", "--checkpoint=~/no.safetensors", "--evaluator=segmenter=@~/no.pth")
    assert f"{home}/no.safetensors does not exist" in result.complaint


def test_which_parts_of_options_are_paths(home: Path) -> None:
    seen = at_home(lambda **options: options)(
        out=Path("~/a"),
        runs=[Path("~"), Path("a/~/b")],
        evaluator=["segmenter=hrnet_w48@~/w.pth", "clip=~/x.py:Mine@b~c"],
        set_=["sampler.layouts=~/l", "x=1~2"],
        prompt=["~/ is a text", "a=~/b"],
        n=3,
        checkpoint=None,
    )
    assert seen == {
        "out": home / "a",
        "runs": [home, Path("a/~/b")],
        "evaluator": [f"segmenter=hrnet_w48@{home}/w.pth", f"clip={home}/x.py:Mine@b~c"],
        "set_": [f"sampler.layouts={home}/l", "x=1~2"],
        "prompt": ["~/ is a text", "a=~/b"],
        "n": 3,
        "checkpoint": None,
    }


def test_variables(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "weights/segmenter/pets").mkdir(parents=True)
    (home / "weights/segmenter/pets/m.safetensors").write_bytes(b"x")
    monkeypatch.setenv("GCBENCH_WEIGHTS", "~/weights")
    assert find_weights("segmenter", "pets") == home / "weights/segmenter/pets/m.safetensors"
    monkeypatch.setenv("GCBENCH_CACHE", "~/cache")
    from gcbench.evaluation.feature_cache import cache_directory

    assert cache_directory() == home / "cache"


def test_a_folder_here_is_no_evaluators_and_no_datasets_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder `pets` or `faces` in the current directory, often a dataset, is not taken for weights of that name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GCBENCH_WEIGHTS", raising=False)
    faces = open_dataset("faces")
    known = find_trained("streets")
    for name in ("pets", "streets", "faces", "segmenter"):
        (tmp_path / name).mkdir()
    assert find_trained("streets") == known
    assert find_trained("pets") is None
    assert find_trained("./pets") == Path("pets")
    assert Attributes.open(faces, spec="@faces").id == Attributes.open(faces).id
    assert open_dataset("streets").version.startswith("streets")
