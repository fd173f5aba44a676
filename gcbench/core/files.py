"""Files written atomically, and hashes of them."""

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path, PurePath

from gcbench.core.errors import UserError

LEFT_BEHIND = ("__MACOSX", "@eaDir", "$RECYCLE.BIN", "Thumbs.db", "desktop.ini")
"""What systems leave in folders and archives, beside what begins with a dot (`._NAME`, `.DS_Store`, `.Trash-1000`)."""


def hidden(path: PurePath) -> bool:
    """Whether a path, relative to the folder or archive that was asked for, is or lies in what systems leave there."""
    return any(part in LEFT_BEHIND or part.startswith(".") for part in path.parts if part != "..")


def write_atomic(path: Path, writer: Callable[[Path], object]) -> None:
    """Let `writer` fill a temporary file beside `path`, then move it into place.
    UserError: the place cannot be written (permissions, disk full); `path` keeps its old content."""
    path = Path(path)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem[:30]}.", suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        writer(temporary)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror or error}; free space or choose another --out"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


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
