"""CelebAMask-HQ's raw masks: one file a part, merged here into one layout.

    <folder>/<k>/<00000>_<part>.png         k = id // 2000; not 0 where the part is

The parts are painted in the order of CLASSES, each over those before it, as the dataset's own `g_mask.py` does: an eye
lies on its glasses, hair on skin. A part that is hidden has no file.
"""

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from gcbench.core.errors import UserError
from gcbench.core.files import text_hash
from gcbench.data import image_files
from gcbench.data.celeba_parts import CLASSES

PARTS = CLASSES[1:]


def find_parts(folder: Path) -> dict[str, tuple[str, ...]]:
    """Id -> the files of its parts, in the order in which they are painted.
    UserError: a PNG is not called `<id>_<part>.png`."""
    files: dict[str, dict[int, str]] = defaultdict(dict)  # of strings: there are some 400 000 files
    places = {part: place for place, part in enumerate(PARTS)}
    for entry in sorted(path for path in folder.iterdir() if path.is_dir() and path.name.isdecimal()):
        for name in os.listdir(entry):
            stem, ending = os.path.splitext(name)
            number, _, part = stem.partition("_")
            if ending.lower() != ".png" or name.startswith("."):
                continue
            if not number.isdecimal() or part not in places:
                raise UserError(f"{entry / name} is no part of CelebAMask-HQ; call it <id>_<part>.png or remove it")
            files[str(int(number))][places[part]] = f"{entry}{os.sep}{name}"
    return {name: tuple(parts[place] for place in sorted(parts)) for name, parts in files.items()}


def hash_parts(files: Mapping[str, Sequence[str]]) -> str:
    """A hash of the sorted list of files with their sizes."""
    sizes = {path: image_files.regular(Path(path), "layout") for parts in files.values() for path in parts}
    return text_hash(*(f"{os.sep.join(path.rsplit(os.sep, 2)[1:])} {size}" for path, size in sorted(sizes.items())))


def merge_parts(files: Sequence[str]) -> np.ndarray:
    """The layout of a face from the masks of its parts, uint8 [H,W] of CLASSES; what is no part is background.
    UserError: a file is unreadable, or the masks differ in size."""
    layout: np.ndarray | None = None
    for path in map(Path, files):
        mask = image_files.read_image(path)[:, :, 0]  # [H,W]; the files are grey or RGB
        if layout is None:
            layout = np.zeros(mask.shape, np.uint8)
        if mask.shape != layout.shape:
            raise UserError(
                f"{path} is {mask.shape[0]}x{mask.shape[1]} (HxW) but {Path(files[0]).name} is"
                f" {layout.shape[0]}x{layout.shape[1]}; bring the masks of an image to one size"
            )
        layout[mask != 0] = CLASSES.index(path.stem.partition("_")[2])
    if layout is None:
        raise UserError("a face has no masks of its parts; put <id>_<part>.png there")
    return layout
