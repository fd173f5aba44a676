"""How a DatasetGAN is trained: the StyleGAN2 first, then, on its frozen average, the pixel classifiers.

The original's annotators labelled images that the generator had drawn. Nobody labels them here, and a segmenter that
did would be measured against itself. So the classifiers learn from real pairs: each labelled image is searched for
among what the generator can draw (`features.invert`), and its real layout is taken for that of what is found. EditGAN
(Ling et al. 2021) labels real images in this way too. Where the search fails, the layout does not fit the features.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from gcbench.baselines.dataset_ddpm.ensemble import CALIBRATION, Ensemble
from gcbench.baselines.dataset_ddpm.features import at_pixels
from gcbench.baselines.dataset_ddpm.training import labelled
from gcbench.baselines.dataset_gan.config import DatasetGANConfig
from gcbench.baselines.dataset_gan.features import distance, drawn_with_maps, invert, repeated, sample_once, width
from gcbench.baselines.stylegan2 import Losses, StyleGAN2Recipe
from gcbench.core.contracts import Dataset
from gcbench.data.contact_sheet import grid, save_png
from gcbench.diffusion.noise import derived_seed
from gcbench.training.recipe import Batch, OptimizerGroup, Phase, TrainConfig

CLASSIFIERS = "classifiers"
STORED = ("generator.", "annotator.")
INVERSION = 3
"""What a derived seed is for, beside those of the ensemble."""


class DatasetGANRecipe(StyleGAN2Recipe):
    """StyleGAN2's losses; then the cross-entropy of each classifier on pixels of its own draw.

    learnt: features float32 [N,d] and classes int64 [N] of labelled pixels, made anew from the frozen network whenever
    a run starts or is resumed. `inversion` is logged: the mean `distance` of the labelled images from what was found.
    """

    cfg: DatasetGANConfig

    def __init__(self, name: str, cfg: DatasetGANConfig, dataset: Dataset, train_config: TrainConfig):
        super().__init__(name, cfg, dataset, train_config)
        self.annotator = Ensemble(cfg, width(self.generator), len(dataset.classes))
        self.learnt: tuple[Tensor, Tensor] | None = None
        self.missed = torch.zeros(())

    def optimizer_groups(self) -> Mapping[str, OptimizerGroup]:
        rate = self.cfg.classifier_lr / self.train_config.lr
        own = OptimizerGroup(list(self.annotator.parameters()), rate, (0.9, 0.999))
        return {**super().optimizer_groups(), CLASSIFIERS: own}

    def phases(self) -> Sequence[Phase]:
        share = self.cfg.gan_share
        return (*self.adversarial(stop=share), Phase(CLASSIFIERS, (CLASSIFIERS,), start=share))

    def forward(self, batch: Batch, generator: torch.Generator, phase: str = "") -> Losses:
        if phase != CLASSIFIERS:
            return super().forward(batch, generator, phase)
        if self.learnt is None:
            self.learnt = self.learn_from()
        loss = self.annotator.loss(*self.learnt, self.cfg.batch_pixels, generator)
        return {"loss": loss, "inversion": self.missed}

    def learn_from(self) -> tuple[Tensor, Tensor]:
        """Features of the labelled pixels, and their classes: a batch of images at a time."""
        cfg, device = self.cfg, self.generator.device
        chosen = list(labelled(self.dataset, cfg, self.size, self.train_config.seed))
        classes = torch.cat([layout.flatten()[pixels] for _, layout, pixels in chosen]).to(device)
        features = torch.empty(len(classes), width(self.generator), device=device)
        rows, missed = iter(features.split([len(pixels) for _, _, pixels in chosen])), []
        for start in range(0, len(chosen), cfg.sample_batch):
            images, _, places = zip(*chosen[start : start + cfg.sample_batch], strict=True)
            real = torch.stack(images).to(device).float() / 127.5 - 1
            seeds = [derived_seed(self.train_config.seed, INVERSION, start + i) for i in range(len(real))]
            noise = repeated(self.generator, seeds)
            styles = invert(
                self.generator, real, noise, steps=cfg.inversion_steps, lr=cfg.inversion_lr, closeness=cfg.closeness
            )
            with torch.no_grad():
                inverted, maps = drawn_with_maps(self.generator, styles, noise)
                for i, pixels in enumerate(places):
                    next(rows).copy_(at_pixels(maps, i, pixels, self.size))
                missed.append(distance(inverted, real))
        self.missed = torch.cat(missed).mean()
        return features, classes

    def sampled(self, seeds: Sequence[int]) -> tuple[Tensor, ...]:
        batch, precision = self.cfg.sample_batch, self.train_config.precision
        return sample_once(self.generator, self.annotator, seeds, batch, precision)

    def weights(self) -> dict[str, Tensor]:
        """The generator, the classifiers and, from the second stage on, how uncertain these are of samples."""
        if self.learnt is not None:
            seeds = [derived_seed(self.train_config.seed, CALIBRATION, i) for i in range(self.cfg.calibration)]
            self.annotator.uncertainties.copy_(self.sampled(seeds)[2])
        return {name: tensor for name, tensor in self.state_dict().items() if name.startswith(STORED)}

    def preview(self, path: Path) -> None:
        """Eight samples, with their layouts below them once there are classifiers to draw these."""
        images, layouts, _ = self.sampled(range(8))
        save_png(path, grid(images, None if self.learnt is None else layouts, self.dataset.palette, columns=4))
