"""Reading and resizing, and that each mistake names its file and the mend."""

import numpy as np
import pytest
from PIL import Image

from gcbench.core.errors import UserError
from gcbench.data import images


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def save(path, array):
    Image.fromarray(array).save(path)
    return path


def test_truncated_files_are_named(tmp_path, rng):
    path = save(tmp_path / "cut.png", rng.integers(0, 255, (64, 64, 3), np.uint8))
    whole = path.read_bytes()
    for length in (0, 10, 60, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"cut\.png.*replace"):
            images.read_picture(path)
        with pytest.raises(UserError, match=r"cut\.png.*replace"):
            images.read_layout(path)


def test_absent_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"gone\.png is not there; put"):
        images.read_picture(tmp_path / "gone.png")


def test_pixels_that_do_not_fit(tmp_path, rng):
    colour = save(tmp_path / "colour.png", rng.integers(0, 255, (4, 4, 3), np.uint8))
    with pytest.raises(UserError, match=r"colour\.png has RGB.*8-bit class ids"):
        images.read_layout(colour)
    deep = save(tmp_path / "deep.png", np.full((4, 4), 3000, np.uint16))
    with pytest.raises(UserError, match=r"deep\.png has I;16.*8 bits"):
        images.read_picture(deep)
    with pytest.raises(UserError, match=r"deep\.png has I;16.*8-bit"):
        images.read_layout(deep)


def test_grey_and_palette_files(tmp_path, rng):
    ids = rng.integers(0, 5, (4, 6), np.uint8)
    assert images.read_picture(save(tmp_path / "grey.png", ids)).shape == (4, 6, 3)
    coloured = Image.fromarray(ids)
    coloured.putpalette(list(range(30)))
    coloured.save(tmp_path / "p.png")
    assert np.array_equal(images.read_layout(tmp_path / "p.png"), ids)


def test_strange_ids_are_named(tmp_path):
    layout = np.array([[0, 7, 9, 255]], np.uint8)
    with pytest.raises(UserError, match=r"x\.png holds the ids 7, 9; map them to the dataset's 0 to 4"):
        images.check_layout(layout, tmp_path / "x.png", 5, 4)
    with pytest.raises(UserError, match="255 means void, which this dataset lacks"):
        images.check_layout(layout, tmp_path / "x.png", 10, None)
    assert images.check_layout(layout, tmp_path / "x.png", 10, 2).tolist() == [[0, 7, 9, 2]]


def test_sizes_that_differ_name_both(tmp_path):
    with pytest.raises(UserError, match=r"a\.png is 4x6 .*/b\.png is 4x5; bring"):
        images.check_sizes(np.zeros((4, 6, 3)), np.zeros((4, 5)), tmp_path / "a.png", tmp_path / "b.png")


def test_box_filter_is_the_mean_of_blocks(rng):
    picture = rng.integers(0, 255, (8, 12, 3), np.uint8)
    mean = picture.reshape(4, 2, 4, 3, 3).mean((1, 3))
    assert np.abs(images.resize_picture(picture, (4, 4)) - mean).max() <= 1  # two passes, each rounded


def test_nearest_takes_pixels(rng):
    layout = rng.integers(0, 20, (9, 9), np.uint8)
    assert np.array_equal(images.resize_layout(layout, (3, 3)), layout[1::3, 1::3])
    assert np.array_equal(images.resize_layout(layout, (3, 3), (0, 0, 3, 3)), layout[:3, :3])
    assert np.array_equal(images.resize_layout(layout, (9, 9)), layout)
