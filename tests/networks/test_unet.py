"""The U-Net: size and key names of the public checkpoints at paper size, behaviour at a tiny size."""

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from gcbench.gcdp.config import PAPER
from gcbench.networks.unet import LowRes, Text, UNet, UNetConfig, plus, times
from gcbench.training.plan import Peak

TINY: dict[str, Any] = {
    "dim": 8,
    "mults": (1, 2),
    "blocks": (1, 1),
    "self_attention": (False, True),
    "cross_attention": (False, True),
    "layout_dim": 3,
    "text_length": 10,
    "latents": 3,
    "pooled": 2,
    "heads": 2,
    "dim_head": 4,
    "groups": 4,
    "sinusoids": 4,
    "init_kernels": (3, 5),
}


def tiny(**settings: Any) -> UNet:
    torch.manual_seed(0)
    return UNet(UNetConfig.model_validate({**TINY, **settings}))


def paper(**settings: Any) -> UNet:
    """Built on the meta device: shapes without memory."""
    with torch.device("meta"):
        return UNet(UNetConfig.model_validate({**PAPER.unet.model_dump(), **settings}))


def awake(net: UNet) -> UNet:
    """Random weights for the heads, which start at zero."""
    with torch.no_grad():
        for name, p in net.named_parameters():
            if name.startswith("final_conv"):
                p.normal_(generator=torch.Generator().manual_seed(1))
    return net


def inputs(classes: int | None = 5, size: tuple[int, int] = (8, 12)) -> tuple[Tensor, Tensor | None, Tensor]:
    generator = torch.Generator().manual_seed(2)
    image = torch.randn(2, 3, *size, generator=generator)
    layout = torch.randint(classes, (2, *size), generator=generator) if classes else None
    return image, layout, torch.tensor([-3.0, 1.5])


def words(net: UNet, length: int = 4) -> tuple[Tensor, Tensor]:
    assert net.cfg.text_dim is not None
    generator = torch.Generator().manual_seed(3)
    embeddings = torch.randn(2, length, net.cfg.text_dim, generator=generator)
    return embeddings, torch.ones(2, length, dtype=torch.bool)


PAPER_SR: dict[str, Any] = {
    "lowres": True,
    "self_attention": (False, False, False, False),
    "cross_attention": (False, False, False, True),
}
"""What the paper's super-resolution stage to 256×512 has otherwise than its base model."""

ALL, NONE = torch.tensor([True, True]), torch.tensor([False, False])


# ------------------------------------------------------------------------------------------------ paper size


@pytest.mark.parametrize(
    ("settings", "millions"),
    [
        ({"classes": 20, "text_dim": 1024}, 697.353),
        ({"classes": 19, "text_dim": 1024}, 697.352),
        ({**PAPER_SR, "classes": 20, "text_dim": 1024}, 717.242),
        ({**PAPER_SR, "classes": 19, "text_dim": 1024}, 717.240),
    ],
)
def test_parameter_counts_of_the_reference(settings: dict[str, Any], millions: float) -> None:
    assert sum(p.numel() for p in paper(**settings).parameters()) / 1e6 == pytest.approx(millions, abs=6e-4)


def test_number_of_state_dict_keys() -> None:
    """As in the public base checkpoints: 1103 with text, 1059 without."""
    assert len(paper(classes=20, text_dim=1024).state_dict()) == 1103
    assert len(paper(classes=20).state_dict()) == 1059


RESNET = ["time_mlp.1.weight", "block1.groupnorm.weight", "block1.project.bias", "block2.groupnorm.bias"]
ATTENTION = ["0.fn.null_kv", "0.fn.norm.g", "0.fn.to_q.weight", "0.fn.to_kv.weight", "0.fn.to_context.0.weight"]
ATTENTION += ["0.fn.to_context.1.bias", "0.fn.to_out.0.weight", "0.fn.to_out.1.g", "1.0.g", "1.1.weight", "1.3.g"]


def test_key_names_and_shapes_of_public_checkpoints() -> None:
    state = {name: tuple(tensor.shape) for name, tensor in paper(classes=20, text_dim=1024).state_dict().items()}
    expected = {
        "null_text_embed": (1, 256, 128),
        "null_text_hidden": (1, 512),
        "init_emb_seg.emb_layer.weight": (20, 3),
        "init_conv.convs.0.weight": (64, 6, 3, 3),
        "init_conv.convs.1.weight": (32, 6, 7, 7),
        "init_conv.convs.2.weight": (32, 6, 15, 15),
        "init_conv.convs.2.bias": (32,),
        "to_time_hiddens.0.weights": (8,),
        "to_time_hiddens.1.weight": (512, 17),
        "to_time_cond.0.weight": (512, 512),
        "to_time_tokens.0.weight": (256, 512),
        "norm_cond.weight": (128,),
        "text_to_cond.weight": (128, 1024),
        "attn_pool.latents": (32, 128),
        "attn_pool.pos_emb.weight": (512, 128),
        "attn_pool.to_latents_from_mean_pooled_seq.0.g": (128,),
        "attn_pool.to_latents_from_mean_pooled_seq.1.weight": (512, 128),
        "attn_pool.layers.1.0.to_kv.weight": (1024, 128),
        "attn_pool.layers.1.0.to_out.1.bias": (128,),
        "attn_pool.layers.1.1.1.weight": (512, 128),
        "attn_pool.layers.1.1.3.g": (512,),
        "attn_pool.layers.1.1.4.weight": (128, 512),
        "to_text_non_attn_cond.0.weight": (128,),
        "to_text_non_attn_cond.3.weight": (512, 512),
        "downs.0.0.1.weight": (128, 512, 1, 1),
        "downs.1.0.1.weight": (256, 512, 1, 1),
        "downs.1.1.cross_attn.fn.null_kv": (2, 64),
        "downs.1.1.cross_attn.fn.to_kv.weight": (1024, 128),
        "downs.1.3.layers.0.0.fn.to_kv.weight": (128, 256),
        "downs.1.3.layers.0.1.0.g": (256, 1, 1),
        "downs.1.3.layers.0.1.1.weight": (512, 256, 1, 1),
        "downs.3.2.7.gca.to_k.weight": (1, 1024, 1, 1),
        "mid_block1.cross_attn.fn.to_q.weight": (512, 1024),
        "mid_attn.fn.fn.to_kv.weight": (128, 1024),
        "ups.0.0.block1.project.weight": (1024, 2048, 3, 3),
        "ups.0.0.res_conv.weight": (1024, 2048, 1, 1),
        "ups.0.3.net.0.weight": (2048, 1024, 1, 1),
        "ups.3.3.net.0.weight": (512, 128, 1, 1),
        "final_res_block.gca.net.0.weight": (64, 128, 1, 1),
        "final_res_block.gca.net.2.weight": (128, 64, 1, 1),
        "final_conv.weight": (3, 128, 3, 3),
        "final_conv_seg.weight": (20, 128, 3, 3),
    }
    assert {name: state.get(name) for name in expected} == expected
    resnets = ["init_resnet_block", "final_res_block", "mid_block1", "mid_block2"]
    resnets += [f"downs.{level}.1" for level in range(4)] + [f"ups.{level}.0" for level in range(4)]
    resnets += [f"downs.{level}.2.{n}" for level, count in enumerate((2, 4, 8, 8)) for n in range(count)]
    resnets += [f"ups.{level}.1.{n}" for level, count in enumerate((8, 8, 4, 2)) for n in range(count)]
    names = [f"{block}.{leaf}" for block, leaf in product(resnets, RESNET)]
    transformers = [f"downs.{level}.3.layers.0" for level in (1, 2, 3)] + [
        f"ups.{level}.2.layers.0" for level in range(3)
    ]
    names += [f"{block}.{leaf}" for block, leaf in product(transformers, ATTENTION)]
    assert [name for name in names if name not in state] == []
    without_gate = [f"downs.{level}.1" for level in range(4)] + ["mid_block1", "mid_block2"]
    assert not [name for name in state if any(name.startswith(f"{block}.gca") for block in without_gate)]


def test_keys_of_the_super_resolution_stage() -> None:
    state = paper(**{**PAPER_SR, "classes": 20, "text_dim": 1024}).state_dict()
    assert state["init_conv.convs.0.weight"].shape == (64, 12, 3, 3)
    assert state["init_emb_seg_lowres.emb_layer.weight"].shape == (20, 3)
    assert state["to_lowres_time_hiddens.1.weight"].shape == (1024, 17)
    assert state["final_conv_seg.weight"].shape == (20, 134, 3, 3)
    assert not [name for name in state if ".layers.0.0.fn" in name]
    assert [name for name in state if name.endswith("cross_attn.fn.to_q.weight") and name[0] in "du"] == [
        "downs.3.1.cross_attn.fn.to_q.weight",
        "ups.0.0.cross_attn.fn.to_q.weight",
    ]


def test_an_unconditional_network_lacks_only_what_reads_words() -> None:
    with_text, without = paper(classes=20, text_dim=1024).state_dict(), paper(classes=20).state_dict()
    lost = {name for name in with_text if name not in without}
    assert set(without) <= set(with_text)
    assert all(name.startswith(("text_to_cond", "to_text_non_attn_cond")) or ".cross_attn." in name for name in lost)
    assert not [name for name in lost if name.startswith("mid_")]


# ------------------------------------------------------------------------------------------------ tiny size


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        ({"classes": 5, "text_dim": 6}, (8, 12)),
        ({"classes": None, "text_dim": 6}, (8, 12)),
        ({"classes": 5}, (8, 8)),
        ({"classes": 5, "text_dim": 6, "lowres": True}, (8, 12)),
        ({"classes": None, "lowres": True}, (8, 12)),
        ({"classes": 5, "text_dim": 6, "patch": 2}, (16, 8)),
        ({"classes": 5, "text_dim": 6, "patch": 2, "lowres": True}, (16, 8)),
        ({"classes": 5, "text_dim": 6, "pooled_text": True}, (8, 12)),
        ({"classes": 5, "text_dim": 6, "patch": 2, "init_to_final": True, "drawing_blocks": 2}, (16, 8)),
        ({"classes": None, "text_dim": 6, "patch": 2, "init_to_final": True, "drawing_blocks": 1}, (16, 8)),
    ],
)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_forward_and_gradients(settings: dict[str, Any], size: tuple[int, int], precision: str) -> None:
    """Shapes; zero heads at the start; with heads awake a gradient reaches every parameter that text can reach."""
    net = tiny(**settings)
    classes = net.cfg.classes
    image, layout, log_snr = inputs(classes, size)
    lowres = LowRes(image.flip(0), None if layout is None else layout.flip(0), torch.tensor([0.0, 2.0]))

    def forward() -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
            text = net.encode_text(*words(net), torch.tensor([True, False])) if net.cfg.text_dim else None
            out = net(image, layout, log_snr, text, lowres if net.cfg.lowres else None)
        assert out.noise.shape == image.shape
        if classes is None:
            assert out.logits is None
            return out.noise.float()
        assert out.logits.shape == (2, classes, *size)
        return torch.cat((out.noise, out.logits), dim=1).float()

    assert (forward() == 0).all()
    awake(net)
    out = forward()
    assert out.isfinite().all()
    assert (out != 0).any()
    (out * torch.randn(out.shape, generator=torch.Generator().manual_seed(4))).sum().backward()
    still = {name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()}
    unread = {name for name in still if name.startswith(("null_text", "attn_pool"))} if not net.cfg.text_dim else set()
    # A bias just before a group norm of whole groups, or after which a softmax follows, changes nothing.
    shifts = {name for name in still if name.endswith(("gca.to_k.bias", "block1.project.bias"))}
    assert still - unread - shifts == set()


def test_every_input_matters() -> None:
    net = awake(tiny(classes=5, text_dim=6, lowres=True)).eval()
    image, layout, log_snr = inputs()
    assert layout is not None
    low = LowRes(image.flip(0), layout.flip(0), log_snr)
    text = net.encode_text(*words(net), ALL)
    base = net(image, layout, log_snr, text, low)
    others = [
        net(image + 0.1, layout, log_snr, text, low),
        net(image, (layout + 1) % 5, log_snr, text, low),
        net(image, layout, log_snr + 1, text, low),
        net(image, layout, log_snr, Text(text.tokens.flip(0), text.hidden), low),
        net(image, layout, log_snr, Text(text.tokens, text.hidden.flip(0)), low),
        net(image, layout, log_snr, text, low._replace(image=image)),
        net(image, layout, log_snr, text, low._replace(layout=layout)),
        net(image, layout, log_snr, text, low._replace(log_snr=log_snr + 1)),
    ]
    for other in others:
        assert (other.noise - base.noise).abs().max() > 1e-4
        assert (other.logits - base.logits).abs().max() > 1e-4


def test_samples_of_a_batch_do_not_meet() -> None:
    net = awake(tiny(classes=5, text_dim=6)).eval()
    image, layout, log_snr = inputs()
    assert layout is not None
    text = net.encode_text(*words(net), ALL)
    both = net(image, layout, log_snr, text)
    alone = net(image[1:], layout[1:], log_snr[1:], Text(text.tokens[1:], text.hidden[1:]))
    torch.testing.assert_close(both.logits[1:], alone.logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("settings", [{}, {"lowres": True}, {"patch": 2, "drawing_blocks": 2, "init_to_final": True}])
def test_several_texts_of_one_pair_are_as_many_pairs(settings: dict[str, Any]) -> None:
    """The network of two pairs at four levels and texts, and of the same pairs twice."""
    net = awake(tiny(classes=5, text_dim=6, **settings)).eval()
    image, layout, log_snr = inputs(size=(16, 24))
    levels = torch.cat((log_snr, log_snr - 1))
    low = LowRes(image.flip(0), layout, levels) if net.cfg.lowres else None
    with torch.no_grad():
        told, null = net.encode_text(*words(net), ALL), net.encode_text(None, None, NONE)
        text = Text(torch.cat((told.tokens, null.tokens)), torch.cat((told.hidden, null.hidden)))
        found = net(image, layout, levels, text, low)
        twice = LowRes(*(torch.cat((x, x)) for x in low[:2]), levels) if low else None
        expected = net(torch.cat((image, image)), torch.cat((layout, layout)), levels, text, twice)
    for a, b in zip(found, expected, strict=True):
        assert len(a) == 4
        assert not torch.allclose(a[:2], a[2:])
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("settings", [{}, {"lowres": True}, {"patch": 2, "drawing_blocks": 2, "init_to_final": True}])
def test_without_gradients_the_numbers_are_the_same_and_inputs_stay(settings: dict[str, Any], bf16: bool) -> None:
    """What is then computed in place is no one else's, and keeps its precision."""
    net = awake(tiny(classes=5, text_dim=6, **settings)).eval()
    image, layout, log_snr = inputs(size=(16, 24))
    low = LowRes(image.flip(0), layout, log_snr) if net.cfg.lowres else None
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        text = net.encode_text(*words(net), ALL)
        expected = net(image, layout, log_snr, text, low)
        kept = [x.clone() for x in (image, log_snr, *text, *(low or ()))]
        with torch.no_grad():
            found = net(image, layout, log_snr, text, low)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(kept, (image, log_snr, *text, *(low or ())), strict=True))


@pytest.mark.parametrize("formula", [times, plus])
def test_in_place_a_type_is_not_narrowed(formula: Callable[[Tensor, Tensor], Tensor]) -> None:
    narrow, wide = torch.tensor([1.0, 3.0], dtype=torch.bfloat16), torch.tensor([1 / 3, 1e-4])
    expected = formula(narrow, wide)
    with torch.no_grad():
        found = formula(narrow.clone(), wide)
        same = formula(wide, wide)
    assert found.dtype == expected.dtype == torch.float32
    assert torch.equal(found, expected)
    assert same is wide


def test_skips_come_back_in_reverse_and_scaled() -> None:
    """Saved after each block of a level and after its attention; joined, times 2^-½, to what comes from below."""
    net = tiny(classes=5, text_dim=6, blocks=(1, 2)).eval()
    saved: list[Tensor] = []
    joined: list[Tensor] = []
    for _, _, rest, last in net.downs:
        for block in rest:
            block.register_forward_hook(lambda module, given, out: saved.append(out))
        if not isinstance(last, torch.nn.Identity):
            last.register_forward_hook(lambda module, given, out: saved.append(out))
    for first, rest, _, _ in net.ups:
        for block in (first, *rest):
            block.register_forward_pre_hook(lambda module, given: joined.append(given[0]))
    with torch.no_grad():
        net(*inputs(), net.encode_text(*words(net), ALL))
    # a level without attention saves its last block's output twice
    expected = [saved[0], saved[0], *saved[1:]]
    assert len(joined) == len(expected) == 5
    for x, skip in zip(joined, reversed(expected), strict=True):
        torch.testing.assert_close(x[:, -skip.shape[1] :], skip / 2**0.5)


def test_patches_keep_pixels_in_place() -> None:
    """With patch 2, a change of one input pixel acts more on the outputs near it than on those far away."""
    net = awake(tiny(classes=5, patch=2)).eval()
    image, layout, log_snr = inputs(size=(32, 32))
    changed = image.clone()
    changed[:, :, 20, 4] += 0.5
    with torch.no_grad():
        before, after = net(image, layout, log_snr), net(changed, layout, log_snr)
    assert before.logits is not None
    assert after.logits is not None
    rows, columns = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    near = ((rows - 20).abs() < 7) & ((columns - 4).abs() < 7)
    for a, b in ((before.noise, after.noise), (before.logits, after.logits)):
        change = (a - b).abs().sum((0, 1))
        assert change[near].mean() > 3 * change[~near].mean()


def test_drawing_blocks_read_the_layout_heads_answer() -> None:
    """The image changes with that answer alone, at the pixel's own place; and its loss does not reach the answer."""
    net = awake(tiny(classes=5, patch=2, init_to_final=True, drawing_blocks=2)).eval()
    image, layout, log_snr = inputs(size=(16, 32))
    before = net(image, layout, log_snr)

    def answer(module: torch.nn.Module, given: object, logits: Tensor) -> Tensor:
        pixels = torch.nn.functional.pixel_shuffle(logits, 2).clone()
        pixels[:, 3, 4:8, 20:24] += 30  # class 3 is sure there
        return torch.nn.functional.pixel_unshuffle(pixels, 2)

    handle = net.final_conv_seg.register_forward_hook(answer)
    after = net(image, layout, log_snr)
    handle.remove()
    change = (after.noise - before.noise).abs().sum(1)  # [B,H,W]
    assert change[:, 4:8, 20:24].mean() > 3 * change[:, :, :10].mean()
    before.noise.square().sum().backward()
    assert net.final_conv_seg.weight.grad is None
    assert net.drawing[0].block1.project.weight.grad is not None


# ------------------------------------------------------------------------------------------------ text


def test_null_text_does_not_depend_on_words() -> None:
    net = tiny(classes=5, text_dim=6)
    embeddings, mask = words(net)
    dropped = net.encode_text(embeddings, mask, NONE)
    torch.testing.assert_close(dropped, net.encode_text(embeddings * -3, mask, NONE))
    torch.testing.assert_close(dropped, net.encode_text(None, None, NONE))
    torch.testing.assert_close(dropped.hidden, net.null_text_hidden.expand(2, -1))
    kept = net.encode_text(embeddings, mask, ALL)
    assert (kept.tokens - dropped.tokens).abs().max() > 1e-3
    assert (kept.hidden - dropped.hidden).abs().max() > 1e-3


def test_dropping_is_by_sample() -> None:
    net = tiny(classes=5, text_dim=6)
    embeddings, mask = words(net)
    mixed = net.encode_text(embeddings, mask, torch.tensor([True, False]))
    kept, dropped = net.encode_text(embeddings, mask, ALL), net.encode_text(embeddings, mask, NONE)
    for i, source in enumerate((kept, dropped)):
        torch.testing.assert_close(mixed.tokens[i], source.tokens[i])
        torch.testing.assert_close(mixed.hidden[i], source.hidden[i])


@pytest.mark.parametrize("pooled", [False, True])
def test_padding_does_not_matter(pooled: bool) -> None:
    """Neither how long it is nor what stands in it: padded places hold the learned null."""
    net = tiny(classes=5, text_dim=6, pooled_text=pooled)
    embeddings, mask = words(net, 4)
    longer = torch.cat((embeddings, torch.randn(2, 3, 6) * 100), dim=1)
    longer_mask = torch.cat((mask, torch.zeros(2, 3, dtype=torch.bool)), dim=1)
    expected, found = net.encode_text(embeddings, mask, ALL), net.encode_text(longer, longer_mask, ALL)
    assert torch.equal(found.tokens, expected.tokens)
    assert torch.equal(found.hidden, expected.hidden)


def test_too_long_a_text_is_cut() -> None:
    net = tiny(classes=5, text_dim=6)
    embeddings, mask = words(net, 14)
    found = net.encode_text(embeddings, mask, ALL)
    torch.testing.assert_close(found, net.encode_text(embeddings[:, :10], mask[:, :10], ALL))
    assert found.tokens.shape == (2, 5, 8)
    assert found.hidden.shape == (2, 32)


def test_an_empty_text_is_not_the_null() -> None:
    """No words at all: the tokens are the null's, but the sample is not counted as dropped."""
    net = tiny(classes=5, text_dim=6)
    empty = net.encode_text(torch.randn(2, 1, 6), torch.zeros(2, 1, dtype=torch.bool), ALL)
    null = net.encode_text(None, None, NONE)
    torch.testing.assert_close(empty.tokens, null.tokens)
    assert (empty.hidden - null.hidden).abs().max() > 1e-3


def test_pooled_text_is_a_linear_map_of_the_words_sum_over_the_root_of_their_number() -> None:
    """Nothing of it at the start, nor for the null; padding and what lies beyond `text_length` do not count."""
    plain, net = tiny(classes=5, text_dim=6), tiny(classes=5, text_dim=6, pooled_text=True)
    net.load_state_dict({**net.state_dict(), **plain.state_dict()})
    embeddings, mask = words(net, 14)
    mask[0, 3:] = False
    torch.testing.assert_close(net.encode_text(embeddings, mask, ALL), plain.encode_text(embeddings, mask, ALL))
    layer = net.pooled_text_to_hidden
    with torch.no_grad():
        layer.weight.normal_(generator=torch.Generator().manual_seed(5))
        layer.bias.normal_(generator=torch.Generator().manual_seed(6))
    added = net.encode_text(embeddings, mask, ALL).hidden - plain.encode_text(embeddings, mask, ALL).hidden
    for found, vectors in zip(added, (embeddings[0, :3], embeddings[1, :10]), strict=True):
        torch.testing.assert_close(found, layer.weight @ vectors.sum(0) / len(vectors) ** 0.5 + layer.bias)
    torch.testing.assert_close(net.encode_text(embeddings, mask, NONE), plain.encode_text(embeddings, mask, NONE))


# ---------------------------------------------------------------------------------------------------- checkpointing


@pytest.mark.parametrize("settings", [{}, {"drawing_blocks": 1, "init_to_final": True, "patch": 2}])
def test_checkpointing_keeps_less_and_changes_no_gradient(settings: dict[str, Any]) -> None:
    """The same gradients; the most memory at once, at a size where activations count, falls to about a half."""
    more = {"classes": 5, "text_dim": 6, "blocks": (2, 2), **settings}
    grads, peaks = [], []
    for checkpointing in (False, True):
        net = awake(tiny(**more, checkpointing=checkpointing)).train()
        image, layout, log_snr = inputs(size=(64, 96))
        with Peak(list(net.parameters())) as memory:
            out = net(image, layout, log_snr, net.encode_text(*words(net), ALL))
            assert out.logits is not None
            (out.noise.square().sum() + out.logits.logsumexp(1).sum()).backward()
        grads.append({name: p.grad for name, p in net.named_parameters() if p.grad is not None})
        peaks.append(memory.peak)
        with torch.no_grad():
            net(image, layout, log_snr, net.encode_text(*words(net), ALL))
    assert grads[0].keys() == grads[1].keys()
    for name, grad in grads[0].items():
        torch.testing.assert_close(grads[1][name], grad, rtol=1e-5, atol=1e-6)
    assert peaks[1] < 0.55 * peaks[0]
