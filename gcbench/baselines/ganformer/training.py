"""How a GANformer is trained: the recipe that the trainer runs. Text and layouts are not looked at."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from gcbench.baselines.ganformer.config import GANformerConfig
from gcbench.baselines.ganformer.network import Generator, sample_many
from gcbench.baselines.stylegan2 import lazy
from gcbench.core.contracts import Dataset
from gcbench.core.draws import normal
from gcbench.data.contact_sheet import grid, save_png
from gcbench.networks.adversarial import logistic_discriminator, logistic_generator, r1
from gcbench.networks.stylegan2 import Discriminator, mixed, two_latents
from gcbench.training.recipe import Batch, OptimizerGroup, Phase, Recipe, TrainConfig, check_uncompiled

LAZY = 16
"""R1 comes at every LAZY-th step, so many times as strong (Karras et al. 2020)."""


class GANformerRecipe(Recipe):
    """Non-saturating logistic losses and lazy R1, γ/2 E‖∇D‖². No path length: the authors leave it out.

    A checkpoint holds the generator alone: a training that starts from one begins with a new discriminator.
    """

    def __init__(self, name: str, cfg: GANformerConfig, dataset: Dataset, train_config: TrainConfig):
        super().__init__(name, cfg, dataset, train_config)
        check_uncompiled(name, train_config)
        torch.manual_seed(train_config.seed)
        self.generator = Generator(cfg)
        self.discriminator = Discriminator(cfg)

    def optimizer_groups(self) -> Mapping[str, OptimizerGroup]:
        return {
            "generator": OptimizerGroup(list(self.generator.parameters())),
            "discriminator": lazy([self.discriminator], self.train_config.betas, LAZY),
        }

    def phases(self) -> Sequence[Phase]:
        return (
            Phase("generator", ("generator",)),
            Phase("discriminator", ("discriminator",)),
            Phase("r1", ("discriminator",), every=LAZY),
        )

    def forward(self, batch: Batch, generator: torch.Generator, phase: str = "") -> dict[str, Tensor]:
        device = self.generator.synthesis.seed.device
        if phase == "generator":
            fake = self.fake(len(batch.images), generator)
            return {"loss": logistic_generator(self.discriminator(fake)[0])}
        real = batch.images.to(device).float() / 127.5 - 1  # [B,3,H,W]
        if phase == "r1":
            with torch.autocast(device.type, enabled=False):  # a gradient of a gradient needs float32
                real.requires_grad_()
                return {"loss": self.cfg.gamma / 2 * LAZY * r1(self.discriminator(real)[0], real)}
        with torch.no_grad():
            fake = self.fake(len(real), generator)
        return {"loss": logistic_discriminator(self.discriminator(real)[0], self.discriminator(fake)[0])}

    def fake(self, b: int, generator: torch.Generator) -> Tensor:
        """b images of random latents, for some of them two, the second from a random layer on."""
        cfg, device = self.cfg, self.generator.synthesis.seed.device
        z = two_latents(b, cfg.components + 1, cfg.z_dim, generator=generator, device=device)
        w = self.generator.map(z)[:, None].expand(-1, cfg.layers, -1, -1).flatten(2)  # [2B,L,(k+1)·w_dim]
        w = mixed(w[:b], w[b:], cfg.mixing, generator).unflatten(2, (cfg.components + 1, cfg.w_dim))
        return self.generator.draw(w, lambda h, w: normal(b, 1, h, w, generator=generator, device=device), generator)

    def weights(self) -> dict[str, Tensor]:
        return self.generator.state_dict()

    def preview(self, path: Path) -> None:
        """Eight images of fixed seeds."""
        images = sample_many(self.generator, range(8), precision=self.train_config.precision)
        save_png(path, grid(images, None, self.dataset.palette, columns=4))
