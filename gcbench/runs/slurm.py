"""Stages as jobs of a Slurm cluster: submitit's arrays and dependencies. Submits, and then has nothing more to do."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gcbench.core.errors import UserError
from gcbench.runs.suite_stages import Stage

if TYPE_CHECKING:
    from submitit import Executor, Job

Dependency = str | None
ARRAY = "SLURM_ARRAY"
"""How the variables begin that tell a job its place in an array."""


class Command:
    """What a job runs. Out of time or preempted, it is submitted again, and the stage resumes."""

    def __init__(self, stage: Stage):
        self.stage = stage

    def __call__(self) -> None:
        """RuntimeError: the command failed; so does the job then."""
        apart = {
            key: value for key, value in os.environ.items() if not key.startswith(ARRAY)
        }  # its line says its shard
        code = subprocess.run(self.stage.line, stdin=subprocess.DEVNULL, env=apart).returncode
        if code:
            raise RuntimeError(f"{self.stage.key} ended with exit code {code}")

    def checkpoint(self) -> Any:
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def arrays(stages: Sequence[Stage]) -> list[list[Stage]]:
    """Stages that need the same, and are of one kind: one array each, after the arrays that it needs."""

    def alike(stage: Stage) -> tuple[int, str, tuple[str, ...]]:
        return ("train", "sweep", "merge", "table").index(stage.kind), stage.kind, stage.needs

    startable = [stage for stage in stages if stage.fault is None]
    return [list(group) for _, group in groupby(sorted(startable, key=alike), alike)]


def submit(
    stages: Sequence[Stage], executor: Callable[[str, Dependency], Executor], submitted: Callable[[Job[Any]], None]
) -> dict[str, str]:
    """Submit the stages; returns the job id of each by its key. A stage whose needs have a fault is left out.

    executor: from the name and dependency of an array. submitted: is told of each job, once it has an id.
    """
    ids: dict[str, str] = {}
    for array in arrays(stages):
        first = array[0]
        any_end = first.kind == "table"  # of what there is
        if not any_end and not ids.keys() >= set(first.needs):
            continue
        needed = [ids[need] for need in first.needs if need in ids]
        kind = "afterany" if any_end else "afterok"
        array_executor = executor(first.kind, f"{kind}:{':'.join(needed)}" if needed else None)
        with array_executor.batch():
            jobs = [array_executor.submit(Command(stage)) for stage in array]
        for stage, job in zip(array, jobs, strict=True):
            ids[stage.key] = job.job_id
            submitted(job)
    return ids


def slurm_executor(
    logs: Path, name: str, options: Mapping[str, Any], jobs: int | None
) -> Callable[[str, Dependency], Executor]:
    """Makes submitit's executor of an array. options: of sbatch, by submitit's names.
    UserError: submitit is not installed, this is no cluster, or an option that there is not."""
    from submitit import SlurmExecutor

    def make(kind: str, dependency: Dependency) -> Executor:
        return _configured(SlurmExecutor, logs, {**options, **_own(name, kind, dependency, jobs)})

    try:
        make("train", None)
    except RuntimeError:
        raise UserError(
            "--engine slurm: there is no srun here; run it where jobs are submitted, or take --plan or --engine local"
        ) from None
    return make


def script(logs: Path, name: str, options: Mapping[str, Any], jobs: int | None, array: Sequence[Stage]) -> str:
    """What sbatch is given for an array, as submitit writes it, on any machine. Job ids are not known yet."""
    from submitit import SlurmExecutor

    class Anywhere(SlurmExecutor):
        @classmethod
        def affinity(cls) -> int:
            return 1

    needs = array[0].needs
    kind = "afterany" if array[0].kind == "table" else "afterok"
    dependency = f"{kind}:{':'.join(f'<{need}>' for need in needs)}" if needs else None
    executor = _configured(Anywhere, logs, {**options, **_own(name, array[0].kind, dependency, jobs)})
    if len(array) > 1:
        executor.parameters["map_count"] = len(array)
    return executor._make_submission_file_text(executor._submitit_command_str, "plan")


def check_options(pairs: Sequence[str]) -> dict[str, Any]:
    """sbatch's options from KEY=VALUE. UserError: submitit is not installed, or does not know one."""
    try:
        from submitit import SlurmExecutor
    except ImportError:
        raise UserError("--engine slurm needs submitit; pip install 'gcbench[cluster]'") from None
    from gcbench.core.settings import read_settings

    given = read_settings(None, pairs)
    known = SlurmExecutor._valid_parameters() - {"dependency", "job_name", "array_parallelism", "additional_parameters"}
    if strange := sorted(given.keys() - known):
        raise UserError(f"--slurm {strange[0]}: choose among {', '.join(sorted(known))}")
    return given


def _own(name: str, kind: str, dependency: Dependency, jobs: int | None) -> dict[str, Any]:
    own: dict[str, Any] = {"job_name": f"{name}-{kind}"}
    if dependency is not None:  # a job whose needs failed is taken off the queue
        own |= {"dependency": dependency, "additional_parameters": {"kill-on-invalid-dep": "yes"}}
    return own if jobs is None else {**own, "array_parallelism": jobs}


def _configured(kind: type[Any], logs: Path, parameters: Mapping[str, Any]) -> Any:
    executor = kind(folder=logs / "%j")
    executor.update_parameters(**parameters)
    return executor
