"""`gcbench train` under the launchers: two processes, then three that resume, end where one does."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Cli
from safetensors.torch import load_file

TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc_per_node", "2")
ACCELERATE = (
    *("accelerate.commands.launch", "--multi_gpu", "--num_processes", "3", "--num_machines", "1"),
    *("--mixed_precision", "no", "--dynamo_backend", "no"),
)
SETTINGS: dict[str, Any] = {
    "model.unet.dim": 8,
    "model.unet.mults": [1],
    "model.unet.blocks": [1],
    "model.unet.self_attention": [False],
    "model.unet.cross_attention": [True],
    "model.sample_steps": 1,
    "train.batch_size": 7,
    "train.micro_batch": 3,
    "train.clip": 1.0,
    "train.warmup": 0,
    "train.decay": 0,
    "train.log_every": 1,
    "train.save_every": 2,
    "train.precision": "fp32",
}


def line(toyland: Path, out: Path, steps: int, *more: str) -> list[str]:
    settings = [part for key, value in SETTINGS.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    common = ["--model", "gcdp", "--dataset", str(toyland), "--device", "cpu", "--steps", str(steps)]
    return ["train", *common, *settings, "--out", str(out), *more]


def launched(launcher: tuple[str, ...], arguments: list[str]) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", *launcher, "-m", "gcbench", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(
        command, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, start_new_session=True, **pipes
    )


def test_two_processes_and_then_three_end_where_one_does(toyland: Path, tmp_path: Path, cli: Cli) -> None:
    assert cli(*line(toyland, tmp_path / "one", 6)).code == 0
    for launcher, steps, more in ((TORCHRUN, 3, ()), (ACCELERATE, 6, ("--resume",))):
        process = launched(launcher, line(toyland, tmp_path / "more", steps, *more))
        text, _ = process.communicate(timeout=200)
        assert process.returncode == 0, text
        assert text.count("Training gcdp") == text.count("Wrote") == 1
        assert "Traceback" not in text
        assert "Warning" not in text
    one, more = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "more"))
    for name, value in one.items():
        torch.testing.assert_close(more[name], value, rtol=1e-3, atol=1e-4, msg=name)
    logs = []
    for name in ("one", "more"):
        with open(tmp_path / name / "log.csv", newline="") as stream:
            logs.append(list(csv.DictReader(stream)))
    assert [row["step"] for row in logs[1]] == list("123456")
    for mine, theirs in zip(*logs, strict=True):
        for key in ("loss", "image", "label", "lr"):
            assert float(mine[key]) == pytest.approx(float(theirs[key]), rel=1e-3)


def test_ctrl_c_reaches_launcher_and_processes_and_the_step_is_saved(toyland: Path, tmp_path: Path) -> None:
    """As a terminal sends it: to all at once, and then the launcher passes its own on."""
    process = launched(TORCHRUN, line(toyland, tmp_path / "run", 100_000, "--set", "train.preview_every=100000"))
    until = time.monotonic() + 120
    while not (tmp_path / "run" / "state.before.pt").exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    text, _ = process.communicate(timeout=100)
    assert text.count("gcbench: stopped at step ") == 1, text
    step = int(text.partition("stopped at step ")[2].partition(";")[0])
    assert torch.load(tmp_path / "run" / "state.pt", weights_only=True)["step"] == step


def test_a_refusal_is_said_once(toyland: Path, tmp_path: Path) -> None:
    process = launched(TORCHRUN, line(toyland, tmp_path / "run", 2, "--set", "train.batch_size=1"))
    text, _ = process.communicate(timeout=100)
    assert text.count("gcbench: train.batch_size=1 leaves some of 2 processes without an image; raise it\n") == 1
    *_, last, rule = text.rstrip().splitlines()  # torchrun's report ends with it too
    assert last.strip() == "traceback : train.batch_size=1 leaves some of 2 processes without an image; raise it"
    assert set(rule) == {"="}
    assert process.returncode != 0
    assert not (tmp_path / "run").exists()
