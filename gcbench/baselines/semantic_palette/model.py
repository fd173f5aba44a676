"""Semantic Palette and SB-GAN as models.

Sources: Le Moing et al. 2021, "Semantic Palette: Guiding Scene Generation with Class Proportions"; Azadi et al. 2019,
"Semantic Bottleneck Scene Generation".
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from gcbench.baselines.semantic_palette.config import PRESETS, SemanticPaletteConfig
from gcbench.baselines.semantic_palette.network import PaletteToPair, sample_many
from gcbench.core import checkpoint
from gcbench.core.contracts import Dataset, ModelOptions, Size
from gcbench.core.errors import UserError
from gcbench.training.recipe import Recipe, choose
from gcbench.core.samples import Samples
from gcbench.training.trained_model import TrainedModel, seconds
from gcbench.weights.find_weights import open_weights


class SemanticPalette(TrainedModel):
    """Draws class shares, a layout that keeps to them, and its image. Reads no prompts: a record has one point."""

    name: ClassVar[str] = "semantic-palette"
    conditional = False
    guided = False
    layouts = True
    network: PaletteToPair

    def __init__(self, network: PaletteToPair, card: checkpoint.Card, options: ModelOptions):
        self.refuse_steps(options)
        for key in options.settings:
            raise UserError(f"--set {key}: {self.name} has nothing to choose when it samples")
        self.network = network.eval().to(options.device)
        self.card = card
        self.size = network.cfg.size
        self.precision = options.precision

    @classmethod
    def open(cls, dataset: Dataset, options: ModelOptions) -> "SemanticPalette":
        cfg, found = open_weights(cls.name, dataset, options.checkpoint, SemanticPaletteConfig)
        network = PaletteToPair(cfg)
        checkpoint.fill(network, found)
        return cls(network, found.card, options)

    def generate(
        self, prompts: Sequence[str] | None, *, n: int, size: Size, guidance: float, seeds: Sequence[int]
    ) -> Samples:
        self.check_size(size)
        images, layouts = sample_many(self.network, list(seeds), self.precision)
        return self.samples(images, layouts, prompts, seeds)

    def describe(self) -> Mapping[str, str | int | None]:
        return {**super().describe(), "note": None if self.network.cfg.palette else "palette=false: SB-GAN"}

    def seconds_per_image(self, size: Size, guidance: float) -> float:
        """From one block, timed after one that is not counted."""
        self.check_size(size)
        return seconds(lambda: sample_many(self.network, [0], self.precision)) / self.network.cfg.block

    def sampler(self) -> Mapping[str, float | str]:
        return {"precision": self.precision}

    @classmethod
    def recipe(cls, dataset: Dataset, settings: dict[str, Any]) -> Recipe:
        """What `gcbench train` trains. `settings`: `preset` (tiny, paper), `model.*` and `train.*`."""
        from gcbench.baselines.semantic_palette.training import PaletteRecipe

        cfg, training = choose(PRESETS, settings, dataset.size)
        return PaletteRecipe(cls.name, cfg, dataset, training)
