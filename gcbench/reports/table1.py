"""Table 1: the paper's numbers, and below them, apart, what was measured here.

Published and measured numbers stand in blocks of their own, and so do measured numbers of different datasets or
protocols; nothing is ranked across blocks. Knows records and the published file; measures nothing.
"""

import csv
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from importlib.resources import files
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gcbench.core.errors import UserError
from gcbench.core.protocol import Protocol
from gcbench.core.record import Record, Training
from gcbench.core.score import Score
from gcbench.runs.run_directory import REGRESSION

MISSING = "–"
CAPTIONED = "with captions"
ABOUT = ("parameters", "images seen")
"""Columns about a measured model: its size, and its budget in training."""


class Column(NamedTuple):
    """A column of the table: metric `key`, or its further column `also`, shown as value · scale."""

    name: str
    title: str
    key: str
    also: str | None = None
    scale: float = 1.0

    def of(self, scores: Mapping[str, Score]) -> Score | None:
        score = scores.get(self.key)
        return score if score is None or self.also is None else score.also.get(self.also)


FID = Column("fid", "FID ↓", "fid")
MIOU = Column("miou", "mIoU (%) ↑", "miou", scale=100)
FSD = Column("fsd", "FSD (%²) ↓", "fsd")
PUBLISHED = (FID, MIOU, FSD)
MEASURED = (
    FID,
    Column("fd", "FD(segmenter) ↓", "fd"),
    MIOU,
    Column("void_share", "void share (%)", "miou", "void_share"),
    FSD,
    Column("fsd_void_drop", "FSD void=drop (%²) ↓", "fsd", "void=drop"),
)


@dataclass(frozen=True)
class Cell:
    """A number in its column's unit, half its 95 % interval where there is one, or why there is none."""

    value: Decimal | float | None = None
    half: float | None = None
    interval: tuple[float, float] | None = None
    n: int | None = None
    reason: str | None = None

    def text(self) -> str:
        if self.value is None:
            return MISSING
        if isinstance(self.value, Decimal):
            return str(self.value)  # as printed in the paper: 65.80 stays 65.80
        return f"{self.value:.2f}" if self.half is None else f"{self.value:.2f} ± {self.half:.2f}"


@dataclass(frozen=True)
class Row:
    """kind: `published`, `model`, `ceiling` or `floor`. text: what the model was told.

    parameters: of the model. training: how its weights came to be, as far as the record says.
    """

    name: str
    kind: str
    text: str
    cells: dict[str, Cell]
    guidance: float | None = None
    note: str | None = None
    parameters: int | None = None
    training: Training | None = None

    def about(self) -> list[str]:
        """Its size and its budget, for the table."""
        millions = MISSING if self.parameters is None else f"{self.parameters / 1e6:.2f} M"
        seen = None if self.training is None else self.training.images
        return [millions, MISSING if seen is None else f"{seen:,}".replace(",", " ")]


@dataclass(frozen=True)
class Block:
    """Rows that may be compared with each other, and with nothing outside. No rows: `notes` say why."""

    title: str
    status: str
    dataset: str
    columns: tuple[Column, ...]
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    protocol: Protocol | None = None

    def heading(self, column: Column) -> str:
        """A measured FID carries its n in its name."""
        if column is FID and self.protocol is not None:
            return f"FID@{self.protocol.n} ↓"
        return column.title

    def grid(self) -> list[list[str]]:
        """Headings, then one list of texts a row. Of the published models neither size nor budget is stated."""
        ours = self.status == "measured"
        head = ["model", "text", *(ABOUT if ours else ()), *(self.heading(column) for column in self.columns)]
        return [
            head,
            *(
                [row.name, row.text, *(row.about() if ours else ()), *(row.cells[c.name].text() for c in self.columns)]
                for row in self.rows
            ),
        ]


def rows(dataset: str = "cityscapes", measured_root: Path | None = None) -> list[Block]:
    """The published block and the measured blocks of `dataset`; if there are none, a line that says so, and all others.

    measured_root: a folder that holds `<dataset>/*.json` records, run directories, or both; None for the records
    that come with gcbench.

    Raises:
        UserError: `measured_root` is not there, or a record in it cannot be read.
    """
    records = _bundled() if measured_root is None else _records(Path(measured_root))
    grouped: dict[str, dict[str, Record]] = {}
    for place, record in records.items():
        grouped.setdefault(_comparable(record.protocol), {})[place] = record
    measured = sorted(map(_measured, grouped.values()), key=_order)
    if asked := [block for block in measured if block.dataset == dataset]:
        return [_published(), *asked]
    nothing = f"no measured record of {dataset}; `gcbench sweep --dataset {dataset}` makes one"
    return [_published(), Block(f"measured on {dataset}", "measured", dataset, MEASURED, notes=[nothing]), *measured]


def render(format: str = "rich", dataset: str = "cityscapes", measured_root: Path | None = None) -> str:
    """The table of `rows` as text: `rich` (for a terminal), `md`, `latex`, `csv` or `json`.

    Raises:
        UserError: another format, or what `rows` raises.
    """
    if format not in FORMATS:
        raise UserError(f"unknown --format {format!r}; choose one of {', '.join(FORMATS)}")
    return FORMATS[format](rows(dataset, measured_root))


def _published() -> Block:
    text = (files("gcbench.results") / "published" / "table1.json").read_text(encoding="utf-8")
    table = json.loads(text, parse_float=Decimal)
    source = table["source"]
    return Block(
        title=f"{table['status']} ({source['venue']} {source['year']}, {source['table']}), {table['dataset']}",
        status=table["status"],
        dataset=table["dataset"],
        columns=PUBLISHED,
        rows=[
            Row(
                row["title"],
                row["status"],
                "unconditional",
                {column.name: Cell(row["values"][column.name]) for column in PUBLISHED},
                note=row["note"],
            )
            for row in table["rows"]
        ],
        notes=[f"{name}: {unit}" for name, unit in table["units"].items()]
        + [f"{row['title']}: {row['note']}" for row in table["rows"]],
    )


def _order(block: Block) -> tuple[str, bool]:
    """Of each dataset first the models that read no text, as in the paper's table."""
    return block.dataset, block.protocol is not None and block.protocol.prompts is not None


def _bundled() -> dict[str, Record]:
    folder = Path(str(files("gcbench.results") / "measured"))
    kinds = sorted(path for path in folder.glob("*") if path.is_dir() and path.name != REGRESSION)
    return {f"{kind.name}/{place}": record for kind in kinds for place, record in _records(kind).items()}


def _records(root: Path) -> dict[str, Record]:
    """Every record below `root` by its place there, in order. Of a run directory only its record.json."""
    if not root.is_dir():
        raise UserError(f"{root} is not a directory; give one that holds records or run directories")
    if (root / "record.json").is_file():
        return {root.name: Record.read(root / "record.json")}
    found: dict[str, Record] = {}
    for path in sorted(root.iterdir()):
        if (path / "record.json").is_file():
            found |= _records(path)
        elif path.is_dir():
            found |= {f"{path.name}/{place}": record for place, record in _records(path).items()}
        elif path.suffix == ".json" and _is_record(path):
            found[path.stem] = Record.read(path)
    return found


def _is_record(path: Path) -> bool:
    """False for JSON of another kind, such as a checkpoint's card; broken JSON is left to `Record.read` to refuse."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return True
    return isinstance(content, dict) and "schema_version" in content


def _comparable(protocol: Protocol) -> str:
    """What must agree within a block."""
    return protocol.of_any_model().model_dump_json()


def _measured(records: Mapping[str, Record]) -> Block:
    """One block of records under one protocol: models by name and guidance, then ceiling and floor."""
    protocol = next(iter(records.values())).protocol
    lines: list[Row] = []
    notes: list[str] = []
    for name, record in sorted(_named(records).items()):
        model, training = record.model, record.training
        for point in record.points:
            text = _told(record.protocol, point.guidance)
            cells = _cells(point.scores)
            lines.append(Row(name, "model", text, cells, point.guidance, model.note, model.parameters, training))
        if model.note:
            notes.append(f"{name}: {model.note}")
        if model.layouts:
            notes.append(f"{name}: layouts {model.layouts}")
        if training and training.seconds is not None:
            notes.append(f"{name}: trained in {training.seconds:.0f} s on {training.device}")
        if record.protocol.sampler:
            settings = ", ".join(f"{key} {_plain(value)}" for key, value in record.protocol.sampler.items())
            notes.append(f"{name}: sampler {settings}")
    lines += _bounds("ceiling", "ceiling (real pairs)", (record.ceiling for record in records.values()))
    lines += _bounds("floor", "floor (real pairs, permuted)", (record.floor for record in records.values()))
    if any(row.text.startswith(CAPTIONED) for row in lines):
        notes.append("with captions: not to be set beside the paper's Table 1, which is unconditional")
    for row in lines:
        if row.kind == "model":
            for column in MEASURED:
                if reason := row.cells[column.name].reason:
                    notes.append(f"{row.name} ({row.text}), {column.name}: {reason}")
    return Block(
        f"measured on {protocol.dataset}: {_describe(protocol)}",
        "measured",
        protocol.dataset,
        MEASURED,
        lines,
        list(dict.fromkeys(notes)),
        protocol,
    )


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


def _told(protocol: Protocol, guidance: float | None) -> str:
    """What a model read: guidance needs a text to follow, and a model without guidance may still read prompts."""
    if guidance is not None:
        return f"{CAPTIONED}, guidance {guidance:g}"
    return CAPTIONED if protocol.prompts is not None else "unconditional"


def _bounds(kind: str, name: str, bounds: Iterable[Mapping[str, Score]]) -> list[Row]:
    """One row a distinct ceiling or floor; a row of dashes where no record has one."""
    distinct: list[dict[str, Cell]] = []
    for scores in bounds:
        cells = _cells(scores)
        if scores and cells not in distinct:
            distinct.append(cells)
    return [
        Row(name, kind, "own captions" if kind == "ceiling" else "permuted captions", c)
        for c in distinct or [_cells({})]
    ]


def _cells(scores: Mapping[str, Score]) -> dict[str, Cell]:
    return {column.name: _cell(column.of(scores), column.scale) for column in MEASURED}


def _cell(score: Score | None, scale: float) -> Cell:
    if score is None:
        return Cell()
    if score.value is None:
        return Cell(n=score.n, reason=f"{score.status}, {score.reason}")
    interval = None if score.interval is None else (score.interval[0] * scale, score.interval[1] * scale)
    half = None if interval is None else (interval[1] - interval[0]) / 2
    return Cell(score.value * scale, half, interval, score.n)


def _describe(protocol: Protocol) -> str:
    """The protocol in one line."""
    height, width = protocol.size
    facts = [
        f"{protocol.dataset_version}, split {protocol.split}",
        f"n = {protocol.n}",
        f"{height}×{width}",
        f"resize {protocol.resize}",
        f"reference of {protocol.reference_n}",
        *(f"{role} {name}" for role, name in protocol.evaluators.items()),
        f"void {protocol.void}",
    ]
    if protocol.seed is not None:
        facts.append(f"seed {protocol.seed}")
    if protocol.prompts is not None:
        facts.append(f"prompts {protocol.prompts}")
    return "; ".join(facts)


def _plain(value: float | str) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _rich(blocks: Sequence[Block]) -> str:
    out = StringIO()
    console = Console(file=out, width=shutil.get_terminal_size((120, 24)).columns, highlight=False)
    for block in blocks:
        console.print(Text(block.title, style="bold"))
        head, *body = block.grid()
        if body:
            kept = [place for place in range(len(head)) if place < 2 or any(row[place] != MISSING for row in body)]
            columns = [[row[place] for row in (head, *body)] for place in kept]  # no columns of dashes
            for part in _fitting(columns, console.width):
                console.print(_rich_table(part))
        for note in block.notes:
            console.print(Text(note, style="dim"))
        console.print()
    return out.getvalue().rstrip() + "\n"


def _fitting(columns: Sequence[list[str]], width: int) -> list[list[list[str]]]:
    """The columns in as many parts as lines of `width` need, each with the first two, who is spoken of."""

    def wide(column: list[str]) -> int:
        head, *body = column
        return max(map(len, (*head.split(" ", 1), *body))) + 1

    who, numbers = columns[:2], columns[2:]
    free = width - sum(map(wide, who))
    parts: list[list[list[str]]] = [[]]
    left = free
    for column in numbers:
        if parts[-1] and wide(column) > left:
            parts.append([])
            left = free
        parts[-1].append(column)
        left -= wide(column)
    return [[*who, *part] for part in parts]


def _rich_table(columns: Sequence[list[str]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for place, (head, *_) in enumerate(columns):
        number = place >= 2
        heading = Text(head.replace(" ", "\n", 1) if number else head)
        table.add_column(heading, justify="right" if number else "left", overflow="fold")  # loses no digit
    for row in zip(*(body for _, *body in columns), strict=True):
        table.add_row(*map(Text, row))
    return table


def _markdown(blocks: Sequence[Block]) -> str:
    parts = []
    for block in blocks:
        head, *body = ([cell.replace("|", "\\|") for cell in row] for row in block.grid())
        lines = [f"**{block.title}**", ""]
        if body:
            rule = ["---", "---", *["---:"] * (len(head) - 2)]
            lines += [f"| {' | '.join(row)} |" for row in [head, rule, *body]]
            lines.append("")
        lines += [f"- {note}" for note in block.notes]
        parts.append("\n".join(lines).rstrip())
    return "\n\n".join(parts) + "\n"


LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "²": "$^2$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "–": "--",
}


def _latex_text(text: str) -> str:
    return "".join(LATEX.get(letter, letter) for letter in text)


def _latex(blocks: Sequence[Block]) -> str:
    """One `tabular` a block; needs no package."""
    parts = []
    for block in blocks:
        head, *body = ([_latex_text(cell) for cell in row] for row in block.grid())
        lines = [rf"\noindent\textbf{{{_latex_text(block.title)}}}\par"]
        if body:
            lines += [rf"\begin{{tabular}}{{ll{'r' * (len(head) - 2)}}}", r"\hline"]
            lines += [" & ".join(head) + r" \\", r"\hline"]
            lines += [" & ".join(row) + r" \\" for row in body]
            lines += [r"\hline", r"\end{tabular}\par"]
        lines += [rf"\noindent {_latex_text(note)}\par" for note in block.notes]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


CSV = (
    *("block", "status", "dataset", "kind", "model", "text", "guidance", "metric", "value", "low", "high", "n"),
    *("n_protocol", "size", "evaluators", "parameters", "images_seen", "reason"),
)


def _csv(blocks: Sequence[Block]) -> str:
    """One line a number: tidy, with an empty `value` where it is missing."""
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV)
    for number, block in enumerate(blocks):
        protocol = block.protocol
        setting: list[Any] = ["", "", ""]
        if protocol is not None:
            evaluators = "; ".join(f"{role}={name}" for role, name in protocol.evaluators.items())
            setting = [protocol.n, "x".join(map(str, protocol.size)), evaluators]
        for row in block.rows:
            for column in block.columns:
                cell = row.cells[column.name]
                low, high = cell.interval or ("", "")
                value = "" if cell.value is None else cell.value
                count = "" if cell.n is None else cell.n
                guidance = "" if row.guidance is None else row.guidance
                seen = None if row.training is None else row.training.images
                about = ["" if fact is None else fact for fact in (row.parameters, seen)]
                who = [number, block.status, block.dataset, row.kind, row.name, row.text, guidance]
                writer.writerow([*who, column.name, value, low, high, count, *setting, *about, cell.reason or ""])
    return out.getvalue()


def _json(blocks: Sequence[Block]) -> str:
    def number(value: Decimal | float | None) -> float | None:
        return None if value is None else float(value)

    content = [
        {
            "title": block.title,
            "status": block.status,
            "dataset": block.dataset,
            "protocol": None if block.protocol is None else block.protocol.model_dump(mode="json"),
            "rows": [
                {
                    "model": row.name,
                    "kind": row.kind,
                    "text": row.text,
                    "guidance": row.guidance,
                    "note": row.note,
                    "parameters": row.parameters,
                    "training": None if row.training is None else row.training.model_dump(mode="json"),
                    "scores": {
                        name: {
                            "value": number(cell.value),
                            "interval": cell.interval,
                            "n": cell.n,
                            "reason": cell.reason,
                        }
                        for name, cell in row.cells.items()
                    },
                }
                for row in block.rows
            ],
            "notes": block.notes,
        }
        for block in blocks
    ]
    return json.dumps({"blocks": content}, indent=1, ensure_ascii=False) + "\n"


FORMATS: dict[str, Callable[[Sequence[Block]], str]] = {
    "rich": _rich,
    "md": _markdown,
    "latex": _latex,
    "csv": _csv,
    "json": _json,
}
