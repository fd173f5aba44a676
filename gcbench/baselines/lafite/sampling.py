"""From texts and seeds to images, block by block."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gcbench.baselines.lafite.network import TextToImage
from gcbench.training.fixed_batches import in_blocks
from gcbench.diffusion.noise import SeededNoise


@torch.inference_mode()
def sample_many(
    network: TextToImage, prompts: Sequence[str], seeds: Sequence[int], *, block: int, precision: str = "fp32"
) -> Tensor:
    """Images uint8 [N,3,H,W]. A seed's stream gives z first, then the noise of each convolution in turn."""
    device = network.generator.synthesis.seed.device

    def draw(seeds: list[int], prompts: list[str] | None) -> tuple[Tensor, ...]:
        assert prompts is not None
        noise = SeededNoise(seeds, device)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
            z = noise.normal(network.generator.synthesis.cfg.z_dim)  # [B,z_dim]
            return (network.draw(z, prompts, lambda h, w: noise.normal(1, h, w)).cpu(),)

    return in_blocks(draw, seeds, prompts, block)[0]
