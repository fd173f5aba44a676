"""The generator: k local latents and a global one, mapped; the global one modulates, the local ones are attended to."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gcbench.baselines.ganformer.attention import BipartiteAttention
from gcbench.baselines.ganformer.config import GANformerConfig
from gcbench.core.samples import to_bytes
from gcbench.diffusion.noise import SeededNoise
from gcbench.networks.stylegan2 import Linear, Mapping, Noise, Synthesis, leaky, pixel_norm
from gcbench.training.fixed_batches import in_fixed_batches

RATE = 0.01
"""Of the mapping, as everywhere in StyleGAN2."""


class LatentAttention(nn.Module):
    """Latents [B,k,D] attend to each other: (y + W softmax(Q K^T / √D) V) / √2."""

    def __init__(self, dim: int):
        super().__init__()
        self.query, self.key, self.value, self.out = (Linear(dim, dim, rate=RATE) for _ in range(4))

    def forward(self, y: Tensor) -> Tensor:
        logits = self.query(y) @ self.key(y).transpose(1, 2) / math.sqrt(y.shape[-1])  # [B,k,k]
        return (y + self.out(logits.softmax(-1) @ self.value(y))) / math.sqrt(2)


class LocalMapping(nn.Module):
    """z [B,k,z_dim] to w [B,k,w_dim]: one mapping for all latents, with attention between them before each layer."""

    def __init__(self, z_dim: int, w_dim: int, layers: int):
        super().__init__()
        widths = [z_dim] + [w_dim] * (layers - 1)
        self.attention = nn.ModuleList(LatentAttention(width) for width in widths)
        self.layers = nn.ModuleList(Linear(width, w_dim, rate=RATE) for width in widths)

    def forward(self, z: Tensor) -> Tensor:
        y = pixel_norm(z)
        for attention, layer in zip(self.attention, self.layers, strict=True):
            y = leaky(layer(attention(y)))
        return y


class Generator(nn.Module):
    """z [B,k+1,z_dim] (the last one global) to images [B,3,H,W]."""

    def __init__(self, cfg: GANformerConfig):
        super().__init__()
        self.cfg = cfg
        self.local = LocalMapping(cfg.z_dim, cfg.w_dim, cfg.mapping_layers)
        self.overall = Mapping(cfg.z_dim, cfg.w_dim, cfg.mapping_layers)
        self.synthesis = Synthesis(cfg, cfg.w_dim)
        heights = [cfg.sizes[(number + 1) // 2][0] for number in range(cfg.layers - 1)]  # of each convolution's map
        self.attention = nn.ModuleList(
            BipartiteAttention(
                cfg.channels(h),
                cfg.w_dim,
                cfg.components,
                duplex=cfg.attention == "duplex",
                first=number == 0,
                dropout=cfg.dropout,
            )
            for number, h in enumerate(heights)
            if h <= cfg.attention_height
        )

    def map(self, z: Tensor) -> Tensor:
        """w [B,k+1,w_dim]."""
        return torch.cat((self.local(z[:, :-1]), self.overall(z[:, -1:])), dim=1)

    def draw(self, w: Tensor, noise: Noise, dropout: torch.Generator | None = None) -> Tensor:
        """w [B,L,k+1,w_dim], of each of the L layers, to images."""
        shares: Tensor | None = None

        def attend(number: int, x: Tensor) -> Tensor:
            nonlocal shares
            if number >= len(self.attention):
                return x
            x, shares = self.attention[number](x, w[:, number, :-1], shares, dropout)
            return x

        return self.synthesis(w[:, :, -1], noise, attend)

    def forward(self, z: Tensor, noise: Noise) -> Tensor:
        return self.draw(self.map(z)[:, None].expand(-1, self.cfg.layers, -1, -1), noise)

    def average(self) -> Tensor:
        """The mean of w over 4096 fixed latents: [1,k+1,w_dim]. What truncation draws styles towards."""
        z = torch.randn(4096, self.cfg.components + 1, self.cfg.z_dim, generator=torch.Generator().manual_seed(0))
        return self.map(z.to(self.synthesis.seed.device)).mean(0, keepdim=True)


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
        return (to_bytes(images).cpu(),)

    return in_fixed_batches(draw, seeds, None, cfg.sample_batch)[0]
