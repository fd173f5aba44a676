"""One table model for all that is printed: columns, rows and cells, and the five formats that show them.

A number is shown as the stored value times its column's scale, in text, CSV and JSON alike, and its unit is named; the
raw share stands in `record.json` alone. No text from outside can break or steer a format: control characters are shown
as their codes, what is markup is escaped, and what a spreadsheet would take for a formula starts with an apostrophe.
Knows scores; what the columns and rows are of, its users say.
"""

import csv
import json
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from io import StringIO
from math import inf
from typing import Any, Literal

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from gcbench.core.errors import UserError
from gcbench.core.names import cell_text, plain
from gcbench.core.record import Point, Record
from gcbench.core.score import Score

Kind = Literal["model", "ceiling", "floor", "self-check", "published", "difference"]
Ends = tuple[float, float]
MISSING = "–"
ARROWS = {"higher": " ↑", "lower": " ↓", None: ""}


@dataclass(frozen=True)
class Cell:
    """A value in its column's unit, or why there is none. more: what else is known of it, such as a p-value."""

    value: float | str | Decimal | None = None
    interval: Ends | None = None
    standard_error: float | None = None
    n: int | None = None
    unscored: int | None = None
    status: str = ""
    reason: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def facts(self) -> dict[str, Any]:
        """All that is known, by name."""
        return {**{name: fact for name, fact in vars(self).items() if name != "more"}, **self.more}

    @property
    def at(self) -> float:
        """Where it is drawn."""
        return float(self.value or 0)

    @property
    def ends(self) -> Ends:
        return self.interval or (self.at, self.at)

    def text(self, digits: int, sign: str = "") -> str:
        if self.value is None:
            return MISSING
        if not isinstance(self.value, float | int):
            return str(self.value)  # as printed in the paper: 65.80 stays 65.80
        value, (low, high) = f"{self.value:{sign}.{digits}f}", self.ends
        if self.interval is None:
            return value
        if abs(low + high - 2 * self.value) > 0.2 * (high - low):  # cut off at the end of the metric's range, or skewed
            return f"{value} [{low:.{digits}f}, {high:.{digits}f}]"
        return f"{value} ± {(high - low) / 2:.{digits}f}"


@dataclass(frozen=True)
class Row:
    """Whom the scores are of. record, point: where they come from. cells: by column key, instead of the scores."""

    name: str
    kind: Kind = "model"
    scores: Mapping[str, Score] = field(default_factory=dict)
    record: Record | None = None
    point: Point | None = None
    cells: Mapping[str, Cell] = field(default_factory=dict)


@dataclass(frozen=True)
class Column:
    """A number (`part` of `metric`, "" for its value), or what `of` says of a row.

    range: of the stored value. show: the text of what `of` says. repeat: shown again where a table is cut into several.
    fold: what the title says instead, `{}` the value, where it is the same for all models.
    """

    key: str
    head: str
    unit: str = ""
    direction: Literal["higher", "lower"] | None = None
    scale: float = 1.0
    range: Ends = (-inf, inf)
    metric: str = ""
    part: str = ""
    of: Callable[[Row], Any] | None = None
    show: Callable[[Any], str] = str
    repeat: bool = False
    fold: str = ""

    @property
    def heading(self) -> str:
        """With the unit, if it is short, and the direction of better."""
        unit = f" ({self.unit})" if 0 < len(self.unit) < 3 else ""
        return f"{self.head}{unit}{ARROWS[self.direction]}"

    def cell(self, row: Row) -> Cell:
        if self.key in row.cells:
            return row.cells[self.key]
        if self.of is not None:
            return Cell(self.of(row))
        score = row.scores.get(self.metric)
        score = score.also.get(self.part) if score is not None and self.part else score
        return Cell() if score is None else self.shown(score)

    def shown(self, score: Score) -> Cell:
        """The score in this column's unit, the ends of its interval inside the metric's range."""
        low, high = (min(max(end, self.range[0]), self.range[1]) for end in score.interval or self.range)
        facts = {name: getattr(score, name) for name in ("n", "unscored", "status", "reason")}
        return self.scaled(score.value, score.interval and (low, high), score.standard_error, **facts)

    def scaled(self, value: float | None, ends: Ends | None = None, error: float | None = None, **facts: Any) -> Cell:
        """Value, ends of the interval and standard error as stored, in this column's unit."""
        facts.setdefault("status", "skipped" if value is None else "ok")
        value, error = (None if number is None else number * self.scale for number in (value, error))
        return Cell(value, ends and (ends[0] * self.scale, ends[1] * self.scale), error, **facts)

    def texts(self, rows: Sequence[Row]) -> list[str]:
        """What stands below the heading, all numbers with as many digits."""
        cells = [self.cell(row) for row in rows]
        if self.of is not None:
            return [MISSING if cell.value is None else plain(self.show(cell.value)) for cell in cells]
        size = max((abs(cell.value) for cell in cells if isinstance(cell.value, float | int)), default=0.0)
        digits = 5 if 0 < size < 0.02 else 3 if size < 10 else 2 if size < 100 else 1 if size < 1000 else 0
        signs = ["+" if row.kind == "difference" else "" for row in rows]
        return [plain(cell.text(digits, sign)) for cell, sign in zip(cells, signs, strict=True)]


@dataclass(frozen=True)
class Table:
    """Rows that may be compared with each other. facts: of all its rows, for CSV and JSON.

    across: a line of text is a column, and a column of text a row: many numbers of few rows.
    """

    title: str
    columns: Sequence[Column]
    rows: Sequence[Row] = ()
    notes: Sequence[str] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    across: bool = False

    @property
    def numbers(self) -> list[Column]:
        return [column for column in self.columns if column.of is None]

    @property
    def about(self) -> list[Column]:
        return [column for column in self.columns if column.of is not None]

    def folded(self) -> dict[str, str]:
        """Column key -> what the title says instead of the column."""
        models = [row for row in self.rows if row.kind in ("model", "published")]
        texts = {column.key: (column, set(column.texts(models)) - {MISSING}) for column in self.about if column.fold}
        return {key: column.fold.format(*text) for key, (column, text) in texts.items() if len(text) == 1}

    @property
    def heading(self) -> str:
        return "; ".join(filter(None, (self.title, *self.folded().values())))

    def strips(self) -> "list[Strip]":
        """The columns of text; the first names the lines. Those in which nothing stands are left out."""
        folded = self.folded()
        if self.across:
            shown = [Strip("", [plain(column.heading) for column in self.numbers], about=True, repeat=True)]
            texts = zip(*(column.texts(self.rows) for column in self.numbers), strict=True)
            for place, (row, line) in enumerate(zip(self.rows, texts, strict=True)):
                of_two = row.kind == "difference"
                shown.append(Strip(plain(row.name), list(line), repeat=not place, joined=of_two))
                more = [column.cell(row).more for column in self.numbers]
                for key in MORE if of_two else ():
                    shown.append(Strip(key, [MORE[key](facts.get(key)) for facts in more], joined=True))
        else:
            shown = [Strip("", [plain(row.name) for row in self.rows], about=True, repeat=True)]
            shown += [
                Strip(plain(column.heading), column.texts(self.rows), column.of is not None, column.repeat)
                for column in self.columns
                if column.key not in folded
            ]
        return [strip for place, strip in enumerate(shown) if not place or set(strip.texts) - {MISSING, ""}]


MORE: dict[str, Callable[[Any], str]] = {
    "p": lambda p: MISSING if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}",
    "better": lambda letter: "" if letter is None else plain(letter),
}
"""What of `Cell.more` is shown in text, and how."""


@dataclass(frozen=True)
class Strip:
    """A column of text. about: text, to the left. repeat: shown again where a table is cut into several, but never
    between this one and the one before if `joined`.
    """

    head: str
    texts: list[str]
    about: bool = False
    repeat: bool = False
    joined: bool = False

    def width(self, line: int) -> int:
        """In a line of that width; text that is too long is folded."""
        short = min(cell_len(self.head), 10)  # a heading this short is not broken
        width = max(short, *map(cell_len, (*self.head.split(), *self.texts)), 1)
        return min(width, max(12, line // 3)) if self.about else width


def missing(score: Score | None) -> str:
    """Why there is no value; empty where there is one."""
    if score is None:
        return "not measured"
    return "" if score.value is not None else f"{score.status}, {score.reason}"


def render(tables: Sequence[Table], format: str = "rich", width: int | None = None) -> str:
    """The tables as text that ends with a line break. width: of `rich`; None for the terminal's."""
    if format == "rich":
        console = Console(file=StringIO(), width=width or terminal_width(), highlight=False)
        _rich(tables, console)
        return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]
    check_format(format)
    return WRITERS[format](tables)


def check_format(format: str) -> None:
    """UserError: there is no such."""
    if format not in FORMATS:
        raise UserError(f"unknown --format {format!r}; choose one of {', '.join(FORMATS)}")


def show(tables: Sequence[Table], format: str = "rich", console: Console | None = None) -> None:
    """Print the tables on standard output, or on `console`."""
    if format == "rich":
        _rich(tables, console or Console(width=terminal_width(), highlight=False))
    else:
        sys.stdout.write(render(tables, format))


def show_texts(
    heads: Sequence[str],
    lines: Iterable[Sequence[str | Text]],
    right: Sequence[str] = (),
    title: str = "",
    console: Console | None = None,
) -> None:
    """Print lines of texts under headings on standard output. right: headings of numbers."""
    table = RichTable(box=None, pad_edge=False, header_style="bold")
    for place, head in enumerate(heads):
        side: Literal["left", "right"] = "right" if head in right else "left"
        table.add_column(Text(plain(head)), justify=side, no_wrap=not (place or right), overflow="fold")
    for line in lines:
        table.add_row(*(text if isinstance(text, Text) else Text(plain(text)) for text in line))
    console = console or Console(highlight=False)
    if title:
        console.print(Text(plain(title), style="bold"))
    console.print(table)


def terminal_width() -> int:
    return shutil.get_terminal_size((100, 24)).columns


# -------------------------------------------------------------------------------------------------------- formats


def _rich(tables: Sequence[Table], console: Console) -> None:
    for place, table in enumerate(tables):
        if place:
            console.print()
        if table.heading:
            console.print(Text(plain(table.heading), style="bold"))
        if table.rows:
            dim = [not table.across and row.kind not in ("model", "published") for row in table.rows]
            for strips in _parts(table.strips(), console.width):
                console.print(_rich_table(strips, dim, console.width))
        for note in table.notes:
            for line in textwrap.wrap(plain(note), console.width, subsequent_indent="  ", break_on_hyphens=False):
                console.print(Text(line, style="dim"), soft_wrap=True)


def _parts(strips: Sequence[Strip], width: int) -> list[list[Strip]]:
    """The columns split into parts no wider than `width`; each part starts with the repeated columns."""
    again = [strip for strip in strips if strip.repeat]
    blocks: list[list[Strip]] = []  # of columns that stay together
    for strip in strips:
        if strip.joined and blocks:
            blocks[-1].append(strip)
        elif not strip.repeat:
            blocks.append([strip])
    free = left = width - sum(strip.width(width) + 2 for strip in again)
    parts = [[*again]]
    for block in blocks:
        wide = sum(strip.width(width) + 2 for strip in block)
        if wide > left + 2 and len(parts[-1]) > len(again):
            parts.append([*again])
            left = free
        parts[-1] += block
        left -= wide
    return parts


def _rich_table(strips: Sequence[Strip], dim: Sequence[bool], line: int) -> RichTable:
    table = RichTable(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False, header_style="bold")
    for strip in strips:
        side: Literal["left", "right"] = "left" if strip.about else "right"
        w = strip.width(line)
        # folding loses no digit
        table.add_column(Text(strip.head), justify=side, vertical="bottom", overflow="fold", min_width=w, max_width=w)
    for place, texts in enumerate(zip(*(strip.texts for strip in strips), strict=True)):
        table.add_row(*map(Text, texts), style="dim" if place < len(dim) and dim[place] else "")
    return table


def markdown_text(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>#|~$!&])", r"\\\1", plain(text))


def _grid(strips: Sequence[Strip]) -> list[Sequence[str]]:
    """Line by line, the headings first."""
    return [[strip.head for strip in strips], *zip(*(strip.texts for strip in strips), strict=True)]


def _markdown(tables: Sequence[Table]) -> str:
    parts = []
    for table in tables:
        lines = [f"**{markdown_text(table.heading)}**", ""] if table.heading else []
        if table.rows:
            strips = table.strips()
            head, *body = [f"| {' | '.join(map(markdown_text, row))} |" for row in _grid(strips)]
            rule = f"| {' | '.join('---' if strip.about else '---:' for strip in strips)} |"
            lines += [head, rule, *body, ""]
        lines += ["- " + re.sub("^([-+])", r"\\\1", markdown_text(note)) for note in table.notes]
        parts.append("\n".join(lines).rstrip())
    return "\n\n".join(parts) + "\n"


SIGNS = {"²": "^2", "±": r"\pm", "×": r"\times", "·": r"\cdot", "↓": r"\downarrow", "↑": r"\uparrow", "−": "-"}
NAMED = {"\\": "backslash", "~": "asciitilde", "^": "asciicircum", "|": "bar"}
LATEX: dict[str, str | int | None] = {
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    **{letter: f"${letter}$" for letter in "<>"},
    **{letter: f"{{{letter}}}" for letter in "[]*\"'`"},  # a row that begins with [ would be an option of \\
    **{letter: rf"\text{name}{{}}" for letter, name in NAMED.items()},
    **{letter: f"${sign}$" for letter, sign in SIGNS.items()},
    "–": "--",
}


def latex_text(text: str) -> str:
    return plain(text).translate(str.maketrans(LATEX))


def _latex(tables: Sequence[Table]) -> str:
    """One `tabular` a table; needs no package."""
    parts = []
    for table in tables:
        lines = [rf"\noindent\textbf{{{latex_text(table.heading)}}}\par"] if table.heading else []
        if table.rows:
            strips = table.strips()
            head, *body = [" & ".join(map(latex_text, row)) + r" \\" for row in _grid(strips)]
            sides = "".join("l" if strip.about else "r" for strip in strips)
            lines += [rf"\begin{{tabular}}{{{sides}}}", r"\hline", head, r"\hline", *body, r"\hline"]
            lines.append(r"\end{tabular}\par")
        lines += [rf"\noindent {latex_text(note)}\par" for note in table.notes]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


NUMBER = ("metric", "column", "unit", "value", "standard_error", "low", "high", "n", "unscored", "status", "reason")


def _csv(tables: Sequence[Table]) -> str:
    """Tidy: one line a number, `value` empty where it is missing; what is said of a row or table is in each line."""
    lines: list[dict[str, Any]] = []
    for place, table in enumerate(tables):
        for row in table.rows:
            whose: dict[str, Any] = {"table": place, "kind": row.kind, "name": row.name}
            whose |= {column.key: column.cell(row).value for column in table.about}
            for column in table.numbers:
                facts = column.cell(row).facts
                low, high = facts.pop("interval") or (None, None)
                what = {"metric": column.metric, "column": column.part, "unit": column.unit, "low": low, "high": high}
                lines.append({**whose, **what, **facts, **table.facts})
    about = [column.key for table in tables for column in table.about]
    return csv_text(lines, ["table", "kind", "name", *about, *NUMBER])


def csv_text(lines: Sequence[Mapping[str, Any]], first: Sequence[str]) -> str:
    """Lines as CSV: no text has control characters or is a formula. first: of the columns, others as they are met."""
    out = StringIO()
    head = dict.fromkeys([*first, *(key for line in lines for key in line)])
    writer = csv.DictWriter(out, list(head), restval="", lineterminator="\n")
    writer.writeheader()
    for line in lines:
        texts = {key: cell_text(plain(text)) for key, text in line.items() if isinstance(text, str)}
        writer.writerow({**line, **texts})
    return out.getvalue()


def _json(tables: Sequence[Table]) -> str:
    fields = ("key", "metric", "part", "head", "unit", "direction")
    content = [
        {
            "title": table.title,
            "facts": table.facts,
            "columns": [{name: getattr(column, name) for name in fields} for column in table.numbers],
            "rows": [
                {"name": row.name, "kind": row.kind}
                | {column.key: column.cell(row).value for column in table.about}
                | {"scores": {column.key: column.cell(row).facts for column in table.numbers}}
                for row in table.rows
            ],
            "notes": table.notes,
        }
        for table in tables
    ]
    return json.dumps({"tables": content}, indent=1, default=float) + "\n"  # float: of Decimal


WRITERS = {"md": _markdown, "latex": _latex, "csv": _csv, "json": _json}
FORMATS = ("rich", *WRITERS)
