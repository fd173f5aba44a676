"""An unconditional StyleGAN2 and its training, for baselines that make it draw layouts too (Karras et al. 2020).

Knows no layouts: a baseline has a generator of its own, more losses, or more stages.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from gcbench.core.contracts import Dataset
from gcbench.core.draws import normal
from gcbench.core.settings import Count, Weight
from gcbench.core.shared_batch import gathered
from gcbench.diffusion.noise import SeededNoise
from gcbench.networks.adversarial import logistic_discriminator, logistic_generator, path_lengths, r1
from gcbench.networks.stylegan2 import Discriminator, Noise, StyleGAN2Config, Synthesis, mixed, two_latents
from gcbench.networks.stylegan2 import Mapping as LatentMapping
from gcbench.training.recipe import Batch, OptimizerGroup, Phase, Recipe, SampleBatch, TrainConfig, check_uncompiled

Losses = dict[str, Tensor]


class GANConfig(StyleGAN2Config):
    """StyleGAN2's, and more:

    gamma: of R1, γ/2 E‖∇D‖², which comes each r1_every-th step. path: of path length regularisation, each
    path_every-th step; 0 leaves it out. psi: truncation when it draws: below 1, styles are drawn towards their mean.
    sample_batch: images that go through the network together then.
    """

    gamma: Weight = 0.5
    r1_every: Count = 16
    path: Weight = 0.0
    path_every: Count = 4
    psi: Weight = 1.0
    sample_batch: SampleBatch = 8


PAPER_SIZES: dict[str, Any] = {
    "size": (256, 512),
    "z_dim": 512,
    "w_dim": 512,
    "mapping_layers": 8,
    "channel_base": 32768,
    "channel_max": 512,
    "gamma": 10.0,
    "path": 2.0,
    "sample_batch": 4,
}
"""StyleGAN2's own (configuration F), from a seed of 4×8 on to the size of GCDP's Cityscapes."""


class Generator(nn.Module):
    """Latents z [B,z_dim] to styles [B,L,w_dim], one a layer, and styles to images [B,3,H,W]."""

    def __init__(self, cfg: Any):
        super().__init__()
        self.cfg = cfg
        self.mapping = LatentMapping(cfg.z_dim, cfg.w_dim, cfg.mapping_layers)
        self.synthesis = Synthesis(cfg, cfg.w_dim)

    @property
    def device(self) -> torch.device:
        return self.synthesis.seed.device

    def styles(self, z: Tensor) -> Tensor:
        return self.mapping(z)[:, None].expand(-1, self.cfg.layers, -1)

    def forward(self, styles: Tensor, noise: Noise) -> Tensor:
        return self.synthesis(styles, noise)

    def usual(self) -> Tensor:
        """w [4096,w_dim] of fixed latents. Truncation draws styles towards their mean."""
        z = torch.randn(4096, self.cfg.z_dim, generator=torch.Generator().manual_seed(0))
        return self.mapping(z.to(self.device))


def seeded(generator: Generator, seeds: Sequence[int], psi: float) -> tuple[Tensor, Noise]:
    """Styles [B,L,w_dim] and noise. A seed's stream holds its latent first, then each convolution's noise.

    psi: w ← mean + psi (w - mean) (truncation, Karras et al. 2019); 1 leaves the styles as they are.
    """
    noise = SeededNoise(seeds, generator.device)
    styles = generator.styles(noise.normal(generator.cfg.z_dim))  # [B,L,w_dim]
    if psi != 1:
        styles = torch.lerp(generator.usual().mean(0), styles, psi)
    return styles, lambda h, w: noise.normal(1, h, w)


def lazy(parts: Sequence[nn.Module], betas: tuple[float, float], every: int | None) -> OptimizerGroup:
    """A group whose optimiser moves once more each `every`-th step; None: it does not.

    Rate and betas^t of `every` steps stay what they were without the one more (Karras et al. 2020, appendix B).
    """
    share = 1.0 if every is None else every / (every + 1)
    parameters = [parameter for part in parts for parameter in part.parameters()]
    return OptimizerGroup(parameters, share, (betas[0] ** share, betas[1] ** share))


class StyleGAN2Recipe(Recipe):
    """Non-saturating logistic losses, lazy R1, lazy path lengths, which are compared with their running mean.

    network: the class of the generator. A checkpoint holds it, and no discriminator: a training that starts from a
    checkpoint begins with a new one.
    """

    network: ClassVar[type[Generator]] = Generator
    path_mean: Tensor

    def __init__(self, name: str, cfg: Any, dataset: Dataset, train_config: TrainConfig):
        super().__init__(name, cfg, dataset, train_config)
        check_uncompiled(name, train_config)
        torch.manual_seed(train_config.seed)
        self.generator = self.network(cfg)
        self.discriminator = Discriminator(cfg)
        self.register_buffer("path_mean", torch.zeros(()))

    def discriminators(self) -> Sequence[nn.Module]:
        return (self.discriminator,)

    def optimizer_groups(self) -> Mapping[str, OptimizerGroup]:
        betas = self.train_config.betas
        return {
            "generator": lazy([self.generator], betas, self.cfg.path_every if self.cfg.path else None),
            "discriminator": lazy(self.discriminators(), betas, self.cfg.r1_every if self.cfg.gamma else None),
        }

    def phases(self) -> Sequence[Phase]:
        return tuple(self.adversarial())

    def adversarial(self, stop: float = 1.0) -> Iterator[Phase]:
        yield Phase("generator", ("generator",), stop=stop)
        yield Phase("discriminator", ("discriminator",), stop=stop)
        if self.cfg.gamma:
            yield Phase("r1", ("discriminator",), every=self.cfg.r1_every, stop=stop)
        if self.cfg.path:
            yield Phase("path", ("generator",), every=self.cfg.path_every, stop=stop)

    def forward(self, batch: Batch, generator: torch.Generator, phase: str = "") -> Losses:
        b = len(batch.images)
        match phase:
            case "generator":
                return self.generator_losses(batch, self.generator(*self.latents(b, generator)))
            case "discriminator":
                with torch.no_grad():
                    fake = self.generator(*self.latents(b, generator))
                return self.discriminator_losses(batch, fake)
            case "r1":
                with torch.autocast(self.generator.device.type, enabled=False):  # needs float32, as path length does
                    return {"loss": self.cfg.gamma / 2 * self.cfg.r1_every * self.penalty(batch)}
            case _:
                with torch.autocast(self.generator.device.type, enabled=False):
                    return self.path_losses(*self.latents(b, generator), generator)

    def generator_losses(self, batch: Batch, fake: Tensor) -> Losses:
        return {"loss": logistic_generator(self.discriminator(fake)[0])}

    def discriminator_losses(self, batch: Batch, fake: Tensor) -> Losses:
        return {"loss": logistic_discriminator(self.discriminator(self.real(batch))[0], self.discriminator(fake)[0])}

    def penalty(self, batch: Batch) -> Tensor:
        real = self.real(batch).requires_grad_()
        return r1(self.discriminator(real)[0], real)

    def path_losses(self, styles: Tensor, noise: Noise, generator: torch.Generator) -> Losses:
        images = self.generator(styles, noise)[:, :3]
        y = normal(*images.shape, generator=generator, device=images.device)
        lengths = path_lengths(images, styles, y)  # [B]
        self.path_mean.lerp_(gathered(lengths.detach()).mean(), 0.01)
        return {"loss": self.cfg.path * self.cfg.path_every * (lengths - self.path_mean).square().mean()}

    def real(self, batch: Batch) -> Tensor:
        return batch.images.to(self.generator.device).float() / 127.5 - 1  # [B,3,H,W]

    def latents(self, b: int, generator: torch.Generator) -> tuple[Tensor, Noise]:
        """Styles of b images, for some of them of two latents, the second from a random layer on; and noise."""
        device = self.generator.device
        w = self.generator.styles(two_latents(b, self.cfg.z_dim, generator=generator, device=device))  # [2B,L,w_dim]
        styles = mixed(w[:b], w[b:], self.cfg.mixing, generator)
        return styles, lambda h, w: normal(b, 1, h, w, generator=generator, device=device)

    def weights(self) -> dict[str, Tensor]:
        return self.generator.state_dict()
