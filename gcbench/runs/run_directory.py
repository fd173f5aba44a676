"""A run directory: what a command measured, written point by point, so that a killed run goes on where it stopped."""

import csv
import io
import shutil
from collections.abc import Mapping
from pathlib import Path

from gcbench.reports.curve import draw
from gcbench.reports.record_table import write_scores
from gcbench.core.errors import UserError
from gcbench.core.files import write_text
from gcbench.core.record import Record

RECORD, SCORES, SAMPLES, KEPT, PROBE = "record.json", "scores.csv", "per_sample.csv", "samples", ".probe"

REGRESSION = "regression"
"""In results/measured/, where the small runs lie that `gcbench regress` measures again: no results to be read."""

Rows = dict[tuple[str, str], dict[str, float | None]]
"""(guidance, sample id) -> column -> value."""

GROUP = "group"
"""The column that names what a sample depends on."""


class RunDirectory:
    """The files of one run; the record is written last, so that what it holds is always whole."""

    def __init__(self, path: Path, fresh: bool = False):
        self.path = Path(path)
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"--out {self.path} is a file; choose a directory")
        self.fresh = fresh
        self.held: Record | None = None
        if (self.path / RECORD).exists() and not fresh:
            self.held = Record.read(self.path / RECORD)

    def resume(self, planned: Record, metrics: list[str]) -> Record:
        """The record to go on with: the one held if it is of the same run, else the planned one.

        Raises:
            UserError: the directory holds another model, protocol or list of metrics, or cannot be written.
        """
        write_text(self.path / PROBE, "")  # a place that cannot be written is known before the long work
        (self.path / PROBE).unlink()
        if self.fresh:
            (self.path / RECORD).unlink(missing_ok=True)
            shutil.rmtree(self.path / KEPT, ignore_errors=True)
        if self.held is None:
            return planned
        held = self.held
        differences = held.protocol.differences(planned.protocol)
        if held.kind != planned.kind:
            differences.append(f"kind: {held.kind!r} against {planned.kind!r}")
        mine, theirs = held.model.model_dump(), planned.model.model_dump()
        differences += [
            f"model {key}: {mine[key]!r} against {theirs[key]!r}" for key in mine if mine[key] != theirs[key]
        ]
        measured = set(held.points[0].scores) if held.points else set(metrics)
        if measured != set(metrics):
            differences.append(f"metrics: {sorted(measured)} against {sorted(metrics)}")
        if differences:
            raise UserError(
                f"{self.path} holds another run ({'; '.join(differences)}); choose another --out, or add --fresh to"
                " start anew there"
            )
        return held.model_copy()

    def read_samples(self) -> Rows:
        """The rows of per_sample.csv, if it is there. UserError if it is damaged."""
        path = self.path / SAMPLES
        rows: Rows = {}
        if path.exists():
            try:
                with open(path, newline="", encoding="utf-8") as stream:
                    reader = csv.DictReader(stream)
                    if not {"guidance", "id"} <= set(reader.fieldnames or ()):
                        raise KeyError("guidance, id")
                    for row in reader:
                        key = (row.pop("guidance"), row.pop("id"))
                        row.pop(GROUP, None)
                        rows[key] = {name: float(value) if value else None for name, value in row.items()}
            except (OSError, KeyError, TypeError, ValueError, csv.Error):
                raise UserError(f"{path} is damaged; put it back as it was, or add --fresh to start anew") from None
        return rows

    def read_groups(self) -> dict[str, str]:
        """Sample id -> group, from per_sample.csv; empty if it is not there or names no groups (it did not always)."""
        path = self.path / SAMPLES
        if not path.exists():
            return {}
        try:
            with open(path, newline="", encoding="utf-8") as stream:
                return {row["id"]: row[GROUP] for row in csv.DictReader(stream) if row.get(GROUP) is not None}
        except (OSError, KeyError, UnicodeDecodeError, csv.Error):
            raise UserError(f"{path} is damaged; put it back as it was, or measure again with --fresh") from None

    def write(self, record: Record, rows: Rows, groups: Mapping[str, str]) -> None:
        """Everything, atomically file by file: samples, scores, curve, then the record. groups: by sample id."""
        write_text(self.path / SAMPLES, samples_csv(rows, groups))
        write_scores(record, self.path / SCORES)
        draw(record, self.path)
        record.write(self.path / RECORD)


def samples_csv(rows: Rows, groups: Mapping[str, str]) -> str:
    names = list(dict.fromkeys(name for values in rows.values() for name in values))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["guidance", "id", GROUP, *names])
    for (guidance, sample), values in sorted(rows.items(), key=lambda item: (_number(item[0][0]), item[0][1])):
        cells = (values.get(name) for name in names)
        writer.writerow([guidance, sample, groups[sample], *("" if v is None else repr(v) for v in cells)])
    return out.getvalue()


def _number(text: str) -> float:
    return float(text) if text else 0.0
