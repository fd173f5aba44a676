"""GCDP, the reference model: a Gaussian-categorical diffusion process that draws an image and its layout together.

Source: "Learning to Generate Semantic Layouts for Higher Text-Image Correspondence in Text-to-Image Synthesis"
(ICCV 2023).
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch

from gcbench.core import checkpoint
from gcbench.core.contracts import Dataset, ModelOptions, Size
from gcbench.core.errors import UserError
from gcbench.core.samples import Samples
from gcbench.core.settings import apply
from gcbench.diffusion.joint import JointProcess
from gcbench.gcdp.config import PRESETS, GCDPConfig
from gcbench.gcdp.network import TextToPair
from gcbench.gcdp.sampling import sample_many
from gcbench.training.recipe import Recipe, choose
from gcbench.training.trained_model import TrainedModel, seconds
from gcbench.weights.find_weights import open_weights

SAMPLING = ("image_sampler", "last_label", "posterior", "threshold")
"""Settings of the process that a sample run may choose anew; the others belong to what was trained."""


class GCDP(TrainedModel):
    """Draws image and layout from a text, with guidance on both heads."""

    name: ClassVar[str] = "gcdp"
    guided = True
    layouts: bool = True
    network: TextToPair

    def __init__(self, network: TextToPair, cfg: GCDPConfig, card: checkpoint.Card, options: ModelOptions):
        self.network = network.eval().to(options.device)
        self.process = JointProcess(cfg.process)
        self.cfg = cfg
        self.card = card
        self.size = cfg.size
        self.precision = options.precision
        self.steps = self.choose_steps(options, cfg.sample_steps, cfg.process.steps)
        self.conditional = cfg.text is not None
        self.guided = self.conditional

    @classmethod
    def open(cls, dataset: Dataset, options: ModelOptions) -> "GCDP":
        cfg, found = open_weights(cls.name, dataset, options.checkpoint, GCDPConfig)
        cfg = _choose(cfg, options.settings)
        network = TextToPair(cfg)
        frozen = {k: v for k, v in network.state_dict().items() if k not in network.trained()}
        checkpoint.fill(network, found._replace(state={**found.state, **frozen}))
        return cls(network, cfg, found.card, options)

    def generate(
        self, prompts: Sequence[str] | None, *, n: int, size: Size, guidance: float, seeds: Sequence[int]
    ) -> Samples:
        self.check_size(size)
        images, layouts = sample_many(
            self.network,
            self.process,
            prompts if self.conditional else None,
            list(seeds),
            size=size,
            guidance=guidance,
            steps=self.steps,
            block=self.cfg.block,
            precision=self.precision,
        )
        return self.samples(images, layouts, prompts, seeds)

    def check_size(self, size: Size) -> None:
        stride = self.cfg.unet.stride
        if size[0] % stride or size[1] % stride:
            raise UserError(f"size {size[0]}x{size[1]} does not suit this model; take multiples of {stride}")

    @torch.inference_mode()
    def seconds_per_image(self, size: Size, guidance: float) -> float:
        """From one pass of the network over one block, timed after one that is not counted."""
        self.check_size(size)
        b, device = self.cfg.block, self.network.device
        image = torch.zeros(b, 3, *size, device=device)
        layout = torch.zeros(b, *size, dtype=torch.int64, device=device) if self.process.cfg.classes else None
        text = self.network.read(None, torch.zeros(b, dtype=torch.bool, device=device))
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16"):
            took = seconds(
                lambda: self.network.unet(image, layout, torch.zeros(b, device=device), text).noise.sum().item()
            )
        return took / b * self.steps * (2 if self.guided and guidance != 1 else 1)

    def sampler(self) -> Mapping[str, float | str]:
        process = self.cfg.process
        return {
            "steps": float(self.steps),
            **{name: getattr(process, name) for name in SAMPLING},
            "precision": self.precision,
        }

    @classmethod
    def recipe(cls, dataset: Dataset, settings: dict[str, Any]) -> Recipe:
        """What `gcbench train` trains. `settings`: `preset` (tiny, paper), `model.*` and `train.*`."""
        from gcbench.gcdp.training import GCDPRecipe

        cfg, training = choose(PRESETS, settings, dataset.size)
        return GCDPRecipe(cls.name, cfg, dataset, training, layouts=cls.layouts)


def _choose(cfg: GCDPConfig, settings: Mapping[str, Any]) -> GCDPConfig:
    """The config with `process.NAME` settings of a sample run laid over it; NAME is one of SAMPLING."""
    for key in settings:
        if key.removeprefix("process.") not in SAMPLING:
            known = ", ".join(f"process.{name}" for name in SAMPLING)
            raise UserError(f"--set {key}: a sample run may only choose {known}; the rest was settled in training")
    [process] = apply({"process": cfg.process}, settings)
    return cfg.model_copy(update={"process": process})
