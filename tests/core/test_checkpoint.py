"""Checkpoints: what goes in comes out; what does not fit is refused in one sentence."""

import hashlib
import os
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from gcbench.core import checkpoint
from gcbench.core.checkpoint import Card
from gcbench.core.errors import UserError
from gcbench.core.files import file_hash
from gcbench.weights.find_weights import BUNDLED

STATE = {"weight": torch.linspace(-1, 1, 6).view(2, 3), "count": torch.tensor(7)}
CARD = Card(kind="model", name="toy", classes=("a", "b"), dataset="toys", config={"width": 3})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    checkpoint.save(tmp_path / "toy.safetensors", STATE, CARD)
    return tmp_path / "toy.safetensors"


def by_hand(state: dict[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(state):
        array = state[name].numpy()
        kind = {"float32": "torch.float32", "int64": "torch.int64"}[str(array.dtype)]
        digest.update(
            f"{name} {kind} {list(array.shape)}\n".encode() + array.astype(array.dtype.newbyteorder("<")).tobytes()
        )
    return digest.hexdigest()[:12]


def test_round_trip(path: Path) -> None:
    found = checkpoint.load(path, kind="model", name="toy", classes=("a", "b"))
    assert found.state.keys() == STATE.keys()
    assert all(torch.equal(found.state[key], STATE[key]) for key in STATE)
    assert found.card == CARD.model_copy(update={"sha256": by_hand(STATE)})
    assert found.path == path


def test_the_copy_of_the_card_is_for_people(path: Path, tmp_path: Path) -> None:
    """Whatever it says, or gone: the card in the file holds. The same weights have the same hash under any card."""
    written = Card.model_validate_json(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text("not json")
    assert checkpoint.load(path, kind="model").card == written
    path.with_suffix(".json").unlink()
    assert checkpoint.load(tmp_path, kind="model").card == checkpoint.read_card(path) == written
    assert checkpoint.has_card(path)
    checkpoint.save(path, STATE, CARD.model_copy(update={"provenance": {"seconds": 7}}))
    assert checkpoint.read_card(path).sha256 == written.sha256


def old_pair(path: Path) -> None:
    """As earlier versions wrote it: no card in the file, the hash of the whole file in the card beside it."""
    save_file(STATE, path)
    path.with_suffix(".json").write_text(CARD.model_copy(update={"sha256": file_hash(path)}).model_dump_json())


def test_pairs_of_earlier_versions_load(tmp_path: Path) -> None:
    old_pair(path := tmp_path / "old.safetensors")
    found = checkpoint.load(path, kind="model")
    assert all(torch.equal(found.state[key], STATE[key]) for key in STATE)
    assert found.card.sha256 == file_hash(path)


def test_bundled_weights_load() -> None:
    bundled = sorted(BUNDLED.rglob("*.safetensors"))
    assert len(bundled) == 6
    for path in bundled:
        held = checkpoint.load(path, kind=checkpoint.read_card(path).kind)
        with safe_open(path, "pt") as file:
            holds_card = checkpoint.CARD in (file.metadata() or {})  # pairs of an earlier version do not
        assert held.card.sha256 == (checkpoint.weights_hash(load_file(path)) if holds_card else file_hash(path))


KILLED = """
import os, sys
from pathlib import Path
import torch
from gcbench.core import checkpoint
calls = 0
def dying(function):
    def call(*args, **settings):
        global calls
        calls += 1
        if calls == int(sys.argv[2]):
            os._exit(9)
        out = function(*args, **settings)
        if calls == -int(sys.argv[2]):
            os._exit(9)
        return out
    return call
for name in ("open", "replace", "truncate", "close"):
    setattr(os, name, dying(getattr(os, name)))
from gcbench.core import metric_state
metric_state.save_file, Path.write_text = dying(metric_state.save_file), dying(Path.write_text)
checkpoint.save(Path(sys.argv[1]), {"new": torch.ones(2)}, checkpoint.Card(kind="model", name="new"))
"""


@pytest.mark.parametrize("old", ["none", "embedded", "pair"])
def test_a_kill_at_any_call_leaves_the_old_or_the_new_weights_with_their_card(tmp_path: Path, old: str) -> None:
    path = tmp_path / "toy.safetensors"
    outcomes = []
    for moment in (sign * place for place in range(1, 30) for sign in (1, -1)):
        for file in tmp_path.iterdir():
            file.unlink()
        if old == "embedded":
            checkpoint.save(path, STATE, CARD)
        elif old == "pair":
            old_pair(path)
        pid = os.fork()
        if pid == 0:
            sys.argv = ["", str(path), str(moment)]
            exec(KILLED, {})
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if path.exists() or old != "none":
            found = checkpoint.load(tmp_path, kind="model")
            assert set(found.state) == ({"new"} if found.card.name == "new" else set(STATE))
            outcomes.append(found.card.name)
        if code == 0:
            break
    assert code == 0, "it was never whole"
    assert len(outcomes) > 8
    assert set(outcomes) == ({"new"} if old == "none" else {"toy", "new"})
    checkpoint.save(path, STATE, CARD)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["toy.json", "toy.safetensors"]


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf, 1e6])
def test_weights_that_are_not_finite_are_neither_stored_nor_loaded(path: Path, bad: float) -> None:
    """1e6 is no half-precision number: as half it would be infinite."""
    before = path.read_bytes(), path.with_suffix(".json").read_bytes()
    weights = {"good": torch.zeros(3), "bad": torch.tensor([0, bad])}
    with pytest.raises(UserError, match=r"weights bad are not finite as float16"):
        checkpoint.save(path, weights, CARD, torch.float16)
    assert (path.read_bytes(), path.with_suffix(".json").read_bytes()) == before
    save_file({key: value.half() for key, value in weights.items()}, path)
    path.with_suffix(".json").write_text(CARD.model_copy(update={"sha256": file_hash(path)}).model_dump_json())
    refused(path, r"not finite \(bad\)")


def test_stored_in_half_read_in_single(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "toy.safetensors", STATE, CARD, torch.float16)
    found = checkpoint.load(tmp_path, kind="model").state
    assert found["weight"].dtype == torch.float32
    assert found["count"].dtype == torch.int64
    torch.testing.assert_close(found["weight"], STATE["weight"], atol=1e-3, rtol=0)


def test_views_and_gradients_can_be_saved(tmp_path: Path) -> None:
    whole = torch.randn(4, 4, requires_grad=True)
    checkpoint.save(tmp_path / "toy.safetensors", {"t": whole.T, "part": whole[1]}, CARD)
    found = checkpoint.load(tmp_path, kind="model").state
    assert torch.equal(found["t"], whole.detach().T)


def refused(path: Path, match: str, **wanted: object) -> None:
    with pytest.raises(UserError, match=match) as caught:
        checkpoint.load(path, **{"kind": "model", **wanted})  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_what_is_refused(path: Path, tmp_path: Path) -> None:
    refused(tmp_path / "gone.safetensors", "does not exist")
    (tmp_path / "toy.pt").write_bytes(b"pickle")
    refused(tmp_path / "toy.pt", r"not a \.safetensors file")
    refused(path, "model 'toy', not of 'evaluator'", kind="evaluator")
    refused(path, "'toy', not of 'other'", name="other")
    refused(path, "'b' where 'c' is expected", classes=("a", "c"))
    refused(path, "another number of them", classes=("a", "b", "c"))
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "holds 0")
    (tmp_path / ".toy.safetensors").write_bytes(b"")  # what macOS adds, and is hidden, does not count
    (tmp_path / "._toy.safetensors").write_bytes(b"")
    assert checkpoint.load(tmp_path, kind="model").path == path
    checkpoint.save(tmp_path / "two.safetensors", STATE, CARD)
    refused(tmp_path, "holds 2")


def test_classes_are_not_asked_where_a_checkpoint_has_none(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "toy.safetensors", STATE, CARD.model_copy(update={"classes": ()}))
    assert checkpoint.load(tmp_path, kind="model", classes=("x",)).card.classes == ()


def test_damaged_files(path: Path) -> None:
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        refused(path, "truncated")
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    refused(path, "SHA-256")


def test_damaged_pairs_of_earlier_versions(tmp_path: Path) -> None:
    old_pair(path := tmp_path / "toy.safetensors")
    save_file({"weight": torch.zeros(1)}, path)
    refused(path, "SHA-256")
    path.with_suffix(".json").write_text("not json")
    refused(path, "not the card")
    path.with_suffix(".json").unlink()
    refused(path, r"toy\.json is missing")
    assert not checkpoint.has_card(path)


def test_fill_is_strict(path: Path) -> None:
    found = checkpoint.load(path, kind="model")
    module = torch.nn.Module()
    module.weight = torch.nn.Parameter(torch.zeros(2, 3))
    module.register_buffer("count", torch.tensor(0))
    checkpoint.fill(module, found)
    assert torch.equal(module.weight, STATE["weight"])
    module.weight = torch.nn.Parameter(torch.zeros(3, 3))
    with pytest.raises(UserError, match=r"weight.*\[2, 3\]"):
        checkpoint.fill(module, found)
    with pytest.raises(UserError, match="does not fit") as caught:
        checkpoint.fill(torch.nn.Linear(3, 2), found)
    assert "\n" not in str(caught.value)


def test_a_training_starts_from_what_a_checkpoint_has(path: Path) -> None:
    found = checkpoint.load(path, kind="model")
    wider = {"weight": torch.zeros(2, 3), "count": torch.tensor(0), "new": torch.ones(4)}
    assert checkpoint.start_from(wider, found) == ["new"]
    assert torch.equal(wider["weight"], STATE["weight"])
    assert torch.equal(wider["new"], torch.ones(4))
    with pytest.raises(UserError, match=r"another network.*count"):
        checkpoint.start_from({"weight": torch.zeros(2, 3)}, found)
    with pytest.raises(UserError, match=r"another network.*weight"):
        checkpoint.start_from({"weight": torch.zeros(3, 3), "count": torch.tensor(0)}, found)
