"""MM-CelebA-HQ in its standard tree: photographs of faces with parts, attributes and captions.

    <root>/CelebA-HQ-img/<id>.jpg                       or images/, image/
    <root>/CelebAMaskHQ-mask/<id>.png                   merged masks, or CelebAMask-HQ-mask-anno/preprocessed/
    <root>/CelebAMask-HQ-mask-anno/<k>/<00000>_<part>.png   else the raw masks, merged here (`celeba_masks`)
    <root>/CelebAMask-HQ-attribute-anno.txt             or list_attr_celeba.txt with CelebA-HQ-to-CelebA-mapping.txt
    <root>/text/celeba-caption/<id>.txt                 or celeba-caption/; a caption a line
    <root>/captions/{25,50,100}_captions.jsonl          optional, before the texts; `caption_lists` says where else
    <root>/train.txt, test.txt                          optional, ids or file names

All but the lists may lie in <root>/CelebAMask-HQ, the folder in the official zip. Without the lists, ids below 24000
train and the others test, as the dataset's maintainers do; their `filenames.pickle` is not opened, because a pickle can
run code. `train50` and `train25` are parts of `train`. Without an attribute file there are no attributes. Images
may be larger than masks (1024 and 512 in the release); both are brought to the size that is asked for.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from gcbench.core.errors import UserError
from gcbench.core.files import read_text, text_hash
from gcbench.data import image_files
from gcbench.data.caption_lists import CaptionLists
from gcbench.data.celeba_attributes import ATTRIBUTE_WORDS, ATTRIBUTES
from gcbench.data.celeba_masks import find_parts, hash_parts, merge_parts
from gcbench.data.celeba_parts import ALIASES, CLASSES, MIRROR, PALETTE
from gcbench.data.celeba_tables import LISTS, MAPPING, attribute_file, divide, first, read_attributes
from gcbench.data.image_sources import by_stem
from gcbench.data.pair_files import Pair, PairFiles

IMAGES = ("CelebA-HQ-img", "images", "image")
RAW = "CelebAMask-HQ-mask-anno"
MERGED = ("CelebAMaskHQ-mask", f"{RAW}/preprocessed")
TEXTS = ("text/celeba-caption", "celeba-caption")


class CelebA(PairFiles):
    """Faces of CelebA-HQ. Images are taken as independent, though one person may be in several."""

    name = "celeba"
    content = f"{IMAGES[0]} and {MERGED[0]} or {RAW}"
    classes = CLASSES
    palette = PALETTE
    void = None
    size = (128, 128)
    aliases = ALIASES
    mirror = MIRROR

    def __init__(self, root: Path):
        self.root = Path(root)
        images = _by_id(first(self.root, IMAGES), (".jpg", ".jpeg", ".png"))
        self._parts: Mapping[str, Sequence[str]] = {}
        merged = _by_id(first(self.root, MERGED), (".png",))
        raw = first(self.root, (RAW,))
        if not merged and raw:
            self._parts = find_parts(raw)
        layouts = merged or {name: (raw or self.root) / name for name in self._parts}
        if not images and not layouts:
            raise UserError(
                f"no images of CelebA-HQ in {self.root}; put {IMAGES[0]}/<id>.jpg and {MERGED[0]}/<id>.png or"
                f" {RAW}/<k>/<id>_<part>.png there, or use --dataset faces, which needs no files"
            )
        self.lists = CaptionLists(self.root, self.name, lambda stem: str(int(stem)) if stem.isdecimal() else stem)
        divided = divide(self.root, images.keys() | layouts.keys(), self.lists)
        self.found, self.missing = {}, {}
        for split, names in divided.items():
            whole = [name for name in names if name in images and name in layouts]
            self.found[split] = [Pair(name, images[name], layouts[name], name) for name in whole]
            alone = [name for name in names if name not in images or name not in layouts]
            self.missing[split] = [
                str(path.relative_to(self.root))
                for name in alone
                for path in [images.get(name) or layouts.get(name) or self.root / IMAGES[0] / f"{name}.jpg"]
            ]
        self.splits = tuple(split for split in divided if divided[split])
        if attribute_file(self.root):
            self.attributes, self.attribute_words = ATTRIBUTES, ATTRIBUTE_WORDS

    def read_layout(self, path: Path) -> np.ndarray:
        if path.name in self._parts:
            return merge_parts(self._parts[path.name])
        return super().read_layout(path)

    def read(self, files: Pair) -> tuple[np.ndarray, np.ndarray]:
        """A pair at its own sizes: uint8 [H,W,3] and uint8 [h,w] of the same proportions."""
        image, layout = image_files.read_image(files.image), self.read_layout(files.layout)
        if image.shape[0] * layout.shape[1] != image.shape[1] * layout.shape[0]:
            image_files.check_sizes(image, layout, files.image, files.layout)
        return image, layout

    def captions(self, split: str, index: int) -> Sequence[str]:
        name = self.files(split, index).id
        if name in (lines := self.lists.lines(split)):
            return lines[name].text
        path = self._text(name)
        try:
            rows = read_text(path).split("\n") if path.exists() else []
        except OSError as error:
            raise UserError(f"cannot read the captions {path} ({error}); give lines in UTF-8") from error
        texts = tuple(row.strip() for row in rows if row.strip())
        if not texts:
            state = "empty" if path.exists() else "not there"
            raise UserError(f"{path} is {state}; put the captions of this image there, one a line")
        return texts

    def attribute_labels(self, split: str, index: int) -> np.ndarray | None:
        name = self.files(split, index).id
        if not self.attributes:
            return None
        if name not in self._attributes:
            raise UserError(f"{attribute_file(self.root)} has no line for {name}.jpg; put the official file there")
        return self._attributes[name].copy()  # [40]

    @cached_property
    def _attributes(self) -> Mapping[str, np.ndarray]:
        return read_attributes(self.root)

    def _text(self, name: str) -> Path:
        return (first(self.root, TEXTS) or self.root / TEXTS[0]) / f"{name}.txt"

    @cached_property
    def _version(self) -> str:
        return text_hash(super()._version, hash_parts(self._parts)) if self._parts else super()._version

    def _files(self) -> set[Path]:
        pairs = [pair for pairs in self.found.values() for pair in pairs]
        masks = () if self._parts else (pair.layout for pair in pairs)
        texts = (path for pair in pairs if (path := self._text(pair.id)).is_file())
        tables = (attribute_file(self.root), *(first(self.root, (name,)) for name in (*LISTS, MAPPING)))
        files = {pair.image for pair in pairs} | {*masks, *texts} | {p for p in tables if p and p.is_file()}
        return files | self.lists.files


def _by_id(folder: Path | None, endings: Sequence[str]) -> dict[str, Path]:
    """Id without leading zeros -> file."""
    files: dict[str, Path] = {}
    for stem, path in (by_stem(folder, endings) if folder else {}).items():
        if not stem.isdecimal():
            raise UserError(f"{path} is not called by an id of CelebA-HQ; rename it to a number or remove it")
        name = str(int(stem))
        if name in files:
            raise UserError(f"{path} and {files[name].name} are both of the id {name}; remove one")
        files[name] = path
    return files
