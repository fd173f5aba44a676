"""LDM: diffusion in the latent space of an autoencoder, with cross-attention on a text.

Source: "High-Resolution Image Synthesis with Latent Diffusion Models" (Rombach et al., CVPR 2022). It draws no layouts.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from gcbench.baselines.ldm.config import PRESETS, LDMConfig
from gcbench.core.checkpoint import Card, Checkpoint, fill
from gcbench.core.contracts import Dataset, ModelOptions, Size
from gcbench.training.fixed_batches import in_fixed_batches
from gcbench.training.trained_model import TrainedModel, seconds

if TYPE_CHECKING:
    from gcbench.baselines.ldm.network import LatentDiffusion


class LDM(TrainedModel):
    """Draws an image's latents from a text, with guidance, and decodes them."""

    name: ClassVar[str] = "ldm"
    config = LDMConfig
    presets = PRESETS
    recipe_class: ClassVar[str] = "gcbench.baselines.ldm.training:LDMRecipe"
    stepped = True
    conditional = True
    guided = True
    layouts = False
    network: "LatentDiffusion"
    cfg: LDMConfig
    steps: int

    def __init__(self, network: nn.Module, cfg: LDMConfig, card: Card, options: ModelOptions):
        from gcbench.baselines.ldm.process import LatentProcess

        super().__init__(network, cfg, card, options)
        self.process = LatentProcess(cfg.process)

    @classmethod
    def places(cls, cfg: LDMConfig) -> Mapping[str, str]:
        return {"vae_path": "vae.path"} if cfg.vae.kind == "diffusers" else {}

    @classmethod
    def build(cls, cfg: LDMConfig, weights: Checkpoint, dataset: Dataset) -> nn.Module:
        from gcbench.baselines.ldm.network import LatentDiffusion

        network = LatentDiffusion(cfg)
        fill(network, weights, network.frozen)
        return network

    def draw(
        self, prompts: Sequence[str] | None, seeds: Sequence[int], *, size: Size, guidance: float
    ) -> tuple[Tensor, Tensor | None]:
        from gcbench.baselines.ldm.sampling import sample_batch

        settings: dict[str, Any] = {
            "size": size,
            "guidance": guidance,
            "steps": self.steps,
            "precision": self.precision,
        }
        sample = partial(sample_batch, self.network, self.process, **settings)
        (images,) = in_fixed_batches(sample, seeds, prompts, self.cfg.sample_batch, self.progress)
        return images, None

    @torch.inference_mode()
    def seconds_per_image(self, size: Size, guidance: float) -> float:
        """From one pass of the U-Net and one of the decoder over a batch, each timed after one that is not counted."""
        self.check_size(size)
        b, device = self.cfg.sample_batch * (1 if guidance == 1 else 2), self.device
        latents = torch.zeros(b, *self.network.latent_shape(size), device=device)
        context = self.network.read(None, torch.zeros(b, dtype=torch.bool, device=device))
        times = torch.ones(b, dtype=torch.int64, device=device)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16"):
            step = seconds(lambda: self.network.predict(latents, times, context).sum().item())
            decoding = seconds(lambda: self.network.decode(latents[: self.cfg.sample_batch]).sum().item())
        return (step * self.steps + decoding) / self.cfg.sample_batch

    def describe(self) -> Mapping[str, str | int | None]:
        vae = self.cfg.vae
        note = {} if vae.kind == "tiny" else {"note": f"autoencoder {vae.path} {vae.sha256}"}
        return {**super().describe(), **note}

    def sampler(self) -> Mapping[str, float | str]:
        return {"sampler": "ddim", **super().sampler()}
