"""Checkpoints: a safetensors file of weights that also holds its card, and a JSON copy of that card for people.

Weights and card are one file, so that a process killed at any moment leaves the old or the new pair. Of checkpoints of
earlier versions, whose file holds no card, the JSON file is read.
"""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from gcbench.core.errors import UserError
from gcbench.core.files import file_hash, parse_json, read_text, weights_file, write_text
from gcbench.core.metric_state import save_tensors


class Card(BaseModel):
    """What a checkpoint is.

    kind: `model` or `evaluator`. name: its entry point. classes: the classes it was trained for, in order, or
    empty. dataset: what it was trained on. config: all that rebuilds the network and its process, schedules
    included. provenance: command, machine, seconds, steps, package versions. sha256: of the weights, 12 digits: of
    names, types, shapes and values, as `weights_hash` has it; of the whole file where it does not hold the card.
    """

    model_config = ConfigDict(extra="forbid")

    kind: str
    name: str
    classes: tuple[str, ...] = ()
    dataset: str = ""
    config: dict[str, Any] = Field(default_factory=dict)
    provenance: dict[str, Any] = Field(default_factory=dict)
    sha256: str = ""

    @property
    def images_seen(self) -> int | None:
        """Steps x batch size, and what the weights had seen that the training started from; None if unknown."""
        facts = self.provenance
        before = facts.get("init", {}).get("images") if "--init" in facts.get("command", "") or "init" in facts else 0
        steps, batch = facts.get("steps"), facts.get("train", {}).get("batch_size")
        return None if before is None or steps is None or batch is None else before + steps * batch


class Checkpoint(NamedTuple):
    state: dict[str, Tensor]
    card: Card
    path: Path

    def part(self, prefix: str) -> "Checkpoint":
        """The tensors whose names begin with `prefix`, without it."""
        state = {key.removeprefix(prefix): value for key, value in self.state.items() if key.startswith(prefix)}
        return self._replace(state=state)


CARD = "gcbench"
"""The entry of a safetensors file's metadata that holds the card."""


def save(path: Path, state: dict[str, Tensor], card: Card, dtype: torch.dtype = torch.float32) -> None:
    """Write `path` (.safetensors), card included, then the card's copy. Floating tensors are stored as `dtype`.
    UserError: a weight is not finite, or is not as `dtype`; the files are as they were."""
    path = Path(path)
    tensors = {
        key: value.detach().to("cpu", dtype if value.is_floating_point() else None).contiguous()
        for key, value in state.items()
    }
    if bad := not_finite(tensors):
        raise UserError(
            f"the weights {bad} are not finite as {str(dtype).removeprefix('torch.')}; {path} is not written"
        )
    card = card.model_copy(update={"sha256": weights_hash(tensors)})
    save_tensors(path, tensors, {CARD: card.model_dump_json()})
    copy_card(path)


def copy_card(path: Path) -> None:
    """Write the card of the weights at `path` beside them."""
    write_text(path.with_suffix(".json"), read_card(path).model_dump_json(indent=1) + "\n")


def not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """The name of the first tensor that holds NaN or infinity."""
    return next((key for key, value in tensors.items() if value.is_floating_point() and not _finite(value)), None)


def _finite(tensor: Tensor) -> bool:
    return bool(tensor.isfinite().all())


def weights_hash(tensors: Mapping[str, Tensor]) -> str:
    """12 hex digits of SHA-256 over names, types, shapes and little-endian values, in the order of the names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:12]


def load(path: Path, *, kind: str, name: str | None = None, classes: tuple[str, ...] | None = None) -> Checkpoint:
    """Read weights (as float32) and their card; `path` is the .safetensors file or the directory that holds one.
    UserError: missing, truncated or altered files; a checkpoint of another kind, model or set of classes."""
    path = weights_file(Path(path), name)
    card = read_card(path)
    if card.kind != kind or (name is not None and card.name != name):
        expected = name or kind
        raise UserError(f"checkpoint {path} is of the {card.kind} {card.name!r}, not of {expected!r}; choose another")
    if classes is not None and card.classes and card.classes != classes:
        first = next(
            (f"{a!r} where {b!r} is expected" for a, b in zip(card.classes, classes, strict=False) if a != b),
            "another number of them",
        )
        raise UserError(
            f"checkpoint {path} was trained for {len(card.classes)} other classes than the dataset's {len(classes)}"
            f" ({first}); train one for this dataset"
        )
    state = load_file(path)
    held = weights_hash(state) if _embedded(path) else file_hash(path)
    if card.sha256 and held != card.sha256:
        raise UserError(f"checkpoint {path} is not the file that its card describes (SHA-256 differs); copy both again")
    if bad := not_finite(state):
        raise UserError(f"checkpoint {path} holds weights that are not finite ({bad}); train it again, with a lower lr")
    return Checkpoint({key: v.float() if v.is_floating_point() else v for key, v in state.items()}, card, path)


def start_from(tensors: dict[str, Tensor], checkpoint: Checkpoint) -> list[str]:
    """Copy a checkpoint's weights into `tensors`, in place; returns the names that it lacks, which stay as they are.
    UserError: the checkpoint holds what `tensors` lacks, or in another shape, or nothing that is wanted."""
    for name, tensor in checkpoint.state.items():
        if name not in tensors or tensors[name].shape != tensor.shape:
            raise UserError(f"--init {checkpoint.path} has another network than these settings (first at {name})")
    with torch.no_grad():
        for name, tensor in checkpoint.state.items():
            tensors[name].copy_(tensor)
    return [name for name in tensors if name not in checkpoint.state]


def has_card(path: Path) -> bool:
    """Whether the file at `path` is a checkpoint of ours: of safetensors, with a card in it or beside it."""
    if path.suffix != ".safetensors" or not path.is_file():
        return False
    return path.with_suffix(".json").is_file() or _embedded(path) is not None


def read_card(path: Path) -> Card:
    """The card in the weights at `path`; if it holds none, the one beside it."""
    path = Path(path)
    text, place = _embedded(path), f"what {path} holds"
    try:
        if text is None:
            place = str(path.with_suffix(".json"))
            text = read_text(path.with_suffix(".json"))
        return Card.model_validate(parse_json(text))
    except FileNotFoundError:
        raise UserError(f"{place} is missing; a checkpoint is a .safetensors file with its .json beside it") from None
    except (OSError, UserError, ValueError, RecursionError):
        raise UserError(f"{place} is not the card of a checkpoint; copy it again from where the weights came") from None


def _embedded(path: Path) -> str | None:
    """The text of the card in the file, if it is there and has one. UserError: it cannot be read."""
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            return (file.metadata() or {}).get(CARD)
    except (SafetensorError, OSError) as error:
        raise UserError(f"checkpoint {path} cannot be read ({error}); it may be truncated, copy it again") from None


def fill(module: torch.nn.Module, checkpoint: Checkpoint, frozen: Iterable[str] = ()) -> None:
    """Give `module` the weights, strictly: the checkpoint's own tensors, no copies.
    frozen: names of those that others trained; they stay as they are.
    UserError: names, shapes or number of weights differ from the module's."""
    own = module.state_dict()
    try:
        module.load_state_dict({**checkpoint.state, **{name: own[name] for name in frozen}}, assign=True)
    except RuntimeError as error:
        first = str(error).strip().splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise UserError(f"checkpoint {checkpoint.path} does not fit the network of its own config: {first}") from None
