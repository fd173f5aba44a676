"""Finished images: what is refused, what is measured, and that a sweep's own images give the sweep's scores."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import PALETTE, SIZE, Cli, Result, comparable, content, write_toyland
from PIL import Image

import gcbench
import gcbench.commands.evaluate as evaluate_module
from gcbench.commands.evaluate import folder_name
from gcbench.core.record import Record
from gcbench.runs.sample_table import SampleTable


@pytest.fixture
def evaluate(cli: Cli, images: Path, toyland: Path, oracle: None, without_curve: None) -> Callable[..., Result]:
    def run(*more: object) -> Result:
        parts = ["--images", images / "images", "--layouts", images / "layouts"]
        return cli("evaluate", *parts, "--prompts", images / "prompts.jsonl", "--dataset", toyland, *more)

    return run


def record_of(result: Result) -> Record:
    assert result.code == 0, result.err
    return Record.model_validate_json(result.out)


# ------------------------------------------------------------------------------------------------- measured


def test_real_images_score_perfectly(evaluate: Callable[..., Result], tmp_path: Path) -> None:
    record = record_of(evaluate("--out", tmp_path / "run", "--json"))
    assert record.kind == "evaluate"
    assert record.model.name == "mine"
    assert record.protocol.n == 5
    [point] = record.points
    assert point.guidance is None
    assert point.scores["semantic-recall"].value == point.scores["miou"].value == 1
    assert point.scores["semantic-recall"].also["precision"].value == 1
    assert {score.status for score in point.scores.values()} == {"ok"}
    table = SampleTable.read(tmp_path / "run/per_sample.csv")
    assert {key[:2] for key in table.values} == {("", "semantic-recall")}
    assert all(sorted(values) == [f"val{i:02d}" for i in range(5)] for values in table.values.values())
    assert sorted(table.prompts) == [f"val{i:02d}" for i in range(5)]


def test_the_references_own_images_have_no_distance(cli: Cli, images: Path, toyland: Path, oracle: None) -> None:
    """One of the reference's images among five is enough; what needs no reference is measured all the same."""
    shutil.copy(toyland / "val/images/val03.png", images / "images/val03.png")
    asked = ["--images", images / "images", "--layouts", images / "layouts", "--dataset", toyland, "--json"]
    record = record_of(cli("evaluate", *asked))
    scores = record.points[0].scores
    for name in ("fd", "fsd"):
        assert str(scores[name].reason).startswith("of the 5 images 1 are the reference's own")
        assert record.ceiling[name].value is not None
    assert scores["miou"].status == "ok"


def test_python_mirrors_the_command(evaluate: Callable[..., Result], images: Path, toyland: Path) -> None:
    typed = record_of(evaluate("--out", "a", "--json"))
    parts = {"layouts": images / "layouts", "prompts": images / "prompts.jsonl"}
    called = gcbench.evaluate(images / "images", str(toyland), **parts, out=Path("b"))
    assert comparable(called.model_dump()) == comparable(typed.model_dump())


def test_images_alone(cli: Cli, images: Path, toyland: Path, oracle: None, without_curve: None) -> None:
    """Without layouts and prompts their metrics are skipped and say why; the rest is measured."""
    asked = ["--images", images / "images", "--dataset", toyland, "--json"]
    scores = record_of(cli("evaluate", *asked)).points[0].scores
    status = {name: score.status for name, score in scores.items()}
    assert status == {"semantic-recall": "skipped", "miou": "skipped", "fsd": "skipped", "fd": "ok"}
    assert "prompts" in str(scores["semantic-recall"].reason)
    assert "layouts" in str(scores["miou"].reason)


def test_derived_layouts_are_no_evidence(evaluate: Callable[..., Result]) -> None:
    scores = record_of(evaluate("--derived-by", "oracle", "--json")).points[0].scores
    assert scores["miou"].status == "skipped"
    assert scores["fsd"].status == "ok"


@pytest.mark.usefixtures("without_curve")
def test_without_a_segmenter(cli: Cli, images: Path, toyland: Path) -> None:
    asked = ["--images", images / "images", "--layouts", images / "layouts", "--dataset", toyland, "--json"]
    scores = record_of(cli("evaluate", *asked)).points[0].scores
    assert {name: score.status for name, score in scores.items() if score.status == "ok"} == {"fsd": "ok"}


def test_other_sizes_are_brought_to_the_datasets(evaluate: Callable[..., Result], images: Path) -> None:
    """Every pixel doubled: the box and the nearest neighbour give the same image and layout back."""
    first = record_of(evaluate("--out", "a", "--json"))
    for path in images.glob("*/*.png"):
        array = np.array(Image.open(path))
        Image.fromarray(array.repeat(2, axis=0).repeat(2, axis=1)).save(path)
    assert record_of(evaluate("--out", "b", "--json")).points[0].scores == first.points[0].scores


@pytest.mark.usefixtures("without_curve")
def test_a_sweeps_own_images(cli: Cli, toyland: Path, gcdp: Path, evaluator: str, tmp_path: Path) -> None:
    """`sample`, then `evaluate`, gives what the sweep gave at the same prompts and seeds, for every metric."""
    made = ["--dataset", toyland, "--checkpoint", gcdp, "-n", 10, "--seed", 3]
    run = tmp_path / "sweep"
    asked = ["--guidance", "2", "--evaluator", evaluator, "--out", run, "--keep-samples", "--batch-size", 3, "--json"]
    swept = record_of(cli("sweep", *made, *asked))
    drawn = tmp_path / "drawn"
    assert cli("sample", *made, "--guidance", 2, "--out", drawn).code == 0
    samples = {k: v for k, v in content(drawn).items() if k not in ("grid.png", "run.json")}
    assert samples == content(run / "samples/guidance-2")
    assert Image.open(drawn / "grid.png").size[0] > SIZE[1]
    parts = ["--images", drawn / "images", "--layouts", drawn / "layouts", "--prompts", drawn / "prompts.jsonl"]
    measured = record_of(cli("evaluate", *parts, "--dataset", toyland, "--evaluator", evaluator, "--json"))
    assert measured.points[0].scores == swept.points[0].scores
    assert (measured.ceiling, measured.floor) == (swept.ceiling, swept.floor)


# -------------------------------------------------------------------------------------------------- refused


def empty(root: Path) -> list[str]:
    for path in (root / "images").iterdir():
        path.unlink()
    return [str(root / "images"), "no PNG or JPEG", "give the folder"]


def one(root: Path) -> list[str]:
    for part in ("images", "layouts"):
        for path in sorted((root / part).iterdir())[1:]:
            path.unlink()
    lines = (root / "prompts.jsonl").read_text().splitlines()
    (root / "prompts.jsonl").write_text(lines[0])
    return [str(root / "images"), "one image", "at least 2"]


def without_a_layout(root: Path) -> list[str]:
    (root / "layouts/val03.png").unlink()
    return ["1 of 5", str(root / "layouts"), "val03", "add the missing"]


def without_an_image(root: Path) -> list[str]:
    (root / "images/val02.png").unlink()
    return ["1 of 5", str(root / "images"), "val02"]


def truncated(root: Path) -> list[str]:
    path = root / "images/val04.png"
    path.write_bytes(path.read_bytes()[:60])
    return [str(path), "cannot read the image", "replace the file"]


def truncated_layout(root: Path) -> list[str]:
    path = root / "layouts/val04.png"
    path.write_bytes(path.read_bytes()[:60])
    return [str(path), "cannot read the layout"]


def strange_ids(root: Path) -> list[str]:
    path = root / "layouts/val01.png"
    Image.new("L", SIZE[::-1], 19).save(path)
    return [str(path), "the ids 19", "0 to 4"]


def colours(root: Path) -> list[str]:
    path = root / "layouts/val01.png"
    coloured = Image.new("RGB", SIZE[::-1], PALETTE[1])
    coloured.putpixel((3, 4), (1, 2, 3))
    coloured.save(path)
    return [str(path), "1 pixels of the colour (1, 2, 3)", "8-bit class ids"]


def empty_files(root: Path) -> list[str]:
    for name in ("val01", "val03"):
        (root / f"images/{name}.png").write_bytes(b"")
    return ["cannot read 2 images of 5", "val01.png", "val03.png", "replace these files"]


def truncated_jpegs(root: Path) -> list[str]:
    """Whole by their headers: known when they are decoded, and all named all the same."""
    for path in sorted((root / "images").iterdir()):
        Image.open(path).save(path.with_suffix(".jpg"), quality=95)
        path.unlink()
    for name in ("val00", "val04"):
        path = root / f"images/{name}.jpg"
        path.write_bytes(path.read_bytes()[:-40])
    return ["cannot read 2 images of 5", "val00.jpg (", "val04.jpg (", "truncated"]


def other_form(root: Path) -> list[str]:
    shutil.rmtree(root / "images")
    (root / "images").write_text("a letter")
    return [str(root / "images"), "neither a folder nor a .zip nor a .npz"]


def another_size(root: Path) -> list[str]:
    path = root / "layouts/val01.png"
    Image.new("L", (30, 20), 1).save(path)
    return [str(path), "32x64", "20x30", "bring one to the other's size"]


def no_prompts_file(root: Path) -> list[str]:
    (root / "prompts.jsonl").unlink()
    return [str(root / "prompts.jsonl"), "cannot read the prompts"]


def bad_json(root: Path) -> list[str]:
    lines = (root / "prompts.jsonl").read_text().splitlines()
    (root / "prompts.jsonl").write_text("\n".join([lines[0], lines[1][:-4], *lines[2:]]))
    return [f"{root / 'prompts.jsonl'}, line 2", "no JSON", '"text"']


def no_text(root: Path) -> list[str]:
    (root / "prompts.jsonl").write_text(json.dumps({"file_name": "val00.png", "text": []}))
    return [f"{root / 'prompts.jsonl'}, line 1", "no list of texts"]


def a_prompt_too_few(root: Path) -> list[str]:
    lines = (root / "prompts.jsonl").read_text().splitlines()
    (root / "prompts.jsonl").write_text("\n".join(lines[:4]))
    return ["1 of 5", str(root / "prompts.jsonl"), "val04"]


@pytest.mark.parametrize(
    "damage",
    [
        *(empty, one, without_a_layout, without_an_image, truncated, truncated_layout, strange_ids, colours),
        *(another_size, no_prompts_file, bad_json, no_text, a_prompt_too_few),
        *(empty_files, truncated_jpegs, other_form),
    ],
)
def test_refused(
    evaluate: Callable[..., Result],
    images: Path,
    damage: Callable[[Path], list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before a real image is evaluated; the earlier run in the same place is kept, even where it was to be replaced."""
    assert evaluate("--out", "run").code == 0
    before = content(Path("run"))
    fragments = damage(images)
    monkeypatch.setattr(evaluate_module, "measure_real", None)
    result = evaluate("--out", "run", "--fresh")
    assert (result.code, result.out) == (2, "")
    assert result.complaint.startswith("gcbench: ")
    assert "Traceback" not in result.err
    assert all(fragment in result.complaint for fragment in fragments), result.complaint
    assert content(Path("run")) == before


@pytest.mark.parametrize(
    ("mistake", "fragments"),
    [
        (["--images", "nowhere"], ["nowhere", "give the folder"]),
        (["--layouts", "nowhere"], ["nowhere"]),
        (["--dataset", "toylnd"], ["unknown dataset 'toylnd'"]),
        (["--metrics", "mIoU"], ["unknown metric 'mIoU'", "miou"]),
        (["--split", "test"], ["'test'", "train or val"]),
        (["--size", "1"], ["'1'", "64x128"]),
        (["--evaluator", "evaluator=x"], ["unknown evaluator 'evaluator'"]),
        (["--device", "gpu"], ["--device 'gpu'"]),
        (["--out", "file"], ["--out file is a file"]),
    ],
)
def test_options(cli: Cli, images: Path, toyland: Path, mistake: list[str], fragments: list[str]) -> None:
    Path("file").write_text("a letter")
    parts = ["--images", images / "images", "--layouts", images / "layouts", "--dataset", toyland]
    result = cli("evaluate", *parts, *mistake)
    assert (result.code, result.out) == (2, "")
    assert all(fragment in result.complaint for fragment in fragments), result.complaint


def test_a_split_too_small_to_compare_with(
    cli: Cli, images: Path, tmp_path: Path, oracle: None, without_curve: None
) -> None:
    root = write_toyland(tmp_path / "three", {"val": 3})
    result = cli("evaluate", "--images", images / "images", "--dataset", root)
    assert result.code == 2
    assert "3 images" in result.complaint
    assert "at least 4" in result.complaint


def test_other_images_do_not_replace_a_run(evaluate: Callable[..., Result], images: Path) -> None:
    """Two folders of one name end in one default place; the second is refused there."""
    assert evaluate().code == 0
    before = content(Path("runs/evaluate-mine"))
    image = np.array(Image.open(images / "images/val00.png"))
    Image.fromarray(255 - image).save(images / "images/val00.png")
    result = evaluate()
    assert result.code == 2
    assert "runs/evaluate-mine holds another run (model note: " in result.complaint
    assert content(Path("runs/evaluate-mine")) == before
    assert evaluate("--fresh").code == 0
    assert evaluate().code == 0  # the same again is no conflict


def test_names() -> None:
    assert folder_name(Path("/somewhere/gan/images")) == "gan"
    assert folder_name(Path("/somewhere/gan")) == "gan"
    assert folder_name(Path("/images")) == "images"
