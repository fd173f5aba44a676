"""Lafite, the model: an image from a text in one pass of a StyleGAN2, without layouts and without guidance.

Source: Zhou et al. 2022, "Towards Language-Free Training for Text-to-Image Generation".
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from gcbench.baselines.lafite.config import PRESETS, LafiteConfig
from gcbench.baselines.lafite.encoder import build_encoder
from gcbench.baselines.lafite.network import TextToImage
from gcbench.baselines.lafite.sampling import sample_many
from gcbench.core import checkpoint
from gcbench.core.contracts import Dataset, ModelOptions, Size
from gcbench.core.errors import UserError
from gcbench.training.recipe import Recipe, choose
from gcbench.core.samples import Samples
from gcbench.training.trained_model import TrainedModel, seconds
from gcbench.weights.find_weights import open_weights


class Lafite(TrainedModel):
    """Draws an image from a text in one pass; no guidance, no layouts."""

    name: ClassVar[str] = "lafite"
    conditional = True
    guided = False
    layouts = False
    network: TextToImage

    def __init__(self, network: TextToImage, cfg: LafiteConfig, card: checkpoint.Card, options: ModelOptions):
        self.network = network.eval().to(options.device)
        self.cfg = cfg
        self.card = card
        self.size = cfg.size
        self.precision = options.precision

    @classmethod
    def open(cls, dataset: Dataset, options: ModelOptions) -> "Lafite":
        cls.refuse_steps(options)
        cfg, found = open_weights(cls.name, dataset, options.checkpoint, LafiteConfig)
        cfg = _choose(cfg, options.settings)
        texts = build_encoder(cfg.encoder).texts
        network = TextToImage(cfg, texts)
        prefix = "network."
        state = {key.removeprefix(prefix): v for key, v in found.state.items() if key.startswith(prefix)}
        if cfg.encoder.kind == "open_clip":
            state |= {f"texts.{key}": tensor for key, tensor in texts.state_dict().items()}
        checkpoint.fill(network, found._replace(state=state))
        return cls(network, cfg, found.card, options)

    def generate(
        self, prompts: Sequence[str] | None, *, n: int, size: Size, guidance: float, seeds: Sequence[int]
    ) -> Samples:
        self.check_size(size)
        if prompts is None:
            raise UserError(f"{self.name} draws nothing without a text; give prompts")
        images = sample_many(self.network, prompts, seeds, block=self.cfg.block, precision=self.precision)
        return self.samples(images, None, prompts, seeds)

    def describe(self) -> Mapping[str, str | int | None]:
        encoder = self.cfg.encoder
        if encoder.kind == "dual":
            note = "its image-text encoder was trained with it, on the same pairs, and evaluates nothing"
        else:
            note = f"trained with CLIP {encoder.name}#{encoder.sha256}: by that network it must not be evaluated"
        return {**super().describe(), "note": note}

    def seconds_per_image(self, size: Size, guidance: float) -> float:
        """From one block, timed after one that is not counted."""
        self.check_size(size)
        block = self.cfg.block
        return seconds(lambda: sample_many(self.network, [""], [0], block=block, precision=self.precision)) / block

    def sampler(self) -> Mapping[str, float | str]:
        return {"precision": self.precision}

    @classmethod
    def recipe(cls, dataset: Dataset, settings: dict[str, Any]) -> Recipe:
        """What `gcbench train` trains. `settings`: `preset` (tiny, paper), `model.*` and `train.*`."""
        from gcbench.baselines.lafite.training import LafiteRecipe

        cfg, training = choose(PRESETS, settings, dataset.size)
        return LafiteRecipe(cls.name, cfg, dataset, training)


def _choose(cfg: LafiteConfig, settings: Mapping[str, Any]) -> LafiteConfig:
    """The config with what a sample run may choose: where the weights of a CLIP lie."""
    known = ("encoder.path",) if cfg.encoder.kind == "open_clip" else ()
    for key in settings:
        if key not in known:
            may = f"may only choose {known[0]}" if known else "has nothing to choose"
            raise UserError(f"--set {key}: a sample run of {Lafite.name} {may}; the rest was settled in training")
    encoder = cfg.encoder.model_copy(update={"path": str(settings["encoder.path"])}) if settings else cfg.encoder
    return cfg.model_copy(update={"encoder": encoder})
