"""Files written atomically, and hashes of them."""

import hashlib
import os
import secrets
import sys
from collections.abc import Callable
from itertools import count, takewhile
from pathlib import Path

from gcbench.core.errors import UserError

if sys.platform != "win32":
    import fcntl


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
    """Write `text` atomically as UTF-8."""
    write_atomic(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def file_hash(path: Path, length: int = 12) -> str:
    """The first `length` hex digits of the file's SHA-256."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:length]


def text_hash(*texts: str, length: int = 12) -> str:
    """A hash of texts in their order: the first `length` hex digits of SHA-256 over their lengths and bytes."""
    digest = hashlib.sha256()
    for text in texts:
        data = text.encode()
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()[:length]
