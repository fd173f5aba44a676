"""The table model: a column is one edit and seen in every format, and nothing in a name breaks or steers one."""

import csv
import json
import re
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from gcbench.core.names import plain
from gcbench.core.protocol import Protocol
from gcbench.core.record import ModelInfo, Point, Provenance, Record
from gcbench.core.score import Score
from gcbench.reports.comparison import compare, comparison_tables
from gcbench.reports.curve import draw
from gcbench.reports.record_table import number_column, print_record, record_table, scores_csv
from gcbench.reports.table import FORMATS, Cell, Column, Row, Table, render
from gcbench.reports.table1 import table1

UNKIND = [
    "[/b]x",
    "sd [v2] [link=http://x]y[/link]",
    "\x1b[31mred\x9b2J\x07\r\n",
    "a|b `c` <i>d</i> *e*",
    r"\input{x} $5 & 3 % # _ ^ ~ {",
    '=HYPERLINK("x")',
    "+1",
    "-2",
    "@SUM(1)",
    "\u202egnp.exe\u2028",
    "lone \udc80",
    ":smile: 模型",
    "x" * 300,
]


def record(name: str, **scores: Score) -> Record:
    return Record(
        kind="sweep",
        model=ModelInfo(name="m", note=name, weights=name).model_copy(update={"name": name}),
        protocol=Protocol(
            dataset="d",
            dataset_version="1",
            split="val",
            n=9,
            size=(32, 64),
            resize="box",
            evaluators={"segmenter": name},
        )
        if name.isprintable()
        else Protocol(dataset="d", dataset_version="1", split="val", n=9, size=(32, 64), resize="box"),
        points=[Point(guidance=2.0, scores=scores or {"miou": Score(value=0.5, interval=(0.25, 0.75), n=9)})],
        provenance=Provenance(gcbench="0"),
    )


# ---------------------------------------------------------------------------------------------------- one edit


def test_a_new_column_is_one_edit_and_is_in_every_format() -> None:
    """Of a number, and of what a row is."""
    table = record_table(record("m"))
    seen = Column("seconds", "took", of=lambda row: 17.25 if row.kind == "model" else None, show=lambda s: f"{s:.1f} s")
    number = Column("miou.new", "newcomer", unit="kg", scale=10.0, metric="miou", part="new")
    table.rows[0].scores["miou"].also["new"] = Score(value=0.3125, interval=(0.25, 0.375), n=9)
    longer = replace(table, columns=[*table.columns, seen, number])
    for format in FORMATS:
        assert "took" not in render([table], format)
        text = render([longer], format)
        for part in ("seconds", "17.25", "3.125") if format in ("csv", "json") else ("took", "17.2 s", "3.125"):
            assert part in text
        assert ("kg" if format in ("csv", "json") else "newcomer (kg)") in text
    across = render([replace(longer, across=True)], "md")
    assert "| newcomer (kg) | 3.125 ± 0.625 |" in across.replace("\\", "")


# ------------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize("name", UNKIND)
@pytest.mark.parametrize("format", FORMATS)
def test_no_name_breaks_or_steers_a_format(name: str, format: str) -> None:
    table = Table(name, [Column("a", name, metric="a")], [Row(name, scores={"a": Score.skipped(name)})], [name])
    shown = replace(table, rows=[*table.rows, Row(name, scores={"a": Score(value=-1.0)})])
    text = render([shown], format, width=80)
    assert not any((ord(letter) < 32 and letter != "\n") or 127 <= ord(letter) < 160 for letter in text)
    assert "\u202e" not in text
    text.encode("utf-8")
    if format == "rich":
        assert plain(name)[:20] in text
        assert max(len(line) for line in text.splitlines()) <= max(80, len(name) + 40 if len(name) > 99 else 0)
    elif format == "md":
        rows = [line for line in text.splitlines() if line.startswith("|")]
        assert {len(re.findall(r"(?<!\\)\|", line)) for line in rows} == {3}
        assert not re.search(r"(?<!\\)[<`*]", text.replace("**", ""))
    elif format == "latex":
        assert not re.search(r"(?<!\\)[#%_]|(?<!\\)&(?! )", text)
        assert r"\input" not in text
    elif format == "csv":
        lines = list(csv.DictReader(StringIO(text)))
        assert len(lines) == 2
        assert lines[1]["value"] == "-1.0"  # a number is no formula
        assert all(line[key][0] not in "=+-@" for line in lines for key in ("name", "reason") if line[key])
    else:
        assert json.loads(text)["tables"][0]["rows"][0]["name"] == name


@pytest.mark.parametrize("name", [name for name in UNKIND if name.encode("utf-8", "ignore").decode() == name])
def test_no_name_of_a_model_breaks_a_record_a_curve_or_table_1(name: str, tmp_path: Path) -> None:
    found = record(name)
    print_record(found, Console(width=80, file=StringIO()))
    scores_csv(found)
    draw(found, tmp_path)
    found.write(tmp_path / "one" / "record.json")
    found.write(tmp_path / "two" / "record.json")
    for format in FORMATS:
        render(table1("d", tmp_path, notes=True), format)
        render(comparison_tables(compare(tmp_path / "one", tmp_path / "two")), format)


# ------------------------------------------------------------------------------------------------------ numbers


def test_one_unit_everywhere() -> None:
    """mIoU is a share in the record and per cent wherever it is shown; its void share is per cent already."""
    score = Score(value=0.5, standard_error=0.125, interval=(0.25, 0.75), n=9, also={"void_share": Score(value=11.5)})
    found = record("m", miou=score)
    for format in ("rich", "md", "latex"):
        text = render([record_table(found)], format).replace("\\", "")
        assert "50.00 ± 25.00" in text.replace(r"$pm$", "±")
        assert "11.50" in text
    lines = {line["column"]: line for line in csv.DictReader(StringIO(scores_csv(found)))}
    assert [float(lines[""][key]) for key in ("value", "standard_error", "low", "high")] == [50, 12.5, 25, 75]
    assert (lines[""]["unit"], lines["void_share"]["unit"], float(lines["void_share"]["value"])) == ("%", "%", 11.5)


def test_ends_of_intervals_are_inside_the_range() -> None:
    cell = number_column("miou").shown(Score(value=0.99, interval=(0.95, 1.04), n=9))
    assert cell.interval == (95, 100)
    assert number_column("fd").shown(Score(value=1, interval=(-3, 5), n=9)).interval == (0, 5)


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_the_width_of_the_terminal_is_used_and_no_digit_is_lost(width: int) -> None:
    columns = [Column(f"c{i}", f"metric number {i}", metric=f"c{i}") for i in range(9)]
    scores = {f"c{i}": Score(value=100.0 + i, interval=(90.0 + i, 110.0 + i)) for i in range(9)}
    text = render([Table("", columns, [Row("model", scores=scores)], ["word " * 50])], "rich", width)
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    for i in range(9):
        assert f"{100 + i}.0 ± 10.0" in text
    rows = sum(line.startswith("model ") for line in lines)  # of so many parts each has the name
    assert rows == -(-9 * 14 // (width - 7))
    assert all(set(line.split()) == {"word"} for line in lines if "word" in line)


def test_a_metric_that_is_not_installed_is_shown_by_its_name() -> None:
    found = record("m", stranger=Score(value=0.5, n=9, also={"part": Score(value=2.0)}))
    text = render([record_table(found)], "md")
    assert "stranger part" in text
    assert "0.500" in text


def test_cells_as_text() -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"value": None}, "–"),
        ({"value": 1.0}, "1.00"),
        ({"value": 1.0, "interval": (0.5, 1.5)}, "1.00 ± 0.50"),
    ]
    for facts, text in cases:
        assert Cell(**facts).text(2) == text
    assert Cell(2.0).text(1, "+") == "+2.0"
