"""Arrays of an npz file, read row by row: one row is in memory at a time, however large the file is.

Works for stored and for compressed members, in one pass over the file as long as rows are asked for in rising order.
Never unpickles: an array of objects is refused by its header.
"""

import math
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from gcbench.core.errors import UserError
from gcbench.data.image_files import VOID_IN_FILE
from gcbench.data.unreadable_files import BROKEN_ARCHIVE

CHUNK = 1 << 20
"""Bytes read at a time while the range of a whole array is looked for."""


class Array:
    """The array `name` of an npz file: its shape [N,...], its dtype and its rows.
    UserError: the file or the array is encrypted or damaged, or not there."""

    def __init__(self, path: Path, name: str):
        self.path, self.name = path, name
        try:
            self._stream = open_archive(path).open(f"{name}.npy")
            headers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
            self.shape, self._fortran, self.dtype = headers[npy.read_magic(self._stream)](self._stream)
        except (*BROKEN_ARCHIVE, KeyError, ValueError) as error:
            raise self._damaged(error) from error
        self._start = self._stream.tell()
        self._stride = math.prod(self.shape[1:]) * self.dtype.itemsize

    @property
    def holds_label_maps(self) -> bool:
        """Whether it is integers [N,H,W], N, H and W not 0."""
        return len(self.shape) == 3 and self.dtype.kind in "iub" and self._in_order

    @property
    def _in_order(self) -> bool:
        return 0 not in self.shape and not self._fortran

    def expect_rgb(self, wanted: str) -> "Array":
        """Itself, if it is uint8 [N,H,W,3]. UserError with its dtype, shape and range, and what is wanted, if not."""
        if self.dtype == np.uint8 and len(self.shape) == 4 and self.shape[3] == 3 and self._in_order:
            return self
        order = ", in Fortran order" if self._fortran else ""
        raise UserError(
            f"{self.path}: {self.name} is {self.dtype} of shape {self.shape}{order}{self._range()}; save {wanted}"
        )

    def row(self, index: int) -> np.ndarray:
        """Row `index`, of shape [...]."""
        return np.frombuffer(self._read(index * self._stride, self._stride), self.dtype).reshape(self.shape[1:])

    def _range(self) -> str:
        """The least and the greatest value in words; nothing for what has none."""
        if self.dtype.kind not in "fiub" or 0 in self.shape:
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
        return UserError(f"cannot read {self.name} in {self.path} ({reason}); make or copy the file again")


def open_archive(path: Path) -> zipfile.ZipFile:
    """A zip or npz file, which stays open. UserError if it is none."""
    try:
        return zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"cannot read {path} ({error}); make or copy the file again") from error


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
