"""What `train.compile` does for a step of a small GCDP: milliseconds a step, and whether the losses stay the same.

python -m studies.compiled_training [--dataset streets] [--size 32x64] [--batch 64] [--steps 120]

Each way trains anew from one seed, on the GPU if there is one. On a GPU the operations that one step starts, and their
time there, are profiled too.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from gcbench.commands.train import recipe_of
from gcbench.evaluation.setup import choose_device
from gcbench.reports.table import show_texts
from gcbench.training.pairs import Pairs
from gcbench.training.trainer import train

COMPILE: dict[str, bool | str] = {"false": False, "true": True, "reduce-overhead": "reduce-overhead"}
PROFILED = 5
"""Steps."""


def measured(way: str, settings: dict[str, Any], dataset: str, device: str) -> dict[str, float]:
    """Median milliseconds of the last half of the steps, the last loss and, on a GPU, kernels and their time a step."""
    recipe = recipe_of("gcdp", None, dataset, {**settings, "train.compile": COMPILE[way]}, 256)
    pairs = Pairs(recipe.dataset, recipe.dataset.splits[0], recipe.size)
    at, losses, steps = [time.perf_counter()], [], recipe.train_config.steps
    gpu = device != "cpu"
    profiler = profile(activities=[ProfilerActivity.CUDA]) if gpu else None

    def tick(step: int, loss: float, speed: float) -> None:
        if gpu:
            torch.cuda.synchronize()
        at.append(time.perf_counter())
        losses.append(loss)
        if profiler is not None and step == steps // 2 - PROFILED - 1:
            profiler.__enter__()
        if profiler is not None and step == steps // 2 - 1:
            profiler.__exit__(None, None, None)

    with tempfile.TemporaryDirectory() as folder:
        train(recipe, pairs, Path(folder) / "run", provenance={}, device=device, tick=tick)
    spans = [after - before for before, after in pairwise(at)][steps // 2 :]
    found = {"ms": statistics.median(spans) * 1e3, "loss": losses[-1]}
    if profiler is not None:
        events = [event for event in profiler.key_averages() if event.device_type == torch.autograd.DeviceType.CUDA]
        found["kernels"] = sum(event.count for event in events) / PROFILED
        found["gpu ms"] = sum(event.self_device_time_total for event in events) / PROFILED / 1e3
    return found


def main(arguments: Sequence[str] | None = None) -> dict[str, dict[str, float]]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="streets")
    parser.add_argument("--size", default="32x64")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings")
    parser.add_argument("--ways", default=",".join(COMPILE))
    given = parser.parse_args(arguments)
    settings: dict[str, Any] = {
        **{"model.size": given.size, "model.unet.dim": 32, "train.batch_size": given.batch, "train.steps": given.steps},
        **{"train.precision": "bf16", "train.save_every": 10**6, "train.preview_every": 10**6},
        **dict(setting.split("=", 1) for setting in given.settings),
    }
    device = choose_device("auto")
    rows = {way: measured(way, settings, given.dataset, device) for way in given.ways.split(",")}
    heads = ["train.compile", *dict.fromkeys(key for row in rows.values() for key in row)]
    lines = [[way, *(f"{row[key]:.5g}" for key in heads[1:])] for way, row in rows.items()]
    show_texts(heads, lines, heads[1:], f"{given.dataset} {given.size}, {given.batch} images a step, {device}")
    return rows


if __name__ == "__main__":
    main()
