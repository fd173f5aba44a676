"""How an LDM is trained: the autoencoder first, then the U-Net on its latents; with a finished autoencoder, the U-Net.

Between the stages the trainer puts the averaged weights in place, so that the U-Net learns the latents of the
autoencoder that will decode it.
"""

from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gcbench.baselines.ldm.config import LDMConfig
from gcbench.baselines.ldm.foreign import weights_hash
from gcbench.baselines.ldm.network import LatentDiffusion
from gcbench.baselines.ldm.process import LatentProcess
from gcbench.baselines.ldm.sampling import reconstruct, sample_batch, to_float
from gcbench.core.contracts import Dataset
from gcbench.core.draws import moved, normal, of_images, uniform
from gcbench.core.shared_batch import gathered
from gcbench.data.contact_sheet import grid, save_png
from gcbench.diffusion.schedules import training_times
from gcbench.text.known_words import learned
from gcbench.training.fixed_batches import in_fixed_batches
from gcbench.training.recipe import (
    Batch,
    OptimizerGroup,
    Phase,
    Recipe,
    TrainConfig,
    captions_of,
    check_multiples,
    compile_network,
    preview_captions,
)


class LDMRecipe(Recipe):
    """Phase `vae`: L1 + kl · KL. Phase `unet`: the head's squared error on scaled latents, texts dropped for guidance.

    measured: whether the latents' std belongs to the autoencoder as it is now; the U-Net's first batch measures it.
    """

    def __init__(self, name: str, cfg: LDMConfig, dataset: Dataset, train_config: TrainConfig):
        super().__init__(name, cfg, dataset, train_config)
        if cfg.text.kind == "words" and not cfg.text.vocabulary:
            known = learned(captions_of(dataset, dataset.splits[0]), dataset.aliases)
            cfg = cfg.model_copy(update={"text": cfg.text.model_copy(update=known)})
        torch.manual_seed(train_config.seed)
        self.network = LatentDiffusion(cfg)
        self.own_vae = cfg.vae.kind == "tiny"
        if not self.own_vae:
            vae = cfg.vae.model_copy(update={"sha256": weights_hash(self.network.vae.kl)})
            cfg = cfg.model_copy(update={"vae": vae})
        self.cfg = cfg
        check_multiples(self.size, self.network.stride, "the networks")
        compile_network(self.network.unet, train_config.compile)
        self.process = LatentProcess(cfg.process)
        self.measured: Tensor
        self.register_buffer("measured", torch.tensor(not self.own_vae))
        self._measured: bool | None = None
        self.captions = preview_captions(dataset)
        pairs = [dataset.pair(dataset.splits[-1], i, self.size) for i in range(len(self.captions))]
        self.real = torch.stack([torch.from_numpy(image) for image, _ in pairs])
        self.real = self.real.permute(0, 3, 1, 2).contiguous()  # [8,3,H,W]

    def optimizer_groups(self) -> dict[str, OptimizerGroup]:
        vae = list(self.network.vae.parameters())
        theirs = set(map(id, vae))
        rest = [p for p in self.network.parameters() if p.requires_grad and id(p) not in theirs]
        groups = {"vae": OptimizerGroup(vae)} if self.own_vae else {}
        return {**groups, "unet": OptimizerGroup(rest)}

    def phases(self) -> tuple[Phase, ...]:
        if not self.own_vae:
            return (Phase("unet", ("unet",)),)
        share = self.cfg.vae.share
        return Phase("vae", ("vae",), stop=share), Phase("unet", ("unet",), start=share)

    def forward(self, batch: Batch, generator: torch.Generator, phase: str = "") -> dict[str, Tensor]:
        images = to_float(batch.images.to(self.network.device))  # [B,3,H,W]
        noise = normal(len(images), *self.network.latent_shape(self.size), generator=generator, device=images.device)
        if phase == "vae":
            return self._autoencode(images, noise)
        return self._denoise(images, batch.texts, noise, generator)

    def _autoencode(self, images: Tensor, noise: Tensor) -> dict[str, Tensor]:
        self.measured.fill_(False)
        self._measured = None
        posterior = self.network.vae.encode(images)
        reconstruction = (self.network.vae.decode(posterior.mean + posterior.std * noise) - images).abs().mean()
        kl = posterior.kl.sum() / images.numel()
        return {"loss": reconstruction + self.cfg.vae.kl * kl, "reconstruction": reconstruction, "kl": kl}

    def _denoise(
        self, images: Tensor, texts: list[str], noise: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        b, steps, device = len(images), self.cfg.process.steps, images.device
        with torch.no_grad():
            posterior = self.network.vae.encode(images)
            z0 = posterior.mean + posterior.std * noise  # [B,C,h,w]
            if self._measured is None:
                self._measured = bool(self.measured)  # read once: a step does not wait for the device
            if not self._measured:
                self.network.std.copy_(gathered(z0).std())
                self.measured.fill_(True)
                self._measured = True
            z0 = z0 / self.network.std
        eps = normal(*z0.shape, generator=generator, device=device)
        t = of_images(b, generator, lambda n, source: training_times(n, steps, 1.0, source))
        keep = uniform(b, generator=generator) >= self.cfg.cond_drop
        context = self.network.read(texts, moved(keep, device))
        return {"loss": self.process.loss(lambda z, t: self.network.predict(z, t, context), z0, moved(t, device), eps)}

    def weights(self) -> dict[str, Tensor]:
        return self.network.trained()

    def preview(self, path: Path) -> None:
        """Held-out images, below them their reconstructions and, in the second stage, what the model draws from their
        captions at guidance 2."""
        precision = self.train_config.precision
        rows = [self.real, reconstruct(self.network.vae, self.real, precision)]
        if self.measured:
            settings: dict[str, Any] = {
                "size": self.size,
                "guidance": 2.0,
                "steps": self.cfg.sample_steps,
                "precision": precision,
            }
            draw = partial(sample_batch, self.network, self.process, **settings)
            seeds, batch_size = range(len(self.captions)), self.cfg.sample_batch
            with torch.compiler.set_stance("force_eager"):  # compiling anew for a few images takes longer than they do
                rows.extend(in_fixed_batches(draw, seeds, self.captions, batch_size))
        save_png(path, grid(torch.cat(rows), None, self.dataset.palette, columns=len(self.captions)))
