"""`gcbench merge`: the shards of a run to its record, by the command that they are of."""

from pathlib import Path

from gcbench.commands.evaluate import evaluate
from gcbench.commands.sweep import sweep
from gcbench.core.errors import UserError
from gcbench.core.record import Record
from gcbench.runs.manifest import RECORD, SHARDS, read_command
from gcbench.runs.work_shares import NONE


def merge(run: Path, device: str | None = None) -> Record:
    """The record of a run whose shards are all there; of one that is merged already, the record it has.

    device: of the evaluators, where the references are measured anew; as the shards' by default. Relative paths that
    the shards' command had are looked for from the current directory.
    UserError: shards are missing, nothing is there, or anything that the shards' command refuses.
    """
    run = Path(run)
    noted = read_command(run)
    if noted is None:
        if (run / SHARDS).exists():  # of one process, which has not come to its end
            raise UserError(f"{run} is not whole; give its command again, which resumes it")
        if not (run / RECORD).exists():
            raise UserError(f"{run} holds no shards and no record; give a directory that `--shard` wrote into")
        return Record.read(run / RECORD)
    command, options = noted
    options |= {"out": run, "shard": NONE} | ({} if device is None else {"device": device})
    for name in ("images", "layouts", "prompts", "checkpoint"):
        if name in options:
            options[name] = Path(options[name])
    record = sweep(**options) if command == "sweep" else evaluate(**options)
    if (run / SHARDS).exists():
        raise UserError(f"{run} is not whole; give the command of each shard that is missing, and merge then")
    return record
