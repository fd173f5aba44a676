"""Files of others, opened with care; files of ours, written atomically; hashes of both."""

import codecs
import errno
import hashlib
import json
import math
import os
import secrets
import stat
import sys
import tomllib
from collections.abc import Callable, Sequence
from itertools import count, takewhile
from pathlib import Path, PurePath
from typing import Any, BinaryIO, NoReturn

from gcbench.core.errors import UserError

if sys.platform != "win32":
    import fcntl

LEFT_BEHIND = ("__MACOSX", "@eaDir", "$RECYCLE.BIN", "Thumbs.db", "desktop.ini")
"""What systems leave in folders and archives, beside what begins with a dot (`._NAME`, `.DS_Store`, `.Trash-1000`)."""


def hidden(path: PurePath) -> bool:
    """Whether a path, relative to the folder or archive that was asked for, is or lies in what systems leave there."""
    return any(part in LEFT_BEHIND or part.startswith(".") for part in path.parts if part != "..")


MOST_TEXT = 1 << 28
"""Bytes of a text file that is read whole."""

MOST_DIGITS = 4000
"""Of a number in JSON or TOML; Python itself reads a few more."""


def open_regular(path: Path, most: int | None = None) -> BinaryIO:
    """A file for reading, which never blocks.
    OSError: as `open`; or `path` is a pipe, a device or a folder, or has more than `most` bytes."""
    path = Path(path)
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except ValueError as error:  # a path with a null character
        raise OSError(errno.EINVAL, str(error), str(path)) from None
    stream = None
    try:
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode):
            kind = "a folder" if stat.S_ISDIR(facts.st_mode) else "a pipe or a device"
            raise OSError(errno.EINVAL, f"it is {kind}, not a file", str(path))
        if most is not None and facts.st_size > most:
            raise OSError(errno.EFBIG, f"it has {facts.st_size} bytes, more than the {most} that are read", str(path))
        stream = os.fdopen(handle, "rb")
    finally:
        if stream is None:
            os.close(handle)
    return stream


def read_bytes(path: Path, most: int = MOST_TEXT) -> bytes:
    """The content of a file. OSError: as `open_regular`."""
    with open_regular(path, most) as stream:
        return stream.read(most)


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file. OSError, UserError: as `read_text`; ValueError: it is no TOML, and why."""
    try:
        return tomllib.loads(read_text(path, MOST_TEXT >> 4))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError as error:
        raise ValueError(str(error).partition(":")[0] if "digits" in str(error) else str(error)) from None


def parse_json(text: str) -> Any:
    """The value of a JSON text, as strict as the standard: no NaN, no infinity, no key twice.
    ValueError: in a few words, why it is none."""

    def number(digits: str) -> float:
        value = float(digits)
        return value if math.isfinite(value) else constant(digits)

    def constant(word: str) -> NoReturn:
        raise ValueError(f"{word[:20]} is no finite number")

    def whole(digits: str) -> int:
        if len(digits) > MOST_DIGITS:
            raise ValueError(f"a number has {len(digits)} digits")
        return int(digits)

    def table(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        content: dict[str, Any] = {}
        for key, value in pairs:
            if key in content:
                raise ValueError(f"the key {key!r} stands there twice")
            content[key] = value
        return content

    try:
        return json.loads(text, parse_float=number, parse_int=whole, parse_constant=constant, object_pairs_hook=table)
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg.lower()} at line {error.lineno}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def write_atomic(path: Path, writer: Callable[[Path], object]) -> None:
    """Let `writer` fill a temporary file beside `path`, then move it into place; `path` is whole at any moment.

    The temporaries, `.NAME.0.tmp` and on, are locked while their writers live. What a killed process left is taken over
    or removed by the next that writes the same file. A symbolic link stays one; a device is written to as it is.
    UserError: the place cannot be written (permissions, disk full); `path` keeps its old content.
    """
    path = Path(path)
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            writer(path)
            return
        real = Path(os.path.realpath(path))
        real.parent.mkdir(parents=True, exist_ok=True)
        temporary, handle = _temporary(real)
        try:
            writer(temporary)
            os.replace(temporary, real)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        finally:
            if handle is not None:
                os.close(handle)
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror or error}; free space or choose another --out"
        ) from error


def _temporary(path: Path) -> tuple[Path, int | None]:
    """An empty file beside `path`, with the mode of any new file, and the handle whose lock says that it is in use."""

    def named(mark: int | str) -> Path:
        return path.with_name(f".{path.name[:60]}.{mark}.tmp")

    try:
        number = 0
        while (handle := _lock(named(number))) is None:
            number += 1
        os.truncate(handle, 0)
        for left in takewhile(Path.exists, map(named, count(number + 1))):
            if (lock := _lock(left)) is not None:
                left.unlink()
                os.close(lock)
    except NotImplementedError:
        return named(secrets.token_hex(4)), None
    return named(number), handle


def _lock(file: Path) -> int | None:
    """A handle that locks `file`, made if it is not there; None where another process holds it.
    NotImplementedError: files cannot be locked here."""
    if sys.platform == "win32":
        raise NotImplementedError
    while True:
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(handle), os.lstat(file)):
                return handle
        except FileNotFoundError:
            pass  # its writer has just moved it into place
        except BlockingIOError:
            os.close(handle)
            return None
        except OSError as error:
            os.close(handle)
            file.unlink()
            raise NotImplementedError from error
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Write `text` atomically as UTF-8; what UTF-8 cannot hold (of a file name in another encoding) as an escape."""
    write_atomic(path, lambda temporary: temporary.write_text(text, encoding="utf-8", errors="backslashreplace"))


_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig", "UTF-8"),
    (codecs.BOM_UTF32_LE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)


def read_text(path: Path, most: int = MOST_TEXT) -> str:
    """A text file whatever the locale: UTF-8, or what its byte order mark says, the mark left out; lines end in \\n.

    Raises:
        OSError: it cannot be read: as `open_regular`.
        UserError: it is no text; names the file and the line.
    """
    content = read_bytes(path, most)
    codec, name = next(((codec, name) for mark, codec, name in _MARKS if content.startswith(mark)), ("utf-8", "UTF-8"))
    try:
        text = content.decode(codec)
    except UnicodeDecodeError as error:
        line = content[: error.start].decode(codec, "ignore").count("\n") + 1
        raise UserError(f"{path}, line {line} is not {name}; save the file as UTF-8 text") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def weights_in(folder: Path) -> list[Path]:
    """The .safetensors files of a folder, without hidden ones."""
    return sorted(path for path in folder.glob("*.safetensors") if not path.name.startswith("."))


def weights_file(path: Path, name: str | None = None) -> Path:
    """The .safetensors file that `path` is, or that alone lies in it. name: of the model that it is to be of.
    UserError: there is none; it names the command that brings weights of another form in."""
    if path.is_dir():
        files = weights_in(path)
        if len(files) != 1:
            raise UserError(f"{path} holds {len(files)} .safetensors files; name the file itself")
        path = files[0]
    if not path.is_file():
        raise UserError(f"checkpoint {path} does not exist; give the .safetensors file that `gcbench train` wrote")
    if path.suffix != ".safetensors":
        raise UserError(
            f"checkpoint {path} is not a .safetensors file; give the file that `gcbench train` wrote, or bring"
            f" another's in by `gcbench weights import {path.name} --as {name or 'MODEL'} --dataset NAME`"
        )
    return path


def cache_directory(kind: str) -> Path | None:
    """Where what can be made again is kept, by kind; None for nowhere: by choice, or because this user has no home."""
    if chosen := os.environ.get("GCBENCH_CACHE"):
        return None if chosen == "off" else Path(chosen).expanduser() / kind
    home = os.path.expanduser("~") if os.environ.get("HOME", "~") else ""
    places = [Path(os.environ.get("XDG_CACHE_HOME") or ""), Path(home) / ".cache"]
    roots = [place / "gcbench" / kind for place in places if place.is_absolute()]
    return roots[0] if roots else None


def file_hash(path: Path, length: int = 12) -> str:
    """The first `length` hex digits of the file's SHA-256."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:length]


def text_hash(*texts: str, length: int = 12) -> str:
    """A hash of texts in their order: the first `length` hex digits of SHA-256 over their lengths and bytes."""
    digest = hashlib.sha256()
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()[:length]
