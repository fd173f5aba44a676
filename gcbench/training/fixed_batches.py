"""Batches of one size through a network, always, so that no sum runs in another order when a caller's batch differs."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def in_fixed_batches(
    draw: Callable[..., tuple[Tensor, ...]],
    seeds: Sequence[int],
    prompts: Sequence[str] | None,
    batch_size: int,
    progress: Callable[[float], object] = lambda share: None,
    beside: Sequence[Tensor] = (),
) -> tuple[Tensor, ...]:
    """What `draw(seeds, prompts, *beside)` gives for all seeds, `batch_size` at a time; each tensor has one row a seed.

    The last batch is filled up with its last seed and prompt, and the filling thrown away: a sample then depends on its
    own seed and prompt to the last digit, if row i of what `draw` gives does so within a batch of one size.
    progress: told after each batch which share of the seeds is done. beside: what else is drawn from, a row a seed.
    """
    parts = []
    for start in range(0, len(seeds), batch_size):
        batch = list(seeds[start : start + batch_size])
        texts = None if prompts is None else list(prompts[start : start + batch_size])
        missing = batch_size - len(batch)
        texts = None if texts is None else texts + texts[-1:] * missing
        rows = [tensor[start : start + batch_size] for tensor in beside]
        more = [torch.cat((row, row[-1:].expand(missing, *row.shape[1:]))) for row in rows]
        drawn = draw(batch + batch[-1:] * missing, texts, *more)
        parts.append(tuple(tensor[: len(batch)] for tensor in drawn))
        progress((start + len(batch)) / len(seeds))
    return tuple(torch.cat(rows) for rows in zip(*parts, strict=True))
