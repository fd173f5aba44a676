"""Metrics' states in one safetensors file: tensors as they are, the rest as JSON. Nothing is pickled.

The JSON is a tensor of bytes beside the others, because ids may be many and the header of a safetensors
file is bounded.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from gcbench.core.contracts import State
from gcbench.core.errors import UserError
from gcbench.core.files import write_atomic

PLAIN = "plain"
"""The tensor that holds the JSON; no metric's name, for these are followed by a slash."""


def split_states(states: Mapping[str, State]) -> tuple[dict[str, Tensor], dict[str, dict[str, Any]]]:
    """metric -> state as tensors by `metric/key`, and what is left: metric -> key -> plain data."""
    tensors = {
        f"{name}/{key}": value.detach().cpu().contiguous()
        for name, state in states.items()
        for key, value in state.items()
        if isinstance(value, Tensor)
    }
    plain = {
        name: {key: value for key, value in state.items() if not isinstance(value, Tensor)}
        for name, state in states.items()
    }
    return tensors, plain


def join_states(tensors: Mapping[str, Tensor], plain: Mapping[str, Mapping[str, Any]]) -> dict[str, State]:
    """What `split_states` took apart."""
    states: dict[str, State] = {name: dict(parts) for name, parts in plain.items()}
    for place, tensor in tensors.items():
        name, _, key = place.rpartition("/")
        states[name][key] = tensor
    return states


def save_states(path: Path, states: Mapping[str, State]) -> None:
    """Write metric -> state to `path`, atomically."""
    tensors, plain = split_states(states)
    text = json.dumps(plain, ensure_ascii=False, allow_nan=False).encode()
    tensors[PLAIN] = torch.frombuffer(bytearray(text), dtype=torch.uint8)

    def write(temporary: Path) -> None:
        try:
            save_file(tensors, temporary)
        except SafetensorError as error:  # a full disk, among others
            raise OSError(str(error)) from error

    write_atomic(path, write)


def load_states(path: Path) -> dict[str, State]:
    """Read what `save_states` wrote.

    Raises:
        UserError: the file is not there, cut short, or another's.
    """
    try:
        tensors = load_file(path)
        return join_states(tensors, json.loads(tensors.pop(PLAIN).numpy().tobytes()))
    except (OSError, SafetensorError, KeyError, ValueError, AttributeError) as error:
        raise UserError(f"{path} holds no states of metrics ({error}); measure these samples again") from None
