"""What a frozen encoder says of texts is kept: to the bit, between runs, and not where it cannot be."""

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import tiny_t5
from torch import nn

from gcbench.networks import text_cache
from gcbench.networks.text import T5Encoder, TextConfig

TEXTS = ["a car and a bus", "road", "a car"]


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_t5(tmp_path_factory.mktemp("t5"))


class Counted(T5Encoder):
    """Counts the texts that go through the network."""

    def __init__(self, folder: Path, **settings: Any):
        super().__init__(TextConfig.model_validate({"kind": "t5", "name": str(folder), **settings}))
        self.seen: list[int] = []
        self.encoder.register_forward_pre_hook(
            lambda module, args, kwargs: self.seen.append(len(kwargs["input_ids"])), with_kwargs=True
        )


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GCBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def same(a: Any, b: Any) -> bool:
    return torch.equal(a.embeddings, b.embeddings) and torch.equal(a.mask, b.mask)


def test_cached_is_uncached_to_the_bit(t5: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Counted(t5)
    fresh = first(TEXTS)
    assert first.seen == [1, 1, 1]
    assert same(first(TEXTS), fresh)
    assert first.seen == [1, 1, 1]
    again = Counted(t5)  # as a run that goes on
    assert same(again(TEXTS), fresh)
    assert again.seen == []
    monkeypatch.setenv("GCBENCH_CACHE", "off")
    off = Counted(t5)
    assert same(off(TEXTS), fresh)
    assert same(off(TEXTS), fresh)
    assert off.seen == [1] * 6


def test_a_text_is_encoded_the_same_whatever_stands_beside_it(t5: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCBENCH_CACHE", "off")
    net = Counted(t5)
    together, alone = net(TEXTS), net(TEXTS[1:2])
    assert torch.equal(together.embeddings[1, :2], alone.embeddings[0])
    assert together.mask[1].tolist() == [True, True, *[False] * (together.mask.shape[1] - 2)]


def test_other_weights_or_lengths_find_nothing(t5: Path, cache: Path) -> None:
    Counted(t5)(TEXTS)
    shorter = Counted(t5, max_length=3)
    assert shorter(TEXTS).embeddings.shape[1] == 3
    other = Counted(t5)
    with torch.no_grad():
        next(iter(other.encoder.parameters())).add_(1)
    other(TEXTS)
    assert shorter.seen == other.seen == [1, 1, 1]


@pytest.mark.parametrize("damage", [b"", b"abc", b"\0\0\0\0" + b"\1" * 64])
def test_a_damaged_file_is_made_again(t5: Path, cache: Path, damage: bytes) -> None:
    fresh = Counted(t5)(TEXTS)
    files = [path for path in cache.rglob("*") if path.is_file()]
    assert len(files) == 3
    for path in files:
        path.write_bytes(damage)
    again = Counted(t5)
    assert same(again(TEXTS), fresh)
    assert again.seen == [1, 1, 1]
    assert same(Counted(t5)(TEXTS), fresh)


def test_a_place_that_cannot_be_written_is_said_once(
    t5: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GCBENCH_CACHE", str(tmp_path / "file"))
    net = Counted(t5)
    assert same(net(TEXTS), net(TEXTS))
    assert net.seen == [1] * 6
    assert capsys.readouterr().err.count("cannot be written") == 1


def test_no_more_is_kept_than_there_is_room(t5: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of texts of 6, 2 and 3 tokens of 16 numbers, the first fits into 400 bytes."""
    monkeypatch.setattr(text_cache, "MOST", 400)
    net = Counted(t5)
    fresh = net(TEXTS)
    assert len([path for path in cache.rglob("*") if path.is_file()]) == 1
    assert same(Counted(t5)(TEXTS), fresh)


def test_the_encoder_is_no_part_of_what_is_trained(t5: Path) -> None:
    """Neither of state dict, average nor parameters; but it moves and changes type with the rest."""
    whole = nn.ModuleDict({"text": Counted(t5), "own": nn.Linear(1, 1)})
    assert list(whole.state_dict()) == ["own.weight", "own.bias"]
    assert len(list(whole.parameters())) == 2
    whole.double()
    assert whole["text"].encoder.dtype == torch.float64  # type: ignore[union-attr]
