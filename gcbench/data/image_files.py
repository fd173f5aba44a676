"""Read images and layouts, and bring them to size: images by area, layouts by the nearest pixel.

A file is PNG or JPEG, whatever its name says, and a regular file: its size in pixels is bounded before it is decoded,
and an EXIF orientation is carried out. Of an animated PNG and of a JPEG with several images the first is read.
"""

import io
import os
import re
import stat
import struct
import warnings
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image

from gcbench.core.contracts import Size
from gcbench.core.errors import UserError
from gcbench.data.unreadable_files import Kind, Unreadable

RESIZE = "box"
"""The filter's name in protocols: each pixel is the mean of the area that it covers."""

NEAREST = "nearest"
"""Where images too come to size by the nearest pixel, as the GCDP authors bring them: the one at the corner of what a
pixel covers, so that a layout must be taken there too."""

VOID_IN_FILE = 255
"""This id means void in a file, whatever void's own id is."""

MOST_PIXELS = 100_000_000
"""An image has no more: about what the largest cameras make, and reading one takes 1 GB of memory."""

MOST_BYTES = 1 << 30
"""A file has no more: above what so many pixels take uncompressed, at 16 bits a channel."""

Box = tuple[float, float, float, float]
"""(left, top, right, bottom) in pixels."""

_BROKEN = (OSError, SyntaxError, ValueError, LookupError, TypeError, OverflowError, struct.error, zlib.error)
"""What Pillow raises for damaged files."""
_PNG = b"\x89PNG\r\n\x1a\n"
_MANY = f"it has more than {MOST_PIXELS // 10**6} million pixels"

_OTHERS = {
    rb"RIFF....WEBP": "WebP",
    rb"GIF8": "GIF",
    rb"BM": "BMP",
    rb"II\*\0|MM\0\*": "TIFF",
    rb"....ftyp": "HEIC or AVIF",
    rb"%!PS": "PostScript",
}
"""How files of other formats begin, for messages."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what brings the stored pixels upright; 1 and what is no orientation leave them."""


class Header(NamedTuple):
    """What a file says before it is decoded. size: (H, W), upright. turned: whether its orientation is carried out."""

    size: Size
    jpeg: bool
    turned: bool


def regular(path: Path, kind: Kind) -> int:
    """The bytes of a regular file. Unreadable for what is none: absent, a dangling link, a pipe, a device, a folder."""
    try:
        status = os.stat(path)
    except OSError as error:
        if os.path.islink(path):
            reason = f"it links to {os.readlink(path)}, {(error.strerror or str(error)).lower()}"
            raise Unreadable(kind, path, reason, "mend the link or take it out") from error
        raise Unreadable(kind, path, error.strerror or str(error), "put it back or take its pair out") from error
    if not stat.S_ISREG(status.st_mode):
        raise Unreadable(kind, path, "it is a folder, a pipe or a device", "replace it by a file or take it out")
    return status.st_size


def read_file(path: Path, kind: Kind) -> bytes:
    """The content of a regular file of bounded size. Unreadable if it is none."""
    if regular(path, kind) > MOST_BYTES:
        raise Unreadable(kind, path, f"it has more than {MOST_BYTES >> 30} GiB", "make it smaller")
    try:
        return path.read_bytes()
    except OSError as error:
        raise Unreadable(kind, path, error.strerror or str(error)) from error


def header(content: bytes, place: Path, kind: Kind) -> Header:
    """The size, form and orientation of an image, without decoding it.

    A PNG's checksums are checked too, so that a truncated one is known.

    Raises:
        Unreadable: it is empty, truncated, no PNG or JPEG, too large, or has no pixels.
    """
    image = _open(content, place, kind)
    try:
        image.verify()
    except _BROKEN as error:
        raise Unreadable(kind, place, str(error)) from error
    orientation = _orientation(image)
    size = (image.width, image.height) if orientation >= 5 else (image.height, image.width)
    return Header(size, image.format in ("JPEG", "MPO"), orientation > 1)


def decode(content: bytes, place: Path, kind: Kind) -> Image.Image:
    """The image of a file that messages call `place`, decoded and upright. Unreadable: as in `header`."""
    image = _open(content, place, kind)
    if kind == "layout" and content.startswith(_PNG) and content[24:26] in (b"\2\0", b"\4\0"):
        reason = f"its grey has {content[24]} bits, of which no ids can be told"
        raise Unreadable(kind, place, reason, "save it as 8-bit class ids")
    try:
        with warnings.catch_warnings(action="ignore"):
            image.load()
    except _BROKEN as error:
        raise Unreadable(kind, place, str(error)) from error
    turn = _TURNS.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


def _open(content: bytes, place: Path, kind: Kind) -> Image.Image:
    try:
        with warnings.catch_warnings(action="ignore"):  # of what is refused here, or does not touch the pixels
            image = Image.open(io.BytesIO(_bare(content)), formats=("PNG", "JPEG"))
    except Image.UnidentifiedImageError as error:
        for magic, name in _OTHERS.items():
            if re.match(magic, content, re.DOTALL):
                raise Unreadable(kind, place, f"it is {name}, whatever its name", "save it as PNG") from error
        raise Unreadable(kind, place, "it is empty or no image") from error
    except Image.DecompressionBombError as error:
        raise Unreadable(kind, place, _MANY, "make it smaller") from error
    except _BROKEN as error:
        raise Unreadable(kind, place, str(error)) from error
    if kind == "layout" and image.format != "PNG":
        raise Unreadable(kind, place, "it is JPEG, which blurs ids", "save it as PNG")
    if image.width * image.height > MOST_PIXELS:
        raise Unreadable(kind, place, _MANY, "make it smaller")
    return image


def _bare(content: bytes) -> bytes:
    """A PNG of the chunks that make its first image, its EXIF among the first.

    Others (texts, profiles, further frames) may be of any size once they are unpacked, and change no pixel."""
    if not content.startswith(_PNG):
        return content
    first, others, start = [], [], len(_PNG)
    while start < len(content):
        name = content[start + 4 : start + 8]
        end = start + 12 + int.from_bytes(content[start : start + 4], "big")
        if name in (b"IHDR", b"eXIf"):
            first.append(content[start:end])
        elif name[:1].isupper() or name == b"tRNS":  # an upper-case name: decoders must know the chunk
            others.append(content[start:end])
        if name == b"IEND":
            break
        start = end
    return b"".join((_PNG, *first, *others))


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none or the EXIF is damaged, as browsers take it."""
    exif = Image.Exif()
    try:
        with warnings.catch_warnings(action="ignore"):
            exif.load(image.info.get("exif", b""))
            orientation = exif.get(ExifTags.Base.Orientation)
    except _BROKEN:
        return 1
    return orientation if isinstance(orientation, int) and orientation in _TURNS else 1


def rgb(image: Image.Image) -> np.ndarray:
    """A decoded image as RGB, uint8 [H,W,3].

    Grey, palette and CMYK are converted, alpha is left out, 16 bits a channel become their upper 8."""
    if image.mode.startswith("I"):
        return np.repeat((np.asarray(image) >> 8).astype(np.uint8)[..., None], 3, axis=-1)
    image.info.pop("transparency", None)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))  # [H,W,3]


def plain_ids(image: Image.Image, place: Path) -> np.ndarray:
    """The ids of a decoded layout as they stand in the file, uint8 [H,W]. UserError: it has colours instead of ids."""
    array = np.asarray(image)
    if image.mode == "1":
        return array.astype(np.uint8)
    if array.ndim != 2 or image.mode == "F" or array.min() < 0 or array.max() > 255:
        raise UserError(f"the layout {place} has {image.mode} pixels; save it as 8-bit class ids, one channel")
    return array.astype(np.uint8)  # [H,W]


def read_image(path: Path) -> np.ndarray:
    """An RGB image, uint8 [H,W,3]. Unreadable: the file is absent, truncated, too large or no PNG or JPEG."""
    return rgb(decode(read_file(path, "image"), path, "image"))


def read_layout(path: Path) -> np.ndarray:
    """The ids of a layout as they stand in the file, uint8 [H,W].
    UserError: the file is absent, truncated or has colours instead of ids."""
    return plain_ids(decode(read_file(path, "layout"), path, "layout"), path)


def check_layout(layout: np.ndarray, path: Path, classes: int, void: int | None) -> np.ndarray:
    """The layout with 255 read as void, uint8 [H,W]. UserError: it holds ids that are no class of the dataset."""
    if void is not None:
        layout = np.where(layout == VOID_IN_FILE, np.uint8(void), layout)
    if layout.max() >= classes:
        strange = np.unique(layout[layout >= classes]).tolist()
        hint = " (255 means void, which this dataset lacks)" if VOID_IN_FILE in strange else ""
        raise UserError(
            f"the layout {path} holds the ids {', '.join(map(str, strange))}{hint};"
            f" map them to the dataset's 0 to {classes - 1}"
        )
    return layout


def check_sizes(image: np.ndarray, layout: np.ndarray, image_path: Path, layout_path: Path) -> None:
    """Raise a UserError that names both files if a layout has another size than its image."""
    if image.shape[:2] != layout.shape:
        turned = " (does the EXIF orientation of one turn it?)" if image.shape[1::-1] == layout.shape else ""
        raise UserError(
            f"{image_path} is {image.shape[0]}x{image.shape[1]} (HxW) but its layout {layout_path} is"
            f" {layout.shape[0]}x{layout.shape[1]}{turned}; bring one to the other's size"
        )


def resize_image(image: np.ndarray, size: Size, box: Box | None = None) -> np.ndarray:
    """The image, or a box of it, at `size` by area, uint8 [H,W,3]."""
    return _resize(image, size, box, Image.Resampling.BOX)


def resize_layout(layout: np.ndarray, size: Size, box: Box | None = None) -> np.ndarray:
    """The layout, or a box of it, at `size` by the nearest pixel, uint8 [H,W]."""
    return _resize(layout, size, box, Image.Resampling.NEAREST)


def resize_pair(
    image: np.ndarray, layout: np.ndarray, size: Size, box: Box | None = None, *, nearest: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """A pair, or a box of it in the layout's pixels, at `size`. nearest: the image too by the nearest pixel."""
    if nearest:
        return _corners(image, size, box, layout.shape), _corners(layout, size, box, layout.shape)
    return resize_image(image, size, box), resize_layout(layout, size, box)


def _corners(array: np.ndarray, size: Size, box: Box | None, shape: tuple[int, ...]) -> np.ndarray:
    """By the pixel at the upper left corner of what each covers. box: in an array of `shape`, (H, W)."""
    left, top, right, bottom = box or (0, 0, shape[1], shape[0])
    ends = (top, bottom, array.shape[0] / shape[0]), (left, right, array.shape[1] / shape[1])
    rows, columns = (
        ((start + np.arange(n) * (end - start) / n) * scale + 1e-6).astype(int)
        for n, (start, end, scale) in zip(size, ends, strict=True)
    )
    return array[rows][:, columns]


def _resize(array: np.ndarray, size: Size, box: Box | None, how: Image.Resampling) -> np.ndarray:
    if box is None and array.shape[:2] == tuple(size):
        return array
    return np.array(Image.fromarray(array).resize((size[1], size[0]), how, box=box))
