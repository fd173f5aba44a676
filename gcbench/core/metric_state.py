"""Metrics' states in one safetensors file: tensors as they are, the rest as JSON. Nothing is pickled.

The JSON is a tensor of bytes beside the others, because ids may be many and the header of a safetensors
file is bounded. A checksum is another: a flipped bit would change numbers unseen.
"""

import json
import zlib
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
CHECKSUM = "checksum"
"""The tensor that holds the CRC-32 of all others: of their names, types, shapes and values."""


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
    save_tensors(path, with_checksum(tensors))


def save_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file atomically."""

    def write(temporary: Path) -> None:
        try:
            save_file(tensors, temporary, metadata)
        except SafetensorError as error:  # a full disk, among others
            raise OSError(str(error)) from error

    write_atomic(path, write)


def with_checksum(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors and their checksum."""
    return {**tensors, CHECKSUM: torch.tensor(_checksum(tensors))}


def load_checked(path: Path) -> dict[str, Tensor]:
    """The tensors of a file that was written `with_checksum`.
    OSError, SafetensorError, ValueError: it is not there, cut short, another's or damaged."""
    tensors = load_file(path)
    held = tensors.pop(CHECKSUM, None)
    if held is None or held.tolist() != _checksum(tensors):
        raise ValueError("its checksum is another")
    return tensors


def _checksum(tensors: Mapping[str, Tensor]) -> int:
    total = 0
    for name, tensor in sorted(tensors.items()):
        total = zlib.crc32(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode(), total)
        total = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().data, total)
    return total


def load_states(path: Path) -> dict[str, State]:
    """Read what `save_states` wrote. UserError: the file is not there, damaged, or another's."""
    try:
        tensors = load_checked(path)
        states: dict[str, State] = json.loads(tensors.pop(PLAIN).numpy().tobytes())
        for place, tensor in tensors.items():
            name, _, key = place.rpartition("/")
            states[name][key] = tensor
    except (OSError, SafetensorError, KeyError, ValueError, AttributeError) as error:
        raise UserError(f"{path} holds no states of metrics ({error}); measure these samples again") from None
    return states
