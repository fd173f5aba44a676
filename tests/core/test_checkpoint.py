"""Checkpoints: what goes in comes out; what does not fit is refused in one sentence."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from gcbench.core import checkpoint
from gcbench.core.checkpoint import Card
from gcbench.core.errors import UserError
from gcbench.core.files import file_hash

STATE = {"weight": torch.linspace(-1, 1, 6).view(2, 3), "count": torch.tensor(7)}
CARD = Card(kind="model", name="toy", classes=("a", "b"), dataset="toys", config={"width": 3})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    checkpoint.save(tmp_path / "toy.safetensors", STATE, CARD)
    return tmp_path / "toy.safetensors"


def test_round_trip(path: Path) -> None:
    found = checkpoint.load(path, kind="model", name="toy", classes=("a", "b"))
    assert found.state.keys() == STATE.keys()
    assert all(torch.equal(found.state[key], STATE[key]) for key in STATE)
    assert found.card == CARD.model_copy(update={"sha256": file_hash(path)})
    assert found.path == path


def test_stored_in_half_read_in_single(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "toy.safetensors", STATE, CARD, torch.float16)
    found = checkpoint.load(tmp_path, kind="model").state
    assert found["weight"].dtype == torch.float32
    assert found["count"].dtype == torch.int64
    torch.testing.assert_close(found["weight"], STATE["weight"], atol=1e-3, rtol=0)
    assert (tmp_path / "toy.safetensors").stat().st_mode & 0o777 == 0o644


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
    checkpoint.save(tmp_path / "two.safetensors", STATE, CARD)
    refused(tmp_path, "holds 2")


def test_classes_are_not_asked_where_a_checkpoint_has_none(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "toy.safetensors", STATE, CARD.model_copy(update={"classes": ()}))
    assert checkpoint.load(tmp_path, kind="model", classes=("x",)).card.classes == ()


def test_damaged_files(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-3])
    refused(path, "truncated")
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    refused(path, "SHA-256")
    save_file({"weight": torch.zeros(1)}, path)
    refused(path, "SHA-256")
    path.with_suffix(".json").write_text("not json")
    refused(path, "not the card")
    path.with_suffix(".json").unlink()
    refused(path, r"toy\.json is missing")


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
