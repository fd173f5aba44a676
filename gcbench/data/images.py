"""Read pictures and layouts, and bring them to size: pictures by area, layouts by the nearest pixel."""

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from gcbench.core.contracts import Size
from gcbench.core.errors import UserError

RESIZE = "box"
"""The filter's name in protocols: each pixel is the mean of the area that it covers."""

VOID_IN_FILE = 255
"""This id means void in a file, whatever void's own id is."""

Box = tuple[float, float, float, float]
"""(left, top, right, bottom) in pixels."""

_BROKEN = (OSError, SyntaxError, ValueError, struct.error, zlib.error, Image.DecompressionBombError)


def _read(path: Path, what: str) -> Image.Image:
    try:
        with Image.open(path) as image:
            image.load()
            return image.copy()
    except FileNotFoundError as error:
        raise UserError(f"{path} is not there; put the {what} back or take its pair out") from error
    except _BROKEN as error:
        raise UserError(f"cannot read the {what} {path} ({error}); replace the file") from error


def read_picture(path: Path) -> np.ndarray:
    """An RGB picture, uint8 [H,W,3].

    Raises:
        UserError: the file is absent, truncated or no picture of 8 bits a channel.
    """
    image = _read(path, "picture")
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        raise UserError(f"the picture {path} has {image.mode} pixels; save it with 8 bits a channel")
    return np.array(image.convert("RGB"))  # [H,W,3]


def read_layout(path: Path) -> np.ndarray:
    """The ids of a layout as they stand in the file, uint8 [H,W].

    Raises:
        UserError: the file is absent, truncated or has colours instead of ids.
    """
    image = _read(path, "layout")
    array = np.asarray(image)
    if image.mode == "1":
        return array.astype(np.uint8)
    if array.ndim != 2 or image.mode == "F" or array.min() < 0 or array.max() > 255:
        raise UserError(f"the layout {path} has {image.mode} pixels; save it as 8-bit class ids, one channel")
    return array.astype(np.uint8)  # [H,W]


def check_layout(layout: np.ndarray, path: Path, classes: int, void: int | None) -> np.ndarray:
    """The layout with 255 read as void, uint8 [H,W].

    Raises:
        UserError: it holds ids that are no class of the dataset.
    """
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


def check_sizes(picture: np.ndarray, layout: np.ndarray, picture_path: Path, layout_path: Path) -> None:
    """Raise a UserError that names both files if a layout has another size than its picture."""
    if picture.shape[:2] != layout.shape:
        raise UserError(
            f"{picture_path} is {picture.shape[0]}x{picture.shape[1]} (HxW) but its layout {layout_path} is"
            f" {layout.shape[0]}x{layout.shape[1]}; bring one to the other's size"
        )


def resize_picture(picture: np.ndarray, size: Size, box: Box | None = None) -> np.ndarray:
    """The picture, or a box of it, at `size` by area, uint8 [H,W,3]."""
    return _resize(picture, size, box, Image.Resampling.BOX)


def resize_layout(layout: np.ndarray, size: Size, box: Box | None = None) -> np.ndarray:
    """The layout, or a box of it, at `size` by the nearest pixel, uint8 [H,W]."""
    return _resize(layout, size, box, Image.Resampling.NEAREST)


def _resize(array: np.ndarray, size: Size, box: Box | None, how: Image.Resampling) -> np.ndarray:
    if box is None and array.shape[:2] == tuple(size):
        return array
    return np.array(Image.fromarray(array).resize((size[1], size[0]), how, box=box))
