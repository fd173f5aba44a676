"""Attention blocks of the Efficient U-Net: multi-query self-attention, cross-attention, Perceiver resampling.

All go through `scaled_dot_product_attention`. Parameter names follow the public checkpoints of the method.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class GainLayerNorm(nn.Module):
    """Layer norm over `axis` with a gain `g` and no bias; eps 1e-5 (1e-3 in half precision)."""

    def __init__(self, dim: int, axis: int = -1):
        super().__init__()
        self.axis = axis
        self.g = nn.Parameter(torch.ones(dim, *([1] * (-axis - 1))))

    def forward(self, x: Tensor) -> Tensor:
        eps = 1e-3 if x.dtype == torch.float16 else 1e-5
        if self.axis == -1:
            return F.layer_norm(x, self.g.shape, self.g, None, eps)
        mean = x.mean(self.axis, keepdim=True)
        variance = x.var(self.axis, unbiased=False, keepdim=True)
        return (x - mean) * (variance + eps).rsqrt() * self.g


def split_heads(x: Tensor, heads: int) -> Tensor:
    b, n, _ = x.shape
    return x.view(b, n, heads, -1).transpose(1, 2)  # [B,heads,N,dim_head]


def merge_heads(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(2)  # [B,N,heads*dim_head]


class SelfAttention(nn.Module):
    """Multi-query self-attention: `heads` queries share one key and value head.

    A learned null key-value pair and, where `context_dim` is given, the context tokens are attended to as well.
    """

    def __init__(self, dim: int, heads: int, dim_head: int, context_dim: int | None = None):
        super().__init__()
        self.heads = heads
        self.norm = GainLayerNorm(dim)
        self.null_kv = nn.Parameter(torch.randn(2, dim_head))
        self.to_q = nn.Linear(dim, heads * dim_head, bias=False)
        self.to_kv = nn.Linear(dim, dim_head * 2, bias=False)
        self.to_context = (
            nn.Sequential(nn.LayerNorm(context_dim), nn.Linear(context_dim, dim_head * 2)) if context_dim else None
        )
        self.to_out = nn.Sequential(nn.Linear(heads * dim_head, dim, bias=False), GainLayerNorm(dim))

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        x = self.norm(x)
        q = split_heads(self.to_q(x), self.heads)
        pairs = [self.null_kv.to(q.dtype).view(1, 1, -1).expand(len(x), -1, -1), self.to_kv(x)]
        if self.to_context is not None and context is not None:
            pairs.append(self.to_context(context))
        k, v = torch.cat(pairs, dim=1).unsqueeze(1).chunk(2, dim=-1)  # [B,1,N+,dim_head]
        k, v = k.expand(-1, self.heads, -1, -1), v.expand(-1, self.heads, -1, -1)
        return self.to_out(merge_heads(F.scaled_dot_product_attention(q, k, v)))


class CrossAttention(nn.Module):
    """Multi-head attention from `dim` to context tokens, with one null key-value pair shared by the heads."""

    def __init__(self, dim: int, context_dim: int, heads: int, dim_head: int):
        super().__init__()
        self.heads = heads
        self.norm = GainLayerNorm(dim)
        self.null_kv = nn.Parameter(torch.randn(2, dim_head))
        self.to_q = nn.Linear(dim, heads * dim_head, bias=False)
        self.to_kv = nn.Linear(context_dim, heads * dim_head * 2, bias=False)
        self.to_out = nn.Sequential(nn.Linear(heads * dim_head, dim, bias=False), GainLayerNorm(dim))

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        q = split_heads(self.to_q(self.norm(x)), self.heads)
        k, v = (split_heads(part, self.heads) for part in self.to_kv(context).chunk(2, dim=-1))
        null_k, null_v = self.null_kv.to(q.dtype).view(2, 1, 1, 1, -1).expand(-1, len(x), self.heads, -1, -1)
        k, v = torch.cat((null_k, k), dim=2), torch.cat((null_v, v), dim=2)
        return self.to_out(merge_heads(F.scaled_dot_product_attention(q, k, v)))


class OverPixels(nn.Module):
    """Apply attention `fn` to the pixels of a feature map as a sequence."""

    def __init__(self, fn: nn.Module):
        super().__init__()
        self.fn = fn

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        b, c, h, w = x.shape
        sequence = x.flatten(2).transpose(1, 2)  # [B,HW,C]
        out = self.fn(sequence, context) if context is not None else self.fn(sequence)
        return out.transpose(1, 2).reshape(b, c, h, w)


class Residual(nn.Module):
    def __init__(self, fn: nn.Module):
        super().__init__()
        self.fn = fn

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return x + (self.fn(x, context) if context is not None else self.fn(x))


def feed_forward(dim: int, mult: float, *, axis: int = -1) -> nn.Sequential:
    """Layer norm, linear, GELU, layer norm, linear; over the last axis, or over the channels of a map (axis -3)."""
    hidden = int(dim * mult)

    def linear(inputs: int, outputs: int) -> nn.Module:
        return nn.Linear(inputs, outputs, False) if axis == -1 else nn.Conv2d(inputs, outputs, 1, bias=False)

    norms = GainLayerNorm(dim, axis), GainLayerNorm(hidden, axis)
    return nn.Sequential(norms[0], linear(dim, hidden), nn.GELU(), norms[1], linear(hidden, dim))


class TransformerBlock(nn.Module):
    """Self-attention over pixels and a feed-forward, each residual."""

    def __init__(self, dim: int, heads: int, dim_head: int, ff_mult: float, context_dim: int):
        super().__init__()
        attention = OverPixels(SelfAttention(dim, heads, dim_head, context_dim))
        self.layers: Any = nn.ModuleList([nn.ModuleList([attention, feed_forward(dim, ff_mult, axis=-3)])])

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        for attention, feed in self.layers:
            x = attention(x, context) + x
            x = feed(x) + x
        return x


class PerceiverAttention(nn.Module):
    """Latents attend to the tokens and to themselves."""

    def __init__(self, dim: int, heads: int, dim_head: int):
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(dim)
        self.norm_latents = nn.LayerNorm(dim)
        self.to_q = nn.Linear(dim, heads * dim_head, bias=False)
        self.to_kv = nn.Linear(dim, heads * dim_head * 2, bias=False)
        self.to_out = nn.Sequential(nn.Linear(heads * dim_head, dim, bias=False), nn.LayerNorm(dim))

    def forward(self, x: Tensor, latents: Tensor) -> Tensor:
        latents = self.norm_latents(latents)
        q = split_heads(self.to_q(latents), self.heads)
        both = torch.cat((self.norm(x), latents), dim=1)
        k, v = (split_heads(part, self.heads) for part in self.to_kv(both).chunk(2, dim=-1))
        return self.to_out(merge_heads(F.scaled_dot_product_attention(q, k, v)))


class PerceiverResampler(nn.Module):
    """Any number of text tokens to `pooled + latents` tokens (Flamingo, Alayrac et al. 2022).

    tokens [B,L,dim] -> [B,pooled+latents,dim]; the first `pooled` start from the mean token.
    """

    def __init__(self, dim: int, heads: int, dim_head: int, latents: int = 32, pooled: int = 4, *, max_length: int):
        super().__init__()
        self.pos_emb = nn.Embedding(max_length, dim)
        self.latents = nn.Parameter(torch.randn(latents, dim))
        self.to_latents_from_mean_pooled_seq = nn.Sequential(GainLayerNorm(dim), nn.Linear(dim, dim * pooled))
        self.layers: Any = nn.ModuleList(
            nn.ModuleList([PerceiverAttention(dim, heads, dim_head), feed_forward(dim, 4)]) for _ in range(2)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        b, length, dim = tokens.shape
        placed = tokens + self.pos_emb.weight[:length]
        pooled = self.to_latents_from_mean_pooled_seq(tokens.mean(dim=1)).view(b, -1, dim)
        latents = torch.cat((pooled, self.latents.to(pooled.dtype).expand(b, -1, -1)), dim=1)
        for attention, feed in self.layers:
            latents = attention(placed, latents) + latents
            latents = feed(latents) + latents
        return latents
