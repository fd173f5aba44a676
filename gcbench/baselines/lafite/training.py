"""How a Lafite is trained: first its image-text encoder, then generator and discriminator."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from gcbench.baselines.lafite.config import LafiteConfig
from gcbench.baselines.lafite.contrastive import contrastive, cosines, matching, paired_logits
from gcbench.baselines.lafite.encoder import build_encoder, with_hash
from gcbench.baselines.lafite.network import TextToImage, sample_many
from gcbench.baselines.lafite.pseudo import Pseudo, fixed
from gcbench.baselines.stylegan2 import lazy
from gcbench.core.contracts import Dataset
from gcbench.core.draws import moved, normal, uniform
from gcbench.core.shared_batch import gathered
from gcbench.data.contact_sheet import grid, save_png
from gcbench.networks.adversarial import logistic_discriminator, logistic_generator, path_lengths, r1
from gcbench.networks.stylegan2 import Discriminator, Noise, mixed
from gcbench.text.known_words import learned
from gcbench.training.recipe import (
    Batch,
    OptimizerGroup,
    Phase,
    Recipe,
    TrainConfig,
    captions_of,
    check_uncompiled,
    preview_captions,
)

PLAIN_RATE = 0.4
"""Of the networks without equalised learning rate, beside those that have it."""


class LafiteRecipe(Recipe):
    """The phases encoder and pseudo in the preparation, if there is one to train; then generator, discriminator, r1
    and path. Path lengths are compared with their running mean, `path_mean`."""

    path_mean: Tensor

    def __init__(self, name: str, cfg: LafiteConfig, dataset: Dataset, train_config: TrainConfig):
        super().__init__(name, cfg, dataset, train_config)
        check_uncompiled(name, train_config)
        encoder = with_hash(cfg.encoder)
        if encoder.kind == "dual" and not encoder.vocabulary:
            encoder = encoder.model_copy(update=learned(captions_of(dataset, dataset.splits[0]), dataset.aliases))
        self.cfg = cfg.model_copy(update={"encoder": encoder})
        torch.manual_seed(train_config.seed)
        self.images, texts = build_encoder(encoder)
        self.network = TextToImage(self.cfg, texts)
        self.pseudo = Pseudo(cfg.pseudo, encoder.dim)
        self.discriminator = Discriminator(cfg.stylegan, encoder.dim)
        self.register_buffer("path_mean", torch.zeros(()))
        self.shown = preview_captions(dataset)

    def optimizer_groups(self) -> Mapping[str, OptimizerGroup]:
        betas, loss = self.train_config.betas, self.cfg.loss
        groups = {
            "generator": lazy([self.network.generator], betas, loss.path_every if loss.path else None),
            "discriminator": lazy([self.discriminator], betas, loss.r1_every),
        }
        if self.cfg.encoder.kind == "dual":
            parameters = [*self.images.parameters(), *self.network.texts.parameters()]
            groups["encoder"] = OptimizerGroup(parameters, PLAIN_RATE, (0.9, 0.99))
        if self.cfg.pseudo.kind == "learned":
            groups["pseudo"] = OptimizerGroup(list(self.pseudo.parameters()), PLAIN_RATE, (0.9, 0.99))
        return groups

    def phases(self) -> Sequence[Phase]:
        prepared = [name for name in ("encoder", "pseudo") if name in self.optimizer_groups()]
        start = self.cfg.preparation if prepared else 0.0
        loss = self.cfg.loss
        phases = [Phase(name, (name,), stop=start) for name in prepared]
        phases += [Phase(name, (name,), start=start) for name in ("generator", "discriminator")]
        phases.append(Phase("r1", ("discriminator",), every=loss.r1_every, start=start))
        if loss.path:
            phases.append(Phase("path", ("generator",), every=loss.path_every, start=start))
        return phases

    def forward(self, batch: Batch, generator: torch.Generator, phase: str = "") -> dict[str, Tensor]:
        real = batch.images.to(self.path_mean.device).float() / 127.5 - 1  # [B,3,H,W]
        if phase == "encoder":
            return self._encoder(real, batch.texts)
        if phase == "pseudo":
            return self._pseudo(real, batch.texts, generator)
        h = self.conditions(real, batch.texts, generator)  # [B,D]
        if phase == "generator":
            return self._generator(h, generator)
        if phase == "discriminator":
            return self._discriminator(real, h, generator)
        return self._r1(real, h) if phase == "r1" else self._path(h, generator)

    @torch.no_grad()
    def conditions(self, real: Tensor, texts: Sequence[str], generator: torch.Generator) -> Tensor:
        """What each image is given with [B,D]: its text's feature, or with chance `mixing_prob` a pseudo feature."""
        b = len(real)
        use = uniform(b, generator=generator) < self.cfg.mixing_prob
        eps = normal(b, self.cfg.encoder.dim, generator=generator, device=real.device)
        h = torch.empty_like(eps)
        if use.any():
            rows = moved(use.nonzero()[:, 0], real.device)
            h[rows] = self.pseudo(self.images(real[rows]), eps[rows]).float()
        if not use.all():
            rows = moved((~use).nonzero()[:, 0], real.device)
            read = self.network.texts([text for text, other in zip(texts, use, strict=True) if not other])
            h[rows] = fixed(read, eps[rows], self.cfg.text_xi).float()
        return h

    def _encoder(self, real: Tensor, texts: Sequence[str]) -> dict[str, Tensor]:
        """Images and texts find each other; `matched`: share of the texts that find their own."""
        cos = cosines(gathered(self.images(real)), gathered(self.network.texts(texts)))  # [B,B]
        matched = (cos.argmax(0) == torch.arange(len(cos), device=cos.device)).float().mean()
        return {"loss": matching(cos / self.cfg.encoder.temperature, 0.5), "matched": matched}

    def _pseudo(self, real: Tensor, texts: Sequence[str], generator: torch.Generator) -> dict[str, Tensor]:
        with torch.no_grad():
            images, read = self.images(real), self.network.texts(texts)  # [B,D]
        eps = normal(*images.shape, generator=generator, device=real.device)
        return {"loss": self._contrastive(self.pseudo(images, eps), read)}

    def _generator(self, h: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        fake = self._draw(h, generator)
        evaluated = self.discriminator(fake)
        seen, encoded = self._contrastive(evaluated[1], h), self._contrastive(self.images(fake), h)
        loss = logistic_generator(self._paired(evaluated, h))
        return {"loss": loss + self.cfg.loss.itd * seen + self.cfg.loss.itc * encoded, "itd": seen, "itc": encoded}

    def _discriminator(self, real: Tensor, h: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        with torch.no_grad():
            fake = self._draw(h, generator)
        evaluated = self.discriminator(real)
        of_real, of_fake = self._paired(evaluated, h), self._paired(self.discriminator(fake), h)
        seen = self._contrastive(evaluated[1], h)
        return {
            "loss": logistic_discriminator(of_real, of_fake) + self.cfg.loss.itd * seen,
            "itd_real": seen,
            "logit_real": of_real.mean(),
            "logit_fake": of_fake.mean(),
        }

    def _r1(self, real: Tensor, h: Tensor) -> dict[str, Tensor]:
        real.requires_grad_()
        penalty = r1(self._paired(self.discriminator(real), h), real)
        return {"loss": self.cfg.loss.gamma / 2 * self.cfg.loss.r1_every * penalty}

    def _path(self, h: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        w = self.network.generator.latents(self._latent(len(h), generator))  # [B,L,w_dim]
        images = self.network.generator(w, h, self._noise(len(h), generator))
        lengths = path_lengths(images, w, normal(*images.shape, generator=generator, device=images.device))  # [B]
        self.path_mean.lerp_(gathered(lengths.detach()).mean(), 0.01)
        penalty = (lengths - self.path_mean).square().mean()
        return {"loss": self.cfg.loss.path * self.cfg.loss.path_every * penalty}

    def _draw(self, h: Tensor, generator: torch.Generator) -> Tensor:
        network, mixing = self.network.generator, self.cfg.stylegan.mixing
        w = network.latents(self._latent(len(h), generator))  # [B,L,w_dim]
        if mixing:
            w = mixed(w, network.latents(self._latent(len(h), generator)), mixing, generator)
        return network(w, h, self._noise(len(h), generator))

    def _latent(self, b: int, generator: torch.Generator) -> Tensor:
        return normal(b, self.cfg.stylegan.z_dim, generator=generator, device=self.path_mean.device)

    def _noise(self, b: int, generator: torch.Generator) -> Noise:
        return lambda h, w: normal(b, 1, h, w, generator=generator, device=self.path_mean.device)

    def _contrastive(self, images: Tensor, texts: Tensor) -> Tensor:
        loss = self.cfg.loss
        images, texts = gathered(images), gathered(texts)
        return contrastive(images, texts, tau=loss.tau, lam=loss.lam, legacy_exp=loss.legacy_exp)

    def _paired(self, evaluated: tuple[Tensor, Tensor], h: Tensor) -> Tensor:
        return paired_logits(*evaluated, h, legacy_batch_sum=self.cfg.loss.legacy_batch_sum)

    def weights(self) -> dict[str, Tensor]:
        """All but a CLIP: the discriminator and the encoder's other half too, without which --init could not go on."""
        frozen = () if self.cfg.encoder.kind == "dual" else ("images.", "network.texts.")
        return {name: tensor for name, tensor in self.state_dict().items() if not name.startswith(frozen)}

    def preview(self, path: Path) -> None:
        """Eight validation captions."""
        seeds = range(len(self.shown))
        precision = self.train_config.precision
        images = sample_many(self.network, self.shown, seeds, batch_size=self.cfg.sample_batch, precision=precision)
        save_png(path, grid(images, None, self.dataset.palette, columns=4))
