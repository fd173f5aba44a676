"""Putting a file of the manifest into its place: downloaded or given by hand, verified, moved there in one step."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from gcbench.core.errors import UserError
from gcbench.core.network import offline
from gcbench.weights.download import Progress, discard, download, writing
from gcbench.weights.manifest import MANIFEST, File, find_entry, is_here, place
from gcbench.weights.official import fault_of


def fetch(
    name: str,
    *,
    given: Path | None = None,
    manifest: Path = MANIFEST,
    progress: Progress = lambda done, total: None,
    say: Callable[[str], object] = lambda text: None,
) -> Path:
    """Let the published file called `name`, or all files of that folder, be in place; returns the place of the weights.

    Nothing is done if it is there and whole. A second process that wants the same file waits for the first and then
    finds it there. given: a copy that the user has, file or folder, taken instead of a download.

    Raises:
        UserError: no such entry; no network, or none allowed; a file that is not the published one, which is deleted
            if it was downloaded; a place that cannot be written.
    """
    entry = find_entry(name, manifest)
    if given is not None and entry.beside and not given.is_dir():
        raise UserError(f"--from {given} is not a folder; give one with {', '.join(file.file for file in entry.files)}")
    if given is None and entry.beside and offline() and not is_here(name, entry):
        names, root = ", ".join(file.file for file in entry.files), entry.url.rpartition("/")[0]
        raise UserError(
            f"GCBENCH_OFFLINE is set; get {names} of {root} by hand and give their folder with --from FOLDER"
        )
    for file in entry.files:
        copy = given / file.file if given is not None and entry.beside else given
        _bring(file, place(name, file), copy, progress, say)
    return place(name, entry)


def _bring(entry: File, path: Path, given: Path | None, progress: Progress, say: Callable[[str], object]) -> None:
    """Copy or download one file to `path`, unless it is there and whole."""
    if path.is_file() and fault_of(entry, path) is None:
        say(f"{path} is here already")
        return
    if given is None and offline():
        raise UserError(f"GCBENCH_OFFLINE is set; get {entry.url} by hand and put it at {path}")
    with _alone(path, say):
        if path.is_file():
            fault = fault_of(entry, path)
            if fault is None:  # another process has brought it meanwhile
                say(f"{path} is here by now")
                return
            say(f"{path} is replaced: {fault}")
        if given is not None:
            _copy(entry, given, path)
        else:
            _download(entry, path, progress)


def _copy(entry: File, given: Path, path: Path) -> None:
    if not given.is_file():
        raise UserError(f"--from {given} is not a file; give the path of {entry.file}")
    fault = fault_of(entry, given)
    if fault:
        raise UserError(f"--from {given} is not the published {entry.file}: {fault}")
    copy = path.with_name(path.name + ".copy")
    with writing(path):
        try:
            shutil.copyfile(given, copy)
            copy.replace(path)
        finally:
            copy.unlink(missing_ok=True)


def _download(entry: File, path: Path, progress: Progress) -> None:
    part = path.with_name(path.name + ".part")
    download(entry.url, part, progress, size=entry.size)
    fault = fault_of(entry, part)
    if fault:
        discard(part)
        raise UserError(f"{entry.url} gives another file than the published one, it is deleted again: {fault}")
    with writing(path):
        part.replace(path)
    discard(part)


@contextmanager
def _alone(path: Path, say: Callable[[str], object]) -> Iterator[None]:
    """Hold the lock of `path`; wait for the process that has it."""
    file = path.with_name(f".{path.name}.lock")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file.touch()  # where it cannot be written, the lock would wait for ever
    lock = FileLock(file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"another process brings {path.name}; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
