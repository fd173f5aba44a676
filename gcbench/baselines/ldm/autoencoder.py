"""From images to latents and back: an AutoencoderKL of diffusers, of our own training or a finished one.

Rombach et al. 2022 train it by L1 and a small KL term, with a perceptual and an adversarial term beside them; those
two are left out here. L1 and KL are an image's sums divided by its 3HW numbers, which leaves their balance as it is in
the paper.
"""

from typing import Any, NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from gcbench.baselines.ldm.config import VAEConfig
from gcbench.baselines.ldm.foreign import diffusers, open_foreign, weights_hash
from gcbench.core.errors import UserError

NARROW = -6.0
"""Log-variance about which a new autoencoder's posterior starts: in a short run the decoder should not have to learn
through noise as large as its latents."""


class Posterior(NamedTuple):
    """q(z | x), a normal of independent elements: mean and std [B,C,h,w]; kl: to N(0,1), in nats, summed, [B]."""

    mean: Tensor
    std: Tensor
    kl: Tensor


class Autoencoder(nn.Module):
    """kl: the AutoencoderKL, over images that were unshuffled patch×patch."""

    def __init__(self, kl: Any, patch: int = 1):
        super().__init__()
        self.kl, self.patch = kl, patch
        self.channels: int = kl.config.latent_channels
        self.factor: int = patch * 2 ** (len(kl.config.block_out_channels) - 1)

    def encode(self, images: Tensor) -> Posterior:
        """images: float [B,3,H,W] in [-1,1]."""
        normal = self.kl.encode(F.pixel_unshuffle(images, self.patch)).latent_dist
        return Posterior(normal.mean.float(), normal.std.float(), normal.kl().float())

    def decode(self, latents: Tensor) -> Tensor:
        """[B,C,h,w] -> float [B,3,H,W], about [-1,1]."""
        return F.pixel_shuffle(self.kl.decode(latents).sample, self.patch).float()


def build_autoencoder(cfg: VAEConfig) -> Autoencoder:
    """The autoencoder of a config: a new one, or the finished one that it names, frozen.
    UserError: the finished one is not there, or its weights are not those that the config was trained with."""
    if cfg.kind == "diffusers":
        kl = open_foreign(cfg.path)
        if cfg.sha256 and (held := weights_hash(kl)) != cfg.sha256:
            raise UserError(
                f"the autoencoder {cfg.path!r} has other weights ({held}) than the one that this ldm was trained with"
                f" ({cfg.sha256}); name that one by --set sampler.vae_path=FOLDER"
            )
        return Autoencoder(kl)
    levels = len(cfg.channels)
    kl = diffusers().AutoencoderKL(
        in_channels=3 * cfg.patch**2,
        out_channels=3 * cfg.patch**2,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=cfg.channels,
        layers_per_block=cfg.blocks,
        latent_channels=cfg.latent,
        norm_num_groups=cfg.groups,
        mid_block_add_attention=cfg.attention,
    )
    nn.init.constant_(kl.quant_conv.bias[cfg.latent :].detach(), NARROW)
    return Autoencoder(kl, cfg.patch)
