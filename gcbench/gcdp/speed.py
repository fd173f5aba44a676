"""Steps of the paper's base model, timed in a process of their own, whose peak memory is then theirs alone.

    python -m gcbench.gcdp.speed sampling|training|checkpointing fp32|bf16

prints `{"seconds": …, "processor": …, "gib": …}`: the fastest of some steps at 128×256, batch 1, the least time on a
processor over the number of threads, which other work on the machine hardly changes, and the process's peak memory. The
weights are random: what a step takes does not depend on them.
"""

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import torch

from gcbench.core.memory import peak_memory
from gcbench.diffusion.joint import JointProcess
from gcbench.gcdp.config import PAPER
from gcbench.gcdp.network import TextToPair, store_in_bfloat16
from gcbench.gcdp.sampling import Sampling, sample_batch
from gcbench.networks.text import frozen_unread

CLASSES = 20
TIMES = 2

Moment = tuple[float, float]
"""The clock, and the process's time on processors."""


def moment() -> Moment:
    return time.perf_counter(), time.process_time()


def network(precision: str, checkpointing: bool = False) -> tuple[TextToPair, JointProcess]:
    """The base model for Cityscapes, made without a second copy of its weights."""
    process = PAPER.process.model_copy(update={"classes": CLASSES})
    unet = PAPER.unet.model_copy(update={"checkpointing": checkpointing})
    with frozen_unread():
        net = TextToPair(PAPER.model_copy(update={"process": process, "unet": unet}), empty=True)
    if precision == "bf16":
        store_in_bfloat16(net)
    net.to_empty(device="cpu")
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(std=0.02)
    return net, JointProcess(process)


def sampling(precision: str) -> list[Moment]:
    """When each of several guided steps was done: the conditional and the null pass, and all maths."""
    net, process = network(precision)
    net.eval()
    moments: list[Moment] = []
    how = Sampling(PAPER.size, 3.0, TIMES + 1, precision)
    sample_batch(net, process, ["a street"], [0], how, tick=lambda: moments.append(moment()))
    return moments


def training(precision: str, checkpointing: bool = False) -> list[Moment]:
    """When each of several forward and backward passes was done."""
    net, process = network("fp32", checkpointing)
    net.train()
    h, w = PAPER.size
    generator = torch.Generator().manual_seed(0)
    x0, eps = torch.randn(2, 1, 3, h, w, generator=generator)
    y0, u = torch.randint(CLASSES, (1, h, w), generator=generator), torch.rand(1, h, w, generator=generator)
    moments = []
    for _ in range(TIMES):
        net.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
            text = net.read(["a street"], torch.ones(1, dtype=torch.bool))
            predict = partial(net.unet, text=text)
            losses = process.losses(predict, x0, y0, torch.tensor([0.5]), eps, u)
        losses.total.backward()
        moments.append(moment())
    return moments


KINDS: dict[str, Callable[[str], list[Moment]]] = {
    "sampling": sampling,
    "training": training,
    "checkpointing": lambda precision: training(precision, checkpointing=True),
}


if __name__ == "__main__":
    kind, precision = sys.argv[1:]
    steps = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(KINDS[kind](precision))]
    wall, processor = (min(times) for times in zip(*steps, strict=True))
    measured = {"seconds": wall, "processor": processor / torch.get_num_threads()}
    print(json.dumps({**measured, "gib": peak_memory() / 2**30}))
