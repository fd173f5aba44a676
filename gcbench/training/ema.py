"""An exponential moving average of weights, whose decay grows with the number of updates."""

from typing import Literal

import torch
from torch import Tensor, nn

Growth = Literal["ratio", "power"]


class EMA:
    """shadow ← d·shadow + (1-d)·weights each `every` steps, the weights themselves during the first `after` steps.

    d = min(decay, g(n)), n = step - after; growth: `ratio`, g = (1+n)/(10+n); `power`, g = 1 - (1+n)^(-2/3), and 0 at
    the first update after `after` (that of the package ema-pytorch, with every 10 and after 100). Integer buffers are
    copied.
    """

    def __init__(self, module: nn.Module, decay: float, *, every: int = 1, after: int = 0, growth: Growth = "ratio"):
        self.decay, self.every, self.after, self.growth = decay, every, after, growth
        self.shadow = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}

    def kept(self, step: int) -> float:
        """d, the average's own share in the update of step 0, 1, ..."""
        n = step - self.after
        if self.growth == "power":
            return 0.0 if n <= self.every else min(self.decay, 1 - (1 + n) ** (-2 / 3))
        return 0.0 if n < 0 else min(self.decay, (1 + n) / (10 + n))

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        if step % self.every:
            return
        d = self.kept(step)
        averaged: list[Tensor] = []
        current: list[Tensor] = []
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                averaged.append(self.shadow[name])
                current.append(tensor)
            else:
                self.shadow[name].copy_(tensor)
        torch._foreach_lerp_(averaged, current, 1 - d)

    @torch.no_grad()
    def exchange(self, module: nn.Module) -> None:
        """The module takes on the average, and the shadow what the module held: one tensor's memory more."""
        seen = set()  # a tensor may have two names
        for name, tensor in module.state_dict().items():
            if tensor.numel() and tensor.data_ptr() in seen:
                continue
            seen.add(tensor.data_ptr())
            held = tensor.clone()
            tensor.copy_(self.shadow[name])
            self.shadow[name].copy_(held)
