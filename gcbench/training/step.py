"""One training step: its phases over its micro-batches and over the processes that share the batch.

However the batch is cut, the gradient is that of the whole batch's mean: each part's loss weighs by its share of the
images, and the processes' gradients are added up before they are clipped and move anything.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gcbench.core.draws import Draws
from gcbench.core.errors import UserError
from gcbench.core.shared_batch import EveryProcess, Part, SharedStatistics, sharing
from gcbench.training.phases import Optimizers, due
from gcbench.training.processes import Processes
from gcbench.training.recipe import Batch, Phase, TrainConfig


class Cut(NamedTuple):
    """A micro-batch: the places of its images in the batch, and what passes beside it in other processes."""

    rows: range
    part: Part | None


def cuts(images: int, micro: int, rank: int, ranks: int) -> list[Cut]:
    """The micro-batches of a process, of at most `micro` images (0: of any number). One process cuts the batch in
    order; several share each of as many parts of it as they need, as evenly as can be, image by image."""
    if ranks == 1:
        return [Cut(range(images)[i : i + (micro or images)], None) for i in range(0, images, micro or images)]
    count = -(-images // (micro * ranks)) if micro else 1
    edges = [number * images // count for number in range(count + 1)]
    sizes = [end - begin for begin, end in pairwise(edges)]
    complete = min(sizes) >= ranks
    micro_batches = [
        Cut(range(begin + rank, begin + size, ranks), Part(size, rank, ranks, complete))
        for begin, size in zip(edges, sizes, strict=False)
    ]
    return [cut for cut in micro_batches if len(cut.rows)]


def own_rows(images: int, micro: int, rank: int, ranks: int) -> list[int]:
    """The places of all images that a process has, in the order of its micro-batches."""
    return [row for cut in cuts(images, micro, rank, ranks) for row in cut.rows]


class Value(NamedTuple):
    """Of the batch's mean of something, this process's share. name: how the log calls it; loss: whether it is a
    phase's, which is minimised."""

    name: str
    loss: bool
    share: Tensor


class Mover:
    """Moves a recipe's parameters, step by step."""

    def __init__(self, recipe: nn.Module, optimizers: Optimizers, accelerator: Accelerator, processes: Processes):
        self.optimizers, self.accelerator, self.processes = optimizers, accelerator, processes
        self.cfg: TrainConfig = optimizers.cfg
        self.recipe: Any = accelerator.prepare_model(recipe, evaluation_mode=True)  # no wrapper: we sum gradients
        optimizers.optimizers = {name: accelerator.prepare(opt) for name, opt in optimizers.optimizers.items()}
        self.cuts = cuts(self.cfg.batch_size, self.cfg.micro_batch, processes.rank, processes.count)
        mixes = any(isinstance(module, _BatchNorm) for module in recipe.modules())
        self._statistics = processes.count > 1 and mixes
        self._buffers = [buffer for buffer in recipe.buffers() if buffer.is_floating_point()]
        self._gradients: dict[str, list[nn.Parameter]] = {}

    def step(self, step: int, batch: Batch) -> tuple[float, list[Value]]:
        """Every phase that is due moves its groups. The learning rate of the first, and what all say of the batch.
        batch: the images of this process, in the order of its micro-batches."""
        first, out = 0.0, []
        for number, phase in enumerate(due(self.recipe.phases(), step, self.cfg.steps)):
            rate = self.optimizers.begin(phase, step)
            first = first if number else rate
            seed = (self.cfg.seed * 1_000_003 + step) * 64 + (number << 48)
            out += self._backward(phase, batch, seed)
            self._add_up(phase)
            if self.cfg.clip:
                self.accelerator.clip_grad_norm_(self.optimizers.parameters(phase), self.cfg.clip)
            self.optimizers.move(phase)
        self.processes.copy_first(self._buffers)  # running statistics differ between processes
        return first, out

    def _backward(self, phase: Phase, batch: Batch, seed: int) -> list[Value]:
        own = (seed ^ 0x5DEECE66D1CE4E5B) + self.processes.rank
        draws = Draws(seed, own % 2**63, self.cfg.batch_size)
        totals: dict[str, Tensor] = {}
        begin = 0
        for rows, part in self.cuts:
            images = batch.part(begin, begin + len(rows))
            begin += len(rows)
            share = len(rows) / self.cfg.batch_size
            with ExitStack() as stack:
                stack.enter_context(sharing(part))
                if self._statistics:
                    stack.enter_context(SharedStatistics())
                values = self.recipe(images, draws.share(rows), phase.name)
                if not isinstance(values, Mapping) or "loss" not in values:
                    where = f"phase {phase.name!r}" if phase.name else "its forward"
                    raise EveryProcess(f"{type(self.recipe).__name__}: {where} gave no 'loss'")
                self.accelerator.backward(values["loss"] * share)
            for key, value in values.items():
                weighted = value.detach().double() * share
                totals[key] = totals[key] + weighted if key in totals else weighted
        return [
            Value(phase.name if phase.name and key == "loss" else key, key == "loss", total)
            for key, total in totals.items()
        ]

    def _add_up(self, phase: Phase) -> None:
        """Sum the gradients over all processes. Which parameters get one is agreed on at a phase's first step; a
        process that has none for such a parameter later adds 0."""
        if self.processes.count == 1:
            return
        parameters = list(self.optimizers.parameters(phase))
        if phase.name not in self._gradients:
            has_gradient = self.processes.told([parameter.grad is not None for parameter in parameters])
            self._gradients[phase.name] = [
                parameter for parameter, *some in zip(parameters, *has_gradient, strict=True) if any(some)
            ]
        held = self._gradients[phase.name]
        for parameter in held:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        if sum(parameter.grad is not None for parameter in parameters) > len(held):
            raise UserError(
                f"{type(self.recipe).__name__}: phase {phase.name!r} gives a parameter its gradient in some steps only,"
                " which several processes cannot share; start one"
            )
        self.processes.add([parameter.grad for parameter in held if parameter.grad is not None])
