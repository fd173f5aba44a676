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
from gcbench.baselines.dataset_ddpm.seeds import TRY, derived
from gcbench.core import checkpoint
from gcbench.core.contracts import Dataset, ModelOptions, Size
from gcbench.core.errors import UserError
from gcbench.training.fixed_batches import in_blocks
from gcbench.training.recipe import Recipe, choose
from gcbench.core.samples import Samples
from gcbench.core.settings import apply
from gcbench.training.trained_model import TrainedModel
from gcbench.gcdp.model import GCDP
from gcbench.gcdp.network import TextToPair
from gcbench.gcdp.sampling import sample_block
from gcbench.weights.find_weights import open_weights

SAMPLING = ("process.image_sampler", "process.threshold", "filter.keep", "filter.tries")
"""What a sample run may choose anew; the rest was settled in training."""


class DatasetDDPM(GCDP):
    """Draws an image without a text, then reads its layout off the network's features of it.

    The original draws many samples and drops the tenth of which its classifiers are most uncertain. Here a sample must
    not depend on others, so each seed passes or fails by itself: the checkpoint holds the uncertainties of calibration
    samples, and a sample above their 90th percentile is replaced by the next one from seeds that follow from its own
    (`FilterConfig`). The filter is on by default, as it is part of the method; it costs a ninth more sampling, since
    the replacements go through the network one by one and nothing is drawn to fill up a block.
    """

    name: ClassVar[str] = "dataset-ddpm"
    cfg: DatasetDDPMConfig

    def __init__(
        self,
        network: TextToPair,
        annotator: Annotator,
        cfg: DatasetDDPMConfig,
        card: checkpoint.Card,
        options: ModelOptions,
    ):
        super().__init__(network, cfg, card, options)
        self.annotator = annotator.eval().to(options.device)

    @classmethod
    def open(cls, dataset: Dataset, options: ModelOptions) -> "DatasetDDPM":
        cfg, found = open_weights(cls.name, dataset, options.checkpoint, DatasetDDPMConfig)
        for key in options.settings:
            if key not in SAMPLING:
                raise UserError(f"--set {key}: a sample run may only choose {', '.join(SAMPLING)}")
        process, kept = apply({"process": cfg.process, "filter": cfg.filter}, options.settings)
        cfg = cfg.model_copy(update={"process": process, "filter": kept})
        network = TextToPair(cfg)
        annotator = Annotator(cfg, network.unet, len(dataset.classes))
        checkpoint.fill(nn.ModuleDict({"network": network, "annotator": annotator}), found)
        if not annotator.trained:
            raise UserError(
                f"checkpoint {found.path} was saved before its pixel classifiers were trained; go on with its training,"
                " by --resume, or choose another"
            )
        return cls(network, annotator, cfg, found.card, options)

    def generate(
        self, prompts: Sequence[str] | None, *, n: int, size: Size, guidance: float, seeds: Sequence[int]
    ) -> Samples:
        self.check_size(size)
        images, layouts, doubts = self.draw(seeds, self.cfg.block)
        threshold = self.annotator.threshold(self.cfg.filter.keep)
        for number in range(1, self.cfg.filter.tries):
            doubtful = [i for i in range(n) if doubts[i] > threshold]
            for i in doubtful:
                again = self.draw([derived(seeds[i], TRY, number)], 1)
                if again[2][0] < doubts[i]:
                    images[i], layouts[i], doubts[i] = (part[0] for part in again)
        return self.samples(images, layouts, prompts, seeds)

    def draw(self, seeds: Sequence[int], block: int) -> tuple[Tensor, ...]:
        """Images uint8 [N,3,H,W], their layouts int64 [N,H,W] and uncertainties [N], `block` at a time."""

        def pairs(these: list[int], prompts: list[str] | None) -> tuple[Tensor, ...]:
            (images,) = sample_block(
                self.network,
                self.process,
                None,
                these,
                size=self.size,
                guidance=1.0,
                steps=self.steps,
                precision=self.precision,
            )
            return images, *self.label(images)

        return in_blocks(pairs, seeds, None, block)

    def label(self, images: Tensor) -> tuple[Tensor, Tensor]:
        device = self.network.device
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16"):
            return self.annotator.label(self.network.unet, images)

    def check_size(self, size: Size) -> None:
        TrainedModel.check_size(self, size)  # the fixed noise has one size

    def seconds_per_image(self, size: Size, guidance: float) -> float:
        """One block's sampling, reckoned from one step, and its labelling, times the samples drawn a seed."""
        sampling = super().seconds_per_image(size, guidance)
        began = time.perf_counter()
        self.label(torch.zeros(self.cfg.block, 3, *size, dtype=torch.uint8))
        labelling = (time.perf_counter() - began) / self.cfg.block
        keep = self.cfg.filter.keep
        return (sampling + labelling) * sum((1 - keep) ** i for i in range(self.cfg.filter.tries))

    def describe(self) -> Mapping[str, str | int | None]:
        facts = super().describe()
        drawn, read = (sum(p.numel() for p in part.parameters()) for part in (self.network, self.annotator))
        return {**facts, "parameters": drawn + read}

    def sampler(self) -> Mapping[str, float | str]:
        process, kept = self.cfg.process, self.cfg.filter
        return {
            "steps": float(self.steps),
            "image_sampler": process.image_sampler,
            "threshold": process.threshold,
            "keep": kept.keep,
            "tries": float(kept.tries),
            "precision": self.precision,
        }

    @classmethod
    def recipe(cls, dataset: Dataset, settings: dict[str, Any]) -> Recipe:
        """What `gcbench train` trains. `settings`: `preset` (tiny, paper), `model.*` and `train.*`."""
        from gcbench.baselines.dataset_ddpm.training import DatasetDDPMRecipe

        cfg, training = choose(PRESETS, settings, dataset.size)
        return DatasetDDPMRecipe(cls.name, cfg, dataset, training)
