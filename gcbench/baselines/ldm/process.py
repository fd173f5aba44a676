"""The Gaussian process on latents: z_t = √alpha_bar z_0 + √(1 - alpha_bar) eps at times t in 1..T.

Its steps are those that all models here share (`gcbench.diffusion.gaussian`): diffusers' own DDIMScheduler takes steps
of one length, which miss each other where their number does not divide T. Where it does, the two agree.
"""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from gcbench.baselines.ldm.config import ProcessConfig
from gcbench.baselines.ldm.foreign import diffusers
from gcbench.core.draws import moved
from gcbench.diffusion.gaussian import ddim_step, diffuse, predict_x0, velocity, x0_of_velocity
from gcbench.diffusion.schedules import spaced_times

Predict = Callable[[Tensor, Tensor], Tensor]
"""(z_t [B,C,h,w], t [B]) -> what the head says, [B,C,h,w]."""


class LatentProcess:
    """alpha_bar: float32 [T+1], level 0 is clean; diffusers' `scaled_linear` schedule."""

    def __init__(self, cfg: ProcessConfig):
        self.cfg = cfg
        scheduler = diffusers().DDPMScheduler(
            num_train_timesteps=cfg.steps, beta_start=cfg.betas[0], beta_end=cfg.betas[1], beta_schedule="scaled_linear"
        )
        self.alpha_bar = torch.cat((torch.ones(1), scheduler.alphas_cumprod))  # [T+1]

    def loss(self, predict: Predict, z0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """Mean squared error of the head at times t [B]."""
        level = moved(self.alpha_bar, t.device)[t].view(-1, 1, 1, 1)
        target = eps if self.cfg.head == "eps" else velocity(z0, eps, level)
        return (predict(diffuse(z0, eps, level), t) - target).square().mean()

    def sample(self, predict: Predict, noise: Tensor, steps: int) -> Tensor:
        """z_0 by `steps` steps of DDIM from z_T = noise [B,C,h,w]; nothing is clipped."""
        z = noise
        times = spaced_times(self.cfg.steps, steps)
        for now, then in pairwise(times):
            head = predict(z, torch.full((len(z),), now, device=z.device))
            level = self.alpha_bar[now].to(z.device)
            z0 = predict_x0(z, head, level) if self.cfg.head == "eps" else x0_of_velocity(z, head, level)
            z = ddim_step(z, z0, level, self.alpha_bar[then].to(z.device))
        return z
