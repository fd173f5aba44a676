"""What every registered metric owes; a plug-in's joins by its entry point.

Order, batches, merges and files change no digit; repeated ids are refused; what it declares holds.
"""

import copy
import json
import pickle
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gcbench.core.contracts import Metric, Task
from gcbench.core.metric_state import load_states, save_states
from gcbench.core.registry import registry
from gcbench.core.samples import Features, Samples, Texts
from gcbench.core.score import Score
from gcbench.metrics.mean_metric import MeanMetric

N = 13
WORDS = {"Bald": ("bald",), "Smiling": ("smiling",)}
TASK = Task(
    ("road", "car", "person", "void"),
    3,
    {"road": ("road",), "car": ("car",), "person": ("person",)},
    tuple(WORDS),
    WORDS,
)
PROMPTS = ("a road", "a road and a car", "a bald person", "nothing but a person who is bald and smiling", "nothing")
SHELF = sorted(registry("metrics").working())

every_metric = pytest.mark.parametrize("name", SHELF)
some_examples = settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])


def part(places: list[int], prefix: str = "s") -> tuple[Samples, dict[str, Features]]:
    """Images by number, and all that any evaluator can say of them: each depends on its number only."""
    images, layouts, labels, vectors, probabilities, texts = [], [], [], [], [], []
    for place in places:
        rng = np.random.default_rng([place, ord(prefix)])
        images.append(rng.integers(0, 256, (3, 5, 7), dtype=np.uint8))
        layouts.append(rng.choice(4, (5, 7), p=rng.dirichlet(np.ones(4))))
        labels.append(rng.choice(3, (5, 7), p=rng.dirichlet(np.ones(3) / 2)))
        vectors.append(rng.standard_normal(6).astype(np.float32))
        probabilities.append(rng.random(len(WORDS)).astype(np.float32))
        texts.append(rng.standard_normal(6).astype(np.float32))
    samples = Samples(
        torch.from_numpy(np.array(images)),
        torch.from_numpy(np.array(layouts)),
        "real",
        tuple(PROMPTS[place // 3 % len(PROMPTS)] for place in places),
        tuple(f"{prefix}{place:02}" for place in places),
        tuple(f"g{place // 3}" for place in places),
    )
    truncated = torch.tensor([place % 4 == 0 for place in places])
    said = Features(
        *(torch.from_numpy(np.array(values)) for values in (vectors, labels, probabilities)),
        texts=Texts(torch.from_numpy(np.array(texts)), truncated),
    )
    return samples, {role: said for name in SHELF for role in registry("metrics")[name].roles}


def opened(name: str) -> Metric:
    metric: Metric = registry("metrics")[name](TASK)
    give_real(metric)
    return metric


def give_real(metric: Metric) -> None:
    """The real images that it needs."""
    if "reference" in metric.needs:
        metric.update_reference(*part(list(range(9)), "r"))
    if "training" in metric.needs:
        metric.update_training(*part(list(range(11)), "t"))


def filled(name: str, *batches: list[int]) -> Metric:
    metric = opened(name)
    for places in batches:
        metric.update(*part(places))
    return metric


def whole(name: str) -> Metric:
    return filled(name, list(range(N)))


def same(one: Metric, other: Metric) -> bool:
    return one.compute() == other.compute() and one.per_sample() == other.per_sample()


@every_metric
@some_examples
@given(order=st.permutations(range(N)), cuts=st.sets(st.integers(1, N - 1)), seam=st.integers(1, N - 1))
def test_order_batches_and_merge_change_no_digit(name: str, order: list[int], cuts: set[int], seam: int) -> None:
    edges = [0, *sorted(cuts), N]
    assert same(filled(name, *(order[a:b] for a, b in pairwise(edges))), whole(name))
    merged = filled(name, order[:seam])
    merged.merge(filled(name, order[seam:]))
    assert same(merged, whole(name))


@every_metric
def test_another_evaluator_is_read_where_the_user_names_it(name: str) -> None:
    """In place of the first one: what this says of the images is not looked at."""
    kind = registry("metrics")[name]
    if kind.alternative is None:
        return
    role, title = kind.alternative
    assert title.format("net") != title
    named = replace(TASK, named=frozenset({role}))
    metric = kind(named)
    assert metric.roles == metric.fresh().roles == (role, *kind.roles[1:])
    for update, (samples, features) in (
        (metric.update_reference, part(list(range(9)), "r")),
        (metric.update, part(list(range(N)))),
    ):
        update(samples, {role: features[kind.roles[0]]})
    assert same(metric, whole(name))


def errors(score: Score) -> dict[str, float | None]:
    return {column: one.standard_error for column, one in {"": score, **score.also}.items()}


@every_metric
@some_examples
@given(order=st.permutations(range(N)), names=st.permutations("abcdefghijklmnop"), data=st.data())
def test_names_and_order_change_no_error(name: str, order: list[int], names: list[str], data: st.DataObject) -> None:
    """What the images are called, how their groups are called, and in which order they come."""
    samples, features = part(order)
    members = data.draw(st.lists(st.integers(0, 5), min_size=N, max_size=N).filter(lambda m: len(set(m)) > 1))
    found = []
    for ids, groups in (
        (samples.ids, [f"g{members[place]}" for place in order]),
        (tuple(names[:N]), [names[members[place]] for place in order]),
    ):
        metric = opened(name)
        metric.update(replace(samples, ids=ids, groups=tuple(groups)), features)
        score = metric.compute()
        found.append(errors(score))
        assert score.groups is None or score.groups <= len(set(members))
    assert found[0].keys() == found[1].keys()
    for column, error in found[0].items():
        assert found[1][column] == (error if error is None else pytest.approx(error, rel=1e-6, abs=1e-9))


@every_metric
def test_copies_of_a_drawing_count_once_whatever_their_names(name: str) -> None:
    """Ten drawings, four copies each, whose names stand by drawing or alternate; as many errors as of none copied."""
    features = part(list(range(10)))[1]
    rows, found = [i % 10 for i in range(40)], []
    samples = part(list(range(10)))[0].take(rows)
    for ids in ([f"{i:02}" for i in range(40)], [f"{i % 10}-{i // 10}" for i in range(40)]):
        metric = opened(name)
        copies = replace(samples, ids=tuple(ids), groups=tuple(f"drawing {row}" for row in rows))
        metric.update(copies, {role: one.take(rows) for role, one in features.items()})
        found.append(errors(metric.compute()))
    assert any(found[0].values())
    for column, error in found[0].items():
        assert found[1][column] == pytest.approx(error, rel=1e-6, abs=1e-9)


@every_metric
@some_examples
@given(order=st.permutations(range(N)), seam=st.integers(0, N))
def test_states_in_a_file_merge_to_the_same_digits(name: str, order: list[int], seam: int, tmp_path: Path) -> None:
    """Both parts are saved, loaded into instances that know the reference only, and merged; one may be empty."""
    shards = []
    for places in (order[:seam], order[seam:]):
        save_states(tmp_path / "shard.safetensors", {name: filled(name, *([places] if places else [])).state()})
        shard = opened(name)
        shard.load(load_states(tmp_path / "shard.safetensors")[name])
        shards.append(shard)
    shards[0].merge(shards[1])
    assert same(shards[0], whole(name))


@every_metric
@pytest.mark.parametrize("parts", [2, 4])
def test_shards_merge_to_the_same_digits(name: str, parts: int, tmp_path: Path) -> None:
    """Each shard is a file; what is loaded from them is merged in their order."""
    total = opened(name)
    for start in range(0, N, -(-N // parts)):
        places = list(range(start, min(start + -(-N // parts), N)))
        save_states(tmp_path / f"{start}.safetensors", {name: filled(name, places).state()})
        shard = total.fresh()
        shard.load(load_states(tmp_path / f"{start}.safetensors")[name])
        total.merge(shard)
    assert same(total, whole(name))


@every_metric
def test_samples_may_come_before_the_reference(name: str) -> None:
    """Processes that share a run measure their shards without real images."""
    early: Metric = registry("metrics")[name](TASK)
    early.update(*part(list(range(N))))
    late = opened(name)
    late.load(early.state())
    assert same(late, whole(name))


@every_metric
def test_a_loaded_state_takes_the_place_of_the_samples(name: str) -> None:
    metric = filled(name, [20, 21, 22, 23, 24])
    before = metric.compute()
    metric.load(whole(name).state())
    assert same(metric, whole(name))
    assert metric.compute() != before


@every_metric
def test_copies_and_pickles_are_the_same_metric(name: str) -> None:
    metric = filled(name, list(range(5)))
    metric.compute()
    for other in (copy.deepcopy(metric), pickle.loads(pickle.dumps(metric))):
        other.update(*part(list(range(5, N))))
        assert same(other, whole(name))
    assert same(metric, filled(name, list(range(5))))


@every_metric
def test_merging_an_empty_process_changes_nothing(name: str) -> None:
    metric, empty = whole(name), opened(name)
    metric.merge(opened(name))
    empty.merge(metric)
    assert same(metric, whole(name))
    assert same(empty, whole(name))


@every_metric
def test_repeated_ids_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="'s01' came twice"):
        filled(name, [0, 1], [1, 2])
    with pytest.raises(ValueError, match="'s01' came twice"):
        filled(name, [0, 1]).merge(filled(name, [1, 2]))


@every_metric
def test_without_images_there_is_a_reason(name: str) -> None:
    score = opened(name).compute()
    assert (score.status, score.value) == ("skipped", None)
    assert score.reason
    assert opened(name).per_sample() == {}


@every_metric
def test_declared_in_full(name: str) -> None:
    kind = registry("metrics")[name]
    assert kind.direction in ("higher", "lower")
    for text in (kind.unit, kind.title, kind.summary, kind.__doc__):
        assert text.strip()
    assert kind.needs <= {"images", "layouts", "prompts", "reference", "training"}
    assert kind.axis in (None, "realism", "correspondence")
    assert kind.headline[0] == ""
    assert kind.gain is None or kind.gain > 0
    score = whole(name).compute()
    columns = {"": score, **score.also}
    assert set(kind.headline) <= set(columns)
    assert set(kind.scale) | set(kind.ranges) <= set(columns)
    json.dumps(dict(kind.thresholds))


@every_metric
def test_a_score_lies_in_its_range_and_survives_json(name: str) -> None:
    kind, score = registry("metrics")[name], whole(name).compute()
    assert score.status == "ok"
    assert score.n + score.unscored == N
    assert Score.model_validate_json(json.dumps(score.model_dump())) == score
    for column, one in {"": score, **score.also}.items():
        low, high = kind.ranges.get(column, kind.range)
        assert one.status == "ok"
        assert low <= one.value <= high
        assert one.interval is not None
        assert low <= one.interval[0] <= one.value <= one.interval[1] <= high


@every_metric
def test_values_per_sample_have_the_score_as_mean(name: str) -> None:
    metric = whole(name)
    score, table = metric.compute(), metric.per_sample()
    columns = {"": score, **score.also}
    assert set(table) <= set(columns)
    if issubclass(registry("metrics")[name], MeanMetric):
        assert set(table) == set(columns)
    for column, values in table.items():
        assert list(values) == sorted(part(list(range(N)))[0].ids)
        numbers = [value for value in values.values() if value is not None]
        assert len(numbers) == columns[column].n
        assert columns[column].value == pytest.approx(np.mean(numbers))
