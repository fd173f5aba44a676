"""Reading and resizing, and that each mistake names its file and the remedy."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from gcbench.core.errors import UserError
from gcbench.data import image_files
from gcbench.data.unreadable_files import Unreadable


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
            image_files.read_image(path)
        with pytest.raises(UserError, match=r"cut\.png.*replace"):
            image_files.read_layout(path)


def test_absent_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"gone\.png \(No such file or directory\); put it back or take its pair out"):
        image_files.read_image(tmp_path / "gone.png")


def test_pixels_that_do_not_fit(tmp_path, rng):
    colour = save(tmp_path / "colour.png", rng.integers(0, 255, (4, 4, 3), np.uint8))
    with pytest.raises(UserError, match=r"colour\.png has RGB.*8-bit class ids"):
        image_files.read_layout(colour)
    deep = save(tmp_path / "deep.png", np.full((4, 4), 3000, np.uint16))
    with pytest.raises(UserError, match=r"deep\.png has I;16.*8-bit"):
        image_files.read_layout(deep)
    Image.new("F", (4, 4)).save(tmp_path / "real.png", "TIFF")
    with pytest.raises(UserError, match=r"real\.png \(it is TIFF, whatever its name\); save it as PNG"):
        image_files.read_image(tmp_path / "real.png")


def png(depth, kind, channels, samples):
    """A PNG of one row, written by hand: Pillow writes no 16 bits of more than one channel."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", len(samples) // channels, 1, depth, kind, 0, 0, 0)
    row = b"\0" + np.array(samples, f">u{depth // 8}").tobytes()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(row)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("depth", "kind", "channels", "samples", "expected"),
    [
        (8, 0, 1, [7, 200], [[7, 7, 7], [200, 200, 200]]),
        (8, 4, 2, [7, 255, 200, 0], [[7, 7, 7], [200, 200, 200]]),
        (8, 6, 4, [1, 2, 3, 255, 4, 5, 6, 0], [[1, 2, 3], [4, 5, 6]]),
        (16, 0, 1, [0x07FF, 0xFF00], [[7, 7, 7], [255, 255, 255]]),
        (16, 4, 2, [0x07FF, 0xFFFF, 0xFF00, 0], [[7, 7, 7], [255, 255, 255]]),
        (16, 2, 3, [0x01FF, 0x0200, 0xFF12], [[1, 2, 255]]),
        (16, 6, 4, [0x01FF, 0x0200, 0xFF12, 0x8000], [[1, 2, 255]]),
    ],
    ids=["grey", "grey, alpha", "rgb, alpha", "grey 16", "grey 16, alpha", "rgb 16", "rgb 16, alpha"],
)
def test_all_kinds_of_png_become_rgb(tmp_path, depth, kind, channels, samples, expected):
    """Alpha is left out, grey is repeated, of 16 bits the upper 8 stay."""
    (tmp_path / "a.png").write_bytes(png(depth, kind, channels, samples))
    assert image_files.read_image(tmp_path / "a.png").tolist() == [expected]


def test_cmyk_jpeg_becomes_rgb(tmp_path):
    """Each ink takes its share of the light away."""
    Image.new("CMYK", (16, 16), (255, 0, 51, 0)).save(tmp_path / "a.jpg", quality=100)
    pixels = image_files.read_image(tmp_path / "a.jpg").astype(int)
    assert np.abs(pixels - (0, 255, 204)).max() <= 3


def test_headers_are_read_without_decoding(tmp_path, rng):
    """A flipped bit in a PNG's data is known from its checksum; a JPEG's size and form from its first bytes."""
    path = save(tmp_path / "a.png", rng.integers(0, 255, (64, 48, 3), np.uint8))
    whole = path.read_bytes()
    assert image_files.header(whole, path, "image") == ((64, 48), False, False)
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for content in (b"", whole[:10], whole[: len(whole) // 2], whole[:-12], bytes(flipped)):
        with pytest.raises(Unreadable, match=r"cannot read the image .*a\.png \(.+\); replace the file"):
            image_files.header(content, path, "image")
    stream = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (64, 48, 3), np.uint8)).save(stream, "JPEG")
    assert image_files.header(stream.getvalue(), path, "image") == ((64, 48), True, False)


def test_grey_and_palette_files(tmp_path, rng):
    ids = rng.integers(0, 5, (4, 6), np.uint8)
    assert image_files.read_image(save(tmp_path / "grey.png", ids)).shape == (4, 6, 3)
    coloured = Image.fromarray(ids)
    coloured.putpalette(list(range(30)))
    coloured.save(tmp_path / "p.png")
    assert np.array_equal(image_files.read_layout(tmp_path / "p.png"), ids)


def test_strange_ids_are_named(tmp_path):
    layout = np.array([[0, 7, 9, 255]], np.uint8)
    with pytest.raises(UserError, match=r"x\.png holds the ids 7, 9; map them to the dataset's 0 to 4"):
        image_files.check_layout(layout, tmp_path / "x.png", 5, 4)
    with pytest.raises(UserError, match="255 means void, which this dataset lacks"):
        image_files.check_layout(layout, tmp_path / "x.png", 10, None)
    assert image_files.check_layout(layout, tmp_path / "x.png", 10, 2).tolist() == [[0, 7, 9, 2]]


def test_sizes_that_differ_name_both(tmp_path):
    with pytest.raises(UserError, match=r"a\.png is 4x6 .*/b\.png is 4x5; bring"):
        image_files.check_sizes(np.zeros((4, 6, 3)), np.zeros((4, 5)), tmp_path / "a.png", tmp_path / "b.png")
    with pytest.raises(UserError, match=r"b\.png is 6x4 \(does the EXIF orientation of one turn it\?\); bring"):
        image_files.check_sizes(np.zeros((4, 6, 3)), np.zeros((6, 4)), tmp_path / "a.png", tmp_path / "b.png")


def test_box_filter_is_the_mean_of_blocks(rng):
    image = rng.integers(0, 255, (8, 12, 3), np.uint8)
    mean = image.reshape(4, 2, 4, 3, 3).mean((1, 3))
    assert np.abs(image_files.resize_image(image, (4, 4)) - mean).max() <= 1  # two passes, each rounded


def test_nearest_takes_pixels(rng):
    layout = rng.integers(0, 20, (9, 9), np.uint8)
    assert np.array_equal(image_files.resize_layout(layout, (3, 3)), layout[1::3, 1::3])
    assert np.array_equal(image_files.resize_layout(layout, (3, 3), (0, 0, 3, 3)), layout[:3, :3])
    assert np.array_equal(image_files.resize_layout(layout, (9, 9)), layout)
