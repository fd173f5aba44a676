"""Real processes that are killed or told to stop, and streams that are not as they should be."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import BLOCKS, comparable, content

N = 200
SWEEP = ("sweep", "--guidance", "1,2", "--metrics", "fsd", "--keep-samples")
SAMPLE = ("sample", "--guidance", "1,2")


@pytest.fixture
def cheap(tmp_path: Path) -> str:
    (tmp_path / "blocks.py").write_text(BLOCKS)
    return f"{tmp_path / 'blocks.py'}:Blocks"


def start(arguments: tuple[Any, ...], **variables: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "gcbench", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8", "errors": "replace"}
    return subprocess.Popen(command, env=environment, **pipes)  # type: ignore[call-overload,no-any-return]


def finish(arguments: tuple[Any, ...], **variables: str) -> None:
    process = start(arguments, **variables)
    _, said = process.communicate()
    assert process.returncode == 0, said


def measured(run: Path) -> dict[str, Any]:
    """All that a run holds, its record without times."""
    files: dict[str, Any] = {
        name: data for name, data in content(run).items() if name not in ("run.json", "record.json")
    }
    if (run / "record.json").exists():
        files["record.json"] = comparable(json.loads((run / "record.json").read_text(encoding="utf-8")))
    return files


@pytest.mark.slow
@pytest.mark.parametrize("command", [SWEEP, SAMPLE])
def test_killed_again_and_again_it_ends_in_the_same_files(
    command: tuple[str, ...], cheap: str, toyland: Path, tmp_path: Path
) -> None:
    """SIGKILL at random moments: record, values per sample, samples and grid are those of a run never killed."""
    asked = (*command, "--model", cheap, "--dataset", toyland, "-n", N, "--device", "cpu", "--out")
    began = time.perf_counter()
    finish((*asked, tmp_path / "whole"))
    seconds = time.perf_counter() - began
    chance = random.Random(os.environ.get("KILL_SEED", "0"))
    for _ in range(int(os.environ.get("KILLS", "3"))):
        process = start((*asked, tmp_path / "killed"), PACE="0.02")
        time.sleep(seconds * chance.uniform(0.4, 1.2))
        process.kill()
        process.communicate()
    finish((*asked, tmp_path / "killed"))
    assert measured(tmp_path / "killed") == measured(tmp_path / "whole")


@pytest.mark.parametrize(("sign", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_told_to_stop_it_keeps_its_shards_and_says_so(
    sign: signal.Signals, code: int, cheap: str, toyland: Path, tmp_path: Path
) -> None:
    asked = (*SWEEP, "--model", cheap, "--dataset", toyland, "-n", N, "--device", "cpu", "--out", tmp_path / "run")
    process = start(asked, GATE=str(tmp_path / "never"))
    while not list((tmp_path / "run").glob("shards/*/000064.safetensors")):
        assert process.poll() is None
        time.sleep(0.05)
    for _ in range(2):  # as the impatient do
        process.send_signal(sign)
        time.sleep(0.01)
    _, said = process.communicate()
    assert process.returncode in (code, -sign)  # the second may come when all is done
    assert said.strip().endswith("gcbench: stopped; the same command resumes the run")
    assert "Traceback" not in said
    process = start(asked)
    _, said = process.communicate()
    assert process.returncode == 0
    assert "images of a point that was begun are measured already" in said


@pytest.mark.parametrize(
    "variables",
    [
        {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {
            "PYTHONIOENCODING": "cp1252",
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",
            "HOME": "/dev/null",
            "COLUMNS": "20",
            "TERM": "dumb",
        },
    ],
)
def test_a_strange_environment_changes_nothing(
    variables: dict[str, str], cheap: str, toyland: Path, tmp_path: Path
) -> None:
    """A stream without the record's "×", a backend that there is not, no home: whole JSON, and not a word. The same
    command reads what it wrote."""
    asked = ("sweep", "--model", cheap, "--dataset", toyland, "-n", 4, "--guidance", "1", "--metrics", "fsd")
    environment = {"GCBENCH_CACHE": "", "XDG_CACHE_HOME": "", **variables}
    for _ in range(2):
        process = start((*asked, "--device", "cpu", "--out", tmp_path / "run", "--json"), **environment)
        out, said = process.communicate()
        assert process.returncode == 0, said
        assert "\ufffd" not in out
        assert json.loads(out) == json.loads((tmp_path / "run/record.json").read_text(encoding="utf-8"))
        assert not [word for word in ("Traceback", "Warning", "atplotlib") if word in said]
    assert "Nothing is left to do." in said


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_standard_output_on_a_full_disk() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "gcbench", "table1", "--format", "csv"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 2
    assert done.stderr == "gcbench: standard output cannot be written (No space left on device); write it elsewhere\n"
