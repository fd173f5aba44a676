"""The tiny preset of each model learns in a few steps, and what it draws is evaluated.

The network is whole; batch, steps and previews are made short.
"""

import csv
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli

from gcbench.core.record import Record

FD, RECALL, MIOU, FSD = "fd", "semantic-recall", "miou", "fsd"
QUICK = {"train.batch_size": 4, "train.warmup": 0, "train.log_every": 4}
DIFFUSION: dict[str, Any] = {"model.sample_steps": 1}
FEW = {
    "model.labelled": 2,
    "model.calibration": 8,
    "model.kept_pixels": 200,
    "model.batch_pixels": 16,
    "model.classifier_lr": 0.01,
}
FEW_LABELLED = {**FEW, "model.ddpm_share": 0.5}
FEW_DRAWN = {**FEW, "model.gan_share": 0.5, "model.inversion_steps": 2}


@pytest.mark.usefixtures("oracle", "without_curve")
@pytest.mark.parametrize(
    ("model", "settings", "losses", "measurable"),
    [
        ("gcdp", DIFFUSION, ["loss", "label"], {FD, RECALL, MIOU, FSD}),
        ("imagen", DIFFUSION, ["loss"], {FD, RECALL}),
        ("ldm", DIFFUSION, ["reconstruction"], {FD, RECALL}),
        ("dataset-ddpm", {**DIFFUSION, **FEW_LABELLED}, ["image", "classifiers"], {FD, MIOU, FSD}),
        ("ganformer", {}, ["discriminator"], {FD}),
        pytest.param("semantic-gan", {}, ["pair-discriminator"], {FD, MIOU, FSD}, marks=pytest.mark.slow),
        pytest.param(
            "dataset-gan", FEW_DRAWN, ["discriminator", "classifiers"], {FD, MIOU, FSD}, marks=pytest.mark.slow
        ),
        ("lafite", {}, ["encoder"], {FD, RECALL}),
        ("semantic-palette", {}, ["layout-critic"], {FD, MIOU, FSD}),
    ],
)
def test_it_learns(
    toyland: Path,
    tmp_path: Path,
    cli: Cli,
    oracle: None,
    without_curve: None,
    model: str,
    settings: dict[str, Any],
    losses: list[str],
    measurable: set[str],
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

    drawn, weights = tmp_path / "drawn", tmp_path / "run" / "model.safetensors"
    made = cli("sample", "--model", model, "--dataset", toyland, "--checkpoint", weights, "-n", 2, "--out", drawn)
    assert made.code == 0, made.err
    parts = [("--layouts", drawn / "layouts"), ("--prompts", drawn / "prompts.jsonl")]
    given = [part for pair in parts if pair[1].exists() for part in pair]
    measured = cli("evaluate", "--images", drawn / "images", *given, "--dataset", toyland, "--size", "64x128", "--json")
    assert measured.code == 0, measured.err
    scores = Record.model_validate_json(measured.out).points[0].scores
    assert {name for name, score in scores.items() if score.status == "ok"} == measurable
