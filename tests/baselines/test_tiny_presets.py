"""The tiny preset of each model learns in a few steps: its network whole, only batch, steps and previews made short."""

import csv
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli

QUICK = {"train.batch_size": 4, "train.warmup": 0, "train.log_every": 4}
DIFFUSION: dict[str, Any] = {"model.sample_steps": 1}
FEW = {"model.labelled": 2, "model.calibration": 8, "model.kept_pixels": 200, "model.batch_pixels": 16}


@pytest.mark.parametrize(
    ("model", "settings", "losses"),
    [
        ("gcdp", DIFFUSION, ["loss", "label"]),
        ("imagen", DIFFUSION, ["loss"]),
        ("ldm", DIFFUSION, ["reconstruction"]),
        ("dataset-ddpm", {**DIFFUSION, **FEW}, ["image", "classifiers"]),
        ("ganformer", {}, ["discriminator"]),
        ("lafite", {}, ["encoder"]),
        ("semantic-palette", {}, ["layout-critic"]),
    ],
)
def test_it_learns(
    toyland: Path, tmp_path: Path, cli: Cli, model: str, settings: dict[str, Any], losses: list[str]
) -> None:
    chosen = [part for key, value in {**QUICK, **settings}.items() for part in ("--set", f"{key}={value}")]
    trained = cli("train", "--model", model, "--dataset", toyland, *chosen, "--steps", 40, "--out", tmp_path / "run")
    assert trained.code == 0, trained.err
    with open(tmp_path / "run" / "log.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert rows[-1]["step"] == "40"
    for loss in losses:
        values = [float(row[loss]) for row in rows if row[loss]]
        assert len(values) > 1
        assert values[-1] < 0.9 * values[0], (loss, values)
