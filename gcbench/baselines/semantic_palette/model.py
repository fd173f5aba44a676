"""Semantic Palette and SB-GAN as models.

Sources: Le Moing et al. 2021, "Semantic Palette: Guiding Scene Generation with Class Proportions"; Azadi et al. 2019,
"Semantic Bottleneck Scene Generation".
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from torch import Tensor, nn

from gcbench.baselines.semantic_palette.config import PRESETS, SemanticPaletteConfig
from gcbench.baselines.semantic_palette.network import PaletteToPair, sample_many
from gcbench.core.checkpoint import Checkpoint, fill
from gcbench.core.contracts import Dataset, Size
from gcbench.training.trained_model import TrainedModel


class SemanticPalette(TrainedModel):
    """Draws class shares, a layout that keeps to them, and its image. Reads no prompts: a record has one point."""

    name: ClassVar[str] = "semantic-palette"
    config = SemanticPaletteConfig
    presets = PRESETS
    recipe_class: ClassVar[str] = "gcbench.baselines.semantic_palette.training:PaletteRecipe"
    conditional = False
    guided = False
    layouts = True
    network: PaletteToPair
    cfg: SemanticPaletteConfig

    @classmethod
    def build(cls, cfg: SemanticPaletteConfig, weights: Checkpoint, dataset: Dataset) -> nn.Module:
        network = PaletteToPair(cfg)
        fill(network, weights)
        return network

    def draw(
        self, prompts: Sequence[str] | None, seeds: Sequence[int], *, size: Size, guidance: float
    ) -> tuple[Tensor, Tensor | None]:
        return sample_many(self.network, seeds, self.precision)

    def describe(self) -> Mapping[str, str | int | None]:
        return {**super().describe(), "note": None if self.cfg.palette else "palette=false: SB-GAN"}
