"""Shards that several processes do: who takes which, who waits, who merges. What the samples are, the caller knows."""

import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gcbench.evaluation.scoring import Scoring
from gcbench.evaluation.shards import Draw, Shards
from gcbench.runs.progress import say
from gcbench.runs.work_shares import Share


class Work(NamedTuple):
    """One set of samples of a run, its row-th, and what draws them."""

    row: int
    shards: Shards
    draw: Draw


def of(share: Share, work: Sequence[Work]) -> Iterator[tuple[Work, range]]:
    """The shards of a share, set by set: places count through all rows of the run, so that shares are even."""
    for one in work:
        first = one.row * len(one.shards.parts)
        yield from ((one, part) for i, part in enumerate(one.shards.parts) if share.takes(first + i))


def take(share: Share, work: Sequence[Work], scoring: Scoring) -> bool:
    """Measure one shard that is not there and that no other process is at; False if there is none."""
    for one, part in of(share, work):
        if not one.shards.there(part):
            with one.shards.claim(part) as mine:
                if mine:
                    scoring.start()
                    one.shards.score(part, scoring, one.draw)
                    return True
    return False


def take_all(share: Share, work: Sequence[Work], scoring: Scoring) -> bool:
    """Measure the shards of a share; whether all are there then and this process is to merge them."""
    while take(share, work, scoring):
        pass
    if share.merges is False:
        return False
    while share.merges and not all(one.shards.complete for one in work):
        time.sleep(0.5)
        for one in work:
            one.shards.check()
    if lacking := sum(not one.shards.there(part) for one, part in of(Share(), work)):
        say(f"{lacking} shards are still to be measured by other processes; the last of them merges all.")
    return not lacking
