"""A short run of the fuzz study, and that it would see what it looks for."""

import os
import random
import re
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gcbench import cli
from gcbench.core.errors import UserError
from studies import fuzz


def told(outcomes: list[fuzz.Outcome]) -> list[str]:
    return [f"{one.kind}, {one.end}: {one.told}" for one in outcomes if one.bad]


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the study changes of this process is put back."""
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(sys, "dont_write_bytecode", sys.dont_write_bytecode)


@pytest.mark.slow
def test_mutated_files_and_command_lines() -> None:
    outcomes = fuzz.fuzz(20, 40 * len(fuzz.FILES), seed=1, seconds=20)
    assert told(outcomes) == []
    assert len(Counter(one.kind for one in outcomes)) > len(fuzz.FILES)


def test_what_is_valid_is_accepted() -> None:
    with fuzz.workplace():
        for kind, (source, place, reader) in fuzz.FILES.items():
            Path(place).write_bytes(source if isinstance(source, bytes) else Path(source).read_bytes())
            if kind == "--model":
                with pytest.raises(UserError, match="existing file"):
                    reader(Path(place))
            else:
                reader(Path(place))


def test_every_option_is_tried() -> None:
    """Those that the help of each command lists."""
    rng = random.Random(0)
    lines = [fuzz.command_line(rng) for _ in range(6000)]
    for words in ("sweep", "evaluate", "data split", "suite run", "weights fetch"):
        shown = CliRunner().invoke(cli.app, [*words.split(), "--help"], env={"COLUMNS": "300"}).output
        flags = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", shown.partition("Examples:")[0])) - {"--help", "-h"}
        tried = {
            part.partition("=")[0] for line in lines if line[: len(words.split())] == words.split() for part in line
        }
        assert len(flags) > 0
        assert {flag for flag in flags if f" {flag} " in shown} - tried == set()


def test_some_command_lines_work() -> None:
    """Else only refusals would be tried."""
    rng = random.Random(2)
    with fuzz.workplace():
        lines = [
            line for line in (fuzz.command_line(rng) for _ in range(200)) if line[0] in ("compare", "suite", "data")
        ]
        ends = Counter(fuzz.try_command(line).end for line in lines[:25])
    assert ends["accepted"] > 5


@pytest.mark.parametrize("fault", ["crash", "hang", "outside", "exit", "control"])
def test_each_fault_is_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fault: str) -> None:
    def broken() -> None:
        if fault == "crash":
            raise KeyError("x")
        if fault == "hang":
            time.sleep(60)
        if fault == "outside":
            os.mkdir(tmp_path / "victim")
        if fault == "exit":
            raise SystemExit(3)
        print("\x1b[31m")

    monkeypatch.setattr(cli, "main", broken)
    monkeypatch.setattr(fuzz, "SECONDS", 0.2 if fault == "hang" else 60)
    with fuzz.workplace():
        end = fuzz.try_command(["list"]).end
    assert end == ("outside" if fault == "outside" else "hang" if fault == "hang" else "crash")
