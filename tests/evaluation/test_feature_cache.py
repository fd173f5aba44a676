"""The cache of real images' features: it changes no number, and whatever the features depend on changes its key."""

import multiprocessing
from collections.abc import Sequence
from multiprocessing import connection
from pathlib import Path

import pytest
import torch
from conftest import Oracle, write_toyland
from PIL import Image

from gcbench.core.contracts import Dataset, Evaluator
from gcbench.core.errors import UserError
from gcbench.core.reference import Reference
from gcbench.core.samples import Features
from gcbench.data.open_dataset import open_dataset
from gcbench.evaluation.feature_cache import ReferenceFeatures, cache_directory, key_of
from gcbench.evaluation.scoring import EvaluatorSet, Scoring, measure_real

METRICS = ["semantic-recall", "miou", "fsd", "fd"]


class Counting(Oracle):
    """Counts the images that it sees."""

    def __init__(self, dataset: Dataset):
        super().__init__(dataset)
        self.evaluated = 0

    def __call__(self, images: torch.Tensor) -> Features:
        self.evaluated += len(images)
        return super().__call__(images)


def measured(root: Path, evaluator: Counting) -> object:
    dataset = open_dataset(str(root))
    scoring = Scoring(dataset, METRICS, EvaluatorSet({"segmenter": evaluator}, {}))
    return measure_real(scoring, Reference(dataset, "val", dataset.size), range(7))


def key(root: Path, size: tuple[int, int] = (32, 64), evaluator_id: str = "oracle", resize: str | None = None) -> str:
    dataset = open_dataset(str(root))
    evaluator = Oracle(dataset)
    evaluator.id = evaluator_id
    if resize is not None:
        dataset.resize = resize
    return key_of(Reference(dataset, "val", size), evaluator)


@pytest.fixture
def own_toyland(tmp_path: Path) -> Path:
    """A toyland that a test may alter."""
    return write_toyland(tmp_path / "toyland")


def test_the_second_run_evaluators_nothing_and_says_the_same(own_toyland: Path, own_cache: Path) -> None:
    evaluator = Counting(open_dataset(str(own_toyland)))
    first = measured(own_toyland, evaluator)
    assert evaluator.evaluated == 14
    assert len(list(own_cache.glob("*.safetensors"))) == 1
    assert measured(own_toyland, evaluator) == first
    assert evaluator.evaluated == 14


def test_off_keeps_nothing(own_toyland: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCBENCH_CACHE", "off")
    assert cache_directory() is None
    evaluator = Counting(open_dataset(str(own_toyland)))
    assert measured(own_toyland, evaluator) == measured(own_toyland, evaluator)
    assert evaluator.evaluated == 28


def test_a_changed_image_misses(own_toyland: Path) -> None:
    before = key(own_toyland)
    assert key(own_toyland) == before
    file = own_toyland / "val" / "images" / "val03.png"
    size = file.stat().st_size
    image = Image.open(file).convert("RGB")
    image.putpixel((5, 5), (1, 2, 3))
    image.save(file)
    with open(file, "ab") as stream:  # not even the file's length gives it away
        stream.write(b"\0" * max(0, size - file.stat().st_size))
    assert key(own_toyland) != before


def test_another_list_of_files_misses(own_toyland: Path) -> None:
    before = key(own_toyland)
    for part in ("images", "layouts"):
        (own_toyland / "val" / part / "val13.png").unlink()
    assert key(own_toyland) != before


def test_a_renamed_image_misses(own_toyland: Path) -> None:
    before = key(own_toyland)
    for part in ("images", "layouts"):
        (own_toyland / "val" / part / "val13.png").rename(own_toyland / "val" / part / "val99.png")
    assert key(own_toyland) != before


def test_size_filter_and_weights_miss(own_toyland: Path) -> None:
    keys = {
        key(own_toyland),
        key(own_toyland, size=(16, 32)),
        key(own_toyland, resize="nearest"),
        key(own_toyland, evaluator_id="oracle#other-weights"),
    }
    assert len(keys) == 4


def test_other_weights_of_the_bundled_kind_of_evaluator_miss(toyland: Path, evaluator: str, tmp_path: Path) -> None:
    """The evaluator's id carries the hash of its file: one changed weight is another id."""
    from gcbench.core import checkpoint
    from gcbench.evaluators.segmenter import Segmenter

    dataset = open_dataset(str(toyland))
    spec = evaluator.partition("=")[2]
    loaded = checkpoint.load(Path(spec.partition("@")[2]), kind="evaluator")
    name = next(name for name, tensor in loaded.state.items() if tensor.is_floating_point())
    loaded.state[name].view(-1)[0] += 1
    checkpoint.save(tmp_path / "other.safetensors", loaded.state, loaded.card)
    one = Segmenter.open(dataset, spec=spec)
    other = Segmenter.open(dataset, spec=f"hrnet_w18_small@{tmp_path / 'other.safetensors'}")
    assert key_of(Reference(dataset, "val", (32, 64)), one) != key_of(Reference(dataset, "val", (32, 64)), other)


def test_a_damaged_file_is_evaluated_again(
    own_toyland: Path, own_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluator = Counting(open_dataset(str(own_toyland)))
    first = measured(own_toyland, evaluator)
    (file,) = own_cache.glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:50])
    assert measured(own_toyland, evaluator) == first
    assert evaluator.evaluated == 28
    assert "evaluated again" in capsys.readouterr().err
    assert measured(own_toyland, evaluator) == first
    assert evaluator.evaluated == 28


def test_a_run_that_fails_keeps_nothing(own_toyland: Path, own_cache: Path) -> None:
    dataset = open_dataset(str(own_toyland))
    evaluators: dict[str, Evaluator] = {"segmenter": Oracle(dataset)}
    with pytest.raises(ZeroDivisionError), ReferenceFeatures(Reference(dataset, "val", (32, 64)), evaluators):
        raise ZeroDivisionError
    assert not list(own_cache.glob("*.safetensors"))


class Slow(Oracle):
    def __init__(self, dataset: Dataset, log: Path):
        super().__init__(dataset)
        self.log = log

    def __call__(self, images: torch.Tensor) -> Features:
        with open(self.log, "a") as stream:
            stream.write("evaluated\n")
        return super().__call__(images)


def _other_process(root: str, log: str, cache: str, started: Sequence[object]) -> None:
    import os

    os.environ["GCBENCH_CACHE"] = cache
    dataset = open_dataset(root)
    scoring = Scoring(dataset, METRICS, EvaluatorSet({"segmenter": Slow(dataset, Path(log))}, {}))
    started[0].wait()  # type: ignore[attr-defined]
    measure_real(scoring, Reference(dataset, "val", dataset.size), range(7))


def test_two_processes_at_once_evaluator_once(own_toyland: Path, own_cache: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
    barrier = context.Barrier(2)
    log = tmp_path / "log"
    both = [
        context.Process(target=_other_process, args=(str(own_toyland), str(log), str(own_cache), [barrier]))
        for _ in range(2)
    ]
    try:
        for process in both:
            process.start()
        running = {process.sentinel: process for process in both}
        while running:  # as long as it takes; one that fails ends the wait for the other
            for sentinel in connection.wait(list(running)):
                process = running.pop(sentinel)
                process.join()
                assert process.exitcode == 0
    finally:
        for process in both:
            if process.is_alive():
                process.kill()
                process.join()
    assert log.read_text().count("evaluated") == 1  # 14 images are one batch


def test_a_flipped_bit_is_evaluated_again(own_toyland: Path, own_cache: Path) -> None:
    evaluator = Counting(open_dataset(str(own_toyland)))
    first = measured(own_toyland, evaluator)
    (file,) = own_cache.glob("*.safetensors")
    data = bytearray(file.read_bytes())
    data[-20] ^= 1
    file.write_bytes(data)
    assert measured(own_toyland, evaluator) == first
    assert evaluator.evaluated == 28


@pytest.mark.parametrize("place", ["/dev/null/cache", "/proc/cache"])
def test_a_cache_that_cannot_be_written_is_said_once(
    own_toyland: Path, place: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GCBENCH_CACHE", place)
    evaluator = Counting(open_dataset(str(own_toyland)))
    assert measured(own_toyland, evaluator) == measured(own_toyland, evaluator)
    assert capsys.readouterr().err.count("cannot be written") == 1


def test_a_disk_that_fills_up_loses_no_run(own_toyland: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: Path, tensors: object) -> None:
        raise UserError(f"cannot write {file}: No space left on device")

    evaluator = Counting(open_dataset(str(own_toyland)))
    with monkeypatch.context() as patch:
        patch.setattr("gcbench.evaluation.feature_cache.save_tensors", full)
        first = measured(own_toyland, evaluator)
    assert measured(own_toyland, evaluator) == first


def test_homes_that_are_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A relative XDG_CACHE_HOME is ignored, as its specification says; nothing is put into the working directory."""
    monkeypatch.delenv("GCBENCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_directory() == tmp_path / ".cache/gcbench/features"
    monkeypatch.setenv("HOME", "")
    assert cache_directory() is None
