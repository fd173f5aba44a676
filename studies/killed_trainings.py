"""Does a training of two processes that is killed again and again end in the files of one that never was?

python -m studies.killed_trainings [--kills 20] [--steps 300] [--processes 2] [--seed 0]

The training is started by torchrun, and at a random moment a random part of it dies by SIGKILL: the launcher and all of
its processes, the first process, or the last. Then it is started again with --resume. At the end weights, averages,
optimisers, log, kept weights and previews are compared, bit for bit, with those of a training never killed.
"""

import argparse
import csv
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from gcbench.core.checkpoint import read_card
from gcbench.runs.progress import say
from gcbench.training.training_state import tensors_of
from studies.killed_shards import children

SETTINGS = {
    "model.size": [16, 32],
    "model.unet.dim": 8,
    "model.sample_steps": 1,
    "train.batch_size": 3,
    "train.micro_batch": 1,
    "train.save_every": 5,
    "train.log_every": 7,
    "train.preview_every": 50,
    "train.keep_every": 40,
}
"""A small network, and a batch that two processes do not divide evenly."""


def files_of(run: Path) -> dict[str, Any]:
    """All that a training leaves, without times: name -> content."""
    state = torch.load(run / "state.pt", weights_only=True)
    parts = {key: state[key] for key in ("step", "module", "ema", "optimizers")}
    with open(run / "log.csv", newline="", encoding="utf-8") as stream:
        rows = [{**row, "images_per_second": None} for row in csv.DictReader(stream)]
    weights = [run / "model.safetensors", *sorted((run / "kept").glob("*.safetensors"))]
    return {
        "names": sorted(str(path.relative_to(run)) for path in run.rglob("*")),
        "state.pt": {name: tensor.numpy().tobytes() for name, tensor in tensors_of(parts)},
        "log.csv": rows,
        **{str(path.relative_to(run)): read_card(path).sha256 for path in weights},
        **{path.name: path.read_bytes() for path in sorted((run / "previews").iterdir())},
    }


def step_of(run: Path) -> int:
    """The step whose weights are there; 0 before the first."""
    try:
        return int(read_card(run / "model.safetensors").provenance["steps"])
    except Exception:
        return 0


def study(kills: int, steps: int, processes: int, seed: int) -> dict[str, Any]:
    """Kills that hit, by what they hit; and which files differ at the end: none, if all is well."""
    chance, hit = random.Random(seed), {"all": 0, "the first": 0, "the last": 0}
    with tempfile.TemporaryDirectory() as folder:
        launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
        settings = [part for key, value in SETTINGS.items() for part in ("--set", f"{key}={json.dumps(value)}")]
        line = [*launch, "-m", "gcbench", "train", "--model", "gcdp", "--limit", "20", *settings]
        line += ["--steps", str(steps), "--device", "cpu", "--out"]
        variables = {**os.environ, "OMP_NUM_THREADS": "1"}

        def start(name: str, *more: str) -> "subprocess.Popen[bytes]":
            quiet = subprocess.DEVNULL
            return subprocess.Popen([*line, f"{folder}/{name}", *more], env=variables, stdout=quiet, stderr=quiet)

        began = time.perf_counter()
        start("whole").wait()
        seconds = time.perf_counter() - began
        run = Path(folder, "killed")
        number = 0
        while number < kills:
            started = start("killed", "--resume")
            before = step_of(run)
            if chance.random() < 0.25:  # while it starts
                time.sleep(seconds * 0.5 * chance.random())
            else:  # some steps later, at whatever it is at then
                goal = max(before, steps * number // kills) + 1
                while started.poll() is None and step_of(run) < min(goal, steps):
                    time.sleep(0.01)
                time.sleep(0.3 * chance.random())
            workers = children(started.pid)
            what = chance.choice(["all", "the first", "the last"]) if len(workers) >= processes else "all"
            victims = {"all": [started.pid, *workers], "the first": workers[:1], "the last": workers[-1:]}[what]
            ended = started.poll() is not None
            for victim in [] if ended else victims:
                os.kill(victim, signal.SIGKILL)
            started.wait()
            number += 1
            hit[what] += not ended
            say(f"kill {number}: {what}{' (ended before)' if ended else ''}; step {step_of(run)} of {steps} is saved")
        again = [*line, str(run), "--resume"]
        done = subprocess.run(again, env=variables, capture_output=True, text=True)
        if done.returncode:
            return {"kills": hit, "differ": [done.stderr.strip()[-500:]]}
        whole, killed = files_of(Path(folder, "whole")), files_of(run)
        differ = [name for name in {**whole, **killed} if whole.get(name) != killed.get(name)]
    return {"kills": hit, "seconds": round(seconds, 1), "files": len(whole["names"]), "differ": differ}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("--kills", 20), ("--steps", 300), ("--processes", 2), ("--seed", 0)):
        parser.add_argument(name, type=int, default=default)
    print(json.dumps(study(**vars(parser.parse_args())), indent=1))
