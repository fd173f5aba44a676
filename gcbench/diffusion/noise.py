"""Random numbers that belong to one sample: an image depends on its own seed, never on its batch."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def derived_seed(seed: int, purpose: int, number: int) -> int:
    """The `number`-th seed that follows from `seed` for a purpose, in [0, 2⁶³)."""
    words = np.random.SeedSequence([seed % 2**64, purpose, number]).generate_state(1, np.uint64)
    return int(words[0] >> np.uint64(1))


class SeededNoise:
    """One generator a sample; each call draws the next numbers of every sample's own stream.

    Drawn on the CPU and moved, so that a seed means the same on every device.
    """

    def __init__(self, seeds: Sequence[int], device: str | torch.device = "cpu"):
        self.generators = [torch.Generator().manual_seed(int(seed)) for seed in seeds]
        self.device = device

    def normal(self, *shape: int) -> Tensor:
        """N(0,1) float32 [B,*shape]."""
        return torch.stack([torch.randn(shape, generator=g) for g in self.generators]).to(self.device)

    def uniform(self, *shape: int) -> Tensor:
        """U[0,1) float32 [B,*shape]."""
        return torch.stack([torch.rand(shape, generator=g) for g in self.generators]).to(self.device)
