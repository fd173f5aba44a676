"""Lafite, the model: an image from a text in one pass of a StyleGAN2, without layouts and without guidance.

Source: Zhou et al. 2022, "Towards Language-Free Training for Text-to-Image Generation".
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from torch import Tensor, nn

from gcbench.baselines.lafite.config import PRESETS, LafiteConfig
from gcbench.baselines.lafite.encoder import build_encoder
from gcbench.baselines.lafite.network import TextToImage, sample_many
from gcbench.core.checkpoint import Checkpoint, fill
from gcbench.core.contracts import Dataset, Size
from gcbench.core.errors import UserError
from gcbench.training.trained_model import TrainedModel


class Lafite(TrainedModel):
    """Draws an image from a text in one pass; no guidance, no layouts."""

    name: ClassVar[str] = "lafite"
    config = LafiteConfig
    presets = PRESETS
    recipe_class: ClassVar[str] = "gcbench.baselines.lafite.training:LafiteRecipe"
    conditional = True
    guided = False
    layouts = False
    network: TextToImage
    cfg: LafiteConfig

    @classmethod
    def places(cls, cfg: LafiteConfig) -> Mapping[str, str]:
        return {"encoder_path": "encoder.path"} if cfg.encoder.kind == "open_clip" else {}

    @classmethod
    def build(cls, cfg: LafiteConfig, weights: Checkpoint, dataset: Dataset) -> nn.Module:
        network = TextToImage(cfg, build_encoder(cfg.encoder).texts)
        clip = cfg.encoder.kind == "open_clip"
        frozen = [name for name in network.state_dict() if clip and name.startswith("texts.")]
        fill(network, weights.part("network."), frozen)
        return network

    def draw(
        self, prompts: Sequence[str] | None, seeds: Sequence[int], *, size: Size, guidance: float
    ) -> tuple[Tensor, Tensor | None]:
        if prompts is None:
            raise UserError(f"{self.name} draws nothing without a text; give prompts")
        batch_size, precision = self.cfg.sample_batch, self.precision
        return sample_many(self.network, prompts, seeds, batch_size=batch_size, precision=precision), None

    def describe(self) -> Mapping[str, str | int | None]:
        encoder = self.cfg.encoder
        if encoder.kind == "dual":
            note = "its image-text encoder was trained with it, on the same pairs, and evaluates nothing"
        else:
            note = f"trained with CLIP {encoder.name}#{encoder.sha256}: by that network it must not be evaluated"
        return {**super().describe(), "note": note}
