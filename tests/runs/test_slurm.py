"""Stages on a cluster: submitit's debug and local executors run them; a stand-in for sbatch keeps what it is given."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

submitit = pytest.importorskip("submitit", reason="submitit is not installed")

from gcbench.core.errors import UserError  # noqa: E402
from gcbench.runs import slurm  # noqa: E402
from gcbench.runs.suite_plan import Row, Suite  # noqa: E402
from gcbench.runs.suite_stages import Job, Stage  # noqa: E402

SUITE = Suite(name="s", images=10, n=4, seeds=2, row=[Row(model="gcdp"), Row(model="real")])


def stages(shards: int = 3, steps: int | str = 7) -> list[Stage]:
    job = Job(SUITE, "streets", Path("out"), "cpu", (), {"gcdp": steps}, shards)
    return job.stages([variant for row in SUITE.row for variant in SUITE.variants(row)])


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where a stand-in for sbatch keeps its scripts: 101.sh, 102.sh, ..."""
    programs, kept = tmp_path / "bin", tmp_path / "kept"
    programs.mkdir()
    kept.mkdir()
    (programs / "srun").write_text("#!/bin/sh\n")
    (programs / "sbatch").write_text(
        f'#!/bin/sh\nnumber=$((101 + $(ls {kept} | wc -l)))\ncp "$1" {kept}/$number.sh\n'
        'echo "Submitted batch job $number"\n'
    )
    for program in programs.iterdir():
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setattr(submitit.SlurmExecutor, "_throttle", lambda self: None)
    return kept


def flags(script: str) -> dict[str, str]:
    found = re.findall(r"^#SBATCH --([\w-]+)(?:=(.*))?$", script, re.MULTILINE)
    return {key: value.strip("'") for key, value in found}


def test_arrays_and_dependencies_reach_sbatch(cluster: Path, tmp_path: Path) -> None:
    options = slurm.check_options(["partition=gpu", "time=120", "gpus_per_node=1"])
    made = slurm.slurm_executor(tmp_path / "jobs", "s", options, 2)
    ids = slurm.submit(stages(), made, lambda job: None)
    scripts = {path.stem: path.read_text() for path in sorted(cluster.iterdir())}
    for script in scripts.values():
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    told = {number: flags(script) for number, script in scripts.items()}
    assert (ids["train gcdp-s0"], ids["train gcdp-s1"]) == ("101_0", "101_1")
    assert told["101"]["array"] == "0-1%2"
    assert "dependency" not in told["101"]
    assert (told["101"]["partition"], told["101"]["time"], told["101"]["gpus-per-node"]) == ("gpu", "120", "1")
    for seed in (0, 1):
        shards = {ids[f"sweep gcdp-s{seed} {i}/3"] for i in (1, 2, 3)}
        array = ids[f"sweep gcdp-s{seed} 1/3"].partition("_")[0]
        assert shards == {f"{array}_{i}" for i in range(3)}
        assert told[array]["array"] == "0-2%2"
        assert told[array]["dependency"] == f"afterok:101_{seed}"  # its own training, not all
        assert told[array]["kill-on-invalid-dep"] == "yes"
        merge = told[ids[f"merge gcdp-s{seed}"]]
        assert set(merge["dependency"].removeprefix("afterok:").split(":")) == shards
    table = told[ids["table"]]["dependency"]
    assert table.startswith("afterany:")
    assert set(table.removeprefix("afterany:").split(":")) == {job for key, job in ids.items() if key != "table"}
    assert ids.keys() == {stage.key for stage in stages()}


def test_what_cannot_be_trained_takes_its_sweeps_with_it(cluster: Path, tmp_path: Path) -> None:
    made = slurm.slurm_executor(tmp_path / "jobs", "s", {}, None)
    ids = slurm.submit(stages(steps="no such setting"), made, lambda job: None)
    assert set(ids) == {"sweep real 1/3", "sweep real 2/3", "sweep real 3/3", "merge real", "table"}


def test_the_script_can_be_shown_where_there_is_no_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    trainings, *_ = slurm.arrays(stages())
    text = slurm.script(tmp_path / "jobs", "s", {"partition": "gpu"}, 4, trainings)
    assert flags(text)["array"] == "0-1%2"
    assert flags(text)["partition"] == "gpu"
    assert not (tmp_path / "jobs").exists()
    with pytest.raises(UserError, match="there is no srun here"):
        slurm.slurm_executor(tmp_path / "jobs", "s", {}, None)
    with pytest.raises(UserError, match="--slurm partitoin: choose among"):
        slurm.check_options(["partitoin=gpu"])


TINY = [
    Stage("train", "a", ("--version",)),
    Stage("sweep", "a", ("list", "metrics"), needs=("train a",)),
    Stage("table", "", ("list", "models"), needs=("train a", "sweep a")),
]


def test_a_stage_does_not_take_its_place_in_an_array_for_a_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import os; assert not [key for key in os.environ if key.startswith('SLURM_ARRAY')] and os.environ['HERE']"
    monkeypatch.setattr(Stage, "line", property(lambda stage: [sys.executable, "-c", code]))
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    monkeypatch.setenv("HERE", "1")
    slurm.Command(TINY[0])()
    assert os.environ["SLURM_ARRAY_TASK_ID"] == "3"


def test_submitits_debug_executor_runs_the_command_lines(tmp_path: Path) -> None:
    jobs: list[Any] = []
    slurm.submit(TINY, lambda kind, dependency: submitit.DebugExecutor(tmp_path / "jobs"), jobs.append)
    assert [job.result() for job in jobs] == [None, None, None]


def test_submitits_local_executor_runs_the_command_lines(tmp_path: Path) -> None:
    """And a command that fails is a job that failed."""
    folder, jobs, waited = tmp_path / "jobs", [], []

    def executor(kind: str, dependency: str | None) -> Any:
        waited.append(dependency)
        return submitit.LocalExecutor(folder / "%j")

    def end(job: Any) -> None:
        jobs.append(job)
        job.wait()

    bad = Stage("sweep", "b", ("list", "nothing"), needs=("train a",))
    ids = slurm.submit([TINY[0], TINY[1], bad], executor, end)
    assert waited == [None, f"afterok:{ids['train a']}"]
    assert [job.exception() is None for job in jobs] == [True, True, False]
    assert "gcbench 0." in jobs[0].stdout()
    assert "sweep b ended with exit code 2" in str(jobs[2].exception())
    again = slurm.Command(bad).checkpoint()  # out of time, the same is submitted again
    assert again.function.stage == bad
