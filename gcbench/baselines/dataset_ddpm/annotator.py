"""Labels for finished images: decoder features of the diffusion network, read by the ensemble."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gcbench.baselines.dataset_ddpm.config import DatasetDDPMConfig
from gcbench.baselines.dataset_ddpm.ensemble import Ensemble
from gcbench.baselines.dataset_ddpm.features import at_pixels, by_size, channels, choose_blocks, equal_times
from gcbench.diffusion import gaussian
from gcbench.diffusion.schedules import Schedule
from gcbench.networks.decoder_blocks import recorded
from gcbench.networks.unet import UNet


class Annotator(Ensemble):
    """All that is stored beside the U-Net, which it is handed. noise: [3,H,W], put on every image."""

    noise: Tensor

    def __init__(self, cfg: DatasetDDPMConfig, unet: UNet, classes: int, seed: int = 0):
        super().__init__(cfg, channels(unet, cfg.decoder_blocks, len(cfg.times)), classes)
        self.cfg = cfg
        self.schedule = Schedule(cfg.process.image_schedule, cfg.process.steps)
        noise = torch.randn(3, *cfg.size, generator=torch.Generator().manual_seed(seed), device="cpu")
        self.register_buffer("noise", noise.half().float())  # as the checkpoint stores it

    def maps(self, unet: UNet, images: Tensor) -> list[Tensor]:
        """Features of images uint8 [B,3,H,W] at the sizes of the network's levels: one [B,C,h,w] a size.

        The image is brought to each of `times` with the one fixed noise and goes through the network once.
        """
        x0 = images.to(self.noise.device).float() / 127.5 - 1
        maps: list[Tensor] = []
        # hooks set after a network was compiled are not seen by it
        with torch.compiler.set_stance("force_eager"), recorded(choose_blocks(unet, self.cfg.decoder_blocks)) as seen:
            for t in equal_times(self.schedule, self.cfg.times):
                x_t = gaussian.diffuse(x0, self.noise, self.schedule.alpha_bar[t].to(x0))
                unet(x_t, None, self.schedule.log_snr(torch.full((len(x0),), t, device=x0.device)))
                maps += seen.values()
        return by_size(maps)

    @torch.no_grad()
    def features(self, unet: UNet, images: Tensor, pixels: Sequence[Tensor]) -> list[Tensor]:
        """Of each image, the features [P,d] of its own `pixels` [P]."""
        maps = self.maps(unet, images)
        h, w = images.shape[2:]
        return [at_pixels(maps, row, chosen, (h, w)) for row, chosen in enumerate(pixels)]

    @torch.no_grad()
    def label(self, unet: UNet, images: Tensor) -> tuple[Tensor, Tensor]:
        """Layouts int64 [B,H,W] and uncertainties [B] of images uint8 [B,3,H,W], on the CPU.

        One image after the other: what is read off an image depends on nothing else to the last digit, and one
        image's features are all that is held.
        """
        h, w = images.shape[2:]
        layouts, doubts = zip(*(self.read(self.maps(unet, image), (h, w)) for image in images.split(1)), strict=True)
        return torch.cat(layouts), torch.cat(doubts)
