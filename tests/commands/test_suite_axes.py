"""Suites with seeds and two rows compared, on this machine and on a cluster; plans that write nothing."""

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli, comparable, run_here
from scipy import stats

from gcbench.core import checkpoint
from gcbench.runs.suite_ledger import Ledger

SMALL = [
    *("model.unet.dim=16", "model.unet.mults=[1,1]", "model.unet.blocks=[1,1]", "model.sample_steps=2"),
    *("model.unet.self_attention=[false,false]", "model.unet.cross_attention=[false,true]"),
    *("model.unet.drawing_blocks=1", "train.batch_size=3", "train.save_every=2"),
]
SUITE = f"""
title = "Two rows, two seeds"
images = 6
n = 4
seeds = 2
splits = ["train"]
metrics = ["semantic-recall", "fd"]
compare = ["fast", "slow"]

[[row]]
model = "imagen"
name = "fast"
train = {json.dumps([*SMALL, "train.lr=1e-2"])}
guidance = [1, 3]

[[row]]
model = "imagen"
name = "slow"
train = {json.dumps(SMALL)}
guidance = [1, 3]

[[row]]
model = "real"
"""
FOLDERS = [f"{row}-train-s{seed}" for row in ("fast", "slow") for seed in (0, 1)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(SUITE)
    return path


@pytest.fixture
def here(oracle: None, without_curve: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gcbench.runs.local_engine.run_stage", run_here)


def test_seeds_become_means_beside_each_seed(cli: Cli, toyland: Path, file: Path, here: None, tmp_path: Path) -> None:
    out = tmp_path / "run"
    first = cli("suite", "run", file, "--dataset", toyland, "--out", out)
    assert first.code == 0, first.err
    seeds = [
        checkpoint.read_card(out / f"train-{name}/model.safetensors").provenance["train"]["seed"] for name in FOLDERS
    ]
    assert seeds == [0, 1, 0, 1]
    records = {name: json.loads((out / name / "record.json").read_text()) for name in [*FOLDERS, "real"]}
    assert all(set(record["points"][0]["scores"]) == {"semantic-recall", "fd"} for record in records.values())
    assert len({record["protocol"]["prompts"] for name, record in records.items() if name != "real"}) == 1
    assert records["fast-train-s0"]["points"][0]["scores"] != records["fast-train-s1"]["points"][0]["scores"]
    assert '<h2 id="run-A">A: ' in (out / "report.html").read_text(encoding="utf-8")
    lines = list(csv.DictReader((out / "over_seeds.csv").open()))
    for metric in ("semantic-recall", "fd"):
        own = [line for line in lines if (line["metric"], line["column"], line["trained_on"]) == (metric, "", "train")]
        for guidance in ("1", "3"):
            for name in ("fast", "slow", "fast − slow"):
                mine = {line["seed"]: line for line in own if (line["name"], line["guidance"]) == (name, guidance)}
                assert set(mine) == {"mean of 2", "0", "1"}
                values = [float(mine[seed]["value"]) for seed in ("0", "1")]
                assert float(mine["mean of 2"]["value"]) == pytest.approx(sum(values) / 2, abs=1e-9)
                half = stats.t.ppf(0.975, 1) * abs(values[0] - values[1]) / 2
                assert float(mine["mean of 2"]["standard_error"]) * stats.t.ppf(0.975, 1) == pytest.approx(
                    half, abs=1e-9
                )
    assert "fast − slow, paired, trained on train" in first.out
    shown = cli("suite", "show", out)
    assert shown.code == 0, shown.err
    assert shown.out.count("mean of 2") == first.out.count("mean of 2") > 0
    assert json.loads((out / "over_seeds.json").read_text())["tables"]


@pytest.mark.parametrize("engine", ["local", "slurm"])
def test_a_plan_prints_command_lines_and_writes_nothing(cli: Cli, toyland: Path, file: Path, engine: str) -> None:
    if engine == "slurm":
        pytest.importorskip("submitit", reason="submitit is not installed")
    options = ["--slurm", "partition=gpu"] if engine == "slurm" else []
    result = cli(
        *("suite", "run", file, "--dataset", toyland, "--plan", "--engine", engine, "--jobs", 2, "--shards", 2),
        *options,
    )
    assert result.code == 0, result.err
    assert "sweep fast-train-s0 1/2 after train fast-train-s0\n  gcbench sweep --model imagen" in result.out
    assert "merge fast-train-s0 after sweep fast-train-s0 1/2, sweep fast-train-s0 2/2" in result.out
    assert "--set train.seed=1" in result.out
    assert ("#SBATCH --partition=gpu" in result.out) == (engine == "slurm")
    assert ("#SBATCH --array=0-3%2" in result.out) == (engine == "slurm")  # the four trainings
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize(
    ("options", "fragment"),
    [
        (["--engine", "sun-grid"], "--engine sun-grid: choose local or slurm"),
        (["--jobs", 0], "--jobs 0"),
        (["--shards", 0], "--shards 0"),
        (["--slurm", "partition=a"], "is for --engine slurm"),
        (["--engine", "slurm", "--slurm", "partitoin=a"], "--slurm partitoin: choose among"),
    ],
)
def test_options_that_cannot_be(cli: Cli, toyland: Path, file: Path, options: list[object], fragment: str) -> None:
    if "--engine" in options:
        pytest.importorskip("submitit", reason="submitit is not installed")
    result = cli("suite", "run", file, "--dataset", toyland, *options)
    assert (result.code, result.out) == (2, "")
    assert fragment in result.complaint
    assert not Path("runs").exists()


def test_a_split_or_metric_that_is_not_there_is_refused(cli: Cli, toyland: Path, file: Path) -> None:
    for old, new, said in (
        ('["train"]', '["train25"]', "trains on the split 'train25'; toyland has train"),
        ('"fd"]', '"fdd"]', "fdd"),
    ):
        file.write_text(SUITE.replace(old, new))
        result = cli("suite", "run", file, "--dataset", toyland)
        assert (result.code, said in result.complaint) == (2, True), result.complaint
    assert cli("suite", "show", file.parent).complaint.endswith("give the directory that `gcbench suite run` wrote")


def test_on_a_cluster_it_submits_and_the_table_collects(
    cli: Cli, toyland: Path, file: Path, here: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The jobs are run by submitit's debug executor; one training fails, as its folder is somebody else's."""
    submitit = pytest.importorskip("submitit", reason="submitit is not installed")
    monkeypatch.setattr("gcbench.runs.slurm.slurm_executor", lambda *rest: lambda kind, after: executor)
    monkeypatch.setattr("gcbench.runs.slurm.Command.__call__", lambda self: run_here(self.stage))
    jobs: list[Any] = []
    executor = submitit.DebugExecutor(tmp_path / "logs")
    submit = executor.submit
    monkeypatch.setattr(executor, "submit", lambda command: jobs.append(submit(command)) or jobs[-1])
    out = tmp_path / "run"
    (out / "train-slow-train-s1").mkdir(parents=True)
    (out / "train-slow-train-s1/config.json").write_text("{}")
    result = cli("suite", "run", file, "--dataset", toyland, "--out", out, "--engine", "slurm")
    assert result.code == 0, result.err
    assert Ledger.read(out).stages == []
    assert len(jobs) == 4 + 5 + 1
    for job in jobs:
        job.result()
    states = {outcome.key: outcome.status for outcome in Ledger.read(out).stages}
    lost = {"train slow-train-s1", "sweep slow-train-s1"}
    assert states == {key: "failed" if key in lost else "ok" for key in states}
    assert states.keys() >= lost | {"sweep fast-train-s1", "sweep real", "train slow-train-s0"}
    assert all(outcome.seconds is not None for outcome in Ledger.read(out).stages if outcome.status == "ok")
    text = (out / "over_seeds.csv").read_text()
    assert "mean of 2" in text
    assert "mean of 1" in text  # what is there of the slow row
    (out / "real/grid.png").unlink()  # as if its job had been killed after the first point
    again = cli("suite", "show", out)
    assert again.code == 0, again.err
    assert f"sweep real: it did not end; see {out}/jobs" in again.err
    assert {outcome.key for outcome in Ledger.read(out).stages if outcome.status == "failed"} == {*lost, "sweep real"}


KILL = """
import os, signal
replace = os.replace

def kill(source, target, **more):
    replace(source, target, **more)
    if str(target).endswith(os.environ["KILLED_AT"]):
        os.killpg(0, signal.SIGKILL)

os.replace = kill
"""


def kill_when_written(file: Path, command: list[str], scratch: Path) -> None:
    """Run the command; it is killed with all its processes at the moment at which one has written the file."""
    (scratch / "at").mkdir(exist_ok=True)
    (scratch / "at/sitecustomize.py").write_text(KILL)
    environment = {**os.environ, "PYTHONPATH": str(scratch / "at"), "KILLED_AT": str(file)}
    done = subprocess.run(command, env=environment, start_new_session=True, stderr=subprocess.PIPE, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.slow
def test_killed_with_its_processes_it_resumes_to_the_same_records(
    cli: Cli, toyland: Path, evaluator: str, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two stages at once, as processes of their own; never killed, they were made in this one."""
    rows = SUITE.split("[[row]]")
    head = rows[0].replace("seeds = 2", "seeds = 1").replace("images = 6", "images = 60").replace(', "fd"', "")
    file.write_text(
        "[[row]]".join([head.replace("compare =", "# compare ="), rows[1].replace("[1, 3]", "[1]"), rows[3]])
    )
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    options = ["suite", "run", file, "--dataset", toyland, "--evaluator", evaluator]
    with monkeypatch.context() as patch:
        patch.setattr("gcbench.runs.local_engine.run_stage", run_here)
        assert cli(*options, "--out", whole).code == 0
    command = [sys.executable, "-m", "gcbench", *map(str, options), "--out", str(killed), "--jobs", "2"]
    saved = killed / "train-fast-train-s0/model.safetensors"
    kill_when_written(saved, command, tmp_path)
    assert checkpoint.read_card(saved).provenance["steps"] == 2
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    for name in ("fast-train-s0", "real"):
        one, other = (comparable(json.loads((out / name / "record.json").read_text())) for out in (whole, killed))
        for record in (one, other):
            record["training"] = None  # its seconds
        assert one == other
    assert [outcome.status for outcome in Ledger.read(killed).stages] == ["ok"] * 3


def shared(file: Path) -> None:
    """A suite whose sweeps have two shards and two scales each; one row is trained."""
    head = 'title = "Shared"\nimages = 6\nn = 20\nmetrics = ["semantic-recall", "fsd"]\nshow = "table1"\n'
    rows = SUITE.split("[[row]]")
    file.write_text("[[row]]".join([head, rows[1], rows[3]]))


def records(out: Path) -> dict[str, Any]:
    """By row: the record without times, and every other file of the run."""
    found: dict[str, Any] = {}
    for name in ("fast", "real"):
        record = comparable(json.loads((out / name / "record.json").read_text()))
        record["training"] = record["training"] and {**record["training"], "seconds": None}
        files = {path.name: path.read_bytes() for path in (out / name).iterdir() if path.suffix in (".csv", ".png")}
        found[name] = [record, files, sorted(path.name for path in (out / name).iterdir())]
    return found


def test_sweeps_of_two_shards_come_to_the_records_of_one(
    cli: Cli, toyland: Path, file: Path, here: None, tmp_path: Path
) -> None:
    shared(file)
    options = ["suite", "run", file, "--dataset", toyland, "--out"]
    assert cli(*options, tmp_path / "whole").code == 0
    result = cli(*options, tmp_path / "shards", "--shards", 2)
    assert result.code == 0, result.err
    for stage in ("sweep fast 1/2", "sweep fast 2/2", "merge fast", "sweep real 2/2", "merge real"):
        assert f": {stage}" in result.err
    assert records(tmp_path / "shards") == records(tmp_path / "whole")
    assert result.out  # the table


@pytest.mark.slow
def test_sweeps_of_two_shards_are_killed_and_come_to_the_same_files(
    cli: Cli, toyland: Path, evaluator: str, file: Path, without_curve: None, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """As processes, two at once, all killed when one has written its first shard; never killed, made in this one."""
    shared(file)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    options = ["suite", "run", file, "--dataset", toyland, "--evaluator", evaluator, "--only", "fast"]
    with monkeypatch.context() as patch:
        patch.setattr("gcbench.runs.local_engine.run_stage", run_here)
        assert cli(*options, "--out", whole).code == 0
    more = ["--out", str(killed), "--shards", "2", "--jobs", "2"]
    kill_when_written(
        Path("000000.safetensors"), [sys.executable, "-m", "gcbench", *map(str, options), *more], tmp_path
    )
    assert len(list((killed / "fast").glob("shards/*/000000.safetensors"))) == 1
    assert not (killed / "fast/record.json").exists()
    again = cli(*options, *more)
    assert again.code == 0, again.err
    assert [outcome.status for outcome in Ledger.read(killed).stages] == ["ok"] * 4
    one, other = (json.loads((out / "fast/record.json").read_text()) for out in (whole, killed))
    for record in (one, other):
        record["training"] = None  # its seconds
    assert comparable(one) == comparable(other)
    for name in ("per_sample.csv", "grid.png"):
        assert (whole / "fast" / name).read_bytes() == (killed / "fast" / name).read_bytes()
