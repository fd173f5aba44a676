"""Spectral normalisation (Miyato et al. 2018) that outlives the averaging of weights.

W is divided by its largest singular value σ, W read as [out, in·kernel]. One power iteration a pass finds σ from the
left singular vector u of the pass before. An average of unit vectors is shorter than one, and belongs to no weight that
ever was; so u only says where the iteration starts, and in evaluation too one is made, of vectors of length 1.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization


class SpectralNorm(nn.Module):
    """weight -> weight / σ."""

    u: Tensor

    def __init__(self, weight: Tensor):
        super().__init__()
        self.register_buffer("u", F.normalize(torch.randn(len(weight), device=weight.device), dim=0))  # [out]

    def forward(self, weight: Tensor) -> Tensor:
        matrix = weight.flatten(1)  # [out, in·kernel]
        with torch.no_grad():
            v = F.normalize(matrix.T @ self.u, dim=0)
            u = F.normalize(matrix @ v, dim=0)
            if self.training:
                self.u.copy_(u)
        return weight / (u @ (matrix @ v))


def spectral(layer: nn.Conv2d) -> nn.Conv2d:
    """The layer, its weight normalised from now on."""
    register_parametrization(layer, "weight", SpectralNorm(layer.weight))
    return layer
