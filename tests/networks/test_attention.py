"""Attention blocks against plain loops over heads, queries and keys."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gcbench.networks.attention import (
    CrossAttention,
    GainLayerNorm,
    OverPixels,
    PerceiverAttention,
    PerceiverResampler,
    SelfAttention,
)

DIM, HEADS, WIDTH = 12, 3, 4


def scramble(module: nn.Module) -> nn.Module:
    """Random values for every parameter, so that nothing hides behind ones and zeros."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.randn(p.shape, generator=generator) * 0.5)
    return module.double().requires_grad_(False)


def attend(query: Tensor, keys: list[Tensor], values: list[Tensor]) -> Tensor:
    """softmax(q·k / √d) v for one query vector, key by key."""
    scores = [float(query @ k) / math.sqrt(len(query)) for k in keys]
    top = max(scores)
    weights = [math.exp(score - top) for score in scores]
    return sum((w * v for w, v in zip(weights, values, strict=True)), torch.zeros_like(query)) / sum(weights)


def plain_norm(x: Tensor, gain: Tensor) -> Tensor:
    return (x - x.mean(-1, keepdim=True)) / (x.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt() * gain


@pytest.mark.parametrize("context", [False, True])
def test_self_attention(context: bool) -> None:
    """All heads share one key and value a token; a null pair and the context's pairs stand beside the pixels'."""
    module = scramble(SelfAttention(DIM, HEADS, WIDTH, 7 if context else None))
    x = torch.randn(2, 5, DIM, dtype=torch.float64)
    tokens = torch.randn(2, 3, 7, dtype=torch.float64) if context else None
    found = module(x, tokens)
    for b in range(2):
        normed = plain_norm(x[b], module.norm.g)
        pairs = [module.null_kv.flatten(), *(normed @ module.to_kv.weight.T)]
        if tokens is not None:
            norm, linear = module.to_context
            pairs += list(F.linear(F.layer_norm(tokens[b], (7,), norm.weight, norm.bias), linear.weight, linear.bias))
        keys, values = [pair[:WIDTH] for pair in pairs], [pair[WIDTH:] for pair in pairs]
        assert len(keys) == (9 if context else 6)
        for i in range(5):
            query = (module.to_q.weight @ normed[i]).view(HEADS, WIDTH)
            heads = torch.cat([attend(query[h], keys, values) for h in range(HEADS)])
            expected = plain_norm(module.to_out[0].weight @ heads, module.to_out[1].g)
            torch.testing.assert_close(found[b, i], expected, rtol=1e-8, atol=1e-8)


def test_cross_attention() -> None:
    """Each head has its own keys and values of the context; the null pair is the same for all heads."""
    module = scramble(CrossAttention(DIM, 7, HEADS, WIDTH))
    x, tokens = torch.randn(2, 5, DIM, dtype=torch.float64), torch.randn(2, 3, 7, dtype=torch.float64)
    found = module(x, tokens)
    for b in range(2):
        normed = plain_norm(x[b], module.norm.g)
        both = tokens[b] @ module.to_kv.weight.T  # [N, keys of all heads, then values of all heads]
        for i in range(5):
            query = (module.to_q.weight @ normed[i]).view(HEADS, WIDTH)
            heads = []
            for h in range(HEADS):
                part = slice(h * WIDTH, (h + 1) * WIDTH)
                keys = [module.null_kv[0], *both[:, : HEADS * WIDTH][:, part]]
                values = [module.null_kv[1], *both[:, HEADS * WIDTH :][:, part]]
                heads.append(attend(query[h], keys, values))
            expected = plain_norm(module.to_out[0].weight @ torch.cat(heads), module.to_out[1].g)
            torch.testing.assert_close(found[b, i], expected, rtol=1e-8, atol=1e-8)


def test_perceiver_attention() -> None:
    """Latents attend to the tokens and to the latents, and to nothing else."""
    module = scramble(PerceiverAttention(DIM, HEADS, WIDTH))
    x, latents = torch.randn(1, 4, DIM, dtype=torch.float64), torch.randn(1, 2, DIM, dtype=torch.float64)
    found = module(x, latents)
    normed = module.norm_latents(latents[0])
    both = torch.cat((module.norm(x[0]), normed)) @ module.to_kv.weight.T
    for i in range(2):
        query = (module.to_q.weight @ normed[i]).view(HEADS, WIDTH)
        heads = []
        for h in range(HEADS):
            part = slice(h * WIDTH, (h + 1) * WIDTH)
            heads.append(
                attend(query[h], list(both[:, : HEADS * WIDTH][:, part]), list(both[:, HEADS * WIDTH :][:, part]))
            )
        expected = module.to_out[1](module.to_out[0].weight @ torch.cat(heads))
        torch.testing.assert_close(found[0, i], expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(("length", "latents", "pooled"), [(1, 4, 2), (16, 8, 4), (9, 3, 1)])
def test_resampler_shapes(length: int, latents: int, pooled: int) -> None:
    module = PerceiverResampler(DIM, heads=HEADS, dim_head=WIDTH, latents=latents, pooled=pooled, max_length=16)
    assert module(torch.randn(2, length, DIM)).shape == (2, pooled + latents, DIM)


def test_resampler_knows_the_order_of_tokens() -> None:
    module = PerceiverResampler(DIM, heads=HEADS, dim_head=WIDTH, latents=4, max_length=16)
    tokens = torch.randn(1, 6, DIM)
    assert not torch.allclose(module(tokens), module(tokens.flip(1)), atol=1e-3)


def test_gain_layer_norm_over_the_last_axis() -> None:
    ours, theirs = GainLayerNorm(DIM), nn.LayerNorm(DIM, bias=False)
    gain = torch.randn(DIM)
    ours.g.data, theirs.weight.data = gain, gain
    x = torch.randn(2, 5, DIM) * 3 + 1
    torch.testing.assert_close(ours(x), theirs(x))


def test_gain_layer_norm_over_channels() -> None:
    ours, theirs = GainLayerNorm(DIM, axis=-3), nn.LayerNorm(DIM, bias=False)
    gain = torch.randn(DIM)
    assert ours.g.shape == (DIM, 1, 1)
    ours.g.data, theirs.weight.data = gain.view(DIM, 1, 1), gain
    x = torch.randn(2, DIM, 4, 5) * 3 + 1
    torch.testing.assert_close(ours(x), theirs(x.movedim(1, -1)).movedim(-1, 1))


def test_pixels_become_a_sequence_and_come_back() -> None:
    """The sequence is row by row, and a function of each place leaves it in its place."""

    class Keep(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            self.seen = x
            return x * 2

    keep = Keep()
    x = torch.randn(2, 3, 4, 5)
    torch.testing.assert_close(OverPixels(keep)(x), x * 2)
    torch.testing.assert_close(keep.seen[0, 7], x[0, :, 1, 2])
