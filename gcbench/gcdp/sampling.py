"""From texts and seeds to images and layouts: guidance and the sampling loop around the network."""

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from gcbench.core.samples import to_bytes
from gcbench.diffusion.guidance import guide
from gcbench.diffusion.joint import JointProcess
from gcbench.diffusion.noise import SeededNoise
from gcbench.gcdp.network import TextToPair
from gcbench.networks.unet import Text
from gcbench.training.fixed_batches import in_fixed_batches


def guided_head(head: Tensor, guidance: float) -> Tensor:
    """A head's output for conditional and null inputs, one after the other on the batch axis, guided."""
    conditional, null = head.float().chunk(2)
    return guide(conditional, null, guidance)


def both(text: Text, null: Text) -> Text:
    return Text(torch.cat((text.tokens, null.tokens)), torch.cat((text.hidden, null.hidden)))


@torch.inference_mode()
def sample_batch(
    network: TextToPair,
    process: JointProcess,
    prompts: Sequence[str] | None,
    seeds: Sequence[int],
    *,
    size: tuple[int, int],
    guidance: float,
    steps: int,
    precision: str = "fp32",
    tick: Callable[[], object] = lambda: None,
) -> tuple[Tensor, ...]:
    """One batch of samples: images uint8 [B,3,H,W] and, unless the process has none, layouts int64 [B,H,W].

    The texts are read once; the conditional and the null pass go through the network as one batch. tick: called after
    each sampling step.
    """
    n, device = len(seeds), network.device
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
        text = null = network.read(None, torch.zeros(n, dtype=torch.bool, device=device))
        guided = False
        if null is not None and prompts is not None:
            text = network.read(prompts, torch.ones(n, dtype=torch.bool, device=device))
            guided = guidance != 1
            text = both(text, null) if guided and text is not None else text

        def predict(x: Tensor, y: Tensor | None, log_snr: Tensor) -> tuple[Tensor, Tensor | None]:
            if not guided:
                return network.unet(x, y, log_snr, text)
            y2 = None if y is None else torch.cat((y, y))
            noise, logits = network.unet(torch.cat((x, x)), y2, torch.cat((log_snr, log_snr)), text)
            return guided_head(noise, guidance), None if logits is None else guided_head(logits, guidance)

        states = process.sample(predict, SeededNoise(seeds, device), size, steps, device)
        ((state, _),) = deque(((state, tick()) for state in states), maxlen=1)
    images = to_bytes(state.image).cpu()
    return (images,) if state.layout is None else (images, state.layout.cpu())


def sample_many(
    network: TextToPair,
    process: JointProcess,
    prompts: Sequence[str] | None,
    seeds: Sequence[int],
    *,
    batch_size: int,
    steps: int,
    progress: Callable[[float], object] = lambda share: None,
    **settings: Any,
) -> tuple[Tensor, Tensor | None]:
    """Any number of samples, batch by batch: images uint8 [N,3,H,W], layouts int64 [N,H,W] or None.

    progress: told after each sampling step which share of them all is done.
    """
    total, done = steps * math.ceil(len(seeds) / batch_size), 0

    def tick() -> None:
        nonlocal done
        done += 1
        progress(done / total)

    def draw(seeds: list[int], prompts: list[str] | None) -> tuple[Tensor, ...]:
        return sample_batch(network, process, prompts, seeds, steps=steps, tick=tick, **settings)

    drawn = in_fixed_batches(draw, seeds, prompts, batch_size)
    return drawn[0], drawn[1] if len(drawn) > 1 else None
