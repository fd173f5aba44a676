"""What every metric owes: order, batches and merges change no digit; repeated ids are refused."""

import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gcbench.core.contracts import Metric, Task
from gcbench.core.samples import Features, Samples
from gcbench.metrics.fd import FD
from gcbench.metrics.fid import FID
from gcbench.metrics.fsd import FSD
from gcbench.metrics.kid import KID
from gcbench.metrics.miou import MeanIoU
from gcbench.metrics.prdc import PRDC
from gcbench.metrics.semantic_recall import SemanticRecall

SHELF = [SemanticRecall, MeanIoU, FSD, FD, FID, KID, PRDC]
N = 13
TASK = Task(("road", "car", "person", "void"), 3, {"road": ("road",), "car": ("car",), "person": ("person",)})
PROMPTS = ("a road", "a road and a car", "a person", "nothing")


def part(places: list[int], prefix: str = "s") -> tuple[Samples, dict[str, Features]]:
    """Images by number: each depends on its number only."""
    layouts, labels, vectors = [], [], []
    for place in places:
        rng = np.random.default_rng([place, ord(prefix)])
        layouts.append(rng.choice(4, (5, 7), p=rng.dirichlet(np.ones(4))))
        labels.append(rng.choice(3, (5, 7), p=rng.dirichlet(np.ones(3) / 2)))
        vectors.append(rng.standard_normal(6).astype(np.float32))
    samples = Samples(
        torch.zeros(len(places), 3, 5, 7, dtype=torch.uint8),
        torch.from_numpy(np.array(layouts)),
        "generated",
        tuple(PROMPTS[place % 4] for place in places),
        tuple(f"{prefix}{place:02}" for place in places),
        tuple(f"g{place // 3}" for place in places),
    )
    features = Features(torch.from_numpy(np.array(vectors)), torch.from_numpy(np.array(labels)))
    return samples, {"segmenter": features, "inception": Features(features.vectors)}


def opened(kind: type[Metric]) -> Metric:
    metric = kind(TASK)
    if "reference" in kind.needs:
        metric.update_reference(*part(list(range(9)), "r"))
    return metric


def filled(kind: type[Metric], *batches: list[int]) -> Metric:
    metric = opened(kind)
    for places in batches:
        metric.update(*part(places))
    return metric


@pytest.mark.parametrize("kind", SHELF)
@settings(max_examples=8, deadline=None)
@given(order=st.permutations(range(N)), cuts=st.sets(st.integers(1, N - 1)), seam=st.integers(1, N - 1))
def test_order_batches_and_merge_change_no_digit(
    kind: type[Metric], order: list[int], cuts: set[int], seam: int
) -> None:
    whole = filled(kind, list(range(N)))
    edges = [0, *sorted(cuts), N]
    batches = [order[a:b] for a, b in pairwise(edges)]
    split = filled(kind, *batches)
    merged = filled(kind, order[:seam])
    merged.merge(filled(kind, order[seam:]))
    assert split.compute() == whole.compute()
    assert merged.compute() == whole.compute()
    assert merged.per_sample() == whole.per_sample()


@pytest.mark.parametrize("kind", SHELF)
def test_merging_an_empty_process_changes_nothing(kind: type[Metric]) -> None:
    metric = filled(kind, list(range(N)))
    before = metric.compute()
    metric.merge(opened(kind))
    assert metric.compute() == before


@pytest.mark.parametrize("kind", SHELF)
def test_repeated_ids_are_refused(kind: type[Metric]) -> None:
    with pytest.raises(ValueError, match="'s01' came twice"):
        filled(kind, [0, 1], [1, 2])
    with pytest.raises(ValueError, match="'s01' came twice"):
        filled(kind, [0, 1]).merge(filled(kind, [1, 2]))


@pytest.mark.parametrize("kind", SHELF)
def test_declared_in_full_and_written_as_json(kind: type[Metric]) -> None:
    assert kind.direction in ("higher", "lower")
    assert kind.title
    assert kind.summary
    assert kind.unit
    assert kind.needs <= {"images", "layouts", "prompts", "reference"}
    score = filled(kind, list(range(N))).compute()
    assert score.status == "ok"
    assert score.n + score.unscored == N
    assert type(score).model_validate_json(json.dumps(score.model_dump())) == score
    if kind is SemanticRecall:
        table = filled(kind, list(range(N))).per_sample()
        assert set(table) == {"semantic-recall", "recall@0.1%", "precision", "precision@0.1%"}
        values = [v for v in table["semantic-recall"].values() if v is not None]
        assert score.value == pytest.approx(np.mean(values))
    elif kind is PRDC:
        table = filled(kind, list(range(N))).per_sample()
        assert set(table) == {"prdc", "density"}
        for values, mean in ((table["prdc"], score), (table["density"], score.also["density"])):
            assert mean.value == pytest.approx(np.mean(list(values.values())))
    else:
        assert filled(kind, list(range(N))).per_sample() == {}
