"""Optimizer groups and stages: who is moved when, at what rate, and that a staged run resumes to the same numbers."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gcbench.core.checkpoint import Card
from gcbench.core.contracts import Dataset, Size
from gcbench.core.errors import UserError
from gcbench.training.pairs import Pairs
from gcbench.training.phases import due, stages
from gcbench.training.recipe import Batch, OptimizerGroup, Phase, Recipe, TrainConfig
from gcbench.training.trainer import train


class Grey(Dataset):
    name, classes, palette, void, size = "grey", ("a", "b"), ((0, 0, 0), (9, 9, 9)), None, (4, 4)
    splits, resize, version = ("train", "val"), "none", "1"
    aliases: Mapping[str, tuple[str, ...]] = {}

    @classmethod
    def open(cls) -> "Grey":
        return cls()

    def ids(self, split: str) -> Sequence[str]:
        return [str(i) for i in range(5)]

    def pair(self, split: str, index: int, size: Size) -> tuple[np.ndarray, np.ndarray]:
        return np.full((*size, 3), 40 * index, np.uint8), np.zeros(size, np.uint8)

    def captions(self, split: str, index: int) -> Sequence[str]:
        return [str(index)]


class Duel(Recipe):
    """Two numbers that are pulled against each other, then, in the second half, a third that follows the first."""

    def __init__(self, **settings: Any):
        base: dict[str, Any] = {
            "steps": 8,
            "batch_size": 2,
            "lr": 0.1,
            "ema": 0.5,
            "log_every": 2,
            "save_every": 2,
            "betas": (0.5, 0.9),
        }
        train_config = TrainConfig.model_validate({**base, **settings})
        super().__init__("duel", SimpleNamespace(size=(4, 4)), Grey(), train_config)
        self.left, self.right, self.late = (nn.Parameter(torch.tensor(v)) for v in (1.0, -1.0, 5.0))
        self.calls: list[str] = []
        self.wanted: list[tuple[bool, ...]] = []
        self.history: list[tuple[float, float, float]] = []

    def optimizer_groups(self) -> Mapping[str, OptimizerGroup]:
        left, late = OptimizerGroup([self.left]), OptimizerGroup([self.late])
        return {"left": left, "right": OptimizerGroup([self.right], rate=0.1), "late": late}

    def phases(self) -> Sequence[Phase]:
        return (
            Phase("pull", ("left",), stop=0.5),
            Phase("push", ("right",), stop=0.5),
            Phase("lazy", ("right",), every=3, stop=0.5),
            Phase("follow", ("late", "left"), start=0.5),
        )

    def forward(self, batch: Batch, generator: torch.Generator, phase: str = "") -> dict[str, Tensor]:
        self.calls.append(phase)
        self.wanted.append(tuple(p.requires_grad for p in (self.left, self.right, self.late)))
        self.history.append((self.left.item(), self.right.item(), self.late.item()))
        noise = torch.randn((), generator=generator) * 0.01
        if phase == "follow":
            return {"loss": (self.late - self.left + noise).square()}
        loss = (self.left - self.right + noise).square()
        return {"loss": loss if phase == "pull" else -loss, "gap": self.left - self.right}

    def card(self, provenance: dict[str, Any]) -> Card:
        return Card(kind="model", name="duel", provenance=provenance)

    def weights(self) -> dict[str, Tensor]:
        return self.state_dict()

    def preview(self, path: Path) -> None: ...


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    return Pairs(Grey(), "train", (4, 4))


def test_which_phases_are_due() -> None:
    phases = Duel().phases()
    assert stages(phases, 8) == [0, 4]
    names = [[phase.name for phase in due(phases, step, 8)] for step in range(8)]
    assert names == [
        ["pull", "push", "lazy"],
        ["pull", "push"],
        ["pull", "push"],
        ["pull", "push", "lazy"],
        *[["follow"]] * 4,
    ]


def test_a_phase_moves_its_groups_alone(pairs: Pairs, tmp_path: Path) -> None:
    duel = Duel()
    train(duel, pairs, tmp_path, provenance={})
    boundary = duel.calls.index("follow") - 1  # after it all take on their averages
    for i, call in enumerate(duel.calls[:-1]):
        moved = tuple(a != b for a, b in zip(duel.history[i], duel.history[i + 1], strict=True))
        movers = {"pull": (True, False, False), "follow": (True, False, True)}.get(call, (False, True, False))
        assert duel.wanted[i] == movers
        assert moved == movers or i == boundary


def test_rates_are_a_groups_and_start_anew(pairs: Pairs, tmp_path: Path) -> None:
    """Adam's first step is the rate itself: 0.1 for left, a tenth of it for right; each stage has its own decay."""
    duel = Duel(decay=0.5, warmup=2)
    train(duel, pairs, tmp_path, provenance={})
    assert duel.history[0][0] - duel.history[1][0] == pytest.approx(0.1 / 2, rel=1e-3)
    assert duel.history[1][1] - duel.history[2][1] == pytest.approx(0.01 / 2, rel=1e-3)
    with open(tmp_path / "log.csv", newline="") as stream:
        rates = [float(row["lr"]) for row in csv.DictReader(stream)]
    assert rates == pytest.approx([0.1, 0.05, 0.1, 0.05])


def test_a_stage_begins_with_the_averages(pairs: Pairs, tmp_path: Path) -> None:
    """By hand: shadow ← d·shadow + (1-d)·weights, d = min(0.5, (1+i)/(10+i)) with i counted from the stage's start."""
    duel = Duel()
    train(duel, pairs, tmp_path, provenance={})
    first = [duel.history[i] for i, call in enumerate(duel.calls) if call == "pull"]
    shadow = 1.0
    for i in range(3):
        d = min(0.5, (1 + i) / (10 + i))
        shadow = d * shadow + (1 - d) * first[i + 1][0]
    begin = duel.calls.index("follow")
    last = duel.history[duel.calls.index("pull", begin - 3) + 1][0]  # left after the first stage's last pull
    d = min(0.5, 4 / 13)
    assert duel.history[begin][0] == pytest.approx(d * shadow + (1 - d) * last, rel=1e-5)
    assert duel.history[begin][2] == 5.0


@pytest.mark.parametrize("stop", [2, 4, 5, 7])
def test_a_staged_run_resumes_to_the_same_numbers(pairs: Pairs, tmp_path: Path, stop: int) -> None:
    class Stopped(Exception):
        pass

    def tick(step: int, loss: float, speed: float) -> None:
        if step == stop:
            raise Stopped

    train(Duel(), pairs, tmp_path / "whole", provenance={})
    with pytest.raises(Stopped):
        train(Duel(), pairs, tmp_path / "parts", provenance={}, tick=tick)
    train(Duel(), pairs, tmp_path / "parts", provenance={}, resume=True)
    whole, parts = (torch.load(tmp_path / name / "state.pt", weights_only=True) for name in ("whole", "parts"))
    for part in ("module", "ema"):
        assert {k: float(v) for k, v in whole[part].items()} == {k: float(v) for k, v in parts[part].items()}
    logs = [[{**row, "images_per_second": ""} for row in rows(tmp_path / name)] for name in ("whole", "parts")]
    assert logs[0] == logs[1]


def rows(out: Path) -> list[dict[str, str]]:
    with open(out / "log.csv", newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_log_names_phases_and_means_over_their_own_count(pairs: Pairs, tmp_path: Path) -> None:
    train(Duel(), pairs, tmp_path, provenance={})
    found = rows(tmp_path)
    assert {"pull", "push", "lazy", "follow", "gap"} <= set(found[0])
    assert found[0]["follow"] == ""
    assert found[2]["pull"] == ""
    assert float(found[0]["lazy"]) < -3  # once in two steps, at (1 - -1)² about: not halved


def test_the_steps_of_a_staged_run_are_settled(pairs: Pairs, tmp_path: Path) -> None:
    train(Duel(), pairs, tmp_path, provenance={})
    with pytest.raises(UserError, match="other settings"):
        train(Duel(steps=12), pairs, tmp_path, provenance={}, resume=True)


def test_phases_that_move_what_is_not_there_are_refused(pairs: Pairs, tmp_path: Path) -> None:
    class Lost(Duel):
        def phases(self) -> Sequence[Phase]:
            return (Phase("pull", ("elsewhere",)),)

    class Empty(Duel):
        def optimizer_groups(self) -> Mapping[str, OptimizerGroup]:
            return {**super().optimizer_groups(), "late": OptimizerGroup([])}

    class Silent(Duel):
        def forward(self, batch: Batch, generator: torch.Generator, phase: str = "") -> dict[str, Tensor]:
            return {"gap": self.left}

    for broken, sentence in (
        (Lost(), "phase 'pull' of Lost moves 'elsewhere', which optimizer_groups"),
        (Empty(), "optimizer group 'late' of Empty has no parameters"),
        (Silent(), "Silent: phase 'pull' gave no 'loss'"),
    ):
        with pytest.raises(UserError, match=sentence):
            train(broken, pairs, tmp_path / type(broken).__name__, provenance={})
