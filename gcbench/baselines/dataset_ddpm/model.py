"""DatasetDDPM (Baranchuk et al. 2022): an unconditional diffusion model whose own features are read as layouts.

An image is drawn first. Then, slightly noised, it goes through the network once more for each of three times; an
ensemble of ten small classifiers, trained on the pixels of few labelled images, reads the decoder's features at every
pixel, and their vote is the layout. Where the classifiers disagree too much, another image is drawn.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from gcbench.baselines.dataset_ddpm.annotator import Annotator
from gcbench.baselines.dataset_ddpm.config import PRESETS, DatasetDDPMConfig
from gcbench.baselines.dataset_ddpm.ensemble import filtered
from gcbench.core.checkpoint import Card, Checkpoint, fill
from gcbench.core.contracts import Dataset, Given, ModelOptions, Size
from gcbench.gcdp.model import GCDP
from gcbench.gcdp.network import TextToPair
from gcbench.gcdp.sampling import Sampling, sample_batch
from gcbench.training.fixed_batches import in_fixed_batches
from gcbench.training.trained_model import TrainedModel


class DatasetDDPM(GCDP):
    """Draws an image without a text, then reads its layout off the network's features of it.

    The original draws many samples and drops the tenth of which its classifiers are most uncertain. Here a sample must
    not depend on others, so each seed passes or fails by itself: the checkpoint holds the uncertainties of calibration
    samples, and a sample above their 90th percentile is replaced by the next one from seeds that follow from its own
    (`FilterConfig`). The filter is on by default, as it is part of the method; it costs a ninth more sampling, since
    the replacements go through the network one by one and nothing is drawn to fill up a batch.
    """

    name: ClassVar[str] = "dataset-ddpm"
    config = DatasetDDPMConfig
    presets = PRESETS
    recipe_class: ClassVar[str] = "gcbench.baselines.dataset_ddpm.training:DatasetDDPMRecipe"
    sampling: ClassVar[Mapping[str, str]] = {
        "image_sampler": "process.image_sampler",
        "threshold": "process.threshold",
        "keep": "filter.keep",
        "tries": "filter.tries",
    }
    staged = False
    cfg: DatasetDDPMConfig

    def __init__(self, network: Any, cfg: DatasetDDPMConfig, card: Card, options: ModelOptions):
        super().__init__(network, cfg, card, options)
        self.network, self.annotator = network["network"], network["annotator"]

    @classmethod
    def build(cls, cfg: Any, weights: Checkpoint, dataset: Dataset) -> nn.Module:
        network = TextToPair(cfg)
        annotator = Annotator(cfg, network.unet, len(dataset.classes))
        networks = nn.ModuleDict({"network": network, "annotator": annotator})
        fill(networks, weights)
        annotator.check_trained(weights.path)
        return networks

    def draw(
        self,
        prompts: Sequence[str] | None,
        seeds: Sequence[int],
        *,
        size: Size,
        guidance: float,
        given: Given | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        threshold = self.annotator.threshold(self.cfg.filter.keep)
        return filtered(self.draw_once, seeds, self.cfg.sample_batch, threshold, self.cfg.filter.tries)

    def draw_once(self, seeds: Sequence[int], batch_size: int) -> tuple[Tensor, ...]:
        """Images uint8 [N,3,H,W], their layouts int64 [N,H,W] and uncertainties [N], whether they pass or not."""
        how = Sampling(self.size, 1.0, self.steps, self.precision)

        def pairs(batch: list[int], prompts: list[str] | None) -> tuple[Tensor, ...]:
            (images,) = sample_batch(self.network, self.process, None, batch, how)
            return images, *self.label(images)

        return in_fixed_batches(pairs, seeds, None, batch_size)

    def label(self, images: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16"):
            return self.annotator.label(self.network.unet, images)

    def check_size(self, size: Size) -> None:
        TrainedModel.check_size(self, size)  # the fixed noise has one size

    def seconds_per_image(self, size: Size, guidance: float) -> float:
        """One batch's sampling, reckoned from one step, and its labelling, times the samples drawn a seed."""
        sampling = super().seconds_per_image(size, guidance)
        began = time.perf_counter()
        self.label(torch.zeros(self.cfg.sample_batch, 3, *size, dtype=torch.uint8))
        labelling = (time.perf_counter() - began) / self.cfg.sample_batch
        keep = self.cfg.filter.keep
        return (sampling + labelling) * sum((1 - keep) ** i for i in range(self.cfg.filter.tries))

    def describe(self) -> Mapping[str, str | int | None]:
        classifiers = sum(p.numel() for p in self.annotator.parameters())
        drawn = sum(p.numel() for p in self.network.parameters())
        return {**super().describe(), "parameters": drawn + classifiers}
