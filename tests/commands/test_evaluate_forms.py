"""The forms that finished images may have: each gives the scores of the plain folder, and says what it did."""

import json
import shutil
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import PALETTE, SIZE, Cli, Result
from PIL import Image, ImageFile

from gcbench.core.record import Record
from gcbench.data import cityscapes_classes

N = 5


Evaluate = Callable[..., Result]


@pytest.fixture
def evaluate(cli: Cli, toyland: Path, oracle: None, without_curve: None) -> Evaluate:
    return lambda *more: cli("evaluate", "--dataset", toyland, *more)


def record_of(result: Result) -> Record:
    assert result.code == 0, result.err
    return Record.model_validate_json(result.out)


def from_folder(root: Path) -> list[object]:
    return ["--images", root / "images", "--layouts", root / "layouts", "--prompts", root / "prompts.jsonl"]


def from_zip(root: Path) -> list[object]:
    """One archive of the whole folder, as macOS packs it."""
    with zipfile.ZipFile(root / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(root.glob("*/*.png"), reverse=True):
            archive.write(path, f"mine/{path.parent.name}/{path.name}")
            archive.writestr(f"__MACOSX/mine/{path.parent.name}/._{path.name}", b"junk")
    return ["--images", root / "all.zip", "--layouts", root / "all.zip", "--prompts", root / "prompts.jsonl"]


def _arrays(root: Path) -> tuple[np.ndarray, np.ndarray]:
    images, layouts = (
        np.stack([np.array(Image.open(path)) for path in sorted((root / part).iterdir())])
        for part in ("images", "layouts")
    )
    return images, layouts


def _prompts_by_row(root: Path) -> Path:
    lines = [json.loads(line) for line in (root / "prompts.jsonl").read_text().splitlines()]
    rows = [{**line, "file_name": f"{i:06d}"} for i, line in enumerate(lines)]
    (root / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return root / "rows.jsonl"


def from_datasetddpm(root: Path) -> list[object]:
    """Images, layouts and uncertainty in one file."""
    np.savez(root / "samples_32x64x3.npz", *_arrays(root), np.zeros(N))
    return ["--images", root / "samples_32x64x3.npz", "--prompts", _prompts_by_row(root)]


def from_adm(root: Path) -> list[object]:
    """Images and a class an image in one file, layouts in another."""
    images, layouts = _arrays(root)
    np.savez_compressed(root / "samples_5x32x64x3.npz", images, np.arange(N))
    np.savez(root / "layouts.npz", layouts.astype(np.int64))
    files = ["--images", root / "samples_5x32x64x3.npz", "--layouts", root / "layouts.npz"]
    return [*files, "--prompts", _prompts_by_row(root)]


def from_colours(root: Path) -> list[object]:
    for path in (root / "layouts").iterdir():
        Image.fromarray(np.array(PALETTE, np.uint8)[np.array(Image.open(path))]).save(path)
    return from_folder(root)


@pytest.mark.parametrize("form", [from_zip, from_datasetddpm, from_adm, from_colours])
def test_every_form_scores_alike(
    evaluate: Evaluate, images: Path, form: Callable[[Path], list[object]], tmp_path: Path
) -> None:
    plain = record_of(evaluate(*from_folder(images), "--out", tmp_path / "plain", "--json"))
    other = record_of(evaluate(*form(images), "--out", tmp_path / "other", "--json"))
    assert other.points[0].scores == plain.points[0].scores
    assert {score.status for score in other.points[0].scores.values()} == {"ok"}
    assert (other.ceiling, other.floor) == (plain.ceiling, plain.floor)
    assert other.provenance.warnings == []


def test_a_zip_is_the_same_run_as_its_folder(evaluate: Evaluate, images: Path) -> None:
    """The same ids and bytes: only the name that is taken from the path must be given."""
    assert evaluate(*from_folder(images), "--out", "run", "--name", "a").code == 0
    assert evaluate(*from_zip(images), "--out", "run", "--name", "a").code == 0


def test_what_an_npz_holds_itself_is_said(evaluate: Evaluate, images: Path) -> None:
    result = evaluate(*from_datasetddpm(images))
    assert "The layouts are those that" in result.err
    assert Path("runs/evaluate-samples_32x64x3/record.json").exists()
    assert "The layouts are those" not in evaluate(*from_folder(images)).err


def test_an_image_is_decoded_once(evaluate: Evaluate, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For all metrics together; the user's images are told from real ones by their size."""
    for path in images.glob("*/*.png"):
        array = np.array(Image.open(path))
        Image.fromarray(array.repeat(2, axis=0).repeat(2, axis=1)).save(path)
    decoded: Counter[tuple[str, tuple[int, int]]] = Counter()
    prepare = ImageFile.ImageFile.load_prepare

    def counting(self: ImageFile.ImageFile) -> None:
        decoded[self.mode, self.size] += 1
        prepare(self)

    monkeypatch.setattr(ImageFile.ImageFile, "load_prepare", counting)
    record = record_of(evaluate(*from_folder(images), "--json"))
    assert len(record.points[0].scores) > 3
    doubled = (2 * SIZE[1], 2 * SIZE[0])
    assert decoded["RGB", doubled] == decoded["L", doubled] == N
    assert decoded["RGB", SIZE[::-1]] >= 14  # the counter counts


# ------------------------------------------------------------------------------------------------- warnings


def warned(result: Result, line: str) -> None:
    """On standard error, in the record, and below the table."""
    assert f"Warning: {line}." in result.err
    assert f"Warning: {line}." in " ".join(result.out.split())
    [path] = Path("runs").glob("*/record.json")
    assert line in Record.read(path).provenance.warnings


def test_jpeg_on_one_side(evaluate: Evaluate, images: Path) -> None:
    for path in sorted((images / "images").iterdir())[:3]:
        Image.open(path).save(path.with_suffix(".jpg"))
        path.unlink()
    line = "3 of the 5 images are JPEG, and 0 of the 14 of toyland/val: compression on one side alone moves every"
    warned(evaluate(*from_folder(images)), f"{line} distance")


def test_mixed_sizes(evaluate: Evaluate, images: Path) -> None:
    for part in ("images", "layouts"):
        for name, size in (("val00", (10, 20)), ("val01", (64, 128)), ("val02", (64, 128))):
            path = images / part / f"{name}.png"
            Image.open(path).resize(size[::-1], Image.Resampling.NEAREST).save(path)
    line = "images are resized to 32×64 by the box filter: 2 of 64×128, 2 of 32×64, 1 of 10×20"
    warned(evaluate(*from_folder(images)), line)


# ------------------------------------------------------------------------------------------------- labelIds


@pytest.fixture
def city(tmp_path: Path) -> Path:
    """A dataset in Cityscapes' classes, 18 images in their colours; only the last holds a labelId above 19."""
    root = tmp_path / "city"
    rng = np.random.default_rng(0)
    for part in ("images", "layouts", "labels"):
        (root / part).mkdir(parents=True)
    lines = []
    for i in range(18):
        layout = rng.integers(0, 3, (4, 8), np.uint8)  # road, sidewalk, building: labelIds 7, 8 and 11
        layout[0, 0] = 13 if i == 17 else 0  # a car: labelId 26
        Image.fromarray(np.array(cityscapes_classes.PALETTE, np.uint8)[layout]).save(root / f"images/p{i:02d}.png")
        Image.fromarray(layout).save(root / f"layouts/p{i:02d}.png")
        Image.fromarray(np.array(cityscapes_classes.LABEL_IDS, np.uint8)[layout]).save(root / f"labels/p{i:02d}.png")
        lines.append(json.dumps({"file_name": f"p{i:02d}.png", "text": "A road with buildings."}))
    (root / "prompts.jsonl").write_text("\n".join(lines))
    (root / "dataset.toml").write_text(
        f'name = "city"\nclasses = {json.dumps(cityscapes_classes.CLASSES)}\n'
        f"palette = {json.dumps(cityscapes_classes.PALETTE)}\n"
        f'void = "void"\nsplits = ["val"]\n'
    )
    return root


@pytest.mark.usefixtures("oracle", "without_curve")
def test_label_ids(cli: Cli, city: Path) -> None:
    """Found out by the last image, in the second batch: all layouts are read anew, and none is counted twice."""
    base = ["evaluate", "--dataset", city, "--images", city / "images", "--prompts", city / "prompts.jsonl"]
    plain = record_of(cli(*base, "--layouts", city / "layouts", "--out", "plain", "--json"))
    assert plain.points[0].scores["miou"].value == 1
    assert plain.provenance.warnings == []
    result = cli(*base, "--layouts", city / "labels")
    assert "The layouts are Cityscapes' labelIds, not train ids: " in result.err
    assert f"{city / 'labels/p17.png'} holds 26." in result.err
    warned(result, "the layouts are Cityscapes' labelIds and were mapped to train ids")
    [path] = Path("runs").glob("*/record.json")
    mapped = Record.read(path)
    assert mapped.points[0].scores == plain.points[0].scores
    assert mapped.protocol.n == 18


@pytest.mark.usefixtures("oracle", "without_curve")
def test_label_ids_by_name(cli: Cli, city: Path) -> None:
    """Without an id above 19 the name decides; without the name, they are train ids."""
    shutil.copytree(city / "images", city / "mine")
    for folder in ("mine", "labels"):
        (city / folder / "p17.png").unlink()
    base = ["evaluate", "--dataset", city, "--images", city / "mine", "--metrics", "miou", "--json"]
    ambiguous = record_of(cli(*base, "--layouts", city / "labels", "--out", "a"))
    assert ambiguous.points[0].scores["miou"].value == 0  # 7, 8 and 11 are other classes among train ids
    assert ambiguous.provenance.warnings == []
    for path in (city / "labels").iterdir():
        path.rename(path.with_stem(f"{path.stem}_gtFine_labelIds"))
    named = record_of(cli(*base, "--layouts", city / "labels", "--out", "b"))
    assert named.points[0].scores["miou"].value == 1
    assert named.provenance.warnings == ["the layouts are Cityscapes' labelIds and were mapped to train ids"]


# ------------------------------------------------------------------------------------- what the table says


def test_seconds_a_stage(evaluate: Evaluate, images: Path) -> None:
    result = evaluate(*from_folder(images))
    record = Record.read(Path("runs/evaluate-mine/record.json"))
    [point] = record.points
    assert set(point.seconds) == {"read", "evaluate", "score"}
    assert set(record.provenance.seconds) == {"real", "evaluate"}
    spent = {**point.seconds, "real": record.provenance.seconds["real"]}
    assert all(seconds > 0 for seconds in spent.values())
    assert sum(spent.values()) <= record.provenance.seconds["evaluate"] + 0.002
    [line] = [line for line in result.out.splitlines() if line.startswith("Seconds: ")]
    words = {"read": "read", "evaluate": "evaluate images", "score": "score", "real": "evaluate real images"}
    assert line == "Seconds: " + ", ".join(f"{words[name]} {spent[name]:.1f}" for name in words) + "."


def test_what_is_skipped_and_why(evaluate: Evaluate, images: Path) -> None:
    result = evaluate("--images", images / "images")
    assert result.code == 0
    lines = result.out.splitlines()
    for name, why in (("miou", "layouts"), ("fsd", "layouts"), ("semantic-recall", "prompts")):
        assert [line for line in lines if line.startswith(f"{name} skipped: ") and why in line], name
    assert not [line for line in lines if line.startswith("fd skipped")]
