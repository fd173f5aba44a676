"""`gcbench speed`: the parts whose speed is promised, each timed in one run beside what it is compared with."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from statistics import median

import torch
from torch import Tensor

from gcbench.commands.label_speed import label_rows, one_hot, one_hot_gumbel_step
from gcbench.commands.shared_speed import scale_rows, timed_sweep
from gcbench.commands.training_speed import training_rows
from gcbench.core.errors import UserError
from gcbench.data.open_dataset import open_dataset
from gcbench.diffusion.guidance import guide
from gcbench.diffusion.joint import JointProcess, ProcessConfig
from gcbench.diffusion.noise import SeededNoise
from gcbench.reports.table import show_texts
from gcbench.runs.provenance import machine
from gcbench.runs.stopwatch import Timed


def seconds(act: Callable[[], object], repeats: int = 5) -> float:
    """The median of `repeats` runs, after one that is not counted."""
    act()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        act()
        times.append(time.perf_counter() - began)
    return median(times)


def sampling_maths(b: int = 16, classes: int = 20, size: tuple[int, int] = (64, 128)) -> Timed:
    """A guided sampling step without its network: guidance, thresholding, both posteriors and all draws."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(b, 3, *size, generator=generator)
    y = torch.randint(0, classes, (b, *size), generator=generator)
    heads = torch.randn(2, b, 3, *size, generator=generator)
    logits = torch.randn(2, b, classes, *size, generator=generator) * 3
    log_x = one_hot(y, classes)
    process = JointProcess(ProcessConfig(classes=classes))
    noise = SeededNoise(range(b))
    step = process.steps(25)[10]

    def ours() -> None:
        process.step(x, y, guide(heads[0], heads[1], 3.0), guide(logits[0], logits[1], 3.0), step, noise)

    def usual() -> None:
        process.step(x, None, guide(heads[0], heads[1], 3.0), None, step, noise)
        guided = guide(logits[0], logits[1], 3.0)
        one_hot_gumbel_step(log_x, guided, float(step.label_t / step.label_s), float(step.label_s))

    took = seconds(ours)
    name, against = "guided sampling step outside the network, 64×128, K = 20", "with one-hot log-space Gumbel labels"
    return Timed(name, 1e3 * took / b, "ms an image", against, seconds(usual) / took)


def drawing(name: str) -> Timed:
    """Pairs of a bundled dataset a second, at its own size."""
    dataset = open_dataset(name)
    took = seconds(lambda: [dataset.pair("train", i, dataset.size) for i in range(50)], 3) / 50
    return Timed(f"{name}, drawn pairs", 1 / took, "a second")


def help_page() -> Timed:
    command = [sys.executable, "-m", "gcbench", "--help"]
    took = seconds(lambda: subprocess.run(command, check=True, capture_output=True))
    return Timed("gcbench --help, warm", took, "s")


def default_sweep() -> list[Timed]:
    """`gcbench sweep` as a newcomer types it."""
    took = timed_sweep([])
    return [
        Timed("default sweep, whole", took.seconds, "s"),
        Timed("default sweep, to its first row", took.first, "s"),
        Timed("default sweep, peak memory", took.gib, "GiB"),
    ]


PAPER = {
    "sampling": ("guided sampling step of the paper's base model", 8.2, 6.2),
    "training": ("its training step, forward and backward", 18.9, 9.9),
    "checkpointing": ("the same with model.unet.checkpointing", 18.9, 9.9),
}
"""Kind of step -> what it is, and what the authors' code took: seconds and GiB, float32, on two cores of a server."""


def paper_size(precision: str) -> list[Timed]:
    """Steps of the base model (697 M parameters, 128×256, batch 1), each in a process of its own."""
    rows = []
    for kind, (what, took, peak) in PAPER.items():
        command = [sys.executable, "-m", "gcbench.gcdp.speed", kind, precision]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise UserError(f"{what} failed: {done.stderr.strip()[-300:]}")
        ours = json.loads(done.stdout)
        theirs = "the authors' code, fp32, measured once elsewhere"
        rows.append(Timed(f"{what}, {precision}", ours["seconds"], "s", theirs, took / ours["seconds"]))
        rows.append(Timed("  on a processor, a thread", ours["processor"], "s", theirs, took / ours["processor"]))
        rows.append(Timed("  peak memory", ours["gib"], "GiB", theirs, peak / ours["gib"]))
    return [*rows, large_kernel()]


def large_kernel() -> Timed:
    """The base model's convolution of 15×15, forward and backward, as its network runs it and in channels_last."""
    layer = torch.nn.Conv2d(6, 32, 15, padding=7)
    x = torch.randn(1, 6, 64, 128)

    def step(x: Tensor) -> None:
        layer(x).sum().backward()

    took = seconds(lambda: step(x), 3)
    last = seconds(lambda: step(x.contiguous(memory_format=torch.channels_last)), 3)
    return Timed(
        "convolution of 15×15, 64×128, forward and backward", 1e3 * took, "ms", "in channels_last", last / took
    )


def run(
    as_json: bool = False,
    with_sweep: bool = False,
    with_paper: bool = False,
    precision: str = "fp32",
    with_scale: bool = False,
) -> list[Timed]:
    """Time everything and print a table, or JSON. with_paper: the paper's base model alone, at `precision`; with_scale:
    several processes beside one, alone."""
    if precision not in ("fp32", "bf16"):
        raise UserError(f"--precision {precision!r}: choose fp32 or bf16")
    if with_scale:
        rows = [*scale_rows(), *training_rows()]
    elif with_paper:
        rows = paper_size(precision)
    else:
        rows = [sampling_maths(), *label_rows(), drawing("streets"), drawing("faces"), help_page()]
    rows += default_sweep() if with_sweep else []
    about = machine("cpu")
    about += f", {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    if as_json:
        print(json.dumps({"machine": about, "figures": [row._asdict() for row in rows]}, indent=1))
    else:
        print_rows(rows, about)
    return rows


def print_rows(rows: Sequence[Timed], about: str = "") -> None:
    """The figures as a table on standard output."""
    ratios = ["" if row.ratio is None else f"{row.ratio:.1f}× {row.against}" for row in rows]
    lines = [(row.name, f"{row.value:.3g}", row.unit, ratio) for row, ratio in zip(rows, ratios, strict=True)]
    show_texts(("what", "figure", "", "times better than"), lines, ("figure",), about or machine("cpu"))
