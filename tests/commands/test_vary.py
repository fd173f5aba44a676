"""`gcbench sweep --vary`: every value is the sweep that its own option asks for, and all stand in one table."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli, Result, comparable, content, write_gcdp

import gcbench
import gcbench.commands.sweep as sweep_module
from gcbench.core.errors import UserError
from gcbench.core.record import Record
from gcbench.data.open_dataset import open_dataset

pytestmark = pytest.mark.usefixtures("without_curve", "oracle")

Sweep = Callable[..., Result]


@pytest.fixture
def sweep(cli: Cli, toyland: Path, gcdp: Path, tmp_path: Path) -> Sweep:
    """A sweep of a tiny GCDP, evaluated by the oracle: `sweep(out, …)`."""

    def run(out: str, *more: object, n: int = 4) -> Result:
        return cli("sweep", "--dataset", toyland, "--checkpoint", gcdp, "-n", n, "--out", tmp_path / out, *more)

    return run


def records_of(result: Result) -> list[dict[str, Any]]:
    assert result.code == 0, result.err
    return [comparable(record) for record in json.loads(result.out)]


@pytest.mark.parametrize(
    ("key", "values", "option"),
    [
        ("steps", ["2", "3"], "--steps={}"),
        ("precision", ["fp32", "bf16"], "--precision={}"),
        ("sampler.image_sampler", ["ancestral", "ddim"], "--set=sampler.image_sampler={}"),
    ],
)
def test_a_value_is_the_sweep_with_that_setting(
    sweep: Sweep, tmp_path: Path, key: str, values: list[str], option: str
) -> None:
    """Bit for bit: the records but for provenance, and the values per sample."""
    varied = records_of(sweep("varied", "--vary", f"{key}={','.join(values)}", "--guidance", "1,3", "--json"))
    assert sorted(path.name for path in (tmp_path / "varied").iterdir()) == sorted(f"{key}={one}" for one in values)
    for value, record in zip(values, varied, strict=True):
        alone = sweep(value, option.format(value), "--guidance", "1,3", "--json")
        folder = tmp_path / "varied" / f"{key}={value}"
        assert record == comparable(json.loads(alone.out))
        assert record == comparable(json.loads((folder / "record.json").read_text()))
        for name in ("per_sample.csv", "scores.csv", "grid.png"):
            assert (folder / name).read_bytes() == (tmp_path / value / name).read_bytes()
    first, second = (record["protocol"] for record in varied)
    assert {name for name in first if first[name] != second[name]} == {"sampler"}


def test_one_scale_unless_told(sweep: Sweep, cli: Cli, toyland: Path, tmp_path: Path) -> None:
    guided = records_of(sweep("a", "--vary", "steps=1,2", "--json"))
    assert [[point["guidance"] for point in record["points"]] for record in guided] == [[1.0], [1.0]]
    plain = write_gcdp(tmp_path / "plain.safetensors", open_dataset(str(toyland)), text=False)
    asked = ("--dataset", toyland, "--checkpoint", plain, "-n", 2, "--vary", "steps=1,2", "--json")
    unguided = records_of(cli("sweep", *asked, "--out", tmp_path / "b"))
    assert [[point["guidance"] for point in record["points"]] for record in unguided] == [[None], [None]]


def test_a_killed_one_resumes_where_it_was(sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the same digits; the value that was whole is left alone, and so is all in the end."""
    asked = ("--vary", "steps=2,3", "--guidance", "1,3", "--json")
    whole = records_of(sweep("whole", *asked))
    real, calls = sweep_module.measure_point, []

    def measure(*arguments: Any, **settings: Any) -> Any:
        calls.append(1)
        if len(calls) == 4:  # the last scale of the second value
            raise KeyboardInterrupt
        return real(*arguments, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(sweep_module, "measure_point", measure)
        result = sweep("killed", *asked)
    assert (result.code, result.out) == (130, "")
    assert "the same command resumes the run" in result.complaint
    done = content(tmp_path / "killed/steps=2")
    assert [point.guidance for point in Record.read(tmp_path / "killed/steps=3").points] == [1.0]
    again = sweep("killed", *asked)
    assert "1 of 2 points are there already" in again.err
    assert records_of(again) == whole
    assert content(tmp_path / "killed/steps=2") == done
    before = content(tmp_path / "killed")
    monkeypatch.setattr(sweep_module, "measure_point", None)
    assert records_of(sweep("killed", *asked)) == whole
    assert content(tmp_path / "killed") == before


def test_every_run_takes_the_share(sweep: Sweep, tmp_path: Path) -> None:
    asked = ("--vary", "steps=1,2", "--json")
    whole = records_of(sweep("whole", *asked, n=20))
    first = sweep("shared", *asked, "--shard", "1/2", n=20)
    assert (first.code, first.out) == (0, "")
    assert "gcbench compare" not in first.err
    assert first.err.count("This process takes 16 of 20 images") == 2
    assert records_of(sweep("shared", *asked, "--shard", "2/2", n=20)) == whole


def test_the_table_has_a_row_a_value_and_scale(
    sweep: Sweep, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the numbers of the records, and once those of real images; the commands that are named as next work."""
    monkeypatch.setenv("COLUMNS", "300")  # all columns in one block
    result = sweep("out", "--vary", "steps=2,3", "--guidance", "1,3")
    assert result.code == 0, result.err
    lines = [line.split() for line in result.out.splitlines() if line]
    rows = [line for line in lines if line[0] in ("steps=2", "steps=3", "ceiling", "floor")]
    records = {f"steps={steps}": Record.read(tmp_path / f"out/steps={steps}") for steps in (2, 3)}
    points = [(name, f"{point.guidance:g}", point) for name, one in records.items() for point in one.points]
    assert [line[:2] for line in rows] == [[*whose] for *whose, _ in points] + [["ceiling", "–"], ["floor", "–"]]
    for line, (*_, point) in zip(rows, points, strict=False):
        assert line[2] == f"{point.scores['semantic-recall'].value:.3f}"
        assert "±" in line
    assert rows[4][2] == f"{records['steps=3'].ceiling['semantic-recall'].value:.3f}"
    heads = result.out.partition("steps=2")[0].split()
    assert {"guidance", "Recall", "precision", "void=drop", "FD(segmenter)"} <= set(heads)
    assert "front" not in heads  # it is of the scales of one run
    assert result.out.count("steps=3: Seconds") == 1
    named = [line for line in result.err.splitlines() if " gcbench " in line]
    commands = [shlex.split(line.partition(": gcbench ")[2]) for line in named]
    assert commands[0] == ["compare", *(str(tmp_path / "out" / f"steps={steps}") for steps in (2, 3))]
    assert commands[1] == ["report", str(tmp_path / "out" / "steps=*")]
    compared = cli(*commands[0])
    assert compared.code == 0, compared.err
    assert "A − B" in compared.out
    assert "steps=3" in compared.out
    paths = sorted((tmp_path / "out").glob("steps=*"))
    assert cli("report", *paths, "--out", tmp_path / "page.html", "--no-segmenter").code == 0
    page = (tmp_path / "page.html").read_text()
    assert "gcdp (steps=2)" in page
    assert "gcdp (steps=3)" in page


def test_python_gives_a_list(sweep: Sweep, toyland: Path, gcdp: Path, tmp_path: Path) -> None:
    typed = records_of(sweep("a", "--vary", "sampler.threshold=0.5,1.0", "--json"))
    options: dict[str, Any] = {"dataset": str(toyland), "checkpoint": gcdp, "n": 4, "out": tmp_path / "b"}
    called = gcbench.sweep(vary={"sampler.threshold": [0.5, 1.0]}, **options)
    assert [comparable(record.model_dump(mode="json")) for record in called] == typed
    assert {path.name for path in (tmp_path / "b").iterdir()} == {path.name for path in (tmp_path / "a").iterdir()}
    for vary in ({}, {"steps": [1, 2], "precision": ["fp32", "bf16"]}, {"steps": "12"}, {"steps": [1, None]}):
        with pytest.raises(UserError, match="--vary"):
            gcbench.sweep(vary=vary, **options)


def test_plans_of_all_values(sweep: Sweep, tmp_path: Path) -> None:
    result = sweep("out", "--vary", "steps=2,3", "--guidance", "1,3", "--plan")
    assert result.code == 0, result.err
    lines = result.out.splitlines()
    assert [line for line in lines if line.startswith("steps=")] == ["steps=2", "steps=3"]
    assert sum("8 images" in line for line in lines) == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("asked", "fragment"),
    [
        ("--vary steps", "is not KEY=V1,V2"),
        ("--vary =1,2", "is not KEY=V1,V2"),
        ("--vary steps=2", "fewer than two values"),
        ("--vary steps=2,3,2", "has the value 2 twice"),
        ("--vary sampler.threshold=0.5,0.50", "has the value 0.5 twice"),
        ("--vary sampler.image_sampler=ddim,DDIM", "has the value DDIM twice"),  # one folder on some systems
        ("--vary steps=2,,3", "has an empty value"),
        ("--vary steps=2,three", "steps are whole numbers"),
        ("--vary steps=2,2.5", "steps are whole numbers"),
        ("--vary steps=2,true", "steps are whole numbers"),
        ("--vary steps=2,0", "--steps 0: at least 1"),
        ("--vary steps=2,21", "--steps 21 is outside 1..20"),
        ("--vary precision=fp32,fp8", "--precision 'fp8'"),
        ("--vary sampler.image_sampler=ddim,nothing", "sampler.image_sampler='nothing' is not valid"),
        ("--vary sampler.treshold=0.5,0.6", "did you mean sampler.threshold"),
        ("--vary sampler.threshold=0.5,1/2", "holds /; it names a folder"),
        ("--vary sampler.image_sampler=ddim,..", "ends with a dot"),
        ("--vary sampler.image_sampler=ddim,null", "no list of numbers or texts"),
        ("--vary guidance=1,2", "name scales by --guidance"),
        ("--vary seed=1,2", "only steps, precision and what --set takes"),
        ("--vary steps=2,3 --until-saturation", "leave --until-saturation out"),
        ("--vary steps=2,3 --train", "leave --train out"),
        ("--vary steps=2,3 --steps 2", "--steps and --vary steps contradict"),
        ("--vary precision=fp32,bf16 --precision bf16", "--precision and --vary precision contradict"),
        ("--vary sampler.threshold=0.5,0.6 --set sampler.threshold=0.7", "--set sampler.threshold and --vary"),
        ("--vary threshold=0.5,0.6 --set sampler.threshold=0.7", "--set sampler.threshold and --vary"),
        ("--vary steps=2,3 --shard 3/2", "--shard 3/2"),
    ],
)
@pytest.mark.parametrize("plan", [False, True])
def test_refused_before_any_work(sweep: Sweep, tmp_path: Path, asked: str, fragment: str, plan: bool) -> None:
    """In one sentence, the last value as the first; nothing is written."""
    result = sweep("out", *asked.split(), *(["--plan"] if plan else []))
    assert (result.code, result.out) == (2, "")
    assert fragment in result.complaint
    assert result.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_setting_that_the_model_does_not_have(cli: Cli, painter: str, toyland: Path, tmp_path: Path) -> None:
    """It takes any and heeds none: both records would be of one protocol."""
    asked = ("--model", f"{painter}:Painter", "--dataset", toyland, "-n", 2, "--out", tmp_path / "out")
    for vary in ("steps=1,2", "colour=red,blue"):
        result = cli("sweep", *asked, "--vary", vary)
        assert (result.code, result.out) == (2, "")
        assert "could not be told apart" in result.complaint
    assert not (tmp_path / "out").exists()
