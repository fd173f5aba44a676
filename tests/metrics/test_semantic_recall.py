"""Semantic Recall by hand: two thresholds, void, unscored prompts, precision."""

import warnings

import pytest
import torch

from gcbench.core.contracts import Task
from gcbench.core.samples import Features, Samples
from gcbench.core.score import Score
from gcbench.metrics.semantic_recall import SemanticRecall

TASK = Task(
    classes=("road", "car", "person", "void"),
    void=3,
    aliases={"road": ("road", "roads"), "car": ("car", "cars"), "person": ("person", "people")},
)
ROAD, CAR, PERSON, VOID = range(4)
SIZE = (40, 50)  # 2000 pixels: 0.1 % are 2 of them


def image(background: int, **pixels: int) -> torch.Tensor:
    """Labels [H,W]: a background, and so many pixels of other classes."""
    flat = torch.full((SIZE[0] * SIZE[1],), background)
    place = 0
    for name, count in pixels.items():
        flat[place : place + count] = TASK.classes.index(name)
        place += count
    return flat.reshape(SIZE)


def score(*pairs: tuple[str, torch.Tensor], task: Task = TASK, groups: tuple[str, ...] | None = None):
    metric = SemanticRecall(task)
    prompts, labels = zip(*pairs, strict=True)
    ids = tuple(f"{i:02}" for i in range(len(pairs)))
    images = torch.zeros(len(pairs), 3, *SIZE, dtype=torch.uint8)
    samples = Samples(images, None, None, prompts, ids, groups)
    metric.update(samples, {"segmenter": Features(labels=torch.stack(labels))})
    return metric.compute(), metric.per_sample()


def test_by_hand() -> None:
    result, table = score(
        ("a road with cars", image(ROAD, car=1)),  # 1 pixel: found, but not from 0.1 %
        ("a road with cars", image(ROAD, car=2)),  # 2 pixels of 2000 are 0.1 %
        ("People and cars", image(ROAD, person=100)),  # road is found unasked
        ("a lovely day", image(ROAD, car=100)),  # names nothing: unscored
    )
    assert table[""] == {"00": 1.0, "01": 1.0, "02": 0.5, "03": None}
    assert table["recall@0.1%"] == {"00": 0.5, "01": 1.0, "02": 0.5, "03": None}
    assert table["precision"] == {"00": 1.0, "01": 1.0, "02": 0.5, "03": None}
    assert table["precision@0.1%"] == {"00": 1.0, "01": 1.0, "02": 0.5, "03": None}
    assert table["f1"] == {"00": 1.0, "01": 1.0, "02": 0.5, "03": None}
    assert table["f1@0.1%"] == {"00": pytest.approx(2 / 3), "01": 1.0, "02": 0.5, "03": None}  # recall 1/2, precision 1
    assert result.value == pytest.approx(2.5 / 3)
    assert (result.n, result.unscored) == (3, 1)
    assert result.also["recall@0.1%"].value == pytest.approx(2 / 3)
    assert result.also["precision"].value == pytest.approx(2.5 / 3)
    assert result.detail["per_class"] == {"road": 1.0, "car": pytest.approx(2 / 3), "person": 1.0}
    assert result.detail["per_class@0.1%"] == {"road": 1.0, "car": pytest.approx(1 / 3), "person": 1.0}


def test_a_class_that_no_prompt_names_has_no_recall() -> None:
    result, _ = score(("a road", image(ROAD)), ("roads", image(CAR)))
    assert result.detail["per_class"] == {"road": 0.5, "car": None, "person": None}


def test_what_is_denied_is_unwanted_and_counted() -> None:
    """By hand: C = {road}, D = {car}; a car that is found lowers the precision, whatever the recall."""
    result, table = score(
        ("a road without cars", image(ROAD)),
        ("a car-free road", image(ROAD, car=1)),
        ("no people on the road, but cars", image(ROAD, car=5, person=1)),
        ("no cars", image(ROAD, car=9)),  # denies only: unscored
        ("a road", image(ROAD)),
    )
    assert table[""] == {"00": 1.0, "01": 1.0, "02": 1.0, "03": None, "04": 1.0}
    assert table["precision"] == {"00": 1.0, "01": 0.5, "02": pytest.approx(2 / 3), "03": None, "04": 1.0}
    assert (result.n, result.unscored) == (4, 1)
    assert result.detail["negated"] == {"car": 3, "person": 1}
    assert result.detail["negated_found"] == {"road": None, "car": pytest.approx(2 / 3), "person": 1.0}
    assert result.detail["prompts"] == {"denying": 4, "only denying": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # pydantic's, of counts that are no floats
        assert Score.model_validate_json(result.model_dump_json()) == result
    assert result.detail["per_class"] == {"road": 1.0, "car": 1.0, "person": None}
    wanted, _ = score(("no cars here, cars there", image(ROAD, car=9)))
    assert (wanted.value, list(wanted.detail)) == (1.0, ["per_class", "per_class@0.1%"])


def test_void_is_neither_named_nor_found() -> None:
    """Kept mutant: were void counted, the first recall would be 1/2 and the precisions 1/2 and 0."""
    task = Task(TASK.classes, TASK.void, {**TASK.aliases, "void": ("void",)})
    result, table = score(
        ("a road in the void", image(ROAD)),
        ("a road", image(ROAD, void=900)),
        ("a road", image(VOID)),
        task=task,
    )
    assert table[""] == {"00": 1.0, "01": 1.0, "02": 0.0}
    assert table["precision"] == {"00": 1.0, "01": 1.0, "02": None}  # nothing found: unscored
    assert (result.also["precision"].n, result.also["precision"].unscored) == (2, 1)
    assert "void" not in result.detail["per_class"]


def test_recall_is_not_precision() -> None:
    """An image in which everything is seen has recall 1, and precision tells."""
    result, _ = score(("a car", image(ROAD, car=10, person=10)), ("a car", image(ROAD, car=10, person=10)))
    assert result.value == 1
    assert result.also["precision"].value == pytest.approx(1 / 3)


def test_the_interval_is_clustered_by_group() -> None:
    pairs = [("a road", image(ROAD if i % 4 < 2 else CAR)) for i in range(16)]
    pairwise, _ = score(*pairs, groups=tuple(str(i // 2) for i in range(16)))
    alone, _ = score(*pairs)
    single, _ = score(*pairs, groups=("one",) * 16)
    assert pairwise.value == alone.value == single.value == 0.5
    assert pairwise.standard_error > 1.2 * alone.standard_error
    assert single.interval is None


def test_unscored_images_take_their_groups_with_them() -> None:
    """The interval is that of the scored images alone, wherever the unscored ones stand."""
    pairs = [("a road", image(ROAD if i % 4 < 2 else CAR)) for i in range(16)]
    groups = tuple(f"g{i // 2}" for i in range(16))
    alone, _ = score(*pairs, groups=groups)
    nothing = [("nothing", image(ROAD))] * 3
    among, _ = score(*nothing, *pairs, groups=("x", "y", "z", *groups))
    assert (among.value, among.interval, among.unscored) == (alone.value, alone.interval, 3)


def test_small_images_need_one_pixel_even_from_an_area() -> None:
    metric = SemanticRecall(TASK)
    samples = Samples(torch.zeros(1, 3, 2, 2, dtype=torch.uint8), None, None, ("a car",), ("a",))
    metric.update(samples, {"segmenter": Features(labels=torch.zeros(1, 2, 2, dtype=torch.int64))})
    assert metric.compute().also["recall@0.1%"].value == 0


def test_what_is_missing_is_skipped_with_a_reason() -> None:
    assert SemanticRecall(TASK).compute().reason == "no images"
    result, _ = score(("nothing", image(ROAD)))
    assert (result.status, result.n, result.unscored) == ("skipped", 0, 1)
    metric = SemanticRecall(TASK)
    samples = Samples(torch.zeros(1, 3, 2, 2, dtype=torch.uint8), None, None, None, ("a",))
    metric.update(samples, {"segmenter": Features(labels=torch.zeros(1, 2, 2, dtype=torch.int64))})
    assert metric.compute().reason == "the samples have no prompts"
    assert metric.per_sample() == {}


def test_a_label_outside_the_classes_is_an_error() -> None:
    with pytest.raises(ValueError, match="label 4 of only 4 classes"):
        score(("a road", torch.full(SIZE, 4)))
