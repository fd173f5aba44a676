"""LDM: diffusion in the latent space of an autoencoder, with cross-attention on a text.

Source: "High-Resolution Image Synthesis with Latent Diffusion Models" (Rombach et al., CVPR 2022). It draws no layouts.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from gcbench.baselines.ldm.config import PRESETS, LDMConfig
from gcbench.core import checkpoint
from gcbench.core.contracts import Dataset, ModelOptions, Size
from gcbench.core.errors import UserError
from gcbench.training.fixed_batches import in_blocks
from gcbench.training.recipe import Recipe, choose
from gcbench.core.samples import Samples
from gcbench.training.trained_model import TrainedModel, seconds
from gcbench.weights.find_weights import open_weights

if TYPE_CHECKING:
    from gcbench.baselines.ldm.network import LatentDiffusion


def place_vae(cfg: LDMConfig, settings: Mapping[str, Any]) -> LDMConfig:
    """The config with `vae.path` of a sample run: where a finished autoencoder lies on this machine.

    Raises:
        UserError: any other setting, or an autoencoder that lies in the checkpoint.
    """
    for key, value in settings.items():
        if key != "vae.path":
            raise UserError(f"--set {key}: a sample run may only choose vae.path; the rest was settled in training")
        if cfg.vae.kind != "diffusers":
            raise UserError("--set vae.path: this ldm's autoencoder was trained with it and lies in its checkpoint")
        cfg = cfg.model_copy(update={"vae": cfg.vae.model_copy(update={"path": str(value)})})
    return cfg


class LDM(TrainedModel):
    """Draws an image's latents from a text, with guidance, and decodes them."""

    name: ClassVar[str] = "ldm"
    conditional = True
    guided = True
    layouts = False
    network: "LatentDiffusion"

    def __init__(self, network: "LatentDiffusion", cfg: LDMConfig, card: checkpoint.Card, options: ModelOptions):
        from gcbench.baselines.ldm.process import LatentProcess

        self.network = network.eval().to(options.device)
        self.process = LatentProcess(cfg.process)
        self.cfg = cfg
        self.card = card
        self.size = cfg.size
        self.precision = options.precision
        self.steps = self.choose_steps(options, cfg.sample_steps, cfg.process.steps)

    @classmethod
    def open(cls, dataset: Dataset, options: ModelOptions) -> "LDM":
        from gcbench.baselines.ldm.network import LatentDiffusion

        cfg, found = open_weights(cls.name, dataset, options.checkpoint, LDMConfig)
        cfg = place_vae(cfg, options.settings)
        network = LatentDiffusion(cfg)
        frozen = {name: tensor for name, tensor in network.state_dict().items() if name in network.frozen}
        checkpoint.fill(network, found._replace(state={**found.state, **frozen}))
        return cls(network, cfg, found.card, options)

    def generate(
        self, prompts: Sequence[str] | None, *, n: int, size: Size, guidance: float, seeds: Sequence[int]
    ) -> Samples:
        from gcbench.baselines.ldm.sampling import sample_block

        self.check_size(size)
        (images,) = in_blocks(
            lambda seeds, prompts: sample_block(
                self.network,
                self.process,
                prompts,
                seeds,
                size=size,
                guidance=guidance,
                steps=self.steps,
                precision=self.precision,
            ),
            list(seeds),
            prompts,
            self.cfg.block,
        )
        return self.samples(images, None, prompts, seeds)

    @torch.inference_mode()
    def seconds_per_image(self, size: Size, guidance: float) -> float:
        """From one pass of the U-Net and one of the decoder over a block, each timed after one that is not counted."""
        self.check_size(size)
        b, device = self.cfg.block * (1 if guidance == 1 else 2), self.network.device
        latents = torch.zeros(b, *self.network.latent_shape(size), device=device)
        context = self.network.read(None, torch.zeros(b, dtype=torch.bool, device=device))
        times = torch.ones(b, dtype=torch.int64, device=device)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16"):
            step = seconds(lambda: self.network.predict(latents, times, context).sum().item())
            decoding = seconds(lambda: self.network.decode(latents[: self.cfg.block]).sum().item())
        return (step * self.steps + decoding) / self.cfg.block

    def describe(self) -> Mapping[str, str | int | None]:
        vae = self.cfg.vae
        note = {} if vae.kind == "tiny" else {"note": f"autoencoder {vae.path} {vae.sha256}"}
        return {**super().describe(), **note}

    def sampler(self) -> Mapping[str, float | str]:
        return {"sampler": "ddim", "steps": float(self.steps), "precision": self.precision}

    @classmethod
    def recipe(cls, dataset: Dataset, settings: dict[str, Any]) -> Recipe:
        """What `gcbench train` trains. `settings`: `preset` (tiny, paper), `model.*` and `train.*`."""
        from gcbench.baselines.ldm.training import LDMRecipe

        cfg, training = choose(PRESETS, settings, dataset.size)
        return LDMRecipe(cls.name, cfg, dataset, training)
