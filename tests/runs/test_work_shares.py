"""Which shards a process takes, by `--shard`, by a Slurm array, or by a launcher."""

from pathlib import Path

import pytest

from gcbench.core.errors import UserError
from gcbench.runs.helpers import Helpers, arguments, fitting
from gcbench.runs.lock import LOCK, Lock
from gcbench.runs.work_shares import Share, local_rank, share_of


def array(task: int, least: int, most: int, step: int = 1, count: int | None = None) -> dict[str, str]:
    """The variables of a task of `sbatch --array=least-most:step`."""
    count = len(range(least, most + 1, step)) if count is None else count
    values = {"ID": task, "MIN": least, "MAX": most, "STEP": step, "COUNT": count}
    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in values.items()}


@pytest.mark.parametrize("count", [1, 2, 3, 16])
def test_every_shard_is_taken_once(count: int) -> None:
    shares = [share_of(f"{index}/{count}", {}) for index in range(1, count + 1)]
    for place in range(40):
        assert [share.takes(place) for share in shares if share is not None].count(True) == 1
    assert shares[-1] == Share(count - 1, count)  # I counts from 1


@pytest.mark.parametrize(("least", "most", "step"), [(0, 15, 1), (1, 16, 1), (5, 5, 1), (10, 50, 10)])
def test_the_tasks_of_an_array_are_all_shares(least: int, most: int, step: int) -> None:
    tasks = range(least, most + 1, step)
    found = [share_of("slurm", array(task, least, most, step)) for task in tasks]
    assert found == [Share(index, len(tasks)) for index in range(len(tasks))]


@pytest.mark.parametrize(
    "variables",
    [
        *(
            {},
            {"SLURM_ARRAY_TASK_ID": ""},
            {"SLURM_ARRAY_TASK_ID": "3"},
            {**array(3, 1, 4), "SLURM_ARRAY_TASK_MAX": ""},
        ),
        *(array(7, 3, 7, count=2), array(4, 3, 7, step=4), {**array(3, 1, 4), "SLURM_ARRAY_TASK_ID": "one"}),
    ],
)
def test_what_is_no_place_in_an_array(variables: dict[str, str]) -> None:
    """None, a broken one (`--array=3,7`), and what Slurm never writes."""
    with pytest.raises(UserError, match=r"array|no number"):
        share_of("slurm", variables)


def test_an_array_of_other_work_is_left_alone() -> None:
    assert share_of(None, array(3, 1, 16)) is None
    assert share_of(None, {}) is None


def test_a_launcher_gives_ranks() -> None:
    variables = {"WORLD_SIZE": "4", "RANK": "2", "LOCAL_RANK": "1"}
    assert share_of(None, variables) == Share(2, 4, merges=False)
    assert share_of(None, {**variables, "RANK": "0"}) == Share(0, 4, merges=True)
    assert local_rank(variables) == 1
    assert (share_of(None, {"WORLD_SIZE": "1", "RANK": "0"}), local_rank({"LOCAL_RANK": "1"})) == (None, None)
    with pytest.raises(UserError, match="the launcher gives each of its 4 processes a share"):
        share_of("1/2", variables)


@pytest.mark.parametrize(("rank", "said"), [("4", "RANK is 4"), ("", "there is no RANK"), (None, "there is no RANK")])
def test_a_process_without_a_place_among_those_of_a_launcher_is_refused(rank: str | None, said: str) -> None:
    """It would take no shard, or wait for ever for shards that nobody takes."""
    variables = {"WORLD_SIZE": "4"} | ({} if rank is None else {"RANK": rank})
    with pytest.raises(UserError, match=f"WORLD_SIZE is 4, and {said}; unset it"):
        share_of(None, variables)


def test_options_become_the_command_line_that_they_came_from() -> None:
    """Read back by the command line itself."""
    from typer.main import get_command

    from gcbench.cli import app, given

    options = {
        "model": "a b.py:Model",
        "n": 7,
        "guidance": (1.0, 1.5, 3e-05),
        "size": (32, 64),
        "settings": {"sampler.image_sampler": "ddim", "sampler.repeats": 2, "sampler.x": [1, "a=b", None]},
        "metrics": ["fsd", "x.py:Mine"],
        "evaluators": ("segmenter=a@b c", "clip=x.py:C"),
        "checkpoint": Path("-odd/ä.safetensors"),
        "keep_samples": True,
        "train": False,
        "steps": None,
    }
    command = get_command(app).commands["sweep"]  # type: ignore[attr-defined]
    read = given(dict(command.make_context("sweep", arguments(options)).params))
    assert read["settings"] == options["settings"]
    assert list(read["evaluators"]) == list(options["evaluators"])
    assert (read["guidance"], read["size"], read["metrics"]) == ("1.0,1.5,3e-05", "32x64", "fsd,x.py:Mine")
    assert (read["model"], read["n"], read["checkpoint"]) == ("a b.py:Model", 7, options["checkpoint"])
    assert (read["keep_samples"], read["train"], read["steps"]) == (True, False, None)


def test_processes_fit_into_memory() -> None:
    assert fitting(8, 1e15) == 1
    assert fitting(8, 1.0) in (1, 8)  # 1 where free memory is not told


def test_several_share_a_directory_or_one_has_it(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with Lock(run, shared=True), Lock(run, shared=True):
        with pytest.raises(UserError, match="another process writes"), Lock(run):
            pass
        assert (run / LOCK).exists()
    assert not (run / LOCK).exists()
    with Lock(run) as alone:
        with pytest.raises(UserError, match="another process writes"), Lock(run, shared=True):
            pass
        alone.share()
        with Lock(run, shared=True), pytest.raises(UserError, match="another process writes"), Lock(run):
            pass
    assert not list(run.iterdir())


def test_helpers_that_memory_has_no_room_for_are_ended() -> None:
    with Helpers(["--version"], 3, 1) as helpers:
        started = [process for process, _ in helpers._processes]
        helpers.keep(1)
        assert helpers.count == 1
        assert [process for process, _ in helpers._processes] == started[:1]
        assert all(process.poll() is not None for process in started[1:])
