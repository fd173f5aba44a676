"""What cannot be read: one error a file, and all of them named and counted in one sentence."""

import zipfile
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from gcbench.core.errors import UserError

Kind = Literal["image", "layout", "file"]

BROKEN_ARCHIVE = (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What reading a damaged, encrypted or strangely compressed member of an archive raises."""

SHOWN = 10
"""Names that a message lists before it says how many more there are."""


class Unreadable(UserError):
    """A file that is no whole image or layout: its kind, its place, the reason in a few words, and what to do."""

    def __init__(self, kind: Kind, place: Path, reason: str, remedy: str = "replace the file"):
        self.kind, self.place, self.reason = kind, place, reason
        super().__init__(f"cannot read the {kind} {place} ({reason}); {remedy}")


def some(names: Sequence[object]) -> str:
    """The first names, and how many there are beyond them."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(map(str, names[:SHOWN])) + more


def refuse(broken: Sequence[Unreadable], pairs: int) -> None:
    """Raise a UserError that counts and names all that could not be read; nothing if all could."""
    if len(broken) == 1:
        raise broken[0]
    if broken:
        counts = " and ".join(f"{n} {kind}s" for kind, n in sorted(Counter(error.kind for error in broken).items()))
        names = some([f"{error.place} ({error.reason})" for error in broken])
        raise UserError(f"cannot read {counts} of {pairs}: {names}; replace these files")
