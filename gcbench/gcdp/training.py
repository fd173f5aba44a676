"""How a GCDP is trained: the recipe that the trainer runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from gcbench.core.contracts import Dataset
from gcbench.core.draws import moved, normal, of_images, once, uniform
from gcbench.core.errors import UserError
from gcbench.data.contact_sheet import grid, save_png
from gcbench.diffusion.joint import JointProcess
from gcbench.diffusion.schedules import training_times
from gcbench.gcdp.config import GCDPConfig
from gcbench.gcdp.network import TextToPair
from gcbench.gcdp.sampling import Beside, Sampling, sample_many
from gcbench.gcdp.super_resolution import LAST_TIME, augmentation, resized, told
from gcbench.networks.unet import LowRes
from gcbench.text.known_words import learned
from gcbench.training.recipe import (
    Batch,
    Recipe,
    TrainConfig,
    captions_of,
    check_multiples,
    compile_network,
    preview_captions,
)


class GCDPRecipe(Recipe):
    """Joint image and label losses at random times, texts dropped for guidance. layouts: whether it draws any."""

    layouts: ClassVar[bool] = True
    cfg: GCDPConfig

    def __init__(self, name: str, cfg: GCDPConfig, dataset: Dataset, train_config: TrainConfig):
        super().__init__(name, cfg, dataset, train_config)
        process = cfg.process.model_copy(update={"classes": len(dataset.classes) if self.layouts else None})
        text = cfg.text
        if text is not None and text.kind == "words" and not text.vocabulary:
            text = text.model_copy(update=learned(captions_of(dataset, dataset.splits[0]), dataset.aliases))
        self.cfg = cfg.model_copy(update={"process": process, "text": text})
        check_multiples(self.size, cfg.unet.stride)
        torch.manual_seed(train_config.seed)
        self.network = TextToPair(self.cfg)
        compile_network(self.network.unet, train_config.compile)
        self.process, self.augmentation = JointProcess(process), augmentation(process.classes)
        self.shown = preview_captions(dataset)
        self.low_size = cfg.low_size or (self.size[0] // 2, self.size[1] // 2)
        if cfg.unet.lowres and any(
            high <= low or high % low for high, low in zip(self.size, self.low_size, strict=True)
        ):
            fault = f"setting model.low_size={list(self.low_size)} is no whole part of model.size={list(self.size)}"
            raise UserError(f"{fault}; give the size that the stage before it draws")

    def forward(self, batch: Batch, generator: torch.Generator, phase: str = "") -> dict[str, Tensor]:
        device = self.network.device
        b, _, h, w = batch.images.shape
        x0 = batch.images.to(device).float() / 127.5 - 1
        y0 = batch.layouts.to(device) if self.process.cfg.classes else None
        if self.cfg.training_times == "continuous":
            t = uniform(b, generator=generator) ** self.cfg.time_power * LAST_TIME
        else:
            steps, power = self.process.cfg.steps, self.cfg.time_power
            t = of_images(b, generator, lambda n, source: training_times(n, steps, power, source))
        eps = normal(b, 3, h, w, generator=generator, device=device)
        u = uniform(b, h, w, generator=generator, device=device)
        keep = moved(uniform(b, generator=generator) >= self.cfg.cond_drop, device)
        text = self.network.read(batch.texts, keep)
        low = self.low(x0, y0, generator) if self.cfg.unet.lowres else None
        losses = self.process.losses(
            lambda x, y, log_snr: self.network.unet(x, y, log_snr, text, low), x0, y0, moved(t, device), eps, u
        )
        out = {"loss": losses.total, "image": losses.image}
        return out if losses.label is None else {**out, "label": losses.label}

    def low(self, x0: Tensor, y0: Tensor | None, generator: torch.Generator) -> LowRes:
        """What a super-resolution stage is told: the pair brought down and up again, noised at one time a batch."""
        time = float(once(generator, lambda source: torch.rand((), generator=source))) * LAST_TIME
        image, layout = resized(*resized(x0, y0, self.low_size), self.size)
        b, device = len(image), image.device
        eps = normal(b, *image.shape[1:], generator=generator, device=device)
        u = None if layout is None else uniform(b, *layout.shape[1:], generator=generator, device=device)
        return told(image, layout, time, eps, u, self.augmentation)

    def shrunk(self) -> Mapping[str, Any]:
        """A quarter as wide, on images half as high and wide."""
        unet, (h, w) = self.cfg.unet, self.size
        if unet.dim < 128 or h % (2 * unet.stride) or w % (2 * unet.stride):
            return {}
        return {"model.unet.dim": unet.dim // 4, "model.size": [h // 2, w // 2]}

    def weights(self) -> dict[str, Tensor]:
        return self.network.trained()

    def preview(self, path: Path) -> None:
        """Eight validation captions at guidance 2: images above, layouts below."""
        prompts = self.shown if self.cfg.text else None
        beside = Beside("low", *self.smaller()) if self.cfg.unet.lowres else None
        with torch.compiler.set_stance("force_eager"):  # compiling anew for a few images takes longer than they do
            images, layouts = sample_many(
                self.network,
                self.process,
                prompts,
                range(len(self.shown)),
                Sampling(self.size, 2.0, self.cfg.sample_steps, self.train_config.precision),
                batch_size=self.cfg.sample_batch,
                beside=beside,
            )
        if beside is not None and beside.images is not None:  # above each sample, what it was drawn from
            before, under = resized(beside.images.float(), beside.layouts, self.size)
            images = torch.cat((before.byte(), images))
            layouts = None if layouts is None or under is None else torch.cat((under, layouts))
        save_png(path, grid(images, layouts, self.dataset.palette, columns=4))

    def smaller(self) -> tuple[Tensor, Tensor | None]:
        """Held-out pairs of the size that a super-resolution stage enlarges, for its previews."""
        split = self.dataset.splits[-1]
        pairs = [self.dataset.pair(split, i, self.low_size) for i in range(len(self.shown))]
        images = torch.from_numpy(np.stack([image for image, _ in pairs])).permute(0, 3, 1, 2)
        layouts = torch.from_numpy(np.stack([layout for _, layout in pairs])).long()
        return images, layouts if self.process.cfg.classes else None


class ImageRecipe(GCDPRecipe):
    """The image alone."""

    layouts = False
