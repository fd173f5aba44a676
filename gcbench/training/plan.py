"""What a training takes, told without training: parameters, memory by part, seconds a step, disk.

The network is built, and its first phase run forward and backward on one batch; of a recipe that is `contentless`, of
tensors without content (`FakeTensorMode`): at paper size too that takes seconds and no memory. Seconds are an estimate:
the work of that pass (floating-point operations) over the speed of a small network of the same kind, really run.
"""

import time
import weakref
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from gcbench.networks.text import frozen_unread
from gcbench.training.recipe import Batch, Recipe

SMALL = 20_000_000
"""Parameters of a network that is timed as it is."""

OPERATIONS = 3
"""A forward and a backward pass take about as many as three forward ones; four where activations are made again."""

Make = Callable[[Mapping[str, Any]], Recipe]
"""A recipe by settings that are laid over the given ones."""


class Plan(NamedTuple):
    """parameters: of what is trained. memory: part -> bytes on the device, where they add up to the most that is taken
    at once; activations are those of one micro-batch. seconds: a step's, or None where it cannot be told. disk: file ->
    bytes."""

    parameters: int
    memory: dict[str, int]
    seconds: float | None
    disk: dict[str, int]


class Peak(TorchDispatchMode):
    """Bytes of the tensors made within that live at once: `live` now, `peak` the most. known: tensors from before."""

    def __init__(self, known: list[Tensor]) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._known = [tensor.untyped_storage() for tensor in known]
        self._sizes = dict.fromkeys((storage._cdata for storage in self._known), 0)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor) and (storage := tensor.untyped_storage())._cdata not in self._sizes:
                self._sizes[storage._cdata] = storage.nbytes()
                self.live += storage.nbytes()
                self.peak = max(self.peak, self.live)
                weakref.finalize(storage, self._drop, storage._cdata)
        return out

    def _drop(self, key: int) -> None:
        self.live -= self._sizes.pop(key, 0)

    def __enter__(self) -> Self:
        super().__enter__()
        return self


def planned_training(make: Make, device: str, *, contentless: bool) -> Plan:
    """The plan of a training of `make({})`, all of whose images go through one process."""
    mode = FakeTensorMode(allow_non_fake_inputs=True) if contentless else nullcontext()
    with mode, frozen_unread():
        recipe = make({})
        trained = [p for p in recipe.parameters() if p.requires_grad]
        weights, size = _bytes(recipe.state_dict().values()), sum(p.numel() for p in trained)
        stored = sum(_stored(recipe, tensor) for tensor in recipe.weights().values())
        gradients = _bytes(trained)
        cfg, shrunk = recipe.train_config, recipe.shrunk()
        work, peak = _pass(recipe, cfg.micro_batch or cfg.batch_size)
    optimizer = 2 * gradients
    memory = {"weights": weights, "gradients": gradients, "optimiser": optimizer, "average": weights}
    memory["activations"] = max(0, peak - gradients)
    state = 2 * weights + optimizer
    disk = {"model.safetensors": stored, "state.pt": state, "state.before.pt": state}
    seconds = None
    if shrunk or size <= SMALL:
        seconds = work * cfg.batch_size / (cfg.micro_batch or cfg.batch_size) / _speed(make, shrunk, device)
    return Plan(size, memory, seconds, disk)


def _pass(recipe: Recipe, images: int) -> tuple[float, int]:
    """Operations and the most bytes at once of the first phase of a step, forward and backward."""
    recipe.train()
    phase = recipe.phases()[0]
    with Peak([*recipe.parameters(), *recipe.buffers()]) as memory:
        with FlopCounterMode(display=False) as counter:
            loss = recipe(_batch(recipe, images), torch.Generator().manual_seed(0), phase.name)["loss"]
        loss.backward()
    again = bool(getattr(getattr(recipe.cfg, "unet", None), "checkpointing", False))
    return counter.get_total_flops() * float(OPERATIONS + again), memory.peak


def _speed(make: Make, shrunk: Mapping[str, Any], device: str) -> float:
    """Operations a second of a small network's training steps: the faster of two, after one that is not counted."""
    with frozen_unread():
        recipe = make(shrunk).to(device).train()
    images = min(2, recipe.train_config.batch_size)
    phase, half = recipe.phases()[0], recipe.train_config.precision
    cast = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(half)
    took, operations = [], 0
    for turn in range(3):
        batch, generator = _batch(recipe, images), torch.Generator().manual_seed(0)
        counter = FlopCounterMode(display=False)
        began = time.perf_counter()
        autocast = torch.autocast(torch.device(device).type, dtype=cast, enabled=cast is not None)
        with autocast, nullcontext() if turn else counter:
            loss = recipe(batch, generator, phase.name)["loss"]
        loss.backward()
        float(loss.detach())
        took.append(time.perf_counter() - began)
        operations = operations or counter.get_total_flops()
    return operations * OPERATIONS / min(took[1:])


def _batch(recipe: Recipe, images: int) -> Batch:
    (h, w), attributes = recipe.size, len(recipe.dataset.attributes)
    return Batch(
        torch.zeros(images, 3, h, w, dtype=torch.uint8),
        torch.zeros(images, h, w, dtype=torch.int64),
        [""] * images,
        torch.zeros(images, attributes, dtype=torch.bool) if attributes else None,
    )


def _bytes(tensors: Any) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _stored(recipe: Recipe, tensor: Tensor) -> int:
    """Bytes of a tensor in the checkpoint."""
    kind = getattr(torch, recipe.train_config.weights_dtype)
    return tensor.numel() * (kind.itemsize if tensor.is_floating_point() else tensor.element_size())
