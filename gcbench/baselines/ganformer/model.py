"""GANformer (Hudson & Zitnick 2021): StyleGAN2 with attention between a map's places and several latents.

It draws images from noise alone and no layouts. Its layouts are those that the evaluating segmenter reads in its
images, as in Table 1 of the GCDP paper; mIoU is refused for them.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from gcbench.baselines.ganformer.config import PRESETS, GANformerConfig
from gcbench.baselines.ganformer.network import Generator
from gcbench.baselines.ganformer.sampling import sample_many
from gcbench.core import checkpoint
from gcbench.core.contracts import Dataset, ModelOptions, Size
from gcbench.training.recipe import Recipe, choose
from gcbench.core.samples import Samples
from gcbench.core.settings import apply
from gcbench.training.trained_model import TrainedModel, seconds
from gcbench.weights.find_weights import open_weights


class SamplerConfig(BaseModel):
    """psi: truncation. Below 1, styles are drawn towards their mean: likelier images, and more alike."""

    model_config = ConfigDict(extra="forbid")

    psi: float = Field(default=1.0, ge=0)


class GANformer(TrainedModel):
    """Draws an image of several random latents in one pass. Reads no prompts; its layouts are the segmenter's."""

    name: ClassVar[str] = "ganformer"
    conditional = False
    guided = False
    layouts = False
    derives = True
    network: Generator

    def __init__(self, network: Generator, card: checkpoint.Card, options: ModelOptions):
        self.refuse_steps(options)
        [self.chosen] = apply({"sampler": SamplerConfig()}, options.settings)
        self.network = network.eval().to(options.device)
        self.card = card
        self.size = network.cfg.size
        self.precision = options.precision

    @classmethod
    def open(cls, dataset: Dataset, options: ModelOptions) -> "GANformer":
        cfg, found = open_weights(cls.name, dataset, options.checkpoint, GANformerConfig)
        network = Generator(cfg)
        checkpoint.fill(network, found)
        return cls(network, found.card, options)

    def generate(
        self, prompts: Sequence[str] | None, *, n: int, size: Size, guidance: float, seeds: Sequence[int]
    ) -> Samples:
        self.check_size(size)
        images = sample_many(self.network, seeds, psi=self.chosen.psi, precision=self.precision)
        return self.samples(images, None, prompts, seeds)

    def seconds_per_image(self, size: Size, guidance: float) -> float:
        """From one block, timed after one that is not counted."""
        self.check_size(size)
        return seconds(lambda: sample_many(self.network, [0], precision=self.precision)) / self.network.cfg.block

    def sampler(self) -> Mapping[str, float | str]:
        return {"psi": self.chosen.psi, "precision": self.precision}

    @classmethod
    def recipe(cls, dataset: Dataset, settings: dict[str, Any]) -> Recipe:
        """What `gcbench train` trains. `settings`: `preset` (tiny, paper), `model.*` and `train.*`."""
        from gcbench.baselines.ganformer.training import GANformerRecipe

        cfg, training = choose(PRESETS, settings, dataset.size)
        return GANformerRecipe(cls.name, cfg, dataset, training)
