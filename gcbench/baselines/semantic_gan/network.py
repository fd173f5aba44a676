"""The generator: at each resolution the features give an addition to the image and one to the layout's logits."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gcbench.baselines.semantic_gan.config import SemanticGANConfig
from gcbench.baselines.stylegan2 import Generator, seeded
from gcbench.core.samples import to_bytes
from gcbench.networks.stylegan2 import ToRGB
from gcbench.training.fixed_batches import in_fixed_batches


class ToPair(nn.Module):
    """x [B,C,h,w] to [B,3+K,h,w]: the image's addition, then that to the logits, each by a style of its own."""

    def __init__(self, inputs: int, style_dim: int, classes: int):
        super().__init__()
        self.image = ToRGB(inputs, style_dim)
        self.layout = ToRGB(inputs, style_dim, classes)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        return torch.cat((self.image(x, style), self.layout(x, style)), dim=1)


class PairGenerator(Generator):
    """Styles [B,L,w_dim] to images and logits on top of each other [B,3+K,H,W].

    Both are sums over resolutions, each brought to the next one's size (`generator` = skip).
    """

    def __init__(self, cfg: SemanticGANConfig):
        super().__init__(cfg)
        heights = [h for h, _ in cfg.sizes][-len(self.synthesis.to_rgb) :]
        self.synthesis.to_rgb = nn.ModuleList(ToPair(cfg.channels(h), cfg.w_dim, cfg.classes) for h in heights)


@torch.inference_mode()
def sample_many(
    generator: PairGenerator, seeds: Sequence[int], *, psi: float = 1.0, precision: str = "fp32"
) -> tuple[Tensor, Tensor]:
    """Images uint8 [N,3,H,W] and layouts int64 [N,H,W]."""
    device = generator.device.type

    def draw(seeds: list[int], _: list[str] | None) -> tuple[Tensor, ...]:
        with torch.autocast(device, dtype=torch.bfloat16, enabled=precision == "bf16"):
            pairs = generator(*seeded(generator, seeds, psi))
        return to_bytes(pairs[:, :3]).cpu(), pairs[:, 3:].argmax(1).cpu()

    images, layouts = in_fixed_batches(draw, seeds, None, generator.cfg.sample_batch)
    return images, layouts
