"""What draws an image from a text's feature: a StyleGAN2 that reads the feature in every modulated layer."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gcbench.baselines.lafite.config import LafiteConfig
from gcbench.core.samples import to_bytes
from gcbench.diffusion.noise import SeededNoise
from gcbench.networks.stylegan2 import Linear, Mapping, Noise, Synthesis, leaky, pixel_norm
from gcbench.training.fixed_batches import in_fixed_batches


class Generator(nn.Module):
    """Latents z [B,z_dim], mapped to w, and unit text features h [B,D] to images [B,3,H,W].

    Layer l's style is [w; T_l(h)], T_l two linear layers of its own. The image of a resolution shares its style with
    the next convolution, as in StyleGAN2, so that there are two T a resolution.
    """

    def __init__(self, cfg: LafiteConfig):
        super().__init__()
        gan = cfg.stylegan
        self.mapping = Mapping(gan.z_dim, gan.w_dim, gan.mapping_layers)
        self.readers = nn.ModuleList(TextLayer(cfg.encoder.dim, cfg.text_dim) for _ in range(gan.layers))
        self.synthesis = Synthesis(gan, gan.w_dim + cfg.text_dim)

    def forward(self, w: Tensor, texts: Tensor, noise: Noise) -> Tensor:
        """w: [B,L,w_dim], what `latents` gives, or mixed."""
        read = torch.stack([reader(texts) for reader in self.readers], 1)  # [B,L,text_dim]
        return self.synthesis(torch.cat((w, read), 2), noise)  # [B,3,H,W]

    def latents(self, z: Tensor) -> Tensor:
        """[B,L,w_dim], the same w for each layer."""
        return self.mapping(z).unsqueeze(1).expand(-1, len(self.readers), -1)


class TextLayer(nn.Module):
    """Two linear layers on a unit vector, which is brought to unit mean square first."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.first, self.second = Linear(inputs, outputs), Linear(outputs, outputs)

    def forward(self, h: Tensor) -> Tensor:
        return self.second(leaky(self.first(pixel_norm(h))))


class TextToImage(nn.Module):
    """All that an image needs: the generator, and the encoder's half that reads texts."""

    def __init__(self, cfg: LafiteConfig, texts: nn.Module):
        super().__init__()
        self.generator = Generator(cfg)
        self.texts = texts

    def draw(self, z: Tensor, texts: Sequence[str], noise: Noise) -> Tensor:
        """Images uint8 [B,3,H,W]. Each text is read alone, so that no other's length touches its feature."""
        h = torch.cat([self.texts([text]) for text in texts])  # [B,D]
        images = self.generator(self.generator.latents(z), h, noise)
        return to_bytes(images)


@torch.inference_mode()
def sample_many(
    network: TextToImage, prompts: Sequence[str], seeds: Sequence[int], *, batch_size: int, precision: str = "fp32"
) -> Tensor:
    """Images uint8 [N,3,H,W]. A seed's stream gives z first, then the noise of each convolution in turn."""
    device = network.generator.synthesis.seed.device

    def draw(seeds: list[int], prompts: list[str] | None) -> tuple[Tensor, ...]:
        noise = SeededNoise(seeds, device)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
            z = noise.normal(network.generator.synthesis.cfg.z_dim)  # [B,z_dim]
            return (network.draw(z, prompts or [], lambda h, w: noise.normal(1, h, w)).cpu(),)

    return in_fixed_batches(draw, seeds, prompts, batch_size)[0]
