"""From texts and seeds to images and layouts: guidance and the sampling loop around the network."""

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from gcbench.core.samples import to_bytes
from gcbench.diffusion.completion import Known, complete
from gcbench.diffusion.guidance import guide
from gcbench.diffusion.joint import JointProcess
from gcbench.diffusion.noise import SeededNoise
from gcbench.gcdp.network import TextToPair
from gcbench.gcdp.super_resolution import augmentation, resized, told
from gcbench.networks.unet import LowRes, Text
from gcbench.training.fixed_batches import in_fixed_batches


def guided_head(head: Tensor, guidance: float) -> Tensor:
    """A head's output for conditional and null inputs, one after the other on the batch axis, guided."""
    conditional, null = head.float().chunk(2)
    return guide(conditional, null, guidance)


def both(text: Text, null: Text) -> Text:
    return Text(torch.cat((text.tokens, null.tokens)), torch.cat((text.hidden, null.hidden)))


class Beside(NamedTuple):
    """What samples are drawn from besides texts, one row a seed: images uint8 [B,3,H,W], layouts int64 [B,H,W] or None.

    kind: `low`, the smaller pair that a super-resolution stage enlarges; `given`, what is known and stays.
    """

    kind: Literal["low", "given"]
    images: Tensor | None
    layouts: Tensor | None


@dataclass(frozen=True)
class Sampling:
    """How a network samples. repeats, renoise: as in `complete`; low_noise: as in the config."""

    size: tuple[int, int]
    guidance: float
    steps: int
    precision: str = "fp32"
    repeats: int = 1
    renoise: Literal["exact", "authors"] = "exact"
    low_noise: float = 0.2


@torch.inference_mode()
def sample_batch(
    network: TextToPair,
    process: JointProcess,
    prompts: Sequence[str] | None,
    seeds: Sequence[int],
    how: Sampling,
    beside: Beside | None = None,
    tick: Callable[[], object] = lambda: None,
) -> tuple[Tensor, ...]:
    """One batch of samples: images uint8 [B,3,H,W] and, unless the process has none, layouts int64 [B,H,W].

    The texts are read once; the conditional and the null pass go through the network as one batch. tick: called after
    each sampling step.
    """
    n, device = len(seeds), network.device
    noise = SeededNoise(seeds, device)
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=how.precision == "bf16"):
        text = null = network.read(None, torch.zeros(n, dtype=torch.bool, device=device))
        guided = False
        if null is not None and prompts is not None:
            text = network.read(prompts, torch.ones(n, dtype=torch.bool, device=device))
            guided = how.guidance != 1
            text = both(text, null) if guided and text is not None else text
        low = None
        if beside is not None and beside.kind == "low":
            low = enlarged(beside, how, noise, process.cfg.classes, device)
            if guided:
                low = low._replace(log_snr=twice(low.log_snr))

        def predict(x: Tensor, y: Tensor | None, log_snr: Tensor) -> tuple[Tensor, Tensor | None]:
            if not guided:
                return network.unet(x, y, log_snr, text, low)
            out, logits = network.unet(x, y, twice(log_snr), text, low)
            return guided_head(out, how.guidance), None if logits is None else guided_head(logits, how.guidance)

        if beside is not None and beside.kind == "given":
            known = Known(None if beside.images is None else unit(beside.images.to(device)), on(beside.layouts, device))
            again: dict[str, Any] = {"repeats": how.repeats, "renoise": how.renoise}
            states = complete(process, predict, noise, known, how.size, how.steps, **again, device=device)
        else:
            states = process.sample(predict, noise, how.size, how.steps, device)
        ((state, _),) = deque(((state, tick()) for state in states), maxlen=1)
    images = to_bytes(state.image).cpu()
    return (images,) if state.layout is None else (images, state.layout.cpu())


def enlarged(beside: Beside, how: Sampling, noise: SeededNoise, classes: int | None, device: torch.device) -> LowRes:
    """What a super-resolution stage is told of the smaller pair; each sample's noise is from its own generator."""
    if beside.images is None:
        raise ValueError("a super-resolution stage enlarges images")
    image, layout = resized(unit(beside.images.to(device)), on(beside.layouts, device), how.size)
    uniform = None if layout is None or classes is None else noise.uniform(*how.size)
    return told(image, layout, how.low_noise, noise.normal(3, *how.size), uniform, augmentation(classes))


def unit(images: Tensor) -> Tensor:
    """uint8 images in [-1,1]."""
    return images.float() / 127.5 - 1


def on(tensor: Tensor | None, device: torch.device) -> Tensor | None:
    return None if tensor is None else tensor.to(device)


def twice(levels: Tensor) -> Tensor:
    """A level for the conditional and one for the null pass."""
    return torch.cat((levels, levels))


def sample_many(
    network: TextToPair,
    process: JointProcess,
    prompts: Sequence[str] | None,
    seeds: Sequence[int],
    how: Sampling,
    *,
    batch_size: int,
    beside: Beside | None = None,
    progress: Callable[[float], object] = lambda share: None,
) -> tuple[Tensor, Tensor | None]:
    """Any number of samples, batch by batch: images uint8 [N,3,H,W], layouts int64 [N,H,W] or None.

    progress: told after each sampling step which share of them all is done.
    """
    rounds = how.steps if beside is None or beside.kind == "low" else (how.steps - 1) * how.repeats + 1
    total, done = rounds * math.ceil(len(seeds) / batch_size), 0

    def tick() -> None:
        nonlocal done
        done += 1
        progress(min(1.0, done / total))

    parts = [] if beside is None else [part for part in (beside.images, beside.layouts) if part is not None]

    def draw(seeds: list[int], prompts: list[str] | None, *rows: Tensor) -> tuple[Tensor, ...]:
        of_batch = beside
        if beside is not None:
            images, layouts = beside.images is not None, beside.layouts is not None
            of_batch = Beside(beside.kind, rows[0] if images else None, rows[-1] if layouts else None)
        return sample_batch(network, process, prompts, seeds, how, of_batch, tick)

    drawn = in_fixed_batches(draw, seeds, prompts, batch_size, beside=parts)
    return drawn[0], drawn[1] if len(drawn) > 1 else None
