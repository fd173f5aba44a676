"""`--prompts` in other forms than JSON lines, and images of several texts: what is left out is said."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from conftest import Cli

from gcbench.core.record import Record

Write = Callable[[Path, dict[str, list[str]]], Path]


def as_csv(folder: Path, lines: dict[str, list[str]]) -> Path:
    pd.DataFrame([(name, text) for name, several in lines.items() for text in several]).to_csv(
        folder / "p.csv", index=False, header=["image", "caption"]
    )
    return folder / "p.csv"


def as_coco(folder: Path, lines: dict[str, list[str]]) -> Path:
    names = [*lines, "elsewhere"]  # a split of which a part was drawn
    images = [{"id": i, "file_name": f"{name}.jpg"} for i, name in enumerate(names)]
    pairs = [(i, text) for i, name in enumerate(names) for text in lines.get(name, ["A sky."])]
    annotations = [{"id": n, "image_id": i, "caption": text} for n, (i, text) in enumerate(pairs)]
    (folder / "p.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    return folder / "p.json"


def as_text(folder: Path, lines: dict[str, list[str]]) -> Path:
    (folder / "p.txt").write_text("".join(f"{several[0]}\n" for _, several in sorted(lines.items())))
    return folder / "p.txt"


def of(images: Path) -> dict[str, list[str]]:
    rows = map(json.loads, (images / "prompts.jsonl").read_text().splitlines())
    return {Path(row["file_name"]).stem: row["text"] for row in rows}


@pytest.fixture
def recall(cli: Cli, toyland: Path, images: Path, oracle: None, without_curve: None) -> Callable[..., Record]:
    def run(prompts: Path, *more: object) -> Record:
        asked = ["--images", images / "images", "--dataset", toyland, "--metrics", "semantic-recall,fd"]
        result = cli("evaluate", *asked, "--prompts", prompts, "--json", "--fresh", *more)
        assert result.code == 0, result.err
        return Record.model_validate_json(result.out)

    return run


def warned(record: Record) -> str:
    return " ".join(record.provenance.warnings)


@pytest.mark.parametrize("write", [as_csv, as_coco, as_text])
def test_every_form_scores_as_json_lines_do(recall: Callable[..., Record], images: Path, write: Write) -> None:
    plain, other = recall(images / "prompts.jsonl"), recall(write(images, of(images)))
    assert other.points[0].scores["semantic-recall"] == plain.points[0].scores["semantic-recall"]
    assert other.protocol.prompts == plain.protocol.prompts
    assert ("texts of 1 images that are not here are left out" in warned(other)) == (write is as_coco)


def test_several_texts(recall: Callable[..., Record], images: Path, cli: Cli) -> None:
    """The first by default, with the others counted; with `all`, what each text alone would give, weighted by text."""
    lines = of(images)
    names = sorted(lines)
    several = {name: [*lines[name], "a tree", "a sky"] if i < 2 else lines[name] for i, name in enumerate(names)}
    alone = recall(images / "prompts.jsonl")
    first = recall(as_csv(images, several))
    assert first.points[0].scores == alone.points[0].scores
    assert "4 further texts of 2 images" in warned(first)
    assert "--texts all" in warned(first)

    every = recall(as_csv(images, several), "--texts", "all", "--out", "all")
    assert "further" not in warned(every)
    assert every.protocol.prompts != first.protocol.prompts
    assert every.protocol.n == 5
    assert every.points[0].scores["fd"] == alone.points[0].scores["fd"]  # each image counts once
    table = pd.read_csv("all/per_sample.csv")
    rows = table[(table.metric == "semantic-recall") & table.column.isna()].set_index("id")
    assert set(rows.index) == {*names, *(f"{name}#{i}" for name in names[:2] for i in (2, 3))}
    assert set(rows.prompt[f"{names[0]}#{i}"] for i in (2, 3)) == {"a tree", "a sky"}
    score = every.points[0].scores["semantic-recall"]
    assert score.n == 9
    assert score.value == pytest.approx(rows.value.mean())
    for column, text in ((2, "a tree"), (3, "a sky")):
        other = {name: [text] if i < 2 else lines[name] for i, name in enumerate(names)}
        recall(as_csv(images, other), "--out", "one")
        single = pd.read_csv("one/per_sample.csv")
        single = single[(single.metric == "semantic-recall") & single.column.isna()].set_index("id")
        for name in names[:2]:
            assert rows.value[f"{name}#{column}"] == single.value[name]


def test_mistakes(cli: Cli, toyland: Path, images: Path) -> None:
    asked = ["evaluate", "--images", images / "images", "--dataset", toyland]
    assert cli(*asked, "--texts", "some").complaint.endswith("--texts 'some': choose first or all")
    drawn = ["sample", "--dataset", toyland, "--out", "x"]
    both = cli(*drawn, "--prompts", images / "prompts.jsonl", "--prompt", "a car")
    assert (both.code, both.complaint[-25:]) == (2, "each other; leave one out")
    (images / "none.txt").write_text("\n")
    assert "none.txt holds no text" in cli(*drawn, "--prompts", images / "none.txt").complaint


def test_samples_of_a_file_of_texts(cli: Cli, toyland: Path, painter: str, tmp_path: Path) -> None:
    def draw(*more: object) -> tuple[list[str], str]:
        shutil.rmtree("drawn", ignore_errors=True)
        asked = ["sample", "--model", f"{painter}:Painter", "--dataset", toyland, "--out", "drawn"]
        result = cli(*asked, *more)
        assert result.code == 0, result.err
        rows = map(json.loads, Path("drawn/prompts.jsonl").read_text().splitlines())
        return [text for row in rows for text in row["text"]], result.err

    path = as_csv(tmp_path, {"a": ["a car", "a tree"], "b": ["a sky"]})
    texts, said = draw("--prompts", path)
    assert texts == ["a car", "a sky"]
    assert "Left out: 1 further text of 1 image" in said
    texts, said = draw("--prompts", path, "--texts", "all")
    assert texts == ["a car", "a tree", "a sky"]
    assert "Left out" not in said
    texts, said = draw("--prompts", path, "--texts", "all", "-n", 2)
    assert texts == ["a car", "a tree"]
    assert "Left out: all but the first 2 of 3 texts" in said
    (tmp_path / "p.txt").write_text("a road\na car\n")
    assert draw("--prompts", tmp_path / "p.txt")[0] == ["a road", "a car"]


@pytest.mark.parametrize("command", ["sweep", "sample"])
def test_captions_of_a_dataset_that_are_left_out_are_said(
    command: str, cli: Cli, toyland: Path, painter: str, oracle: None, without_curve: None, tmp_path: Path
) -> None:
    place = shutil.copytree(toyland, tmp_path / "captions")
    said = "Left out: 4 further texts of these images; a sample is drawn from one."
    for texts in (1, 3):
        prompts = place / "val/prompts.jsonl"
        lines = [json.loads(line) for line in prompts.read_text().splitlines()]
        prompts.write_text("".join(json.dumps(line | {"text": line["text"] * texts}) + "\n" for line in lines))
        asked = ["--model", f"{painter}:Painter", "--dataset", place, "-n", "2", "--guidance", "1"]
        done = cli(command, *asked, "--out", tmp_path / f"run{texts}")
        assert done.code == 0, done.err
        assert (said in done.err) is (texts > 1)
        plain = cli(command, *asked, "--out", tmp_path / f"plain{texts}", "--model", f"{painter}:Plain")
        assert said not in plain.err  # it reads no texts
