"""Table 1: the paper's numbers as printed, ours apart from them, in every format."""

import csv
import json
import re
from io import StringIO
from pathlib import Path

import pytest

from gcbench.core.errors import UserError
from gcbench.core.protocol import Protocol
from gcbench.core.record import ModelInfo, Point, Provenance, Record, Training
from gcbench.core.score import Score
from gcbench.reports.table1 import FORMATS, Block, render, rows

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


def blocks_of(tmp_path: Path, *records: Record, dataset: str = "cityscapes") -> list[Block]:
    for place, each in enumerate(records):
        each.write(tmp_path / each.protocol.dataset / f"{place}.json")
    return rows(dataset, tmp_path)


def text_of(tmp_path: Path, each: Record, format: str) -> str:
    each.write(tmp_path / "record.json")
    return render(format, each.protocol.dataset, tmp_path)


def table_of(block: Block) -> dict[str, dict[str, str]]:
    head, *body = block.grid()
    return {row[0]: dict(zip(head, row, strict=True)) for row in body}


def test_the_papers_numbers_as_printed(tmp_path: Path) -> None:
    published, nothing = rows("cityscapes", tmp_path)
    assert {row[0]: tuple(row[2:]) for row in published.grid()[1:]} == PAPER
    assert published.title == "published (ICCV 2023, Table 1), cityscapes"
    assert all(row.text == "unconditional" and row.kind == "published" for row in published.rows)
    assert not nothing.rows
    assert nothing.notes == ["no measured record of cityscapes; `gcbench sweep --dataset cityscapes` makes one"]


def test_measured_rows_stand_in_their_own_block(tmp_path: Path) -> None:
    published, measured = blocks_of(tmp_path, record(protocol()))
    assert "mine" not in {row.name for row in published.rows}
    mine = table_of(measured)["mine"]
    assert mine["mIoU (%) ↑"] == "43.21 ± 1.23"  # a share in the record, per cent in the table
    assert mine["FSD (%²) ↓"] == "99.50 ± 9.50"
    assert mine["void share (%)"] == "11.50 ± 0.01"
    assert mine["text"] == "unconditional"
    table = table_of(measured)
    assert table["ceiling (real pairs)"]["mIoU (%) ↑"] == "81.00 ± 1.00"
    assert table["floor (real pairs, permuted)"]["mIoU (%) ↑"] == "9.00 ± 1.00"
    for fact in ("n = 64", "64×128", "hrnet_w48@cityscapes#0123", "reference of 500", "split val"):
        assert fact in measured.title


def test_fd_is_not_in_the_fid_column(tmp_path: Path) -> None:
    mine = table_of(blocks_of(tmp_path, record(protocol()))[1])["mine"]
    assert mine["FID@64 ↓"] == "–"
    assert mine["FD(segmenter) ↓"] == "77.25 ± 1.50"


def test_what_is_missing_is_a_dash_with_its_reason(tmp_path: Path) -> None:
    measured = blocks_of(tmp_path, record(protocol()))[1]
    assert table_of(measured)["mine"]["FSD void=drop (%²) ↓"] == "–"
    assert "mine (unconditional), fsd_void_drop: skipped, no void class" in measured.notes


def test_captioned_rows_are_marked(tmp_path: Path) -> None:
    measured = blocks_of(tmp_path, record(protocol(), guidance=2.0))[1]
    assert table_of(measured)["mine"]["text"] == "with captions, guidance 2"
    assert any("unconditional" in note for note in measured.notes)


def test_a_model_without_guidance_that_reads_prompts_is_marked(tmp_path: Path) -> None:
    measured = blocks_of(tmp_path, record(protocol(prompts="0123456789ab")))[1]
    assert table_of(measured)["mine"]["text"] == "with captions"
    assert any("unconditional" in note for note in measured.notes)


def test_other_datasets_and_protocols_have_their_own_blocks(tmp_path: Path) -> None:
    for place, each in {
        "a": record(protocol("streets"), name="on-streets"),
        "b": record(protocol("cityscapes"), name="on-cityscapes"),
        "c": record(protocol("cityscapes", n=128), name="more"),
    }.items():
        each.write(tmp_path / place / "record.json")
    published, *blocks = rows("cityscapes", tmp_path)
    assert (published.status, published.dataset) == ("published", "cityscapes")
    assert [(block.status, block.dataset) for block in blocks] == [("measured", "cityscapes")] * 2
    models = [{row.name for row in block.rows if row.kind == "model"} for block in blocks]
    assert sorted(map(sorted, models)) == [["more"], ["on-cityscapes"]]
    assert [block.dataset for block in rows("streets", tmp_path)] == ["cityscapes", "streets"]
    faces, *others = rows("faces", tmp_path)[1:]
    assert (faces.dataset, faces.rows) == ("faces", [])
    assert [block.dataset for block in others] == ["cityscapes", "cityscapes", "streets"]


def test_the_sampler_alone_splits_no_block(tmp_path: Path) -> None:
    a, b = (record(protocol(sampler={"steps": steps}), name=f"m{steps:g}") for steps in (25.0, 100.0))
    _, measured = blocks_of(tmp_path, a, b)
    assert [row.name for row in measured.rows if row.kind == "model"] == ["m100", "m25"]
    assert [row.kind for row in measured.rows].count("ceiling") == 1
    assert "m25: sampler steps 25" in measured.notes


def trained(name: str, images: int, protocol: Protocol, weights: str = "0123456789ab") -> Record:
    made = record(protocol, name=name)
    training = Training(images=images, seconds=2411, device="cpu X, 2 threads")
    model = ModelInfo(name=name, weights=weights, parameters=4_346_656)
    return made.model_copy(update={"model": model, "training": training})


def test_size_and_budget_of_a_measured_model(tmp_path: Path) -> None:
    published, measured = blocks_of(tmp_path, trained("mine", 48_000, protocol()), record(protocol(), name="real"))
    assert "images seen" not in published.grid()[0]
    table = table_of(measured)
    assert (table["mine"]["parameters"], table["mine"]["images seen"]) == ("4.35 M", "48 000")
    assert (table["real"]["parameters"], table["real"]["images seen"]) == ("–", "–")
    assert "mine: trained in 2411 s on cpu X, 2 threads" in measured.notes
    lines = list(csv.DictReader(StringIO(render("csv", "cityscapes", tmp_path))))
    assert {(line["parameters"], line["images_seen"]) for line in lines if line["model"] == "mine"} == {
        ("4346656", "48000")
    }
    rows_read = json.loads(render("json", "cityscapes", tmp_path))["blocks"][1]["rows"]
    assert rows_read[0]["training"] == {"images": 48_000, "seconds": 2411.0, "device": "cpu X, 2 threads"}


def test_several_records_of_one_model(tmp_path: Path) -> None:
    """A suite's unconditional model has its own block; two trainings of one protocol are told apart; a copy is not."""
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
    _, plain, told = rows("cityscapes", tmp_path)
    assert [(row.name, row.text) for row in plain.rows if row.kind == "model"] == [("gcdp", "unconditional")]
    assert [row.name for row in told.rows if row.kind == "model"] == ["gcdp [figure6/gcdp]", "gcdp [gcdp]", "imagen"]
    assert all(row.text == "with captions" for row in told.rows if row.kind == "model")


@pytest.mark.parametrize("columns", [80, 120])
def test_no_digit_is_cut_from_a_narrow_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    text = text_of(tmp_path, trained("mine", 48_000, protocol()), "rich")
    assert "…" not in text
    for whole in ("43.21 ± 1.23", "77.25 ± 1.50", "99.50 ± 9.50", "48 000", "unconditional", "ceiling (real pairs)"):
        assert whole in text
    assert "FID@64" not in text  # a column without a number is left out


def test_a_folder_of_runs_is_read_and_other_json_is_not(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "first"
    record(protocol()).write(run / "record.json")
    (run / "prompts.json").write_text("[]")
    (tmp_path / "runs" / "train").mkdir()
    (tmp_path / "runs" / "train" / "gcdp.json").write_text('{"kind": "model", "name": "gcdp"}')
    assert rows("cityscapes", tmp_path / "runs")[1].rows[0].name == "mine"
    assert rows("cityscapes", run)[1].rows[0].name == "mine"


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a directory"):
        rows("cityscapes", tmp_path / "absent")
    (tmp_path / "broken.json").write_text('{"schema_version": 1')
    with pytest.raises(UserError, match=r"broken\.json is not a record"):
        rows("cityscapes", tmp_path)
    with pytest.raises(UserError, match="unknown --format 'html'"):
        render("html")


def test_the_bundled_records_are_read() -> None:
    assert rows()[0].status == "published"


@pytest.mark.parametrize("format", sorted(FORMATS))
def test_every_format_has_both_blocks(tmp_path: Path, format: str) -> None:
    text = text_of(tmp_path, record(protocol(), guidance=1.5), format)
    assert text.endswith("\n")
    for part in ("GANformer", "481.5", "20.36", "mine", "with captions"):
        assert part in text


def test_csv_is_tidy(tmp_path: Path) -> None:
    text = text_of(tmp_path, record(protocol(), guidance=1.5), "csv")
    lines = list(csv.DictReader(StringIO(text)))
    assert len(lines) == 4 * 3 + 3 * 6
    assert all(None not in line and None not in line.values() for line in lines)
    at = {(line["status"], line["model"], line["metric"]): line for line in lines}
    assert at["published", 'GCDP ("Ours")', "miou"]["value"] == "65.80"
    assert at["published", "GANformer", "miou"]["value"] == ""
    mine = at["measured", "mine", "miou"]
    assert float(mine["low"]) == pytest.approx(41.98)
    assert (mine["guidance"], mine["size"], mine["n_protocol"]) == ("1.5", "64x128", "64")
    assert at["measured", "mine", "fid"]["value"] == ""


def test_json_has_numbers_and_null(tmp_path: Path) -> None:
    published, measured = json.loads(text_of(tmp_path, record(protocol()), "json"))["blocks"]
    values = [{name: cell["value"] for name, cell in row["scores"].items()} for row in published["rows"]]
    assert values[0] == {"fid": 24.86, "miou": None, "fsd": 481.5}
    assert values[3] == {"fid": 20.36, "miou": 65.8, "fsd": 42.22}
    assert measured["protocol"]["n"] == 64
    assert measured["rows"][0]["scores"]["fid"]["value"] is None


def test_markdown_tables_are_rectangular(tmp_path: Path) -> None:
    text = text_of(tmp_path, record(protocol()), "md")
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(line.split("|")) for line in lines} == {5 + 2, 10 + 2}


def test_latex_is_escaped_and_rectangular(tmp_path: Path) -> None:
    text = text_of(tmp_path, record(protocol(), guidance=2.0), "latex")
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in body} == {5 - 1, 10 - 1}
    assert not re.search(r"(?<!\\)[%_#]", text)
    assert r"mIoU (\%)" in text
    assert r"hrnet\_w48@cityscapes\#0123" in text
    assert text.isascii()
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 2
