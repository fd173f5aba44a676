"""Names from outside through the commands: refused in one sentence, or shown as they are in every format."""

import csv
import io
import json
import os
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest
from conftest import CLASSES, Cli, content, write_toyland
from test_bad_input import refused

from gcbench.core.record import Record
from gcbench.reports.regression_checks import Check, Gated, Report
from gcbench.reports.regression_report import markdown, print_report, write_junit
from gcbench.reports.table import FORMATS
from gcbench.runs.sample_table import SampleTable

SHOWN = [
    *(
        "[/b]x",
        "sd [v2]",
        "side[/]walk",
        "[link=http://x]y",
        ":smile:",
        "=1+1",
        "+1",
        "-2",
        "@SUM(1)",
        "$x_y$",
        "_under",
    ),
    *("a|b", "`c` <i>d</i>", r"\input{x} & 3 %", "{curly", '"quoted"', "模型"),
]
"""A label may be each of them."""

REFUSED = ["\x1b[31mred", "line\nbreak", "\u202egnp.exe", "zero\u200bwidth", "\x9b2J", " ", "x" * 200]
"""No name may be one of them."""


def dataset(root: Path, **changes: str) -> Path:
    """toyland with lines of its dataset.toml replaced."""
    write_toyland(root, {"train": 3, "val": 4})
    lines = (root / "dataset.toml").read_text().splitlines()
    kept = [line for line in lines if line.partition(" ")[0] not in changes]
    (root / "dataset.toml").write_text("\n".join([*kept, *(f"{key} = {value}" for key, value in changes.items())]))
    return root


# ----------------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize("name", [*REFUSED, "../victim", "/victim", "a/b", "..", ".hidden", "con", "a\\b", ""])
def test_no_name_or_split_of_a_dataset_leads_anywhere(cli: Cli, tmp_path: Path, name: str) -> None:
    text = json.dumps(name)
    for key, value in (("name", text), ("splits", f"[{text}]"), ("splits", f'["train", {text}]')):
        root = dataset(tmp_path / "d", **{key: value})
        (tmp_path / "victim/images").mkdir(parents=True, exist_ok=True)
        before = content(tmp_path)
        refused(cli("data", "export", root, "--out", "copy"), "dataset.toml: ")
        refused(cli("data", "split", root, "--out", "copy"), "dataset.toml: ")
        assert content(tmp_path) == before
        shutil.rmtree(root)


@pytest.mark.parametrize("name", REFUSED)
def test_no_class_and_no_label_steers_a_terminal(cli: Cli, tmp_path: Path, images: Path, name: str) -> None:
    root = dataset(tmp_path / "d", classes=json.dumps([*CLASSES[:4], name]), void="4")
    refused(cli("data", "check", root), "dataset.toml: the class")
    asked = ["evaluate", "--images", images / "images", "--dataset", dataset(tmp_path / "e"), "--out", "run"]
    refused(cli(*asked, "--name", name), "--name")
    assert not Path("run").exists()


@pytest.mark.parametrize("name", ["../x.png", "/x.png", "a/../../x.png", "C:\\x.png", "..\\x.png"])
def test_no_line_of_prompts_leads_out(cli: Cli, images: Path, toyland: Path, name: str) -> None:
    (images / "prompts.jsonl").write_text(json.dumps({"file_name": name, "text": ["a car"]}) + "\n")
    asked = ["evaluate", "--images", images / "images", "--prompts", images / "prompts.jsonl", "--dataset", toyland]
    refused(cli(*asked), "prompts.jsonl, line 1", "leads out")


def test_a_name_that_is_no_folder_asks_for_one(cli: Cli, images: Path, toyland: Path) -> None:
    refused(cli("evaluate", "--images", images / "images", "--dataset", toyland, "--name", "sd[/v2]"), "without --out")


BOUNDS = [
    ("sweep", ["-n", 10**12], ["-n 1000000000000", "at most"]),
    ("sweep", ["--size", "1000000x1000000"], ["1000000x1000000", "pixels"]),
    ("sweep", ["--size", "9" * 5000 + "x1"], ["HxW"]),
    ("sweep", ["--steps", 10**9], ["--steps 1000000000", "at most"]),
    ("sweep", ["--batch-size", 10**9], ["--batch-size 1000000000", "at most"]),
    ("sweep", ["--seed", 2**64], ["--seed", "at most"]),
    ("sweep", ["--seed", -1], ["--seed -1", "at least 0"]),
    ("sweep", ["--guidance", "1e308"], ["guidance scale 1e308", "at most"]),
    ("sweep", ["--guidance", "inf"], ["guidance scale inf"]),
    ("sweep", ["--guidance", ",".join(map(str, range(2000)))], ["2000 scales"]),
    ("sample", ["-n", 10**12], ["-n 1000000000000"]),
    ("sample", ["--guidance", "-inf"], ["guidance scale -inf"]),
    ("train", ["--model", "gcdp", "--steps", 10**9], ["--steps 1000000000", "at most"]),
    ("train", ["--model", "gcdp", "--set", "train.batch_size=1000000000000"], ["train.batch_size", "at most"]),
    ("train", ["--model", "gcdp", "--set", "train.lr=NaN"], ["train.lr"]),
    ("train", ["--model", "gcdp", "--config", "pipe"], ["--config pipe", "a pipe"]),
    ("train", ["--model", "gcdp", "--config", "deep.toml"], ["--config deep.toml", "nested"]),
    ("train", ["--model", "gcdp", "--config", "."], ["--config .", "a folder"]),
]


@pytest.mark.parametrize(("command", "arguments", "fragments"), BOUNDS)
def test_numbers_and_files_are_bounded(
    cli: Cli, toyland: Path, command: str, arguments: list[object], fragments: list[str]
) -> None:
    os.mkfifo("pipe")
    Path("deep.toml").write_text("a = " + "[" * 100_000)
    out = ["--out", "there"]
    refused(cli(command, "--dataset", toyland, *out, *arguments), *fragments)
    assert not Path("there").exists()


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"schema_version": ' + "2" * 5000 + "}", "digits"),
        ('{"kind": "sweep", "kind": "sweep"}', "'kind' stands there twice"),
        ('{"kind": NaN}', "NaN is no finite number"),
        ('{"schema_version": 1, "a": ' + '{"a":' * 700 + "1" + "}" * 701, "put it back"),
    ],
)
def test_records_that_are_none(cli: Cli, content: str, fragment: str) -> None:
    Path("a").mkdir()
    Path("a/record.json").write_text(content)
    refused(cli("compare", "a", "a"), "a/record.json is not a record", fragment)


@pytest.mark.parametrize("name", ["record.json", "p.jsonl", "d/dataset.toml", "s.toml"])
@pytest.mark.parametrize("kind", ["pipe", "huge"])
def test_what_is_no_file_or_too_large_is_refused_at_once(
    cli: Cli, images: Path, toyland: Path, name: str, kind: str
) -> None:
    Path(name).parent.mkdir(exist_ok=True)
    if kind == "pipe":
        os.mkfifo(name)
    else:
        with open(name, "wb") as stream:
            stream.truncate(3 << 30)
    of_images = ["evaluate", "--images", images / "images"]
    command = {
        "record.json": ["compare", "record.json", "record.json"],
        "p.jsonl": [*of_images, "--dataset", toyland, "--prompts", name],
        "d/dataset.toml": [*of_images, "--dataset", "./d"],
        "s.toml": ["suite", "run", "s.toml", "--dataset", toyland],
    }[name]
    refused(cli(*command), Path(name).name if kind == "huge" or name != "d/dataset.toml" else "d")


# ------------------------------------------------------------------------------------------------------- shown


def steers(text: str) -> bool:
    return any(not letter.isprintable() and letter != "\n" for letter in text)


@pytest.mark.usefixtures("oracle")
@pytest.mark.parametrize("name", SHOWN)
def test_a_label_is_shown_as_it_is_everywhere(cli: Cli, tmp_path: Path, images: Path, name: str) -> None:
    """As the name of a run, a class, a text, a group and a folder: printed, stored, drawn, compared."""
    root = dataset(tmp_path / "d", classes=json.dumps([*CLASSES[:3], name, CLASSES[4]]))
    lines = [json.loads(line) for line in (images / "prompts.jsonl").read_text().splitlines()]
    lines = [line | {"text": [f"{name} car {i}"], "group": name * (1 + i)} for i, line in enumerate(lines)]
    (images / "prompts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    out = Path("=run [x]" if "/" in name else name)
    asked = ["--images", images / "images", "--layouts", images / "layouts", "--prompts", images / "prompts.jsonl"]
    made = cli(
        "evaluate", *asked, "--dataset", root, "--metrics", "miou,semantic-recall", f"--name={name}", f"--out=./{out}"
    )
    assert made.code == 0, made.err
    assert name in made.out.replace("\n", "") or len(name) > 10
    assert not steers(made.out + made.err)
    assert Record.read(out).model.name == name
    table = SampleTable.read(out / "per_sample.csv")
    assert set(table.prompts.values()) == {line["text"][0] for line in lines}
    assert set(table.groups.values()) == {line["group"] for line in lines}
    for file in ("per_sample.csv", "scores.csv"):
        cells = [cell for row in csv.reader(io.StringIO((out / file).read_text(), newline="")) for cell in row]
        assert [cell for cell in cells if cell[:1] in "=+@\t" and cell] == []
    ElementTree.parse(out / "curve.svg")
    for form in FORMATS:
        shown = cli("compare", f"./{out}", f"./{out}", "--format", form)
        assert shown.code == 0, shown.err
        assert not steers(shown.out)
    assert name in cli("data", "check", root).out.replace("\n", "") or len(name) > 10


@pytest.mark.parametrize("name", [*SHOWN, *REFUSED, "\ufffe"])
def test_a_report_of_a_regression_breaks_on_nothing(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    check = Check(
        stage="ceiling",
        guidance=None,
        metric=name,
        column=name,
        recorded=1.0,
        now=2.0,
        tolerance=0.1,
        status="fail",
        reason=name,
    )
    run = Gated(run=name, checks=[check], notes=[name], seconds=1.0, command=name)
    report = Report(runs=[run])
    write_junit(tmp_path / "j.xml", report)
    suites = ElementTree.parse(tmp_path / "j.xml").getroot()
    assert len(list(suites.iter("failure"))) == 1
    if name in SHOWN:
        assert suites[0].get("name") == name
    print_report(report)
    assert not steers(capsys.readouterr().out + markdown(report))
    assert [row.count(" | ") for row in markdown(report).splitlines() if row.startswith("| ")] == [5, 5, 5]
