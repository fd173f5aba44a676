"""A training in its directory: what it saves, what follows from that, and what it resumes from."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from accelerate.utils import set_seed
from pydantic import ValidationError
from torch import Tensor

from gcbench.core import checkpoint
from gcbench.core.errors import UserError, calling
from gcbench.core.files import read_text
from gcbench.training.ema import EMA
from gcbench.training.phases import Optimizers, stages
from gcbench.training.recipe import Recipe, TrainConfig
from gcbench.training.training_state import STATE, Row, load_state, logged, refuse, save_state, tensors_of, write_log

CONFIG, WEIGHTS, KEPT = "config.json", "model.safetensors", "kept"
"""Of a training's directory: what is trained and how, what came of it, and what came of earlier steps."""

FREE = ("keep_every", "track")
"""Of TrainConfig: what changes no number."""


def planned(recipe: Recipe) -> dict[str, Any]:
    """What a run's config.json holds: how it trains, and the card of what it trains."""
    return {"train": recipe.train_config.model_dump(mode="json"), "card": recipe.card({}).model_dump(mode="json")}


def read_plan(config_file: Path, recipe: Recipe) -> dict[str, Any]:
    """What the config.json of a run of `recipe` says, in this version's names of fields. UserError: it is damaged."""
    try:
        held = json.loads(read_text(config_file))
        if not all(isinstance(held[key], dict) for key in ("train", "card")):
            raise TypeError
    except (OSError, UserError, ValueError, LookupError, TypeError, RecursionError):
        raise UserError(
            f"{config_file} is damaged, or not what a training writes; delete it, and --resume writes it anew if the"
            f" settings given are those of {STATE}"
        ) from None
    return _in_this_version(held, recipe)


def _in_this_version(held: dict[str, Any], recipe: Recipe) -> dict[str, Any]:
    try:
        held["train"] = TrainConfig.model_validate(held["train"]).model_dump(mode="json")
        if held["card"].get("config"):
            held["card"]["config"] = type(recipe.cfg).model_validate(held["card"]["config"]).model_dump(mode="json")
    except ValidationError:
        pass  # of another recipe: it differs as it is
    return held


@dataclass
class Progress:
    """How far a training has come. running: sum and count of what is logged, since the log's last row."""

    step: int = 0
    seconds: float = 0.0
    running: dict[str, list[float]] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)


@dataclass
class Run:
    """A training in its directory. `state.pt` is written first; what it implies of other files is made from it."""

    recipe: Recipe
    optimizers: Optimizers
    ema: EMA
    out: Path
    provenance: dict[str, Any]
    plan: dict[str, Any]
    scaler: Any = None

    def save(self, at: Progress, *, preview: bool) -> None:
        """Write the state of a step that is done, then log, preview and weights.
        UserError: a weight is not finite, or the disk is full; what was saved before is there still."""
        state = {
            **vars(at),
            "module": self.recipe.state_dict(),
            "ema": self.ema.shadow,
            "optimizers": self.optimizers.state(),
            "plan": self.plan,
            **({"scaler": self.scaler.state_dict()} if self.scaler else {}),
        }
        if bad := checkpoint.not_finite(self._weights() | dict(tensors_of(state))):
            raise UserError(
                f"a weight ({bad}) became infinite or NaN by step {at.step}; lower train.lr or set train.precision=fp32"
            )
        save_state(self.out, state)
        self.complete(at, preview=preview)

    def complete(self, at: Progress, *, preview: bool = True) -> None:
        """Write what the state says and a kill may have prevented: log, preview, kept weights, and last the newest."""
        write_log(self.out, at.rows)
        if preview:
            self.preview(at.step)
        self.keep(at)
        weights = self.out / WEIGHTS
        if weights.is_file() and checkpoint.read_card(weights).provenance.get("steps") == at.step:
            checkpoint.copy_card(weights)
        else:
            self.store(weights, at)

    def store(self, path: Path, at: Progress) -> None:
        """The averaged weights as a checkpoint."""
        card = self.recipe.card({**self.provenance, "steps": at.step, "seconds": round(at.seconds)})
        checkpoint.save(path, self._weights(), card, self._dtype)

    def keep(self, at: Progress) -> None:
        """Keep the weights of a step at which that is due, unless they are there."""
        every, path = self.recipe.train_config.keep_every, self.out / KEPT / f"{at.step:07d}.safetensors"
        if not every or at.step % every or not at.step:
            return
        if path.is_file():
            checkpoint.copy_card(path)
        else:
            self.store(path, at)

    def preview_of(self, step: int) -> Path:
        return self.out / "previews" / f"{step:07d}.png"

    def preview(self, step: int) -> None:
        """Draw the preview of a step at which one is due, unless it is there."""
        cfg, path = self.recipe.train_config, self.preview_of(step)
        if (step % cfg.preview_every == 0 or step == cfg.steps) and not path.exists():
            set_seed(cfg.seed)  # whatever it draws, it is the same whenever it is drawn
            with calling(f"preview() of {self.recipe.name}"):
                _with_average(self.recipe, self.ema, lambda: self.recipe.preview(path))

    @property
    def _dtype(self) -> torch.dtype:
        return cast(torch.dtype, getattr(torch, self.recipe.train_config.weights_dtype))

    def _weights(self) -> dict[str, Tensor]:
        """The averaged weights, as a checkpoint stores them."""

        def stored() -> dict[str, Tensor]:
            return {
                name: tensor.detach().to("cpu", self._dtype if tensor.is_floating_point() else None, copy=True)
                for name, tensor in self.recipe.weights().items()
            }

        return _with_average(self.recipe, self.ema, stored)

    def writes(self, step: int) -> bool:
        """Whether something is written after a step, whatever comes."""
        cfg = self.recipe.train_config
        often = (cfg.save_every, cfg.preview_every, cfg.keep_every or cfg.steps)
        return step == cfg.steps or not all(step % every for every in often)

    def load(self, at: Progress) -> None:
        """Take on the state that `out` holds, if any. UserError: it is damaged, or of another training."""
        state = load_state(self.out)
        if state is None:
            if (self.out / WEIGHTS).exists():
                raise UserError(f"{self.out / STATE} is missing; copy it again, or choose another --out")
            return
        held = _in_this_version(state.get("plan", self.plan), self.recipe)
        if not same(held, self.plan, self.recipe):
            refuse(self.out / STATE, "is of a training with other settings")
        try:
            self.recipe.load_state_dict(state["module"])
            self.optimizers.load(state["optimizers"])
            for name, average in self.ema.shadow.items():
                if state["ema"][name].shape != average.shape:
                    raise ValueError
                average.copy_(state["ema"][name])
            if self.scaler:
                self.scaler.load_state_dict(state["scaler"])
        except (RuntimeError, ValueError, LookupError, TypeError, AttributeError):
            refuse(self.out / STATE, "is of another network")
        at.rows = logged(self.out, state)
        at.step, at.seconds, at.running = state["step"], state["seconds"], state["running"]


def same(held: dict[str, Any], given: dict[str, Any], recipe: Recipe) -> bool:
    """Whether two plans are one training's: all but `FREE`, and the number of steps, which only stages depend on."""
    held, given = (
        {**plan, "train": {k: v for k, v in plan["train"].items() if k not in FREE}} for plan in (held, given)
    )
    if len(stages(recipe.phases(), recipe.train_config.steps)) > 1:
        return held == given
    return held == {**given, "train": {**given["train"], "steps": held["train"].get("steps")}}


T = TypeVar("T")


def _with_average(recipe: Recipe, ema: EMA, act: Callable[[], T]) -> T:
    """What `act` gives while the recipe holds the averaged weights and is in evaluation mode."""
    ema.exchange(recipe)
    recipe.eval()
    try:
        return act()
    finally:
        ema.exchange(recipe)
        recipe.train()
