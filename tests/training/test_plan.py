"""`--plan`: what it says is what a training then takes, and it writes nothing."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from gcbench.cli import app
from gcbench.commands.train import recipe_of, train
from gcbench.training.plan import Peak, Plan, planned_training
from gcbench.training.recipe import Recipe

SMALL: dict[str, Any] = {
    "model.unet.dim": 16,
    "model.unet.mults": [1, 2],
    "model.unet.blocks": [1, 1],
    "model.unet.self_attention": [False, True],
    "model.unet.cross_attention": [False, True],
    "model.unet.drawing_blocks": 0,
    "model.size": [32, 64],
    "train.batch_size": 4,
    "train.micro_batch": 2,
    "train.steps": 1,
}


def planned(model: str, settings: dict[str, Any], *, contentless: bool) -> Plan:
    def make(more: Any) -> Recipe:
        return recipe_of(model, None, "streets", {**settings, **more}, 4)

    return planned_training(make, "cpu", contentless=contentless)


def test_a_plan_is_what_the_training_takes(tmp_path: Path) -> None:
    plan = planned("gcdp", SMALL, contentless=True)
    out = train(model="gcdp", dataset="streets", settings=SMALL, out=tmp_path / "run", limit=4, device="cpu")
    held = load_file(out)
    assert plan.parameters == sum(tensor.numel() for tensor in held.values())
    assert plan.memory["weights"] == plan.memory["gradients"] == plan.memory["average"] == 4 * plan.parameters
    assert plan.memory["optimiser"] == 8 * plan.parameters
    for name, size in plan.disk.items():
        if (out.parent / name).exists():
            assert out.parent.joinpath(name).stat().st_size == pytest.approx(size, rel=0.5)
    state = torch.load(out.parent / "state.pt", weights_only=True)
    tensors = [t for part in ("module", "ema") for t in state[part].values()]
    tensors += [m for s in state["optimizers"][""]["state"].values() for k, m in s.items() if k != "step"]
    assert plan.disk["state.pt"] == sum(4 * t.numel() for t in tensors)
    assert plan.seconds is not None
    assert 0 < plan.seconds < 600


def test_activations_without_content_are_those_with_content() -> None:
    """Fake tensors and real ones take the same, within what kernels need for themselves; checkpointing takes less."""
    fake, real = (planned("gcdp", SMALL, contentless=fake).memory["activations"] for fake in (True, False))
    assert fake == pytest.approx(real, rel=0.1)
    less = planned("gcdp", {**SMALL, "model.unet.checkpointing": True}, contentless=True).memory["activations"]
    assert less < 0.6 * fake
    more = planned("gcdp", {**SMALL, "train.micro_batch": 4}, contentless=True).memory["activations"]
    assert more == pytest.approx(2 * fake, rel=0.25)  # gradients are taken off both


def test_peak_by_hand() -> None:
    """1 KiB each: a sum that replaces its parts, and what was there before is not counted."""
    known = torch.zeros(256)
    with Peak([known]) as memory:
        a = known + 1
        b = a + 1
        assert (memory.live, memory.peak) == (2048, 2048)
        del a
        assert memory.live == 1024
        view = known.view(16, 16)
        c = b + 1
        del b, c
        assert (memory.live, memory.peak) == (0, 2048)
    assert view.shape == (16, 16)


@pytest.mark.parametrize("command", ["train --model gcdp --limit 4", "sweep --guidance 1,2 -n 4"])
def test_a_plan_writes_nothing(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small = [
        f"--set={key}={value}".replace(" ", "").replace("T", "t").replace("F", "f") for key, value in SMALL.items()
    ]
    found = CliRunner().invoke(app, [*command.split(), "--plan", *(small if "train" in command else [])])
    assert found.exit_code == 0, found.output
    for word in ("parameters", "memory, weights", "memory, activations", "a step", "disk"):
        assert word in found.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_paper_size_is_planned_without_its_weights() -> None:
    """697.353 M parameters; with checkpointing and two images a GPU, with T5's 1.3 GiB, within 24 GB."""
    settings = {"preset": "paper", "model.unet.checkpointing": True, "train.batch_size": 2}
    plan = planned("gcdp", settings, contentless=True)
    assert plan.parameters == 697_353_097
    assert sum(plan.memory.values()) + 1.3 * 2**30 < 20e9
    assert plan.disk["model.safetensors"] == pytest.approx(4 * 697.35e6, rel=1e-3)
