"""Shards: what is read back and merged is what was measured, and only of the same settings."""

import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from conftest import Oracle

from gcbench.core.reference import Reference
from gcbench.core.samples import Samples, sample_ids
from gcbench.data.open_dataset import open_dataset
from gcbench.evaluation.scoring import BATCH, EvaluatorSet, Scoring, measure_real
from gcbench.evaluation.shards import LARGEST, MANY, Shards, shards
from gcbench.runs.stopwatch import Stopwatch

N = 3 * BATCH + 5
METRICS = ["semantic-recall", "miou", "fsd", "fd"]


@pytest.fixture
def scoring(toyland: Path) -> Scoring:
    dataset = open_dataset(str(toyland))
    scoring = Scoring(dataset, METRICS, EvaluatorSet({"segmenter": Oracle(dataset)}, {}))
    measure_real(scoring, Reference(dataset, "val", dataset.size), range(7), cached=False)
    return scoring


def drawn(part: range, stopwatch: Stopwatch) -> list[Samples]:
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
    whole, seen = scoring.finish(Shards(N).measure(scoring, drawn).metrics), list(scoring.shown)

    def stopped(part: range, stopwatch: Stopwatch) -> list[Samples]:
        if part.start == 2 * BATCH:
            raise KeyboardInterrupt
        return drawn(part, stopwatch)

    parts = Shards(N, tmp_path, ["a"], shown=4)
    with pytest.raises(KeyboardInterrupt):
        parts.measure(scoring, stopped)
    assert parts.done == 2 * BATCH
    assert Shards(N, tmp_path, ["b"]).done == 0  # other settings

    asked: list[range] = []
    ticks: list[int] = []

    def rest(part: range, stopwatch: Stopwatch) -> list[Samples]:
        asked.append(part)
        return drawn(part, stopwatch)

    total = Shards(N, tmp_path, ["a"], shown=4, tick=ticks.append).measure(scoring, rest)
    first = total.shown
    assert asked == [range(2 * BATCH, 3 * BATCH), range(3 * BATCH, N)]
    assert ticks == [BATCH, BATCH]
    assert scoring.finish(total.metrics) == whole
    assert scoring.shown == seen
    assert first is not None
    assert torch.equal(first.images, drawn(range(4), Stopwatch())[0].images)
    assert first.prompts == ("a road and a tree", "a car") * 2
    parts.forget()
    assert [path.name for path in parts.folder.iterdir()] == ["000000.safetensors"]  # type: ignore[union-attr]


@pytest.mark.parametrize("damage", [lambda data: data[:99], lambda data: b"", lambda data: data[:-9] + b"x" * 9])
def test_a_damaged_shard_is_measured_again(scoring: Scoring, tmp_path: Path, damage: object) -> None:
    parts = Shards(N, tmp_path, ["a"])
    whole = scoring.finish(parts.measure(scoring, drawn).metrics)
    parts = Shards(N, tmp_path, ["a"])
    file = sorted(tmp_path.rglob("*.safetensors"))[1]
    file.write_bytes(damage(file.read_bytes()))  # type: ignore[operator]
    assert scoring.finish(parts.measure(scoring, drawn).metrics) == whole


def test_a_shard_that_was_put_in_anothers_place_is_measured_again(
    scoring: Scoring, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """That of another scale, under the right name; and one under the name of another of the same length."""

    def turned(part: range, stopwatch: Stopwatch) -> list[Samples]:
        return [replace(batch, images=batch.images.flip(-1)) for batch in drawn(part, stopwatch)]

    whole = scoring.finish(Shards(N, tmp_path, ["1"]).measure(scoring, drawn).metrics)
    Shards(N, tmp_path, ["2"]).measure(scoring, turned)
    one, other = (Shards(N, tmp_path, [scale]).folder for scale in "12")
    assert one is not None
    assert other is not None
    shutil.copy(other / "000016.safetensors", one / "000016.safetensors")
    shutil.copy(one / "000000.safetensors", one / "000032.safetensors")
    assert scoring.finish(Shards(N, tmp_path, ["1"]).measure(scoring, drawn).metrics) == whole
    assert capsys.readouterr().err.count("it is of other samples") == 2


@pytest.mark.parametrize("batch", [1, BATCH, BATCH + 1, 3 * BATCH, 4 * LARGEST])
@pytest.mark.parametrize("n", [1, BATCH, 64, 100 * BATCH + 3, MANY * BATCH, 50_000, 10**6])
def test_shards_are_whole_batches_and_few(n: int, batch: int) -> None:
    """Every place once, in order; each begins with a batch of the evaluators; one holds a batch of the model."""
    parts = shards(n, batch)
    assert parts[0].start == 0
    assert all(one.stop == other.start for one, other in pairwise(parts))
    assert parts[-1].stop == n
    assert all(part.start % BATCH == 0 for part in parts)
    assert all(len(part) == len(parts[0]) for part in parts[:-1])
    assert len(parts[0]) >= min(batch, n)
    assert len(parts[0]) <= max(LARGEST, batch + BATCH - 1)
    assert len(parts) <= max(MANY + 1, -(-n // LARGEST))
