"""Which shards of a run a process takes: those of `--shard`, of its place in a Slurm array, or of its rank.

Knows no torch, and nothing of what a shard is.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gcbench.core.errors import UserError
from gcbench.core.run_spec import RunSpec, check_count

MOST_SHARES: Final = 100_000
MOST_JOBS: Final = 1024

ANY: Final = "any"
ARRAY: Final = "slurm"
NONE: Final = "none"


@dataclass(frozen=True)
class Share:
    """The shards whose place is `index`, index + count, …; of count 1, all; of count 0, none.

    merges: whether it waits for all shards and merges them; None for a process that merges if it is the last to end.
    """

    index: int = 0
    count: int = 1
    merges: bool | None = None

    def takes(self, place: int) -> bool:
        return self.count > 0 and place % self.count == self.index


def check_sharing(spec: RunSpec, shard: str | None, jobs: int | None, fresh: bool, train: bool) -> Share | None:
    """The share of this process; None for a run that it measures whole, alone or with helpers.
    UserError: what cannot be done by processes that know nothing of each other."""
    share = share_of(shard)
    if jobs is not None:
        check_count("--jobs", jobs, 1, MOST_JOBS, "process")
        if share is not None:
            raise UserError("--jobs starts processes of its own, and --shard is one of several; leave one out")
    if spec.until_saturation and (share is not None or (jobs or 1) > 1):
        raise UserError(
            "--until-saturation decides by what it has measured, in one process; leave --shard and --jobs out, or name"
            " the scales by --guidance"
        )
    if share is not None and (fresh or train):
        what, remedy = ("--fresh", "remove the directory first") if fresh else ("--train", "train by `gcbench train`")
        raise UserError(f"{what} is not for one of several processes; {remedy}, and leave it out")
    return share


def share_of(asked: str | None, variables: Mapping[str, str] = os.environ) -> Share | None:
    """The share that `--shard` asks for, or that torchrun and `accelerate launch` give a process; None for a whole run.

    asked: `I/N`, the I-th of N, I from 1; `slurm`, the place of this task in its array; `any`, whatever no other
    process is at; `none`, to merge only.
    UserError: another form, numbers out of range, no Slurm array, or a launcher that gives each process its own.
    """
    ranks = _number(variables, "WORLD_SIZE", 1)
    if ranks > 1:
        if asked is not None:
            raise UserError(f"--shard {asked}: the launcher gives each of its {ranks} processes a share; leave it out")
        rank = _number(variables, "RANK", ranks)
        if rank >= ranks:
            place = f"RANK is {rank}" if variables.get("RANK") else "there is no RANK"
            raise UserError(f"the variable WORLD_SIZE is {ranks}, and {place}; unset it, or start all by one launcher")
        return Share(rank, ranks, merges=rank == 0)
    if asked is None:
        return None
    if asked in (ANY, NONE):
        return Share(count=int(asked == ANY))
    if asked == ARRAY:
        return _of_array(variables)
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", asked)
    if match is None:
        raise UserError(f"--shard {asked!r}: give I/N, such as 3/16 for the third of sixteen, or slurm, or any")
    index, count = int(match[1]), int(match[2])
    if not 1 <= index <= count <= MOST_SHARES:
        raise UserError(f"--shard {asked}: I counts from 1 to N, and N is at most {MOST_SHARES}")
    return Share(index - 1, count)


def local_rank(variables: Mapping[str, str] = os.environ) -> int | None:
    """Which of its machine's GPUs a launcher means this process to take; None without a launcher."""
    return _number(variables, "LOCAL_RANK", 0) if _number(variables, "WORLD_SIZE", 1) > 1 else None


def _of_array(variables: Mapping[str, str]) -> Share:
    if not variables.get("SLURM_ARRAY_TASK_ID"):
        raise UserError("--shard slurm: this is no task of a Slurm array (sbatch --array=1-16); give I/N")
    if lacking := [name for name in ("MIN", "MAX") if not variables.get(f"SLURM_ARRAY_TASK_{name}")]:
        raise UserError(f"--shard slurm: of this array SLURM_ARRAY_TASK_{lacking[0]} is not known; give I/N")
    task, least, most = (_number(variables, f"SLURM_ARRAY_TASK_{name}", 0) for name in ("ID", "MIN", "MAX"))
    step = max(_number(variables, "SLURM_ARRAY_TASK_STEP", 1), 1)
    count = _number(variables, "SLURM_ARRAY_TASK_COUNT", (most - least) // step + 1)
    index, between = divmod(task - least, step)
    if between or not 0 <= index < count or count != (most - least) // step + 1:
        raise UserError(
            f"--shard slurm: task {task} of {count} from {least} to {most} is no place in an unbroken array; submit all"
            f" tasks at once (sbatch --array=1-{max(count, 1)}), or give I/N"
        )
    return Share(index, count)


def _number(variables: Mapping[str, str], name: str, default: int) -> int:
    text = variables.get(name, "")
    if text and not re.fullmatch(r"\d{1,9}", text):
        raise UserError(f"the variable {name} is {text!r}, which is no number; unset it")
    return int(text) if text else default
