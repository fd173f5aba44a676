"""DatasetDDPM through the command line and the trainer: both stages, a resumed run, what is refused."""

import csv
import json
from pathlib import Path

import pytest
import torch
from conftest import Cli
from test_dataset_ddpm import SMALL

from gcbench.baselines.dataset_ddpm.model import DatasetDDPM
from gcbench.core import checkpoint
from gcbench.core.record import Record
from gcbench.data.open_dataset import open_dataset
from gcbench.training.pairs import Pairs
from gcbench.training.trainer import train

RUN = {**SMALL, "model.batch_pixels": 64, "train.batch_size": 4, "train.warmup": 0, "train.log_every": 1}


def test_train_sample_sweep(toyland: Path, tmp_path: Path, cli: Cli, oracle: None, without_curve: None) -> None:
    given = {**RUN, "model.ddpm_share": 0.5, "model.classifier_lr": 0.01, "train.lr": 3e-3, "train.ema": 0.9}
    settings = [part for key, value in given.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    common = ("--model", "dataset-ddpm", "--dataset", toyland)
    run = tmp_path / "trained"
    trained = cli("train", *common, *settings, "--steps", 120, "--out", run)
    assert trained.code == 0, trained.err
    with open(run / "log.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    drawing = [float(row["ddpm"]) for row in rows if row["ddpm"]]
    reading = [float(row["classifiers"]) for row in rows if row["classifiers"]]
    assert (len(drawing), len(reading)) == (60, 60)
    assert sum(drawing[-10:]) < 0.8 * sum(drawing[:10])
    assert sum(reading[-10:]) < 0.5 * sum(reading[:10])
    weights = run / "model.safetensors"
    card = checkpoint.read_card(weights)
    assert (card.name, card.config["process"]["classes"], card.config["text"]) == ("dataset-ddpm", None, None)
    stored = checkpoint.load(weights, kind="model").state
    measured = stored["annotator.uncertainties"]
    assert len(measured.unique()) > 1
    assert 0 < measured.min() < measured.max() < 1.0986  # log 3, the most that three classifiers can disagree
    assert not any(tensor.shape[0] == 6 * 1024 for tensor in stored.values() if tensor.dim())  # no features

    again = tmp_path / "again"
    swept = cli("sweep", *common, "--checkpoint", weights, "--guidance", "1,3", "-n", 4, "--out", again)
    assert swept.code == 0, swept.err
    record = Record.read(again / "record.json")
    [point] = record.points  # it has no guidance
    assert point.guidance is None
    assert {name: point.scores[name].status for name in ("miou", "fsd", "fd")} == dict.fromkeys(
        ("miou", "fsd", "fd"), "ok"
    )
    assert point.scores["semantic-recall"].status == "skipped"
    assert record.protocol.sampler["keep"] == 0.9
    assert record.model.parameters == sum(
        tensor.numel() for name, tensor in stored.items()
        if "running" not in name and "num_batches" not in name and name.split(".")[1] not in ("noise", "uncertainties")
    )  # fmt: skip

    drawn = cli("sample", *common, "--checkpoint", weights, "-n", 3, "--set", "sampler.keep=1", "--out", tmp_path / "s")
    assert drawn.code == 0, drawn.err
    assert len(list((tmp_path / "s" / "layouts").iterdir())) == 3
    refused = {
        ("--prompt", "a car"): "reads no prompts",
        ("--steps", "1001"): "--steps 1001 is outside 1..1000",
        ("--size", "64x128"): "draws images of 32x64 only",
        ("--set", "sampler.keep=0"): "setting sampler.keep=0 is not valid: give more than 0",
        ("--set", "sampler.posterior=soft"): "known: sampler.image_sampler",
        ("--set", "filter.keep=0.5"): "unknown setting 'filter.keep'; it is called sampler.keep here",
        ("--set", "keep=0.5"): "unknown setting 'keep'; it is called sampler.keep here",
    }
    for arguments, complaint in refused.items():
        bad = cli("sample", *common, "--checkpoint", weights, "-n", 2, *arguments, "--out", tmp_path / "bad")
        assert bad.code == 2
        assert complaint in bad.complaint
        assert "Traceback" not in bad.err


def test_a_resumed_run_gives_the_same_weights(toyland: Path, tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    def stop(step: int, loss: float, speed: float) -> None:
        if step == 11:
            raise Stopped

    dataset = open_dataset(str(toyland))
    settings = {**RUN, "model.ddpm_share": 0.5, "train.steps": 12, "train.save_every": 4, "train.preview_every": 12}
    pairs = Pairs(dataset, "train", dataset.size)

    def run(out: Path, **how: object) -> dict[str, torch.Tensor]:
        recipe = DatasetDDPM.recipe(dataset, dict(settings))
        path = train(recipe, pairs, out, provenance={}, **how)  # type: ignore[arg-type]
        return checkpoint.load(path, kind="model").state

    unbroken = run(tmp_path / "unbroken")
    with pytest.raises(Stopped):
        run(tmp_path / "broken", tick=stop)  # its last state is of step 8, in the classifiers' stage
    resumed = run(tmp_path / "broken", resume=True)
    assert unbroken.keys() == resumed.keys()
    assert all(torch.equal(unbroken[name], resumed[name]) for name in unbroken)
    logs = []
    for name in ("unbroken", "broken"):
        with open(tmp_path / name / "log.csv", newline="") as stream:
            logs.append([{**row, "images_per_second": ""} for row in csv.DictReader(stream)])
    assert logs[0] == logs[1]
    assert (tmp_path / "broken" / "previews" / "0000012.png").is_file()
