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


def save_states(path: Path, states: Mapping[str, State]) -> None:
    """Write metric -> state to `path`, atomically."""
    tensors: dict[str, Tensor] = {}
    plain: dict[str, dict[str, Any]] = {name: {} for name in states}
    for name, state in states.items():
        for key, value in state.items():
            if isinstance(value, Tensor):
                tensors[f"{name}/{key}"] = value.detach().cpu().contiguous()
            else:
                plain[name][key] = value
    text = json.dumps(plain, ensure_ascii=False, allow_nan=False).encode()
    tensors[PLAIN] = torch.frombuffer(bytearray(text), dtype=torch.uint8)
    save_tensors(path, tensors)


def save_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file atomically."""

    def write(temporary: Path) -> None:
        try:
            save_file(tensors, temporary, metadata)
        except SafetensorError as error:  # a full disk, among others
            raise OSError(str(error)) from error

    write_atomic(path, write)


def load_states(path: Path) -> dict[str, State]:
    """Read what `save_states` wrote. UserError: the file is not there, cut short, or another's."""
    try:
        tensors = load_file(path)
        states: dict[str, State] = json.loads(tensors.pop(PLAIN).numpy().tobytes())
        for place, tensor in tensors.items():
            name, _, key = place.rpartition("/")
            states[name][key] = tensor
    except (OSError, SafetensorError, KeyError, ValueError, AttributeError) as error:
        raise UserError(f"{path} holds no states of metrics ({error}); measure these samples again") from None
    return states
