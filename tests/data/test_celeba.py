"""MM-CelebA-HQ's tree, made small: the release's file names and forms with random little images."""

import pickle
import shutil

import numpy as np
import pytest
from PIL import Image

from gcbench.commands.data import check
from gcbench.core.errors import UserError
from gcbench.core.registry import registry
from gcbench.data.celeba import CelebA
from gcbench.data.celeba_attributes import ATTRIBUTES
from gcbench.data.celeba_parts import CLASSES
from gcbench.data.dataset_summary import summarise
from gcbench.data.open_dataset import open_dataset

TRAIN, TEST = (0, 1, 2, 7, 10, 1999, 2000, 23999), (24000, 29999)
IDS = (*TRAIN, *TEST)


def merged_layout(number):
    return np.random.default_rng(number).integers(0, 19, (16, 16), np.uint8)


def has(number):
    return np.random.default_rng([number, 1]).random(40) < 0.4


def write_attributes(path, rows, names=ATTRIBUTES):
    """`rows`: file name -> bool [40], in the order of `names`; two blanks after the name, as in the release."""
    lines = [str(len(rows)), " ".join(names) + " "]
    lines += [f"{name}  " + " ".join("1" if value else "-1" for value in values) for name, values in rows.items()]
    path.write_text("\n".join(lines) + "\n")


def write_raw(root, number, parts):
    """`parts`: part -> mask bool [16,16], written as the release does: RGB, 0 and 255."""
    folder = root / "CelebAMask-HQ-mask-anno" / str(number // 2000)
    folder.mkdir(parents=True, exist_ok=True)
    for part, mask in parts.items():
        image = np.repeat(mask[:, :, None] * np.uint8(255), 3, 2)
        Image.fromarray(image).save(folder / f"{number:05d}_{part}.png")


@pytest.fixture
def root(tmp_path):
    """Images of 32x32 and merged masks of 16x16, as the release's are of 1024 and 512."""
    root = tmp_path / "celeba"
    (root / "CelebA-HQ-img").mkdir(parents=True)
    (root / "CelebAMaskHQ-mask").mkdir()
    (root / "text" / "celeba-caption").mkdir(parents=True)
    for number in IDS:
        image = np.random.default_rng([number, 2]).integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(image).save(root / "CelebA-HQ-img" / f"{number}.jpg")
        Image.fromarray(merged_layout(number)).save(root / "CelebAMaskHQ-mask" / f"{number}.png")
        text = f"She has bangs {number}.\nThis woman is young. \n\n"
        (root / "text" / "celeba-caption" / f"{number}.txt").write_text(text)
    write_attributes(root / "CelebAMask-HQ-attribute-anno.txt", {f"{n}.jpg": has(n) for n in IDS})
    return root


def test_pairs_and_the_maintainers_split(root):
    data = CelebA(root)
    assert data.splits == ("train", "train50", "train25", "test")
    assert data.ids("train") == [str(n) for n in TRAIN]  # by number, not by letters
    assert data.ids("test") == [str(n) for n in TEST] == data.groups("test")
    image, layout = data.pair("test", 1, (16, 16))
    assert (image.shape, layout.shape) == ((16, 16, 3), (16, 16))
    np.testing.assert_array_equal(layout, merged_layout(29999))
    raw = np.asarray(Image.open(root / "CelebA-HQ-img" / "29999.jpg")).astype(float)
    np.testing.assert_allclose(image, raw.reshape(16, 2, 16, 2, 3).mean((1, 3)), atol=1.01)
    assert data.pair("train", 0, (4, 8))[1].shape == (4, 8)
    assert data.classes == CLASSES
    assert data.void is None
    assert data.mirror[CLASSES.index("l_eye")] == CLASSES.index("r_eye")


def test_subsets_are_nested_and_do_not_depend_on_what_else_is_there(root):
    data = CelebA(root)
    sizes = [len(data.ids(split)) for split in ("train", "train50", "train25")]
    assert sizes == [8, 4, 2]
    assert set(data.ids("train25")) < set(data.ids("train50")) < set(data.ids("train"))
    assert data.ids("train50") == sorted(data.ids("train50"), key=int)
    assert data.ids("train50") == ["0", "10", "1999", "23999"]  # written: it must not change
    (root / "CelebA-HQ-img" / "24000.jpg").unlink()
    (root / "CelebAMaskHQ-mask" / "24000.png").unlink()
    assert CelebA(root).ids("train50") == data.ids("train50")


def test_text_lists_divide_the_images(root):
    (root / "train.txt").write_text("7.jpg\n10\n\n29999.jpg\n7.jpg\n")
    (root / "test.txt").write_text("00001.jpg\n")
    data = CelebA(root)
    assert data.ids("train") == ["7", "10", "29999"]
    assert data.ids("test") == ["1"]
    (root / "test.txt").write_text("1\n5\n")
    with pytest.raises(UserError, match=r"1 files of the split 'test' .*the first is CelebA-HQ-img/5\.jpg"):
        CelebA(root).ids("test")
    (root / "test.txt").write_text("1\n10.jpg\n")
    with pytest.raises(UserError, match=r"train\.txt and test\.txt both have 10"):
        CelebA(root)
    (root / "test.txt").write_text("1\nface.jpg\n")
    with pytest.raises(UserError, match=r"test\.txt, line 2: 'face\.jpg' is no id"):
        CelebA(root)
    (root / "test.txt").unlink()
    with pytest.raises(UserError, match=r"test\.txt is not there but the other list is"):
        CelebA(root)


def test_a_pickle_is_not_opened(root, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "opened"), "w"))

    (root / "test").mkdir()
    (root / "test" / "filenames.pickle").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(UserError, match=r"filenames\.pickle is a pickle.*train\.txt and test\.txt, one a line"):
        CelebA(root)
    assert not (tmp_path / "opened").exists()
    (root / "train.txt").write_text("0\n1\n")
    (root / "test.txt").write_text("2\n")
    assert CelebA(root).ids("train") == ["0", "1"]


def test_attributes(root):
    data = CelebA(root)
    assert data.attributes == ATTRIBUTES
    for index, number in enumerate(TRAIN):
        np.testing.assert_array_equal(data.attribute_labels("train", index), has(number))
    assert data.attribute_labels("train", 0).dtype == bool


def test_the_columns_of_the_attributes_are_taken_by_name(root):
    order = np.random.default_rng(0).permutation(40)
    rows = {f"{n}.jpg": has(n)[order] for n in IDS}
    write_attributes(root / "CelebAMask-HQ-attribute-anno.txt", rows, [ATTRIBUTES[i] for i in order])
    np.testing.assert_array_equal(CelebA(root).attribute_labels("test", 0), has(24000))


def test_attributes_of_celeba_itself_go_through_the_mapping(root):
    (root / "CelebAMask-HQ-attribute-anno.txt").unlink()
    write_attributes(root / "list_attr_celeba.txt", {f"{n + 100000:06d}.jpg": has(n) for n in IDS})
    with pytest.raises(UserError, match=r"CelebA-HQ-to-CelebA-mapping\.txt is not there; put"):
        CelebA(root).attribute_labels("train", 0)
    rows = [f"{n}          {n + 99999}     {n + 100000:06d}.jpg" for n in IDS]
    (root / "CelebA-HQ-to-CelebA-mapping.txt").write_text("\n".join(["idx    orig_idx    orig_file", *rows]) + "\n")
    np.testing.assert_array_equal(CelebA(root).attribute_labels("test", 1), has(29999))


def test_without_an_attribute_file_there_are_none(root):
    (root / "CelebAMask-HQ-attribute-anno.txt").unlink()
    data = CelebA(root)
    assert (data.attributes, dict(data.attribute_words)) == ((), {})
    assert data.attribute_labels("train", 0) is None


def test_bad_attribute_files_are_named(root):
    path = root / "CelebAMask-HQ-attribute-anno.txt"
    good = path.read_text().splitlines()
    path.write_text("\n".join([*good[:3], good[3][:-3], *good[4:]]))
    with pytest.raises(UserError, match=r"attribute-anno\.txt, line 4 is not a file name and 40 values"):
        CelebA(root).attribute_labels("train", 0)
    path.write_text("\n".join([good[0], "Smiling Young", *good[2:]]))
    with pytest.raises(UserError, match="line 2 is not the names of CelebA's 40 attributes"):
        CelebA(root).attribute_labels("train", 0)
    path.write_text("\n".join([*good[:2], *good[3:]]))
    with pytest.raises(UserError, match=r"has no line for 0\.jpg"):
        CelebA(root).attribute_labels("train", 0)


def test_raw_parts_are_merged_in_the_documented_order(root):
    for path in (root / "CelebAMaskHQ-mask").iterdir():
        path.unlink()
    (root / "CelebAMaskHQ-mask").rmdir()
    expected = {}
    for number in IDS:
        rng = np.random.default_rng([number, 3])
        there = [part for part in CLASSES[1:] if part == "skin" or rng.random() < 0.6]  # hidden parts have no file
        masks = {part: rng.random((16, 16)) < 0.3 for part in there}
        write_raw(root, number, {part: masks[part] for part in rng.permutation(there)})
        layout = np.zeros((16, 16), np.uint8)
        for row in range(16):
            for column in range(16):
                here = [CLASSES.index(part) for part in there if masks[part][row, column]]
                layout[row, column] = max(here, default=0)  # the later part lies above
        expected[number] = layout
    assert (root / "CelebAMask-HQ-mask-anno" / "14" / "29999_skin.png").exists()
    data = CelebA(root)
    for index, number in enumerate(TRAIN):
        np.testing.assert_array_equal(data.pair("train", index, (16, 16))[1], expected[number])
    np.testing.assert_array_equal(data.pair("test", 1, (16, 16))[1], expected[29999])

    before = data.version
    write_raw(root, 7, {"skin": np.zeros((20, 20), bool)})
    assert CelebA(root).version != before
    with pytest.raises(UserError, match=r"00007_.*bring the masks of an image to one size"):
        CelebA(root).pair("train", 3, (16, 16))
    Image.new("L", (16, 16)).save(root / "CelebAMask-HQ-mask-anno" / "0" / "00007_lips.png")
    with pytest.raises(UserError, match=r"00007_lips\.png is no part of CelebAMask-HQ"):
        CelebA(root)


def test_masks_merged_by_others_are_read_first(root):
    (root / "CelebAMask-HQ-mask-anno").mkdir()
    (root / "CelebAMaskHQ-mask").rename(root / "CelebAMask-HQ-mask-anno" / "preprocessed")
    write_raw(root, 7, {"skin": np.ones((16, 16), bool)})
    np.testing.assert_array_equal(CelebA(root).pair("train", 3, (16, 16))[1], merged_layout(7))


def test_captions(root):
    data = CelebA(root)
    assert data.captions("train", 3) == ("She has bangs 7.", "This woman is young.")
    path = root / "text" / "celeba-caption" / "7.txt"
    path.write_text(" \n")
    with pytest.raises(UserError, match=r"7\.txt is empty"):
        data.captions("train", 3)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"7\.txt, line 1 is not UTF-16"):
        data.captions("train", 3)
    path.unlink()
    with pytest.raises(UserError, match=r"7\.txt is not there; put the captions of this image there"):
        data.captions("train", 3)
    (root / "text" / "celeba-caption").rename(root / "celeba-caption")
    assert CelebA(root).captions("test", 0)[0] == "She has bangs 24000."


def test_version_follows_every_kind_of_file(root):
    seen = {CelebA(root).version}
    assert seen == {CelebA(root).version}
    (root / "text" / "celeba-caption" / "7.txt").write_text("He has no beard.\n")
    seen.add(CelebA(root).version)
    write_attributes(root / "CelebAMask-HQ-attribute-anno.txt", {f"{n}.jpg": ~has(n) for n in IDS})
    seen.add(CelebA(root).version)
    Image.new("RGB", (32, 32)).save(root / "CelebA-HQ-img" / "7.jpg")
    seen.add(CelebA(root).version)
    Image.new("L", (16, 16)).save(root / "CelebAMaskHQ-mask" / "7.png")
    seen.add(CelebA(root).version)
    (root / "train.txt").write_text("7\n")
    (root / "test.txt").write_text("24000\n")
    seen.add(CelebA(root).version)
    assert len(seen) == 6


def test_mistakes_are_named(root):
    images, masks = root / "CelebA-HQ-img", root / "CelebAMaskHQ-mask"
    whole = (images / "10.jpg").read_bytes()
    (masks / "10.png").write_bytes((masks / "10.png").read_bytes()[:-40])
    with pytest.raises(UserError, match=r"cannot read the layout .*10\.png"):
        CelebA(root).pair("train", 4, (16, 16))
    Image.fromarray(np.full((16, 16), 19, np.uint8)).save(masks / "10.png")
    with pytest.raises(UserError, match=r"10\.png holds the ids 19; map them to the dataset's 0 to 18"):
        CelebA(root).pair("train", 4, (16, 16))
    Image.fromarray(np.zeros((16, 24), np.uint8)).save(masks / "10.png")
    with pytest.raises(UserError, match=r"10\.jpg is 32x32 .*10\.png is 16x24"):
        CelebA(root).pair("train", 4, (16, 16))
    (images / "10.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"cannot read the image .*10\.jpg"):
        CelebA(root).pair("train", 4, (16, 16))
    (images / "10.jpg").unlink()
    with pytest.raises(UserError, match=r"1 files of the split 'train' .*the first is CelebAMaskHQ-mask/10\.png"):
        CelebA(root).ids("train")
    assert CelebA(root).ids("test") == ["24000", "29999"]
    with pytest.raises(UserError, match="no split 'val'; use train or train50"):
        CelebA(root).ids("val")
    (images / "010.jpg").write_bytes(whole)
    assert "10" in CelebA(root).ids("train")
    (images / "10.jpg").write_bytes(whole)
    with pytest.raises(UserError, match=r"both of the id 10; remove one"):
        CelebA(root)
    (images / "010.jpg").rename(images / "cover.jpg")
    with pytest.raises(UserError, match=r"cover\.jpg is not called by an id"):
        CelebA(root)


def test_data_check(root, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GCBENCH_DATA", str(tmp_path))
    assert "celeba" in registry("datasets")
    assert isinstance(open_dataset("celeba"), CelebA)
    assert check("celeba", 50)
    said = capsys.readouterr()
    assert "train: 8 pairs in 8 groups" in said.out + said.err
    (root / "text" / "celeba-caption" / "7.txt").unlink()
    (root / "CelebAMaskHQ-mask" / "29999.png").unlink()
    assert not check("celeba", 50)
    said = capsys.readouterr()
    assert "7.txt is not there" in " ".join((said.out + said.err).split())
    problems = {summary.split: (summary.missing, summary.problems) for summary in summarise(open_dataset("celeba"))}
    assert problems["test"][0] == ("CelebA-HQ-img/29999.jpg",)
    assert len(problems["train"][1]) == 1


def test_missing_data(tmp_path, monkeypatch):
    monkeypatch.delenv("GCBENCH_DATA", raising=False)
    with pytest.raises(UserError, match=r"GCBENCH_DATA is not set"):
        CelebA.open()
    with pytest.raises(UserError, match=r"no images of CelebA-HQ in .*--dataset faces"):
        CelebA(tmp_path)


def test_apple_doubles_are_left_out(root):
    whole = CelebA(root)
    for path in [path for path in root.rglob("*") if path.is_file()]:
        (path.parent / f"._{path.name}").write_bytes(b"\x00\x05\x16\x07")
    assert CelebA(root).ids("train") == whole.ids("train")
    assert CelebA(root).version == whole.version
    shutil.rmtree(root / "CelebAMaskHQ-mask")
    write_raw(root, 0, {"skin": np.ones((16, 16), bool)})
    (root / "CelebAMask-HQ-mask-anno/0/._00000_skin.png").write_bytes(b"\x00\x05\x16\x07")
    assert np.array_equal(CelebA(root).pair("train", 0, (16, 16))[1], np.full((16, 16), CLASSES.index("skin")))


def test_the_folder_of_the_official_zip(root):
    """The zip unpacks into CelebAMask-HQ/; its parts are found there, and the texts and lists beside it."""
    before = CelebA(root)
    (root / "CelebAMask-HQ").mkdir()
    for name in ("CelebA-HQ-img", "CelebAMaskHQ-mask", "CelebAMask-HQ-attribute-anno.txt"):
        (root / name).rename(root / "CelebAMask-HQ" / name)
    after = CelebA(root)
    assert after.splits == before.splits
    for mine, theirs in zip(before.found["test"], after.found["test"], strict=True):
        assert (mine.id, mine.image.name) == (theirs.id, theirs.image.name)
    assert np.array_equal(after.attribute_labels("test", 0), has(24000))
    assert after.captions("test", 0)[0] == "She has bangs 24000."
    assert after.pair("test", 1, (16, 16))[0].shape == (16, 16, 3)
    assert after.version != ""


def test_raw_masks_in_the_folder_of_the_official_zip(root):
    shutil.rmtree(root / "CelebAMaskHQ-mask")
    write_raw(root / "CelebAMask-HQ", 7, {"nose": np.eye(16, dtype=bool)})
    (root / "CelebA-HQ-img").rename(root / "CelebAMask-HQ/CelebA-HQ-img")
    data = CelebA(root)
    [pair] = data.found["train"]
    assert pair.id == "7"
    assert np.array_equal(data.pair("train", 0, (16, 16))[1], np.eye(16) * CLASSES.index("nose"))


def test_a_dangling_mask_is_named(root):
    shutil.rmtree(root / "CelebAMaskHQ-mask")
    write_raw(root, 0, {"skin": np.ones((16, 16), bool)})
    (root / "CelebAMask-HQ-mask-anno/0/00000_nose.png").symlink_to("/nonexistent")
    with pytest.raises(UserError, match=r"00000_nose\.png \(it links to /nonexistent, no such file"):
        _ = CelebA(root).version
