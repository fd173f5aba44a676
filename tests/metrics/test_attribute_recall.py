"""Attribute recall by hand: pooled over pairs, per attribute, negations, attributes the classifier does not know."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gcbench.core.contracts import Task
from gcbench.core.samples import Features, Samples
from gcbench.metrics.attribute_recall import AttributeRecall

WORDS = {"Bald": ("bald",), "No_Beard": ("no beard",), "Smiling": ("smiling",), "Wearing_Hat": ("hat",)}
TASK = Task(("skin",), None, {}, tuple(WORDS), WORDS)
NAN = math.nan


def fill(
    *pairs: tuple[str, list[float]], task: Task = TASK, groups: tuple[str, ...] | None = None, first: int = 0
) -> AttributeRecall:
    metric = AttributeRecall(task)
    prompts, given = zip(*pairs, strict=True)
    ids = tuple(f"{first + i:02}" for i in range(len(pairs)))
    samples = Samples(torch.zeros(len(pairs), 3, 2, 2, dtype=torch.uint8), None, None, prompts, ids, groups)
    metric.update(samples, {"attributes": Features(probabilities=torch.tensor(given))})
    return metric


BY_HAND = (
    ("bald and smiling with a hat", [0.9, 0.0, 0.5, 0.499]),  # 2 of 3: found from 0.5 on
    ("no hat, and no beard", [1.0, 0.2, 1.0, 1.0]),  # 0 of 1: the hat is denied, No_Beard is affirmed
    ("smiling", [0.0, 0.0, 0.7, 0.0]),  # 1 of 1
    ("not smiling", [1.0, 1.0, 1.0, 1.0]),  # affirms nothing: unscored
)


def test_by_hand() -> None:
    metric = fill(*BY_HAND)
    score, table = metric.compute(), metric.per_sample()
    assert score.value == pytest.approx(3 / 5)
    assert (score.n, score.unscored) == (3, 1)
    assert score.detail["per_attribute"] == {"Bald": 1.0, "No_Beard": 0.0, "Smiling": 1.0, "Wearing_Hat": 0.0}
    assert score.detail["affirmed"] == {"Bald": 1, "No_Beard": 1, "Smiling": 2, "Wearing_Hat": 1}
    assert score.detail["pairs"] == {"scored": 5, "unscored": 0}
    assert score.also["per_image"].value == pytest.approx((2 / 3 + 0 + 1) / 3)
    assert table["per_image"] == {"00": pytest.approx(2 / 3), "01": 0.0, "02": 1.0, "03": None}
    assert table[""] == {
        "00": pytest.approx(2 / (5 / 3)),
        "01": 0.0,
        "02": pytest.approx(0.6),
        "03": None,
    }


def test_each_column_of_the_images_has_its_score_as_mean() -> None:
    metric = fill(*BY_HAND)
    score = metric.compute()
    for name, one in {"": score, **score.also}.items():
        scored = [value for value in metric.per_sample()[name].values() if value is not None]
        assert len(scored) == one.n
        assert np.mean(scored) == pytest.approx(one.value)


def test_the_threshold_is_declared() -> None:
    assert AttributeRecall.thresholds == {"found_from": 0.5}


def test_an_attribute_that_the_classifier_does_not_know() -> None:
    """Kept mutant: NaN taken for "not found" would give 1/3 and Wearing_Hat 0."""
    score = fill(("smiling with a hat", [0.0, 0.0, 0.9, NAN]), ("a hat", [1.0, 1.0, 1.0, NAN])).compute()
    assert score.value == 1
    assert (score.n, score.unscored) == (1, 1)
    assert score.detail["per_attribute"] == {"Bald": None, "No_Beard": None, "Smiling": 1.0, "Wearing_Hat": None}
    assert score.detail["affirmed"] == {"Bald": 0, "No_Beard": 0, "Smiling": 1, "Wearing_Hat": 2}
    assert score.detail["pairs"] == {"scored": 1, "unscored": 2}


def test_the_interval_is_of_the_ratio_and_clustered_by_group() -> None:
    """Against a bootstrap written out: draw groups, then Σ hits / Σ affirmed."""
    rng = np.random.default_rng(0)
    texts = ("bald", "bald and smiling", "bald and smiling with a hat")
    pairs = [(texts[i % 3], [*rng.random(4)]) for i in range(60)]
    groups = tuple(f"g{i // 3}" for i in range(60))
    score, alone = fill(*pairs, groups=groups).compute(), fill(*pairs).compute()
    places = (0, 2, 3)
    asked = np.array([len(text.split(" and ")) if "hat" not in text else 3 for text, _ in pairs])
    hits = np.array([sum(row[k] >= 0.5 for k in places[:a]) for (_, row), a in zip(pairs, asked, strict=True)])
    assert score.value == pytest.approx(hits.sum() / asked.sum())
    by_group = np.stack([hits, asked], axis=1).reshape(20, 3, 2).sum(axis=1)
    drawn = by_group[rng.integers(20, size=(4000, 20))].sum(axis=1)
    ratios = drawn[:, 0] / drawn[:, 1]
    assert score.standard_error == pytest.approx(ratios.std(), rel=0.1)
    assert score.interval == pytest.approx(tuple(np.quantile(ratios, [0.025, 0.975])), abs=0.02)
    assert alone.value == score.value
    assert alone.standard_error != score.standard_error
    assert fill(*pairs, groups=("one",) * 60).compute().interval is None


def test_unscored_images_take_their_groups_with_them() -> None:
    rows = [("smiling", [0.0, 0.0, float(i % 4 < 2), 0.0]) for i in range(16)]
    groups = tuple(f"g{i // 2}" for i in range(16))
    alone = fill(*rows, groups=groups).compute()
    among = fill(*[("nothing", [1.0] * 4)] * 3, *rows, groups=("x", "y", "z", *groups)).compute()
    assert among.interval == alone.interval
    assert among.also["per_image"].interval == alone.also["per_image"].interval
    assert among.unscored == 3


@settings(max_examples=20)
@given(order=st.permutations(range(8)), seam=st.integers(1, 7))
def test_order_and_merge_change_no_digit(order: list[int], seam: int) -> None:
    rng = np.random.default_rng(1)
    pairs = [*BY_HAND, *((text, [*rng.random(4)]) for text, _ in BY_HAND)]
    whole = fill(*pairs)
    parts = [[fill(pairs[i], first=i) for i in some] for some in (order[:seam], order[seam:])]
    for some in parts:
        for one in some[1:]:
            some[0].merge(one)
    merged = parts[1][0]
    merged.merge(parts[0][0])
    merged.merge(AttributeRecall(TASK))
    assert merged.compute() == whole.compute()
    assert merged.per_sample() == whole.per_sample()


def test_what_is_missing_is_skipped_with_a_reason() -> None:
    assert AttributeRecall(TASK).compute().reason == "no images"
    assert AttributeRecall(Task(("skin",), None, {})).compute().reason == "the dataset has no attributes"
    score = fill(("a face", [1.0] * 4), ("a hat", [1.0, 1.0, 1.0, NAN])).compute()
    assert (score.status, score.n, score.unscored) == ("skipped", 0, 2)
    metric = AttributeRecall(TASK)
    samples = Samples(torch.zeros(1, 3, 2, 2, dtype=torch.uint8), None, None, None, ("a",))
    metric.update(samples, {"attributes": Features(probabilities=torch.zeros(1, 4))})
    assert metric.compute().reason == "the samples have no prompts"
    assert metric.per_sample() == {}


def test_a_classifier_of_other_attributes_is_an_error() -> None:
    with pytest.raises(ValueError, match="gave 3 of 4 attributes"):
        fill(("a hat", [1.0] * 3))
