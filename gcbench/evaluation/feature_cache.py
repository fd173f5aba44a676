"""What evaluators say of a dataset's real images, kept between runs: the same split is evaluated once.

Kept in `$GCBENCH_CACHE`, else in the user's cache directory; `GCBENCH_CACHE=off` keeps nothing. A place that cannot be
written is said once and not used. One file for each evaluator and split. Its name is a hash of everything that the
features depend on: the images (list and contents of their files), their size and resize filter, the evaluator's id
(architecture, weights' hash, resize, precision) and the versions of gcbench and torch. Whatever changes, the old file
is no longer found. Texts are not kept.
"""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from types import TracebackType

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from torch import Tensor

from gcbench.core import files
from gcbench.core.contracts import Evaluator
from gcbench.core.errors import UserError, calling
from gcbench.core.files import text_hash
from gcbench.core.metric_state import load_checked, save_tensors, with_checksum
from gcbench.core.reference import Reference
from gcbench.core.samples import Features, Samples
from gcbench.runs.progress import say

PARTS = ("vectors", "labels", "probabilities")


def cache_directory() -> Path | None:
    """Where features are kept, or None for nowhere: by choice, or because this user has no home."""
    return files.cache_directory("" if os.environ.get("GCBENCH_CACHE") else "features")


def key_of(reference: Reference, evaluator: Evaluator) -> str:
    """The hash of all that the features of the split's images depend on."""
    dataset, split, size = reference.dataset, reference.split, reference.size
    images = (dataset.name, split, dataset.fingerprint(split), *dataset.ids(split), f"{size[0]}x{size[1]}")
    settings = (dataset.resize, evaluator.role, evaluator.id, version("gcbench"), str(torch.__version__))
    return text_hash(*images, *settings, length=32)


class ReferenceFeatures:
    """Features of a split's real images by role: read from the cache where they are there, else evaluated and kept.

    cached: off, everything is evaluated anew and nothing kept.
    A context: what was evaluated is written when it ends without an error. Of two processes that lack the same file the
    second waits for the first and reads what it wrote.
    """

    def __init__(self, reference: Reference, evaluators: dict[str, Evaluator], cached: bool = True):
        self.evaluators = evaluators
        self.n = len(reference)
        self._files: dict[str, Path] = {}
        self._held: dict[str, Features] = {}
        self._new: dict[str, list[Features]] = {}
        root = cache_directory() if cached else None
        if root is None and cached and os.environ.get("GCBENCH_CACHE") != "off":
            _not_kept(Path("~/.cache/gcbench"), RuntimeError("there is no home directory"))
        if root is not None:
            fingerprinted = {role: key_of(reference, evaluator) for role, evaluator in evaluators.items()}
            self._files = {role: root / f"{key}.safetensors" for role, key in fingerprinted.items()}
        self._locks = ExitStack()

    def __enter__(self) -> "ReferenceFeatures":
        try:
            for role, file in self._files.items():
                held = read(file, self.n)
                if held is None:
                    self._locks.enter_context(_locked(file))
                    held = read(file, self.n)  # another process may have written it meanwhile
                if held is None:
                    self._new[role] = []
                else:
                    self._held[role] = held
        except (OSError, NotImplementedError) as error:
            _not_kept(self._files[role].parent, error)
        except BaseException:
            self._locks.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._locks:
            for role, parts in self._new.items():
                if kind is None and sum(map(_count, parts)) == self.n:
                    try:
                        write(self._files[role], parts)
                    except UserError as full:
                        _not_kept(self._files[role].parent, full.__cause__ or full)
                        break

    def features(self, places: Sequence[int], samples: Samples) -> dict[str, Features]:
        """What every evaluator says of the split's images at `places`: rising, each once."""
        features = {}
        for role, evaluator in self.evaluators.items():
            if role in self._held:
                features[role] = self._held[role].take(places)
                continue
            with calling(f"evaluator {role}"):
                features[role] = evaluator(samples.images)
            if role in self._new:
                self._new[role].append(features[role])
        return features


def read(file: Path, n: int) -> Features | None:
    """The features of n images, or None if the file is not there. A damaged one is evaluated anew."""
    try:
        if not file.exists():
            return None
        parts = load_checked(file)
    except (OSError, SafetensorError, ValueError) as error:
        say(f"{file} cannot be read ({error}); the real images are evaluated again")
        return None
    if not parts or any(len(part) != n for part in parts.values()):
        say(f"{file} does not hold {n} images; they are evaluated again")
        return None
    labels = parts.get("labels")
    return Features(parts.get("vectors"), None if labels is None else labels.long(), parts.get("probabilities"))


def write(file: Path, batches: Sequence[Features]) -> None:
    """Keep features, atomically: float32, labels as bytes. UserError: the place cannot be written."""
    parts: dict[str, Tensor] = {}
    for name in PARTS:
        pieces = [getattr(batch, name) for batch in batches]
        if pieces[0] is not None:
            whole = torch.cat(pieces)
            parts[name] = whole.to(torch.uint8 if name == "labels" else torch.float32).cpu().contiguous()
    if parts:
        save_tensors(file, with_checksum(parts))


def _count(features: Features) -> int:
    return next(len(part) for name in PARTS if (part := getattr(features, name)) is not None)


def _locked(file: Path) -> FileLock:
    """The file's lock, once it is had. OSError: the place cannot be written."""
    lock = FileLock(f"{file}.lock")
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say("Another process evaluates the same real images; waiting for it.")
        lock.acquire()
    return lock


_said: set[Path] = set()


def _not_kept(folder: Path, error: BaseException) -> None:
    """Say once a process that nothing is kept."""
    if folder not in _said:
        _said.add(folder)
        why = getattr(error, "strerror", None) or error
        say(f"The cache {folder} cannot be written ({why}): what is said of real images is not kept for the next run.")
