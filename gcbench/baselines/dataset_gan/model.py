"""DatasetGAN (Zhang et al. 2021): an unconditional StyleGAN2 whose own features are read as layouts.

An ensemble of ten small classifiers, trained on the pixels of few labelled images, reads what the network's layers
gave at every pixel while it drew; their vote is the layout. Where they disagree too much, another image is drawn. From
the paper it differs in the network (StyleGAN2 for StyleGAN), in how a sample is filtered (`dataset_ddpm.model`), and in
what the classifiers learn from: real pairs, the images searched for among the generator's, see `training`.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from torch import Tensor, nn

from gcbench.baselines.dataset_ddpm.ensemble import Ensemble, filtered
from gcbench.baselines.dataset_gan.config import PRESETS, DatasetGANConfig
from gcbench.baselines.dataset_gan.features import sample_once, width
from gcbench.baselines.stylegan2 import Generator
from gcbench.core.checkpoint import Checkpoint, fill
from gcbench.core.contracts import Dataset, Size
from gcbench.training.trained_model import TrainedModel


class DatasetGAN(TrainedModel):
    """Draws an image of a random latent in one pass, and reads its layout off the features. Reads no prompts."""

    name: ClassVar[str] = "dataset-gan"
    config = DatasetGANConfig
    presets = PRESETS
    recipe_class: ClassVar[str] = "gcbench.baselines.dataset_gan.training:DatasetGANRecipe"
    sampling: ClassVar[Mapping[str, str]] = {"psi": "psi", "keep": "filter.keep", "tries": "filter.tries"}
    conditional = False
    guided = False
    layouts = True
    cfg: DatasetGANConfig

    @classmethod
    def build(cls, cfg: DatasetGANConfig, weights: Checkpoint, dataset: Dataset) -> nn.Module:
        generator = Generator(cfg)
        annotator = Ensemble(cfg, width(generator), len(dataset.classes))
        networks = nn.ModuleDict({"generator": generator, "annotator": annotator})
        fill(networks, weights)
        annotator.check_trained(weights.path)
        return networks

    def draw(
        self, prompts: Sequence[str] | None, seeds: Sequence[int], *, size: Size, guidance: float
    ) -> tuple[Tensor, Tensor | None]:
        threshold = self.network["annotator"].threshold(self.cfg.filter.keep)
        return filtered(self.draw_once, seeds, self.cfg.sample_batch, threshold, self.cfg.filter.tries)

    def draw_once(self, seeds: Sequence[int], batch_size: int) -> tuple[Tensor, ...]:
        """Images, their layouts and uncertainties, whether they pass or not."""
        return sample_once(self.network["generator"], self.network["annotator"], seeds, batch_size, self.precision)

    def describe(self) -> Mapping[str, str | int | None]:
        note = (
            f"its classifiers read real layouts of {self.cfg.labelled} images that were searched for in the generator"
        )
        return {**super().describe(), "note": note}
