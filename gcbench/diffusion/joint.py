"""The Gaussian-categorical process: image and layout noised and denoised together at one shared time t in 1..T.

Source: "Learning to Generate Semantic Layouts for Higher Text-Image Correspondence in Text-to-Image Synthesis"
(ICCV 2023), with its Eq. 11 and 12 corrected. Knows no network: it is handed functions that predict.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from gcbench.core.settings import Count, Share, Weight
from gcbench.diffusion import categorical, gaussian
from gcbench.diffusion.noise import SeededNoise
from gcbench.diffusion.reverse_steps import Step, StepConfig, reverse_steps
from gcbench.diffusion.schedules import Schedule, continuous_log_snr

Predict = Callable[[Tensor, Tensor | None, Tensor], tuple[Tensor, Tensor | None]]
"""(x_t [B,3,H,W], y_t [B,H,W], log_snr [B]) -> (image head [B,3,H,W], label logits [B,K,H,W])."""


class ProcessConfig(StepConfig):
    """Stored in every checkpoint.

    steps: T. image_schedule, label_schedule: `cosine` or `linear`. classes: K, or None for images alone.
    image_weight, label_weight: the lambdas. label_scale: `pixel` (nats a pixel) or `authors` (bits, divided by K).
    loss_weight: `sigma` (√(1-alpha_bar) of the image, on both losses, as the authors' p2 weight comes to) or `none`.
    posterior: `soft` plugs predicted probabilities into the posterior, so that the label head's optimum is
    p(y_0 | all but the pixel's own y_t); `mixture` is D3PM's, and its optimum p(y_0 | everything).
    image_head: what the network's image output is: `eps`, the noise, as in the paper, or `v` = √alpha_bar eps -
    √(1-alpha_bar) x_0 (Salimans & Ho 2022), whose errors are not blown up where little signal is left.
    last_label: `argmax` or `draw` at the last step. image_sampler: `ancestral` or `ddim`. threshold: quantile of |x_0|,
    found as threshold_quantile says: the `smallest` value that so many do not exceed, or `interpolated`.
    """

    steps: Count = 1000
    image_schedule: Literal["cosine", "linear"] = "cosine"
    label_schedule: Literal["cosine", "linear"] = "cosine"
    classes: Count | None = None
    image_weight: Weight = 1.0
    label_weight: Weight = 1.0
    label_scale: Literal["pixel", "authors"] = "pixel"
    loss_weight: Literal["sigma", "none"] = "sigma"
    image_head: Literal["eps", "v"] = "eps"
    posterior: Literal["soft", "mixture"] = "soft"
    last_label: Literal["argmax", "draw"] = "argmax"
    image_sampler: Literal["ancestral", "ddim"] = "ancestral"
    threshold: Share = 0.95
    threshold_quantile: Literal["smallest", "interpolated"] = "smallest"


AUTHORS: Mapping[str, object] = {
    "sample_times": "even",
    "label_index": "floor",
    "first_label_level": "last",
    "image_end": "schedule",
    "start_time": 1 - 1e-7,
    "threshold_quantile": "interpolated",
    "last_label": "draw",
}
"""The sampler's conventions in the authors' public code: each is an option of ProcessConfig."""


class Losses(NamedTuple):
    """total: scalar to minimise; image, label: their unweighted means (MSE of the image head; T·KL in nats a pixel)."""

    total: Tensor
    image: Tensor
    label: Tensor | None


class Noised(NamedTuple):
    """A pair at times t [B]. alpha_bar, log_snr: of the image; label_time, label_before: the layout's t and t-1 ≥ 0."""

    image: Tensor
    layout: Tensor | None
    log_snr: Tensor
    alpha_bar: Tensor
    label_time: Tensor
    label_before: Tensor


class State(NamedTuple):
    """Where a sampling run stands: image in about [-1,1] and layout at time u = t/T, and the predicted clean image."""

    u: float
    image: Tensor
    layout: Tensor | None
    x0: Tensor


class JointProcess:
    """Losses and sampling of the process that `cfg` describes."""

    def __init__(self, cfg: ProcessConfig):
        self.cfg = cfg
        self.image = Schedule(cfg.image_schedule, cfg.steps)
        self.label = Schedule(cfg.label_schedule, cfg.steps, normalised=True)

    def losses(
        self, predict: Predict, x0: Tensor, y0: Tensor | None, t: Tensor, eps: Tensor, u: Tensor | None
    ) -> Losses:
        """Training losses at times t [B], with noise eps [B,3,H,W] and u [B,H,W] in [0,1).

        t: whole times of 1..T (int64), or any u = t/T in [0,1), where the layout stands at ⌊T·u⌋. x0: [B,3,H,W]
        in [-1,1]. Image: mean (head - eps)², or v for eps. Label: T · KL(q(y_{t-1}|y_t,y_0) ‖ p), the mean over
        pixels. Both times √(1 - alpha_bar_t) of the image where loss_weight is `sigma`.
        """
        cfg = self.cfg
        z = self.noised(x0, y0, t, eps, u)
        head, logits = predict(z.image, z.layout, z.log_snr)
        level = z.alpha_bar.view(-1, 1, 1, 1)
        target = gaussian.velocity(x0, eps, level) if cfg.image_head == "v" else eps
        weight = (1 - z.alpha_bar).sqrt() if cfg.loss_weight == "sigma" else torch.ones_like(z.alpha_bar)
        image = ((head.float() - target) ** 2).flatten(1).mean(1)
        if y0 is None or z.layout is None or cfg.classes is None:
            return Losses(cfg.image_weight * (weight * image).mean(), image.mean().detach(), None)
        assert logits is not None
        label_t, label_s = (
            self._levels(self.label, when, x0).view(-1, 1, 1) for when in (z.label_time, z.label_before)
        )
        kl = categorical.posterior_kl(z.layout, y0, logits.float().log_softmax(dim=1), label_t, label_s)
        label = cfg.steps * kl.flatten(1).mean(1)
        scale = categorical.authors_scale(cfg.classes) if cfg.label_scale == "authors" else 1.0
        total = cfg.image_weight * weight * image + cfg.label_weight * scale * weight * label
        return Losses(total.mean(), image.mean().detach(), label.mean().detach())

    def noised(self, x0: Tensor, y0: Tensor | None, t: Tensor, eps: Tensor, u: Tensor | None) -> Noised:
        """x_t and y_t of a pair at times t [B], as in `losses`."""
        cfg = self.cfg
        if t.is_floating_point():
            log_snr, index = continuous_log_snr(self.image.name, t), (t * cfg.steps).long()
            alpha_bar = log_snr.sigmoid()
        else:
            log_snr, index = self.image.log_snr(t), t
            alpha_bar = self._levels(self.image, t, x0).to(x0.dtype)
        image, layout = gaussian.diffuse(x0, eps, alpha_bar.view(-1, 1, 1, 1)), None
        if y0 is not None and cfg.classes is not None:
            assert u is not None
            layout = categorical.diffuse(y0, self._levels(self.label, index, x0).view(-1, 1, 1), cfg.classes, u)
        return Noised(image, layout, log_snr, alpha_bar, index, (index - 1).clamp_min(0))

    def vlb(self, predict: Predict, x0: Tensor, y0: Tensor, t: int, eps: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        """The VLB's term at time t in 1..T, summed over the sample, in nats: (image [B], label [B]).

        t > 1: KL(q(z_{t-1} | z_t, z_0) ‖ p); t = 1: the label's -log p(y_0 | y_1), and for the image the squared
        error in the scale of one 8-bit grey level (the posterior's own variance is 0 there).
        """
        assert self.cfg.classes is not None
        times = torch.full((len(x0),), t, device=x0.device)
        level_t, level_s = (self._levels(self.image, times - i, x0).to(x0.dtype).view(-1, 1, 1, 1) for i in (0, 1))
        label_t, label_s = (self._levels(self.label, times - i, x0).view(-1, 1, 1) for i in (0, 1))
        x_t = gaussian.diffuse(x0, eps, level_t)
        y_t = categorical.diffuse(y0, label_t, self.cfg.classes, u)
        head, logits = predict(x_t, y_t, self.image.log_snr(times))
        assert logits is not None
        truth = gaussian.posterior(x_t, x0, level_t, level_s)
        guess = gaussian.posterior(x_t, self._clean(x_t, head, level_t), level_t, level_s)
        variance = truth.variance if t > 1 else torch.full_like(level_t, (2 / 255) ** 2)
        image = 0.5 * (truth.mean - guess.mean) ** 2 / variance
        label = categorical.posterior_kl(y_t, y0, logits.float().log_softmax(1), label_t, label_s)
        return image.flatten(1).sum(1), label.flatten(1).sum(1)

    def prior(self, x0: Tensor) -> tuple[Tensor, Tensor]:
        """The VLB's parameter-free terms KL(q(z_T|z_0) ‖ prior), summed over the sample, in nats: (image, label)."""
        assert self.cfg.classes is not None
        end = self.image.alpha_bar[-1].to(x0.dtype)
        image = gaussian.prior_kl(x0, end).flatten(1).sum(1)
        pixels = x0.shape[-1] * x0.shape[-2]
        label = categorical.prior_kl(self.label.alpha_bar[-1], self.cfg.classes) * pixels
        return image, label.to(x0.dtype).expand(len(x0))

    def sample(
        self,
        predict: Predict,
        noise: SeededNoise,
        size: tuple[int, int],
        steps: int,
        device: str | torch.device = "cpu",
    ) -> Iterator[State]:
        """Denoise from pure noise in `steps` steps, yielding the state after each; the last has u = 0.

        Each sample draws from its own generator in a fixed order: start image, start layout, then image noise and
        label numbers a step.
        """
        cfg = self.cfg
        h, w = size
        x = noise.normal(3, h, w)
        y = (noise.uniform(h, w) * cfg.classes).long() if cfg.classes else None
        for step in self.steps(steps):
            head, logits = predict(x, y, step.log_snr.to(device).expand(len(x)))
            x, y, x0 = self.step(x, y, head, logits, step, noise)
            yield State(step.s, x, y, x0)

    def steps(self, count: int) -> list[Step]:
        """The steps of a sampling run. ValueError: there are more than the process has times."""
        return reverse_steps(self.image, self.label, count, self.cfg)

    def step(
        self, x: Tensor, y: Tensor | None, head: Tensor, logits: Tensor | None, step: Step, noise: SeededNoise
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """One reverse step, of any length: (x_s, y_s, predicted x_0)."""
        cfg = self.cfg
        clean = self._clean(x, head.float(), step.image_t)
        x0 = gaussian.dynamic_threshold(clean, cfg.threshold, interpolated=cfg.threshold_quantile == "interpolated")
        if cfg.image_sampler == "ddim":
            x = gaussian.ddim_step(x, x0, step.image_t, step.image_s)
        else:
            mean, variance = gaussian.posterior(x, x0, step.image_t, step.image_s)
            x = mean if step.s == 0 else mean + variance.sqrt() * noise.normal(*x.shape[1:])
        if y is not None and logits is not None:
            y = self._label_step(y, logits.float(), step, noise)
        return x, y, x0

    def _label_step(self, y: Tensor, logits: Tensor, step: Step, noise: SeededNoise) -> Tensor:
        cfg = self.cfg
        level_t, level_s = (level.to(logits.device).view(1, 1, 1) for level in (step.label_t, step.label_s))
        if step.s == 0 and cfg.last_label == "argmax":
            form = categorical.posterior if cfg.posterior == "soft" else categorical.mixture_posterior
            return form(y, logits.softmax(dim=1), level_t, level_s).argmax(dim=1)
        u = noise.uniform(*y.shape[1:])
        if level_t == level_s:
            return y
        if cfg.posterior == "mixture":
            return categorical.draw(categorical.mixture_posterior(y, logits.softmax(dim=1), level_t, level_s), u)
        return categorical.draw_posterior(y, logits, level_t, level_s, u)

    def _clean(self, x_t: Tensor, head: Tensor, alpha_bar: Tensor) -> Tensor:
        """The clean image that the image head stands for."""
        form = gaussian.x0_of_velocity if self.cfg.image_head == "v" else gaussian.predict_x0
        return form(x_t, head, alpha_bar)

    def _levels(self, schedule: Schedule, t: Tensor, like: Tensor) -> Tensor:
        return schedule.levels(t).to(like.device)
