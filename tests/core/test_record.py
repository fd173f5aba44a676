"""Records: a round trip, their published schema, protocols that say how they differ."""

import io
import json
from pathlib import Path

import pandas
import pytest

import gcbench
from gcbench.core.errors import UserError
from gcbench.core.protocol import Protocol
from gcbench.core.record import ModelInfo, Point, Provenance, Record, Training, load_record, schema_text
from gcbench.core.score import Score
from gcbench.reports.record_table import scores_csv

SCHEMA = Path(gcbench.__file__).parent / "results" / "record.schema.json"


def protocol(**changes: object) -> Protocol:
    fields = {"dataset": "streets", "dataset_version": "1", "split": "val", "n": 8, "size": (64, 128), "resize": "area"}
    return Protocol.model_validate({**fields, **changes})


def record() -> Record:
    scores = {"miou": Score(value=0.5, interval=(0.4, 0.6), n=8), "fd": Score.skipped("needs 10 images", n=8)}
    return Record(
        kind="sweep",
        model=ModelInfo(name="gcdp", weights="0123456789ab", parameters=5),
        protocol=protocol(evaluators={"segmenter": "hrnet"}, sampler={"steps": 25.0, "image": "ddim"}),
        ceiling={"miou": Score(value=0.9)},
        points=[Point(guidance=1.5, scores=scores, pareto=True), Point()],
        provenance=Provenance(gcbench="0.1", git_dirty=True),
    )


def test_round_trip(tmp_path: Path) -> None:
    record().write(tmp_path / "deep" / "record.json")
    assert Record.read(tmp_path / "deep" / "record.json") == record()


def test_published_schema_is_up_to_date() -> None:
    """After a change of a record's fields, write it anew:

    python -c "from gcbench.core.record import schema_text; print(schema_text(), end='')" > results/record.schema.json
    """
    assert json.loads(SCHEMA.read_text()) == Record.model_json_schema()
    assert SCHEMA.read_text() == schema_text()


def test_records_obey_the_published_schema() -> None:
    validator = pytest.importorskip("jsonschema", reason="the extra `test` is not installed").Draft202012Validator
    schema = json.loads(SCHEMA.read_text())
    validator.check_schema(schema)
    good = json.loads(record().model_dump_json())
    validator(schema).validate(good)
    assert not validator(schema).is_valid({**good, "surprise": 1})
    assert not validator(schema).is_valid({key: value for key, value in good.items() if key != "protocol"})


def test_every_field_has_a_description() -> None:
    schema = json.loads(SCHEMA.read_text())
    parts = {"Record": schema, **schema["$defs"]}
    lacking = [
        f"{part}.{name}"
        for part, content in parts.items()
        for name, field in content["properties"].items()
        if not field.get("description", "").endswith(".")
    ]
    assert lacking == []
    assert len(parts) == 9


def test_as_a_data_frame() -> None:
    """The same numbers as `scores.csv`, in the same units."""
    frame = record().to_pandas()
    csv = pandas.read_csv(io.StringIO(scores_csv(record())), keep_default_na=False)
    csv = csv[(csv["value"] != "") | (csv["reason"] != "")].reset_index(
        drop=True
    )  # which has rows of what is not there
    assert list(frame.columns) == list(csv.columns)[1:]
    assert len(frame) == len(csv) == 3
    for column in frame.columns:
        mine = ["" if pandas.isna(value) else value for value in frame[column]]
        assert [str(value).removesuffix(".0") for value in mine] == [
            str(value).removesuffix(".0") for value in csv[column]
        ], column
    first = frame.iloc[0]
    assert (first["name"], first["guidance"], first["metric"]) == ("gcdp", 1.5, "miou")
    assert (first["unit"], first["value"], first["low"]) == ("%", 50, 40)
    assert frame["reason"].isna().tolist() == [True, False, True]


def test_in_a_notebook_it_is_a_table_without_foreign_tags() -> None:
    shown = record().model_copy(update={"model": ModelInfo(name="<script>x</script>")})._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;x" in shown
    assert shown.count("<tr") == 1 + 1 + 1  # heads, the point with scores, the ceiling
    assert "50.000 ± 10.000" in shown
    assert "needs 10 images" in shown


def test_a_run_directory_or_its_record(tmp_path: Path) -> None:
    record().write(tmp_path / "record.json")
    assert load_record(tmp_path) == load_record(tmp_path / "record.json") == record()
    with pytest.raises(UserError, match="does not exist; give a run directory"):
        load_record(tmp_path / "absent")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("{", "not a record of schema 2"),
        ("{}", "first fault at kind"),
        (None, "does not exist"),
    ],
)
def test_what_is_no_record(tmp_path: Path, text: str | None, match: str) -> None:
    if text is not None:
        (tmp_path / "record.json").write_text(text)
    with pytest.raises(UserError, match=match):
        Record.read(tmp_path / "record.json")


def test_another_schema_version_is_refused(tmp_path: Path) -> None:
    later = json.loads(record().model_dump_json()) | {"schema_version": 3}
    (tmp_path / "record.json").write_text(json.dumps(later))
    with pytest.raises(
        UserError, match="has schema 3, and this version of gcbench reads 2; read it with the version that wrote it"
    ):
        Record.read(tmp_path / "record.json")


def test_protocols_name_their_differences() -> None:
    assert protocol().differences(protocol()) == []
    assert protocol().differences(protocol(n=9, split="test")) == ["split: 'val' against 'test'", "n: 8 against 9"]
    assert protocol(evaluators={"clip": "a"}).differences(protocol(evaluators={"clip": "b"})) == [
        "evaluators: {'clip': 'a'} against {'clip': 'b'}"
    ]


def test_a_record_of_schema_1_is_read(tmp_path: Path) -> None:
    """Its names for what are now `images`, `evaluate` and `per_image`."""
    now = record().model_copy(update={"training": Training(images=7)})
    now.points[0].seconds = {"generate": 1.0, "evaluate": 2.0}
    text = now.model_dump_json().replace('"images"', '"pictures"').replace('"evaluate"', '"judge"')
    (tmp_path / "record.json").write_text(text.replace('"schema_version":2', '"schema_version":1'))
    assert Record.read(tmp_path / "record.json") == now
