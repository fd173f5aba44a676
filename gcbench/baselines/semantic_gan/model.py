"""SemanticGAN (Li et al. 2021, "Semantic Segmentation with Generative Models"): image and layout from one StyleGAN2.

The authors go on to segment real images, by an encoder and by searching for the latent of each. Here it draws pairs.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from torch import Tensor, nn

from gcbench.baselines.semantic_gan.config import PRESETS, SemanticGANConfig
from gcbench.baselines.semantic_gan.network import PairGenerator, sample_many
from gcbench.core.checkpoint import Checkpoint, fill
from gcbench.core.contracts import Dataset, Size
from gcbench.training.trained_model import TrainedModel


class SemanticGAN(TrainedModel):
    """Draws an image and its layout in one pass, of one latent. Reads no prompts."""

    name: ClassVar[str] = "semantic-gan"
    config = SemanticGANConfig
    presets = PRESETS
    recipe_class: ClassVar[str] = "gcbench.baselines.semantic_gan.training:SemanticGANRecipe"
    sampling: ClassVar[Mapping[str, str]] = {"psi": "psi"}
    conditional = False
    guided = False
    layouts = True
    network: PairGenerator
    cfg: SemanticGANConfig

    @classmethod
    def build(cls, cfg: SemanticGANConfig, weights: Checkpoint, dataset: Dataset) -> nn.Module:
        network = PairGenerator(cfg)
        fill(network, weights)
        return network

    def draw(
        self, prompts: Sequence[str] | None, seeds: Sequence[int], *, size: Size, guidance: float
    ) -> tuple[Tensor, Tensor | None]:
        return sample_many(self.network, seeds, psi=self.cfg.psi, precision=self.precision)

    def describe(self) -> Mapping[str, str | int | None]:
        return {**super().describe(), "note": f"trained with {self.cfg.layout} layouts, all images with their layouts"}
