"""The manifest of other people's weights: which file, from where, under which licence, and how it is known to be it.

It knows where a file belongs and whether a file is the published one. It neither downloads nor loads.
"""

import os
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from gcbench.core.errors import UserError
from gcbench.core.files import file_hash

MANIFEST = Path(__file__).with_name("manifest.json")


class File(BaseModel):
    """One official file.

    file: its published name. size: bytes, None where not known. sha256: all 64 digits, None where not published.
    sha256_prefix: the first digits, which some publishers write into the file's name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    file: str = Field(pattern=r"^[^/\\.][^/\\]*$")
    size: int | None = Field(None, gt=0, lt=2**40)
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    sha256_prefix: str | None = Field(None, pattern="^[0-9a-f]{8,64}$")

    def proof(self) -> str:
        """How `fault` knows the file, in words."""
        if self.sha256:
            return "SHA-256"
        if self.sha256_prefix:
            return f"first {len(self.sha256_prefix)} digits of SHA-256"
        return "size only" if self.size else "nothing: neither its size nor its hash is published"

    def fault(self, path: Path) -> str | None:
        """Why the file at `path` is not the published one, as far as size and hash are known; None if it may be."""
        published = self.sha256 or self.sha256_prefix
        try:
            size = path.stat().st_size
            if self.size is not None and size != self.size:
                return f"it has {size} bytes, the published file {self.size}"
            if published is None:
                return None
            digest = file_hash(path, len(published))
        except OSError as error:
            return f"it cannot be read ({error.strerror})"
        if digest == published:
            return None
        return f"its SHA-256 begins with {digest[:12]}, the published file's with {published[:12]}"


class Entry(File):
    """A file of weights, or a folder of such a file and of what it is useless without.

    role: of the evaluator that uses it, or `text` for a model's text encoder. what: the network and what it was trained
    on. beside: the other files of a folder.
    """

    role: str
    what: str
    licence: str
    beside: tuple[File, ...] = ()

    @property
    def files(self) -> tuple[File, ...]:
        """All of them, the weights last."""
        return (*self.beside, self)


def read_manifest(path: Path = MANIFEST) -> dict[str, Entry]:
    """Name -> entry, in the file's order."""
    return TypeAdapter(dict[str, Entry]).validate_json(path.read_bytes())


def find_entry(name: str, manifest: Path = MANIFEST) -> Entry:
    """The entry called `name`. UserError: no such name; the nearest are suggested."""
    entries = read_manifest(manifest)
    if name not in entries:
        raise UserError(f"unknown weights {name!r}; {did_you_mean(name, entries, 'known: ' + ', '.join(entries))}")
    return entries[name]


def did_you_mean(name: str, known: Iterable[str], otherwise: str, cutoff: float = 0.4) -> str:
    """The known names that are near, as a question; `otherwise` if none is."""
    near = get_close_matches(name, list(known), n=3, cutoff=cutoff)
    return f"did you mean {' or '.join(near)}?" if near else otherwise


def place(name: str, entry: File) -> Path:
    """Where a file of `name` belongs: `$GCBENCH_WEIGHTS/<name>/<file>`, else that under the user's cache directory."""
    base = os.environ.get("GCBENCH_WEIGHTS")
    if base:
        root = Path(base).expanduser()
    else:
        root = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "gcbench" / "weights"
    return root / name / entry.file


def folder_of(name: str, manifest: Path = MANIFEST) -> Path | None:
    """The folder of `name`, if the manifest knows it and all its files are there."""
    entry = read_manifest(manifest).get(name)
    if entry is None or not is_here(name, entry):
        return None
    return place(name, entry).parent


def is_here(name: str, entry: Entry) -> bool:
    return all(place(name, file).is_file() for file in entry.files)
