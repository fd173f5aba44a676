"""What a model does not read is said by `sample` and `sweep`, and stands in the record."""

import json
from pathlib import Path

import pytest
from conftest import Cli

import gcbench
from gcbench.core.errors import UserError

MODEL = """
from gcbench.core.contracts import Reading


class Deaf(Painter):
    def reading(self, texts):
        unknown = {f"w{i}\\x1b": 20 - i for i in range(15)}
        return Reading(n=len(texts), unknown=unknown, denied={"car": 2}, cut=["000001"])


class Mumbling(Painter):
    def reading(self, texts):
        return {"unknown": ["all"]}
"""


@pytest.fixture
def deaf(painter: str, tmp_path: Path) -> str:
    file = tmp_path / "deaf.py"
    file.write_text(Path(painter).read_text() + MODEL)
    return str(file)


def test_a_model_of_ones_own_says_it(
    cli: Cli, toyland: Path, deaf: str, oracle: None, without_curve: None, tmp_path: Path
) -> None:
    model = ["--model", f"{deaf}:Deaf", "--dataset", toyland, "-n", 4]
    result = cli("sweep", *model, "--guidance", "1,3", "--json", "--out", tmp_path / "run")
    assert result.code == 0, result.err
    reading = json.loads(result.out)["reading"]
    assert (reading["n"], reading["denied"], reading["cut"], reading["empty"]) == (4, {"car": 2}, ["000001"], [])
    assert result.err.count("leaves them out") == 1  # once, not at each scale
    assert "w0\\x1b (20), " in result.err
    assert "and 3 more" in result.err
    assert "denies is left out of what " in result.err
    assert "reads: car (2)." in result.err
    assert "sample 000001" in result.err
    wrong = cli("sweep", "--model", f"{deaf}:Mumbling", *model[2:], "--out", tmp_path / "other")
    assert wrong.code == 2
    assert "gives dict" in wrong.complaint


def test_sample_says_what_the_reference_model_reads(cli: Cli, toyland: Path, gcdp: Path, tmp_path: Path) -> None:
    texts = ["an image with two cars left of a tree", "an image without cars", "🚗", "an image with a car"]
    asked = [part for text in texts for part in ("--prompt", text)]
    fixed = ["--dataset", toyland, "--checkpoint", gcdp, "--guidance", "1,2", "-n", 8, "--steps", 1]
    result = cli("sample", *fixed, *asked, "--out", tmp_path / "out")
    assert result.code == 0, result.err
    assert "words and leaves them out: left, two, without." in result.err
    assert "denies is left out of what gcdp reads: car." in result.err
    assert "reads nothing of the text of sample 000002: the image is that of an empty text." in result.err
    folder = tmp_path / "out" / "guidance-2"
    lines = (folder / "prompts.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["text"] for line in lines] == [[text] for text in texts * 2]
    quiet = cli("sample", *fixed[:5], "1", "-n", 2, "--steps", 1, "--out", tmp_path / "captions")
    assert quiet.code == 0
    assert "leaves them out" not in quiet.err


@pytest.mark.parametrize("text", ["", " \t\n", "\u3000", "\udce9 car"])
def test_a_prompt_that_cannot_be_written_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="prompt 2 is "):
        gcbench.sample(tmp_path / "out", prompts=["a car", text])
    assert not (tmp_path / "out").exists()
