"""The base of means over images: what it derives, and what it refuses."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from gcbench.core.contracts import Task
from gcbench.core.errors import UserError
from gcbench.core.samples import Samples
from gcbench.core.score import Score
from gcbench.metrics.fsd import FSD
from gcbench.metrics.mean_metric import MeanMetric
from gcbench.metrics.miou import MeanIoU
from gcbench.statistics.intervals import cluster_bootstrap_mean

TASK = Task(("road",), None, {})


class Told(MeanMetric):
    """Its values are what the test says."""

    needs = frozenset({"prompts"})
    direction = "higher"
    unit = title = summary = "told"
    range = (0.0, 1.0)
    told: Mapping[str, Any] = {}

    def values(self, samples, features):
        return self.told

    def detail(self, kept):
        return {"sums": {name: float(x.sum()) for name, x in kept.items() if x.ndim > 1}}


def told(first: int = 0, groups: tuple[str, ...] | None = None, **values: Any) -> Told:
    metric = Told(TASK)
    metric.told = {name.removeprefix("value"): x for name, x in values.items()}
    add(metric, len(values["value"]), first, groups)
    return metric


def add(metric: Told, n: int, first: int = 0, groups: tuple[str, ...] | None = None, prompts: bool = True) -> None:
    ids = tuple(f"{first + i:02}" for i in range(n))
    images = torch.zeros(n, 3, 1, 1, dtype=torch.uint8)
    metric.update(Samples(images, None, None, ("a",) * n if prompts else None, ids, groups), {})


@pytest.mark.parametrize("form", [list, np.array, torch.tensor])
def test_the_mean_by_hand_whatever_the_form(form: Any) -> None:
    metric = told(value=form([1.0, 0.0, math.nan, 0.5]), other=form([0.0, 0.0, 0.0, 1.0]))
    score = metric.compute()
    assert (score.value, score.n, score.unscored) == (0.5, 3, 1)
    assert (score.also["other"].value, score.also["other"].n) == (0.25, 4)
    assert metric.per_sample() == {
        "": {"00": 1.0, "01": 0.0, "02": None, "03": 0.5},
        "other": {"00": 0.0, "01": 0.0, "02": 0.0, "03": 1.0},
    }


def test_none_is_unscored_and_takes_its_group_along() -> None:
    groups = ("g", "g", "h", "i", "i")
    score = told(value=[1.0, None, 0.0, 0.5, None], groups=groups).compute()
    expected = cluster_bootstrap_mean(np.array([1.0, 0.0, 0.5]), ["g", "h", "i"], seed=0)
    assert (score.value, score.standard_error, score.groups) == (expected[0], expected[1], 3)
    assert (score.n, score.unscored) == (3, 2)


def test_arrays_of_more_dimensions_are_for_the_detail() -> None:
    metric = told(value=[1.0, 0.0], counts=np.arange(12).reshape(2, 2, 3))
    score = metric.compute()
    assert score.detail == {"sums": {"counts": 66.0}}
    assert score.also == {}
    assert set(metric.per_sample()) == {""}


def test_reasons() -> None:
    metric = told(value=[0.5])
    add(metric, 1, first=5, prompts=False)
    assert metric.compute() == Score.skipped("the samples have no prompts")
    assert metric.per_sample() == {}
    assert Told(TASK).compute() == Score.skipped("no images")
    nothing = told(value=[None]).compute()
    assert (nothing.status, nothing.reason, nothing.unscored) == ("skipped", "no image could be scored", 1)
    assert told(value=[math.inf, 0.5]).compute() == Score.failed("some images have values that are not finite", n=2)


def test_what_does_not_fit_is_refused() -> None:
    metric = told(value=[0.5])
    metric.told = {"": [0.5], "other": [0.5]}
    with pytest.raises(UserError, match=r"gave \['', 'other'\], not \[''\]; give all at each batch"):
        add(metric, 1, first=1)
    with pytest.raises(UserError, match="give all at each batch"):
        metric.merge(told(value=[0.5], other=[0.5], first=1))
    metric.told = {"": [0.5, 0.5, 0.5]}
    with pytest.raises(UserError, match=r"gave an array of shape \(3,\) for 2 images in ''; give one value an image"):
        add(metric, 2, first=1)
    with pytest.raises(UserError, match="MeanIoU cannot merge a Told"):
        MeanIoU(TASK).merge(metric)


@pytest.mark.parametrize("state", [{}, {"ids": ["a"]}, {"ids": [], "groups": [], "refusals": None}, [], None])
def test_a_state_that_is_none_is_refused_and_changes_nothing(state: Any) -> None:
    metric = told(value=[0.5, 1.0])
    for one in (metric, FSD(TASK)):
        with pytest.raises(UserError, match="no state of"):
            one.load(state)
    assert metric.compute().value == 0.75
