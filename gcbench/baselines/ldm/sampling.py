"""From texts and seeds to images, and from images to their reconstructions, a batch at a time."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gcbench.baselines.ldm.autoencoder import Autoencoder
from gcbench.baselines.ldm.network import Context, LatentDiffusion
from gcbench.baselines.ldm.process import LatentProcess
from gcbench.core.contracts import Size
from gcbench.core.samples import to_bytes
from gcbench.diffusion.guidance import guide
from gcbench.diffusion.noise import SeededNoise


def to_float(images: Tensor) -> Tensor:
    """uint8 -> float in [-1,1]."""
    return images.float() / 127.5 - 1


@torch.inference_mode()
def sample_batch(
    network: LatentDiffusion,
    process: LatentProcess,
    seeds: Sequence[int],
    prompts: Sequence[str] | None,
    *,
    size: Size,
    guidance: float,
    steps: int,
    precision: str = "fp32",
) -> tuple[Tensor]:
    """One batch of images uint8 [B,3,H,W]; the conditional and the null pass go through the U-Net as one batch."""
    n, device = len(seeds), network.device
    noise = SeededNoise(seeds, device).normal(*network.latent_shape(size))
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
        text = network.read(prompts, torch.full((n,), prompts is not None, device=device))
        guided = prompts is not None and guidance != 1
        if guided:
            null = network.read(None, torch.zeros(n, dtype=torch.bool, device=device))
            text = Context(torch.cat((text.tokens, null.tokens)), torch.cat((text.mask, null.mask)))

        def predict(z: Tensor, t: Tensor) -> Tensor:
            if not guided:
                return network.predict(z, t, text)
            conditional, null = network.predict(torch.cat((z, z)), torch.cat((t, t)), text).chunk(2)
            return guide(conditional, null, guidance)

        images = network.decode(process.sample(predict, noise, steps))
    return (to_bytes(images).cpu(),)


@torch.inference_mode()
def reconstruct(vae: Autoencoder, images: Tensor, precision: str = "fp32") -> Tensor:
    """uint8 [B,3,H,W] -> uint8: encoded to the posterior's mode, and decoded."""
    device = next(vae.parameters()).device
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
        return to_bytes(vae.decode(vae.encode(to_float(images.to(device))).mean))
