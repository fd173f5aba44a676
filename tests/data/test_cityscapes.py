"""The Cityscapes tree, made small."""

import json

import numpy as np
import pytest
from PIL import Image

from gcbench.core.errors import UserError
from gcbench.data import cityscapes_classes
from gcbench.data.cityscapes import IMAGE, LAYOUT, Cityscapes
from gcbench.data.open_dataset import open_dataset

STEMS = {"train": ("aachen_000000_000019", "bochum_000000_000313"), "val": ("lindau_000001_000019",)}


def paths(root, split, stem):
    city = stem.split("_")[0]
    return (
        root / "leftImg8bit" / split / city / f"{stem}{IMAGE}",
        root / "gtFine" / split / city / f"{stem}{LAYOUT}",
    )


@pytest.fixture
def root(tmp_path):
    rng = np.random.default_rng(1)
    for split, stems in STEMS.items():
        for stem in stems:
            for path, shape, top in zip(paths(tmp_path, split, stem), ((16, 32, 3), (16, 32)), (256, 34), strict=True):
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(rng.integers(0, top, shape, np.uint8)).save(path)
    return tmp_path


def test_pairs(root):
    data = Cityscapes(root)
    assert data.splits == ("train", "val")
    assert data.ids("train") == list(STEMS["train"])
    assert data.groups("train") == data.ids("train")
    image, layout = data.pair("val", 0, (16, 32))
    raw = np.asarray(Image.open(paths(root, "val", STEMS["val"][0])[1]))
    assert image.shape == (16, 32, 3)
    assert image.dtype == layout.dtype == np.uint8
    for label in range(34):
        expected = cityscapes_classes.LABEL_IDS.index(label) if label in cityscapes_classes.LABEL_IDS[:19] else 19
        assert (layout[raw == label] == expected).all()
    assert data.pair("val", 0, (4, 8))[1].shape == (4, 8)


def test_built_captions(root):
    data = Cityscapes(root)
    path = paths(root, "val", STEMS["val"][0])[1]
    Image.fromarray(np.array([[7] * 31 + [23]] * 16, np.uint8)).save(path)
    (text,) = data.captions("val", 0)
    assert text in {f"An image of an urban street view with {x}." for x in ("Roads and Skies", "Skies and Roads")}
    assert Cityscapes(root).captions("val", 0) == (text,)


@pytest.mark.parametrize("place", ["captions/100_captions.jsonl", "100_captions.jsonl"])
def test_the_authors_captions(root, place):
    before = Cityscapes(root).version
    file = root / place
    file.parent.mkdir(exist_ok=True)
    name = paths(root, "val", STEMS["val"][0])[0].name
    file.write_text(json.dumps({"file_name": name, "text": ["One.", "Two."]}) + "\n")
    data = Cityscapes(root)
    assert tuple(data.captions("val", 0)) == ("One.", "Two.")
    assert data.version != before
    with pytest.raises(UserError, match=r"100_captions\.jsonl has no line for aachen.*add it"):
        data.captions("train", 0)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", "no JSON"),
        ("[]", "no JSON object"),
        ('{"text": []}', "file_name is missing"),
        ('{"file_name": "a", "text": []}', "no list"),
    ],
)
def test_bad_caption_lines_are_named(root, row, message):
    (root / "100_captions.jsonl").write_text(f'\n{{"file_name": "x.png", "text": ["t"]}}\n{row}\n')
    with pytest.raises(UserError, match=rf"100_captions\.jsonl, line 3: .*{message}"):
        Cityscapes(root).captions("val", 0)


def test_version_follows_the_files(root):
    before = Cityscapes(root).version
    assert before == Cityscapes(root).version
    Image.new("RGB", (32, 16)).save(paths(root, "val", STEMS["val"][0])[0])
    assert Cityscapes(root).version != before


def test_missing_data(root, tmp_path, monkeypatch):
    monkeypatch.delenv("GCBENCH_DATA", raising=False)
    with pytest.raises(UserError, match=r"GCBENCH_DATA is not set; .*streets"):
        open_dataset("cityscapes")
    monkeypatch.setenv("GCBENCH_DATA", str(tmp_path))
    with pytest.raises(UserError, match=r"cityscapes is not there; put leftImg8bit.*streets"):
        open_dataset("cityscapes")
    (tmp_path / "cityscapes").mkdir()
    with pytest.raises(UserError, match="no Cityscapes images in"):
        open_dataset("cityscapes")
    for part in ("leftImg8bit", "gtFine"):
        (root / part).rename(tmp_path / "cityscapes" / part)
    assert open_dataset("cityscapes").ids("val") == list(STEMS["val"])


def test_mistakes_are_named(root):
    image, layout = paths(root, "train", STEMS["train"][0])
    data = Cityscapes(root)
    with pytest.raises(UserError, match="no split 'test'; use train or val"):
        data.ids("test")
    Image.fromarray(np.full((16, 32), 40, np.uint8)).save(layout)
    with pytest.raises(UserError, match=r"aachen.*holds 40, which are no Cityscapes labelIds"):
        data.pair("train", 0, (16, 32))
    Image.new("L", (30, 16)).save(layout)
    with pytest.raises(UserError, match=r"aachen.*leftImg8bit\.png is 16x32 .*labelIds\.png is 16x30"):
        data.pair("train", 0, (16, 32))
    image.unlink()
    with pytest.raises(UserError, match=r"1 files of the split 'train'.*aachen.*labelIds\.png; add"):
        Cityscapes(root).ids("train")
    assert len(Cityscapes(root).ids("val")) == 1


# ------------------------------------------------------------------------------------- other forms of the same tree


def as_train_ids(root, split, stem):
    """The labelIds of a pair replaced by labelTrainIds, which hold 255 where they hold no class."""
    layout = paths(root, split, stem)[1]
    ids = np.full(256, 255, np.uint8)
    ids[list(cityscapes_classes.LABEL_IDS[:19])] = np.arange(19)
    Image.fromarray(ids[np.asarray(Image.open(layout))]).save(str(layout).replace("labelIds", "labelTrainIds"))
    layout.unlink()


@pytest.mark.parametrize("stems", [STEMS["train"], STEMS["train"][:1]], ids=["all", "mixed"])
def test_train_ids_are_read_where_there_are_no_label_ids(root, stems):
    before = [Cityscapes(root).pair("train", i, (16, 32)) for i in range(2)]
    for stem in stems:
        as_train_ids(root, "train", stem)
    data = Cityscapes(root)
    assert data.missing["train"] == []
    for i, (image, layout) in enumerate(before):
        assert np.array_equal(data.pair("train", i, (16, 32))[0], image)
        assert np.array_equal(data.pair("train", i, (16, 32))[1], layout)


def test_label_ids_win_over_train_ids(root):
    before = Cityscapes(root).pair("val", 0, (16, 32))[1]
    layout = paths(root, "val", STEMS["val"][0])[1]
    content = layout.read_bytes()
    as_train_ids(root, "val", STEMS["val"][0])
    layout.write_bytes(content)
    assert len(Cityscapes(root).ids("val")) == 1
    assert np.array_equal(Cityscapes(root).pair("val", 0, (16, 32))[1], before)


def test_label_ids_with_a_foreign_palette_are_ids(root):
    """Mode P: the numbers count, whatever colours they have."""
    before = Cityscapes(root).pair("val", 0, (16, 32))[1]
    layout = paths(root, "val", STEMS["val"][0])[1]
    image = Image.open(layout)
    image.putpalette(np.random.default_rng(0).integers(0, 256, 768).astype(np.uint8).tobytes())
    image.save(layout)
    assert Image.open(layout).mode == "P"
    assert np.array_equal(Cityscapes(root).pair("val", 0, (16, 32))[1], before)


@pytest.mark.parametrize("parts", [("leftImg8bit", "gtFine"), ("gtFine",)])
def test_trees_in_folders_of_their_zips_names(root, parts):
    before = Cityscapes(root).pair("val", 0, (16, 32))
    for part in parts:
        (root / f"{part}_trainvaltest").mkdir()
        (root / part).rename(root / f"{part}_trainvaltest" / part)
    for mine, theirs in zip(before, Cityscapes(root).pair("val", 0, (16, 32)), strict=True):
        assert np.array_equal(mine, theirs)


def test_apple_doubles_are_no_pairs(root):
    for path in [*root.rglob("*.png")]:
        (path.parent / f"._{path.name}").write_bytes(b"\x00\x05\x16\x07")
    (root / "leftImg8bit/val/.DS_Store").write_bytes(b"x")
    data = Cityscapes(root)
    assert data.ids("train") == list(STEMS["train"])
    assert data.missing == {"train": [], "val": []}


@pytest.mark.parametrize(
    ("old", "new", "there"),
    [
        ("_gtFine_labelIds.png", "_gtFine_color.png", r"3 \*_leftImg8bit\.png, 3 \*_gtFine_color\.png"),
        ("_gtFine_labelIds.png", "_gtFine_instanceIds.png", r"3 \*_gtFine_instanceIds\.png"),
        ("_gtFine_labelIds.png", "_gtFine_polygons.json", r"3 \*_gtFine_polygons\.json"),
        ("gtFine", "gtCoarse", r"3 \*_gtCoarse_labelIds\.png"),
        ("gtFine", "", r"\(there are 3 \*_leftImg8bit\.png\)"),
    ],
)
def test_what_is_there_instead_of_label_ids_is_named(root, old, new, there):
    for path in [path for path in root.rglob("*.png") if old in str(path.relative_to(root))]:
        target = root / str(path.relative_to(root)).replace(old, new) if new else root / "elsewhere" / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    with pytest.raises(UserError, match=rf"no Cityscapes images in .* with their layouts .*{there}.*put leftImg8bit/"):
        Cityscapes(root)


def test_zips_that_are_packed_are_named(root):
    for part in ("leftImg8bit", "gtFine"):
        (root / part).rename(root.parent / part)
        (root / f"{part}_trainvaltest.zip").write_bytes(b"PK")
    with pytest.raises(UserError, match=r"gtFine_trainvaltest\.zip to be unpacked, leftImg8bit_trainvaltest\.zip"):
        Cityscapes(root)
