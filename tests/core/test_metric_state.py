"""States of metrics in a file: every bit comes back, and a file that is none is named."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gcbench.core.errors import UserError
from gcbench.core.metric_state import load_states, save_states

STATES = {
    "a": {
        "ids": ["x", "ÿ/\n"],
        "rows": torch.tensor([[0.1, -0.0], [float("nan"), 1e-300]], dtype=torch.float64),
        "flags": torch.tensor([True, False]),
        "nested": {"k": [1, 0.1, None, "t"]},
    },
    "plug/in.py:B": {"rows": torch.zeros(0, 3, dtype=torch.int32), "n": 3},
    "plain": {},
}


def test_every_bit_comes_back(tmp_path: Path) -> None:
    save_states(tmp_path / "s.safetensors", STATES)
    back = load_states(tmp_path / "s.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["s.safetensors"]
    assert back.keys() == STATES.keys()
    for name, state in STATES.items():
        assert back[name].keys() == state.keys()
        for key, value in state.items():
            if isinstance(value, torch.Tensor):
                assert (back[name][key].dtype, back[name][key].shape) == (value.dtype, value.shape)
                assert back[name][key].numpy().tobytes() == value.numpy().tobytes()
            else:
                assert back[name][key] == value


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    with pytest.raises(UserError, match="holds no states of metrics"):
        load_states(path)
    save_states(path, STATES)
    whole = path.read_bytes()
    for content in (b"", whole[: len(whole) // 2], whole[:-1], b"\x80\x04K\x01."):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"s\.safetensors holds no states of metrics"):
            load_states(path)


def test_what_is_not_plain_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        save_states(tmp_path / "s.safetensors", {"a": {"x": object()}})
    assert list(tmp_path.iterdir()) == []


@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_no_flipped_bit_goes_unseen(tmp_path_factory: pytest.TempPathFactory, where: float, bit: int) -> None:
    """Anywhere in the file, its header included."""
    path = tmp_path_factory.mktemp("state") / "s.safetensors"
    save_states(path, {"a": {"rows": torch.arange(50.0), "ids": ["x", "y"]}})
    content = bytearray(path.read_bytes())
    content[int(where * len(content))] ^= 1 << bit
    path.write_bytes(content)
    with pytest.raises(UserError, match="holds no states of metrics"):
        load_states(path)
