"""`gcbench figure 1`: recall of each attribute, or class where there are none, on parts of the training pairs.

Each model at the guidance where its mean recall is best, hence an optimistic choice, alike for all.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
from scipy.stats import binomtest

from gcbench.core.contracts import Dataset
from gcbench.core.errors import UserError
from gcbench.core.files import write_text
from gcbench.core.record import Point, Record
from gcbench.core.run_spec import guidance_text
from gcbench.core.score import Score
from gcbench.reports import drawing
from gcbench.reports.figure6 import CEILING, FLOOR, PER_CLASS, asked_of
from gcbench.reports.figure_records import Records
from gcbench.reports.run_pair import best
from gcbench.reports.table import Cell, csv_text
from gcbench.reports.trained_on import BySplit, by_split

PER_ATTRIBUTE, AFFIRMED = "per_attribute", "affirmed"
"""Where a score's detail says the recall of each attribute, and how often a text affirms it."""


class Bar(NamedTuple):
    """One line of the CSV. split: that the model was trained on; empty for real images. asked: texts that ask for it;
    None where not known. low, high: Wilson's 95 % interval for as many independent texts."""

    model: str
    split: str
    guidance: str
    metric: str
    name: str
    value: float
    low: float | None
    high: float | None
    asked: int | None

    @property
    def ends(self) -> tuple[float, float] | None:
        return None if self.low is None or self.high is None else (self.low, self.high)


HEADS = ("model", "split", "guidance", "metric", "attribute", "value", "low", "high", "asked")


def make(dataset: Dataset, records: Records, remedy: str, folder: Path) -> tuple[list[Bar], list[str]]:
    """Write figure1.csv, .png and .svg; returns the bars and what is not drawn.
    UserError: no record says what becomes of each attribute or class."""
    grouped = by_split(records.by_name, dataset, remedy)
    metric, detail = _metric(list(records.by_name.values()), remedy)
    bars: list[Bar] = []
    for name, scores in ((CEILING, records.first.ceiling), (FLOOR, records.first.floor)):
        bars += _bars(name, "", Point(scores=scores), metric, detail, records.first, dataset)
    for split, models in grouped.records.items():
        for model, record in models.items():
            if at_best := best(record, metric):
                bars += _bars(model, split, at_best, metric, detail, record, dataset)
    lines = [dict(zip(HEADS, bar, strict=True)) for bar in bars]
    write_text(folder / "figure1.csv", csv_text(lines, HEADS))
    left_out = [*records.left_out, *grouped.left_out]
    _draw(bars, grouped, records, left_out, folder)
    return bars, left_out


def _metric(records: Sequence[Record], remedy: str) -> tuple[str, str]:
    """The first metric that says what becomes of each attribute, else of each class, and where its detail says it."""
    for detail in (PER_ATTRIBUTE, PER_CLASS):
        for record in records:
            for point in record.points:
                for name, score in point.scores.items():
                    if detail in score.detail:
                        return name, detail
    raise UserError(f"no record has the recall of each attribute or class; {remedy}")


def _bars(
    model: str, split: str, point: Point, metric: str, detail: str, record: Record, dataset: Dataset
) -> list[Bar]:
    score = point.scores.get(metric)
    shares = score.detail.get(detail) if score is not None else None
    if score is None or not isinstance(shares, dict):
        return []
    asked = {} if model in (CEILING, FLOOR) else _asked(score, detail, record, dataset)
    bars = []
    for name, value in shares.items():
        if value is not None:
            n = asked.get(name)
            low, high = binomtest(round(value * n), n).proportion_ci(method="wilson") if n else (None, None)
            bars.append(Bar(model, split, guidance_text(point.guidance), metric, name, value, low, high, n))
    return bars


def _asked(score: Score, detail: str, record: Record, dataset: Dataset) -> dict[str, int]:
    """How many texts ask for each; empty where that is not known, or texts depend on each other."""
    if detail == PER_CLASS:
        return dict(asked_of(record.protocol, dataset))
    counts = score.detail.get(AFFIRMED)
    if not isinstance(counts, dict) or score.groups != score.n:
        return {}
    return {name: round(count) for name, count in counts.items() if count}


def _draw(bars: Sequence[Bar], grouped: BySplit, records: Records, left_out: Sequence[str], folder: Path) -> None:
    """A panel a model, a group of bars an attribute, a colour a split."""
    models, splits = grouped.models, list(grouped.records)
    names = list(dict.fromkeys(bar.name for bar in bars if bar.split))
    with mpl.rc_context(drawing.STYLE):
        paper = drawing.new_figure((max(7.0, 1.6 + 0.62 * len(names)), 1.9 + 2.3 * len(models)))
        panels = paper.subplots(len(models), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
        lacking = ", ".join(line.partition(":")[0] for line in left_out)
        more = f"\nnot drawn: {lacking}" if lacking else ""
        before = "recall where a text asks for it, each model at the guidance of its best mean recall\n"
        drawing.set_title(paper, records.first.protocol, before, f"; thin lines are 95 % intervals (Wilson){more}")
        width = 0.8 / len(splits)
        for panel, model in zip(panels, models, strict=True):
            for place, split in enumerate(splits):
                own = [bar for bar in bars if (bar.model, bar.split) == (model, split)]
                if own:
                    w = f", w = {own[0].guidance}" if own[0].guidance else ""
                    at = [names.index(bar.name) + (place - (len(splits) - 1) / 2) * width for bar in own]
                    style: Any = {"color": drawing.COLOURS[place], "label": f"{grouped.title(split)}{w}"}
                    if any(bar.low is not None for bar in own):
                        cells = [
                            Cell(b.value, None if b.low is None or b.high is None else (b.low, b.high)) for b in own
                        ]
                        style |= {"yerr": drawing.errors(cells), "error_kw": {"elinewidth": 0.7, "capsize": 1.5}}
                    panel.bar(at, [bar.value for bar in own], width * 0.92, **style)
            for real, line in ((CEILING, "-"), (FLOOR, (0, (3, 2)))):
                marks = [bar for bar in bars if bar.model == real and bar.name in names]
                middle = [names.index(bar.name) for bar in marks]
                ends = [x - 0.44 for x in middle], [x + 0.44 for x in middle]
                if not marks:
                    continue
                panel.hlines([bar.value for bar in marks], *ends, color=drawing.INK, lw=1, ls=line, label=real)
            panel.set_title(drawing.shown(model))
            panel.set_ylabel("recall")
            panel.set_ylim(0, 1.03)
            panel.set_xlim(-0.6, len(names) - 0.4)
            panel.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
        shown = [drawing.shown(name.replace("_", " ")) for name in names]
        panels[-1].set_xticks(range(len(names)), shown, rotation=40, ha="right", rotation_mode="anchor")
        drawing.save(paper, folder, "figure1")
