"""The records that a figure is made of: read from the run directories of a folder, those left out that do not fit."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from gcbench.core.contracts import Dataset
from gcbench.core.errors import UserError
from gcbench.core.record import Record
from gcbench.reports.pareto import Axes, trade_off
from gcbench.reports.record_table import declared
from gcbench.reports.table import missing
from gcbench.runs.manifest import RECORD


class Records(NamedTuple):
    """by_name: name of the run directory -> record, in their order; all of one protocol. axes: cost and gain. left_out:
    what is not drawn, and why."""

    by_name: dict[str, Record]
    axes: Axes
    left_out: list[str]

    @property
    def first(self) -> Record:
        return next(iter(self.by_name.values()))


def read_records(
    dataset: Dataset,
    folder: Path,
    remedy: str,
    expected: Sequence[str] = (),
    axes: Axes | None = None,
    choose: Callable[[Record], Axes | None] = trade_off,
) -> Records:
    """Every run directory in `folder` that was measured on `dataset` under the first one's protocol.

    wanted: names that come first, and are missed where they are not there. axes: metrics (cost, gain); None for those
    that `choose` takes of the first record that has some.
    UserError: none is left; says why, and `remedy`.
    """
    present = sorted(path.parent.name for path in folder.glob(f"[!.]*/{RECORD}"))
    order = [name for name in expected if name in present] + [name for name in present if name not in expected]
    left_out = [f"{name}: no record of it in {folder.name}" for name in expected if name not in present]
    read = {name: Record.read(folder / name / RECORD) for name in order}
    chosen = axes or next(filter(None, (choose(record) for record in read.values() if record.points)), None)
    records: dict[str, Record] = {}
    for name, record in read.items():
        if reason := _unfit(record, dataset, chosen, next(iter(records.values()), None)):
            left_out.append(f"{name}: {reason}")
        else:
            records[name] = record
    if not records or chosen is None:
        why = f" ({'; '.join(left_out)})" if present else ""
        raise UserError(f"no record to draw for {dataset.name}{why}; {remedy}")
    return Records(records, chosen, left_out)


def of_most_texts(record: Record) -> Axes | None:
    """As `trade_off`, but the metric of correspondence is the one that scores the most texts, the first among equals:
    where texts tell attributes, one that counts attributes."""
    first = trade_off(record)
    if first is None:
        return None
    scored: dict[str, int] = {}
    for name in dict.fromkeys(name for point in record.points for name in point.scores):
        scores = [point.scores.get(name) for point in record.points]
        if getattr(declared(name), "axis", None) == "correspondence" and not any(map(missing, scores)):
            scored[name] = min(score.n for score in scores if score is not None)
    return first[0], max(scored, key=lambda name: scored[name])


def _unfit(record: Record, dataset: Dataset, axes: Axes | None, first: Record | None) -> str | None:
    """Why a record cannot stand beside the first one."""
    if record.protocol.dataset != dataset.name:
        return f"it was measured on {record.protocol.dataset}"
    if not record.points:
        return "it has no finished point"
    if axes is None:
        return "it has no metric of realism beside one of correspondence"
    lacking = ["; ".join(f"{m} {why}" for m in axes if (why := missing(p.scores.get(m)))) for p in record.points]
    if all(lacking):
        return lacking[-1]
    if first is None:
        return None
    mine, theirs = record.protocol.of_any_model(), first.protocol.of_any_model()
    if None in (mine.prompts, theirs.prompts):  # a model that reads no text is scored against its samples' own
        mine = mine.model_copy(update={"prompts": theirs.prompts})
    differences = "; ".join(theirs.differences(mine))
    return f"another protocol ({differences})" if differences else None
