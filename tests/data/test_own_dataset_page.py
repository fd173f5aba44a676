"""docs/your-own-dataset.md: its code runs, its commands do what it says, and its table has every key."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gcbench.cli import app
from gcbench.data.folder import Config, Folder

PAGE = (Path(__file__).parents[2] / "docs" / "your-own-dataset.md").read_text(encoding="utf-8")


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    [code] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(code, {})
    commands = re.findall(r"^gcbench (data .*)$", PAGE, re.MULTILINE)
    assert [command.split()[1] for command in commands] == ["check", "split"]
    printed = ""
    for command in commands:
        result = CliRunner().invoke(app, shlex.split(command))
        assert result.exit_code == 0, result.exception
        printed += result.output
    assert "gcbench data split" in printed
    divided = Folder(Path("rooms-divided"))
    assert divided.splits == ("train", "val")
    assert len(divided.ids("val")) == 16  # 15 of 60 pairs, in whole groups of 4
    assert set(divided.groups("val")).isdisjoint(divided.groups("train"))
    assert divided.captions("val", 0)[0].startswith("A room with floor, wall")


def test_every_key_is_documented() -> None:
    table = PAGE[PAGE.index("## Every key of dataset.toml") : PAGE.index("## Every key of a line")]
    assert re.findall(r"^\| `\[?(\w+)\]?` \|", table, re.MULTILINE) == list(Config.model_fields)
