"""A metric alone on tensors: against values by hand, and against the engine's own numbers."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Oracle

import gcbench
from gcbench.core.contracts import Task
from gcbench.core.errors import UserError
from gcbench.core.reference import Reference
from gcbench.core.score import Score
from gcbench.data.open_dataset import open_dataset
from gcbench.evaluation.scoring import EvaluatorSet, Scoring, measure_real, open_evaluators

TASK = Task(("road", "car", "void"), 2, {"road": ("road",), "car": ("car", "cars")})
LABELS = torch.tensor([[[0, 0]], [[0, 1]], [[0, 1]]])  # [3,1,2]


def test_semantic_recall_by_hand() -> None:
    """A road and a car of which the road is there; then both; then a car, which is: (1/2 + 1 + 1) / 3."""
    metric = gcbench.metric("semantic-recall", TASK)
    metric.update(prompts=["a road with cars", "a road with cars", "a car"], labels=LABELS)
    score = metric.compute()
    assert score.value == pytest.approx(2.5 / 3)
    assert metric.per_sample()[""] == {"000000": 0.5, "000001": 1.0, "000002": 1.0}


def test_batches_are_numbered_on() -> None:
    metric = gcbench.metric("miou", TASK)
    for rows in (slice(0, 2), slice(2, 3)):
        metric.update(layouts=LABELS[rows].numpy(), labels=LABELS[rows])
    assert (metric.compute().value, metric.compute().n) == (1.0, 3)


def test_a_distance_has_a_real_side() -> None:
    """Shifted by 3 in one of two directions, the covariances the same: 9."""
    x = torch.from_numpy(np.random.default_rng(0).integers(-8, 8, (40, 2)).astype(np.float32))
    metric = gcbench.metric("fid", TASK)
    metric.update_reference(vectors=x)
    metric.update(vectors=x + torch.tensor([3.0, 0.0]))
    assert metric.compute().value == pytest.approx(9, abs=1e-6)
    with pytest.raises(UserError, match="has no reference"):
        gcbench.metric("semantic-recall", TASK).update_reference(labels=LABELS)


def test_clip_score_from_vectors_of_both_sides() -> None:
    metric = gcbench.metric("clip-score", TASK)
    metric.update(vectors=torch.eye(2), texts=torch.tensor([[1.0, 0.0], [1.0, 0.0]]), prompts=["a", "b"])
    assert metric.compute().value == pytest.approx(50)


def test_groups_and_ids_are_taken() -> None:
    metric = gcbench.metric("semantic-recall", TASK)
    metric.update(prompts=["a car"] * 3, labels=LABELS, ids=["c", "b", "a"], groups=["g"] * 3)
    assert metric.compute().interval is None  # one group says nothing of the spread
    assert list(metric.per_sample()[""]) == ["a", "b", "c"]


@pytest.mark.parametrize("name", ["semantic-recall", "miou", "fsd", "fd"])
def test_the_number_is_the_engines(name: str, toyland: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ceiling of a run; for a distance, real images of every second group against the others."""
    dataset = open_dataset(str(toyland))
    chosen = list(range(len(dataset.ids("val"))))
    scoring = Scoring(dataset, [name], EvaluatorSet({"segmenter": Oracle(dataset)}, {}))
    expected = measure_real(scoring, Reference(dataset, "val", dataset.size), chosen, cached=False).ceiling[name]
    monkeypatch.setattr(
        "gcbench.evaluation.tensor_metric.open_evaluators",
        lambda dataset, *_: EvaluatorSet({"segmenter": Oracle(dataset)}, {}),
    )
    metric = gcbench.metric(name, str(toyland))
    real = "reference" in metric.metric.needs
    for places, add in ((chosen[1::2], metric.update_reference), (chosen[::2] if real else chosen, metric.update)):
        if add != metric.update_reference or real:
            batch = Reference(dataset, "val", dataset.size).samples(places)
            more: dict[str, Any] = {"prompts": batch.prompts} if add == metric.update else {}
            add(batch.images, layouts=batch.layouts, groups=batch.groups, **more)
    assert expected.status == "ok"
    assert metric.compute() == expected


def test_the_bundled_segmenter_is_opened_for_images() -> None:
    dataset = open_dataset("streets")
    batch = Reference(dataset, "val", dataset.size).samples(range(18))
    metric = gcbench.metric("semantic-recall", dataset="streets", device="cpu")
    metric.update(batch.images, prompts=batch.prompts)
    evaluators = open_evaluators(dataset, ["semantic-recall"], [], "cpu")
    labels = torch.cat([evaluators.features(batch.take(rows))["segmenter"].labels for rows in (range(16), (16, 17))])
    given = gcbench.metric("semantic-recall", dataset="streets")
    given.update(labels=labels, prompts=batch.prompts)
    assert metric.compute() == given.compute()
    assert isinstance(metric.compute(), Score)


IMAGES = torch.zeros(3, 3, 1, 2, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"images": IMAGES.float()}, "images are torch.float32; give torch.uint8, from 0 to 255"),
        ({"images": IMAGES[0]}, "images is of shape (3, 1, 2); give [3,3,2,W]"),
        ({"images": IMAGES, "labels": LABELS[:2]}, "labels is of shape (2, 1, 2); give [3,1,2]"),
        ({"images": IMAGES, "layouts": LABELS.mT}, "layouts is of shape (3, 2, 1); give [3,1,2]"),
        ({"labels": LABELS + 2}, "labels must be whole numbers from 0 to 2, the dataset's classes"),
        ({"labels": LABELS, "prompts": "a road"}, "prompts must be a list of 3 texts, one an image"),
        ({"labels": LABELS, "prompts": ["a road"]}, "prompts must be a list of 3 texts, one an image"),
        ({"label": LABELS}, "there is no argument 'label'; evaluators say labels, vectors, "),
        ({}, "Semantic Recall needs images, or what its segmenter says of them"),
        ({"vectors": torch.ones(3, 2), "prompts": ["a"] * 3}, "this segmenter gives no labels, which Semantic Recall"),
        ({"images": IMAGES, "prompts": ["a"] * 3}, "a Task lacks; give a dataset"),
    ],
)
def test_what_does_not_fit_is_named(given: dict[str, Any], reason: str) -> None:
    metric = gcbench.metric("semantic-recall", TASK)
    with pytest.raises(UserError, match=re.escape(reason)):
        metric.update(**given)
    assert metric.compute().reason == "no images"
