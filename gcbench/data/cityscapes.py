"""Cityscapes in its standard tree, or anything exported into such a tree.

    <root>/leftImg8bit/<split>/<city>/<stem>_leftImg8bit.png
    <root>/gtFine/<split>/<city>/<stem>_gtFine_labelIds.png     or _labelTrainIds.png, file by file
    <root>/captions/{25,50,100}_captions.jsonl      optional; `caption_lists` says where else

Each tree may lie in a folder of its zip's name, leftImg8bit_trainvaltest/leftImg8bit. Colours alone are not read: a
group of poles has the poles' colour, and a licence plate the cars'.
The folder says the split, so the three cities of `val` are held out (the GCDP authors train on them too).
Captions are the authors' JSON lines if they are there; otherwise each image gets one, built in their
wording from every class that its layout holds, in an order seeded by its file name. `train50` and `train25` are parts
of `train`.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gcbench.core.errors import UserError
from gcbench.data import cityscapes_classes, image_files
from gcbench.data.caption_lists import PARTS, CaptionLists
from gcbench.data.image_sources import visible
from gcbench.data.layouts import urban_ids
from gcbench.data.pair_files import Pair, PairFiles, generator, image_id, match
from gcbench.text.captions import build_caption, present

IMAGE = "_leftImg8bit.png"
LAYOUT = "_gtFine_labelIds.png"
TRAIN_LAYOUT = "_gtFine_labelTrainIds.png"
SPLITS = ("train", "val")
CAPTIONS = "captions/100_captions.jsonl"


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
        for split in SPLITS:
            images = _by_key(_tree(self.root, "leftImg8bit") / split, IMAGE)
            labelled = _tree(self.root, "gtFine") / split
            layouts = _by_key(labelled, TRAIN_LAYOUT) | _by_key(labelled, LAYOUT)
            if images or layouts:
                pairs[split], missing[split] = match(images, layouts, self.root, lambda key: (key[1], key[1]))
        if not any(pairs.values()):
            raise UserError(
                f"no Cityscapes images in {self.root}{_instead(self.root)}; put"
                f" leftImg8bit/<split>/<city>/*{IMAGE} and gtFine/<split>/<city>/*{LAYOUT} there, or use --dataset"
                " streets, which needs no files"
            )
        self.lists = CaptionLists(self.root, self.name, lambda stem: stem.removesuffix(IMAGE.removesuffix(".png")))
        train = [pair.id for pair in pairs.get(SPLITS[0], ())]
        members = {split: set(self.lists.part(split, train)) for split in PARTS}
        parts = {split: [pair for pair in pairs[SPLITS[0]] if pair.id in ids] for split, ids in members.items() if ids}
        self.splits, self.parts = tuple(pairs), tuple(parts)
        self.found = {**pairs, **parts}
        alone = missing.get(SPLITS[0])
        self.missing = {**missing, **({split: alone for split in parts} if alone else {})}
        self._built: dict[str, tuple[str, ...]] = {}

    def read_layout(self, path: Path) -> np.ndarray:
        if path.name.endswith(TRAIN_LAYOUT):
            return super().read_layout(path)
        return urban_ids(image_files.read_layout(path), path)

    def captions_from_layouts(self, split: str) -> bool:
        return self.lists.file(split) is None

    def captions(self, split: str, index: int) -> Sequence[str]:
        files = self.files(split, index)
        if listed := self.lists.file(split):
            if files.id not in self.lists.lines(split):
                raise UserError(
                    f"{listed} has no line for {files.image.name}; add it, or remove the file"
                    " so that captions are built from the layouts"
                )
            return self.lists.lines(split)[files.id].text
        if files.id not in self._built:
            names = present(self.read_layout(files.layout), self.classes, self.void)
            self._built[files.id] = (build_caption(names, generator(files.image.name)),)
        return self._built[files.id]

    def _files(self) -> set[Path]:
        return super()._files() | self.lists.files


def _tree(root: Path, name: str) -> Path:
    """The tree called so, in the root or in a folder of its zip's name."""
    unpacked = root / f"{name}_trainvaltest" / name
    return unpacked if unpacked.is_dir() and not (root / name).is_dir() else root / name


def _by_key(folder: Path, ending: str) -> dict[tuple[str, str], Path]:
    """(city, stem) -> file."""
    files = (path for city in visible(folder) for path in visible(city) if path.name.endswith(ending))
    return {(path.parent.name, image_id(path.name.removesuffix(ending))): path for path in files}


def _instead(root: Path) -> str:
    """What is there instead of images with labelIds, for a message."""
    parts = [f"{path.name} to be unpacked" for path in visible(root) if path.suffix.lower() == ".zip"]
    for tree in (_tree(root, "leftImg8bit"), _tree(root, "gtFine"), _tree(root, "gtCoarse")):
        names = [path.name for split in SPLITS for city in visible(tree / split) for path in visible(city)]
        counts = Counter(name[name.rindex(tree.name) :] for name in names if tree.name in name)
        parts += [f"{n} *_{ending}" for ending, n in sorted(counts.items())]
    return f" with their layouts (there are {', '.join(parts)})" if parts else ""
