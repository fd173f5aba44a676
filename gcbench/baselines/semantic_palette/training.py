"""How a Semantic Palette is trained: the layout GAN, then SPADE on real layouts, then both end to end, in one run.

Layout GAN: WGAN-GP on the finest layout, spread and entropy at every scale; palettes come from the prior, as they will.
SPADE: hinge discriminators of a layout and its image together, feature matching, and VGG-19's perceptual loss if
wanted. End to end: both go on, and a discriminator that sees images alone also compares real ones with those of drawn
layouts; its gradient reaches the layout generator through the soft layout.
"""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gcbench.baselines.semantic_palette.assisted import entropy, probabilities, soften, spread, straight_through
from gcbench.baselines.semantic_palette.config import SemanticPaletteConfig
from gcbench.baselines.semantic_palette.layout_gan import LayoutCritic
from gcbench.baselines.semantic_palette.network import Latent, PaletteToPair, sample_many
from gcbench.baselines.semantic_palette.prior import class_shares
from gcbench.core.contracts import Dataset
from gcbench.core.draws import normal, uniform
from gcbench.core.files import file_hash
from gcbench.data.contact_sheet import grid, save_png
from gcbench.networks.adversarial import gradient_penalty
from gcbench.networks.patch_discriminator import (
    PatchDiscriminator,
    check_scales,
    critic_loss,
    feature_matching,
    generator_loss,
)
from gcbench.networks.perceptual import perceptual_loss
from gcbench.training.recipe import Batch, OptimizerGroup, Phase, Recipe, TrainConfig, check_multiples, check_uncompiled

Losses = dict[str, Tensor]
IMAGE_BETAS = (0.0, 0.9)


class PaletteRecipe(Recipe):
    """Three stages of adversarial training; one card, one checkpoint."""

    def __init__(self, name: str, cfg: SemanticPaletteConfig, dataset: Dataset, train_config: TrainConfig):
        super().__init__(name, cfg, dataset, train_config)
        check_uncompiled(name, train_config)
        k = len(dataset.classes)
        self.perceptual = None if cfg.vgg == "off" else perceptual_loss(Path(cfg.vgg))
        self.cfg = cfg.model_copy(
            update={
                "layout": cfg.layout.model_copy(update={"classes": k}),
                "image": cfg.image.model_copy(update={"classes": k}),
                "vgg": cfg.vgg if cfg.vgg == "off" else file_hash(Path(cfg.vgg)),
            }
        )
        check_multiples(self.size, cfg.image.stride, "SPADE")
        check_scales(self.size, cfg.discriminator, "model.discriminator")
        check_multiples(self.size, cfg.layout.patch, "the layout GAN's patches")
        torch.manual_seed(train_config.seed)
        self.network = PaletteToPair(self.cfg)
        self.layout_critic = LayoutCritic(self.cfg.layout, self.size)
        self.pair_discriminator = PatchDiscriminator(k + 3, cfg.discriminator)
        self.image_discriminator = PatchDiscriminator(3, cfg.discriminator)
        if self.network.prior is not None:
            self.network.prior.fit(class_shares(dataset, dataset.splits[0], self.size))

    def optimizer_groups(self) -> dict[str, OptimizerGroup]:
        rates, network = self.cfg.rates, self.network

        def group(part: nn.Module, rate: float = 1.0, betas: tuple[float, float] | None = None) -> OptimizerGroup:
            return OptimizerGroup(list(part.parameters()), rate, betas)

        return {
            "layout": group(network.layout),
            "layout-critic": group(self.layout_critic),
            "image": group(network.image, rates.image, IMAGE_BETAS),
            "pair-discriminator": group(self.pair_discriminator, rates.discriminators, IMAGE_BETAS),
            "image-discriminator": group(self.image_discriminator, rates.discriminators, IMAGE_BETAS),
            "layout-end-to-end": group(network.layout, rates.end_to_end_layout),
        }

    def phases(self) -> tuple[Phase, ...]:
        image, both = self.cfg.image_from, self.cfg.both_from
        return (
            Phase("layout-critic", ("layout-critic",), stop=image),
            Phase("layout", ("layout",), stop=image),
            Phase("pair-discriminator", ("pair-discriminator",), start=image, stop=both),
            Phase("image", ("image",), start=image, stop=both),
            Phase("discriminators", ("layout-critic", "pair-discriminator", "image-discriminator"), start=both),
            Phase("generators", ("layout-end-to-end", "image"), start=both),
        )

    def forward(self, batch: Batch, generator: torch.Generator, phase: str = "") -> Losses:
        device = self.network.device
        image = batch.images.to(device).float() / 127.5 - 1
        layout = F.one_hot(batch.layouts.to(device), len(self.dataset.classes)).movedim(-1, 1).float()  # [B,K,H,W]
        match phase:
            case "layout-critic":
                with torch.no_grad():
                    _, drawn = self._draw(len(image), generator)
                return self._discriminator_layouts(layout, drawn, generator)
            case "layout":
                # two groups hold these parameters, and the trainer has just frozen them with the other group
                self.network.layout.requires_grad_(True)
                return self._layout_losses(*self._draw(len(image), generator))
            case "pair-discriminator":
                return self._discriminator_pairs(layout, image)
            case "image":
                return self._image_losses(layout, image)
            case "discriminators":
                return self._discriminator_all(layout, image, generator)
            case _:
                return self._end_to_end(layout, image, generator)

    def _draw(self, n: int, generator: torch.Generator) -> tuple[list[Tensor], Tensor]:
        """The layout generator's output at every scale, and n layouts for other networks to read [B,K,H,W]."""
        device, cfg = self.network.device, self.cfg.layout
        z = normal(n, cfg.latent, generator=generator, device=device)
        u = uniform(n, generator=generator, device=device)
        latent: Latent = self.network.latent(z, u, normal(n, cfg.classes, generator=generator, device=device))
        scales = self.network.layout(*latent)
        if latent.palette is not None:
            return scales, probabilities(scales[-1])
        return scales, straight_through(scales[-1], uniform(*scales[-1].shape, generator=generator, device=device))

    def _discriminator_layouts(self, real: Tensor, drawn: Tensor, generator: torch.Generator) -> Losses:
        real = soften(real) if self.cfg.palette else real
        distance = self.layout_critic(real).mean() - self.layout_critic(drawn).mean()
        u = uniform(len(real), generator=generator, device=real.device)
        penalty = gradient_penalty(self.layout_critic, real, drawn, u)
        loss = self.cfg.losses.gradient_penalty * penalty - distance
        return {"loss": loss, "distance": distance, "gradient-penalty": penalty}

    def _layout_losses(self, scales: list[Tensor], drawn: Tensor) -> Losses:
        loss = -self.layout_critic(drawn).mean()
        if not self.cfg.palette:
            return {"loss": loss}
        parts = {"spread": spread(scales), "entropy": entropy(scales)}
        weights = self.cfg.losses
        return {"loss": loss + weights.spread * parts["spread"] + weights.entropy * parts["entropy"], **parts}

    def _discriminator_pairs(self, layout: Tensor, image: Tensor) -> Losses:
        with torch.no_grad():
            drawn = self.network.image(layout)
        return {"loss": critic_loss(self._see(layout, image), self._see(layout, drawn))}

    def _image_losses(self, layout: Tensor, image: Tensor) -> Losses:
        weights = self.cfg.losses
        drawn = self.network.image(layout)
        with torch.no_grad():
            real = self._see(layout, image)
        fake = self._see(layout, drawn)
        matching = feature_matching(real, fake)
        out = {"feature-matching": matching}
        loss = generator_loss(fake) + weights.feature_matching * matching
        if self.perceptual is not None:
            out["perceptual"] = self.perceptual(drawn, image)
            loss = loss + weights.perceptual * out["perceptual"]
        return {"loss": loss, **out}

    def _discriminator_all(self, layout: Tensor, image: Tensor, generator: torch.Generator) -> Losses:
        with torch.no_grad():
            _, drawn = self._draw(len(image), generator)
            image = self.network.image(drawn)
        layouts = self._discriminator_layouts(layout, drawn, generator)
        pairs = self._discriminator_pairs(layout, image)
        images = critic_loss(self.image_discriminator(image), self.image_discriminator(image))
        return {
            **layouts,
            "loss": layouts["loss"] + pairs["loss"] + images,
            "layout-critic": layouts["loss"],
            "pair-discriminator": pairs["loss"],
            "image-discriminator": images,
        }

    def _end_to_end(self, layout: Tensor, image: Tensor, generator: torch.Generator) -> Losses:
        scales, drawn = self._draw(len(image), generator)
        layouts = self._layout_losses(scales, drawn)
        images = self._image_losses(layout, image)
        unpaired = generator_loss(self.image_discriminator(self.network.image(drawn)))
        return {
            **layouts,
            **images,
            "loss": layouts["loss"] + images["loss"] + self.cfg.losses.unpaired * unpaired,
            "layout": layouts["loss"],
            "image": images["loss"],
            "unpaired": unpaired,
        }

    def _see(self, layout: Tensor, image: Tensor) -> list[Any]:
        return self.pair_discriminator(torch.cat((layout, image), dim=1))

    def weights(self) -> dict[str, Tensor]:
        return self.network.state_dict()

    def preview(self, path: Path) -> None:
        """Sixteen drawn images above their layouts."""
        images, layouts = sample_many(self.network, list(range(16)), self.train_config.precision)
        save_png(path, grid(images, layouts, self.dataset.palette, columns=4))
