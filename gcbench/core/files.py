"""Files written atomically, texts read in any of UTF-8 and UTF-16, and hashes of them."""

import codecs
import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from gcbench.core.errors import UserError


def write_atomic(path: Path, writer: Callable[[Path], object]) -> None:
    """Let `writer` fill a temporary file beside `path`, then move it into place.
    UserError: the place cannot be written (permissions, disk full); `path` keeps its old content."""
    path = Path(path)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix)
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
    """Write `text` atomically as UTF-8; what UTF-8 cannot hold (of a file name in another encoding) as an escape."""
    write_atomic(path, lambda temporary: temporary.write_text(text, encoding="utf-8", errors="backslashreplace"))


_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig", "UTF-8"),
    (codecs.BOM_UTF32_LE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)


def read_text(path: Path) -> str:
    """A text file whatever the locale: UTF-8, or what its byte order mark says, the mark left out; lines end in \\n.

    Raises:
        OSError: it cannot be read.
        UserError: it is no text; names the file and the line.
    """
    content = Path(path).read_bytes()
    codec, name = next(((codec, name) for mark, codec, name in _MARKS if content.startswith(mark)), ("utf-8", "UTF-8"))
    try:
        text = content.decode(codec)
    except UnicodeDecodeError as error:
        line = content[: error.start].decode(codec, "ignore").count("\n") + 1
        raise UserError(f"{path}, line {line} is not {name}; save the file as UTF-8 text") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


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
