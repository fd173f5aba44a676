"""Where finished images and layouts lie: a folder, a zip or an npz, read one entry at a time.

A source lists its entries by id and gives, for each, what its bytes say before they are decoded (`look`) and the
decoded image (`image`). Knows nothing of datasets, prompts or pairs.
"""

import hashlib
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from gcbench.core.contracts import Size
from gcbench.core.errors import UserError
from gcbench.core.files import hidden
from gcbench.data import image_files
from gcbench.data.npz_arrays import Array, array_names, class_ids, open_archive
from gcbench.data.pair_files import IMAGE_ENDINGS, image_id
from gcbench.data.unreadable_files import BROKEN_ARCHIVE, Kind, Unreadable, some

ENDINGS = {"image": IMAGE_ENDINGS, "layout": (".png",)}
"""What files a kind of entry is read from: a layout in JPEG has lost its ids."""

FOLDERS = {"image": "images", "layout": "layouts"}
"""Inside a zip, a folder of this name holds the entries of a kind, if there is one."""

OTHER_ENDINGS = (".webp", ".bmp", ".gif", ".tif", ".tiff", ".heic", ".heif", ".avif", ".jxl", ".jp2", ".jfif", ".ppm")
"""Images too, but of formats (or, for .jfif, with an ending) that are not read."""

MOST_FOLDERS = 1000
"""Folders below the one that was given in which images are counted."""


class Facts(NamedTuple):
    """What is known of an entry before it is decoded.

    hash: of its bytes. size: (H, W), upright. jpeg: whether it is JPEG. turned: by its EXIF orientation.
    """

    hash: str
    size: Size
    jpeg: bool
    turned: bool = False


class Source(ABC):
    """Entries of one kind in one place. ids: their names, sorted. left_out: what lies there unread, in sentences."""

    path: Path
    kind: Kind
    ids: tuple[str, ...]
    left_out: tuple[str, ...] = ()

    @abstractmethod
    def place(self, name: str) -> Path:
        """What messages call the entry `name`."""

    @abstractmethod
    def look(self, name: str) -> Facts:
        """The entry's facts, without decoding it. Unreadable if its bytes or its header are damaged."""

    @abstractmethod
    def image(self, name: str) -> Image.Image:
        """The entry, decoded. Unreadable if it is damaged."""


class _Files(Source):
    """Entries that are files of their own: id -> where it lies."""

    files: dict[str, Path]

    @abstractmethod
    def content(self, name: str) -> bytes:
        """The entry's bytes."""

    def place(self, name: str) -> Path:
        return self.files[name]

    def look(self, name: str) -> Facts:
        content = self.content(name)
        return Facts(_hash(content), *image_files.header(content, self.place(name), self.kind))

    def image(self, name: str) -> Image.Image:
        return image_files.decode(self.content(name), self.place(name), self.kind)


class FolderSource(_Files):
    """The PNG or JPEG files of a folder, by their stems; not of folders below it."""

    def __init__(self, path: Path, kind: Kind):
        self.path, self.kind = path, kind
        self.files = by_stem(path, ENDINGS[kind])
        self.ids = tuple(sorted(self.files))
        self.left_out = left_out(path, kind)

    def content(self, name: str) -> bytes:
        return image_files.read_file(self.files[name], self.kind)


class ZipSource(_Files):
    """The PNG or JPEG members of a zip, by their stems, in whatever folders; what systems add is left out.

    If members lie in a folder `images` (for layouts: `layouts`), only those count.
    """

    def __init__(self, path: Path, kind: Kind):
        self.path, self.kind = path, kind
        self._zip = open_archive(path)
        visible = [info for info in self._zip.infolist() if not info.is_dir() and not hidden(Path(info.filename))]
        members = [info for info in visible if Path(info.filename).suffix.lower() in ENDINGS[kind]]
        inside = [info for info in members if FOLDERS[kind] in Path(info.filename).parent.parts]
        chosen = sorted(inside or members, key=lambda info: info.filename)
        if locked := [info.filename for info in chosen if info.flag_bits & 1]:
            raise UserError(
                f"{len(locked)} of {len(chosen)} {kind}s in {path} are encrypted: {some(locked)}; unpack it and"
                " give the folder"
            )
        self.files = _by_stem(path / info.filename for info in chosen)
        self._members = {image_id(Path(info.filename).stem): info for info in chosen}
        self.ids = tuple(sorted(self.files))
        self.left_out = tuple(_other_formats((Path(info.filename) for info in visible), path, kind))

    def content(self, name: str) -> bytes:
        try:
            with self._zip.open(info := self._members[name]) as stream:
                return stream.read(info.file_size)  # without a number, more than the directory says is unpacked
        except BROKEN_ARCHIVE as error:
            raise Unreadable(self.kind, self.place(name), str(error)) from error


class NpzSource(Source):
    """The rows of an array [N,H,W,3] or [N,H,W]; ids count from 0 in at least six digits."""

    def __init__(self, array: Array, kind: Kind):
        self.path, self.kind, self._array = array.path, kind, array
        digits = max(6, len(str(array.shape[0] - 1)))
        self._rows = {f"{row:0{digits}d}": row for row in range(array.shape[0])}
        self.ids = tuple(self._rows)
        self._most = 0

    def place(self, name: str) -> Path:
        return self.path / self._array.name / name

    def look(self, name: str) -> Facts:
        row = self._array.row(self._rows[name])
        if self.kind == "image":
            self._most = max(self._most, int(row.max()))
            if name == self.ids[-1] and self._most <= 1:
                raise UserError(
                    f"{self.path}: {self._array.name} holds no value above {self._most}; scale the images to 0 to 255"
                )
        return Facts(_hash(row.tobytes()), (row.shape[0], row.shape[1]), False)

    def image(self, name: str) -> Image.Image:
        row = self._array.row(self._rows[name])
        return Image.fromarray(row if self.kind == "image" or row.ndim == 3 else class_ids(row, self.place(name)))


def open_source(path: Path, kind: Kind) -> Source:
    """The entries of a kind in a folder, a zip or an npz.
    UserError: the place is not there, is damaged, or holds nothing of the kind."""
    path = Path(path)
    if path.suffix.lower() == ".npz" and path.is_file():
        return _npz(path, kind)
    if not path.is_dir() and not (path.suffix.lower() == ".zip" and path.is_file()):
        what = "is neither a folder nor a .zip nor a .npz" if path.exists() else "is not there"
        raise UserError(f"{path} {what}; give the folder, .zip or .npz that holds the {kind}s")
    source = FolderSource(path, kind) if path.is_dir() else ZipSource(path, kind)
    if not source.ids:
        formats = "PNG or JPEG" if kind == "image" else "PNG"
        why = f" ({'; '.join(source.left_out)})" if source.left_out else ""
        raise UserError(f"no {formats} {kind}s in {path}; give the folder that holds them{why}")
    return source


def inner_layouts(images: Source) -> Source | None:
    """The layouts that an npz of images holds beside them (`arr_1` [N,H,W], as DatasetDDPM writes it), if any."""
    if not isinstance(images, NpzSource) or "arr_1" not in array_names(images.path):
        return None
    array = Array(images.path, "arr_1")
    return NpzSource(array, "layout") if array.holds_label_maps else None


def _npz(path: Path, kind: Kind) -> NpzSource:
    names = array_names(path)
    if kind == "layout":
        for name in ("arr_1", "arr_0"):
            if name in names and (array := Array(path, name)).holds_label_maps:
                return NpzSource(array, kind)
    forms = {"image": "images as uint8 [N,H,W,3] of 0 to 255", "layout": "layouts as uint8 [N,H,W] of class ids"}
    if "arr_0" not in names:
        raise UserError(f"{path} holds {some(names) or 'no array'}; save the {forms[kind]}, as arr_0")
    return NpzSource(Array(path, "arr_0").expect_rgb(forms[kind]), kind)  # layouts: coloured ones


def by_stem(folder: Path, endings: Sequence[str] = IMAGE_ENDINGS) -> dict[str, Path]:
    """Id -> file, of a folder's files with one of these endings, without what systems leave there.
    UserError: two files share an id."""
    return _by_stem(path for path in visible(folder) if path.suffix.lower() in endings and not path.is_dir())


def visible(folder: Path) -> list[Path]:
    """What a folder holds, sorted, without what systems leave there; nothing if it is none."""
    try:
        return sorted(path for path in folder.iterdir() if not hidden(Path(path.name))) if folder.is_dir() else []
    except OSError as error:
        raise UserError(f"cannot list {folder} ({error.strerror or error}); give a folder that can be read") from error


def left_out(folder: Path, kind: Kind) -> tuple[str, ...]:
    """Images in a folder, or in those below it, that are no entries: a sentence for each reason."""
    sentences = _other_formats(visible(folder), folder, kind)
    below: list[Path] = []
    walked = 0
    for place, folders, names in islice(os.walk(folder), MOST_FOLDERS):
        walked += 1
        folders[:] = sorted(name for name in folders if not hidden(Path(name)))
        if walked > 1:  # the first is the folder itself
            files = (Path(place, name) for name in sorted(names) if not hidden(Path(name)))
            below += [path for path in files if path.suffix.lower() in ENDINGS[kind]]
    if below:
        count = f"{'at least ' * (walked == MOST_FOLDERS)}{len(below)} {kind}"
        were = "s in folders below, such as {}, were" if len(below) > 1 else " in a folder below, {}, was"
        sentences.append(f"{count}{were.format(below[0].parent)} not read")
    return tuple(sentences)


def _other_formats(paths: Iterable[Path], place: Path, kind: Kind) -> list[str]:
    others = OTHER_ENDINGS if kind == "image" else (*OTHER_ENDINGS, ".jpg", ".jpeg")
    counts = Counter(ending for path in paths if (ending := path.suffix.lower()) in others)
    formats = "PNG and JPEG are" if kind == "image" else "PNG is"
    were = {ending: "files in {} were" if n > 1 else "file in {} was" for ending, n in counts.items()}
    return [
        f"{n} {ending} {were[ending].format(place)} left out: only {formats} read"
        for ending, n in sorted(counts.items())
    ]


def _by_stem(paths: Iterable[Path]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for path in paths:
        name = image_id(path.stem)
        if name in files:
            other = files[name]
            raise UserError(
                f"{path} and {other.name if other.parent == path.parent else other} share a name; rename or remove one"
            )
        files[name] = path
    return files


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]
