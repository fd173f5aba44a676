"""Autoencoder, U-Net and text encoder in one module: one state dict, less what is frozen."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gcbench.baselines.ldm.autoencoder import build_autoencoder
from gcbench.baselines.ldm.config import LDMConfig, UNetConfig
from gcbench.baselines.ldm.foreign import diffusers
from gcbench.core.contracts import Size
from gcbench.networks.text import build_text_encoder


class Context(NamedTuple):
    """What the U-Net reads. tokens: [B,L,D]; mask: bool [B,L], true at words."""

    tokens: Tensor
    mask: Tensor


def build_unet(cfg: UNetConfig, latent: int, text_dim: int) -> Any:
    """UNet2DConditionModel over latents of `latent` channels that attends to texts of width `text_dim`."""
    return diffusers().UNet2DConditionModel(
        in_channels=latent,
        out_channels=latent,
        down_block_types=tuple("CrossAttnDownBlock2D" if cross else "DownBlock2D" for cross in cfg.cross_attention),
        up_block_types=tuple("CrossAttnUpBlock2D" if cross else "UpBlock2D" for cross in cfg.cross_attention[::-1]),
        block_out_channels=cfg.channels,
        layers_per_block=cfg.blocks,
        attention_head_dim=cfg.heads,  # diffusers' name for the number of heads
        cross_attention_dim=text_dim,
        norm_num_groups=cfg.groups,
    )


class LatentDiffusion(nn.Module):
    """std: what latents are divided by before the U-Net sees them; given by a finished autoencoder, else estimated by
    the recipe. frozen: names of the parameters that others trained: they are no part of a checkpoint."""

    def __init__(self, cfg: LDMConfig):
        super().__init__()
        self.vae = build_autoencoder(cfg.vae)
        self.text = build_text_encoder(cfg.text)
        self.unet = build_unet(cfg.unet, self.vae.channels, self.text.dim)
        for parameter in self.unet.conv_out.parameters():
            nn.init.zeros_(parameter)
        self.null = nn.Parameter(torch.randn(self.text.dim))
        self.std: Tensor
        known = cfg.vae.kind == "diffusers"
        self.register_buffer("std", torch.tensor(1 / self.vae.kl.config.scaling_factor if known else 1.0))
        self.length = cfg.text.max_length
        self.stride = self.vae.factor * 2 ** (len(cfg.unet.channels) - 1)
        named = self.named_parameters(remove_duplicate=False)
        self.frozen = frozenset(name for name, parameter in named if not parameter.requires_grad)

    @property
    def device(self) -> torch.device:
        return self.null.device

    def trained(self) -> dict[str, Tensor]:
        """The state dict without frozen parts."""
        return {name: tensor for name, tensor in self.state_dict().items() if name not in self.frozen}

    def latent_shape(self, size: Size) -> tuple[int, int, int]:
        return self.vae.channels, size[0] // self.vae.factor, size[1] // self.vae.factor

    def read(self, texts: Sequence[str] | None, keep: Tensor) -> Context:
        """The texts' tokens, always `length` of them; one learned null token where `keep` [B] is false or there are no
        texts."""
        b, device = len(keep), self.device
        tokens = torch.zeros(b, self.length, self.text.dim, device=device)
        mask = torch.zeros(b, self.length, dtype=torch.bool, device=device)
        if texts is not None:
            embedded = self.text(texts)
            missing = self.length - embedded.mask.shape[1]
            tokens = F.pad(embedded.embeddings, (0, 0, 0, missing))  # [B,L,D]
            mask = F.pad(embedded.mask, (0, missing))  # [B,L]
        null = F.pad(self.null[None], (0, 0, 0, self.length - 1))  # [L,D]
        first = torch.arange(self.length, device=device) == 0
        return Context(torch.where(keep[:, None, None], tokens, null), torch.where(keep[:, None], mask, first))

    def predict(self, latents: Tensor, t: Tensor, context: Context) -> Tensor:
        """The U-Net's answer [B,C,h,w] to scaled latents at times t [B] in 1..T."""
        out = self.unet(latents, t - 1, encoder_hidden_states=context.tokens, encoder_attention_mask=context.mask)
        return out.sample.float()

    def decode(self, latents: Tensor) -> Tensor:
        """Scaled latents -> images, float [B,3,H,W]."""
        return self.vae.decode(latents * self.std)
