"""One trainer for every model and evaluator, on accelerate: mixed precision, micro-batches, EMA, resume, log."""

import json
import math
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import set_seed
from pydantic import ValidationError
from torch import Tensor

from gcbench.core import checkpoint
from gcbench.core.errors import Stopped, UserError, calling
from gcbench.core.files import read_text, write_text
from gcbench.training.ema import EMA
from gcbench.training.pairs import Pairs
from gcbench.training.phases import Optimizers, due, stages
from gcbench.training.recipe import Batch, Phase, Recipe, TrainConfig
from gcbench.training.stop import Stop
from gcbench.training.training_state import STATE, Row, load_state, logged, refuse, save_state, tensors_of, write_log

CONFIG, WEIGHTS = "config.json", "model.safetensors"
"""Of a training's directory: what is trained and how, and what came of it."""

Tick = Callable[[int, float, float], object]
"""(step, loss of the step's first phase, images a second), called after every step."""


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
class _Progress:
    """How far a training has come. running: sum and count of what is logged, since the log's last row."""

    step: int = 0
    seconds: float = 0.0
    running: dict[str, list[float]] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)


@dataclass
class _Run:
    """A training in its directory. `state.pt` is written first; what it implies of other files is made from it."""

    recipe: Recipe
    optimizers: Optimizers
    ema: EMA
    out: Path
    provenance: dict[str, Any]
    plan: dict[str, Any]
    scaler: Any = None

    def save(self, at: _Progress, *, preview: bool) -> None:
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

    def complete(self, at: _Progress, *, preview: bool = True) -> None:
        """Write what the state says and a kill may have prevented: log, preview, and last the weights."""
        write_log(self.out, at.rows)
        if preview:
            self.preview(at.step)
        weights = self.out / WEIGHTS
        if weights.is_file() and checkpoint.read_card(weights).provenance.get("steps") == at.step:
            checkpoint.copy_card(weights)
        else:
            card = self.recipe.card({**self.provenance, "steps": at.step, "seconds": round(at.seconds)})
            checkpoint.save(weights, self._weights(), card, self._dtype)

    def preview(self, step: int) -> None:
        """Draw the preview of a step at which one is due, unless it is there."""
        cfg, path = self.recipe.train_config, self.out / "previews" / f"{step:07d}.png"
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

    def load(self, at: _Progress, device: torch.device) -> None:
        """Take on the state that `out` holds, if any. UserError: it is damaged, or of another training."""
        state = load_state(self.out)
        if state is None:
            if (self.out / WEIGHTS).exists():
                raise UserError(f"{self.out / STATE} is missing; copy it again, or choose another --out")
            return
        held = _in_this_version(state.get("plan", self.plan), self.recipe)
        if not _same(held, self.plan, self.recipe):
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


def _same(held: dict[str, Any], given: dict[str, Any], recipe: Recipe) -> bool:
    """Whether two plans are one training's: all but the number of steps, which only stages depend on."""
    if len(stages(recipe.phases(), recipe.train_config.steps)) > 1:
        return held == given
    return held == {**given, "train": {**given["train"], "steps": held["train"].get("steps")}}


def train(
    recipe: Recipe,
    pairs: Pairs,
    out: Path,
    *,
    provenance: dict[str, Any],
    resume: bool = False,
    device: str = "cpu",
    tick: Tick = lambda step, loss, speed: None,
) -> Path:
    """Train and return the checkpoint's path, `out/model.safetensors` (the averaged weights).

    Beside it `out` holds log.csv, previews/, config.json and state.pt, from which `resume` goes on to the same losses
    as a run never stopped; state.before.pt is the state saved before it. A resumed run may have another number of
    steps, unless it has stages, which it would move; all other settings must be the same.
    UserError: `out` holds a run and resume is off, another configuration, or damaged files; loss or weights are no
    longer finite; a batch smaller than the number of processes, or several for a recipe of several optimizer groups.
    Stopped: a signal came; the step is saved.
    """
    cfg = recipe.train_config
    AcceleratorState._reset_state()  # an earlier run of this process may have had another precision
    accelerator = Accelerator(mixed_precision=cfg.precision.replace("fp32", "no"), cpu=device == "cpu")
    ranks = accelerator.num_processes
    if cfg.batch_size < ranks:
        _raise_once(
            accelerator,
            UserError(f"train.batch_size={cfg.batch_size} leaves some of {ranks} processes without an image; raise it"),
        )
    begins = stages(recipe.phases(), cfg.steps)
    out = Path(out)
    config_file = out / CONFIG
    plan = planned(recipe)
    if not resume and any((out / name).exists() for name in (CONFIG, STATE, WEIGHTS)):
        raise UserError(f"{out} already holds a training run; add --resume to go on with it or choose another --out")
    if config_file.exists() and not _same(read_plan(config_file, recipe), plan, recipe):
        raise UserError(f"{config_file} says other settings; choose another --out or give the same settings")

    recipe.to(accelerator.device)
    optimizers = Optimizers(recipe, cfg)
    if len(optimizers.groups) > 1 and ranks > 1:
        raise UserError(
            "what has several optimizer groups, as adversarial models have, trains in one process; start one only"
        )
    if len(optimizers.groups) > 1 and cfg.precision == "fp16":
        raise UserError("train.precision=fp16 scales the loss of one optimizer group; take bf16 for what has several")
    run = _Run(
        recipe,
        optimizers,
        EMA(recipe, cfg.ema, every=cfg.ema_every, after=cfg.ema_after, growth=cfg.ema_growth),
        out,
        provenance,
        plan,
        accelerator.scaler,
    )
    at = _Progress()
    if resume:
        run.load(at, accelerator.device)
    accelerator.wait_for_everyone()  # all have looked before one writes
    if accelerator.is_main_process:
        write_text(config_file, json.dumps(plan, indent=1) + "\n")
        if at.step:
            run.complete(at)
    wrapped = accelerator.prepare(recipe)
    optimizers.optimizers = {name: accelerator.prepare(optimizer) for name, optimizer in optimizers.optimizers.items()}
    wrapped.train()

    spent, began = at.seconds, time.perf_counter()
    last, saved = began, at.step
    with Stop() as stop:
        for step in range(at.step, cfg.steps):
            if step in begins[1:]:
                recipe.load_state_dict(run.ema.shadow)
            set_seed((cfg.seed * 1_000_003 + step * 64 + accelerator.process_index) % 2**32)  # of dropout, and the like
            batch = pairs.batch(
                step, cfg.batch_size, seed=cfg.seed, flip=cfg.flip, crop=cfg.crop, swap=cfg.swap_mirrored
            )
            rate, loss = 0.0, math.nan
            for number, phase in enumerate(due(recipe.phases(), step, cfg.steps)):
                phase_rate = optimizers.begin(phase, step)
                values = _move(wrapped, optimizers, phase, number, accelerator, batch, step)
                if not math.isfinite(values["loss"]):
                    kept = f"; the weights of step {saved} are kept" if saved else ""
                    remedy = "lower train.lr or set train.precision=fp32"
                    fault = f"the loss became {values['loss']} at step {step}; {remedy}{kept}"
                    _raise_once(accelerator, UserError(fault))
                if number == 0:
                    rate, loss = phase_rate, values["loss"]
                for key, value in values.items():
                    sums = at.running.setdefault(phase.name if phase.name and key == "loss" else key, [0.0, 0.0])
                    sums[0] += value
                    sums[1] += 1
            run.ema.update(recipe, step - max(begin for begin in begins if begin <= step))
            now = time.perf_counter()
            speed, last = cfg.batch_size / (now - last), now
            tick(step + 1, loss, speed)
            at.step, at.seconds = step + 1, spent + now - began
            if at.step % cfg.log_every == 0 or at.step == cfg.steps:
                means = {key: total / count for key, (total, count) in at.running.items()}
                at.rows.append({"step": at.step, **means, "lr": rate, "images_per_second": speed})
                at.running = {}
            number = _most(accelerator, stop.signal)
            ends = at.step == cfg.steps
            if number or ends or at.step % cfg.save_every == 0:
                fault = ""
                if accelerator.is_main_process:
                    try:
                        run.save(at, preview=ends or not number)
                    except UserError as error:
                        fault = str(error) + (f"; step {saved} is kept in {out}" if saved else "")
                if _most(accelerator, bool(fault)):
                    _raise_once(accelerator, UserError(fault))
                saved, last = at.step, time.perf_counter()
            elif accelerator.is_main_process and at.step % cfg.preview_every == 0:
                run.preview(at.step)
                last = time.perf_counter()
            if number:
                _raise_once(accelerator, Stopped(number, at.step))
    return out / WEIGHTS


def _most(accelerator: Accelerator, value: int) -> int:
    """The largest of the processes' values."""
    if accelerator.num_processes == 1:
        return value
    return int(accelerator.gather(torch.tensor([value], device=accelerator.device)).max())


def _raise_once(accelerator: Accelerator, error: UserError | Stopped) -> NoReturn:
    """End all processes with what all of them know; the first says it before one of them is gone."""
    if accelerator.num_processes == 1:
        raise error
    if accelerator.is_main_process:
        hint = "; the same command with --resume goes on" if isinstance(error, Stopped) else ""
        print(f"gcbench: {error}{hint}", file=sys.stderr, flush=True)
    accelerator.wait_for_everyone()
    raise SystemExit(128 + error.signal if isinstance(error, Stopped) else 2)


def _move(
    wrapped: Any, optimizers: Optimizers, phase: Phase, number: int, accelerator: Accelerator, batch: Batch, step: int
) -> dict[str, float]:
    """One phase, the step's `number`-th, over the batch's micro-batches; returns the batch's means of what is logged.

    The gradient is the mean of the batch's, however many processes share it: each weighs its part by its size times
    their number, as the processes' gradients are averaged. Nothing moves if the loss is not finite.
    """
    cfg = optimizers.cfg
    ranks, rank = accelerator.num_processes, accelerator.process_index
    rows = torch.arange(cfg.batch_size)[rank::ranks]
    generator = torch.Generator().manual_seed((cfg.seed * 1_000_003 + step) * 64 + rank + (number << 48))
    totals: dict[str, float] = {}
    chunks = rows.split(cfg.micro_batch or len(rows))
    for i, chunk in enumerate(chunks):
        part = Batch(
            batch.images[chunk],
            batch.layouts[chunk],
            [batch.texts[int(row)] for row in chunk],
            None if batch.attributes is None else batch.attributes[chunk],
        )
        share = len(chunk) / cfg.batch_size
        with accelerator.no_sync(wrapped) if i + 1 < len(chunks) else nullcontext():
            values = wrapped(part, generator, phase.name)
            if not isinstance(values, Mapping) or "loss" not in values:
                where = f"phase {phase.name!r}" if phase.name else "its forward"
                raise UserError(f"{type(accelerator.unwrap_model(wrapped)).__name__}: {where} gave no 'loss'")
            accelerator.backward(values["loss"] * (share * ranks))
        for key, value in values.items():
            totals[key] = totals.get(key, 0.0) + float(value.detach()) * share
    if ranks > 1:
        sums = torch.tensor(list(totals.values()), device=accelerator.device)
        totals = dict(zip(totals, accelerator.reduce(sums, "sum").tolist(), strict=True))
    if not math.isfinite(totals["loss"]):
        return totals
    if cfg.clip:
        accelerator.clip_grad_norm_(optimizers.parameters(phase), cfg.clip)
    optimizers.move(phase)
    return totals


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
