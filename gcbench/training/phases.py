"""Which phases a step has, the stages that they divide a run into, and the optimisers that they move."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from gcbench.core.errors import UserError
from gcbench.training.recipe import Phase, Recipe, TrainConfig


def span(phase: Phase, steps: int) -> tuple[int, int]:
    """The steps [first, end) of a run of `steps` in which a phase can come."""
    return round(phase.start * steps), round(phase.stop * steps)


def stages(phases: Sequence[Phase], steps: int) -> list[int]:
    """The steps at which a stage begins, 0 among them."""
    return sorted({0} | {span(phase, steps)[0] for phase in phases})


def due(phases: Sequence[Phase], step: int, steps: int) -> list[Phase]:
    """The phases of step 0, 1, ...: those within their span, each every `every` steps of it."""
    out = []
    for phase in phases:
        first, end = span(phase, steps)
        if first <= step < end and (step - first) % phase.every == 0:
            out.append(phase)
    return out


def learning_rate(step: int, cfg: TrainConfig, first: int = 0, end: int | None = None) -> float:
    """Over the steps [first, end): linear warm-up, constant, and over the last `decay` of them a half cosine to 0."""
    length, step = (cfg.steps if end is None else end) - first, step - first
    rate = cfg.lr * min(1.0, (step + 1) / cfg.warmup) if cfg.warmup else cfg.lr
    start = length * (1 - cfg.decay)
    if step > start:
        rate *= 0.5 * (1 + math.cos(math.pi * (step - start) / (length - start)))
    return rate


class Optimizers:
    """The optimisers of a recipe, one a group. UserError: the recipe's phases and groups do not go together."""

    def __init__(self, recipe: Recipe, cfg: TrainConfig):
        self.cfg = cfg
        self.groups = recipe.optimizer_groups()
        name = type(recipe).__name__
        for phase in recipe.phases():
            if missing := [key for key in phase.groups if key not in self.groups]:
                raise UserError(f"phase {phase.name!r} of {name} moves {missing[0]!r}, which optimizer_groups() lacks")
        for key, group in self.groups.items():
            if not group.parameters:
                raise UserError(f"optimizer group {key!r} of {name} has no parameters; leave it out")
        self.optimizers: dict[str, Any] = {
            key: torch.optim.AdamW(
                group.parameters,
                lr=cfg.lr * group.rate,
                betas=group.betas or cfg.betas,
                weight_decay=cfg.weight_decay,
                fused=True,
            )
            for key, group in self.groups.items()
        }

    def parameters(self, phase: Phase) -> Iterator[nn.Parameter]:
        for name in phase.groups:
            yield from self.groups[name].parameters

    def begin(self, phase: Phase, step: int) -> float:
        """Let gradients reach the phase's groups alone. Returns the step's learning rate, before a group's own."""
        rate = learning_rate(step, self.cfg, *span(phase, self.cfg.steps))
        for name, group in self.groups.items():
            moves = name in phase.groups
            if len(self.groups) > 1:
                for parameter in group.parameters:
                    parameter.requires_grad_(moves)
            if moves:
                for settings in self.optimizers[name].param_groups:
                    settings["lr"] = rate * group.rate
        return rate

    def move(self, phase: Phase) -> None:
        for name in phase.groups:
            self.optimizers[name].step()
            self.optimizers[name].zero_grad(set_to_none=True)

    def state(self) -> dict[str, Any]:
        return {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()}

    def load(self, state: dict[str, Any]) -> None:
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state[name])
