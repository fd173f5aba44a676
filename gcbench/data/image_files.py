"""Read images and layouts, and bring them to size: images by area, layouts by the nearest pixel."""

import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from gcbench.core.contracts import Size
from gcbench.core.errors import UserError
from gcbench.data.unreadable_files import Kind, Unreadable

RESIZE = "box"
"""The filter's name in protocols: each pixel is the mean of the area that it covers."""

VOID_IN_FILE = 255
"""This id means void in a file, whatever void's own id is."""

Box = tuple[float, float, float, float]
"""(left, top, right, bottom) in pixels."""

_BROKEN = (OSError, SyntaxError, ValueError, struct.error, zlib.error, Image.DecompressionBombError)


def header(file: BinaryIO, place: Path, kind: Kind) -> tuple[Size, bool]:
    """The size of a file's image, and whether it is JPEG, without decoding it.

    A PNG's checksums are checked too, so that a truncated one is known.

    Raises:
        Unreadable: it is empty, truncated, no image, or has no pixels.
    """
    image = _open(file, place, kind)
    try:
        image.verify()
    except _BROKEN as error:
        raise Unreadable(kind, place, str(error)) from error
    return (image.height, image.width), image.format in ("JPEG", "MPO")


def decode(file: Path | BinaryIO, place: Path, kind: Kind) -> Image.Image:
    """The decoded image of a file that messages call `place`. UserError: it is absent, truncated or no image."""
    try:
        with _open(file, place, kind) as image:
            image.load()
            return image.copy()
    except _BROKEN as error:
        raise Unreadable(kind, place, str(error)) from error


def _open(file: Path | BinaryIO, place: Path, kind: Kind) -> Image.Image:
    try:
        return Image.open(file)
    except FileNotFoundError as error:
        raise UserError(f"{place} is not there; put the {kind} back or take its pair out") from error
    except Image.UnidentifiedImageError as error:
        raise Unreadable(kind, place, "it is empty or no image") from error
    except _BROKEN as error:
        raise Unreadable(kind, place, str(error)) from error


def rgb(image: Image.Image, place: Path) -> np.ndarray:
    """A decoded image as RGB, uint8 [H,W,3].

    Grey, palette and CMYK are converted, alpha is left out, 16 bits a channel become their upper 8.
    UserError: it has 32 bits a channel, whose range no file states."""
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise UserError(f"the image {place} has {image.mode} pixels; save it with 8 bits a channel")
    return np.array(image.convert("RGB"))  # [H,W,3]


def plain_ids(image: Image.Image, place: Path) -> np.ndarray:
    """The ids of a decoded layout as they stand in the file, uint8 [H,W]. UserError: it has colours instead of ids."""
    array = np.asarray(image)
    if image.mode == "1":
        return array.astype(np.uint8)
    if array.ndim != 2 or image.mode == "F" or array.min() < 0 or array.max() > 255:
        raise UserError(f"the layout {place} has {image.mode} pixels; save it as 8-bit class ids, one channel")
    return array.astype(np.uint8)  # [H,W]


def read_image(path: Path) -> np.ndarray:
    """An RGB image, uint8 [H,W,3]. UserError: the file is absent, truncated or no image of 8 or 16 bits a channel."""
    return rgb(decode(path, path, "image"), path)


def read_layout(path: Path) -> np.ndarray:
    """The ids of a layout as they stand in the file, uint8 [H,W].
    UserError: the file is absent, truncated or has colours instead of ids."""
    return plain_ids(decode(path, path, "layout"), path)


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
        raise UserError(
            f"{image_path} is {image.shape[0]}x{image.shape[1]} (HxW) but its layout {layout_path} is"
            f" {layout.shape[0]}x{layout.shape[1]}; bring one to the other's size"
        )


def resize_image(image: np.ndarray, size: Size, box: Box | None = None) -> np.ndarray:
    """The image, or a box of it, at `size` by area, uint8 [H,W,3]."""
    return _resize(image, size, box, Image.Resampling.BOX)


def resize_layout(layout: np.ndarray, size: Size, box: Box | None = None) -> np.ndarray:
    """The layout, or a box of it, at `size` by the nearest pixel, uint8 [H,W]."""
    return _resize(layout, size, box, Image.Resampling.NEAREST)


def _resize(array: np.ndarray, size: Size, box: Box | None, how: Image.Resampling) -> np.ndarray:
    if box is None and array.shape[:2] == tuple(size):
        return array
    return np.array(Image.fromarray(array).resize((size[1], size[0]), how, box=box))
