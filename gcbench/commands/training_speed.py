"""What several processes gain in a training, and whether its images come in time: rows of `gcbench speed --scale`."""

import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from gcbench.core.errors import UserError
from gcbench.data.open_dataset import open_dataset
from gcbench.data.subset import Subset
from gcbench.runs.stopwatch import Timed
from gcbench.training.pairs import Pairs

BATCH: Final = 16
PAIRS: Final = 64
SETTINGS: dict[str, Any] = {
    "train.batch_size": BATCH,
    "train.log_every": 1,
    "train.save_every": 1000,
    "train.preview_every": 1000,
    "model.sample_steps": 1,
}
STEPS: Final = 15
FIRST: Final = 3
"""Steps that are not counted: the first allocate, and a network's kernels are chosen."""


def training_rows(settings: Sequence[str] = (), steps: int = STEPS) -> list[Timed]:
    """The default model's training by two processes of a thread beside one, and the images that are made for it."""
    alone, shared = trained(1, settings, steps), trained(2, settings, steps)
    loading = loaded()
    return [
        Timed("gcbench train, 2 processes", shared, "images/s", "one process of one thread", shared / alone),
        Timed("  pairs made ahead, one thread", loading, "images/s", "the 2 processes train on", loading / shared),
    ]


def trained(processes: int, settings: Sequence[str], steps: int) -> float:
    """Images a second of `gcbench train`, the median over its steps. UserError: it failed; its last words."""
    with tempfile.TemporaryDirectory() as folder:
        launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
        chosen = [*(f"{key}={json.dumps(value)}" for key, value in SETTINGS.items()), *settings]
        command = [sys.executable, *(launch if processes > 1 else []), "-m", "gcbench", "train", "--model", "gcdp"]
        command += ["--limit", str(PAIRS), "--steps", str(steps), "--device", "cpu", "--out", f"{folder}/run"]
        command += [part for setting in chosen for part in ("--set", setting)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise UserError(f"gcbench train failed: {done.stderr.strip()[-300:]}")
        with open(Path(folder) / "run" / "log.csv", newline="", encoding="utf-8") as stream:
            return median(float(row["images_per_second"]) for row in list(csv.DictReader(stream))[FIRST:])


def loaded(steps: int = 50) -> float:
    """Images a second of a training's batches, flipped, as the thread beside the network makes them."""
    dataset = open_dataset("streets")
    pairs = Pairs(Subset(dataset, PAIRS), dataset.splits[0], dataset.size)
    began = time.perf_counter()
    for step in range(steps):
        pairs.batch(step, BATCH, seed=0, flip=True)
    return steps * BATCH / (time.perf_counter() - began)
