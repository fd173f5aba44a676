"""How a DatasetDDPM is trained: the diffusion first, then, on its frozen average, the pixel classifiers."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gcbench.baselines.dataset_ddpm.annotator import Annotator
from gcbench.baselines.dataset_ddpm.config import DatasetDDPMConfig, EnsembleConfig
from gcbench.baselines.dataset_ddpm.ensemble import CALIBRATION
from gcbench.core.contracts import Dataset, Size
from gcbench.data.contact_sheet import grid, save_png
from gcbench.diffusion.noise import derived_seed
from gcbench.gcdp.sampling import Sampling, sample_many
from gcbench.gcdp.training import ImageRecipe
from gcbench.training.recipe import Batch, OptimizerGroup, Phase, TrainConfig

DDPM, CLASSIFIERS = "ddpm", "classifiers"
"""The two optimizer groups, each with a phase and a stage of its own."""


class Learnt(NamedTuple):
    """What the second stage works on, made anew from the frozen network whenever a run starts or is resumed.

    features: float32 [N,d] and classes int64 [N] of labelled pixels; samples: uint8 [calibration,3,H,W] drawn by the
    network, on which the classifiers' uncertainty is measured.
    """

    features: Tensor
    classes: Tensor
    samples: Tensor


def labelled(dataset: Dataset, cfg: EnsembleConfig, size: Size, seed: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Labelled pairs: image uint8 [3,H,W], layout int64 [H,W], and the pixels [P] that are learnt from."""
    split = dataset.splits[0]
    total = len(dataset.ids(split))
    count = min(cfg.labelled, total)
    generator = torch.Generator().manual_seed(seed)
    for i in range(count):
        image, layout = dataset.pair(split, i * total // count, size)
        ids = torch.from_numpy(np.ascontiguousarray(layout)).long()  # [H,W]
        area = torch.bincount(ids.flatten(), minlength=len(dataset.classes))  # [K]
        large = area >= cfg.ignored_share * ids.numel()
        usable = large[ids.flatten()].nonzero()[:, 0]
        pixels = usable[torch.randperm(len(usable), generator=generator)[: cfg.kept_pixels]]
        yield torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1), ids, pixels


class DatasetDDPMRecipe(ImageRecipe):
    """GCDP's image loss; then the cross-entropy of each classifier on pixels of its own draw.

    Pixels are drawn uniformly, as in the original: rare classes are rare in training too. The layouts are real ones,
    where the original's annotators labelled images that the network drew.
    """

    cfg: DatasetDDPMConfig

    def __init__(self, name: str, cfg: DatasetDDPMConfig, dataset: Dataset, train_config: TrainConfig):
        super().__init__(name, cfg, dataset, train_config)
        self.annotator = Annotator(self.cfg, self.network.unet, len(dataset.classes), train_config.seed)
        self.learnt: Learnt | None = None

    def optimizer_groups(self) -> Mapping[str, OptimizerGroup]:
        rate = self.cfg.classifier_lr / self.train_config.lr
        return {
            DDPM: OptimizerGroup(list(self.network.parameters())),
            CLASSIFIERS: OptimizerGroup(list(self.annotator.parameters()), rate=rate),
        }

    def phases(self) -> Sequence[Phase]:
        share = self.cfg.ddpm_share
        return (Phase(DDPM, (DDPM,), stop=share), Phase(CLASSIFIERS, (CLASSIFIERS,), start=share))

    def forward(self, batch: Batch, generator: torch.Generator, phase: str = DDPM) -> dict[str, Tensor]:
        if phase == DDPM:
            return super().forward(batch, generator)
        if self.learnt is None:
            self.learnt = self.learn_from()
        features, classes, _ = self.learnt
        return {"loss": self.annotator.loss(features, classes, self.cfg.batch_pixels, generator)}

    def learn_from(self) -> Learnt:
        """Features of the labelled pixels, a batch of images at a time, into the one place that keeps them."""
        unet, device = self.network.unet, self.network.device
        chosen = list(labelled(self.dataset, self.cfg, self.size, self.train_config.seed))
        count = sum(len(pixels) for _, _, pixels in chosen)
        width = self.annotator.members[0].read.in_features  # type: ignore[union-attr]
        features = torch.empty(count, width, device=device)  # type: ignore[arg-type]
        classes = torch.cat([layout.flatten()[pixels] for _, layout, pixels in chosen]).to(device)
        filled = 0
        for start in range(0, len(chosen), self.cfg.sample_batch):
            images, _, pixels = zip(*chosen[start : start + self.cfg.sample_batch], strict=True)
            for part in self.annotator.features(unet, torch.stack(images), pixels):
                features[filled : filled + len(part)] = part
                filled += len(part)
        seeds = [derived_seed(self.train_config.seed, CALIBRATION, i) for i in range(self.cfg.calibration)]
        return Learnt(features, classes, self.draw(seeds))

    def draw(self, seeds: Sequence[int]) -> Tensor:
        """Images uint8 [N,3,H,W] as the model will draw them."""
        cfg = self.cfg
        how = Sampling(self.size, 1.0, cfg.sample_steps, self.train_config.precision)
        with torch.compiler.set_stance("force_eager"):
            images, _ = sample_many(self.network, self.process, None, seeds, how, batch_size=cfg.sample_batch)
        return images

    def weights(self) -> dict[str, Tensor]:
        """The network, the classifiers and, from the second stage on, how uncertain these are of samples."""
        if self.learnt is not None:
            _, doubts = self.annotator.label(self.network.unet, self.learnt.samples)
            self.annotator.uncertainties.copy_(doubts)
        return self.state_dict()

    def preview(self, path: Path) -> None:
        """Eight samples, with their layouts below them once there are classifiers to draw these."""
        if self.learnt is None:
            return super().preview(path)
        images = self.learnt.samples[:8]
        layouts, _ = self.annotator.label(self.network.unet, images)
        save_png(path, grid(images, layouts, self.dataset.palette, columns=4))
