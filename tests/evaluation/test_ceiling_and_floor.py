"""Ceiling and floor: what real images reach under an evaluator that never errs, and that no image evaluators itself."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from conftest import Oracle, write_toyland

from gcbench.core.contracts import Metric, State, Task
from gcbench.core.reference import Reference
from gcbench.core.samples import Features, Samples
from gcbench.core.score import Score
from gcbench.data.open_dataset import open_dataset
from gcbench.evaluation.scoring import Bounds, EvaluatorSet, Scoring, measure_real, pairs_matter

METRICS = ["semantic-recall", "miou", "fsd", "fd"]


class Spy(Metric):
    """Notes which images, layouts and prompts it is shown on each side."""

    needs = frozenset({"images", "layouts", "prompts", "reference"})
    direction = "lower"
    unit = ""
    title = "spy"
    summary = ""

    def __init__(self, task: Task):
        super().__init__(task)
        self.reference: list[bytes] = []
        self.shown: list[tuple[bytes, bytes, str]] = []
        seen.append(self)

    def update_reference(self, samples: Samples, features: Mapping[str, Features]) -> None:
        self.reference += [image.numpy().tobytes() for image in samples.images]

    def update(self, samples: Samples, features: Mapping[str, Features]) -> None:
        assert samples.layouts is not None
        assert samples.prompts is not None
        self.shown += [
            (image.numpy().tobytes(), layout.numpy().tobytes(), prompt)
            for image, layout, prompt in zip(samples.images, samples.layouts, samples.prompts, strict=True)
        ]

    def merge(self, other: Metric) -> None: ...

    def state(self) -> State:
        return {}

    def load(self, state: State) -> None: ...

    def compute(self) -> Score:
        return Score(value=0)


seen: list[Spy] = []


def bounds(root: Path, chosen: list[int], spy: bool = False) -> tuple[Bounds, Scoring]:
    dataset = open_dataset(str(root))
    scoring = Scoring(dataset, METRICS, EvaluatorSet({"segmenter": Oracle(dataset)}, {}))
    if spy:
        scoring.metrics = {"spy": Spy(scoring.task)}
    return measure_real(scoring, Reference(dataset, "val", dataset.size), chosen), scoring


def test_a_perfect_evaluator(toyland: Path) -> None:
    found, scoring = bounds(toyland, list(range(7)))
    ceiling, floor = found.ceiling, found.floor
    assert ceiling["semantic-recall"].value == 1
    assert ceiling["semantic-recall"].also["precision"].value == 1
    assert ceiling["miou"].value == 1
    for name in ("semantic-recall", "miou"):
        value = floor[name].value
        assert value is not None
        assert value < 1
    assert {floor[name].status for name in ("fsd", "fd")} == {"skipped"}
    assert ceiling["fsd"].value is not None
    assert {score.n for score in ceiling.values()} == {7}
    assert len(scoring.metrics["fsd"].reference) == 14


@pytest.mark.parametrize("chosen", [[0, 1], [0, 1, 2, 3], list(range(14)), [i % 14 for i in range(40)]])
def test_no_image_stands_on_both_sides(toyland: Path, chosen: list[int]) -> None:
    seen.clear()
    _, scoring = bounds(toyland, chosen, spy=True)
    whole, ceiling, floor = seen
    assert scoring.metrics["spy"] is whole
    dataset = open_dataset(str(toyland))
    real = [dataset.pair("val", i, dataset.size) for i in range(14)]
    images = [image.transpose(2, 0, 1).tobytes() for image, _ in real]
    assert sorted(whole.reference) == sorted(images)
    assert whole.shown == []
    held = {image for image, *_ in ceiling.shown}
    assert not held & set(ceiling.reference)
    assert held | set(ceiling.reference) == set(images)
    assert len(held) == min(len(set(chosen)), 7)

    # the floor: the chosen images, layouts and prompts, none with its own, layout and prompt of one pair together
    shown = sorted(set(chosen))
    assert [image for image, *_ in floor.shown] == [images[i] for i in shown]
    own = [(real[i][1].astype(np.int64).tobytes(), dataset.captions("val", i)[0]) for i in shown]
    swapped = [pair[1:] for pair in floor.shown]
    assert sorted(own) == sorted(swapped)
    assert all(mine != theirs for mine, theirs in zip(own, swapped, strict=True))


def test_two_splits_are_not_mixed(toyland: Path, tmp_path: Path) -> None:
    """What stands in the training split changes no bound."""
    other = write_toyland(tmp_path / "toyland", {"val": 14, "train": 2})
    mine = open_dataset(str(other))
    again = write_toyland(tmp_path / "again", {"val": 14})
    assert bounds(other, [0, 1, 2])[0] == bounds(again, [0, 1, 2])[0]
    assert len(mine.ids("train")) == 2


def test_which_metrics_have_a_floor(toyland: Path) -> None:
    _, scoring = bounds(toyland, [0, 1, 2])
    matter = {name for name, metric in scoring.metrics.items() if pairs_matter(metric)}
    assert matter == {"semantic-recall", "miou"}
