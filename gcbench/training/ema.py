"""An exponential moving average of weights, whose decay grows with the number of updates."""

import torch
from torch import Tensor, nn


class EMA:
    """shadow ← d·shadow + (1-d)·weights, d = min(decay, (1+step)/(10+step)). Integer buffers are copied."""

    def __init__(self, module: nn.Module, decay: float):
        self.decay = decay
        self.shadow = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        d = min(self.decay, (1 + step) / (10 + step))
        averaged: list[Tensor] = []
        current: list[Tensor] = []
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                averaged.append(self.shadow[name])
                current.append(tensor)
            else:
                self.shadow[name].copy_(tensor)
        torch._foreach_lerp_(averaged, current, 1 - d)
