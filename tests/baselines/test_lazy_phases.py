"""Lazy regularisation (Karras et al. 2020, appendix B) changes neither how far nor how smoothly an optimiser moves."""

from pathlib import Path

import pytest

from gcbench.core.registry import registry
from gcbench.data.open_dataset import open_dataset

PATHS = {"lafite": {"model.loss.path": 2.0}, "semantic-gan": {"model.path": 2.0}, "dataset-gan": {"model.path": 2.0}}


@pytest.mark.parametrize("name", ["ganformer", "lafite", "semantic-gan", "dataset-gan"])
def test_moves_of_lazy_phases_are_taken_off_the_others(toyland: Path, name: str) -> None:
    """Counted over whole periods of all phases: the sum of rates is that of one move a step, and a gradient is
    forgotten as much."""
    recipe = registry("models")[name].recipe(open_dataset(str(toyland)), PATHS.get(name, {}))
    phases = [phase for phase in recipe.phases() if phase.name in ("generator", "discriminator", "r1", "path")]
    assert {phase.name for phase in phases} == {
        "generator",
        "discriminator",
        "r1",
        *(["path"] if name in PATHS else []),
    }
    steps = 16 * 4 * 8
    for group in ("generator", "discriminator"):
        rate, betas = recipe.optimizer_groups()[group][1:]
        moves = sum(len(range(0, steps, phase.every)) for phase in phases if group in phase.groups)
        assert moves * rate == pytest.approx(steps)
        wanted = recipe.train_config.betas
        assert [beta**moves for beta in betas or wanted] == pytest.approx([beta**steps for beta in wanted], rel=1e-9)
