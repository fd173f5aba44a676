"""All that sampling needs: palette prior, layout generator, SPADE generator; and the way from seeds to images."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gcbench.baselines.semantic_palette.config import SemanticPaletteConfig
from gcbench.baselines.semantic_palette.layout_gan import LayoutGenerator
from gcbench.baselines.semantic_palette.prior import PalettePrior
from gcbench.core.samples import finite, to_bytes
from gcbench.diffusion.noise import SeededNoise
from gcbench.networks.spade import SPADEGenerator
from gcbench.training.fixed_batches import in_fixed_batches


class Latent(NamedTuple):
    """What a layout is drawn from. z [B,Z]; palette [B,K], or None for SB-GAN."""

    z: Tensor
    palette: Tensor | None


class PaletteToPair(nn.Module):
    """prior is None for SB-GAN."""

    def __init__(self, cfg: SemanticPaletteConfig):
        super().__init__()
        self.cfg = cfg
        self.prior = PalettePrior(cfg.layout.classes, cfg.components) if cfg.palette else None
        self.layout = LayoutGenerator(cfg.layout, cfg.size, palette=cfg.palette)
        self.image = SPADEGenerator(cfg.image)

    def latent(self, z: Tensor, u: Tensor, normal: Tensor) -> Latent:
        """z [B,Z] as it is; a palette from u [B] in [0,1) and normal [B,K]."""
        return Latent(z, None if self.prior is None else self.prior.sample(u, normal))

    def draw(self, latent: Latent) -> tuple[Tensor, Tensor]:
        """images uint8 [B,3,H,W] and layouts int64 [B,H,W]."""
        layouts = finite(self.layout(*latent)[-1]).argmax(1)  # [B,H,W]
        onehot = F.one_hot(layouts, self.cfg.layout.classes).movedim(-1, 1).float()  # [B,K,H,W]
        return to_bytes(self.image(onehot)), layouts

    @property
    def device(self) -> torch.device:
        return self.image.first.weight.device


@torch.inference_mode()
def sample_many(network: PaletteToPair, seeds: Sequence[int], precision: str) -> tuple[Tensor, Tensor]:
    """Any number of samples, batch by batch: images uint8 [N,3,H,W] and layouts int64 [N,H,W]."""
    cfg, device = network.cfg, network.device

    def draw(seeds: list[int], prompts: list[str] | None) -> tuple[Tensor, ...]:
        noise = SeededNoise(seeds, device)
        latent = network.latent(noise.normal(cfg.layout.latent), noise.uniform(), noise.normal(cfg.layout.classes))
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
            images, layouts = network.draw(latent)
        return images.cpu(), layouts.cpu()

    images, layouts = in_fixed_batches(draw, seeds, None, cfg.sample_batch)
    return images, layouts
