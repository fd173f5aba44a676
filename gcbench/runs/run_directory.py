"""A run directory: what a command measured, written point by point, so that a killed run resumes where it stopped."""

import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from gcbench.core.errors import PluginError, UserError
from gcbench.core.files import write_text
from gcbench.core.record import Record
from gcbench.core.run_spec import guidance_text
from gcbench.runs.lock import Lock, if_free
from gcbench.runs.manifest import (
    GRID,
    KEPT,
    MEASURED,
    MERGING,
    PER_SAMPLE,
    RECORD,
    RUN,
    SHARDS,
    TRACEBACK,
    Manifest,
    point_folder,
)
from gcbench.runs.sample_table import SampleTable, lines

REGRESSION = "regression"
"""In results/measured/, where the small runs lie that `gcbench regress` measures again: no results to be read."""


class RunDirectory:
    """The files of one run; the record is written last, so that what it holds is always whole.

    files: names that the run will write. inputs: option -> what it reads. A context: inside it no other process writes
    there, or, `shared`, none but those that share it: they write shards, and who is `merging` the record. The traceback
    of a plug-in's error is left there.
    UserError: somebody else's files lie where the run would write, or where `fresh` would remove.
    """

    def __init__(
        self,
        path: Path,
        fresh: bool = False,
        files: Sequence[str] = (*MEASURED, GRID),
        inputs: Mapping[str, Path | None] | None = None,
        shared: bool = False,
    ):
        self.path = Path(path)
        self.fresh, self.files, self.inputs = fresh, [*files, TRACEBACK], inputs or {}
        self.manifest = Manifest()
        self._new = False
        self._lines: Counter[str] = Counter()  # of each scale, in the file of values per sample
        self._lock = Lock(self.path, shared)

    def __enter__(self) -> "RunDirectory":
        self._lock.__enter__()
        try:
            self._new = not (self.path / RUN).exists()
            existing = [name for name in self.files if os.path.lexists(self.path / name)]  # claimed before it was made
            self.manifest = Manifest.read(self.path)
            self.manifest.refuse_foreign(self.path, existing)
            if self.fresh:
                self.manifest.refuse_removal(self.path, self.inputs)
        except BaseException as error:
            self._lock.__exit__(type(error), error, None)
            raise
        (self.path / TRACEBACK).unlink(missing_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, PluginError):
            self._claim()
            write_text(self.path / TRACEBACK, error.trace)
        elif error is not None and self._new and not self._begun() and self._lock.last():
            (self.path / RUN).unlink(missing_ok=True)  # a refused command leaves nothing
        self._lock.__exit__(kind, error, trace)
        if isinstance(error, PluginError):
            raise UserError(f"{error}; its traceback is in {self.path / TRACEBACK}") from error

    def resume(self, planned: Record, metrics: Sequence[str] = (), samples: Sequence[str] = ()) -> Record:
        """The record to continue: the one held if it is of the same run, else the planned one. From here on the
        directory is of this run. samples: what they are called, if not by their numbers.
        UserError: the directory holds another model, protocol or list of metrics."""
        self.check()
        held: Record | None = None
        if self.fresh:
            self.manifest.remove(self.path)
        else:
            if (self.path / RECORD).exists():
                held = Record.read(self.path / RECORD)
            measured = list(held.points[0].scores) if held and held.points else list(metrics)
            of_record = Manifest(run=held, metrics=measured)
            if clauses := of_record.differences(planned, metrics) or self.manifest.differences(planned, metrics):
                raise UserError(
                    f"{self.path} holds another run ({'; '.join(clauses)}); choose another --out, or add --fresh to"
                    " start anew there"
                )
        if self.fresh or self.manifest.run is None:
            run = planned.model_copy(update={"points": []})
            self.manifest = Manifest(run=run, metrics=list(metrics), samples=list(samples))
        self._claim()
        return planned if held is None else held.model_copy(update={"reading": planned.reading})

    def _begun(self) -> bool:
        return any((self.path / name).exists() for name in self.manifest.files)

    def _claim(self) -> None:
        """Say whose the files are, before they are there."""
        files = list(dict.fromkeys([*self.manifest.files, *self.files]))
        if files != self.manifest.files or not (self.path / RUN).exists():
            self.manifest.files = files
            self.manifest.write(self.path)

    def share(self) -> None:
        """From here on others may write shards."""
        self._lock.share()

    @contextmanager
    def merging(self) -> Iterator[bool]:
        """Within it no other process that shares the directory merges shards; False if one does already."""
        shards = self.path / SHARDS
        shards.mkdir(exist_ok=True)
        with if_free(shards / MERGING) as free:
            try:
                yield free
            finally:
                if free:
                    (shards / MERGING).unlink(missing_ok=True)
                    with suppress(OSError):
                        shards.rmdir()  # if nothing was begun, or all is merged

    def points(self) -> set[float | None]:
        """The scales of which points are written now, by whatever process."""
        if not (self.path / RECORD).exists():
            return set()
        return {point.guidance for point in Record.read(self.path / RECORD).points}

    @property
    def keeps(self) -> bool:
        """Whether runs keep samples there, of whatever process; a folder of that name may be somebody else's."""
        return (self.path / KEPT).is_dir() and KEPT in Manifest.read(self.path).files

    def check(self) -> None:
        """UserError: the directory is no longer there."""
        self._lock.check()

    def read_samples(self, record: Record, ids: Sequence[str], watched: Collection[str]) -> SampleTable:
        """Of the values per sample of the record's points those of the metrics `watched`, of their own number.
        UserError: the file is damaged, or lacks samples `ids` of a point."""
        table, known, counts = SampleTable(), set(ids), Counter[tuple[str, str, str]]()
        self._lines = Counter()
        for line in lines(self.path / PER_SAMPLE) if record.points else ():
            counts[line.guidance, line.metric, line.column] += line.id in known
            self._lines[line.guidance] += 1
            if line.metric in watched and not line.column:
                table.add(line)
        means = {
            (name, "")
            for point in record.points
            for name, score in point.scores.items()
            if score.interval is not None and not {"left_out", "influence"} & score.detail.keys()
        }
        columns = means | {key[1:] for key in counts}
        scales = [guidance_text(point.guidance) for point in record.points]
        if any(counts[scale, *column] < len(known) for column in columns for scale in scales):
            raise UserError(
                f"{self.path / PER_SAMPLE} lacks rows that its record.json has points of; add --fresh to start anew"
            )
        return table

    def write(self, record: Record, table: SampleTable) -> None:
        """The values per sample, those of the record's other points being in the file, then the record; each
        atomically."""
        self.check()
        others = {guidance_text(point.guidance) for point in record.points} - table.scales
        self._lines = table.write(self.path / PER_SAMPLE, {scale: self._lines[scale] for scale in others})
        record.write(self.path / RECORD)


def kept_samples(run: Path, scale: float | None) -> Path:
    """Where a run directory keeps the samples of a scale."""
    return run / KEPT / point_folder(scale)
