"""Datasets that are pairs of files: what they have in common, whatever their tree."""

import os
import unicodedata
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self

import numpy as np

from gcbench.core.contracts import Dataset, Size
from gcbench.core.errors import UserError
from gcbench.core.files import file_hash, text_hash
from gcbench.data import image_files

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg")

DATA_VARIABLE = "GCBENCH_DATA"
"""The environment variable that holds the folder where data is looked for."""


@dataclass(frozen=True)
class Pair:
    """An image and its layout."""

    id: str
    image: Path
    layout: Path
    group: str


class PairFiles(Dataset):
    """A dataset of `found` pairs; `missing` names, by split, the files that lack their counterpart.

    A split with missing files can be described but not used.
    """

    root: Path
    found: Mapping[str, Sequence[Pair]]
    missing: Mapping[str, Sequence[str]]
    resize = image_files.RESIZE
    official: Mapping[str, int] = MappingProxyType({})
    """Split -> the pairs that it has where it is whole, for those whose publisher says so."""
    content: ClassVar[str] = ""
    """What belongs into the folder where the dataset is looked for, for messages."""

    @classmethod
    def open(cls) -> Self:
        return cls(data_root(cls.name, cls.content))  # type: ignore[call-arg]

    def read_layout(self, path: Path) -> np.ndarray:
        """The checked layout in the dataset's class ids at the file's own size, uint8 [H,W]."""
        return image_files.check_layout(image_files.read_layout(path), path, len(self.classes), self.void)

    def captions_from_layouts(self, split: str) -> bool:
        """Whether the split has no texts of its own, so that captions are built from the classes in its layouts."""
        return False

    def pairs(self, split: str) -> Sequence[Pair]:
        """The pairs of a split. UserError if it is unknown or files of it are missing."""
        check_split(self, split)
        if missing := self.missing.get(split, ()):
            raise UserError(
                f"{len(missing)} files of the split {split!r} of {self.name} in {self.root} lack their"
                f" counterpart, the first is {missing[0]}; add the missing files or take these out"
            )
        return self.found[split]

    def ids(self, split: str) -> Sequence[str]:
        return [pair.id for pair in self.pairs(split)]

    def groups(self, split: str) -> Sequence[str]:
        return [pair.group for pair in self.pairs(split)]

    def files(self, split: str, index: int) -> Pair:
        """The files of one pair, whether or not others of its split are missing."""
        check_split(self, split)
        return self.found[split][index]

    def pair(self, split: str, index: int, size: Size) -> tuple[np.ndarray, np.ndarray]:
        return self.at_size(*self.read(self.files(split, index)), size)

    def at_size(
        self, image: np.ndarray, layout: np.ndarray, size: Size, box: image_files.Box | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """A pair, or a box of it, brought to size as `resize` says."""
        return image_files.resize_pair(image, layout, size, box, nearest=self.resize == image_files.NEAREST)

    def resize_by_nearest(self) -> None:
        self.resize = image_files.NEAREST

    def read(self, files: Pair) -> tuple[np.ndarray, np.ndarray]:
        """A pair at its own size: uint8 [H,W,3] and uint8 [H,W]."""
        image, layout = image_files.read_image(files.image), self.read_layout(files.layout)
        image_files.check_sizes(image, layout, files.image, files.layout)
        return image, layout

    @cached_property
    def _version(self) -> str:
        rows = [f"{Path(os.path.relpath(path, self.root)).as_posix()} {file_mark(path)}" for path in self._files()]
        return text_hash(*sorted(rows))

    def _files(self) -> set[Path]:
        """Every file that a sample or its caption comes from."""
        return {path for pairs in self.found.values() for pair in pairs for path in (pair.image, pair.layout)}

    def fingerprint(self, split: str) -> str:
        """A hash of the contents of the split's image files, in their order."""
        images = dict.fromkeys(pair.image for pair in self.pairs(split))
        for path in images:
            image_files.regular(path, "image")  # a pipe is never waited for
        return text_hash(*map(file_hash, images))

    @property
    def version(self) -> str:
        """A hash of the sorted list of files with their sizes; of texts and settings, with their content."""
        return self._version


def file_mark(path: Path) -> str:
    """What tells a file from another in its place: of images the size, of all else the content."""
    size = image_files.regular(path, "file")
    return str(size) if path.suffix.lower() in IMAGE_ENDINGS else file_hash(path)


def image_id(stem: str) -> str:
    """The id of a file by its name without the ending: in NFC, since some systems list names in NFD.
    UserError: the name is not UTF-8."""
    try:
        stem.encode()
    except UnicodeEncodeError:
        shown = stem.encode("utf-8", "backslashreplace").decode()
        raise UserError(f"the file name {shown} is not UTF-8; rename the file") from None
    return unicodedata.normalize("NFC", stem)


def match(
    images: Mapping[Any, Path], layouts: Mapping[Any, Path], root: Path, about: Callable[[Any], tuple[str, str]]
) -> tuple[list[Pair], list[str]]:
    """Pairs of the images and layouts of one key, in the order of keys, and the files below `root` that are alone.

    about: a key's id and group.
    """
    keys = sorted(images.keys() & layouts.keys())
    pairs = [Pair(name, images[key], layouts[key], group) for key in keys for name, group in [about(key)]]
    alone = [images.get(key) or layouts[key] for key in sorted(images.keys() ^ layouts.keys())]
    return pairs, [str(path.relative_to(root)) for path in alone]


def match_splits(
    folders: Mapping[str, tuple[Mapping[str, Path], Mapping[str, Path]]], root: Path
) -> tuple[dict[str, list[Pair]], dict[str, list[str]]]:
    """By split, for those that have a file: its pairs, each a group of its own, and the files that are alone.

    folders: split -> images and layouts by stem.
    """
    matches = {
        split: match(images, layouts, root, lambda stem: (stem, stem))
        for split, (images, layouts) in folders.items()
        if images or layouts
    }
    return {s: pairs for s, (pairs, _) in matches.items()}, {s: alone for s, (_, alone) in matches.items()}


def check_split(dataset: Dataset, split: str) -> None:
    if split not in (*dataset.splits, *dataset.parts):
        raise UserError(f"{dataset.name} has no split {split!r}; use {' or '.join(dataset.splits)}")


def generator(*names: str) -> np.random.Generator:
    """A random generator seeded by names, the same on every machine."""
    return np.random.default_rng([zlib.crc32(name.encode()) for name in names])


def data_root(name: str, content: str) -> Path:
    """The folder `$GCBENCH_DATA/<name>`.

    content: what belongs into it, for the message.
    UserError: the variable is unset or the folder is absent; says where to put what."""
    base = os.environ.get(DATA_VARIABLE)
    way_out = "or use --dataset streets, which needs no files"
    if not base:
        raise UserError(
            f"{name} needs files but {DATA_VARIABLE} is not set; set it to a folder that holds {name}/ with"
            f" {content}, {way_out}"
        )
    root = Path(base).expanduser() / name
    if not root.is_dir():
        raise UserError(f"{root} is not there; put {content} into it, {way_out}")
    return root
