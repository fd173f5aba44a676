"""`run.json`: which run a directory is of, and which names there are its own.

A name that stands there and is in no manifest is somebody else's: nothing overwrites or removes it.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gcbench.core.errors import UserError
from gcbench.core.files import parse_json, read_text, write_text
from gcbench.core.record import Record
from gcbench.core.run_spec import guidance_text

RUN: Final = "run.json"
RECORD: Final = "record.json"
SCORES: Final = "scores.csv"
PER_SAMPLE: Final = "per_sample.csv"
CURVE: Final = ("curve.png", "curve.svg")
GRID: Final = "grid.png"
KEPT: Final = "samples"
SHARDS: Final = "shards"
MERGING: Final = ".merging.lock"
COMMAND: Final = "command.json"
"""In the folder of shards: what holds others back from merging, and what was asked for."""
TRACEBACK: Final = "traceback.txt"

MEASURED: Final = (RECORD, SCORES, PER_SAMPLE, *CURVE, SHARDS)
"""What every command that measures writes."""

INSIDE = re.compile(
    r"(\d{6,}|prompts)\.(png|jsonl|safetensors)|\.(\d{6,}|prompts)\.((png|jsonl|safetensors)\.\w+\.tmp|\w+\.(png|jsonl))"
    r"|\.(\d{6,}|merging)\.lock|command\.json|\.command\.json\.\w+\.tmp"
)
"""Files that a run writes into its folders, and what is left of one in the making when it is killed."""


class Manifest(BaseModel):
    """files: names in the directory that runs wrote or will write. run: of which model and protocol, without points;
    metrics: what it measures; samples: what they are called, if not by their numbers."""

    model_config = ConfigDict(extra="forbid")

    files: list[str] = Field(default_factory=list)
    run: Record | None = None
    metrics: list[str] = Field(default_factory=list)
    samples: list[str] = Field(default_factory=list)

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """The directory's manifest; one that is made from its record if an older gcbench wrote it; else an empty one.
        UserError: `run.json` is not ours."""
        try:
            return cls.model_validate_json((folder / RUN).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return cls._of_record(folder)
        except (OSError, ValueError, ValidationError):
            raise UserError(f"{folder / RUN} is damaged, or no run of gcbench's; choose another --out") from None

    @classmethod
    def _of_record(cls, folder: Path) -> "Manifest":
        if not (folder / RECORD).is_file():
            return cls()
        record = Record.read(folder / RECORD)
        scales = {point_folder(point.guidance) for point in record.points}
        kept = folder / KEPT
        ours = kept.is_dir() and {path.name for path in kept.iterdir()} <= scales
        return cls(
            files=[*MEASURED, GRID, TRACEBACK, *([KEPT] if ours else [])],
            run=record.model_copy(update={"points": []}),
            metrics=list(record.points[0].scores) if record.points else [],
        )

    def write(self, folder: Path) -> None:
        write_text(folder / RUN, self.model_dump_json(indent=1) + "\n")

    def differences(self, planned: Record, metrics: Sequence[str]) -> list[str]:
        """A clause for each setting in which the run differs from the planned one."""
        if self.run is None:
            return []
        held = self.run
        clauses = list(_differences("", held.protocol.model_dump(), planned.protocol.model_dump()))
        if held.kind != planned.kind:
            clauses.append(f"kind: {held.kind!r} against {planned.kind!r}")
        clauses += _differences("model ", held.model.model_dump(), planned.model.model_dump())
        if self.metrics and set(self.metrics) != set(metrics):
            clauses.append(f"metrics: {sorted(self.metrics)} against {sorted(metrics)}")
        return clauses

    def refuse_foreign(self, folder: Path, names: Sequence[str]) -> None:
        """UserError: no run wrote one of the names, which are there and which a run is about to write."""
        for name in names:
            if name not in self.files:
                raise UserError(f"{folder / name} is there and no run of gcbench wrote it; choose another --out")

    def refuse_removal(self, folder: Path, inputs: Mapping[str, Path | None]) -> None:
        """UserError: what `--fresh` would remove holds what the run reads, or a file that no run wrote."""
        for name in self.files:
            removed = (folder / name).resolve()
            for option, path in inputs.items():
                if path is not None and (removed == (place := Path(path).resolve()) or removed in place.parents):
                    raise UserError(f"--fresh would remove {option} {path}; choose another --out")
            for root, folders, files in os.walk(folder / name) if not (folder / name).is_symlink() else ():
                links = [sub for sub in folders if (Path(root) / sub).is_symlink()]
                if strange := sorted(links + [file for file in files if not _wrote(file, self.samples)]):
                    raise UserError(
                        f"--fresh would remove {Path(root) / strange[0]}, which no run of gcbench wrote; take it out,"
                        " or choose another --out"
                    )

    def remove(self, folder: Path) -> None:
        """Remove all that runs wrote."""
        for name in self.files:
            path = folder / name
            if path.is_dir() and not path.is_symlink():
                remove_written(path, self.samples)
            else:
                path.unlink(missing_ok=True)


def given_to(files: Path) -> str | None:
    """What was given to the run that wrote the samples' folder `files`: `layouts` or `images`; None for nothing, or
    where no run is known."""
    files = Path(files).resolve()
    for folder in files.parents[:3]:  # samples/SCALE/layouts of a sweep
        if (folder / RUN).is_file():
            try:
                manifest = Manifest.read(folder)
            except UserError:
                return None
            known = manifest.run is not None and files.relative_to(folder).parts[0] in manifest.files
            given = manifest.run.protocol.given if known and manifest.run else None
            return None if given is None else given.partition(" ")[0]
    return None


def _wrote(name: str, samples: Sequence[str]) -> bool:
    """Whether runs call files inside their folders so. samples: names of theirs that are not numbers."""
    match = re.fullmatch(r"\.(.+)\.\w+\.png|(.+)\.png", name)
    return bool(INSIDE.fullmatch(name)) or (match is not None and (match[1] or match[2]) in samples)


def remove_written(folder: Path, samples: Sequence[str] = ()) -> None:
    """Remove what runs wrote into a folder of theirs, and the folder if nothing is left."""
    for root, _, files in os.walk(folder, topdown=False):
        for name in files:
            if _wrote(name, samples):
                (Path(root) / name).unlink()
        with suppress(OSError):  # it is not empty
            os.rmdir(root)


def write_command(folder: Path, command: str, options: Mapping[str, Any]) -> None:
    """Note beside the shards what they are of, for who merges them."""
    (folder / SHARDS).mkdir(exist_ok=True)
    write_text(folder / SHARDS / COMMAND, json.dumps({"command": command, "options": options}, default=str) + "\n")


def read_command(folder: Path) -> tuple[str, dict[str, Any]] | None:
    """What `write_command` noted; None where there is nothing to merge. UserError: it is damaged."""
    try:
        noted = parse_json(read_text(folder / SHARDS / COMMAND))
        if noted["command"] not in ("sweep", "evaluate"):
            raise ValueError(noted["command"])
        return noted["command"], {name: value for name, value in noted["options"].items() if value is not None}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{folder / SHARDS / COMMAND} is damaged; give the command of a shard again") from None


def point_folder(scale: float | None) -> str:
    """What the folder of one scale is called."""
    return "all" if scale is None else f"guidance-{guidance_text(scale)}"


def _differences(prefix: str, mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[str]:
    """A clause for each field, or setting of a field that holds several, in which the two differ."""
    for key in {**mine, **theirs}:
        own, other = mine.get(key), theirs.get(key)
        if isinstance(own, dict) and isinstance(other, dict):
            yield from _differences(f"{prefix}{key} ", own, other)
        elif own != other:
            yield f"{prefix}{key}: {own!r} against {other!r}"
