"""Shards: what is read back and merged is what was measured, and only of the same settings."""

from pathlib import Path

import pytest
import torch
from conftest import Oracle

from gcbench.core.reference import Reference
from gcbench.core.samples import Samples, sample_ids
from gcbench.data.open_dataset import open_dataset
from gcbench.evaluation.scoring import BATCH, EvaluatorSet, Scoring, measure_real
from gcbench.evaluation.shards import SHARD, Shards

N = 3 * SHARD + 5
METRICS = ["semantic-recall", "miou", "fsd", "fd"]


@pytest.fixture
def scoring(toyland: Path) -> Scoring:
    dataset = open_dataset(str(toyland))
    scoring = Scoring(dataset, METRICS, EvaluatorSet({"segmenter": Oracle(dataset)}, {}))
    measure_real(scoring, Reference(dataset, "val", dataset.size), range(7), cached=False)
    return scoring


def drawn(part: range) -> list[Samples]:
    """Noise by number, in batches."""
    batches = []
    for start in range(part.start, part.stop, BATCH):
        places = range(start, min(start + BATCH, part.stop))
        noise = [torch.randint(0, 256, (3, 32, 64), generator=torch.Generator().manual_seed(i)) for i in places]
        images = torch.stack(noise).to(torch.uint8)
        layouts = (images[:, 0] // 64).long()
        texts = tuple("a car" if i % 2 else "a road and a tree" for i in places)
        batches.append(Samples(images, layouts, "generated", texts, sample_ids(places.stop)[places.start :]))
    return batches


def test_a_set_that_was_stopped_goes_on_to_the_same_digits(scoring: Scoring, tmp_path: Path) -> None:
    metrics, _ = Shards(None).measure(scoring, N, drawn)
    whole, seen = scoring.finish(metrics), list(scoring.shown)

    def stopped(part: range) -> list[Samples]:
        if part.start == 2 * SHARD:
            raise KeyboardInterrupt
        return drawn(part)

    shards = Shards(tmp_path, ["a"], shown=4)
    with pytest.raises(KeyboardInterrupt):
        shards.measure(scoring, N, stopped)
    assert shards.done(N) == 2 * SHARD
    assert Shards(tmp_path, ["b"]).done(N) == 0  # other settings

    asked: list[range] = []
    ticks: list[int] = []

    def rest(part: range) -> list[Samples]:
        asked.append(part)
        return drawn(part)

    metrics, first = Shards(tmp_path, ["a"], shown=4, tick=ticks.append).measure(scoring, N, rest)
    assert asked == [range(2 * SHARD, 3 * SHARD), range(3 * SHARD, N)]
    assert ticks == [SHARD, SHARD]
    assert scoring.finish(metrics) == whole
    assert scoring.shown == seen
    assert first is not None
    assert torch.equal(first.images, drawn(range(4))[0].images)
    assert first.prompts == ("a road and a tree", "a car") * 2
    shards.forget()
    assert [path.name for path in shards.folder.iterdir()] == ["000000.safetensors"]  # type: ignore[union-attr]


@pytest.mark.parametrize("damage", [lambda data: data[:99], lambda data: b"", lambda data: data[:-9] + b"x" * 9])
def test_a_damaged_shard_is_measured_again(scoring: Scoring, tmp_path: Path, damage: object) -> None:
    shards = Shards(tmp_path, ["a"])
    whole = scoring.finish(shards.measure(scoring, N, drawn)[0])
    file = sorted(tmp_path.rglob("*.safetensors"))[1]
    file.write_bytes(damage(file.read_bytes()))  # type: ignore[operator]
    assert scoring.finish(shards.measure(scoring, N, drawn)[0]) == whole
