"""What of a training step looks at several images at once sees those of all processes that share the batch.

`gathered` brings rows of all processes together, with their gradient: a loss of it, weighed in each process by that
one's share of the images, has in sum the gradient of one process that has them all. Batch normalisation takes the
statistics of all of them while `SharedStatistics` is on.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from gcbench.core.errors import UserError


class Part(NamedTuple):
    """Of `images` that go through the network together, this process has those at rank, rank + ranks, ...
    complete: whether every process has some in each of the step's parts, so that none waits in vain."""

    images: int
    rank: int
    ranks: int
    complete: bool = True


class EveryProcess(UserError):
    """A mistake that all processes find at the same moment."""


_part: Part | None = None  # not a ContextVar: autograd makes parts of the forward again in threads of its own


@contextmanager
def sharing(part: Part | None) -> Iterator[None]:
    """Within it `gathered` means the images of `part`; None: those at hand are all."""
    global _part
    before, _part = _part, part
    try:
        yield
    finally:
        _part = before


def _shared() -> Part | None:
    if _part is not None and not _part.complete:
        raise EveryProcess(
            "what compares images of a batch needs a micro-batch in every process; set train.micro_batch=2 or more, or"
            f" a train.batch_size that {_part.ranks} processes divide evenly"
        )
    return _part


class _Sum(torch.autograd.Function):
    """The sum over processes; so is its gradient, and the gradient of that."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        out = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(out)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _Sum.apply(gradient)


def gathered(x: Tensor) -> Tensor:
    """Rows [b,...] of the images at hand -> [B,...] of those of all processes, in the batch's order."""
    part = _shared()
    if part is None:
        return x
    whole = x.new_zeros(part.images, *x.shape[1:])
    whole[part.rank :: part.ranks] = x
    return _Sum.apply(whole) if x.is_floating_point() else _summed(whole)


def _summed(x: Tensor) -> Tensor:
    out = x.long()
    dist.all_reduce(out)
    return out.to(x.dtype)


def own(x: Tensor) -> Tensor:
    """Of rows [B,...] of all processes those [b,...] of this one."""
    part = _shared()
    return x if part is None else x[part.rank :: part.ranks]


class SharedStatistics(TorchFunctionMode):
    """While it is on, batch normalisation in training takes mean and variance over all processes' images."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is F.batch_norm and _shared() is not None:
            return _batch_norm(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """F.batch_norm, in float32, with sums over all processes."""
    if not training:
        return F.batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
    wide = x.float()
    axes = [axis for axis in range(x.dim()) if axis != 1]
    shape = [-1 if axis == 1 else 1 for axis in range(x.dim())]
    ones = wide.new_full((1,), x.numel() / x.shape[1])
    sums = _Sum.apply(torch.cat((wide.sum(axes), ones)))  # [C+1]
    count = sums[-1].detach()
    mean = sums[:-1] / count
    centred = wide - mean.view(shape)
    variance = _Sum.apply(centred.square().sum(axes)) / count  # [C]
    if running_mean is not None and running_var is not None:
        with torch.no_grad():
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            running_var.lerp_((variance * count / (count - 1)).to(running_var.dtype), momentum)
    out = centred * (variance + eps).rsqrt().view(shape)
    out = out if weight is None else out * weight.view(shape)
    out = out if bias is None else out + bias.view(shape)
    return out.to(x.dtype)
