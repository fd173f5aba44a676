"""One trainer for every model and evaluator, on accelerate: mixed precision, micro-batches, EMA, resume, log."""

import csv
import json
import math
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import set_seed
from pydantic import ValidationError

from gcbench.core import checkpoint
from gcbench.core.errors import UserError
from gcbench.core.files import read_text, write_atomic, write_text
from gcbench.training.ema import EMA
from gcbench.training.pairs import Pairs
from gcbench.training.phases import Optimizers, due, stages
from gcbench.training.recipe import Batch, Phase, Recipe, TrainConfig

Tick = Callable[[int, float, float], object]
"""(step, loss of the step's first phase, images a second), called after every step."""


def planned(recipe: Recipe) -> dict[str, Any]:
    """What a run's config.json holds: how it trains, and the card of what it trains."""
    return {"train": recipe.train_config.model_dump(mode="json"), "card": recipe.card({}).model_dump(mode="json")}


def read_plan(config_file: Path, recipe: Recipe) -> dict[str, Any]:
    """What the config.json of a run of `recipe` says, in this version's names of fields."""
    held = json.loads(read_text(config_file))
    try:
        held["train"] = TrainConfig.model_validate(held["train"]).model_dump(mode="json")
        if held["card"]["config"]:
            held["card"]["config"] = type(recipe.cfg).model_validate(held["card"]["config"]).model_dump(mode="json")
    except ValidationError:
        pass  # of another recipe: it differs as it is
    return held


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
    as a run never stopped. A resumed run may have another number of steps, unless it has stages, which it would move;
    all other settings must be the same.
    UserError: `out` holds a run and resume is off, or another configuration; the loss became NaN; several processes for
    a recipe of several optimizer groups.
    """
    cfg = recipe.train_config
    AcceleratorState._reset_state()  # an earlier run of this process may have had another precision
    accelerator = Accelerator(mixed_precision="bf16" if cfg.precision == "bf16" else "no", cpu=device == "cpu")
    set_seed(cfg.seed)
    begins = stages(recipe.phases(), cfg.steps)
    out = Path(out)
    state_file, config_file = out / "state.pt", out / "config.json"
    given = planned(recipe)
    settings = json.dumps(given, indent=1)
    if config_file.exists():
        if not resume:
            raise UserError(
                f"{out} already holds a training run; add --resume to go on with it or choose another --out"
            )
        held = read_plan(config_file, recipe)
        if len(begins) == 1:
            given["train"]["steps"] = held["train"]["steps"]
        if held != given:
            raise UserError(f"{out} holds a run with other settings; choose another --out or give the same settings")
    accelerator.wait_for_everyone()  # all have looked before one writes
    if accelerator.is_main_process:
        write_text(config_file, settings + "\n")

    recipe.to(accelerator.device)
    optimizers = Optimizers(recipe, cfg)
    if len(optimizers.groups) > 1 and accelerator.num_processes > 1:
        raise UserError(
            "what has several optimizer groups, as adversarial models have, trains in one process; start one only"
        )
    ema = EMA(recipe, cfg.ema)
    start, seconds = 0, 0.0
    running: dict[str, list[float]] = {}  # sum and count of what is logged, since the last row of the log
    if resume and state_file.exists():
        state = torch.load(state_file, map_location=accelerator.device, weights_only=True)
        recipe.load_state_dict(state["module"])
        optimizers.load(state["optimizers"])
        ema.shadow = state["ema"]
        start, seconds, running = state["step"], state["seconds"], state["running"]
    wrapped = accelerator.prepare(recipe)
    optimizers.optimizers = {name: accelerator.prepare(optimizer) for name, optimizer in optimizers.optimizers.items()}
    wrapped.train()

    log_file = out / "log.csv"
    rows = _rows_before(log_file, start)
    began = last = time.perf_counter()
    for step in range(start, cfg.steps):
        if step in begins[1:]:
            recipe.load_state_dict(ema.shadow)
        batch = pairs.batch(step, cfg.batch_size, seed=cfg.seed, flip=cfg.flip)
        rate, loss = 0.0, math.nan
        for number, phase in enumerate(due(recipe.phases(), step, cfg.steps)):
            phase_rate = optimizers.begin(phase, step)
            logged = _move(wrapped, optimizers, phase, number, accelerator, batch, step)
            if not math.isfinite(logged["loss"]):
                raise UserError(
                    f"the loss became {logged['loss']} at step {step}; lower train.lr or set train.precision=fp32"
                )
            if number == 0:
                rate, loss = phase_rate, logged["loss"]
            for key, value in logged.items():
                sums = running.setdefault(phase.name if phase.name and key == "loss" else key, [0.0, 0.0])
                sums[0] += value
                sums[1] += 1
        ema.update(recipe, step - max(begin for begin in begins if begin <= step))
        now = time.perf_counter()
        speed, last = cfg.batch_size / (now - last), now
        tick(step + 1, loss, speed)
        done = step + 1
        if done % cfg.log_every == 0 or done == cfg.steps:
            means = {key: total / count for key, (total, count) in running.items()}
            rows.append({"step": done, **means, "lr": rate, "images_per_second": speed})
            running = {}
        if accelerator.is_main_process and (done % cfg.save_every == 0 or done == cfg.steps):
            spent = seconds + now - began
            _write_log(log_file, rows)
            _with_average(
                recipe, ema, partial(_export, recipe, out, {**provenance, "steps": done, "seconds": round(spent)})
            )
            state = {
                "step": done,
                "module": recipe.state_dict(),
                "ema": ema.shadow,
                "optimizers": optimizers.state(),
                "seconds": spent,
                "running": running,
            }
            # last: once the state says `done`, a resumed run will not write the log and weights of `done` again
            write_atomic(state_file, partial(_save_state, state))
            last = time.perf_counter()
        if accelerator.is_main_process and (done % cfg.preview_every == 0 or done == cfg.steps):
            _with_average(recipe, ema, partial(recipe.preview, out / "previews" / f"{done:07d}.png"))
            last = time.perf_counter()
    return out / "model.safetensors"


def _move(
    wrapped: Any, optimizers: Optimizers, phase: Phase, number: int, accelerator: Accelerator, batch: Batch, step: int
) -> dict[str, float]:
    """One phase, the step's `number`-th, over the batch's micro-batches; returns the logged means."""
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
        share = len(chunk) / len(rows)
        with accelerator.no_sync(wrapped) if i + 1 < len(chunks) else nullcontext():
            values = wrapped(part, generator, phase.name)
            if not isinstance(values, Mapping) or "loss" not in values:
                where = f"phase {phase.name!r}" if phase.name else "its forward"
                raise UserError(f"{type(accelerator.unwrap_model(wrapped)).__name__}: {where} gave no 'loss'")
            accelerator.backward(values["loss"] * share)
        for key, value in values.items():
            totals[key] = totals.get(key, 0.0) + float(value.detach()) * share
    if cfg.clip:
        accelerator.clip_grad_norm_(optimizers.parameters(phase), cfg.clip)
    optimizers.move(phase)
    return totals


def _with_average(recipe: Recipe, ema: EMA, act: Callable[[], object]) -> None:
    """Run `act` while the recipe holds the averaged weights and is in evaluation mode."""
    kept = {name: tensor.detach().clone() for name, tensor in recipe.state_dict().items()}
    recipe.load_state_dict(ema.shadow)
    recipe.eval()
    try:
        act()
    finally:
        recipe.load_state_dict(kept)
        recipe.train()


def _export(recipe: Recipe, out: Path, provenance: dict[str, Any]) -> None:
    checkpoint.save(out / "model.safetensors", recipe.weights(), recipe.card(provenance), torch.float16)


def _save_state(state: dict[str, Any], path: Path) -> None:
    try:
        torch.save(state, path)
    except RuntimeError as error:  # what torch.save makes of a full disk
        raise OSError(str(error).splitlines()[0]) from error


def _rows_before(log_file: Path, step: int) -> list[dict[str, Any]]:
    if not log_file.exists() or step == 0:
        return []
    with open(log_file, newline="", encoding="utf-8") as stream:
        return [row for row in csv.DictReader(stream) if int(row["step"]) <= step]


def _write_log(log_file: Path, rows: list[dict[str, Any]]) -> None:
    def write(path: Path) -> None:
        with open(path, "w", newline="", encoding="utf-8") as stream:
            fields = dict.fromkeys(key for row in rows for key in row)  # a later stage may log more
            writer = csv.DictWriter(stream, fieldnames=list(fields))
            writer.writeheader()
            writer.writerows(rows)

    if rows:
        write_atomic(log_file, write)
