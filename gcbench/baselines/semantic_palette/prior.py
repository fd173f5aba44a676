"""The palette prior: which share of an image each class takes, as a Gaussian mixture.

A palette is [K], not negative, of sum 1. Full covariances; the number of components is the one of least AIC. The
mixture is kept as tensors, so that sampling needs neither scikit-learn nor what it pickles.
Source: Le Moing et al. 2021, "Semantic Palette: Guiding Scene Generation with Class Proportions".
"""

import warnings

import numpy as np
import torch
from torch import Tensor, nn

from gcbench.core.contracts import Dataset, Size

SMALLEST_VARIANCE = 1e-6
"""Added to every variance: classes that a component's images lack have none. A deviation of 0.1 % of the area."""


def class_shares(dataset: Dataset, split: str, size: Size) -> np.ndarray:
    """The palettes of a split's layouts, float64 [N,K]."""
    k = len(dataset.classes)
    pairs = (dataset.pair(split, i, size) for i in range(len(dataset.ids(split))))
    return np.stack([np.bincount(layout.ravel(), minlength=k) / layout.size for _, layout in pairs])


class PalettePrior(nn.Module):
    """weights [M], means [M,K], factors [M,K,K] with factor·factorᵀ the covariance. Unused components weigh 0."""

    weights: Tensor
    means: Tensor
    factors: Tensor

    def __init__(self, classes: int, components: int):
        super().__init__()
        self.register_buffer("weights", torch.zeros(components))
        self.register_buffer("means", torch.zeros(components, classes))
        self.register_buffer("factors", torch.zeros(components, classes, classes))

    def fit(self, shares: np.ndarray) -> None:
        """Take on the mixture of least AIC for `shares` [N,K]. Each component gets 2K rows or more on average."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture

        n, k = shares.shape
        most = max(1, min(len(self.weights), n // (2 * k)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fits = [
                GaussianMixture(m, reg_covar=SMALLEST_VARIANCE, random_state=0).fit(shares) for m in range(1, most + 1)
            ]
        best = min(fits, key=lambda fit: fit.aic(shares))
        m = best.n_components
        for buffer in (self.weights, self.means, self.factors):
            buffer.zero_()
        self.weights[:m] = torch.from_numpy(best.weights_)
        self.means[:m] = torch.from_numpy(best.means_)
        self.factors[:m] = torch.from_numpy(np.linalg.cholesky(best.covariances_))

    def sample(self, u: Tensor, normal: Tensor) -> Tensor:
        """Palettes [B,K] from u [B] in [0,1) and normal [B,K]: a draw of the mixture, clipped to [0,1], of sum 1."""
        edges = self.weights.cumsum(0)  # [M]
        chosen = (edges > u[:, None] * edges[-1]).int().argmax(1)  # [B]
        drawn = self.means[chosen] + torch.einsum("bij,bj->bi", self.factors[chosen], normal)
        drawn = drawn.clamp(0, 1)
        return drawn / drawn.sum(1, keepdim=True)
