"""COCO-Stuff (164K) in the trees that its page and COCO's own files make.

    <root>/images/{train,val}2017/000000000009.jpg                or {train,val}2017/
    <root>/annotations/{train,val}2017/000000000009.png           or stuffthingmaps/{train,val}2017/
    <root>/annotations/captions_{train,val}2017.json              COCO's captions, about five an image

The annotations are the PNG files of `stuffthingmaps_trainval2017.zip`: 0 to 181 is a label id less one, with gaps, and
255 is unlabeled, void here. The official splits are the folders: 118287 images to train, 5000 to validate.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from gcbench.core.errors import UserError
from gcbench.data import coco_stuff_classes, image_files
from gcbench.data.image_sources import by_stem
from gcbench.data.pair_files import PairFiles, match_splits
from gcbench.data.prompts import Line, read_prompts

SPLITS = {"train": "train2017", "val": "val2017"}
"""Split -> its folder."""
IMAGES = ("images", ".")
LAYOUTS = ("stuffthingmaps", "stuffthingmaps_trainval2017", "annotations")


class CocoStuff(PairFiles):
    """COCO's photographs in 171 classes (80 things, 91 kinds of stuff) + void, with COCO's captions."""

    name = "coco-stuff"
    content = "images, stuffthingmaps and captions of COCO 2017"
    classes = coco_stuff_classes.CLASSES
    palette = coco_stuff_classes.PALETTE
    void = coco_stuff_classes.VOID
    size = (256, 256)
    aliases = coco_stuff_classes.ALIASES
    official: Mapping[str, int] = {"train": 118287, "val": 5000}

    def __init__(self, root: Path):
        self.root = Path(root)
        files_of = {
            split: (by_stem(_first(self.root, IMAGES, folder)), by_stem(_first(self.root, LAYOUTS, folder), (".png",)))
            for split, folder in SPLITS.items()
        }
        pairs, missing = match_splits(files_of, self.root)
        if not pairs:
            raise UserError(
                f"no COCO-Stuff images in {self.root}; put images/train2017/*.jpg and the stuffthingmaps"
                " annotations/train2017/*.png, and the same of val2017, there, or use --dataset streets, which needs"
                " no files"
            )
        self.found, self.missing, self.splits = pairs, missing, tuple(pairs)
        self._lines: dict[str, Mapping[str, Line]] = {}

    def read_layout(self, path: Path) -> np.ndarray:
        values = image_files.read_layout(path)
        layout = coco_stuff_classes.CLASS_OF_PIXEL[values]
        if (wrong := layout == coco_stuff_classes.NO_LABEL).any():
            strange = ", ".join(map(str, np.unique(values[wrong]).tolist()))
            raise UserError(
                f"the annotation {path} holds {strange}, which are no labels of COCO-Stuff's stuffthingmaps (a label id"
                " less one, 255 for unlabeled); replace the file"
            )
        return layout

    def captions(self, split: str, index: int) -> Sequence[str]:
        files = self.files(split, index)
        if split not in self._lines:
            self._lines[split] = self._read_captions(split)
        if files.id not in self._lines[split]:
            raise UserError(f"{self._captions_file(split)} has no caption of {files.image.name}; put COCO's file there")
        return self._lines[split][files.id].text

    def _captions_file(self, split: str) -> Path:
        return self.root / "annotations" / f"captions_{SPLITS[split]}.json"

    def _read_captions(self, split: str) -> Mapping[str, Line]:
        path = self._captions_file(split)
        if not path.is_file():
            raise UserError(f"{path} is not there; put COCO's captions (of annotations_trainval2017.zip) there")
        return read_prompts(path)

    def _files(self) -> set[Path]:
        captions = {path for split in self.splits if (path := self._captions_file(split)).is_file()}
        return super()._files() | captions


def _first(root: Path, parents: Sequence[str], folder: str) -> Path:
    """The folder in the first of its parents that has it."""
    return next((root / parent / folder for parent in parents if (root / parent / folder).is_dir()), root / folder)
