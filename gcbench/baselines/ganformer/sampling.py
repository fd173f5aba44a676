"""From seeds to images."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gcbench.baselines.ganformer.network import Generator
from gcbench.diffusion.noise import SeededNoise
from gcbench.training.fixed_batches import in_fixed_batches


@torch.inference_mode()
def sample_many(generator: Generator, seeds: Sequence[int], *, psi: float = 1.0, precision: str = "fp32") -> Tensor:
    """Images uint8 [N,3,H,W]. A seed's stream gives its latents first, then the noise of each convolution in turn.

    psi: w ← mean + psi (w - mean) (truncation, Karras et al. 2019); 1 leaves the styles as they are.
    """
    cfg, device = generator.cfg, generator.synthesis.seed.device
    mean = generator.average() if psi != 1 else None

    def draw(seeds: list[int], _: list[str] | None) -> tuple[Tensor, ...]:
        noise = SeededNoise(seeds, device)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
            w = generator.map(noise.normal(cfg.components + 1, cfg.z_dim))  # [B,k+1,w_dim]
            w = w if mean is None else mean + psi * (w - mean)
            images = generator.draw(w[:, None].expand(-1, cfg.layers, -1, -1), lambda h, w: noise.normal(1, h, w))
        return ((images.float().clamp(-1, 1) * 127.5 + 127.5).round().to(torch.uint8).cpu(),)

    return in_fixed_batches(draw, seeds, None, cfg.sample_batch)[0]
