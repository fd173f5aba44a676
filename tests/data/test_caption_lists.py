"""Parts of a training split: the authors' lists decide where they are there, else a fixed order does."""

import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gcbench.commands.train import recipe_of
from gcbench.core.errors import UserError
from gcbench.data.caption_lists import CaptionLists
from gcbench.data.celeba import CelebA
from gcbench.data.cityscapes import Cityscapes

TRAIN = [f"aachen_{i:06d}_000019" for i in range(8)]


@pytest.fixture
def streets(tmp_path: Path) -> Path:
    root = tmp_path / "cityscapes"
    for split, stem in [*(("train", stem) for stem in TRAIN), ("val", "lindau_000000_000019")]:
        for tree, ending, shape in (("leftImg8bit", "leftImg8bit", (8, 16, 3)), ("gtFine", "gtFine_labelIds", (8, 16))):
            path = root / tree / split / stem.split("_")[0] / f"{stem}_{ending}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full(shape, 7, np.uint8)).save(path)
    return root


def write(path: Path, texts: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"file_name": name, "text": [text]}) + "\n" for name, text in texts.items()))


def test_parts_are_shares_of_the_training_split_in_a_fixed_order(streets: Path) -> None:
    data = Cityscapes(streets)
    assert (data.splits, data.parts) == (("train", "val"), ("train50", "train25"))
    half, quarter = data.ids("train50"), data.ids("train25")
    assert (len(half), len(quarter)) == (4, 2)
    assert set(quarter) < set(half) < set(TRAIN)
    first = sorted(TRAIN, key=lambda name: sha256(f"gcbench cityscapes 1/{name}".encode()).digest())
    assert set(half) == set(first[:4])
    with pytest.raises(UserError, match="no split 'train75'"):
        data.ids("train75")


@pytest.mark.parametrize("place", ["captions", ".", "caption_files/cityscapes", "../caption_files/cityscapes"])
def test_a_list_decides_members_and_their_captions(streets: Path, place: str) -> None:
    """Those of its images that are held out stay so."""
    names = [f"{stem}_leftImg8bit.png" for stem in (TRAIN[6], TRAIN[1], "lindau_000000_000019")]
    write(streets / place / "25_captions.jsonl", {name: f"of {name}" for name in names})
    before = Cityscapes(streets).version
    data = Cityscapes(streets)
    assert data.ids("train25") == [TRAIN[1], TRAIN[6]]
    assert data.captions("train25", 0) == (f"of {names[1]}",)
    assert data.captions("train", 0)[0].startswith("An image of an urban street view")  # no list of all is there
    assert data.captions_from_layouts("train")
    assert not data.captions_from_layouts("train25")
    write(streets / place / "25_captions.jsonl", dict.fromkeys(names, "other"))
    assert Cityscapes(streets).version != before
    write(streets / place / "25_captions.jsonl", {"x.png": "other"})
    with pytest.raises(UserError, match=r"25_captions\.jsonl names none of the training images"):
        Cityscapes(streets)


def test_faces_are_listed_by_their_numbers(tmp_path: Path) -> None:
    for name in ("0", "7", "12", "24001"):
        for folder, ending, shape in (("CelebA-HQ-img", "jpg", (8, 8, 3)), ("CelebAMaskHQ-mask", "png", (8, 8))):
            path = tmp_path / folder / f"{name}.{ending}"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(np.zeros(shape, np.uint8)).save(path)
    write(tmp_path / "captions/50_captions.jsonl", {"00007.jpg": "She smiles.", "24001.jpg": "No."})
    write(tmp_path / "captions/100_captions.jsonl", {f"{i}.jpg": f"Face {i}." for i in (0, 7, 12, 24001)})
    data = CelebA(tmp_path)
    assert data.ids("train50") == ["7"]
    assert data.captions("train50", 0) == ("She smiles.",)
    assert data.captions("train", 2) == ("Face 12.",)
    assert data.captions("test", 0) == ("Face 24001.",)


def test_training_on_a_part(streets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCBENCH_DATA", str(streets.parent))
    recipe = recipe_of("gcdp", None, "cityscapes", {}, split="train25")
    assert recipe.dataset.ids(recipe.dataset.splits[0]) == Cityscapes(streets).ids("train25")
    assert recipe.dataset.splits[-1] == "val"
    assert len(recipe_of("gcdp", None, "cityscapes", {}, split="train50", limit=1).dataset.ids("train50")) == 1
    for split, why in (("val", "is held out"), ("train7", "is no split of cityscapes")):
        with pytest.raises(UserError, match=rf"--split {split}: it {why}; train on one of train, train50, train25"):
            recipe_of("gcdp", None, "cityscapes", {}, split=split)


@given(st.sets(st.integers(0, 10**6), max_size=60))
def test_our_parts_are_nested_and_change_with_no_other_image(names: set[int]) -> None:
    lists = CaptionLists(Path("/nowhere"), "toy")
    ids = [str(name) for name in sorted(names)]
    half, quarter = lists.part("train50", ids), lists.part("train25", ids)
    assert set(quarter) <= set(half) <= set(ids)
    assert (len(half), len(quarter)) == (round(len(ids) / 2), round(len(ids) / 4))
    assert lists.part("train50", ids[::-1]) == half[::-1]
