"""ADE20K's scene parsing tree, made small, to the letter of its README."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gcbench.core.errors import UserError
from gcbench.data import ade20k_classes
from gcbench.data.ade20k import ADE20K
from gcbench.data.open_dataset import open_dataset
from gcbench.text.class_mentions import named_classes

NAMES = {"training": "ADE_train_{:08d}", "validation": "ADE_val_{:08d}"}


def write(root: Path, folder: str, number: int, annotation: np.ndarray) -> None:
    name = NAMES[folder].format(number)
    for part in ("images", "annotations"):
        (root / part / folder).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", annotation.shape[::-1], (number, 90, 60)).save(root / "images" / folder / f"{name}.jpg")
    Image.fromarray(annotation).save(root / "annotations" / folder / f"{name}.png")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    every = np.arange(151, dtype=np.uint8)[None].repeat(4, 0)
    for number in (1, 2):
        write(tmp_path, "training", number, every)
    write(tmp_path, "validation", 1, np.array([[13] * 8, [3] * 8, [0] * 8, [3] * 8], np.uint8))
    (tmp_path / "objectInfo150.txt").write_text("Idx\tRatio\tTrain\tVal\tName\n")
    return tmp_path


def test_pairs_and_splits(root: Path) -> None:
    data = ADE20K(root)
    assert data.splits == ("train", "val")
    assert data.ids("train") == ["ADE_train_00000001", "ADE_train_00000002"]
    assert data.ids("val") == ["ADE_val_00000001"]
    image, layout = data.pair("train", 0, (4, 151))
    assert image.shape == (4, 151, 3)
    assert layout[0].tolist() == [150, *range(150)]  # other is void, and what the file calls k is the id k - 1
    assert data.classes[data.void] == "void"


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (1, "wall"),
        (8, "bed"),
        (9, "windowpane"),
        (13, "person"),
        (21, "car"),
        (45, "chest of drawers"),
        (66, "toilet"),
        (81, "bus"),
        (106, "conveyer belt"),
        (117, "minibike"),
        (139, "ashcan"),
        (142, "crt screen"),
        (150, "flag"),
    ],
)
def test_official_names_and_ids(number: int, name: str) -> None:
    """Of objectInfo150.txt, as it spells them."""
    assert ade20k_classes.CLASSES[number - 1] == name


def test_classes_and_colours() -> None:
    classes, palette = ade20k_classes.CLASSES, ade20k_classes.PALETTE
    assert len(classes) == len(set(classes)) == len(palette) == 151
    assert [palette[classes.index(name)] for name in ("wall", "sky", "flag")] == [
        (120, 120, 120),
        (6, 230, 230),
        (92, 0, 255),
    ]
    twice = [name for name, colour in zip(classes, palette, strict=True) if palette.count(colour) > 1]
    assert twice == ["road", "skyscraper"]  # in the official palette too


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("An edifice beside a route.", {"building", "road"}),
        ("Two people on a couch watch telly.", {"person", "sofa", "television"}),
        ("A stool by the toilet.", {"stool", "toilet"}),
        ("A projection screen.", {"screen"}),
        ("A screen door.", {"screen door"}),
        ("A man can mount a machine.", {"person"}),
        ("Bare ground.", {"earth", "land"}),
        ("Stone steps.", {"rock", "stairs"}),
        ("Books on shelves.", {"book", "shelf"}),
        ("A kitchen island with a pot and no microwave oven.", {"kitchen island", "pot"}),
        ("A picture of nothing.", set()),
    ],
)
def test_aliases(text: str, named: set[str]) -> None:
    assert named_classes(text, ade20k_classes.ALIASES) == named


def test_every_class_is_named_by_itself() -> None:
    for name in ade20k_classes.CLASSES[:-1]:
        assert name in named_classes(f"There is a {name}.", ade20k_classes.ALIASES), name


def test_captions_are_built_without_a_file(root: Path) -> None:
    data = ADE20K(root)
    [text] = data.captions("val", 0)
    assert data.captions_from_layouts("val")
    assert text in ("An image with Skies and People.", "An image with People and Skies.")
    assert named_classes(text, data.aliases) == {"sky", "person"}


@pytest.mark.parametrize("form", ["jsonl", "csv", "json"])
def test_captions_of_a_file(root: Path, form: str) -> None:
    before = ADE20K(root).version
    (root / "captions").mkdir()
    name = "ADE_val_00000001.jpg"
    content = {
        "jsonl": json.dumps({"file_name": name, "text": ["One.", "Two."]}),
        "csv": f"file_name,text\n{name},One.\n{name},Two.\n",
        "json": json.dumps(
            {
                "images": [{"id": 1, "file_name": name}],
                "annotations": [{"id": i, "image_id": 1, "caption": text} for i, text in enumerate(("One.", "Two."))],
            }
        ),
    }[form]
    (root / "captions" / f"val.{form}").write_text(content)
    data = ADE20K(root)
    assert data.captions("val", 0) == ("One.", "Two.")
    assert data.version != before
    assert data.captions_from_layouts("train")
    (root / "captions" / f"train.{form}").write_text(content)
    with pytest.raises(UserError, match=r"captions/train\.\w+ has no line for ADE_train_00000001\.jpg; add it"):
        ADE20K(root).captions("train", 0)


def test_the_official_folder(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "data" / "ade20k" / "ADEChallengeData2016"
    place.mkdir(parents=True)
    for part in ("images", "annotations"):
        (root / part).rename(place / part)
    monkeypatch.setenv("GCBENCH_DATA", str(tmp_path / "data"))
    assert open_dataset("ade20k").ids("val") == ["ADE_val_00000001"]


def test_mistakes_are_named(root: Path, tmp_path: Path) -> None:
    path = root / "annotations" / "validation" / "ADE_val_00000001.png"
    Image.fromarray(np.full((4, 8), 151, np.uint8)).save(path)
    with pytest.raises(UserError, match=r"ADE_val_00000001\.png holds 151 where .* 0 to 150"):
        ADE20K(root).pair("val", 0, (4, 8))
    path.unlink()
    with pytest.raises(UserError, match=r"1 files of the split 'val'.*ADE_val_00000001\.jpg"):
        ADE20K(root).ids("val")
    with pytest.raises(UserError, match=r"no ADE20K images in .*put images/training"):
        ADE20K(tmp_path / "captions")
