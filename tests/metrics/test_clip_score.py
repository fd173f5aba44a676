"""CLIP score by hand: cosines, negative ones, truncated prompts, what is missing."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gcbench.core.contracts import Task
from gcbench.core.samples import Features, Samples, Texts
from gcbench.metrics.clip_score import CLIPScore

TASK = Task(("road",), None, {})


def filled(
    images: list[list[float]],
    texts: list[list[float]],
    *,
    cut: list[bool] | None = None,
    groups: tuple[str, ...] | None = None,
    places: list[int] | None = None,
) -> CLIPScore:
    """A metric with one sample a row, or with the rows at `places` only; ids are the rows' numbers."""
    rows = list(range(len(images))) if places is None else places
    metric = CLIPScore(TASK)
    samples = Samples(
        torch.zeros(len(images), 3, 2, 2, dtype=torch.uint8),
        None,
        None,
        tuple("text" for _ in images),
        tuple(f"{i:02}" for i in range(len(images))),
        groups,
    )
    read = Texts(torch.tensor(texts), torch.tensor(cut or [False] * len(texts)))
    features = Features(vectors=torch.tensor(images), texts=read)
    if rows:
        metric.update(samples.take(rows), {"clip": features.take(rows)})
    return metric


def test_by_hand() -> None:
    """Angles of 0, 60, 90 and 180 degrees; lengths do not matter, and a negative cosine is not put to 0."""
    half = 3**0.5
    metric = filled([[2, 0], [1, 0], [0, 5], [3, 0]], [[7, 0], [1, half], [1, 0], [-1, 0]])
    score, table = metric.compute(), metric.per_sample()
    assert table[""] == pytest.approx({"00": 100, "01": 50, "02": 0, "03": -100}, abs=1e-5)
    assert score.value == pytest.approx(12.5, abs=1e-5)
    assert (score.n, score.unscored) == (4, 0)
    assert score.detail["prompts"] == {"truncated": 0.0}


def test_each_image_meets_its_own_prompt() -> None:
    vectors = np.eye(3).tolist()
    assert filled(vectors, vectors).compute().value == pytest.approx(100)
    assert filled(vectors, np.roll(vectors, 1, axis=0).tolist()).compute().value == pytest.approx(0)


def test_truncated_prompts_are_scored_and_counted() -> None:
    score = filled([[1.0]] * 5, [[1.0]] * 5, cut=[True, False, True, False, False]).compute()
    assert score.detail["prompts"] == {"truncated": 2.0}
    assert score.n == 5


def random_rows(n: int, d: int = 9) -> tuple[list[list[float]], list[list[float]], list[bool], tuple[str, ...]]:
    rng = np.random.default_rng(n)
    images, texts = (rng.standard_normal((n, d)).astype(np.float32).tolist() for _ in range(2))
    return images, texts, (rng.random(n) < 0.3).tolist(), tuple(f"g{i // 3}" for i in range(n))


@given(order=st.permutations(range(13)), seam=st.integers(0, 13))
def test_order_batches_and_merge_change_no_digit(order: list[int], seam: int) -> None:
    images, texts, cut, groups = random_rows(13)
    whole = filled(images, texts, cut=cut, groups=groups)
    first = filled(images, texts, cut=cut, groups=groups, places=order[:seam])
    first.merge(filled(images, texts, cut=cut, groups=groups, places=order[seam:]))
    assert first.compute() == whole.compute()
    assert first.per_sample() == whole.per_sample()


def test_repeated_ids_are_refused() -> None:
    metric = filled([[1.0]], [[1.0]])
    with pytest.raises(ValueError, match="'00' came twice"):
        metric.merge(filled([[1.0]], [[1.0]]))


def test_the_value_is_torchs_mean_cosine() -> None:
    images, texts, *_ = random_rows(200)
    expected = torch.nn.functional.cosine_similarity(torch.tensor(images), torch.tensor(texts)).mean()
    assert filled(images, texts).compute().value == pytest.approx(100 * float(expected), abs=1e-4)


def test_the_interval_is_clustered_by_group() -> None:
    """Pairs of equal images are as good as half as many."""
    images, texts = [[1.0, 0.0]] * 16, [[1.0, 0.0] if i % 4 < 2 else [0.0, 1.0] for i in range(16)]
    alone = filled(images, texts).compute()
    pairs = filled(images, texts, groups=tuple(str(i // 2) for i in range(16))).compute()
    single = filled(images, texts, groups=("one",) * 16).compute()
    assert alone.value == pairs.value == single.value == pytest.approx(50)
    assert alone.standard_error is not None
    assert pairs.standard_error is not None
    assert pairs.standard_error > 1.2 * alone.standard_error
    assert single.interval is None


def test_what_is_missing_is_skipped_with_a_reason() -> None:
    assert CLIPScore(TASK).compute().reason == "no images"
    metric = filled([[1.0]], [[1.0]])
    metric.update(
        Samples(torch.zeros(1, 3, 2, 2, dtype=torch.uint8), None, None, None, ("x",)),
        {"clip": Features(vectors=torch.ones(1, 1))},
    )
    for holder in (metric, filled([[1.0]] * 2, [[1.0]] * 2, places=[1])):
        if holder is not metric:
            holder.merge(metric)
        score = holder.compute()
        assert (score.status, score.reason) == ("skipped", "the samples have no prompts")
        assert holder.per_sample() == {}


@pytest.mark.parametrize("bad", [0.0, float("nan"), float("inf")])
def test_embeddings_without_a_direction_fail(bad: float) -> None:
    metric = filled([[1.0, 0.0], [bad, bad]], [[1.0, 0.0], [1.0, 0.0]])
    score = metric.compute()
    assert (score.status, score.value) == ("failed", None)
    assert "zero or not finite" in str(score.reason)
    assert metric.per_sample()[""] == {"00": pytest.approx(100), "01": None}


def test_declared_in_full() -> None:
    assert CLIPScore.needs == {"images", "prompts"}
    assert CLIPScore.roles == ("clip",)
    assert (CLIPScore.direction, CLIPScore.title) == ("higher", "CLIP score")
