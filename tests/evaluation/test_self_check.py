"""The self-check: every evaluator on all real pairs, in the record and beside the scores."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Cli, Oracle
from rich.console import Console

from gcbench.core.contracts import Dataset
from gcbench.core.record import Record
from gcbench.core.reference import Reference
from gcbench.core.samples import Features
from gcbench.data.open_dataset import open_dataset
from gcbench.evaluation.scoring import EvaluatorSet
from gcbench.evaluation.self_check import attribute_accuracy, checked_metrics, self_check
from gcbench.reports.record_table import print_record


class Swapped(Oracle):
    """Takes every car for a tree and every tree for a car: an evaluator of shuffled classes."""

    id = "swapped"

    def __call__(self, images) -> Features:  # type: ignore[no-untyped-def]
        seen = super().__call__(images)
        assert seen.labels is not None
        labels = seen.labels.clone()
        labels[seen.labels == 1], labels[seen.labels == 3] = 3, 1
        return Features(vectors=seen.vectors, labels=labels)


def evaluated_by(evaluator: type[Oracle], dataset: Dataset) -> EvaluatorSet:
    return EvaluatorSet({"segmenter": evaluator(dataset)}, {})


def test_a_perfect_evaluator_passes_and_a_shuffled_one_shows(toyland: Path) -> None:
    dataset = open_dataset(str(toyland))
    good = self_check(Reference(dataset, "val", dataset.size), evaluated_by(Oracle, dataset))
    assert good.n == 14
    assert good.real["miou"].value == good.real["semantic-recall"].value == 1
    assert good.real["semantic-recall"].n == 14
    assert good.real["fd"].n == 7  # one half against the other
    assert good.permuted["miou"].value is not None
    assert good.permuted["miou"].value < 0.9
    bad = self_check(Reference(dataset, "val", dataset.size), evaluated_by(Swapped, dataset))
    assert bad.real["miou"].value is not None
    assert bad.real["miou"].value < 0.6  # IoU 0 on two of four classes


def test_it_covers_the_metrics_of_the_evaluators_that_are_here(toyland: Path) -> None:
    dataset = open_dataset(str(toyland))
    names = checked_metrics(evaluated_by(Oracle, dataset))
    assert set(names) >= {"semantic-recall", "miou", "fd"}
    assert not {"fsd", "fid", "clip-score", "attribute-recall"} & set(names)
    assert checked_metrics(EvaluatorSet({}, {})) == []


def test_the_command_writes_and_prints_it(
    cli: Cli, oracle: None, toyland: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = toyland / "val"
    command = ("evaluate", "--images", root / "images", "--layouts", root / "layouts", "--dataset", toyland)
    result = cli(*command, "--metrics", "miou", "--self-check", "--out", tmp_path / "run")
    assert result.code == 0, result.err
    record = Record.read(tmp_path / "run" / "record.json")
    assert record.self_check is not None
    assert record.self_check.real["semantic-recall"].value == 1
    assert "self-check" in result.out
    assert "permuted" in result.out
    assert "all 14 real pairs" in " ".join(result.out.split())
    assert cli(*command, "--metrics", "miou", "--out", tmp_path / "plain").code == 0
    plain = Record.read(tmp_path / "plain" / "record.json")
    assert plain.self_check is None
    capsys.readouterr()
    print_record(plain, Console(width=120))
    assert "self-check" not in capsys.readouterr().out


class Weather(Oracle):
    """Three attributes of toyland; the evaluator knows two of them, one of these it always takes for present."""

    role = "attributes"
    id = "weather"

    def __call__(self, images: torch.Tensor) -> Features:
        sure = torch.tensor([0.9, 0.2, torch.nan])
        return Features(probabilities=sure.expand(len(images), 3))


def test_the_accuracy_of_an_attribute_classifier(toyland: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = open_dataset(str(toyland))
    monkeypatch.setattr(dataset, "attributes", ("Sunny", "Windy", "Wet"), raising=False)
    # 3 of 14 images are sunny, 1 is windy
    monkeypatch.setattr(dataset, "attribute_labels", lambda split, i: np.array([i < 3, i == 5, True]), raising=False)
    evaluator_set = EvaluatorSet({"attributes": Weather(dataset)}, {})
    score = attribute_accuracy(Reference(dataset, "val", dataset.size), evaluator_set)
    assert score.value == pytest.approx((3 / 14 + 13 / 14) / 2)
    assert score.detail["per_attribute"] == pytest.approx({"Sunny": 3 / 14, "Windy": 13 / 14})
    assert score.detail["share"] == pytest.approx({"Sunny": 3 / 14, "Windy": 1 / 14})
    assert score.n == 14
    checked = self_check(Reference(dataset, "val", dataset.size), evaluator_set)
    assert checked.real["attribute-accuracy"] == score
