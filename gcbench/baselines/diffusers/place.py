"""Where a pipeline's files are: a folder, or a repository of the hub at one commit. Loads neither torch nor diffusers.

A local folder is known by the hash of its files, a repository by its commit.
"""

import os
import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from gcbench.core.errors import UserError
from gcbench.core.files import file_hash, hidden, parse_json, read_text, text_hash
from gcbench.core.network import offline

INDEX = "model_index.json"
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
CONTENT = (".json", ".safetensors", ".txt", ".model")
"""Endings of what a pipeline is made of: weights, settings, words of the tokenizers."""

LONGEST = 300
"""Characters of another library's message that are shown."""

EXAMPLE = "write diffusers:./FOLDER or diffusers:ORGANISATION/NAME[@REVISION]"


class Place(NamedTuple):
    """name: as it was asked for. folder: with all files. version: `files HASH`, or the `commit` of a repository."""

    name: str
    folder: Path
    version: str

    @property
    def hash(self) -> str:
        return self.version.rpartition(" ")[2][:12]


def local(text: str) -> Path | None:
    """The folder that a text means; None for a hub id. A path has a slash: a bare name is never a folder here."""
    path = Path(text).expanduser()
    separators = {"/", os.sep} & set(text)
    plain = HUB_ID.fullmatch(text.partition("@")[0]) is not None
    return path if separators and (not plain or path.exists()) else None


def check(text: str) -> None:
    """UserError: the extra is missing, or the text is neither a folder with a pipeline nor a hub id."""
    if find_spec("diffusers") is None:
        raise UserError("--model diffusers needs an extra: pip install gcbench[diffusers]")
    if (folder := local(text)) is not None:
        read_index(folder, f"--model diffusers:{text}")
        return
    name, at, revision = text.partition("@")
    if not HUB_ID.fullmatch(name) or (at and not revision):
        raise UserError(f"--model diffusers:{text}: that is no folder and no id of the hub; {EXAMPLE}")


def read_index(folder: Path, name: str = "the pipeline") -> dict[str, Any]:
    """What `model_index.json` says: the pipeline's class, its parts. name: of the folder, in messages.
    UserError: the folder is no pipeline."""
    if not folder.exists():
        raise UserError(f"{name} is not there; {EXAMPLE}")
    if not (folder / INDEX).is_file():
        raise UserError(
            f"{name} holds no {INDEX}, so it is no pipeline; give the folder that a pipeline's save_pretrained wrote"
        )
    try:
        index = parse_json(read_text(folder / INDEX))
    except (OSError, ValueError, UserError) as error:
        raise UserError(f"{folder / INDEX} cannot be read ({error}); copy the pipeline again") from None
    if not isinstance(index, dict) or not isinstance(index.get("_class_name"), str):
        raise UserError(f"{folder / INDEX} names no pipeline class (_class_name); copy the pipeline again")
    return index


def find(text: str, variant: str | None = None) -> Place:
    """The files of a pipeline, downloaded if they are not here. `GCBENCH_OFFLINE=1`: only from the hub's cache.
    UserError: as `check`; no such repository or revision; no network."""
    check(text)
    if (folder := local(text)) is not None:
        parts = [INDEX, *(part for part in read_index(folder) if re.fullmatch("[a-z]\\w*", part))]
        return Place(text, folder, f"files {folder_hash(folder, parts)}")
    name, _, revision = text.partition("@")
    import diffusers

    try:
        downloaded = diffusers.DiffusionPipeline.download(
            name,
            revision=revision or None,
            variant=variant,
            use_safetensors=True,
            safety_checker=None,
            local_files_only=offline(),
        )
    except (OSError, ValueError) as error:  # what the hub's client raises derives from these
        raise UserError(refusal(text, error)) from None
    folder = Path(downloaded)
    read_index(folder)
    return Place(name, folder, f"commit {folder.name}")


def refusal(text: str, error: BaseException) -> str:
    """One sentence for a repository that could not be had."""
    if offline():
        return (
            f"diffusers:{text} is not in the hub's cache and GCBENCH_OFFLINE forbids the network; unset it, or give a"
            " folder"
        )
    kind = type(error).__name__
    if "RevisionNotFound" in kind:
        return f"diffusers:{text}: there is no such revision; give a branch, a tag or a commit of that repository"
    if "Gated" in kind:
        return f"diffusers:{text} is gated; accept its terms on its page and log in with `hf auth login`"
    if "RepositoryNotFound" in kind:
        return f"diffusers:{text}: the hub has no such repository, or it is private; {EXAMPLE}"
    return f"diffusers:{text} cannot be had ({first_line(error)}); {EXAMPLE}"


def folder_hash(folder: Path, parts: Sequence[str] = (".",)) -> str:
    """Of the names and content of all files that make up a part of a pipeline. parts: files and folders in `folder`;
    what else lies there is not read."""
    places = [folder / part for part in parts]
    paths = [path for place in places for path in ([place] if place.is_file() else place.rglob("*"))]
    files = sorted(path for path in paths if path.suffix in CONTENT and path.is_file())
    names = [path.relative_to(folder) for path in files]
    rows = [(str(name.as_posix()), file_hash(folder / name, 64)) for name in names if not hidden(name)]
    return text_hash(*(text for row in rows for text in row))


def first_line(error: BaseException) -> str:
    """What an error says first; a line that ends in a colon, with what it announces."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    first = " ".join(lines[: 2 if lines[0].endswith(":") else 1])
    return (first if len(first) <= LONGEST else f"{first[:LONGEST]} …").rstrip(".")
