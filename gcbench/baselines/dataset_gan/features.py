"""Features of a StyleGAN2 while it draws, what an ensemble reads in them, and the styles that draw a given image."""

from collections.abc import Sequence
from itertools import cycle

import torch
import torch.nn.functional as F
from torch import Tensor

from gcbench.baselines.dataset_ddpm.ensemble import Ensemble
from gcbench.baselines.dataset_ddpm.features import by_size
from gcbench.baselines.stylegan2 import Generator, seeded
from gcbench.core.samples import to_bytes
from gcbench.diffusion.noise import SeededNoise
from gcbench.networks.decoder_blocks import recorded
from gcbench.networks.stylegan2 import Noise, StyledConv
from gcbench.training.fixed_batches import in_fixed_batches

SCALES = 3
"""At which two images are compared: their own size, its half, its quarter."""


def layers(generator: Generator) -> dict[str, StyledConv]:
    """The styled convolutions by number, the deepest first."""
    synthesis = generator.synthesis
    pairs = zip(synthesis.rising, synthesis.staying, strict=True)
    modules = [synthesis.first, *(layer for pair in pairs for layer in pair)]
    return {str(number): layer for number, layer in enumerate(modules) if isinstance(layer, StyledConv)}


def width(generator: Generator) -> int:
    """d, the number of features of a pixel: the channels of all layers."""
    return sum(layer.conv.weight.shape[0] for layer in layers(generator).values())


def drawn_with_maps(generator: Generator, styles: Tensor, noise: Noise) -> tuple[Tensor, list[Tensor]]:
    """Images [B,3,H,W], and what the layers gave on the way to them: one [B,C,h,w] a resolution, see `by_size`."""
    with recorded(layers(generator)) as seen:
        images = generator(styles, noise)
    return images, by_size(list(seen.values()))


def repeated(generator: Generator, seeds: Sequence[int]) -> Noise:
    """Noise of the seeds' own streams that is the same in each pass through the network."""
    sizes = generator.cfg.sizes
    stream = SeededNoise(seeds, generator.device)
    maps = [stream.normal(1, *size) for size in (sizes[0], *(size for size in sizes[1:] for _ in range(2)))]
    turns = cycle(maps)
    return lambda h, w: next(turns)


def distance(drawn: Tensor, images: Tensor) -> Tensor:
    """[B]: the sum over scales of the mean squared difference."""
    total = torch.zeros(len(images), device=images.device)
    for _ in range(SCALES):
        total = total + (drawn - images).square().flatten(1).mean(1)
        drawn, images = F.avg_pool2d(drawn, 2), F.avg_pool2d(images, 2)
    return total


def invert(generator: Generator, images: Tensor, noise: Noise, *, steps: int, lr: float, closeness: float) -> Tensor:
    """Styles [B,L,w_dim], one a layer, from which images [B,3,H,W] in [-1,1] are drawn again, nearly.

    Adam from the usual mean μ on, the rate falling to 0 along a half cosine, of each image alone:
    `distance` + closeness · mean(((w - μ) / σ)²), σ the usual deviation of each number of w. (Image2StyleGAN, Abdal et
    al. 2019, has a perceptual distance as well, which needs a network trained on photographs.)
    """
    with torch.enable_grad(), torch.autocast(images.device.type, enabled=False):
        usual = generator.usual().detach()
        mean, deviation = usual.mean(0), usual.std(0) + 1e-8
        moved = torch.zeros(len(images), generator.cfg.layers, len(mean), device=images.device, requires_grad=True)
        optimizer = torch.optim.Adam([moved], lr=lr)
        rates = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in range(steps):
            drawn = generator(mean + deviation * moved, noise)
            loss = (distance(drawn, images) + closeness * moved.square().mean((1, 2))).sum()
            (moved.grad,) = torch.autograd.grad(loss, [moved])
            optimizer.step()
            rates.step()
    return (mean + deviation * moved).detach()


@torch.no_grad()
def sample_once(
    generator: Generator, annotator: Ensemble, seeds: Sequence[int], batch_size: int, precision: str
) -> tuple[Tensor, ...]:
    """Images uint8 [N,3,H,W], their layouts int64 [N,H,W] and uncertainties [N]: features are read as they come."""
    cfg = generator.cfg

    def pairs(batch: list[int], _: list[str] | None) -> tuple[Tensor, ...]:
        with torch.autocast(generator.device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
            images, maps = drawn_with_maps(generator, *seeded(generator, batch, cfg.psi))
            rows = zip(*(feature_map.split(1) for feature_map in maps), strict=True)  # one image's logits at a time
            labels, doubts = zip(*(annotator.read(row, cfg.size) for row in rows), strict=True)
        return to_bytes(images).cpu(), torch.cat(labels), torch.cat(doubts)

    return in_fixed_batches(pairs, seeds, None, batch_size)
