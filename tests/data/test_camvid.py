"""CamVid: whole sequences held out, one crop at every size; made small, and on the real files if present."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gcbench.core.errors import UserError
from gcbench.data.camvid import CamVid
from gcbench.data.dataset_summary import summarise
from gcbench.text.class_mentions import named_classes

FRAMES = {
    "train": ["0001TP_1", "0016E5_1", *(f"0006R0_f{i:02d}" for i in range(20))],
    "val": ["0016E5_2"],
}


@pytest.fixture
def root(tmp_path):
    rng = np.random.default_rng(2)
    for split, stems in FRAMES.items():
        for folder in (split, f"{split}annot"):
            (tmp_path / folder).mkdir()
        lines = []
        for stem in stems:
            Image.fromarray(rng.integers(0, 256, (24, 32, 3), np.uint8)).save(tmp_path / split / f"{stem}.png")
            layout = rng.integers(0, 12, (24, 32), np.uint8)
            Image.fromarray(layout).save(tmp_path / f"{split}annot" / f"{stem}.png")
            lines.append(f"/SegNet/CamVid/{split}/{stem}.png /SegNet/CamVid/{split}annot/{stem}.png\n")
        (tmp_path / f"{split}.txt").write_text("".join(lines))
    return tmp_path


def test_sequences_are_held_out(root):
    data = CamVid(root)
    assert len(data.ids("train")) == 3 * 4
    assert len(data.ids("val")) == 20 * 2
    assert {name.split("_")[0] for name in data.ids("train")} == {"0001TP", "0016E5"}
    assert {name.split("_")[0] for name in data.ids("val")} == {"0006R0"}
    assert len(set(data.ids("val"))) == 40
    groups = dict(zip(data.ids("val"), data.groups("val"), strict=True))
    assert len(set(groups.values())) == 10
    assert groups["0006R0_f00-0"] == groups["0006R0_f01-1"] == "0006R0/0"
    assert groups["0006R0_f19-0"] == "0006R0/9"


def test_a_crop_is_a_part_of_its_frame(root):
    data = CamVid(root)
    frame = np.asarray(Image.open(root / "trainannot" / "0006R0_f00.png"))
    crop = data.pair("val", 0, (18, 24))[1]
    places = [(y, x) for y in range(7) for x in range(9) if np.array_equal(frame[y : y + 18, x : x + 24], crop)]
    assert len(places) == 1
    again = CamVid(root).pair("val", 0, (18, 24))
    assert np.array_equal(again[1], crop)
    assert not np.array_equal(data.pair("val", 20, (18, 24))[1], crop)  # the same frame's second crop
    assert np.array_equal(data.pair("val", 0, (6, 8))[1], crop[1::3, 1::3])  # the same field of view


def test_captions_name_one_per_cent(root):
    layout = np.full((24, 32), 3, np.uint8)
    layout[10:14, 14:18] = 8  # 16 of the crop's 432 pixels
    layout[12, 20] = 9
    Image.fromarray(layout).save(root / "trainannot" / "0006R0_f00.png")
    (text,) = CamVid(root).captions("val", 0)
    assert named_classes(text, CamVid.aliases) == {"road", "car"}


def test_mistakes_are_named(root, tmp_path):
    with pytest.raises(UserError, match="no split 'test'; use train or val"):
        CamVid(root).pair("test", 0, (2, 2))
    Image.fromarray(np.full((24, 32), 12, np.uint8)).save(root / "valannot" / "0016E5_2.png")
    data = CamVid(root)
    with pytest.raises(UserError, match=r"0016E5_2\.png holds the ids 12; map"):
        data.pair("train", data.ids("train").index("0016E5_2-0"), (18, 24))
    (root / "trainannot" / "0006R0_f07.png").unlink()
    with pytest.raises(UserError, match=r"1 files of the split 'val'.*trainannot/0006R0_f07\.png; add"):
        CamVid(root).ids("val")
    assert summarise(CamVid(root))[1].missing == ("trainannot/0006R0_f07.png",)
    (root / "val.txt").write_text("only-one\n")
    with pytest.raises(UserError, match=r"val\.txt, line 1 is not"):
        CamVid(root)
    with pytest.raises(UserError, match=r"no list train\.txt.*streets"):
        CamVid(tmp_path / "elsewhere")


def real_root() -> Path | None:
    places = [Path(__file__).parents[3] / "shared" / "data" / "camvid"]
    if "GCBENCH_DATA" in os.environ:
        places.insert(0, Path(os.environ["GCBENCH_DATA"]) / "camvid")
    return next((place for place in places if (place / "train.txt").is_file()), None)


@pytest.mark.skipif(real_root() is None, reason="no CamVid in $GCBENCH_DATA/camvid")
def test_the_real_files():
    data = CamVid(real_root())
    train, val = summarise(data, sample=8)
    assert train.pairs % 4 == val.pairs % 2 == 0
    assert val.groups % 10 == 0
    for part in (train, val):
        assert part.missing == part.problems == ()
        assert abs(sum(part.shares.values()) - 1) < 1e-9
        assert part.shares["road"] > 0.1
    image, layout = data.pair("val", 0, data.size)
    assert image.shape == (96, 128, 3)
    assert layout.max() <= 11
    assert "road" in named_classes(data.captions("val", 0)[0], data.aliases)


@pytest.mark.parametrize(
    "prefix",
    ["/SegNet/CamVid/", "/home/me/my own data/CamVid/", "C:\\data sets\\CamVid\\", "", "../CamVid.png/"],
    ids=["tutorial", "spaces", "Windows", "relative", "an ending within"],
)
@pytest.mark.parametrize("between", [" ", "  ", "\t"])
def test_lists_with_any_paths(root, prefix, between):
    """Only the folder and the file of each path count."""
    before = CamVid(root)
    for split in FRAMES:
        slash = "\\" if "\\" in prefix else "/"
        lines = [
            f"{prefix}{split}{slash}{stem}.png{between}{prefix}{split}annot{slash}{stem}.png \r\n"
            for stem in FRAMES[split]
        ]
        (root / f"{split}.txt").write_text("".join(lines))
    data = CamVid(root)
    assert data.found == before.found
    assert data.missing == before.missing


@pytest.mark.parametrize("line", ["train/a.png", "a b c", "train/a b.png trainannot/a", "a.png b.png c.png"])
def test_lines_that_are_no_pair_are_named(root, line):
    (root / "train.txt").write_text(f"\n{line}\n")
    with pytest.raises(UserError, match=r"train\.txt, line 2 is not 'IMAGE LAYOUT'; correct the line"):
        CamVid(root)
