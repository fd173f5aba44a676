"""GANformer (Hudson & Zitnick 2021): StyleGAN2 with attention between a map's places and several latents.

It draws images from noise alone and no layouts. Its layouts are those that the evaluating segmenter reads in its
images, as in Table 1 of the GCDP paper; mIoU is refused for them.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from torch import Tensor, nn

from gcbench.baselines.ganformer.config import PRESETS, GANformerConfig
from gcbench.baselines.ganformer.network import Generator, sample_many
from gcbench.core.checkpoint import Checkpoint, fill
from gcbench.core.contracts import Dataset, Size
from gcbench.training.trained_model import TrainedModel


class GANformer(TrainedModel):
    """Draws an image of several random latents in one pass. Reads no prompts; its layouts are the segmenter's."""

    name: ClassVar[str] = "ganformer"
    config = GANformerConfig
    presets = PRESETS
    recipe_class: ClassVar[str] = "gcbench.baselines.ganformer.training:GANformerRecipe"
    sampling: ClassVar[Mapping[str, str]] = {"psi": "psi"}
    conditional = False
    guided = False
    layouts = False
    derives = True
    network: Generator
    cfg: GANformerConfig

    @classmethod
    def build(cls, cfg: GANformerConfig, weights: Checkpoint, dataset: Dataset) -> nn.Module:
        network = Generator(cfg)
        fill(network, weights)
        return network

    def draw(
        self, prompts: Sequence[str] | None, seeds: Sequence[int], *, size: Size, guidance: float
    ) -> tuple[Tensor, Tensor | None]:
        return sample_many(self.network, seeds, psi=self.cfg.psi, precision=self.precision), None
