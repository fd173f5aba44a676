"""The sweep end to end on tiny things: its files, its resumption, what must and what must not change a number."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import PAINTER, Cli, Result, comparable, content, write_gcdp
from jsonschema import Draft202012Validator
from PIL import Image

import gcbench
import gcbench.commands.sweep as sweep_module
from gcbench.core import checkpoint
from gcbench.core.errors import UserError
from gcbench.core.files import file_hash
from gcbench.core.record import Record
from gcbench.data.open_dataset import open_dataset
from gcbench.runs.run_directory import RunDirectory
from gcbench.runs.sample_table import SampleTable

METRICS = ["semantic-recall", "miou", "fsd", "fd"]
Sweep = Callable[..., Result]


def record_of(result: Result) -> dict[str, Any]:
    assert result.code == 0, result.err
    return json.loads(result.out)


@pytest.fixture
def paint(cli: Cli, toyland: Path, painter: str, oracle: None, without_curve: None) -> Sweep:
    """A sweep of the painter, evaluated by the oracle: `paint(out, guidance, …)`."""

    def run(out: object, guidance: str = "1,3", *more: object, model: str = "Painter", n: int = 6) -> Result:
        fixed = ["--dataset", toyland, "-n", n, "--guidance", guidance, "--out", out, "--json"]
        return cli("sweep", "--model", f"{painter}:{model}", *fixed, *more)

    return run


# ---------------------------------------------------------------------------------------------- end to end


def test_files_and_record(cli: Cli, toyland: Path, gcdp: Path, evaluator: str, tmp_path: Path) -> None:
    """The reference model and a network as evaluator, of random weights: every file of the run is there and parses."""
    out = tmp_path / "run"
    result = cli(
        *("sweep", "--dataset", toyland, "--checkpoint", gcdp, "--evaluator", evaluator, "-n", 6, "--guidance", "1,3"),
        *("--out", out, "--keep-samples", "--json"),
    )
    data = record_of(result)  # the whole of standard output is the record
    assert "This takes about" in result.err
    schema = json.loads((Path(gcbench.__file__).parent / "results" / "record.schema.json").read_text())
    Draft202012Validator(schema).validate(data)
    assert data == json.loads((out / "record.json").read_text())
    record = Record.model_validate(data)
    assert [point.guidance for point in record.points] == [1.0, 3.0]
    assert list(record.points[0].scores) == METRICS
    assert all(score.status == "ok" for point in record.points for score in point.scores.values())
    assert record.model.trained_on == "toyland"
    assert record.model.weights == checkpoint.read_card(gcdp).sha256
    assert {True, False, None} >= {point.pareto for point in record.points} != {None}

    scores = list(csv.DictReader(io.StringIO((out / "scores.csv").read_text())))
    assert {row["metric"] for row in scores} == set(METRICS)
    assert {row["kind"] for row in scores} == {"model", "ceiling", "floor"}
    for row in scores:
        if row["kind"] == "model" and row["column"] == "":
            point = next(p for p in record.points if p.guidance == float(row["guidance"]))
            scale = 100 if row["unit"] == "%" else 1
            assert float(row["value"]) == scale * point.scores[row["metric"]].value

    rows = list(csv.DictReader(io.StringIO((out / "per_sample.csv").read_text())))
    recalls = [row for row in rows if (row["metric"], row["column"]) == ("semantic-recall", "")]
    assert [(r["guidance"], r["id"]) for r in recalls] == [(g, f"{i:06d}") for g in ("1", "3") for i in range(6)]
    assert {row["prompt"] for row in rows[:1]} == {open_dataset(str(toyland)).captions("val", 0)[0]}
    for point in record.points:
        mean = np.mean([float(row["value"]) for row in recalls if float(row["guidance"]) == point.guidance])
        assert mean == pytest.approx(point.scores["semantic-recall"].value, abs=1e-12)

    assert Image.open(out / "curve.png").size[0] > 500
    assert "<svg" in (out / "curve.svg").read_text()[:600]
    assert len(list((out / "samples" / "guidance-3" / "images").iterdir())) == 6
    assert not [path for path in out.rglob(".*")]


def test_the_table_is_for_people(paint: Sweep, cli: Cli, tmp_path: Path, toyland: Path, painter: str) -> None:
    model = ["--model", f"{painter}:Painter", "--dataset", toyland]
    result = cli("sweep", *model, "-n", 4, "--guidance", "1,3", "--out", tmp_path / "run")
    assert result.code == 0
    assert {"Semantic", "Recall", "FD(segmenter)", "@0.1%", "void=drop"} <= set(result.out.split())
    assert "…" not in result.out
    assert "ceiling" in result.out
    assert "Run:" in result.err
    assert "Evaluating takes about" in result.err  # the painter does not say how long it takes


def test_python_mirrors_the_command(paint: Sweep, toyland: Path, painter: str, tmp_path: Path) -> None:
    typed = record_of(paint(tmp_path / "a"))
    called = gcbench.sweep(f"{painter}:Painter", str(toyland), guidance=[1, 3], n=6, out=tmp_path / "b")
    assert comparable(called.model_dump(mode="json")) == comparable(typed)


def test_another_datasets_model_with_the_same_classes(
    cli: Cli, toyland: Path, gcdp: Path, tmp_path: Path, oracle: None, without_curve: None
) -> None:
    """It is used, and the record says what it was trained on."""
    found = checkpoint.load(gcdp, kind="model")
    checkpoint.save(tmp_path / "m.safetensors", found.state, found.card.model_copy(update={"dataset": "elsewhere"}))
    asked = ["--checkpoint", tmp_path / "m.safetensors", "-n", 2, "--guidance", 1, "--out", tmp_path / "run"]
    record = record_of(cli("sweep", "--dataset", toyland, *asked, "--json"))
    assert record["model"]["trained_on"] == "elsewhere"
    assert record["protocol"]["dataset"] == "toyland"


# ---------------------------------------------------------------------------------- what a number depends on


def test_same_seeds_same_record(paint: Sweep, tmp_path: Path) -> None:
    first, second = record_of(paint(tmp_path / "a")), record_of(paint(tmp_path / "b"))
    assert comparable(first) == comparable(second)
    assert (tmp_path / "a/per_sample.csv").read_bytes() == (tmp_path / "b/per_sample.csv").read_bytes()
    other = record_of(paint(tmp_path / "c", "1,3", "--seed", 100))
    assert other["points"][0]["scores"] != first["points"][0]["scores"]


@pytest.mark.usefixtures("without_curve")
def test_batch_size_changes_no_digit(cli: Cli, toyland: Path, gcdp: Path, evaluator: str, tmp_path: Path) -> None:
    """Networks as model and evaluator, whose sums would otherwise run in another order."""
    records = []
    for size in (1, 5, 19):
        asked = ["--checkpoint", gcdp, "--evaluator", evaluator, "-n", 19, "--guidance", 2, "--batch-size", size]
        result = cli("sweep", "--dataset", toyland, *asked, "--out", tmp_path / str(size), "--json")
        records.append(comparable(record_of(result)))
    assert records[0] == records[1] == records[2]
    assert (tmp_path / "1/per_sample.csv").read_bytes() == (tmp_path / "19/per_sample.csv").read_bytes()


def test_a_scale_does_not_depend_on_its_neighbours(paint: Sweep, tmp_path: Path) -> None:
    together, alone = record_of(paint(tmp_path / "a", "3,1,2")), record_of(paint(tmp_path / "b", "2"))
    assert [point["guidance"] for point in together["points"]] == [1.0, 2.0, 3.0]
    assert together["points"][1]["scores"] == alone["points"][0]["scores"]


def test_more_images_than_the_split_has(paint: Sweep, tmp_path: Path) -> None:
    record = record_of(paint(tmp_path / "a", "2", n=30))
    assert record["points"][0]["scores"]["semantic-recall"]["n"] == 30
    assert record["ceiling"]["semantic-recall"]["n"] == 14
    assert record["ceiling"]["fsd"]["n"] == 7  # half of the split, the other half is its reference


# ------------------------------------------------------------------------------------------------- resuming


class Killed(BaseException):
    """Stands for a signal: nothing in between catches it."""


@pytest.mark.parametrize("how", ["before the second point", "while its files are written"])
def test_a_killed_sweep_goes_on_to_the_same_digits(
    paint: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    whole = record_of(paint(tmp_path / "whole", "1,2,3"))
    with monkeypatch.context() as patch:
        if how == "before the second point":
            real, calls = sweep_module.measure_point, []

            def measure(*arguments: Any, **settings: Any) -> Any:
                calls.append(1)
                if len(calls) == 2:
                    raise KeyboardInterrupt
                return real(*arguments, **settings)

            patch.setattr(sweep_module, "measure_point", measure)
        else:
            real_write, written = Record.write, []

            def write(self: Record, path: Path) -> None:
                written.append(1)
                if len(written) == 2:  # per_sample.csv and scores.csv know the second point already
                    raise KeyboardInterrupt
                real_write(self, path)

            patch.setattr(Record, "write", write)
        assert paint(tmp_path / "killed", "1,2,3").code != 0
    held = Record.read(tmp_path / "killed/record.json")
    assert [point.guidance for point in held.points] == [1.0]
    result = paint(tmp_path / "killed", "1,2,3")
    assert "1 of 3 points are there already" in result.err
    assert comparable(record_of(result)) == comparable(whole)
    for name in ("per_sample.csv", "scores.csv"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_finished_sweep_is_not_run_again(paint: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = record_of(paint(tmp_path / "run"))
    before = content(tmp_path / "run")
    monkeypatch.setattr(sweep_module, "measure_point", None)
    monkeypatch.setattr(sweep_module, "measure_real", None)
    assert comparable(record_of(paint(tmp_path / "run"))) == comparable(first)
    assert content(tmp_path / "run") == before


def test_more_scales_join_a_finished_sweep(paint: Sweep, tmp_path: Path) -> None:
    paint(tmp_path / "run", "1,3")
    joined = record_of(paint(tmp_path / "run", "1,2,3"))
    assert comparable(joined) == comparable(record_of(paint(tmp_path / "whole", "1,2,3")))


def test_fresh_replaces_and_leaves_no_old_images(paint: Sweep, tmp_path: Path) -> None:
    paint(tmp_path / "run", "1", "--keep-samples", n=6)
    refused = paint(tmp_path / "run", "1", "--keep-samples", n=4)
    assert refused.code == 2
    assert "n: 6 against 4" in refused.complaint
    record_of(paint(tmp_path / "run", "1", "--keep-samples", "--fresh", n=4))
    assert len(list((tmp_path / "run/samples/guidance-1/images").iterdir())) == 4


def test_fresh_knows_nothing_of_the_old_rows(paint: Sweep, tmp_path: Path) -> None:
    record_of(paint(tmp_path / "run", "1,3"))
    record_of(paint(tmp_path / "run", "1", "--fresh"))
    record_of(paint(tmp_path / "new", "1"))
    for name in ("per_sample.csv", "scores.csv"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "new" / name).read_bytes()


def test_the_table_of_samples_keeps_every_digit(tmp_path: Path) -> None:
    table = SampleTable()
    table.values = {
        ("", "b", "c@1%"): {"000001": 2.0},
        ("1.5", "a", ""): {"000000": 1 / 3},
        ("1.5", "a", "x"): {"000000": None},
        ("1.0000012", "a", ""): {"000000": 1e-17},
    }
    table.groups = {"000000": 'street, "north"', "000001": "Allee"}
    table.prompts = {"000000": 'a car,\na "bus"'}
    table.write(tmp_path / "per_sample.csv")
    again = SampleTable.read(tmp_path / "per_sample.csv")
    assert (again.values, again.groups, again.prompts) == (table.values, table.groups, table.prompts)
    assert SampleTable.read(tmp_path / "absent.csv").values == {}
    (tmp_path / "old.csv").write_text("guidance,id,a\n1,000000,0.5\n")
    with pytest.raises(UserError, match="of an older gcbench"):
        SampleTable.read(tmp_path / "old.csv")


def test_an_edited_model_file_is_another_model(cli: Cli, toyland: Path, oracle: None, without_curve: None) -> None:
    file = Path("mine.py")
    asked = ["sweep", "--model", "mine.py:Painter", "--dataset", toyland, "-n", 2, "--guidance", 1, "--out", "run"]
    file.write_text(PAINTER)
    assert cli(*asked).code == 0
    file.write_text(PAINTER.replace("guidance / 4", "guidance / 5"))
    result = cli(*asked)
    assert result.code == 2
    assert "model note: 'mine.py " in result.complaint


# --------------------------------------------------------------------------------------------------- models


def test_an_unguided_model_has_one_point(paint: Sweep, tmp_path: Path) -> None:
    record = record_of(paint(tmp_path / "run", "1,2,3", model="Plain"))
    assert [point["guidance"] for point in record["points"]] == [None]
    assert record["protocol"]["prompts"] is None
    scores = record["points"][0]["scores"]
    assert (scores["semantic-recall"]["status"], scores["fsd"]["status"]) == ("skipped", "ok")
    assert "prompts" in scores["semantic-recall"]["reason"]
    assert record["points"][0]["pareto"] is None


def test_an_unconditional_checkpoint(
    cli: Cli, toyland: Path, tmp_path: Path, oracle: None, without_curve: None
) -> None:
    path = write_gcdp(tmp_path / "plain.safetensors", open_dataset(str(toyland)), text=False)
    asked = ["--checkpoint", path, "-n", 2, "--out", tmp_path / "run", "--json"]
    assert [p["guidance"] for p in record_of(cli("sweep", "--dataset", toyland, *asked))["points"]] == [None]


@pytest.mark.parametrize(
    ("model", "fragments"),
    [
        ("TooFew", [":TooFew gave 3 images", "not 4"]),
        ("WrongSize", [":WrongSize gave", "32x16", "32x64"]),
        ("WrongIds", ["layout ids outside 0..4"]),
        ("Forgetful", ["gave NoneType"]),
        ("Fickle", ["draws layouts and gave none"]),
        ("Silent", ["guided to True or False"]),
        ("Boastful", ["describe()", "'speed'"]),
        ("Stranger", ["no gcbench.core.contracts.Model"]),
        ("Absent", ["has no class 'Absent'"]),
    ],
)
def test_a_model_that_breaks_the_contract(paint: Sweep, tmp_path: Path, model: str, fragments: list[str]) -> None:
    result = paint(tmp_path / "run", "1", "--batch-size", 4, model=model, n=8)
    assert (result.code, result.out) == (2, "")
    assert all(fragment in result.complaint for fragment in fragments), result.complaint


def test_a_model_file_with_a_fault(cli: Cli, toyland: Path) -> None:
    Path("bad.py").write_text("import nothing_of_this_name\n")
    result = cli("sweep", "--model", "bad.py:Model", "--dataset", toyland)
    assert result.code == 2
    assert "ModuleNotFoundError" in result.complaint
    assert "Traceback" not in result.err


# ------------------------------------------------------------------------------------- evaluators that lack


@pytest.mark.usefixtures("without_curve")
def test_without_a_segmenter_the_others_are_measured(cli: Cli, toyland: Path, painter: str, tmp_path: Path) -> None:
    asked = ["--model", f"{painter}:Painter", "--dataset", toyland, "-n", 4, "--guidance", 1, "--out", tmp_path]
    record = record_of(cli("sweep", *asked, "--json"))
    for scores in (record["points"][0]["scores"], record["ceiling"]):
        assert {name: scores[name]["status"] for name in scores} == {
            "semantic-recall": "skipped",
            "miou": "skipped",
            "fsd": "ok",
            "fd": "skipped",
        }
        assert "gcbench train --evaluator segmenter" in scores["miou"]["reason"]
    assert record["protocol"]["evaluators"] == {}


def test_nothing_to_measure_is_said(cli: Cli, toyland: Path, painter: str, tmp_path: Path) -> None:
    asked = ["--model", f"{painter}:Painter", "--dataset", toyland, "-n", 4, "--metrics", "miou"]
    result = cli("sweep", *asked, "--out", tmp_path / "run")
    assert result.code == 2
    assert "no segmenter is trained for 'toyland'" in result.complaint


def test_until_saturation(paint: Sweep, tmp_path: Path) -> None:
    """The painter's recall is full from guidance 4 on: 6 and 8 gain nothing, 12 and 16 are left out."""
    result = paint(tmp_path / "run", "1,4,6,8,12,16", "--until-saturation")
    assert [point["guidance"] for point in record_of(result)["points"]] == [1.0, 4.0, 6.0, 8.0]
    assert "saturated" in result.err
    again = paint(tmp_path / "run", "1,4,6,8,12,16", "--until-saturation")
    assert [point["guidance"] for point in record_of(again)["points"]] == [1.0, 4.0, 6.0, 8.0]
    refused = paint(tmp_path / "other", "1,2", "--until-saturation", "--metrics", "fsd")
    assert refused.code == 2
    assert "watches a metric of correspondence" in refused.complaint


# ------------------------------------------------------------------------------------------------- plug-ins

BROKEN = '''
import sys
import numpy as np
import torch
from gcbench.core.contracts import Metric, Model
from gcbench.core.samples import Samples
from gcbench.core.score import Score
from gcbench.metrics.semantic_recall import SemanticRecall


class Base(Model):
    conditional, guided, layouts = True, False, True

    @classmethod
    def open(cls, dataset, options):
        return cls()

    def draw(self, n, size, **changes):
        fields = {
            "images": torch.zeros(n, 3, *size, dtype=torch.uint8),
            "layouts": torch.zeros(n, *size, dtype=torch.int64),
            "layout_source": "generated", "prompts": None, "ids": tuple(map(str, range(n))),
        }
        return Samples(**{**fields, **changes})

    def generate(self, prompts, *, n, size, guidance, seeds):
        return self.draw(n, size)


def variant(name, **changes):
    def generate(self, prompts, *, n, size, guidance, seeds):
        made = {key: value(n, *size) if callable(value) else value for key, value in changes.items()}
        return self.draw(n, size, **made)
    globals()[name] = type(name, (Base,), {"generate": generate})


variant("FloatImages", images=lambda n, h, w: torch.zeros(n, 3, h, w))
variant("ArrayImages", images=lambda n, h, w: np.zeros((n, 3, h, w), np.uint8))
variant("GreyImages", images=lambda n, h, w: torch.zeros(n, 1, h, w, dtype=torch.uint8))
variant("FlatImages", images=lambda n, h, w: torch.zeros(n, h * w, dtype=torch.uint8))
variant("ByteLayouts", layouts=lambda n, h, w: torch.zeros(n, h, w, dtype=torch.uint8))
variant("ShiftedLayouts", layouts=lambda n, h, w: torch.zeros(n, w, h, dtype=torch.int64))
variant("NegativeLayouts", layouts=lambda n, h, w: torch.full((n, h, w), -1))
variant("NoSource", layout_source=None)
variant("NoLayouts", layouts=None, layout_source=None)
variant("ListIds", ids=lambda n, h, w: [str(i) for i in range(n)])
variant("FewIds", ids=lambda n, h, w: ("a",))
variant("NumberIds", ids=lambda n, h, w: tuple(range(n)))
variant("FewPrompts", prompts=lambda n, h, w: ("a car",))
variant("FewGroups", groups=lambda n, h, w: ("g",))


class Undrawn(Base):
    layouts = False


class Raises(Base):
    def generate(self, *arguments, **settings):
        raise ZeroDivisionError("a fault\\nof two lines")


class Exits(Base):
    def generate(self, *arguments, **settings):
        sys.exit(0)


class Asserts(Base):
    def generate(self, *arguments, **settings):
        assert False


class OpensNothing(Base):
    @classmethod
    def open(cls, dataset, options):
        return None


class OpenRaises(Base):
    @classmethod
    def open(cls, dataset, options):
        raise KeyError("weights")


class BadSize(Base):
    size = "64x128"


class BadSampler(Base):
    def sampler(self):
        return {"steps": [1, 2]}


class BadTime(Base):
    def seconds_per_image(self, size, guidance):
        return "soon"


class DescribeRaises(Base):
    def describe(self):
        raise AttributeError("nothing known")


class BadMetric(SemanticRecall):
    def compute(self):
        raise IndexError("no such class")


class Lenient(SemanticRecall):
    """Finds every class: its numbers are others, its columns are named alike."""

    def _row(self, prompt, labels):
        row = super()._row(prompt, labels)
        row[1:] = True
        return row
'''


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    (tmp_path / "broken.py").write_text(BROKEN)
    return tmp_path / "broken.py"


@pytest.mark.usefixtures("without_curve", "oracle")
@pytest.mark.parametrize(
    ("model", "fragment"),
    [
        ("FloatImages", "images are torch.float32, not a tensor of torch.uint8"),
        ("ArrayImages", "images are ndarray"),
        ("GreyImages", "images are [4, 1, 32, 64], not [B,3,H,W]"),
        ("FlatImages", "images are [4, 2048], not [B,3,H,W]"),
        ("ByteLayouts", "layouts are torch.uint8"),
        ("ShiftedLayouts", "layouts are [4, 64, 32], not [4,32,64]"),
        ("NegativeLayouts", "gave layout ids outside 0..4"),
        ("NoSource", "layouts have no layout_source"),
        ("NoLayouts", "says that it draws layouts and gave none"),
        ("ListIds", "ids are no tuple of texts"),
        ("FewIds", "ids are 1 for 4 images"),
        ("NumberIds", "ids are no tuple of texts"),
        ("FewPrompts", "prompts are 1 for 4 images"),
        ("FewGroups", "groups are 1 for 4 images"),
        ("Undrawn", "says that it draws no layouts and gave some"),
        ("Raises", "raised ZeroDivisionError: a fault of two lines"),
        ("Exits", "raised SystemExit: 0"),
        ("Asserts", "raised AssertionError"),
        ("OpensNothing", "open gave NoneType, not a Model"),
        ("OpenRaises", "raised KeyError: 'weights'"),
        ("BadSize", "gives its size as '64x128'"),
        ("BadSampler", "gives 'steps': [1, 2]"),
        ("BadTime", "gives 'soon'"),
        ("DescribeRaises", "raised AttributeError: nothing known"),
    ],
)
def test_a_broken_model_ends_in_one_sentence(
    cli: Cli, toyland: Path, broken: Path, tmp_path: Path, model: str, fragment: str
) -> None:
    """It names the model and what it gave; the traceback of its exception lies beside the run."""
    asked = ["--model", f"{broken}:{model}", "--dataset", toyland, "-n", 4, "--out", tmp_path / "run"]
    result = cli("sweep", *asked)
    assert result.code == 2
    assert fragment in result.complaint
    assert f"{broken}:{model}" in result.complaint
    assert "Traceback" not in result.err
    raised = " raised " in result.complaint
    assert raised == (tmp_path / "run/traceback.txt").exists()
    if raised:
        assert str(tmp_path / "run/traceback.txt") in result.complaint
        assert "broken.py" in (tmp_path / "run/traceback.txt").read_text()
    assert not list(tmp_path.rglob("record.json"))


@pytest.mark.usefixtures("without_curve", "oracle")
def test_a_broken_metric_ends_in_one_sentence(cli: Cli, toyland: Path, broken: Path, tmp_path: Path) -> None:
    asked = ["--model", f"{broken}:Base", "--dataset", toyland, "-n", 4, "--out", tmp_path / "run"]
    result = cli("sweep", *asked, "--metrics", f"{broken}:BadMetric,fsd")
    assert result.code == 2
    assert "metric BadMetric raised IndexError: no such class; its traceback is in" in result.complaint


@pytest.mark.usefixtures("without_curve", "oracle")
def test_a_metric_that_derives_from_another_keeps_its_own_values(
    cli: Cli, painter: str, toyland: Path, broken: Path, tmp_path: Path
) -> None:
    """Both have columns of the same names. They were one column in per_sample.csv, and `compare` paired nothing."""
    asked = ["--model", f"{painter}:Painter", "--dataset", toyland, "-n", 8]
    both = f"semantic-recall,{broken}:Lenient"
    scales = "1,2,4,6,8,12"
    alone = record_of(cli("sweep", *asked, "--guidance", scales, "--until-saturation", "--out", "a", "--json",
                          "--metrics", "semantic-recall"))  # fmt: skip
    together = record_of(cli("sweep", *asked, "--guidance", scales, "--until-saturation", "--out", "b", "--json",
                             "--metrics", both))  # fmt: skip
    assert [p["guidance"] for p in together["points"]] == [p["guidance"] for p in alone["points"]]
    assert together["points"][0]["scores"]["Lenient"]["value"] == 1
    table = SampleTable.read(Path("b/per_sample.csv"))
    assert {key[1] for key in table.values} == {"semantic-recall", "Lenient"}
    lenient = [value for value in table.values["1", "Lenient", ""].values() if value is not None]
    assert set(lenient) == {1.0}
    assert together["protocol"]["metrics"] == {"Lenient": f"broken.py {file_hash(broken)}"}
    compared = json.loads(cli("compare", "a", "b", "--guidance", "1", "--json").out)
    rows = [row for row in json.dumps(compared).split("{") if '"semantic-recall"' in row and '"images"' in row]
    assert rows  # paired image by image


@pytest.mark.usefixtures("without_curve", "oracle")
def test_scales_that_differ_in_the_seventh_digit(cli: Cli, painter: str, toyland: Path, tmp_path: Path) -> None:
    asked = ["--model", f"{painter}:Painter", "--dataset", toyland, "-n", 2, "--keep-samples", "--out", "run"]
    record = record_of(cli("sweep", *asked, "--guidance", "1.000001,1.0000012", "--json"))
    assert [point["guidance"] for point in record["points"]] == [1.000001, 1.0000012]
    assert sorted(path.name for path in Path("run/samples").iterdir()) == ["guidance-1.000001", "guidance-1.0000012"]
    assert {key[0] for key in SampleTable.read(Path("run/per_sample.csv")).values} == {"1.000001", "1.0000012"}


@pytest.mark.usefixtures("without_curve", "oracle")
def test_a_run_in_which_nothing_was_measured_exits_1(cli: Cli, toyland: Path, painter: str) -> None:
    asked = ["--model", f"{painter}:Plain", "--dataset", toyland, "-n", 2, "--out", "run"]
    result = cli("sweep", *asked, "--metrics", "semantic-recall")
    assert result.code == 1
    assert "nothing could be measured" in result.complaint
    assert Path("run/record.json").exists()  # with its reasons


def test_two_sweeps_into_one_directory(cli: Cli, toyland: Path, painter: str, oracle: None) -> None:
    asked = ["--model", f"{painter}:Painter", "--dataset", toyland, "-n", 2, "--out", "run"]
    with RunDirectory(Path("run")):
        result = cli("sweep", *asked)
    assert result.code == 2
    assert "another process writes into run" in result.complaint


@pytest.mark.usefixtures("without_curve", "oracle")
def test_every_sweep_writes_a_grid(cli: Cli, toyland: Path, painter: str) -> None:
    """Also one that was stopped after its first point: what was drawn then is drawn again."""
    asked = ["--model", f"{painter}:Painter", "--dataset", toyland, "-n", 6]
    assert cli("sweep", *asked, "--guidance", "1,3", "--out", "whole").code == 0
    assert cli("sweep", *asked, "--guidance", "1", "--out", "parts").code == 0
    assert cli("sweep", *asked, "--guidance", "1,3", "--out", "parts").code == 0
    assert Path("parts/grid.png").read_bytes() == Path("whole/grid.png").read_bytes()
    assert Image.open("whole/grid.png").size[1] > 4 * 32  # images above layouts, at both scales


@pytest.mark.usefixtures("without_curve", "oracle")
def test_one_sheet_of_several_scales(cli: Cli, toyland: Path, painter: str) -> None:
    asked = ["--model", f"{painter}:Painter", "--dataset", toyland, "-n", 4]
    assert cli("sample", *asked, "--guidance", "1,2,4", "--out", "drawn").code == 0
    names = {"grid.png", "run.json", "guidance-1", "guidance-2", "guidance-4"}
    assert {path.name for path in Path("drawn").iterdir()} == names
    assert len(list(Path("drawn/guidance-2/images").iterdir())) == 4


METRICS_OF_A_STRANGER = """
from gcbench.core.score import Score
from gcbench.metrics.semantic_recall import SemanticRecall


class Starts(SemanticRecall):
    def __init__(self, task):
        raise ZeroDivisionError


class Untitled(SemanticRecall):
    title = None


class Sideways(SemanticRecall):
    direction = "sideways"


class Scaled(SemanticRecall):
    scale = {"": "x"}


class Hears(SemanticRecall):
    needs = frozenset({"sound"})


class Fun(SemanticRecall):
    axis = "fun"


class Number(SemanticRecall):
    def compute(self):
        return 3


class Detailed(SemanticRecall):
    def compute(self):
        score = super().compute()
        score.detail = {"a": object()}
        return score


class PerSample(SemanticRecall):
    def per_sample(self):
        raise RuntimeError("none")


class Strange(SemanticRecall):
    def per_sample(self):
        return {"": {"zzz": 1.0}}


class Words(SemanticRecall):
    def per_sample(self):
        return {"": {"000000": "abc"}}


class Outside(SemanticRecall):
    def compute(self):
        return Score(value=107.6, interval=(107.6, 107.6), n=4)


class Painted(SemanticRecall):
    title = "\\x1b[31m[red]T|a\\nb"
"""


@pytest.mark.usefixtures("without_curve", "oracle")
@pytest.mark.parametrize(
    ("metric", "fragment"),
    [
        ("Starts", "raised ZeroDivisionError"),
        ("Untitled", "declares title as None"),
        ("Sideways", "declares direction as 'sideways'"),
        ("Scaled", "declares scale as {'': 'x'}"),
        ("Hears", "declares needs as"),
        ("Fun", "declares axis as 'fun'"),
        ("Number", "computed int, not gcbench.core.score.Score"),
        ("Detailed", "raised"),
        ("PerSample", "raised RuntimeError: none"),
        ("Strange", "values of a sample 'zzz'"),
        ("Words", "no number as a sample's value"),
    ],
)
def test_a_strangers_metric_ends_in_one_sentence(
    cli: Cli, toyland: Path, painter: str, tmp_path: Path, metric: str, fragment: str
) -> None:
    (tmp_path / "own.py").write_text(METRICS_OF_A_STRANGER)
    asked = ["--model", f"{painter}:Painter", "--dataset", toyland, "-n", 4, "--guidance", 1, "--out", "run"]
    result = cli("sweep", *asked, "--metrics", f"fsd,{tmp_path / 'own.py'}:{metric}")
    assert result.code == 2
    assert f"metric {metric}" in result.complaint
    assert fragment in result.complaint
    assert "Traceback" not in result.err
    assert not Path("run/record.json").exists()


@pytest.mark.usefixtures("without_curve", "oracle")
def test_what_a_strangers_metric_says_is_shown_as_text(cli: Cli, toyland: Path, painter: str, tmp_path: Path) -> None:
    """A value outside the metric's own range is no value, and escape codes in a title reach no terminal."""
    (tmp_path / "own.py").write_text(METRICS_OF_A_STRANGER)
    own = tmp_path / "own.py"
    asked = ["--model", f"{painter}:Painter", "--dataset", toyland, "-n", 4, "--guidance", 1, "--out", "run"]
    result = cli("sweep", *asked, "--metrics", f"{own}:Outside,{own}:Painted")
    assert result.code == 0
    assert "\x1b" not in result.out + result.err
    outside = Record.read(Path("run/record.json")).points[0].scores["Outside"]
    assert (outside.status, outside.value) == ("failed", None)
    assert "outside its range of 0 to 1" in str(outside.reason)


def test_options_that_could_have_no_effect_are_refused(paint: Sweep, tmp_path: Path) -> None:
    assert "is for --until-saturation" in paint(tmp_path / "a", "1", "--watch", "miou").complaint
    assert "--axes: clip-score is not measured" in paint(tmp_path / "b", "1", "--axes", "fd,clip-score").complaint


def test_another_run_is_named_by_the_settings_that_differ(
    cli: Cli, toyland: Path, gcdp: Path, oracle: None, without_curve: None
) -> None:
    asked = ["sweep", "--checkpoint", gcdp, "--dataset", toyland, "-n", 2, "--guidance", 1, "--out", "run"]
    assert cli(*asked, "--steps", 1).code == 0
    result = cli(*asked, "--steps", 2)
    assert "holds another run (sampler steps: 1.0 against 2.0); choose" in result.complaint


def test_half_precision(cli: Cli, toyland: Path, gcdp: Path, oracle: None, without_curve: None, tmp_path: Path) -> None:
    """With a text encoder, in bfloat16: the estimate of the time reads the texts in the same precision."""
    out = tmp_path / "run"
    given = ("--dataset", toyland, "--checkpoint", gcdp, "-n", 4, "--guidance", "2", "--out", out, "--json")
    record = record_of(cli("sweep", *given, "--precision", "bf16"))
    assert record["points"][0]["scores"]["semantic-recall"]["status"] == "ok"
