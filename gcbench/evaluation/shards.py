"""A set of samples, scored shard by shard: what a stopped run resumes from and processes share, to the same digits.

A shard is the samples i with start ≤ i < stop. When its last sample is scored, the metrics' states are written as one
file, atomically. Whoever scores the set again reads the finished shards; the metrics of all are merged in their order.
A shard begins with a batch of the evaluators, so that which images go through a network together never depends on where
a run was stopped, nor on who scores what.
"""

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import torch

from gcbench.core.contracts import Metric, State
from gcbench.core.errors import UserError, calling
from gcbench.core.files import text_hash
from gcbench.core.metric_state import load_states, save_states
from gcbench.core.samples import Samples
from gcbench.evaluation.scoring import BATCH, Scoring
from gcbench.runs.lock import if_free
from gcbench.runs.progress import say
from gcbench.runs.stopwatch import Stopwatch

MANY, LARGEST = 256, 1024
"""Shards that a set is cut into if it has so many batches, and samples that a shard has at most."""

ABOUT = ""
"""In a shard's file, what is no metric's: the images' digests, where their layouts are from, the seconds …"""

PROCESS = secrets.token_hex(8)
"""This process, among those that share a run."""

Draw = Callable[[range, Stopwatch], Iterable[Samples]]
"""The samples of a shard, in batches of BATCH; the stopwatch measures what they take."""


def shards(n: int, batch: int = BATCH) -> list[range]:
    """The places 0..n-1, cut into shards of one length: whole batches of the evaluators, at least `batch` samples."""
    size = min(max(batch, n // MANY), max(batch, LARGEST))
    length = -(-size // BATCH) * BATCH
    return [range(start, min(start + length, n)) for start in range(0, n, length)]


class Total(NamedTuple):
    """What is known of some samples: the metrics with them, the first ones, (id, text, group) of each with a text,
    the seconds of every stage summed over all processes, and these."""

    metrics: dict[str, Metric]
    shown: Samples | None
    texts: list[tuple[str, str, str]]
    seconds: dict[str, float]
    processes: set[str]


class Shards:
    """The shards of n samples, in `folder`/KEY where they are finished.

    settings: all that the samples and their scores depend on. KEY is their hash, with the shards' length and the
    versions of gcbench and torch, so that a shard of other settings is never found. shown: how many samples of the
    first shard are kept in its file. batch: the least that a shard has. tick: told how many samples need not be scored
    here. check: called before a write. folder: None, nothing is kept. texts: whether the samples' texts are kept too.
    whole: whether what else is kept of a finished shard is there. needed: whether the set is not merged yet, for then
    its shards are gone.
    """

    def __init__(
        self,
        n: int,
        folder: Path | None = None,
        settings: Sequence[str] = (),
        *,
        shown: int = 0,
        batch: int = BATCH,
        texts: bool = False,
        tick: Callable[[int], object] = lambda count: None,
        check: Callable[[], object] = lambda: None,
    ):
        self.parts = shards(n, batch)
        length = str(len(self.parts[0])) if self.parts else ""
        key = text_hash(*settings, version("gcbench"), str(torch.__version__), length, length=16)
        self.folder = None if folder is None else folder / key
        self.shown, self.texts, self.tick, self.check = shown, texts, tick, check
        self.whole: Callable[[range], bool] = lambda part: True
        self.needed: Callable[[], bool] = lambda: True
        self._known: set[range] = set()  # finished ones, each looked for once
        self._own: set[range] = set()  # those that were scored here

    def measure(self, scoring: Scoring, draw: Draw) -> Total:
        """All samples, merged: those of finished shards are read, the others drawn and scored."""
        total = Total(scoring.start(), None, [], {}, set())
        for part in self.parts:
            shard = self._read(part, scoring) if self.there(part) else None
            if shard is None:
                shard = self.score(part, scoring, draw)
            elif part not in self._own:
                self.tick(len(part))
            for name, metric in total.metrics.items():
                with calling(f"metric {name}"):
                    metric.merge(shard.metrics[name])
            total.texts.extend(shard.texts)
            total.processes.update(shard.processes)
            for stage, seconds in shard.seconds.items():
                total.seconds[stage] = total.seconds.get(stage, 0.0) + seconds
            total = total._replace(shown=shard.shown if part.start == 0 else total.shown)
        return total

    def score(self, part: range, scoring: Scoring, draw: Draw) -> Total:
        """Draw and score the samples of one shard, and write its file."""
        metrics, before = scoring.fresh(), len(scoring.shown)
        stopwatch, first, texts = Stopwatch(), None, []
        for batch in draw(part, stopwatch):
            with stopwatch("evaluate"):
                scoring.update(metrics, batch)
            if part.start == 0 and first is None and self.shown:
                first = batch.take(range(min(self.shown, len(batch))))
            if self.texts:
                texts += list(zip(batch.ids, batch.prompts or (), batch.groups or batch.ids, strict=False))
        if len(scoring.shown) - before != len(part):
            raise UserError(f"{len(scoring.shown) - before} samples came where {len(part)} were asked for")
        shard = Total(metrics, first, texts, stopwatch.rounded(), {PROCESS})
        if self.folder is not None:
            self._write(part, shard, scoring, before)
        self._own.add(part)
        return shard

    @property
    def complete(self) -> bool:
        """Whether all shards are finished."""
        return all(self.there(part) for part in self.parts)

    def there(self, part: range) -> bool:
        """Whether a shard is finished; a file that was damaged since shows when it is read."""
        if part not in self._known and self.folder is not None and self._file(part).exists() and self.whole(part):
            self._known.add(part)
        return part in self._known

    @contextmanager
    def claim(self, part: range) -> Iterator[bool]:
        """Within it no other process scores this shard; False if one does already, or it need not be scored."""
        assert self.folder is not None
        if not self.needed():
            yield False
            return
        self.check()
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / f".{part.start:06d}.lock"
        with if_free(file) as free:
            try:
                yield free and not self.there(part) and self.needed()
            except BaseException:  # what is refused at its first shard leaves nothing
                file.unlink(missing_ok=True)
                with suppress(OSError):
                    self.folder.rmdir()
                    self.folder.parent.rmdir()
                raise

    @property
    def done(self) -> int:
        """How many samples need not be scored again."""
        return sum(len(part) for part in self.parts if self.there(part))

    def first(self) -> Samples | None:
        """The first samples, where the shard that holds them is still there."""
        if self.folder is None or not self._file(range(1)).exists():
            return None
        try:
            return _unpacked(load_states(self._file(range(1)))[ABOUT])
        except (UserError, KeyError):
            return None

    def forget(self) -> None:
        """Remove the shards of a set that is measured, but for the first, which holds the samples that are shown."""
        if self.folder is not None and self.folder.is_dir():
            for file in self.folder.iterdir():
                if file != self._file(range(1)):
                    file.unlink(missing_ok=True)

    def _file(self, part: range) -> Path:
        assert self.folder is not None
        return self.folder / f"{part.start:06d}.safetensors"

    def _place(self, part: range) -> list[str | int]:
        """What tells a shard from all others, wherever its file lies."""
        return ["" if self.folder is None else self.folder.name, part.start, part.stop]

    def _write(self, part: range, shard: Total, scoring: Scoring, before: int) -> None:
        digests = torch.frombuffer(bytearray(b"".join(scoring.shown[before:])), dtype=torch.uint8)
        about: State = {"digests": digests, "sources": sorted(scoring.sources), "texts": shard.texts}
        about |= {
            "place": self._place(part),
            "seconds": shard.seconds,
            "processes": sorted(shard.processes),
            **_packed(shard.shown),
        }
        states: dict[str, State] = {ABOUT: about}
        for name, metric in shard.metrics.items():
            with calling(f"metric {name}"):
                states[name] = metric.state()
        self.check()
        with calling("the state of a metric"):
            save_states(self._file(part), states)

    def _read(self, part: range, scoring: Scoring) -> Total | None:
        """A finished shard, or None. A damaged one is reported and scored again."""
        metrics = scoring.fresh()
        try:
            states = load_states(self._file(part))
            about = states[ABOUT]
            if about["place"] != self._place(part):
                raise ValueError("it is of other samples")
            digests = about["digests"].reshape(len(part), -1).numpy()
            for name, metric in metrics.items():
                metric.load(states[name])
            texts = [tuple(line) for line in about["texts"]]
            shard = Total(metrics, _unpacked(about), texts, dict(about["seconds"]), set(about["processes"]))
        except (UserError, KeyError, ValueError, TypeError, RuntimeError, AttributeError) as error:
            say(f"{self._file(part)} cannot be read ({error}); its samples are measured again")
            return None
        scoring.shown += [row.tobytes() for row in digests]
        scoring.sources |= set(about["sources"])
        return shard


def _packed(samples: Samples | None) -> State:
    if samples is None:
        return {}
    packed: State = {"images": samples.images, "ids": list(samples.ids), "source": samples.layout_source}
    if samples.layouts is not None:
        packed["layouts"] = samples.layouts
    return {**packed, "prompts": None if samples.prompts is None else list(samples.prompts)}


def _unpacked(state: State) -> Samples | None:
    if "images" not in state:
        return None
    prompts, ids = state["prompts"], tuple(state["ids"])
    return Samples(state["images"], state.get("layouts"), state["source"], prompts and tuple(prompts), ids)
