"""Blocks of one size through a network, always, so that no sum runs in another order when a caller's batch differs."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def in_blocks(
    draw: Callable[[list[int], list[str] | None], tuple[Tensor, ...]],
    seeds: Sequence[int],
    prompts: Sequence[str] | None,
    block: int,
) -> tuple[Tensor, ...]:
    """What `draw(seeds, prompts)` gives for all seeds, drawn `block` at a time; each tensor has one row a seed.

    The last block is filled up with its last seed and prompt, and the filling thrown away: a sample then depends on its
    own seed and prompt to the last digit, if row i of what `draw` gives does so within a block of one size.
    """
    parts = []
    for start in range(0, len(seeds), block):
        these = list(seeds[start : start + block])
        texts = None if prompts is None else list(prompts[start : start + block])
        missing = block - len(these)
        drawn = draw(these + these[-1:] * missing, None if texts is None else texts + texts[-1:] * missing)
        parts.append(tuple(tensor[: len(these)] for tensor in drawn))
    return tuple(torch.cat(column) for column in zip(*parts, strict=True))
