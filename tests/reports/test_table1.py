"""Table 1: the paper's numbers as printed, ours apart from them, in every format."""

import csv
import json
import re
from io import StringIO
from pathlib import Path

import pytest
from conftest import Cli

from gcbench.core.errors import UserError
from gcbench.core.protocol import Protocol
from gcbench.core.record import ModelInfo, Point, Provenance, Record, Training
from gcbench.core.score import Score
from gcbench.reports.table import FORMATS, Table, render
from gcbench.reports.table1 import table1

PAPER = {
    "GANformer": ("24.86", "–", "481.5"),
    "DatasetDDPM": ("55.38", "33.88", "90.31"),
    "Semantic Palette": ("52.13", "53.17", "48.29"),
    'GCDP ("Ours")': ("20.36", "65.80", "42.22"),
}


def protocol(dataset: str = "cityscapes", n: int = 64, **changes: object) -> Protocol:
    facts = {"evaluators": {"segmenter": "hrnet_w48@cityscapes#0123"}, "reference_n": 500, "seed": 0}
    base = {"dataset_version": "v1", "split": "val", "size": (64, 128), "resize": "area", **facts}
    return Protocol.model_validate({"dataset": dataset, "n": n, **base, **changes})


def score(value: float, half: float = 0.01, **also: Score) -> Score:
    return Score(value=value, interval=(value - half, value + half), n=64, also=also)


def record(protocol: Protocol, guidance: float | None = None, name: str = "mine") -> Record:
    scores = {
        "fd": score(77.25, 1.5),
        "miou": score(0.4321, 0.0123, void_share=score(11.5)),
        "fsd": Score(value=99.5, interval=(90, 109), n=64, also={"void=drop": Score.skipped("no void class")}),
        "semantic-recall": score(0.9),
    }
    return Record(
        kind="sweep",
        model=ModelInfo(name=name),
        protocol=protocol,
        ceiling={"miou": score(0.81)},
        floor={"miou": score(0.09)},
        points=[Point(guidance=guidance, scores=scores)],
        provenance=Provenance(gcbench="0"),
    )


def tables_of(tmp_path: Path, *records: Record, **options: bool) -> list[Table]:
    for place, each in enumerate(records):
        each.write(tmp_path / each.protocol.dataset / f"{place}.json")
    return table1("cityscapes", tmp_path, **options)


def text_of(tmp_path: Path, each: Record, format: str, notes: bool = False) -> str:
    each.write(tmp_path / "record.json")
    return render(table1(each.protocol.dataset, tmp_path, notes=notes), format)


def grid(table: Table) -> dict[str, dict[str, str]]:
    """Row name -> heading -> text."""
    names, *strips = table.strips()
    return {name: {strip.head: strip.texts[at] for strip in strips} for at, name in enumerate(names.texts)}


def models(table: Table) -> list[str]:
    return [row.name for row in table.rows if row.kind == "model"]


def test_the_papers_numbers_as_printed(tmp_path: Path) -> None:
    (published,) = table1("cityscapes", tmp_path)
    assert {name: tuple(row.values()) for name, row in grid(published).items()} == PAPER
    assert list(grid(published)["GANformer"]) == ["FID ↓", "mIoU (%) ↑", "FSD ↓"]
    assert published.heading == "published (ICCV 2023, Table 1), cityscapes; unconditional"
    assert {row.kind for row in published.rows} == {"published"}
    assert "no measured record of cityscapes; `gcbench sweep --dataset cityscapes` makes one" in published.notes[-1]


def test_measured_rows_stand_in_their_own_table(tmp_path: Path) -> None:
    published, measured = tables_of(tmp_path, record(protocol()), notes=True)
    assert "mine" not in {row.name for row in published.rows}
    table = grid(measured)
    mine = table["mine"]
    assert mine["mIoU (%) ↑"] == "43.21 ± 1.23"  # a share in the record, per cent in the table
    assert mine["FSD ↓"] == "99.50 ± 9.50"
    assert mine["mIoU void share (%)"] == "11.50 ± 0.01"
    assert measured.heading.endswith("; unconditional")
    assert table["ceiling"]["mIoU (%) ↑"] == "81.00 ± 1.00"
    assert table["floor"]["mIoU (%) ↑"] == "9.00 ± 1.00"
    said = " ".join((measured.title, *measured.notes))
    for fact in ("n = 64", "64×128", "hrnet_w48@cityscapes#0123", "reference of 500", "split val"):
        assert fact in said


def test_distances_stand_side_by_side_and_fd_is_not_called_fid(tmp_path: Path) -> None:
    measured = tables_of(tmp_path, record(protocol()))[1]
    heads = [strip.head for strip in measured.strips()]
    assert heads == ["", "FSD ↓", "FD(segmenter) ↓", "mIoU (%) ↑", "mIoU void share (%)"]
    assert grid(measured)["mine"]["FD(segmenter) ↓"] == "77.25 ± 1.50"


def test_what_is_missing_is_a_dash_with_its_reason(tmp_path: Path) -> None:
    told = record(protocol(), name="other")
    told.points[0].scores["fsd"].also["void=drop"] = score(5)
    measured = tables_of(tmp_path, record(protocol()), told, notes=True)[1]
    assert grid(measured)["mine"]["FSD void=drop"] == "–"
    assert "mine (unconditional), fsd.void=drop: skipped, no void class" in measured.notes
    assert not any("no void class" in note for note in tables_of(tmp_path)[1].notes)


def test_captioned_rows_are_marked(tmp_path: Path) -> None:
    records = [record(protocol(), 2.0, "a"), record(protocol(), 3.0, "b")]
    measured = tables_of(tmp_path, *records)[1]
    assert grid(measured)["a"]["text"] == "with captions, guidance 2"
    assert any("unconditional" in note for note in measured.notes)


def test_a_model_without_guidance_that_reads_prompts_is_marked(tmp_path: Path) -> None:
    measured = tables_of(tmp_path, record(protocol(prompts="0123456789ab")))[1]
    assert measured.heading.endswith("; with captions")
    assert any("unconditional" in note for note in measured.notes)


def test_other_datasets_and_protocols_have_their_own_tables(tmp_path: Path) -> None:
    for place, each in {
        "a": record(protocol("streets"), name="on-streets"),
        "b": record(protocol("cityscapes"), name="on-cityscapes"),
        "c": record(protocol("cityscapes", n=128), name="more"),
    }.items():
        each.write(tmp_path / place / "record.json")
    _, *tables = table1("cityscapes", tmp_path)
    assert sorted(map(models, tables)) == [["more"], ["on-cityscapes"]]
    assert [models(table) for table in table1("streets", tmp_path)[1:]] == [["on-streets"]]
    tables = table1("faces", tmp_path)[1:]
    assert [table.facts["dataset"] for table in tables] == ["cityscapes", "cityscapes", "streets"]
    assert "no measured record of faces" in tables[-1].notes[-1]


def test_the_sampler_alone_splits_no_table(tmp_path: Path) -> None:
    a, b = (record(protocol(sampler={"steps": steps}), name=f"m{steps:g}") for steps in (25.0, 100.0))
    _, measured = tables_of(tmp_path, a, b, notes=True)
    assert models(measured) == ["m100", "m25"]
    assert [row.kind for row in measured.rows].count("ceiling") == 1
    assert "m25: sampler steps 25" in measured.notes


def trained(name: str, images: int, protocol: Protocol, weights: str = "0123456789ab") -> Record:
    made = record(protocol, name=name)
    training = Training(images=images, seconds=2411, device="cpu X, 2 threads")
    model = ModelInfo(name=name, weights=weights, parameters=4_346_656)
    return made.model_copy(update={"model": model, "training": training})


def test_size_and_budget_of_a_measured_model(tmp_path: Path) -> None:
    records = trained("mine", 48_000, protocol()), trained("less", 500, protocol()), record(protocol(), name="real")
    published, measured = tables_of(tmp_path, *records, notes=True)
    assert "params" not in grid(published)["GANformer"]
    table = grid(measured)
    assert (table["mine"]["params"], table["mine"]["images seen"]) == ("4.35 M", "48 000")
    assert (table["real"]["params"], table["real"]["images seen"]) == ("–", "–")
    assert "mine: trained in 2411 s on cpu X, 2 threads" in measured.notes
    lines = list(csv.DictReader(StringIO(render([published, measured], "csv"))))
    assert {(line["parameters"], line["images_seen"]) for line in lines if line["name"] == "mine"} == {
        ("4346656", "48000")
    }


def test_a_trained_model_that_the_papers_table_lacks_is_marked(tmp_path: Path) -> None:
    known, added = (trained(name, 48_000, protocol()) for name in ("ganformer", "semantic-gan"))
    known.write(tmp_path / "table1" / "ganformer" / "record.json")
    record(protocol(), name="real").write(tmp_path / "table1" / "real" / "record.json")
    _, plain = table1("cityscapes", tmp_path)
    assert "in paper" not in grid(plain)["ganformer"]
    added.write(tmp_path / "table1" / "semantic-gan" / "record.json")
    _, measured = tables = table1("cityscapes", tmp_path)
    assert models(measured) == ["ganformer", "real", "semantic-gan"]
    said = {name: row["in paper"] for name, row in grid(measured).items()}
    assert said == {"ganformer": "yes", "real": "–", "semantic-gan": "no", "ceiling": "–", "floor": "–"}
    lines = csv.DictReader(StringIO(render(tables, "csv")))
    assert {(line["name"], line["in_paper"]) for line in lines if line["in_paper"]} == {
        ("ganformer", "yes"),
        ("semantic-gan", "no"),
    }


def test_several_records_of_one_model(tmp_path: Path) -> None:
    """Two trainings of one protocol are told apart; a copy is not."""
    captioned = protocol(prompts="0123456789ab")
    for place, each in {
        "gcdp": trained("gcdp", 24_000, captioned, "aaaaaaaaaaaa"),
        "figure6/gcdp": trained("gcdp", 48_000, captioned, "bbbbbbbbbbbb"),
        "figure6/imagen": trained("imagen", 48_000, captioned, "cccccccccccc"),
        "table1/gcdp-unconditional": trained("gcdp", 48_000, protocol(), "dddddddddddd"),
        "table1/copy": trained("gcdp", 48_000, protocol(), "dddddddddddd"),
    }.items():
        each.write(tmp_path / place / "record.json")
    (tmp_path / "table1" / "suite.json").write_text('{"suite": "table1", "stages": []}')
    _, plain, told = table1("cityscapes", tmp_path, everything=True)
    assert models(plain) == ["gcdp"]
    assert models(told) == ["gcdp [figure6/gcdp]", "gcdp [gcdp]", "imagen"]


def test_the_suites_rows_in_the_papers_order_and_the_others_only_if_asked_for(cli: Cli, tmp_path: Path) -> None:
    for name in ("gcdp-unconditional", "semantic-palette", "dataset-ddpm", "ganformer", "real"):
        model = name.removesuffix("-unconditional")
        record(protocol(), name=model).write(tmp_path / "table1" / name / "record.json")
    record(protocol(), name="stranger").write(tmp_path / "stranger" / "record.json")
    _, measured = table1("cityscapes", tmp_path)
    assert models(measured) == ["ganformer", "dataset-ddpm", "semantic-palette", "gcdp", "real"]
    assert measured.notes[-1].startswith("1 other record of cityscapes: --all")
    assert "stranger" in models(table1("cityscapes", tmp_path, everything=True)[1])
    assert "stranger" in cli("table1", "--measured", tmp_path, "--all").out
    assert "stranger" not in cli("table1", "--measured", tmp_path).out


def test_one_screen_of_100_columns(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    lines = cli("table1", "--dataset", "streets").out.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 100
    (row,) = (line for line in lines if line.startswith("gcdp "))
    for number in ("106.1 ± 12.3", "18.62 ± 0.88", "45.61 ± 1.61"):  # FSD, FD and mIoU in one row
        assert number in row
    assert "ldm-reconstruction" not in " ".join(lines)
    assert "ldm-reconstruction" in cli("table1", "--dataset", "streets", "--all").out


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_no_digit_is_cut_from_a_narrow_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    text = text_of(tmp_path, trained("mine", 48_000, protocol()), "rich")
    assert "…" not in text
    for whole in ("43.21 ± 1.23", "77.25 ± 1.50", "99.50 ± 9.50", "48 000", "unconditional", "ceiling"):
        assert whole in text
    assert "FID@64" not in text  # a column without a number is left out
    assert max(map(len, text.splitlines())) <= columns


def test_a_folder_of_runs_is_read_and_other_json_is_not(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "first"
    record(protocol()).write(run / "record.json")
    (run / "prompts.json").write_text("[]")
    (tmp_path / "runs" / "train").mkdir()
    (tmp_path / "runs" / "train" / "gcdp.json").write_text('{"kind": "model", "name": "gcdp"}')
    (tmp_path / "runs" / "downstream").mkdir()
    (tmp_path / "runs" / "downstream" / "downstream.json").write_text('{"schema_version": 1, "arms": {}}')
    assert models(table1("cityscapes", tmp_path / "runs")[1]) == ["mine"]
    assert models(table1("cityscapes", run)[1]) == ["mine"]


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a directory"):
        table1("cityscapes", tmp_path / "absent")
    (tmp_path / "broken.json").write_text('{"schema_version": 1')
    with pytest.raises(UserError, match=r"broken\.json is not a record"):
        table1("cityscapes", tmp_path)


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_has_both_tables(tmp_path: Path, format: str) -> None:
    text = text_of(tmp_path, record(protocol(), guidance=1.5), format)
    assert text.endswith("\n")
    for part in ("GANformer", "481.5", "20.36", "mine", "with captions"):
        assert part in text


def test_csv_is_tidy(tmp_path: Path) -> None:
    text = text_of(tmp_path, record(protocol(), guidance=1.5), "csv")
    lines = list(csv.DictReader(StringIO(text)))
    assert len(lines) == 4 * 3 + 3 * 5
    assert all(None not in line and None not in line.values() for line in lines)
    at = {(line["name"], line["metric"], line["column"]): line for line in lines}
    assert at['GCDP ("Ours")', "miou", ""]["value"] == "65.80"
    assert at["GANformer", "miou", ""]["value"] == ""
    mine = at["mine", "miou", ""]
    assert float(mine["low"]) == pytest.approx(41.98)
    assert (mine["unit"], mine["text"]) == ("%", "with captions, guidance 1.5")
    assert (mine["size"], mine["n_protocol"]) == ("64x128", "64")
    assert at["mine", "fsd", "void=drop"]["reason"] == "no void class"


def test_json_has_numbers_and_null(tmp_path: Path) -> None:
    published, measured = json.loads(text_of(tmp_path, record(protocol()), "json"))["tables"]
    values = [{name: cell["value"] for name, cell in row["scores"].items()} for row in published["rows"]]
    assert values[0] == {"fid": 24.86, "miou": None, "fsd": 481.5}
    assert values[3] == {"fid": 20.36, "miou": 65.8, "fsd": 42.22}
    assert measured["facts"]["n_protocol"] == 64
    assert measured["rows"][0]["scores"]["fsd.void=drop"]["value"] is None


def test_markdown_tables_are_rectangular(tmp_path: Path) -> None:
    text = text_of(tmp_path, record(protocol()), "md")
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(line.split("|")) for line in lines} == {4 + 2, 5 + 2}


def test_latex_is_escaped_and_rectangular(tmp_path: Path) -> None:
    text = text_of(tmp_path, record(protocol(), guidance=2.0), "latex", notes=True)
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in body} == {4 - 1, 5 - 1}
    assert not re.search(r"(?<!\\)[%_#]", text)
    assert r"mIoU (\%)" in text
    assert r"hrnet\_w48@cityscapes\#0123" in text
    assert text.isascii()
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 2
