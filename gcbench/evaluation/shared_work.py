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
    for item in work:
        first = item.row * len(item.shards.parts)
        yield from ((item, part) for i, part in enumerate(item.shards.parts) if share.takes(first + i))


def take(share: Share, work: Sequence[Work], scoring: Scoring) -> bool:
    """Measure one shard that is not there and that no other process is at; False if there is none."""
    for item, part in of(share, work):
        if not item.shards.there(part):
            with item.shards.claim(part) as mine:
                if mine:
                    scoring.start()
                    item.shards.score(part, scoring, item.draw)
                    return True
    return False


def take_all(share: Share, work: Sequence[Work], scoring: Scoring) -> bool:
    """Measure the shards of a share; whether all are there then and this process is to merge them."""
    while take(share, work, scoring):
        pass
    if share.merges is False:
        return False
    while share.merges and not all(item.shards.complete for item in work):
        time.sleep(0.5)
        for item in work:
            item.shards.check()
    if lacking := sum(not item.shards.there(part) for item, part in of(Share(), work)):
        say(f"{lacking} shards are still to be measured by other processes; the last of them merges all.")
    return not lacking
