"""`gcbench figure 1`: recall of each attribute, or class where there are none, on parts of the training pairs.

Each model at the guidance where its mean recall is best, hence an optimistic choice, alike for all.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
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
from gcbench.reports.trade_off_panel import model_colour, model_marker
from gcbench.reports.trained_on import BySplit, Trained, by_split
from gcbench.statistics.intervals import student_mean

PER_ATTRIBUTE, AFFIRMED = "per_attribute", "affirmed"
"""Where a score's detail says the recall of each attribute, and how often a text affirms it."""


class Mark(NamedTuple):
    """One line of the CSV. split: that the model was trained on; empty for real images. run: of one training, or the
    mean over several. asked: texts that ask for it; None where not known. low, high: 95 % interval: Student's t over
    trainings, or Wilson's of one training for as many independent texts."""

    model: str
    split: str
    guidance: str
    metric: str
    name: str
    run: str
    value: float
    low: float | None
    high: float | None
    asked: int | None

    @property
    def cell(self) -> Cell:
        return Cell(self.value, None if self.low is None or self.high is None else (self.low, self.high))


HEADS = ("model", "split", "guidance", "metric", "attribute", "run", "value", "low", "high", "asked")


def make(dataset: Dataset, records: Records, remedy: str, folder: Path) -> tuple[list[Mark], list[str]]:
    """Write figure1.csv, .png and .svg; returns the marks and what is not drawn.
    UserError: no record says what becomes of each attribute or class."""
    grouped = by_split(records.by_name, dataset, remedy)
    metric, detail = _metric(list(records.by_name.values()), remedy)
    marks: list[Mark] = []
    for name, scores in ((CEILING, records.first.ceiling), (FLOOR, records.first.floor)):
        shares = _shares(scores.get(metric), detail)
        marks += [Mark(name, "", "", metric, key, "", share, None, None, None) for key, share in shares.items()]
    for split, models in grouped.records.items():
        for model, trained in models.items():
            if at_best := best(trained.points, metric):
                own = _marks(trained, at_best.guidance, metric, detail, dataset)
                marks += [mark._replace(model=model, split=split) for mark in own]
    lines = [dict(zip(HEADS, mark, strict=True)) for mark in marks]
    write_text(folder / "figure1.csv", csv_text(lines, HEADS))
    left_out = [*records.left_out, *grouped.left_out]
    _draw(marks, grouped, records, left_out, folder)
    return marks, left_out


def _metric(records: Sequence[Record], remedy: str) -> tuple[str, str]:
    """The first metric that says what becomes of each attribute, else of each class, and where its detail says it."""
    for detail in (PER_ATTRIBUTE, PER_CLASS):
        for record in records:
            for point in record.points:
                for name, score in point.scores.items():
                    if detail in score.detail:
                        return name, detail
    raise UserError(f"no record has the recall of each attribute or class; {remedy}")


def _shares(score: Score | None, detail: str) -> dict[str, float]:
    """The recall of each attribute that a text asks for."""
    shares = score.detail.get(detail) if score is not None else None
    known = shares.items() if isinstance(shares, Mapping) else ()
    return {name: float(share) for name, share in known if share is not None}  # type: ignore[arg-type]


def _marks(trained: Trained, scale: float | None, metric: str, detail: str, dataset: Dataset) -> list[Mark]:
    """The mean over trainings of each attribute's recall, and that of each training; model and split left empty."""
    points: dict[str, Point] = trained.at(scale)
    by_run = {run: _shares(point.scores.get(metric), detail) for run, point in points.items()}
    asked, independent = _asked(next(iter(points.values())).scores[metric], detail, trained.first, dataset)
    names = [name for name in next(iter(by_run.values())) if all(name in shares for shares in by_run.values())]
    text, marks = guidance_text(scale), []
    for name in names:
        values, n = {run: shares[name] for run, shares in by_run.items()}, asked.get(name)
        low, high = None, None
        mean = student_mean(list(values.values()))
        if mean.interval is not None:
            low, high = max(0.0, mean.interval[0]), min(1.0, mean.interval[1])
            marks += [Mark("", "", text, metric, name, run, value, None, None, n) for run, value in values.items()]
        elif n and independent:
            low, high = binomtest(round(mean.value * n), n).proportion_ci(method="wilson")
        marks.append(Mark("", "", text, metric, name, trained.label, mean.value, low, high, n))
    return marks


def _asked(score: Score, detail: str, record: Record, dataset: Dataset) -> tuple[dict[str, int], bool]:
    """How many texts ask for each, empty where that is not known; whether the texts are independent."""
    if detail == PER_CLASS:
        return dict(asked_of(record.protocol, dataset)), True  # it counts independent texts alone
    counts = score.detail.get(AFFIRMED)
    known = counts.items() if isinstance(counts, Mapping) else ()
    return {name: round(count) for name, count in known if count}, score.groups == score.n  # type: ignore[arg-type]


def _draw(marks: Sequence[Mark], grouped: BySplit, records: Records, left_out: Sequence[str], folder: Path) -> None:
    """A panel a split, a row an attribute, a colour a model; the attributes that are found most stand on top."""
    values: dict[str, list[float]] = {}
    for mark in marks:
        if mark.split:
            values.setdefault(mark.name, []).append(mark.value)
    names = sorted(values, key=lambda name: sum(values[name]) / len(values[name]))
    asked = {mark.name: mark.asked for mark in marks if mark.asked}
    with mpl.rc_context(drawing.STYLE):
        paper = drawing.new_figure((2.2 + 3.6 * len(grouped.records), 1.9 + 0.26 * len(names)))
        panels = paper.subplots(1, len(grouped.records), sharex=True, sharey=True, squeeze=False)[0]
        counted = " (in brackets: of how many)" if asked else ""
        before = f"recall of what texts ask for{counted}\neach model at the guidance of its best mean recall\n"
        omitted = ", ".join(line.partition(":")[0] for line in left_out)
        drawing.set_title(
            paper, records.first.protocol, before, _caption(grouped) + (omitted and f"\nnot drawn: {omitted}")
        )
        for panel, split in zip(panels, grouped.records, strict=True):
            _panel(panel, [mark for mark in marks if mark.split in ("", split)], names, grouped)
            panel.set_title(drawing.shown(grouped.title(split)))
        shown = [name.replace("_", " ") + (f" ({asked[name]})" if name in asked else "") for name in names]
        panels[0].set_yticks(range(len(names)), [drawing.shown(name) for name in shown])
        drawing.save(paper, folder, "figure1")


def _caption(grouped: BySplit) -> str:
    if grouped.most == 1:
        return "; lines are 95 % intervals (Wilson)"
    return "; pale: each training; filled: their mean, with its 95 % interval over trainings (Student's t)"


def _panel(panel: Axes, marks: Sequence[Mark], names: Sequence[str], grouped: BySplit) -> None:
    for real, style in ((CEILING, "-"), (FLOOR, (0, (2, 1.2)))):
        own = [mark for mark in marks if mark.model == real and mark.name in names]
        if own:
            rows = [names.index(mark.name) for mark in own]
            ends = [row - 0.4 for row in rows], [row + 0.4 for row in rows]
            panel.vlines([mark.value for mark in own], *ends, color=drawing.INK, lw=1.1, ls=style, label=real)
    for place, model in enumerate(grouped.models):
        colour, marker = model_colour(grouped.models, model), model_marker(place)
        shift = 0.5 * ((len(grouped.models) - 1) / 2 - place) / max(len(grouped.models) - 1, 1)
        own = [mark for mark in marks if mark.model == model]
        labels = {trained.label for models in grouped.records.values() for trained in models.values()}
        means = [mark for mark in own if mark.run in labels]
        each = [mark for mark in own if mark.run not in labels]
        spots = [names.index(mark.name) + shift for mark in each]
        panel.plot([mark.value for mark in each], spots, "o", ms=3.5, mew=0, alpha=0.35, color=colour)
        if means:
            w = f", w = {means[0].guidance}" if means[0].guidance else ""
            at = [names.index(mark.name) + shift for mark in means]
            lengths = drawing.errors([mark.cell for mark in means])
            look: Any = {"color": colour, "label": drawing.shown(model) + w, "elinewidth": 0.8, "capsize": 0, "ms": 4.5}
            panel.errorbar([mark.value for mark in means], at, xerr=lengths, fmt=marker, **look)
    for row in range(len(names)):
        panel.axhspan(row - 0.5, row + 0.5, color=drawing.GREY, alpha=0.12 if row % 2 else 0, lw=0)
    panel.set_ylim(-0.6, len(names) - 0.4)
    panel.set_xlim(0, 1.03)
    panel.tick_params(axis="y", length=0)
    panel.set_xlabel("recall")
    panel.legend(loc="upper center", bbox_to_anchor=(0.5, 0), borderaxespad=4.5, ncols=2)  # below the axis' label
