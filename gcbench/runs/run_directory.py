"""A run directory: what a command measured, written point by point, so that a killed run resumes where it stopped."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from filelock import FileLock, Timeout

from gcbench.core.errors import PluginError, UserError
from gcbench.core.files import write_text
from gcbench.core.record import Record
from gcbench.core.run_spec import guidance_text
from gcbench.runs.sample_table import SampleTable

RECORD: Final = "record.json"
SCORES: Final = "scores.csv"
PER_SAMPLE: Final = "per_sample.csv"
KEPT: Final = "samples"
GRID: Final = "grid.png"
TRACEBACK: Final = "traceback.txt"
LOCK: Final = ".lock"

REGRESSION = "regression"
"""In results/measured/, where the small runs lie that `gcbench regress` measures again: no results to be read."""


class RunDirectory:
    """The files of one run; the record is written last, so that what it holds is always whole.

    A context: inside it no other process writes there, and the traceback of a plug-in's error is left there.
    """

    def __init__(self, path: Path, fresh: bool = False):
        self.path = Path(path)
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"--out {self.path} is a file; choose a directory")
        self.fresh = fresh
        self.held: Record | None = None
        if (self.path / RECORD).exists() and not fresh:
            self.held = Record.read(self.path / RECORD)
        self._lock = FileLock(self.path / LOCK)
        self._made: list[Path] = []

    def __enter__(self) -> "RunDirectory":
        self._made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
        except Timeout:
            raise UserError(f"another process writes into {self.path}; wait for it, or choose another --out") from None
        except OSError as error:
            raise UserError(
                f"cannot write {self.path}: {error.strerror or error}; free space or choose another --out"
            ) from error
        (self.path / TRACEBACK).unlink(missing_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        (self.path / LOCK).unlink(missing_ok=True)
        self._lock.release()
        if isinstance(error, PluginError):
            write_text(self.path / TRACEBACK, error.trace)
            raise UserError(f"{error}; its traceback is in {self.path / TRACEBACK}") from error
        if error is not None:  # a refused command leaves no empty folders
            for folder in self._made:
                if any(folder.iterdir()):
                    break
                folder.rmdir()

    def resume(self, planned: Record, metrics: list[str]) -> Record:
        """The record to go on with: the one held if it is of the same run, else the planned one.
        UserError: the directory holds another model, protocol or list of metrics."""
        if self.fresh:
            (self.path / RECORD).unlink(missing_ok=True)
            shutil.rmtree(self.path / KEPT, ignore_errors=True)
        if self.held is None:
            return planned
        held = self.held
        differences = list(_differences("", held.protocol.model_dump(), planned.protocol.model_dump()))
        if held.kind != planned.kind:
            differences.append(f"kind: {held.kind!r} against {planned.kind!r}")
        differences += _differences("model ", held.model.model_dump(), planned.model.model_dump())
        measured = set(held.points[0].scores) if held.points else set(metrics)
        if measured != set(metrics):
            differences.append(f"metrics: {sorted(measured)} against {sorted(metrics)}")
        if differences:
            raise UserError(
                f"{self.path} holds another run ({'; '.join(differences)}); choose another --out, or add --fresh to"
                " start anew there"
            )
        return held.model_copy(update={"reading": planned.reading})

    def read_samples(self, record: Record, ids: Sequence[str]) -> SampleTable:
        """The values per sample of the record's points.
        UserError: the file is damaged, or lacks samples `ids` of a point."""
        if not record.points:
            return SampleTable()
        table = SampleTable.read(self.path / PER_SAMPLE)
        scales = [guidance_text(point.guidance) for point in record.points]
        means = {
            (name, "")
            for point in record.points
            for name, score in point.scores.items()
            if score.interval is not None and not {"left_out", "influence"} & score.detail.keys()
        }
        columns = means | set(table.columns())
        if any((scale, name, *column) not in table.rows for column in columns for scale in scales for name in ids):
            raise UserError(
                f"{self.path / PER_SAMPLE} lacks rows that its record.json has points of; add --fresh to start anew"
            )
        return table

    def write(self, record: Record, table: SampleTable) -> None:
        """The values per sample, then the record, each atomically."""
        table.write(self.path / PER_SAMPLE)
        record.write(self.path / RECORD)


def kept_samples(run: Path, scale: float | None) -> Path:
    """Where a run directory keeps the samples of a scale."""
    return run / KEPT / ("all" if scale is None else f"guidance-{guidance_text(scale)}")


def _differences(prefix: str, mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[str]:
    """A clause for each field, or setting of a field that holds several, in which the two differ."""
    for key in {**mine, **theirs}:
        one, other = mine.get(key), theirs.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            yield from _differences(f"{prefix}{key} ", one, other)
        elif one != other:
            yield f"{prefix}{key}: {one!r} against {other!r}"
