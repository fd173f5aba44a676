"""Whose turn it is: the optimisers of a recipe's players, and the stages that its turns divide a run into."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from gcbench.training.recipe import Recipe, TrainConfig, Turn


def span(turn: Turn, steps: int) -> tuple[int, int]:
    """The steps [first, end) of a run of `steps` in which a turn can come."""
    return round(turn.start * steps), round(turn.stop * steps)


def stages(turns: Sequence[Turn], steps: int) -> list[int]:
    """The steps at which a stage begins, 0 among them."""
    return sorted({0} | {span(turn, steps)[0] for turn in turns})


def due(turns: Sequence[Turn], step: int, steps: int) -> list[Turn]:
    """The turns of step 0, 1, ...: those within their span, each every `every` steps of it."""
    out = []
    for turn in turns:
        first, end = span(turn, steps)
        if first <= step < end and (step - first) % turn.every == 0:
            out.append(turn)
    return out


def learning_rate(step: int, cfg: TrainConfig, first: int = 0, end: int | None = None) -> float:
    """Over the steps [first, end): linear warm-up, constant, and over the last `decay` of them a half cosine to 0."""
    length, step = (cfg.steps if end is None else end) - first, step - first
    rate = cfg.lr * min(1.0, (step + 1) / cfg.warmup) if cfg.warmup else cfg.lr
    start = length * (1 - cfg.decay)
    if step > start:
        rate *= 0.5 * (1 + math.cos(math.pi * (step - start) / (length - start)))
    return rate


class Players:
    """The optimisers of a recipe, one a player."""

    def __init__(self, recipe: Recipe, cfg: TrainConfig):
        self.cfg = cfg
        self.players = recipe.players()
        self.optimizers: dict[str, Any] = {
            name: torch.optim.AdamW(
                player.parameters,
                lr=cfg.lr * player.rate,
                betas=player.betas or cfg.betas,
                weight_decay=cfg.weight_decay,
                fused=True,
            )
            for name, player in self.players.items()
        }

    def parameters(self, turn: Turn) -> Iterator[nn.Parameter]:
        for name in turn.players:
            yield from self.players[name].parameters

    def begin(self, turn: Turn, step: int) -> float:
        """Let gradients reach the turn's players alone. Returns the step's learning rate, before `Player.rate`."""
        rate = learning_rate(step, self.cfg, *span(turn, self.cfg.steps))
        for name, player in self.players.items():
            moves = name in turn.players
            if len(self.players) > 1:
                for parameter in player.parameters:
                    parameter.requires_grad_(moves)
            if moves:
                for group in self.optimizers[name].param_groups:
                    group["lr"] = rate * player.rate
        return rate

    def move(self, turn: Turn) -> None:
        for name in turn.players:
            self.optimizers[name].step()
            self.optimizers[name].zero_grad(set_to_none=True)

    def state(self) -> dict[str, Any]:
        return {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()}

    def load(self, state: dict[str, Any]) -> None:
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state[name])
