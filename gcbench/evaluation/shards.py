"""A set of samples, scored shard by shard: what a stopped run goes on from, to the same digits.

A shard is the samples i with start ≤ i < stop. When its last sample is scored, the metrics' states are written as one
file, atomically. Whoever scores the set again reads the finished shards; the metrics of all are merged in their order.
A shard begins with a batch of the evaluators, so that which images go through a network together never depends on where
a run was stopped.
"""

from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

import torch

from gcbench.core.contracts import Metric, State
from gcbench.core.errors import UserError, calling
from gcbench.core.files import text_hash
from gcbench.core.metric_state import load_states, save_states
from gcbench.core.samples import Samples
from gcbench.evaluation.scoring import BATCH, Scoring
from gcbench.runs.progress import say

SHARD = 4 * BATCH
"""Samples of a shard: what a killed run loses at most."""

ABOUT = ""
"""In a shard's file, what is no metric's: the images' digests, where their layouts are from, and the first samples."""


def shards(n: int) -> list[range]:
    """The places 0..n-1, SHARD at a time."""
    return [range(start, min(start + SHARD, n)) for start in range(0, n, SHARD)]


class Shards:
    """The finished shards of one set of samples, in `folder`/KEY.

    settings: all that the samples and their scores depend on. KEY is their hash, with the versions of gcbench and
    torch, so that a shard of other settings is never found. shown: how many samples of the first shard are kept in its
    file. tick: told how many samples need not be scored again. folder: None, nothing is kept. check: called before a
    write.
    """

    def __init__(
        self,
        folder: Path | None,
        settings: Sequence[str] = (),
        *,
        shown: int = 0,
        tick: Callable[[int], object] = lambda count: None,
        check: Callable[[], object] = lambda: None,
    ):
        key = text_hash(*settings, version("gcbench"), str(torch.__version__), str(SHARD), length=16)
        self.folder = None if folder is None else folder / key
        self.shown, self.tick, self.check = shown, tick, check

    def measure(
        self,
        scoring: Scoring,
        n: int,
        samples: Callable[[range], Iterable[Samples]],
        whole: Callable[[range], bool] = lambda part: True,
    ) -> tuple[dict[str, Metric], Samples | None]:
        """The metrics with n samples in them, and the first `shown`.

        samples: those of a shard, in batches of BATCH. whole: whether what else is kept of a finished shard is there.
        """
        metrics, first = scoring.start(), None
        for part in shards(n):
            found = self._read(part, scoring) if whole(part) else None
            if found is None:
                found = self._score(part, scoring, samples(part))
            else:
                self.tick(len(part))
            held, shown = found
            first = shown if part.start == 0 else first
            for name, metric in metrics.items():
                with calling(f"metric {name}"):
                    metric.merge(held[name])
        return metrics, first

    def done(self, n: int) -> int:
        """How many of n samples need not be scored again."""
        return 0 if self.folder is None else sum(len(part) for part in shards(n) if self._file(part).exists())

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
                    file.unlink()

    def _file(self, part: range) -> Path:
        assert self.folder is not None
        return self.folder / f"{part.start:06d}.safetensors"

    def _score(
        self, part: range, scoring: Scoring, batches: Iterable[Samples]
    ) -> tuple[dict[str, Metric], Samples | None]:
        metrics, before = scoring.fresh(), len(scoring.shown)
        shown: list[Samples] = []
        for batch in batches:
            scoring.update(metrics, batch)
            if part.start == 0 and not shown and self.shown:
                shown.append(batch.take(range(min(self.shown, len(batch)))))
        if len(scoring.shown) - before != len(part):
            raise UserError(f"{len(scoring.shown) - before} samples came where {len(part)} were asked for")
        first = shown[0] if shown else None
        if self.folder is not None:
            digests = torch.frombuffer(bytearray(b"".join(scoring.shown[before:])), dtype=torch.uint8)
            about: State = {"digests": digests, "sources": sorted(scoring.sources), **_packed(first)}
            states: dict[str, State] = {ABOUT: about}
            for name, metric in metrics.items():
                with calling(f"metric {name}"):
                    states[name] = metric.state()
            self.check()
            with calling("the state of a metric"):
                save_states(self._file(part), states)
        return metrics, first

    def _read(self, part: range, scoring: Scoring) -> tuple[dict[str, Metric], Samples | None] | None:
        """A finished shard, or None. A damaged one is said and scored again."""
        if self.folder is None or not self._file(part).exists():
            return None
        metrics = scoring.fresh()
        try:
            states = load_states(self._file(part))
            about = states[ABOUT]
            digests = about["digests"].reshape(len(part), -1).numpy()
            for name, metric in metrics.items():
                metric.load(states[name])
            first = _unpacked(about)
        except (UserError, KeyError, ValueError, RuntimeError, AttributeError) as error:
            say(f"{self._file(part)} cannot be read ({error}); its samples are measured again")
            return None
        scoring.shown += [row.tobytes() for row in digests]
        scoring.sources |= set(about["sources"])
        return metrics, first


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
