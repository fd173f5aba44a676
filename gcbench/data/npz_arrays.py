"""Arrays of an npz file, read row by row: one row is in memory at a time, however large the file is.

Works for stored and for compressed members, in one pass over the file as long as rows are asked for in rising order.
Never unpickles: an array of objects is refused by its header.
"""

import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from tokenize import TokenError

import numpy as np
from numpy.lib import format as npy

from gcbench.core.errors import UserError
from gcbench.core.files import open_regular
from gcbench.core.names import plain
from gcbench.data.image_files import VOID_IN_FILE
from gcbench.data.unreadable_files import BROKEN_ARCHIVE

CHUNK = 1 << 20
"""Bytes read at a time while the range of a whole array is looked for."""

MOST_BYTES = 1 << 28
"""Of a file or a member of an archive that holds one image, and of an array's row."""

MOST_MEMBERS = 10**7
"""Of an archive, and rows of an array."""

MOST_RATIO = 1100
"""Bytes that one of an archive may become; deflate, the only compression that is read, makes at most 1032 of one."""

BROKEN_HEADER = (KeyError, ValueError, TypeError, SyntaxError, TokenError, RecursionError, MemoryError)
"""What reading the header of an array raises, which is a literal of Python."""

COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class Array:
    """The array `name` of an npz file: its shape [N,...], its dtype and its rows.
    UserError: the file or the array is encrypted or damaged, or not there."""

    def __init__(self, path: Path, name: str):
        self.path, self.name = path, name
        try:
            archive = open_archive(path)
            held = archive.getinfo(f"{name}.npy").file_size
            self._stream = archive.open(f"{name}.npy")
            headers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
            self.shape, self._fortran, self.dtype = headers[npy.read_magic(self._stream)](self._stream)
        except (*BROKEN_ARCHIVE, *BROKEN_HEADER) as error:
            raise self._damaged(error) from error
        self._start = self._stream.tell()
        self._stride = math.prod(self.shape[1:]) * self.dtype.itemsize
        if any(side < 0 for side in self.shape) or math.prod(self.shape) * self.dtype.itemsize > held - self._start:
            raise self._damaged(f"its header says {self.dtype} {self.shape}, which is not what the file holds")
        if self._stride > MOST_BYTES or (self.shape and self.shape[0] > MOST_MEMBERS):
            raise self._damaged(f"its shape is {self.shape}, more than is read")

    @property
    def holds_label_maps(self) -> bool:
        """Whether it is integers [N,H,W], N, H and W not 0."""
        return len(self.shape) == 3 and self.dtype.kind in "iub" and self._in_order

    @property
    def _in_order(self) -> bool:
        return 0 not in self.shape and not self._fortran

    def expect_rgb(self, expected: str) -> "Array":
        """Itself, if it is uint8 [N,H,W,3]. UserError with its dtype, shape and range, and what is wanted, if not."""
        if self.dtype == np.uint8 and len(self.shape) == 4 and self.shape[3] == 3 and self._in_order:
            return self
        order = ", in Fortran order" if self._fortran else ""
        raise UserError(
            f"{self.path}: {self.name} is {self.dtype} of shape {self.shape}{order}{self._range()}; save {expected}"
        )

    def row(self, index: int) -> np.ndarray:
        """Row `index`, of shape [...]."""
        return np.frombuffer(self._read(index * self._stride, self._stride), self.dtype).reshape(self.shape[1:])

    def _range(self) -> str:
        """The least and the greatest value in words; nothing for what has none."""
        if self.dtype.kind not in "fiub" or 0 in self.shape or math.prod(self.shape) * self.dtype.itemsize > 2**32:
            return ""
        ends = [(np.fmin.reduce(part), np.fmax.reduce(part)) for part in self._parts()]
        return f" with values from {min(low for low, _ in ends)} to {max(high for _, high in ends)}"

    def _parts(self) -> Iterator[np.ndarray]:
        total, step = math.prod(self.shape) * self.dtype.itemsize, CHUNK // self.dtype.itemsize * self.dtype.itemsize
        for start in range(0, total, step):
            yield np.frombuffer(self._read(start, min(step, total - start)), self.dtype)

    def _read(self, start: int, length: int) -> bytes:
        try:
            if self._stream.tell() != self._start + start:
                self._stream.seek(self._start + start)
            data = self._stream.read(length)
        except BROKEN_ARCHIVE as error:
            raise self._damaged(error) from error
        if len(data) < length:
            raise self._damaged("it ends too early")
        return data

    def _damaged(self, reason: object) -> UserError:
        first_line = str(reason).partition("\n")[0][:200]  # without numpy's advice to trust the file
        return UserError(f"cannot read {self.name} in {self.path} ({first_line}); make or copy the file again")


def open_archive(path: Path) -> zipfile.ZipFile:
    """A zip or npz file, which stays open; its directory is checked before anything is unpacked.
    UserError: it is none; a member leads out of it, is compressed as no image need be, or would unpack to too much."""
    try:
        archive = zipfile.ZipFile(open_regular(path))
        members = archive.infolist()
    except (*BROKEN_ARCHIVE, ValueError, NotImplementedError) as error:
        raise UserError(f"cannot read {path} ({error}); make or copy the file again") from error
    fault = "" if len(members) <= MOST_MEMBERS else f"it has {len(members)} members"
    if sum(info.compress_size for info in members) > Path(path).stat().st_size:
        fault = "its members overlap"
    for info in members:
        steps = info.filename.replace("\\", "/").split("/")
        if ".." in steps or steps[0] == "" or ":" in steps[0] or plain(info.filename) != info.filename:
            fault = f"the name {info.filename!r} leads out of it or holds characters that cannot be seen"
        elif info.compress_type not in COMPRESSIONS:
            fault = f"{info.filename} is neither stored nor deflated"
        elif info.file_size > MOST_RATIO * info.compress_size + CHUNK:
            fault = f"{info.filename} would unpack to {info.file_size} bytes of {info.compress_size}"
        elif info.file_size > MOST_BYTES and not info.filename.endswith(".npy"):
            fault = f"{info.filename} has {info.file_size} bytes, more than the {MOST_BYTES} of an image"
        if fault:
            archive.close()
            raise UserError(f"{path} is not unpacked: {fault}; make the archive again")
    return archive


def array_names(path: Path) -> list[str]:
    """What an npz file holds. UserError if it is none."""
    with open_archive(path) as archive:
        return sorted(name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy"))


def class_ids(row: np.ndarray, place: Path) -> np.ndarray:
    """Integers [H,W] as the bytes of a layout file, uint8 [H,W]; -1 is void, as it is in 8 bits.
    UserError: values that no byte holds."""
    row = row.astype(np.int64)
    row[row == -1] = VOID_IN_FILE
    if row.min() < 0 or row.max() > VOID_IN_FILE:
        raise UserError(f"the layout {place} holds values from {row.min()} to {row.max()}; save class ids of 0 to 255")
    return row.astype(np.uint8)
