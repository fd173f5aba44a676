"""How much memory does a process take that merges a shared sweep, and how much one that only measured shards?

python -m studies.merging_memory [-n 2000 50000] [--scales 2]

A model draws blocks of classes and an evaluator reads them off their colours, at 16×32 and without a network, so that
many images take little time. For each n the first of two shares is measured, then the second, whose process merges.
Printed are the peaks of both processes in MiB, what they took in seconds, and the sizes of what is written.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from gcbench.runs.progress import say

PLUGINS = '''
import numpy as np
import torch

from gcbench.core.contracts import Evaluator, Model
from gcbench.core.samples import Features, Samples


class Blocks(Model):
    conditional, guided, layouts = True, True, True

    def __init__(self, dataset):
        self.classes, self.palette = len(dataset.classes) - 1, torch.tensor(dataset.palette, dtype=torch.uint8)

    @classmethod
    def open(cls, dataset, options):
        return cls(dataset)

    def generate(self, prompts, *, n, size, guidance, seeds):
        small = [np.random.default_rng([s, int(guidance)]).integers(0, self.classes, (4, 4)) for s in seeds]
        ids = torch.from_numpy(np.stack(small).repeat(size[0] // 4, 1).repeat(size[1] // 4, 2))  # [B,H,W]
        images = self.palette[ids].permute(0, 3, 1, 2).contiguous()  # [B,3,H,W]
        return Samples(images, ids, "generated", None, tuple(map(str, seeds)))


class Reader(Evaluator):
    """The class of a colour, and 256 colours as features."""

    role, id = "segmenter", "reader"

    def __init__(self, dataset):
        self.classes = torch.zeros(1 << 12, dtype=torch.int64)
        for k, (r, g, b) in enumerate(dataset.palette):
            self.classes[(r >> 4) << 8 | (g >> 4) << 4 | b >> 4] = k

    @classmethod
    def open(cls, dataset, *, spec=None, device="cpu"):
        return cls(dataset)

    def __call__(self, images):
        coarse = (images >> 4).long()  # [B,3,H,W]
        labels = self.classes[coarse[:, 0] << 8 | coarse[:, 1] << 4 | coarse[:, 2]]  # [B,H,W]
        return Features(images[:, 0].flatten(1)[:, ::2].float(), labels)
'''

PEAK = """
import sys
from gcbench.cli import main
from gcbench.core.memory import peak_memory
try:
    main()
finally:
    print(peak_memory() / 2**20, file=sys.stderr)
"""


def measure(n: int, scales: int) -> dict[str, Any]:
    """The peaks in MiB of who measures the first half, and of who measures the second and merges."""
    with tempfile.TemporaryDirectory() as folder:
        plugins, run = Path(folder, "plugins.py"), Path(folder, "run")
        plugins.write_text(PLUGINS, encoding="utf-8")
        line = ["sweep", "--model", f"{plugins}:Blocks", "--evaluator", f"segmenter={plugins}:Reader", "-n", str(n)]
        line += ["--metrics", "semantic-recall,miou,fsd,fd", "--size", "16x32", "--device", "cpu", "--out", str(run)]
        line += ["--guidance", ",".join(str(1 + scale) for scale in range(scales))]
        found: dict[str, Any] = {"n": n, "scales": scales}
        for number, name in ((1, "measures"), (2, "measures and merges")):
            began = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-c", PEAK, *line, "--shard", f"{number}/2"],
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                capture_output=True,
                text=True,
            )
            if done.returncode:
                raise SystemExit(done.stderr)
            found[name] = round(float(done.stderr.splitlines()[-1]))
            found[f"seconds, {name}"] = round(time.perf_counter() - began, 1)
        found["per_sample.csv, MiB"] = round((run / "per_sample.csv").stat().st_size / 2**20, 1)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, nargs="+", default=[2000, 50_000])
    parser.add_argument("--scales", type=int, default=2)
    asked = parser.parse_args()
    for n in asked.n:
        say(f"n = {n} …")
        print(json.dumps(measure(n, asked.scales)), flush=True)
