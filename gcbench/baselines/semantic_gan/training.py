"""How a SemanticGAN is trained: StyleGAN2's losses on images, and hinge losses on images with their layouts.

Differences from the authors' code: there the pair discriminator reads the generator's logits as they are, here a layout
(`SemanticGANConfig.layout`); there its R1 is of the mean over the batch too, here of each pair: the sum over scales of
the mean over patches. Theirs learns from images without layouts too; here every image has one.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gcbench.baselines.semantic_gan.config import SemanticGANConfig
from gcbench.baselines.semantic_gan.network import PairGenerator, sample_many
from gcbench.baselines.stylegan2 import Losses, StyleGAN2Recipe
from gcbench.core.contracts import Dataset
from gcbench.data.contact_sheet import grid, save_png
from gcbench.networks.adversarial import r1
from gcbench.networks.patch_discriminator import (
    PatchDiscriminator,
    PatchOutput,
    check_scales,
    critic_loss,
    feature_matching,
    generator_loss,
)
from gcbench.training.recipe import Batch, TrainConfig


def as_layout(logits: Tensor, kind: str) -> Tensor:
    """Logits [B,K,H,W] to what the discriminator of pairs reads: see `SemanticGANConfig.layout`."""
    p = logits.softmax(1)
    if kind == "softmax":
        return p
    hard = torch.zeros_like(p).scatter_(1, p.argmax(1, keepdim=True), 1.0)
    return hard + p - p.detach()


class SemanticGANRecipe(StyleGAN2Recipe):
    """The discriminator of pairs moves with that of images. Its gradient stops at the drawn image: the layout must
    follow the image, which is made for the other discriminator alone."""

    network = PairGenerator
    generator: PairGenerator

    def __init__(self, name: str, cfg: SemanticGANConfig, dataset: Dataset, train_config: TrainConfig):
        super().__init__(name, cfg.model_copy(update={"classes": len(dataset.classes)}), dataset, train_config)
        check_scales(self.size, self.cfg.pairs, "model.pairs")
        self.pair_discriminator = PatchDiscriminator(3 + self.cfg.classes, self.cfg.pairs)

    def discriminators(self) -> Sequence[nn.Module]:
        return self.discriminator, self.pair_discriminator

    def generator_losses(self, batch: Batch, fake: Tensor) -> Losses:
        images = super().generator_losses(batch, fake[:, :3])["loss"]
        seen = self.pair_discriminator(self.made(fake[:, :3].detach(), fake[:, 3:]))
        with torch.no_grad():
            real = self.pair_discriminator(self.pairs(batch))
        pairs, matching = generator_loss(seen), feature_matching(real, seen)
        loss = images + pairs + self.cfg.feature_matching * matching
        return {"loss": loss, "generator-image": images, "generator-pair": pairs, "feature-matching": matching}

    def discriminator_losses(self, batch: Batch, fake: Tensor) -> Losses:
        images = super().discriminator_losses(batch, fake[:, :3])["loss"]
        seen = self.pair_discriminator(self.made(fake[:, :3], fake[:, 3:]))
        pairs = critic_loss(self.pair_discriminator(self.pairs(batch)), seen)
        return {"loss": images + pairs, "image-discriminator": images, "pair-discriminator": pairs}

    def penalty(self, batch: Batch) -> Tensor:
        real = self.pairs(batch).requires_grad_()
        seen: list[PatchOutput] = self.pair_discriminator(real)
        return super().penalty(batch) + r1(torch.stack([output.logits.mean((1, 2, 3)) for output in seen]).sum(0), real)

    def made(self, images: Tensor, logits: Tensor) -> Tensor:
        return torch.cat((images, as_layout(logits, self.cfg.layout)), dim=1)  # [B,3+K,H,W]

    def pairs(self, batch: Batch) -> Tensor:
        layouts = F.one_hot(batch.layouts.to(self.generator.device), self.cfg.classes).movedim(-1, 1).float()
        return torch.cat((self.real(batch), layouts), dim=1)  # [B,3+K,H,W]

    def preview(self, path: Path) -> None:
        """Eight drawn images above their layouts."""
        images, layouts = sample_many(self.generator, range(8), precision=self.train_config.precision)
        save_png(path, grid(images, layouts, self.dataset.palette, columns=4))
