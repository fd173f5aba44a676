"""Values per sample, keyed by (guidance, sample id, metric, column), with each sample's group and text.

A file is written scale by scale: the lines of other scales are copied from it and never held.
"""

import csv
import heapq
import io
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from gcbench.core.contracts import Metric
from gcbench.core.errors import UserError, calling
from gcbench.core.files import open_regular, write_atomic
from gcbench.core.names import cell_text, text_of_cell
from gcbench.core.run_spec import guidance_text
from gcbench.runs.paired import Columns

MOST = 1 << 32
"""Bytes of a table that is held whole."""


class Line(NamedTuple):
    """A line of the file. value: as it is spelled there, empty where there is none."""

    guidance: str
    id: str
    group: str
    prompt: str
    metric: str
    column: str
    value: str


class SampleTable:
    """What `per_sample.csv` holds, or some numbers of it.

    groups, prompts: by sample id; a sample without a text has none. The same at every guidance scale. scales: that it
    is of, those without any value too.
    """

    def __init__(self, groups: Mapping[str, str] | None = None, prompts: Mapping[str, str] | None = None) -> None:
        self.values: Columns = {}
        self.groups, self.prompts = dict(groups or {}), dict(prompts or {})
        self.scales: set[str] = set()
        self._names: dict[str, str] = {}

    def collect(self, metrics: Mapping[str, Metric], guidance: float | None) -> None:
        """Take in what the metrics say of each sample at this scale."""
        scale = guidance_text(guidance)
        self.scales.add(scale)
        for name, metric in metrics.items():
            with calling(f"metric {name}"):
                columns = {column: dict(values) for column, values in metric.per_sample().items()}
            for column, values in columns.items():
                if strange := [sample for sample in values if sample not in self.groups]:
                    raise UserError(f"metric {name} has values of a sample {strange[0]!r} that is not of this run")
                if not all(value is None or isinstance(value, int | float) for value in values.values()):
                    raise UserError(f"metric {name} gives what is no number as a sample's value in {column!r}")
                self.values[scale, name, column] = values

    def add(self, line: Line) -> None:
        """Take in a line of a file."""
        sample, group, prompt = (self._names.setdefault(text, text) for text in line[1:4])  # one object for all lines
        self.scales.add(line.guidance)
        self.groups[sample] = group
        if prompt:
            self.prompts[sample] = prompt
        column = self.values.setdefault((line.guidance, line.metric, line.column), {})
        column[sample] = float(line.value) if line.value else None

    @classmethod
    def read(cls, path: Path) -> "SampleTable":
        """The table of a file, empty if there is none. UserError: as `lines`."""
        table = cls()
        for line in lines(path, MOST):
            table.add(line)
        return table

    def write(self, path: Path, others: Mapping[str, int] | None = None) -> Counter[str]:
        """One line a value, in the order of scales and samples, atomically; returns how many each scale has.

        others: how many lines the file at `path` has of other scales; these stay.
        UserError: it has not so many, it is damaged, or the place cannot be written.
        """
        counts, others = Counter[str](), others or {}

        def fill(temporary: Path) -> None:
            kept = (line for line in lines(path) if line.guidance in others) if others else iter(())
            with open(temporary, "w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
                writer = csv.writer(stream, lineterminator="\n")
                writer.writerow(Line._fields)
                for line in heapq.merge(kept, self._lines(), key=lambda line: _number(line.guidance)):
                    writer.writerow((line.guidance, *map(cell_text, line[1:-1]), line.value))
                    counts[line.guidance] += 1
            if any(counts[scale] != count for scale, count in others.items()):
                raise UserError(f"{path} was changed while it was written; measure again with --fresh")

        write_atomic(path, fill)
        return counts

    def _lines(self) -> Iterator[Line]:
        for scale in sorted({key[0] for key in self.values}, key=_number):
            columns = [(name, column, values) for (at, name, column), values in self.values.items() if at == scale]
            for sample in sorted({sample for _, _, values in columns for sample in values}):
                group, prompt = self.groups.get(sample, sample), self.prompts.get(sample, "")
                for name, column, values in columns:
                    if sample in values:
                        value = values[sample]
                        text = "" if value is None else repr(value)
                        yield Line(scale, sample, group, prompt, name, column, text)


def lines(path: Path, most: int | None = None) -> Iterator[Line]:
    """The lines of a file one at a time, none if there is no file.
    UserError: it is damaged, of a gcbench that wrote another form, or has more than `most` bytes."""
    if not path.exists():
        return
    try:
        with io.TextIOWrapper(open_regular(path, most), encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream)
            if tuple(next(reader)) != Line._fields:
                raise ValueError("other columns")
            for scale, *texts, value in reader:
                float(scale or 0), float(value or 0)
                sample, group, prompt, metric, column = map(text_of_cell, texts)
                yield Line(scale, sample, group, prompt, metric, column, value)
    except (OSError, TypeError, ValueError, StopIteration, csv.Error):
        raise UserError(
            f"{path} is damaged, or of an older gcbench; put it back as it was, or measure again with --fresh"
        ) from None


def _number(scale: str) -> float:
    return float(scale or 0)
