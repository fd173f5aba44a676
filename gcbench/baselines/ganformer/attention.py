"""Bipartite attention between the n = hw places of a map and k latents (Hudson & Zitnick 2021).

A place asks, latents answer, and the answer scales what is at the place:

    A = softmax_k(Q K^T / √C),   x ← norm(x) * (1 + W A V),   Q [n,C] from the map, V [k,C] from the latents

Simplex: the keys K [k,C] come from the latents. Duplex: they come from the map, as in k-means: key j is the mean of the
queries, weighted by how much of latent j each place took at the layer before, times learned weights of its C numbers;
the first layer's means are learned.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gcbench.core.draws import uniform
from gcbench.networks.stylegan2 import Linear

WAVES = 4
"""Of a place's code: sines and cosines of 1, 2, 4, 8 half turns over the map's height, and over its width."""


def places(h: int, w: int, device: torch.device) -> Tensor:
    """The code of each place of a map: [hw,4·WAVES]."""
    rates = math.pi * 2.0 ** torch.arange(WAVES, device=device)
    y, x = ((torch.arange(n, device=device) + 0.5) / n for n in (h, w))  # each in (0,1)
    angles = torch.cartesian_prod(y, x)[:, :, None] * rates  # [hw,2,WAVES]
    return torch.cat((angles.sin(), angles.cos()), dim=2).flatten(1)


def means(queries: Tensor, shares: Tensor) -> Tensor:
    """[B,k,C]: for each latent the mean of queries [B,n,C] weighted by shares [B,n,k]."""
    return (shares / shares.sum(1, keepdim=True)).transpose(1, 2) @ queries


class BipartiteAttention(nn.Module):
    """x [B,C,h,w] and latents [B,k,D] to a new x, and how much of each latent each place took: [B,k,h,w].

    Before the first layer of a network there are no shares yet (`first`).
    """

    def __init__(self, channels: int, latent_dim: int, latents: int, *, duplex: bool, first: bool, dropout: float):
        super().__init__()
        self.query = Linear(channels, channels)
        self.place = Linear(4 * WAVES, channels)
        self.value = Linear(latent_dim, channels)
        self.out = Linear(channels, channels, start=1.0)
        self.key = None if duplex else Linear(latent_dim, channels)
        self.embedding = None if duplex else nn.Parameter(torch.randn(latents, latent_dim))
        self.weight = nn.Parameter(torch.ones(channels)) if duplex else None
        self.start = nn.Parameter(torch.randn(latents, channels)) if duplex and first else None
        self.dropout = dropout

    def forward(
        self, x: Tensor, latents: Tensor, shares: Tensor | None, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """generator: of the dropout in training; without it nothing is left out."""
        b, c, h, w = x.shape
        tokens = F.layer_norm(x.flatten(2).transpose(1, 2), (c,))  # [B,n,C]
        queries = (self.query(tokens) + self.place(places(h, w, x.device).to(x.dtype))) / math.sqrt(2)
        keys = self.keys(queries, latents, shares, (h, w))  # [B,k,C]
        attention = (queries @ keys.transpose(1, 2) / math.sqrt(c)).softmax(-1)  # [B,n,k]
        taken = attention
        if generator is not None and self.dropout:
            kept = uniform(*attention.shape, generator=generator, device=x.device) >= self.dropout
            taken = attention * kept / (1 - self.dropout)
        scaled = tokens * self.out(taken @ self.value(latents))  # [B,n,C]
        return scaled.transpose(1, 2).view(b, c, h, w), attention.transpose(1, 2).view(b, -1, h, w)

    def keys(self, queries: Tensor, latents: Tensor, shares: Tensor | None, size: tuple[int, int]) -> Tensor:
        if self.key is not None:
            assert self.embedding is not None
            return self.key(latents + self.embedding)
        assert self.weight is not None
        if self.start is not None:
            return (self.start * self.weight).expand(len(latents), -1, -1)
        assert shares is not None
        shares = F.interpolate(shares, size, mode="bilinear", align_corners=False)
        return means(queries, shares.flatten(2).transpose(1, 2)) * self.weight
