"""Where finished images and layouts lie: a folder, a zip or an npz, read one entry at a time.

A source lists its entries by id and gives, for each, what its bytes say before they are decoded (`look`) and the
decoded image (`image`). Knows nothing of datasets, prompts or pairs.
"""

import hashlib
import io
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from gcbench.core.contracts import Size
from gcbench.core.errors import UserError
from gcbench.core.files import read_bytes
from gcbench.data import image_files
from gcbench.data.npz_arrays import MOST_BYTES, Array, array_names, class_ids, open_archive
from gcbench.data.pair_files import IMAGE_ENDINGS, image_id
from gcbench.data.unreadable_files import BROKEN_ARCHIVE, Kind, Unreadable, some

ENDINGS = {"image": IMAGE_ENDINGS, "layout": (".png",)}
"""What files a kind of entry is read from: a layout in JPEG has lost its ids."""

FOLDERS = {"image": "images", "layout": "layouts"}
"""Inside a zip, a folder of this name holds the entries of a kind, if there is one."""


class Facts(NamedTuple):
    """What is known of an entry before it is decoded. hash: of its bytes. size: (H, W). jpeg: whether it is JPEG."""

    hash: str
    size: Size
    jpeg: bool


class Source(ABC):
    """Entries of one kind in one place. ids: their names, sorted."""

    path: Path
    kind: Kind
    ids: tuple[str, ...]

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
        return Facts(_hash(content), *image_files.header(io.BytesIO(content), self.place(name), self.kind))

    def image(self, name: str) -> Image.Image:
        return image_files.decode(io.BytesIO(self.content(name)), self.place(name), self.kind)


class FolderSource(_Files):
    """The PNG or JPEG files of a folder, by their stems; not of folders below it."""

    def __init__(self, path: Path, kind: Kind):
        self.path, self.kind = path, kind
        self.files = by_stem(path, ENDINGS[kind])
        self.ids = tuple(sorted(self.files))

    def content(self, name: str) -> bytes:
        try:
            return read_bytes(self.files[name], MOST_BYTES)
        except OSError as error:
            raise Unreadable(self.kind, self.place(name), error.strerror or str(error)) from error


class ZipSource(_Files):
    """The PNG or JPEG members of a zip, by their stems, in whatever folders; what macOS adds is left out.

    If members lie in a folder `images` (for layouts: `layouts`), only those count.
    """

    def __init__(self, path: Path, kind: Kind):
        self.path, self.kind = path, kind
        self._zip = open_archive(path)
        members = [info for info in self._zip.infolist() if _is_entry(Path(info.filename), ENDINGS[kind])]
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
        raise UserError(f"no {formats} {kind}s in {path}; give the folder that holds them")
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
    wanted = {"image": "images as uint8 [N,H,W,3] of 0 to 255", "layout": "layouts as uint8 [N,H,W] of class ids"}
    if "arr_0" not in names:
        raise UserError(f"{path} holds {some(names) or 'no array'}; save the {wanted[kind]}, as arr_0")
    return NpzSource(Array(path, "arr_0").expect_rgb(wanted[kind]), kind)  # layouts: coloured ones


def by_stem(folder: Path, endings: Sequence[str] = IMAGE_ENDINGS) -> dict[str, Path]:
    """Id -> file, of a folder's files with one of these endings. UserError: two share an id, or a name is not UTF-8."""
    return _by_stem(sorted(path for path in folder.iterdir() if _is_entry(path, endings)) if folder.is_dir() else ())


def _is_entry(path: Path, endings: Sequence[str]) -> bool:
    """Whether a file is an entry: of one of the endings, not hidden, not one of those that macOS adds to a zip."""
    return path.suffix.lower() in endings and not path.name.startswith(".") and "__MACOSX" not in path.parts


def _by_stem(paths: Iterable[Path]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for path in paths:
        stem = image_id(path.stem)
        if stem in files:
            other = files[stem]
            raise UserError(
                f"{path} and {other.name if other.parent == path.parent else other} share a name; rename or remove one"
            )
        files[stem] = path
    return files


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]
