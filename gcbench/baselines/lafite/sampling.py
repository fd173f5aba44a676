"""From texts and seeds to images, batch by batch."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gcbench.baselines.lafite.network import TextToImage
from gcbench.diffusion.noise import SeededNoise
from gcbench.training.fixed_batches import in_fixed_batches


@torch.inference_mode()
def sample_many(
    network: TextToImage, prompts: Sequence[str], seeds: Sequence[int], *, batch_size: int, precision: str = "fp32"
) -> Tensor:
    """Images uint8 [N,3,H,W]. A seed's stream gives z first, then the noise of each convolution in turn."""
    device = network.generator.synthesis.seed.device

    def draw(seeds: list[int], prompts: list[str] | None) -> tuple[Tensor, ...]:
        noise = SeededNoise(seeds, device)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
            z = noise.normal(network.generator.synthesis.cfg.z_dim)  # [B,z_dim]
            return (network.draw(z, prompts or [], lambda h, w: noise.normal(1, h, w)).cpu(),)

    return in_fixed_batches(draw, seeds, prompts, batch_size)[0]
