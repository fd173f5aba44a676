"""The maths of labels with many classes, timed beside the usual way, each in a process of its own for its memory.

    python -m gcbench.commands.label_speed sampling|training ours|usual

prints `{"seconds": …, "mib": …}`: the median of some steps at K = 171 and 128×256, batch 1, without any network, and
what the first took of memory beyond its inputs. The usual way keeps log one-hots of K channels, works in log space and
draws by Gumbel-max; it is the yardstick, and tests compare the two.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor

from gcbench.core.errors import UserError
from gcbench.diffusion.categorical import draw_posterior, posterior_kl
from gcbench.diffusion.guidance import guide
from gcbench.runs.stopwatch import Timed

CLASSES, SIZE, REPEATS = 171, (128, 256), 5
"""COCO-Stuff's classes, at the paper's size."""
T, S = 0.4, 0.45
"""Levels alpha_bar of a step."""


def one_hot(y: Tensor, classes: int) -> Tensor:
    """Log one-hots of K channels, zeros at 1e-30. [B,K,H,W]"""
    return torch.nn.functional.one_hot(y, classes).permute(0, 3, 1, 2).float().clamp_min(1e-30).log()


def one_hot_posterior(log_y: Tensor, log_p0: Tensor, a: float, s: float) -> Tensor:
    """The posterior's log, of log one-hots and log probabilities [B,K,H,W]; a: alpha_bar_t / alpha_bar_s, s: the
    latter."""
    classes = log_y.shape[1]

    def blurred(log_p: Tensor, level: float) -> Tensor:
        return torch.logaddexp(log_p + torch.tensor(level).log(), torch.tensor((1 - level) / classes).log())

    joint = blurred(log_y, a) + blurred(log_p0, s)
    return joint - joint.logsumexp(1, keepdim=True)


def one_hot_gumbel_step(log_y: Tensor, logits: Tensor, a: float, s: float) -> Tensor:
    """Log one-hots of the drawn classes."""
    joint = one_hot_posterior(log_y, logits.log_softmax(1), a, s)
    gumbel = -torch.log(-torch.log(torch.rand_like(joint) + 1e-30) + 1e-30)
    return one_hot((joint + gumbel).argmax(1), log_y.shape[1])


def one_hot_kl(y_t: Tensor, y_0: Tensor, logits: Tensor, a: float, s: float) -> Tensor:
    """KL( q(y_s | y_t, y_0) ‖ p(y_s | y_t) ) in nats a pixel. [B,H,W]"""
    classes = logits.shape[1]
    log_t = one_hot(y_t, classes)
    q = one_hot_posterior(log_t, one_hot(y_0, classes), a, s)
    p = one_hot_posterior(log_t, logits.log_softmax(1), a, s)
    return (q.exp() * (q - p)).sum(1)


def steps(classes: int = CLASSES, size: tuple[int, int] = SIZE) -> dict[tuple[str, str], Callable[[], object]]:
    """(kind, way) -> one step."""
    generator = torch.Generator().manual_seed(0)
    y_t, y_0 = torch.randint(0, classes, (2, 1, *size), generator=generator)
    u = torch.rand(1, *size, generator=generator)
    logits = torch.randn(2, 1, classes, *size, generator=generator).mul_(3)
    level_t, level_s = (torch.tensor(level).view(1, 1, 1) for level in (T, S))

    def learn(loss: Callable[[Tensor], Tensor]) -> None:
        leaf = logits[0].requires_grad_()
        loss(leaf).mean().backward()

    def usual_draw() -> object:
        return one_hot_gumbel_step(one_hot(y_t, classes), guide(logits[0], logits[1], 3.0), T / S, S)

    return {
        ("sampling", "ours"): lambda: draw_posterior(y_t, guide(logits[0], logits[1], 3.0), level_t, level_s, u),
        ("sampling", "usual"): usual_draw,
        ("training", "ours"): lambda: learn(lambda x: posterior_kl(y_t, y_0, x.log_softmax(1), level_t, level_s)),
        ("training", "usual"): lambda: learn(lambda x: one_hot_kl(y_t, y_0, x, T / S, S)),
    }


def measure(kind: str, way: str) -> dict[str, float]:
    step = steps()[kind, way]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        step()
        times.append(time.perf_counter() - began)
    return {"seconds": median(times), "mib": (peak - before) / 2**10}


def label_rows() -> list[Timed]:
    """Time and memory of a label step of sampling and of training."""
    rows = []
    for kind, what in (("sampling", "guided label step, with its draw"), ("training", "label loss, with its gradient")):
        ours, usual = (_measured(kind, way) for way in ("ours", "usual"))
        name = f"{what}, {SIZE[0]}×{SIZE[1]}, K = {CLASSES}"
        against = "K-channel one-hots in log space"
        rows.append(Timed(name, 1e3 * ours["seconds"], "ms", against, usual["seconds"] / ours["seconds"]))
        rows.append(Timed("  memory beyond its inputs", ours["mib"], "MiB", against, usual["mib"] / ours["mib"]))
    return rows


def _measured(kind: str, way: str) -> dict[str, float]:
    command = [sys.executable, "-m", "gcbench.commands.label_speed", kind, way]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"the label maths failed: {done.stderr.strip()[-300:]}")
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


if __name__ == "__main__":
    print(json.dumps(measure(*sys.argv[1:])))
