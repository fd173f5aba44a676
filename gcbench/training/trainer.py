"""One trainer for every model and evaluator, on accelerate: mixed precision, micro-batches, processes, EMA, resume."""

import json
import math
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import set_seed

from gcbench.core.errors import Stopped, UserError
from gcbench.core.files import write_text
from gcbench.training.ahead import Ahead
from gcbench.training.ema import EMA
from gcbench.training.pairs import Pairs
from gcbench.training.phases import Optimizers, stages
from gcbench.training.processes import Processes
from gcbench.training.recipe import Batch, Recipe
from gcbench.training.saving import CONFIG, WEIGHTS, Progress, Run, planned, read_plan, same
from gcbench.training.step import Mover, own_rows
from gcbench.training.step_values import Reader, StepValues
from gcbench.training.stop import Stop
from gcbench.training.tracking import Tracked, check_tracker
from gcbench.training.training_state import STATE

Tick = Callable[[int, float, float], object]
"""(step, loss of the step's first phase, images a second), called after every step."""


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

    Beside it `out` holds log.csv, previews/, config.json and state.pt, from which `resume` continues to the same losses
    as a run never stopped; state.before.pt is the state saved before it. A resumed run may have another number of
    processes, and of steps, unless it has stages, which these would move; all other settings must be the same.
    UserError: `out` holds a run and resume is off, another configuration, or damaged files; loss or weights are no
    longer finite; a batch smaller than the number of processes. Of several processes the first says it, and all exit.
    Stopped: a signal came; the step is saved.
    """
    cfg, out = recipe.train_config, Path(out)
    processes = Processes(cpu=device == "cpu")
    AcceleratorState._reset_state()  # an earlier run of this process may have had another precision
    accelerator = Accelerator(mixed_precision=cfg.precision.replace("fp32", "no"), cpu=device == "cpu")
    if not accelerator.distributed_type.name.startswith(("NO", "MULTI_")):
        fault = f"accelerate is configured for {accelerator.distributed_type.value}, which cuts networks in pieces"
        processes.stop(UserError(f"{fault}; choose plain several-GPU training in `accelerate config`, or use torchrun"))
    if cfg.batch_size < processes.count:
        fault = f"train.batch_size={cfg.batch_size} leaves some of {processes.count} processes without an image"
        processes.stop(UserError(f"{fault}; raise it"))
    plan, at = planned(recipe), Progress()
    optimizers = processes.together(lambda: _checked(recipe, plan, out, resume, accelerator))
    processes.copy_first(recipe.state_dict().values())  # where each made its own
    ema = EMA(recipe, cfg.ema, every=cfg.ema_every, after=cfg.ema_after, growth=cfg.ema_growth)
    if processes.count > 1:
        provenance = {**provenance, "processes": processes.count}
    run = Run(recipe, optimizers, ema, out, provenance, plan, accelerator.scaler)
    if resume:
        processes.together(lambda: run.load(at))
        if len(set(processes.told(at.step))) > 1:
            fault = f"the processes do not see the same {out / STATE}"
            processes.stop(UserError(f"{fault}; give an --out that all of them see"))

    def begin() -> None:
        if processes.first:
            write_text(out / CONFIG, json.dumps(plan, indent=1) + "\n")
            if at.step:
                run.complete(at)

    processes.together(begin)
    config = {"model": recipe.name, "dataset": recipe.dataset.name, **cfg.model_dump(mode="json")}
    with Tracked(cfg.track if processes.first else "", out, config, at.step) as tracked:
        _Loop(run, at, Mover(recipe, optimizers, accelerator, processes), pairs, tick, tracked).go()
    return out / WEIGHTS


def _checked(recipe: Recipe, plan: dict[str, Any], out: Path, resume: bool, accelerator: Accelerator) -> Optimizers:
    """The recipe's optimisers, on the device. UserError: what `out` holds is in the way, or the settings are."""
    check_tracker(recipe.train_config.track)
    if not resume and any((out / name).exists() for name in (CONFIG, STATE, WEIGHTS)):
        raise UserError(f"{out} already holds a training run; add --resume to continue it or choose another --out")
    if (out / CONFIG).exists() and not same(read_plan(out / CONFIG, recipe), plan, recipe):
        raise UserError(f"{out / CONFIG} says other settings; choose another --out or give the same settings")
    recipe.to(accelerator.device)
    optimizers = Optimizers(recipe, recipe.train_config)
    if len(optimizers.groups) > 1 and recipe.train_config.precision == "fp16":
        raise UserError("train.precision=fp16 scales the loss of one optimizer group; take bf16 for what has several")
    return optimizers


class _Loop:
    """The steps of a training, from where it stands to its end."""

    def __init__(self, run: Run, at: Progress, mover: Mover, pairs: Pairs, tick: Tick, tracked: Tracked):
        self.tracked = tracked
        self.run, self.at, self.mover, self.pairs, self.tick = run, at, mover, pairs, tick
        self.cfg, self.processes = run.recipe.train_config, mover.processes
        self.saved, self.signal, self.last = at.step, 0, 0.0

    def go(self) -> None:
        cfg, recipe, processes, at = self.cfg, self.run.recipe, self.processes, self.at
        rows = own_rows(cfg.batch_size, cfg.micro_batch, processes.rank, processes.count)
        begins = stages(recipe.phases(), cfg.steps)
        reader = Reader(processes)
        recipe.train()
        spent, began = at.seconds, time.perf_counter()
        self.last = began
        make = partial(self.batch, rows=rows)
        with Stop(launched="LOCAL_RANK" in os.environ) as stop, Ahead(make, at.step, cfg.steps) as ahead:
            for step in range(at.step, cfg.steps):
                if step in begins[1:]:
                    recipe.load_state_dict(self.run.ema.shadow)
                set_seed((cfg.seed * 1_000_003 + step * 64 + processes.rank) % 2**32)  # of the global generators
                batch = ahead.next().to(processes.device)
                rate, values = processes.known_to_all(partial(self.mover.step, step, batch))
                self.run.ema.update(recipe, step - max(begin for begin in begins if begin <= step))
                step_values = reader.put(step, rate, values, stop.signal)
                if step_values is not None:
                    self.heed(step_values)
                at.step, at.seconds = step + 1, spent + time.perf_counter() - began
                if processes.count == 1:
                    self.signal = stop.signal  # several agree on it through a step's values
                if self.signal or self.run.writes(at.step):
                    if (step_values := reader.rest()) is not None:
                        self.heed(step_values)
                    self.write()

    def batch(self, step: int, rows: Sequence[int]) -> Batch:
        cfg = self.cfg
        batch = self.pairs.batch(
            step, cfg.batch_size, seed=cfg.seed, flip=cfg.flip, crop=cfg.crop, swap=cfg.swap_mirrored, places=rows
        )
        batch = self.run.recipe.prepared(batch)
        if self.processes.device.type != "cuda":
            return batch
        with torch.cuda.device(self.processes.device):  # a new thread starts on the first device
            return batch.pinned()

    def heed(self, step_values: StepValues) -> None:
        """Log what a step says; end with what is not finite."""
        cfg, at = self.cfg, self.at
        if bad := [loss for loss in step_values.losses if not math.isfinite(loss)]:
            kept = f"; the weights of step {self.saved} are kept" if self.saved else ""
            remedy = "lower train.lr or set train.precision=fp32"
            self.processes.stop(UserError(f"the loss became {bad[0]} at step {step_values.step}; {remedy}{kept}"))
        for name, value in step_values.values:
            sums = at.running.setdefault(name, [0.0, 0.0])
            sums[0] += value
            sums[1] += 1
        now = time.perf_counter()
        speed, self.last = cfg.batch_size / (now - self.last), now
        self.signal = self.signal or step_values.signal
        self.tick(step_values.step + 1, step_values.losses[0] if step_values.losses else math.nan, speed)
        if (step_values.step + 1) % cfg.log_every == 0 or step_values.step + 1 == cfg.steps:
            means = {name: total / count for name, (total, count) in at.running.items()}
            at.rows.append({"step": step_values.step + 1, **means, "lr": step_values.rate, "images_per_second": speed})
            at.running = {}
            self.tracked.row(at.rows[-1])

    def write(self) -> None:
        """Save, preview, or end at a signal: what is due after the step. The first process writes, all wait for it."""
        at, ends = self.at, self.at.step == self.cfg.steps
        saves = bool(self.signal) or ends or at.step % self.cfg.save_every == 0

        def act() -> None:
            try:
                if saves:
                    self.run.save(at, preview=ends or not self.signal)
                else:
                    self.run.preview(at.step)
                    self.run.keep(at)
            except UserError as error:
                if not self.saved:
                    raise
                raise UserError(f"{error}; step {self.saved} is kept in {self.run.out}") from error

        self.processes.together(act if self.processes.first else lambda: None)
        if self.processes.first and (drawn := self.run.preview_of(at.step)).exists():
            self.tracked.preview(drawn, at.step)
        if saves:
            self.saved = at.step
        self.last = time.perf_counter()
        if self.signal:
            self.processes.stop(Stopped(self.signal, at.step))
