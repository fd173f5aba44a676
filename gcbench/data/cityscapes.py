"""Cityscapes in its standard tree, or anything exported into such a tree.

    <root>/leftImg8bit/<split>/<city>/<stem>_leftImg8bit.png
    <root>/gtFine/<split>/<city>/<stem>_gtFine_labelIds.png
    <root>/captions/100_captions.jsonl      optional, also accepted as <root>/100_captions.jsonl

The folder says the split, so the three cities of `val` are held out (the GCDP authors train on them too).
Captions are the authors' JSON lines if they are there; otherwise each image gets one, built in their
wording from every class that its layout holds, in an order seeded by its file name.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from gcbench.core.errors import UserError
from gcbench.data import cityscapes_classes, image_files
from gcbench.data.layouts import urban_ids
from gcbench.data.pair_files import Pair, PairFiles, generator, image_id, match
from gcbench.data.prompts import Line, read_prompts
from gcbench.text.captions import build_caption, present

IMAGE = "_leftImg8bit.png"
LAYOUT = "_gtFine_labelIds.png"
CAPTIONS = ("captions/100_captions.jsonl", "100_captions.jsonl")


class Cityscapes(PairFiles):
    """Street scenes of German cities in 19 classes + void. Images are taken as independent: each is its own group."""

    name = "cityscapes"
    content = "leftImg8bit and gtFine"
    classes = cityscapes_classes.CLASSES
    palette = cityscapes_classes.PALETTE
    void = cityscapes_classes.VOID
    size = (128, 256)
    aliases = cityscapes_classes.ALIASES

    def __init__(self, root: Path):
        self.root = Path(root)
        pairs: dict[str, list[Pair]] = {}
        missing: dict[str, list[str]] = {}
        for split in ("train", "val"):
            images = _by_key(self.root / "leftImg8bit" / split, IMAGE)
            layouts = _by_key(self.root / "gtFine" / split, LAYOUT)
            if images or layouts:
                pairs[split], missing[split] = match(images, layouts, self.root, lambda key: (key[1], key[1]))
        if not pairs:
            raise UserError(
                f"no Cityscapes images in {self.root}; put leftImg8bit/<split>/<city>/*{IMAGE} and"
                f" gtFine/<split>/<city>/*{LAYOUT} there, or use --dataset streets, which needs no files"
            )
        self.found, self.missing = pairs, missing
        self.splits = tuple(pairs)
        self._built: dict[str, tuple[str, ...]] = {}

    def read_layout(self, path: Path) -> np.ndarray:
        return urban_ids(image_files.read_layout(path), path)

    @cached_property
    def captions_file(self) -> Path | None:
        """The authors' captions, if they are there."""
        return next((self.root / name for name in CAPTIONS if (self.root / name).is_file()), None)

    @cached_property
    def _lines(self) -> Mapping[str, Line]:
        return read_prompts(self.captions_file) if self.captions_file else {}

    def captions_from_layouts(self, split: str) -> bool:
        return self.captions_file is None

    def captions(self, split: str, index: int) -> Sequence[str]:
        files = self.files(split, index)
        if self.captions_file:
            name = image_id(files.image.stem)
            if name not in self._lines:
                raise UserError(
                    f"{self.captions_file} has no line for {files.image.name}; add it, or remove the file"
                    " so that captions are built from the layouts"
                )
            return self._lines[name].text
        if files.id not in self._built:
            names = present(self.read_layout(files.layout), self.classes, self.void)
            self._built[files.id] = (build_caption(names, generator(files.image.name)),)
        return self._built[files.id]

    def _files(self) -> set[Path]:
        return super()._files() | ({self.captions_file} if self.captions_file else set())


def _by_key(folder: Path, ending: str) -> dict[tuple[str, str], Path]:
    """(city, stem) -> file."""
    return {(path.parent.name, image_id(path.name.removesuffix(ending))): path for path in folder.glob(f"*/*{ending}")}
