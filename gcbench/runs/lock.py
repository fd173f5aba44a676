"""One writer a directory: a lock that a killed process leaves open, and that knows whether its place is still there."""

import os
from pathlib import Path
from types import TracebackType
from typing import Final

from filelock import FileLock, Timeout

from gcbench.core.errors import UserError

LOCK: Final = ".lock"


class Lock:
    """A context in which no other process writes into `path`; made if it is not there.

    The lock is the operating system's, so that of a killed process holds nothing back. A refused command leaves no
    empty folders.
    UserError: another process writes there, or the directory cannot be made.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"--out {self.path} is a file; choose a directory")
        self._lock = FileLock(self.path / LOCK)
        self._made: list[Path] = []
        self._inode = 0

    def __enter__(self) -> "Lock":
        self._made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
            self._inode = os.stat(self.path / LOCK).st_ino
        except Timeout:
            raise UserError(f"another process writes into {self.path}; wait for it, or choose another --out") from None
        except (OSError, NotImplementedError) as error:
            self._lock.release()
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
            if self._there():
                (self.path / LOCK).unlink(missing_ok=True)
            self._lock.release()
            if error is not None:
                self._tidy()

    def check(self) -> None:
        """UserError: somebody removed the directory meanwhile; what would be written now would lack its beginning."""
        if not self._there():
            raise UserError(f"{self.path} was removed while it was written; nothing more is, give the command again")

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
