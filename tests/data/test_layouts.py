"""A user's layouts: colours through the palette, colour tables, Cityscapes' labelIds."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from gcbench.core.contracts import Dataset
from gcbench.core.errors import UserError
from gcbench.data import cityscapes_classes
from gcbench.data.folder import Folder
from gcbench.data.layouts import LabelIds, is_coloured, layout_ids
from gcbench.data.streets import Streets

STREETS = Streets.open()
PALETTE = np.array(cityscapes_classes.PALETTE, np.uint8)
WHERE = Path("x.png")
IDS = arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.integers(0, 19))


def saved(image: Image.Image, tmp_path: Path) -> Image.Image:
    """As a file gives it back."""
    image.save(tmp_path / "saved.png")
    with Image.open(tmp_path / "saved.png") as opened:
        opened.load()
        return opened.copy()


def with_table(ids: np.ndarray, table: np.ndarray) -> Image.Image:
    image = Image.fromarray(ids)
    image.putpalette(table.astype(np.uint8).ravel().tolist())
    return image


def toy(tmp_path: Path, palette: list[list[int]]) -> Dataset:
    root = tmp_path / "toy"
    for part, array in (("images", np.zeros((2, 2, 3), np.uint8)), ("layouts", np.zeros((2, 2), np.uint8))):
        (root / part).mkdir(parents=True)
        Image.fromarray(array).save(root / part / "a.png")
    (root / "dataset.toml").write_text(f'name = "toy"\nclasses = ["a", "b", "c"]\npalette = {palette}\n')
    return Folder(root)


@given(ids=IDS)
def test_colours_are_the_palettes(ids: np.ndarray) -> None:
    for image in (Image.fromarray(PALETTE[ids]), Image.fromarray(PALETTE[ids]).convert("RGBA")):
        assert np.array_equal(layout_ids(image, WHERE, STREETS), ids)


@given(ids=IDS, order=st.permutations(range(20)))
def test_a_colour_table_of_the_datasets_colours_in_any_order(ids: np.ndarray, order: list[int]) -> None:
    """As a tool that reduces colours writes it: the numbers in the file mean nothing, the colours all."""
    numbers = np.argsort(order).astype(np.uint8)[ids]
    assert np.array_equal(layout_ids(with_table(numbers, PALETTE[order]), WHERE, STREETS), ids)


def test_a_colour_table_of_which_only_black_occurs() -> None:
    """The table is the dataset's, so its black is void."""
    image = with_table(np.zeros((2, 2), np.uint8), PALETTE[::-1])
    assert (layout_ids(image, WHERE, STREETS) == cityscapes_classes.VOID).all()


def test_a_reduced_image(tmp_path: Path) -> None:
    ids = np.random.default_rng(0).integers(0, 20, (30, 40), np.uint8)
    reduced = saved(Image.fromarray(PALETTE[ids]).quantize(20), tmp_path)
    assert reduced.mode == "P"
    assert not np.array_equal(np.asarray(reduced), ids)
    assert np.array_equal(layout_ids(reduced, WHERE, STREETS), ids)


def test_numbers_with_the_datasets_own_table(tmp_path: Path) -> None:
    ids = np.random.default_rng(0).integers(0, 20, (9, 9), np.uint8)
    ids[0, 0] = 255
    image = saved(with_table(ids, np.concatenate([PALETTE, np.full((236, 3), 7)])), tmp_path)
    assert not is_coloured(image, STREETS.palette)
    expected = np.where(ids == 255, cityscapes_classes.VOID, ids)
    assert np.array_equal(layout_ids(image, WHERE, STREETS), expected)


@pytest.mark.parametrize("table", ["grey", "foreign"])
def test_numbers_with_a_foreign_table(tmp_path: Path, table: str) -> None:
    """A grey ramp and a table of other colours only dress the ids up; the black at 0 is nobody's class."""
    ids = np.random.default_rng(0).integers(0, 20, (9, 9), np.uint8)
    ids[0, 0] = 0
    colours = np.arange(256)[:, None].repeat(3, 1) if table == "grey" else np.arange(256)[:, None] * (1, 0, 0)
    image = saved(with_table(ids, colours), tmp_path)
    assert np.array_equal(layout_ids(image, WHERE, STREETS), ids)


def test_a_mixed_table_is_refused() -> None:
    """A colour code with a stray colour must not be taken for ids."""
    ids = np.array([[0, 1, 2, 2]], np.uint8)
    image = with_table(ids, np.array([cityscapes_classes.PALETTE[5], cityscapes_classes.PALETTE[3], (1, 2, 3)]))
    with pytest.raises(UserError, match=r"x\.png has 2 pixels of the colour \(1, 2, 3\), none of streets's 20 colours"):
        layout_ids(image, WHERE, STREETS)


def test_unknown_colours_are_counted() -> None:
    pixels = PALETTE[np.zeros((4, 5), int)].copy()
    pixels[0, :3] = (9, 8, 7)
    with pytest.raises(UserError, match=r"the layout x\.png has 3 pixels of the colour \(9, 8, 7\), none .* repaint"):
        layout_ids(Image.fromarray(pixels), WHERE, STREETS)
    pixels[1, :2] = (128, 64, 129)  # a road, almost
    pixels[2, 0] = (0, 0, 1)
    with pytest.raises(UserError, match=r"has 3 pixels of the colour \(9, 8, 7\) and 3 of 2 other colours, none"):
        layout_ids(Image.fromarray(pixels), WHERE, STREETS)


def test_what_colours_cannot_say(tmp_path: Path) -> None:
    data = toy(tmp_path, [[1, 1, 1], [2, 2, 2], [1, 1, 1]])
    assert layout_ids(Image.new("RGB", (2, 1), (2, 2, 2)), WHERE, data).tolist() == [[1, 1]]
    with pytest.raises(UserError, match=r"x\.png has the colour \(1, 1, 1\), which toy gives to a and c; save"):
        layout_ids(Image.new("RGB", (2, 1), (1, 1, 1)), WHERE, data)
    with pytest.raises(UserError, match=r"x\.png has 2 see-through pixels"):
        layout_ids(Image.new("RGBA", (2, 1), (2, 2, 2, 254)), WHERE, data)
    with pytest.raises(UserError, match=r"x\.png has CMYK pixels; save"):
        layout_ids(Image.new("CMYK", (2, 1)), WHERE, data)


def test_label_ids() -> None:
    """All 34 and the licence plate, by the table itself."""
    labels = np.array([[*range(34), 255]], np.uint8)
    train = dict(zip(cityscapes_classes.LABEL_IDS[:19], range(19), strict=True))
    expected = [train.get(label, cityscapes_classes.VOID) for label in labels[0].tolist()]
    assert layout_ids(Image.fromarray(labels), WHERE, STREETS, label_ids=True)[0].tolist() == expected
    with pytest.raises(UserError, match=r"x\.png holds 34, 254, which are no Cityscapes labelIds"):
        layout_ids(Image.fromarray(np.array([[7, 34, 254]], np.uint8)), WHERE, STREETS, label_ids=True)


def test_label_ids_are_noticed(tmp_path: Path) -> None:
    """By ids above 19, in a dataset of Cityscapes' classes only; 255 and ids up to 19 are train ids too."""
    with pytest.raises(LabelIds, match=r"x\.png holds 23, 26, as Cityscapes' labelIds do; map it to train ids"):
        layout_ids(Image.fromarray(np.array([[7, 26, 23, 11]], np.uint8)), WHERE, STREETS)
    same = np.array([[7, 19, 11, 255]], np.uint8)
    assert layout_ids(Image.fromarray(same), WHERE, STREETS).tolist() == [[7, 19, 11, cityscapes_classes.VOID]]
    with pytest.raises(UserError, match=r"holds the ids 40"):
        layout_ids(Image.fromarray(np.array([[40]], np.uint8)), WHERE, STREETS)
    with pytest.raises(UserError, match=r"holds the ids 23; map them"):
        layout_ids(Image.fromarray(np.array([[23]], np.uint8)), WHERE, toy(tmp_path, [[1, 1, 1], [2, 2, 2], [3, 3, 3]]))
