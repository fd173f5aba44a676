"""Table 1: the paper's numbers, and below them, apart, what was measured here.

Published and measured numbers stand in tables of their own, and so do measured numbers of different datasets or
protocols; nothing is ranked across them. Which rows are meant, the suite says that makes the table; their order is the
paper's. Knows records and the published file; measures nothing.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Any

from gcbench.core.errors import UserError
from gcbench.core.files import hidden, parse_json, read_text
from gcbench.core.protocol import Protocol
from gcbench.core.record import Record
from gcbench.core.run_spec import guidance_text
from gcbench.reports.record_table import declared, few_groups, number_column, number_columns, reference_of, units
from gcbench.reports.table import Cell, Column, Row, Table
from gcbench.runs.downstream_record import DOWNSTREAM
from gcbench.runs.manifest import RECORD
from gcbench.runs.run_directory import REGRESSION
from gcbench.runs.suite_plan import bundled

SHOW = "table1"
"""What a suite shows that makes this table."""

CAPTIONED, UNCONDITIONAL = "with captions", "unconditional"
BOUNDS = "± is half the 95 % interval; ceiling: real pairs; floor: captions and layouts permuted among them"


def _told(row: Row) -> str:
    """What a model read: guidance needs a text to follow, and a model without guidance may still read prompts."""
    if row.kind != "model" or row.record is None or row.point is None:
        return {"ceiling": "own captions", "floor": "permuted captions"}.get(row.kind, UNCONDITIONAL)
    if row.point.guidance is not None:
        return f"{CAPTIONED}, guidance {guidance_text(row.point.guidance)}"
    return CAPTIONED if row.record.protocol.prompts is not None else UNCONDITIONAL


def _of_model(of: str, fact: str) -> Callable[[Row], Any]:
    """A field of the record's `model` or `training`, for a measured model."""
    return lambda row: getattr(getattr(row.record, of), fact, None) if row.kind == "model" and row.record else None


def _spaced(n: int) -> str:
    return f"{n:,}".replace(",", " ")


ABOUT = (
    Column("text", "text", of=_told, repeat=True, fold="{}"),
    Column("parameters", "params", of=_of_model("model", "parameters"), show=lambda n: f"{n / 1e6:.2f} M"),
    Column("images_seen", "images seen", of=_of_model("training", "images"), show=_spaced, fold="{} images seen"),
)
"""Columns about a row: what it was told, and of a measured model its size and its budget in training."""


def _in_paper(order: Sequence[str]) -> Column:
    """Of a trained model, whether the paper's table has a row of it; the column is shown where one has none."""

    def in_paper(row: Row) -> str | None:
        model = row.record.model if row.kind == "model" and row.record is not None else None
        return None if model is None or model.weights is None else "yes" if model.name in order else "no"

    return Column("in_paper", "in paper", of=in_paper)


def table1(
    dataset: str | None = None, measured: Path | None = None, *, everything: bool = False, notes: bool = False
) -> list[Table]:
    """The published rows, then the suite's measured rows of `dataset`, by default the paper's; of all, if it has none.

    measured: a folder that holds `<dataset>/*.json` records, run directories, or both; None for the records that come
    with gcbench. everything: all records, not the suite's only; so too where none is the suite's. notes: with what is
    known of each row, instead of one line on each table.
    """
    records = _bundled() if measured is None else _records(Path(measured))
    paper = json.loads((files("gcbench.results") / "published" / "table1.json").read_text("utf-8"), parse_float=Decimal)
    dataset = dataset or paper["dataset"]
    asked = {place: record for place, record in records.items() if record.protocol.dataset == dataset}
    remarks = [] if asked else [f"no measured record of {dataset}; `gcbench sweep --dataset {dataset}` makes one"]
    chosen = asked or records
    suite = {} if everything else {place: record for place, record in chosen.items() if _of_suite(place, measured)}
    if others := len(chosen) - len(suite) if suite else 0:
        remarks.append(f"{others} other record{'s'[: others > 1]} of {dataset if asked else 'other datasets'}: --all")
    grouped: dict[tuple[str, bool, str], dict[str, Record]] = {}
    for place, record in (suite or chosen).items():
        protocol = record.protocol.of_any_model()  # must agree within a table
        # of each dataset first the models that read no text, as in the paper's table
        key = protocol.dataset, protocol.prompts is not None, protocol.model_dump_json()
        grouped.setdefault(key, {})[place] = record
    order = [row["model"] for row in paper["rows"]]
    groups = [grouped[key] for key in sorted(grouped, key=lambda key: key[:2])]
    *tables, last = _published(paper, notes), *(_measured(each, list(paper["units"]), order, notes) for each in groups)
    remarks += [] if notes else ["what is known of the rows: --notes"]
    return [*tables, replace(last, notes=[*last.notes, BOUNDS, *filter(None, ["; ".join(remarks)])])]


def _published(paper: Mapping[str, Any], notes: bool) -> Table:
    source = paper["source"]
    title = f"{paper['status']} ({source['venue']} {source['year']}, {source['table']}), {paper['dataset']}"
    columns = [number_column(metric) for metric in paper["units"]]
    columns = [replace(column, head=column.head.removesuffix("@n")) for column in columns]
    rows, known = [], [f"{metric}: {unit}" for metric, unit in paper["units"].items()]
    for row in paper["rows"]:
        rows.append(Row(row["title"], "published", cells={name: Cell(value) for name, value in row["values"].items()}))
        known.append(f"{row['title']}: {row['note']}")
    return Table(title, [ABOUT[0], *columns], rows, known if notes else [], {"dataset": paper["dataset"]})


# -------------------------------------------------------------------------------------------------------- records


def _bundled() -> dict[str, Record]:
    records = _records(Path(str(files("gcbench.results") / "measured")))
    return {place: record for place, record in records.items() if not place.startswith(f"{REGRESSION}/")}


def _records(root: Path) -> dict[str, Record]:
    """Every record below `root` by its place there, in order. Of a run directory only its record.json."""
    if not root.is_dir():
        raise UserError(f"{root} is not a directory; give one that holds records or run directories")
    files = sorted(path for path in root.rglob("*.json") if not hidden(path.relative_to(root)))
    runs = {path.parent for path in files if path.name == RECORD}
    records = {}
    for path in files:
        place = path.parent if path.name == RECORD else path.with_suffix("")
        if runs.isdisjoint(place.parents) and (place in runs or _is_record(path)):
            records[root.name if place == root else place.relative_to(root).as_posix()] = Record.read(path)
    return records


def _is_record(path: Path) -> bool:
    """False for JSON of another kind, such as a checkpoint's card or what segmenters learned from pairs; broken JSON is
    left to `Record.read` to refuse."""
    try:
        content = parse_json(read_text(path))
    except (OSError, UserError, ValueError):
        return True
    return isinstance(content, dict) and "schema_version" in content and path.name != DOWNSTREAM


def _of_suite(place: str, root: Path | None) -> bool:
    """Whether a record is a row of a suite that makes this table: by its name, in a folder of the suite's name."""
    *folders, name = place.split("/")
    folder = folders[-1] if folders else Path(root or "").resolve().name
    return any(
        suite.show == SHOW and folder == suite.name and name in [row.name for row in suite.row]
        for suite in bundled().values()
    )


# ----------------------------------------------------------------------------------------------------- one table


def _measured(records: Mapping[str, Record], published: Sequence[str], order: Sequence[str], notes: bool) -> Table:
    """Records under one protocol: models in the paper's order, others behind by name, then ceiling and floor."""
    protocol = next(iter(records.values())).protocol
    named = _named(records)
    rank = {model: place for place, model in enumerate(order)}
    ranked = sorted(named, key=lambda name: (rank.get(named[name].model.name, len(rank)), name))
    rows = [Row(name, "model", point.scores, named[name], point) for name in ranked for point in named[name].points]
    bounds = [Row("ceiling", "ceiling", record.ceiling) for record in records.values()]
    bounds += [Row("floor", "floor", record.floor) for record in records.values()]
    rows += [row for place, row in enumerate(bounds) if row.scores and row not in bounds[:place]]
    columns, paper = _columns(rows, published, protocol), _in_paper(order)
    about = [*ABOUT, *[paper][: "no" in paper.texts(rows)]]
    facts = {
        "dataset": protocol.dataset,
        "n_protocol": protocol.n,
        "size": "x".join(map(str, protocol.size)),
        "evaluators": "; ".join(f"{role}={name}" for role, name in protocol.evaluators.items()),
    }
    shown = [] if not notes else [_describe(protocol), *units(columns), *_notes(named, rows, columns)]
    if any(_told(row).startswith(CAPTIONED) for row in rows):
        shown.append("with captions: not to be set beside the paper's Table 1, which is unconditional")
    shown += few_groups(rows)
    height, width = protocol.size
    title = f"measured on {protocol.dataset}/{protocol.split}: n = {protocol.n}, {height}×{width}"
    return Table(title, [*about, *columns], rows, shown, facts)


def _columns(rows: Sequence[Row], published: Sequence[str], protocol: Protocol) -> list[Column]:
    """Of the metrics that the paper's table has, or that say how real images look: the headlines, distances first."""
    names = dict.fromkeys([*published, *(name for row in rows for name in row.scores)])
    kept = [name for name in names if name in published or getattr(declared(name), "axis", None) == "realism"]
    scores = [{name: row.scores[name]} for name in kept for row in rows if name in row.scores]
    columns = number_columns(scores, protocol)
    distances = {name for name in kept if getattr(declared(name), "direction", None) == "lower"}
    return sorted(columns, key=lambda column: column.metric not in distances)


def _named(records: Mapping[str, Record]) -> dict[str, Record]:
    """The records by model, each once; where several are of one model, its name is followed by the record's place."""
    kept: dict[str, Record] = {}
    for place, record in records.items():
        if not any(record.model == other.model and record.points == other.points for other in kept.values()):
            kept[place] = record
    count = Counter(record.model.name for record in kept.values())
    return {
        record.model.name if count[record.model.name] == 1 else f"{record.model.name} [{place}]": record
        for place, record in kept.items()
    }


def _describe(protocol: Protocol) -> str:
    evaluators = "".join(f"; {role} {name}" for role, name in protocol.evaluators.items())
    seed = "" if protocol.seed is None else f"; seed {protocol.seed}"
    prompts = "" if protocol.prompts is None else f"; prompts {protocol.prompts}"
    return (
        f"{protocol.dataset_version}, split {protocol.split}; resize {protocol.resize};"
        f" {reference_of(protocol)}{evaluators}; void {protocol.void}{seed}{prompts}"
    )


def _notes(named: Mapping[str, Record], rows: Sequence[Row], columns: Sequence[Column]) -> list[str]:
    """What is known of each model, and why a number is missing."""
    lines = []
    for name, record in named.items():
        model, training = record.model, record.training
        timed = (
            training and training.seconds is not None and f"trained in {training.seconds:.0f} s on {training.device}"
        )
        sampler = record.protocol.sampler.items()
        settings = [f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}" for key, value in sampler]
        facts = (
            model.note,
            model.layouts and f"layouts {model.layouts}",
            timed,
            settings and f"sampler {', '.join(settings)}",
        )
        lines += [f"{name}: {text}" for text in facts if text]
    for row in rows:
        cells = {column.key: column.cell(row) for column in columns}
        lines += [f"{row.name} ({_told(row)}), {key}: {c.status}, {c.reason}" for key, c in cells.items() if c.reason]
    return list(dict.fromkeys(lines))
