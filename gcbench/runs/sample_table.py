"""Values per sample, keyed by (guidance, sample id, metric, column), with each sample's group and text."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from gcbench.core.contracts import Metric
from gcbench.core.errors import UserError, calling
from gcbench.core.files import open_regular, write_text
from gcbench.core.names import cell_text, text_of_cell
from gcbench.core.run_spec import guidance_text
from gcbench.runs.paired import Rows

MOST = 1 << 32
"""Bytes of a table that are read."""

HEAD = ("guidance", "id", "group", "prompt", "metric", "column", "value")


class SampleTable:
    """What `per_sample.csv` holds.

    groups, prompts: by sample id; a sample without a text has none. The same at every guidance scale.
    """

    def __init__(self) -> None:
        self.rows: Rows = {}
        self.groups: dict[str, str] = {}
        self.prompts: dict[str, str] = {}

    def collect(self, metrics: Mapping[str, Metric], guidance: float | None) -> None:
        """Take in what the metrics say of each sample at this scale."""
        scale = guidance_text(guidance)
        for name, metric in metrics.items():
            with calling(f"metric {name}"):
                columns = {column: dict(values) for column, values in metric.per_sample().items()}
            for column, values in columns.items():
                if strange := [sample for sample in values if sample not in self.groups]:
                    raise UserError(f"metric {name} has values of a sample {strange[0]!r} that is not of this run")
                if not all(value is None or isinstance(value, int | float) for value in values.values()):
                    raise UserError(f"metric {name} gives what is no number as a sample's value in {column!r}")
                self.rows |= {(scale, sample, name, column): value for sample, value in values.items()}

    def columns(self) -> list[tuple[str, str]]:
        """(metric, column) of which there are values."""
        return list(dict.fromkeys((metric, column) for _, _, metric, column in self.rows))

    def write(self, path: Path) -> None:
        """One line a value, in a fixed order, atomically."""
        order = {key: place for place, key in enumerate(self.columns())}
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(HEAD)
        for key in sorted(self.rows, key=lambda key: (float(key[0] or 0), key[1], order[key[2:]])):
            scale, sample, metric, column = key
            value = self.rows[key]
            group, prompt = self.groups.get(sample, sample), self.prompts.get(sample, "")
            texts = map(cell_text, (sample, group, prompt, metric, column))
            writer.writerow([scale, *texts, "" if value is None else repr(value)])
        write_text(path, out.getvalue())

    @classmethod
    def read(cls, path: Path) -> "SampleTable":
        """The table of a file, empty if there is none.
        UserError: the file is damaged, or of a gcbench that wrote another form."""
        table = cls()
        if not path.exists():
            return table
        try:
            with io.TextIOWrapper(open_regular(path, MOST), encoding="utf-8-sig", newline="") as stream:
                reader = csv.reader(stream)
                if tuple(next(reader)) != HEAD:
                    raise ValueError("other columns")
                for scale, *texts, value in reader:
                    sample, group, prompt, metric, column = map(text_of_cell, texts)
                    table.rows[scale, sample, metric, column] = float(value) if value else None
                    table.groups[sample] = group
                    if prompt:
                        table.prompts[sample] = prompt
        except (OSError, ValueError, StopIteration, csv.Error):
            raise UserError(
                f"{path} is damaged, or of an older gcbench; put it back as it was, or measure again with --fresh"
            ) from None
        return table
