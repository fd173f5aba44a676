"""Other people's weights put into a network: every tensor in its place, or one sentence that says which is not."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gcbench.core.errors import UserError


def load_strictly(network: nn.Module, state: Mapping[str, Any], path: Path, what: str) -> None:
    """Load `state`, read from `path`, into `network`, strictly; numbers are converted to the network's precision.

    what: the network's name, for the error.
    UserError: names or shapes differ from the network's, or a value is not finite.
    """
    fault = _fault(network.state_dict(), state)
    if fault:
        raise UserError(f"{path} does not hold weights of {what}: {fault}; give another file")
    network.load_state_dict(state)


def _fault(expected: Mapping[str, Tensor], state: Mapping[str, Any]) -> str | None:
    for name, tensor in expected.items():
        value = state.get(name)
        if not isinstance(value, Tensor):
            return f"it lacks the tensor {name!r}"
        if value.shape != tensor.shape:
            return f"{name!r} is {_size(value)} where {_size(tensor)} is expected"
        if not torch.isfinite(value).all():
            return f"{name!r} has values that are not finite"
    extra = next((name for name in state if name not in expected), None)
    return None if extra is None else f"it has {extra!r} beside them"


def _size(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a single number"
