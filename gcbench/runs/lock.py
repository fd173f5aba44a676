"""Who may write into a directory: one process alone, or several that share it; never both.

The lock is the operating system's, so that of a killed process holds nothing back. It knows whether its place is still
there.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Final

from filelock import FileLock, Timeout

from gcbench.core.errors import UserError

if sys.platform != "win32":
    import fcntl

LOCK: Final = ".lock"


@contextmanager
def if_free(file: Path) -> Iterator[bool]:
    """Within it no other process holds `file`; False, at once, if one does already."""
    lock = FileLock(file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


class Lock:
    """A context in which no other process writes into `path`, or, `shared`, none but those that share it too. The
    directory is made if it is not there; a refused command leaves no empty folders.
    UserError: another process writes there, or the directory cannot be made.
    """

    def __init__(self, path: Path, shared: bool = False):
        self.path, self.shared = Path(path), shared
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"--out {self.path} is a file; choose a directory")
        if shared and sys.platform == "win32":
            raise UserError("Windows has no locks that processes share; leave --shard and --jobs out")
        self._made: list[Path] = []
        self._inode = 0
        self._handle: int | None = None
        self._alone = FileLock(self.path / LOCK)  # for systems that cannot share

    def __enter__(self) -> "Lock":
        self._made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            while not self._there():  # the one that held it may have removed its file meanwhile
                self._release()
                self._acquire()
        except (Timeout, BlockingIOError):
            self._release()
            raise UserError(f"another process writes into {self.path}; wait for it, or choose another --out") from None
        except (OSError, NotImplementedError) as error:
            self._release()
            why = getattr(error, "strerror", None) or error
            raise UserError(f"cannot write {self.path}: {why}; free space or choose another --out") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.check()
        finally:
            if self._there() and self.last():
                (self.path / LOCK).unlink(missing_ok=True)
            self._release()
            if error is not None:
                self._tidy()

    def share(self) -> None:
        """Let in others that share the directory. UserError: this system cannot."""
        if sys.platform == "win32":
            raise UserError("Windows has no locks that processes share; leave --jobs out")
        if self._handle is not None:
            fcntl.flock(self._handle, fcntl.LOCK_SH)
            self.shared = True

    def check(self) -> None:
        """UserError: somebody removed the directory meanwhile; what would be written now would lack its beginning."""
        if not self._there():
            raise UserError(f"{self.path} was removed while it was written; nothing more is, give the command again")

    def last(self) -> bool:
        """Whether nobody else is here. Only asked at the end: a lock that is shared may be lost by it."""
        if sys.platform == "win32" or not self.shared or self._handle is None:
            return True
        with suppress(OSError):
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        return False

    def _acquire(self) -> None:
        """Timeout, BlockingIOError: another process has it."""
        if sys.platform == "win32":
            self._alone.acquire(timeout=0)
            self._inode = os.stat(self.path / LOCK).st_ino
        else:
            self._handle = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
            fcntl.flock(self._handle, (fcntl.LOCK_SH if self.shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            self._inode = os.fstat(self._handle).st_ino

    def _release(self) -> None:
        self._alone.release()
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _there(self) -> bool:
        try:
            return os.stat(self.path / LOCK).st_ino == self._inode
        except OSError:
            return False

    def _tidy(self) -> None:
        for folder in self._made:
            if not folder.is_dir() or any(folder.iterdir()):
                break
            folder.rmdir()
