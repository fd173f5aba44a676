"""The ML-Decoder head: names of the authors' file, and its numbers from their formulas, written out by hand."""

import numpy as np
import pytest
import torch
from timm.layers.ml_decoder import TransformerDecoderLayerOptimal
from torch import Tensor

from gcbench.core.draws import Draws, dropout
from gcbench.networks.mldecoder import MLDecoder

LAYER = {f"{name}.{part}" for name in ("norm1", "norm2", "norm3", "linear1", "linear2") for part in ("weight", "bias")}
LAYER |= {f"multihead_attn.{name}" for name in ("in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias")}
KEYS = {f"decoder.layers.0.{name}" for name in LAYER} | {
    "decoder.embed_standart.weight",
    "decoder.embed_standart.bias",
    "decoder.query_embed.weight",
    "decoder.duplicate_pooling",
    "decoder.duplicate_pooling_bias",
}


def head(classes: int, features: int = 24) -> MLDecoder:
    torch.manual_seed(0)
    made = MLDecoder(classes, features).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
        made.decoder.query_embed.weight.mul_(2e-3)  # so small that the first norm shows whether they are doubled
    return made


def by_hand(state: dict[str, Tensor], features: Tensor, classes: int) -> np.ndarray:
    """float64, loops over heads and classes; the state's names are those of the authors' file."""
    w = {name.removeprefix("decoder."): value.double().numpy() for name, value in state.items()}

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        return x * w[f"layers.0.{name}.weight"] + w[f"layers.0.{name}.bias"]

    out = []
    for image in features.double().numpy():
        memory = image.reshape(len(image), -1).T  # [HW,C]
        memory = np.maximum(memory @ w["embed_standart.weight"].T + w["embed_standart.bias"], 0)
        x = norm(2 * w["query_embed.weight"], "norm1")  # [Q,D]
        into, bias = w["layers.0.multihead_attn.in_proj_weight"], w["layers.0.multihead_attn.in_proj_bias"]
        q, k, v = (
            source @ into[part * 768 : (part + 1) * 768].T + bias[part * 768 : (part + 1) * 768]
            for part, source in enumerate((x, memory, memory))
        )
        heads = []
        for start in range(0, 768, 96):
            cut = slice(start, start + 96)
            scores = np.exp(q[:, cut] @ k[:, cut].T / np.sqrt(96))
            heads.append(scores / scores.sum(-1, keepdims=True) @ v[:, cut])
        attended = np.concatenate(heads, -1) @ w["layers.0.multihead_attn.out_proj.weight"].T
        x = norm(x + attended + w["layers.0.multihead_attn.out_proj.bias"], "norm2")
        hidden = np.maximum(x @ w["layers.0.linear1.weight"].T + w["layers.0.linear1.bias"], 0)
        x = norm(x + hidden @ w["layers.0.linear2.weight"].T + w["layers.0.linear2.bias"], "norm3")
        queries, _, each = w["duplicate_pooling"].shape
        assert queries == min(classes, 100)
        logits = [x[c // each] @ w["duplicate_pooling"][c // each, :, c % each] for c in range(classes)]
        out.append(np.array(logits) + w["duplicate_pooling_bias"])
    return np.array(out)


@pytest.mark.parametrize(("classes", "each"), [(3, 1), (40, 1), (100, 1), (101, 2), (250, 3)])
@torch.inference_mode()
def test_numbers_by_hand(classes: int, each: int) -> None:
    made = head(classes)
    assert set(made.state_dict()) == KEYS
    assert made.decoder.duplicate_pooling.shape == (min(classes, 100), 768, each)
    features = torch.randn(2, 24, 3, 5, generator=torch.Generator().manual_seed(1))
    found = made(features)
    assert found.shape == (2, classes)
    np.testing.assert_allclose(found.numpy(), by_hand(made.state_dict(), features, classes), rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_the_layer_is_the_one_of_timm() -> None:
    """timm's decoder fails in its forward pass, its layer does not."""
    ours, theirs = head(40).decoder.layers[0], TransformerDecoderLayerOptimal(768).eval()
    theirs.load_state_dict(ours.state_dict())
    queries, memory = 2e-3 * torch.randn(2, 40, 768), torch.randn(2, 15, 768)
    expected = theirs(queries.transpose(0, 1), memory.transpose(0, 1)).transpose(0, 1)
    torch.testing.assert_close(ours(queries, memory), expected, rtol=1e-4, atol=1e-5)


def test_queries_are_fixed_and_dropout_is_for_training() -> None:
    made = head(5).train()
    features = torch.randn(1, 24, 2, 2)
    assert torch.equal(made(features), made(features))
    drawn = torch.Generator().manual_seed(0)
    assert not torch.equal(made(features, drawn), made(features, drawn))
    made(features, drawn).sum().backward()
    assert torch.equal(made.eval()(features, drawn), made(features))
    without = {name for name, parameter in made.named_parameters() if parameter.grad is None}
    assert without == {"decoder.query_embed.weight"}


@pytest.mark.parametrize("micro", [1, 2])
def test_what_is_left_out_of_an_image_does_not_depend_on_who_shares_its_batch(micro: int) -> None:
    """Two processes, each in one or two micro-batches, draw for their images what one process draws."""
    made = head(5).train()
    features = torch.randn(4, 24, 2, 2, generator=torch.Generator().manual_seed(1))
    whole = made(features, Draws(7, 0, 4))
    assert not torch.allclose(whole, made(features), atol=1e-2)
    for rank in range(2):
        draws = Draws(7, 100 + rank, 4)
        own = range(rank, 4, 2)
        for rows in [own] if micro == 1 else [own[:1], own[1:]]:
            torch.testing.assert_close(made(features[list(rows)], draws.share(rows)), whole[list(rows)])


def test_without_dropout_the_attention_written_out_is_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    made = head(5).train()
    features = torch.randn(2, 24, 3, 2)
    monkeypatch.setattr("gcbench.networks.mldecoder.DROPOUT", 0.0)
    torch.testing.assert_close(made(features, torch.Generator()), made(features))


def test_dropout_leaves_the_expectation_and_the_given_share() -> None:
    x = torch.full((3, 200_000), 2.0)
    kept = dropout(x, 0.25, torch.Generator().manual_seed(3))
    assert kept.unique().tolist() == pytest.approx([0, 2 / 0.75])
    assert (kept == 0).float().mean(1).tolist() == pytest.approx([0.25] * 3, abs=5e-3)  # 5 standard deviations
    assert not torch.equal(kept[0], kept[1])
    assert dropout(x, 0.25, None) is x
