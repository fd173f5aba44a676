"""GCDP's sheets: its sampler saves a batch as one PNG, a row of images above a row of their coloured layouts.

A sheet of one image has its layout beside it. Tiles stand two white pixels apart and from the edge (torchvision's
`save_image`). No colour of a layout is white, so the white lines say where the tiles are.
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from gcbench.core.contracts import Size
from gcbench.core.errors import UserError
from gcbench.data import image_files
from gcbench.data.image_sources import Facts, Source, by_stem
from gcbench.data.unreadable_files import Kind

PADDING = 2
NAME = re.compile(r"(?P<run>.*)_(?P<last>\d+)_(?P<unet>\d+)")
"""`<--save_path>_<number of the last image in the sheet>_<number of the U-Net that made it>`."""


class Tile(NamedTuple):
    """One image, or one layout, in a sheet. corner: (top, left)."""

    sheet: Path
    corner: tuple[int, int]
    size: Size


class Tiles(Source):
    """The images or the layouts of sheets; ids are the numbers of the images, in at least six digits."""

    def __init__(self, path: Path, kind: Kind, tiles: Mapping[str, Tile]):
        self.path, self.kind, self._tiles = path, kind, tiles
        self.ids = tuple(tiles)
        self._open: tuple[Path, Image.Image] | None = None  # the sheet read last: neighbours lie in it

    def place(self, name: str) -> Path:
        return self._tiles[name].sheet

    def look(self, name: str) -> Facts:
        return Facts(hashlib.sha256(self.image(name).tobytes()).hexdigest()[:12], self._tiles[name].size, False)

    def image(self, name: str) -> Image.Image:
        sheet, (top, left), (height, width) = self._tiles[name]
        if self._open is None or self._open[0] != sheet:
            self._open = sheet, image_files.decode(image_files.read_file(sheet, self.kind), sheet, self.kind)
        return self._open[1].crop((left, top, left + width, top + height))


def sheets(folder: Path) -> dict[int, Path]:
    """Number of its last image -> sheet, in rising order; of several U-Nets, those of the last.
    UserError: the folder holds sheets of two runs."""
    files = [(NAME.fullmatch(stem), path) for stem, path in by_stem(folder, (".png",)).items()]
    named = [(match, path) for match, path in files if match is not None]
    last_unet = max((int(match["unet"]) for match, _ in named), default=0)
    named = [(match, path) for match, path in named if int(match["unet"]) == last_unet]
    runs = sorted({match["run"] for match, _ in named})
    if len(runs) > 1:
        raise UserError(
            f"{folder} holds sheets of {len(runs)} runs, {' and '.join(runs[:2])}; give each its own folder"
        )
    return dict(sorted((int(match["last"]), path) for match, path in named))


def first_named(folder: Path) -> Path | None:
    return next((path for stem, path in by_stem(folder, (".png",)).items() if NAME.fullmatch(stem)), None)


def is_sheet(path: Path) -> bool:
    """Whether a file is laid out as GCDP's sampler does."""
    return _layout(path) is not None


def read_sheets(folder: Path) -> tuple[Tiles, Tiles]:
    """The images and the layouts of a folder of sheets.
    UserError: no sheets, a file that is none, or sheets that overlap."""
    images: dict[str, Tile] = {}
    layouts: dict[str, Tile] = {}
    for last, path in sheets(folder).items():
        layout = _layout(path)
        if layout is None:
            raise UserError(f"{path} is no sheet of images above their coloured layouts; take it out of the folder")
        size, count = layout
        for j in range(count):
            name = f"{last - count + 1 + j:06d}"
            if name in images:
                raise UserError(f"{path} and {images[name].sheet.name} both hold image {int(name)}; take one out")
            left = PADDING + j * (size[1] + PADDING)
            below = (PADDING + size[0] + PADDING, left)
            beside = (PADDING, left + size[1] + PADDING)
            images[name] = Tile(path, (PADDING, left), size)
            layouts[name] = Tile(path, beside if count == 1 else below, size)
    return Tiles(folder, "image", images), Tiles(folder, "layout", layouts)


def _layout(path: Path) -> tuple[Size, int] | None:
    """(the tiles' size, how many images) of a sheet; None if the file is none."""
    white = (image_files.read_image(path) == 255).all(-1)  # [H,W]
    rows, columns = white.shape
    edges: tuple[int, ...]
    below = rows // 2 - 1  # first of the two lines between the rows of tiles
    if rows % 2 == 0 and rows > 3 * PADDING and white[below : below + PADDING].all():
        edges, height = (0, below, rows - PADDING), rows // 2 - 3
        counts = [n for n in range(columns // (PADDING + 1), 1, -1) if (columns - PADDING) % n == 0]
    else:
        edges, height = (0, rows - PADDING), rows - 2 * PADDING
        counts = [2] if columns % 2 == 0 else []
    lines = white.all(0)  # [W]: no such line crosses a layout
    for n in counts:
        step = (columns - PADDING) // n
        starts = np.arange(n + 1) * step
        if step > PADDING and height > 0 and lines[starts].all() and lines[starts + 1].all():
            if not all(white[edge : edge + PADDING].all() for edge in edges):
                return None
            return (height, step - PADDING), n if len(edges) == 3 else 1
    return None
