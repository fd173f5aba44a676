"""Faults of one line each, planted in the code that runs; for each the check of `gcbench regress` that names it.

Quick on random weights, slow on the bundled baseline, on which docs/regression.md has the table.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Cli
from test_regress import failed, record
from torch import Tensor

import gcbench.gcdp.sampling as sampling
from gcbench.commands import regress
from gcbench.diffusion import categorical, gaussian
from gcbench.diffusion.joint import JointProcess
from gcbench.diffusion.noise import SeededNoise
from gcbench.evaluation.scoring import Bounds, measure_real
from gcbench.evaluators.hrnet import HRNet
from gcbench.gcdp.network import TextToPair
from gcbench.metrics import fsd

Patch = pytest.MonkeyPatch
Plant = Callable[[Patch], None]


def replaced(owner: Any, name: str, change: Callable[..., Any]) -> Plant:
    """`owner.name` becomes a call of `change` with the real one before its arguments."""

    def plant(patch: Patch) -> None:
        real = getattr(owner, name)
        patch.setattr(owner, name, lambda *args, **settings: change(real, *args, **settings))

    return plant


def drawn(change: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> Plant:
    """What the model draws, images [B,3,H,W] and layouts [B,H,W], goes through `change`."""
    return replaced(sampling, "sample_batch", lambda real, *args, **settings: change(*real(*args, **settings)))


def smoothed(real: Callable[..., Tensor], y: Tensor, logits: Tensor, *rest: Tensor) -> Tensor:
    p0 = logits.softmax(dim=1)
    return real(y, (0.98 * p0 + 0.02 / p0.shape[1]).log(), *rest)


def swap_schedules(real: Callable[..., None], self: JointProcess, cfg: Any) -> None:
    real(self, cfg)
    self.image, self.label = self.label, self.image


def told_less(real: Callable[..., Any], self: JointProcess, count: int) -> Any:
    """The network hears of the time one before."""
    steps = real(self, count)
    times = [1.0, *(step.s for step in steps[:-1])]
    told = [self.image.log_snr(torch.tensor(round(t * self.cfg.steps) - 1)) for t in times]
    return [step._replace(log_snr=value) for step, value in zip(steps, told, strict=True)]


def noisy_end(real: Callable[..., Any], self: JointProcess, *step: Any) -> Any:
    x, y, x0 = real(self, *step)
    return (x + 0.02 * step[-1].normal(*x.shape[1:]), y, x0) if step[4].s == 0 else (x, y, x0)


def disturbed(real: Callable[..., Any], self: HRNet, images: Tensor) -> Any:
    with torch.no_grad():
        layer = next(p for name, p in self.named_parameters() if name.endswith("weight") and p.dim() == 4)
        images = images + 0 * layer.sum()
        layer.mul_(1.01)
        found = real(self, images)
        layer.div_(1.01)
    return found


LAYOUTS, IMAGES = ("new against stored", "layouts changed %"), ("new against stored", "images RMS")

OF_THE_MODEL: dict[str, tuple[Plant, tuple[str, str]]] = {
    "the network is told t-1": (replaced(JointProcess, "steps", told_less), LAYOUTS),
    "label posterior smoothed by 2 %": (replaced(categorical, "draw_posterior", smoothed), LAYOUTS),
    "layout shifted by one pixel": (drawn(lambda x, y: (x, y.roll(1, dims=-1))), LAYOUTS),
    "guidance off by 0.1": (replaced(sampling, "guided_head", lambda real, h, w: real(h, w + 0.1)), LAYOUTS),
    "seeds shifted by one": (
        replaced(SeededNoise, "__init__", lambda real, self, seeds, *a: real(self, [s + 1 for s in seeds], *a)),
        LAYOUTS,
    ),
    "x0 not clipped": (replaced(gaussian, "dynamic_threshold", lambda real, x0, *a, **k: x0), IMAGES),
    "schedules of image and label swapped": (replaced(JointProcess, "__init__", swap_schedules), LAYOUTS),
    "two class ids swapped": (
        drawn(lambda x, y: (x, torch.where(y < 2, 1 - y, y))),
        LAYOUTS,
    ),
    "prompts off by one": (
        replaced(
            TextToPair,
            "read",
            lambda real, self, texts, keep: real(self, texts and [*texts[1:], texts[0]], keep),
        ),
        LAYOUTS,
    ),
    "red and blue swapped": (drawn(lambda x, y: (x.flip(1), y)), IMAGES),
    "images mirrored": (drawn(lambda x, y: (x.flip(-1), y)), IMAGES),
    "noise added at the last step": (replaced(JointProcess, "step", noisy_end), IMAGES),
    "last label drawn, not argmax": (
        replaced(JointProcess, "__init__", lambda real, s, cfg: real(s, cfg.model_copy(update={"last_label": "draw"}))),
        LAYOUTS,
    ),
}

OF_MEASURING: dict[str, tuple[Plant, tuple[str, str]]] = {
    "FSD in shares, not per cent": (
        replaced(fsd, "_per_cent", lambda real, pixels: real(pixels) / 100),
        ("stored samples", "fsd"),
    ),
    "evaluator's white 1 % off": (
        replaced(HRNet, "forward", lambda real, self, images: real(self, images * 1.01)),
        ("stored samples", "fd"),
    ),
    "one layer of the evaluator 1 % off": (replaced(HRNet, "forward", disturbed), ("stored samples", "fd")),
}


@pytest.fixture(scope="module")
def toy(toyland: Path, gcdp: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("planted") / "toy"
    return record(out, toyland, checkpoint=gcdp, n=8, guidance=[2], steps=3)


@pytest.mark.parametrize("fault", OF_THE_MODEL)
def test_a_fault_of_the_model_is_named(
    cli: Cli, toy: Path, toyland: Path, gcdp: Path, oracle: None, monkeypatch: Patch, fault: str
) -> None:
    plant, named = OF_THE_MODEL[fault]
    plant(monkeypatch)
    asked = ["--runs", toy, "--dataset", toyland, "--checkpoint", gcdp, "--junit", "junit.xml"]
    result = cli("regress", *asked)
    assert result.code == 1, result.err
    assert named in failed(Path("junit.xml"))
    assert f"  {named[1]} " in result.out


@pytest.fixture(scope="module")
def real_bounds() -> dict[str, Any]:
    """What the evaluator says of the real images: the same for every fault of the model."""
    return {}


SMALLEST = ("the network is told t-1", "label posterior smoothed by 2 %", "layout shifted by one pixel")
"""Tried on the bundled baseline in every run of the slow tests; all are with GCBENCH_ALL_FAULTS=1."""

ON_THE_BASELINE = [*OF_THE_MODEL, *OF_MEASURING] if "GCBENCH_ALL_FAULTS" in os.environ else SMALLEST


@pytest.mark.slow
@pytest.mark.parametrize("fault", ON_THE_BASELINE)
def test_the_bundled_baseline_names_it(cli: Cli, real_bounds: dict[str, Any], monkeypatch: Patch, fault: str) -> None:
    plant, named = {**OF_THE_MODEL, **OF_MEASURING}[fault]
    if fault in OF_THE_MODEL:

        def remembered(scoring: Any, *args: Any, **settings: Any) -> Bounds:
            if not real_bounds:
                real_bounds["bounds"] = measure_real(scoring, *args, **settings)
                real_bounds["scoring"] = scoring
            scoring.metrics, scoring.real = real_bounds["scoring"].metrics, real_bounds["scoring"].real
            bounds: Bounds = real_bounds["bounds"]
            return bounds

        monkeypatch.setattr(regress, "measure_real", remembered)
    plant(monkeypatch)
    result = cli("regress", "--junit", "junit.xml")
    assert result.code == 1, result.err
    failures = failed(Path("junit.xml"))
    assert named in failures
    if fault in OF_THE_MODEL:
        assert {stage for stage, _ in failures} <= {"new against stored", "new samples"}
