"""`gcbench figure 7`: realism against correspondence over guidance, a panel a part of the training pairs."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

from gcbench.core.contracts import Dataset
from gcbench.core.files import write_text
from gcbench.core.record import Point
from gcbench.reports import drawing
from gcbench.reports.figure6 import CEILING, FLOOR, Number, as_csv, trade_off_numbers
from gcbench.reports.figure_records import Records
from gcbench.reports.record_table import number_column
from gcbench.reports.table import Column, missing
from gcbench.reports.trade_off_panel import name_curves, trade_off_panel
from gcbench.reports.trained_on import BySplit, Trained, by_split


def make(dataset: Dataset, records: Records, remedy: str, folder: Path) -> tuple[list[Number], list[str]]:
    """Write figure7.csv, .png and .svg; returns the numbers, whose `panel` is the split, and what is not drawn."""
    grouped = by_split(records.by_name, dataset, remedy)
    protocol = records.first.protocol
    cost, gain = axes = tuple(number_column(name, protocol=protocol) for name in records.axes)
    numbers: list[Number] = []
    for split, models in grouped.records.items():
        own: list[Number] = []
        for model, trained in models.items():
            own += _of(model, trained, axes)
        for name, scores in ((CEILING, records.first.ceiling), (FLOOR, records.first.floor)):
            own += trade_off_numbers(name, Point(scores=scores), axes)
        numbers += [number._replace(panel=split) for number in own]
    write_text(folder / "figure7.csv", as_csv(numbers))
    left_out = [*records.left_out, *grouped.left_out]
    with mpl.rc_context(drawing.STYLE):
        paper = drawing.new_figure((4.6 * max(2, len(grouped.records)), 4.9))
        panels = paper.subplots(1, len(grouped.records), sharex=True, sharey=True, squeeze=False)[0]
        omitted = ", ".join(line.partition(":")[0] for line in left_out)
        more = f"\nnot drawn: {omitted}" if omitted else ""
        before = f"{cost.head} against {gain.head} over guidance, trained on a part of the pairs\n"
        drawing.set_title(paper, protocol, before, f"; {_bars(grouped)}{more}")
        drawn = []
        for panel, split in zip(panels, grouped.records, strict=True):
            own = [number for number in numbers if number.panel == split]
            drawn.append(trade_off_panel(panel, own, grouped.models, (cost, gain), grouped.title(split)))
        for panel in panels[1:]:
            panel.set_ylabel("")
        name_curves(*drawn)
        drawing.save(paper, folder, "figure7")
    return numbers, left_out


def _of(model: str, trained: Trained, axes: Sequence[Column]) -> list[Number]:
    """The curve of a model, and where it is a mean over trainings, first that of each."""
    curves = [("", trained.points)]
    if len(trained.by_run) > 1:
        scales = trained.scales
        each = {run: [trained.at(scale)[run] for scale in scales] for run in trained.by_run}
        curves = [*each.items(), (trained.label, trained.points)]
    return [
        number._replace(run=run)
        for run, points in curves
        for point in points
        if not any(missing(point.scores.get(column.metric)) for column in axes)
        for number in trade_off_numbers(model, point, axes)
    ]


def _bars(grouped: BySplit) -> str:
    if grouped.most == 1:
        return "thin lines are 95 % intervals"
    return "pale: each training; strong: their mean, with its 95 % interval over trainings (Student's t)"
