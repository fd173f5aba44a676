"""The Efficient U-Net of the reference model: one network from tiny to paper size, by its config alone.

With `classes` it reads and predicts a layout beside the image (the joint model); without, an image only. It
knows nothing of schedules, losses or datasets. Architecture: Saharia et al. 2022 (Imagen, Efficient U-Net), with
the layout channels of the ICCV 2023 paper.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar, cast

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from gcbench.core.settings import Config, Count
from gcbench.networks.attention import (
    CrossAttention,
    OverPixels,
    PerceiverResampler,
    Residual,
    SelfAttention,
    TransformerBlock,
)

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)


class UNetConfig(Config):
    """All that shapes the network. The defaults are the paper's base model, unconditional on layout and text.

    classes: K of the layout, or None for an image-only network. layout_dim: width of the layout embedding.
    text_dim: width of the text encoder's tokens, None for an unconditional model. lowres: super-resolution,
    conditioned on a low-resolution pair. patch: pixels are unshuffled patch×patch first (1 at paper size).
    init_to_final: the first convolution's output also goes to the last block (not at paper size). A small network
    needs it: the noise that the image head must name does not fit through its narrow first level.
    drawing_blocks: residual blocks, after the last, that draw the image from what the layout head answered: they read
    its class probabilities beside the features (0 at paper size: both heads read the same features). A small network
    knows the layout long before it knows how to follow it; told so, its image keeps to the layout's outlines.
    pooled_text: the sum of a text's vectors over the root of their number is added to the time embedding too, through a
    linear layer that starts at 0 (not at paper size; Saharia et al. 2022 add a pooled vector). A small network needs
    it: the mean of its few resampled tokens tells but a handful of classes apart.
    checkpointing: keep no block's inner activations in training, and make them again for the gradient.
    mults, blocks, self_attention, cross_attention: one entry a level.
    """

    dim: Count = 128
    mults: tuple[Count, ...] = (1, 2, 4, 8)
    blocks: tuple[Count, ...] = (2, 4, 8, 8)
    self_attention: tuple[bool, ...] = (False, True, True, True)
    cross_attention: tuple[bool, ...] = (False, True, True, True)
    classes: Count | None = None
    layout_dim: Count = 3
    text_dim: Count | None = None
    text_length: Count = 256
    latents: Count = 32
    pooled: int = Field(default=4, ge=0)
    cond_dim: Count | None = None
    heads: Count = 8
    dim_head: Count = 64
    ff_mult: float = Field(default=2.0, gt=0)
    groups: Count = 8
    time_tokens: Count = 2
    sinusoids: Count = 16
    init_kernels: tuple[Count, ...] = (3, 7, 15)
    lowres: bool = False
    patch: Count = 1
    init_to_final: bool = False
    drawing_blocks: int = Field(default=0, ge=0)
    pooled_text: bool = False
    checkpointing: bool = False

    @property
    def stride(self) -> int:
        """Height and width of an input must be multiples of this."""
        return self.patch * 2 ** len(self.mults)


class Text(NamedTuple):
    """A text as the U-Net reads it, resampled once a sample run.

    tokens: [B,pooled+latents,cond_dim]; hidden: [B,time_dim], added to the time embedding.
    """

    tokens: Tensor
    hidden: Tensor


class Prediction(NamedTuple):
    """noise: [B,3,H,W] the image head; logits: [B,K,H,W] the layout head, None without layouts."""

    noise: Tensor
    logits: Tensor | None


class LowRes(NamedTuple):
    """Condition of a super-resolution stage, already noised and upsampled to the target size.

    image: [B,3,H,W]; layout: [B,H,W] or None; log_snr: [B] of the noise put on it.
    """

    image: Tensor
    layout: Tensor | None
    log_snr: Tensor


class LearnedSinusoids(nn.Module):
    """t [B] -> [t, sin 2πwt, cos 2πwt] [B, 1+dim] with dim/2 learned frequencies w."""

    def __init__(self, dim: int):
        super().__init__()
        self.weights = nn.Parameter(torch.randn(dim // 2))

    def forward(self, t: Tensor) -> Tensor:
        angle = t[:, None] * self.weights * 2 * math.pi
        return torch.cat((t[:, None], angle.sin(), angle.cos()), dim=1)


class CrossEmbed(nn.Module):
    """Parallel convolutions of several kernel sizes, concatenated: dim/2, dim/4, ... channels; channels_last.

    A kernel of 15×15 reads its input contiguous: oneDNN's backward in channels_last takes 60 times as long.
    """

    def __init__(self, dim_in: int, dim: int, kernels: tuple[int, ...]):
        super().__init__()
        widths = [dim // 2 ** (i + 1) for i in range(len(kernels) - 1)]
        widths.append(dim - sum(widths))
        self.kernels = sorted(kernels)
        self.convs = nn.ModuleList(
            nn.Conv2d(dim_in, width, kernel, padding=kernel // 2)
            for width, kernel in zip(widths, self.kernels, strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        last = x.contiguous(memory_format=torch.channels_last)
        maps = [conv(x.contiguous() if k > 7 else last) for conv, k in zip(self.convs, self.kernels, strict=True)]
        return torch.cat(maps, dim=1).contiguous(memory_format=torch.channels_last)


def silu(x: Tensor) -> Tensor:
    """SiLU of a map that nothing else reads: in its own place where no gradient asks for it."""
    return F.silu(x, inplace=not torch.is_grad_enabled())


def times(x: Tensor, y: Tensor) -> Tensor:
    """x·y, as in `silu` in the place of x, if it has that place's type."""
    return x.mul_(y) if _replaceable(x, y) else x * y


def plus(x: Tensor, y: Tensor) -> Tensor:
    """x+y, as `times`."""
    return x.add_(y) if _replaceable(x, y) else x + y


def _replaceable(x: Tensor, y: Tensor) -> bool:
    return not torch.is_grad_enabled() and torch.result_type(x, y) == x.dtype


class GlobalContext(nn.Module):
    """Squeeze by attention pooling over pixels, excite by a gate in (0,1): [B,C,H,W] -> [B,C,1,1]."""

    def __init__(self, dim: int):
        super().__init__()
        hidden = max(3, dim // 2)
        self.to_k = nn.Conv2d(dim, 1, 1)
        self.net = nn.Sequential(nn.Conv2d(dim, hidden, 1), nn.SiLU(), nn.Conv2d(hidden, dim, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        weights = self.to_k(x).flatten(2).softmax(dim=-1)  # [B,1,HW]
        pooled = x.flatten(2) @ weights.transpose(1, 2)  # [B,C,1]
        return self.net(pooled.unsqueeze(-1))


class Block(nn.Module):
    """Group norm, optional scale and shift, SiLU, 3×3 convolution."""

    def __init__(self, dim_in: int, dim_out: int, groups: int):
        super().__init__()
        self.groupnorm = nn.GroupNorm(groups, dim_in)
        self.project = nn.Conv2d(dim_in, dim_out, 3, padding=1)

    def forward(self, x: Tensor, scale_shift: tuple[Tensor, Tensor] | None = None) -> Tensor:
        x = self.groupnorm(x)
        if scale_shift is not None:
            scale, shift = scale_shift
            x = plus(times(x, scale + 1), shift)
        return self.project(silu(x))


class ResnetBlock(nn.Module):
    """Two blocks; text by cross-attention between them, time by scale and shift, a global gate after them."""

    def __init__(
        self, dim_in: int, dim_out: int, cfg: UNetConfig, time_dim: int, *, context_dim: int | None, gca: bool
    ):
        super().__init__()
        self.time_mlp = nn.Sequential(nn.SiLU(), nn.Linear(time_dim, dim_out * 2))
        self.cross_attn = (
            OverPixels(CrossAttention(dim_out, context_dim, cfg.heads, cfg.dim_head)) if context_dim else None
        )
        self.block1 = Block(dim_in, dim_out, cfg.groups)
        self.block2 = Block(dim_out, dim_out, cfg.groups)
        self.gca = GlobalContext(dim_out) if gca else None
        self.res_conv = nn.Conv2d(dim_in, dim_out, 1) if dim_in != dim_out else nn.Identity()

    def forward(self, x: Tensor, time: Tensor, context: Tensor | None = None) -> Tensor:
        scale, shift = self.time_mlp(time)[:, :, None, None].chunk(2, dim=1)
        h = self.block1(x)
        if self.cross_attn is not None:
            h = plus(self.cross_attn(h, context), h)
        h = self.block2(h, (scale, shift))
        if self.gca is not None:
            h = times(h, self.gca(h))
        return plus(h, self.res_conv(x))


def downsample(dim_in: int, dim_out: int) -> nn.Sequential:
    """Pixel unshuffle 2×2, then 1×1."""
    return nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(dim_in * 4, dim_out, 1))


class Upsample(nn.Module):
    """1×1 to four times the channels, SiLU, pixel shuffle; initialised so that it starts as nearest upsampling."""

    def __init__(self, dim_in: int, dim_out: int):
        super().__init__()
        conv = nn.Conv2d(dim_in, dim_out * 4, 1)
        if conv.weight.device.type != "meta":
            with torch.no_grad():
                nn.init.kaiming_uniform_(conv.weight[::4])
                conv.weight.copy_(conv.weight[::4].repeat_interleave(4, dim=0))
                nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        self.net = nn.Sequential(conv, nn.SiLU(), nn.PixelShuffle(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class LayoutEmbedding(nn.Module):
    """Class ids [B,H,W] -> [B,layout_dim,H,W], N(0,1) at the start."""

    def __init__(self, classes: int, dim: int):
        super().__init__()
        self.emb_layer = nn.Embedding(classes, dim)

    def forward(self, layout: Tensor) -> Tensor:
        return self.emb_layer(layout).permute(0, 3, 1, 2)


class UNet(nn.Module):
    """Image [B,3,H,W] and layout [B,H,W] at noise level log_snr [B], with a text -> Prediction.

    Of R·B levels and texts, R to a pair, what is made of the pair alone is made once: the prediction has R·B rows.
    """

    def __init__(self, cfg: UNetConfig):
        super().__init__()
        self.cfg = cfg
        dim = cfg.dim
        cond_dim = cfg.cond_dim or dim
        time_dim = dim * 4 * (2 if cfg.lowres else 1)
        pixel = (3 + (cfg.layout_dim if cfg.classes else 0)) * (2 if cfg.lowres else 1)
        text = cfg.text_dim is not None

        self.null_text_embed = nn.Parameter(torch.randn(1, cfg.text_length, cond_dim))
        self.null_text_hidden = nn.Parameter(torch.randn(1, time_dim))
        if cfg.classes:
            self.init_emb_seg = LayoutEmbedding(cfg.classes, cfg.layout_dim)
            if cfg.lowres:
                self.init_emb_seg_lowres = LayoutEmbedding(cfg.classes, cfg.layout_dim)
        self.init_conv = CrossEmbed(pixel * cfg.patch**2, dim, cfg.init_kernels)

        def time_heads() -> tuple[nn.Module, nn.Module, nn.Module]:
            hiddens = nn.Sequential(LearnedSinusoids(cfg.sinusoids), nn.Linear(cfg.sinusoids + 1, time_dim), nn.SiLU())
            condition = nn.Sequential(nn.Linear(time_dim, time_dim))
            tokens = nn.Sequential(nn.Linear(time_dim, cond_dim * cfg.time_tokens))
            return hiddens, condition, tokens

        self.to_time_hiddens, self.to_time_cond, self.to_time_tokens = time_heads()
        if cfg.lowres:
            self.to_lowres_time_hiddens, self.to_lowres_time_cond, self.to_lowres_time_tokens = time_heads()

        self.norm_cond = nn.LayerNorm(cond_dim)
        if cfg.text_dim is not None:
            self.text_to_cond = nn.Linear(cfg.text_dim, cond_dim)
            self.to_text_non_attn_cond = nn.Sequential(
                nn.LayerNorm(cond_dim), nn.Linear(cond_dim, time_dim), nn.SiLU(), nn.Linear(time_dim, time_dim)
            )
            if cfg.pooled_text:
                self.pooled_text_to_hidden = zero_init(nn.Linear(cfg.text_dim, time_dim))
        length = max(512, cfg.text_length) if cfg.text_length >= 256 else cfg.text_length
        self.attn_pool = PerceiverResampler(
            cond_dim, cfg.heads, cfg.dim_head, cfg.latents, cfg.pooled, max_length=length
        )

        def resnet(dim_in: int, dim_out: int, context_dim: int | None = None, gca: bool = False) -> ResnetBlock:
            return ResnetBlock(dim_in, dim_out, cfg, time_dim, context_dim=context_dim, gca=gca)

        self.init_resnet_block = resnet(dim, dim, gca=True)
        widths = [dim, *(dim * mult for mult in cfg.mults)]
        levels = list(zip(widths[:-1], widths[1:], cfg.blocks, cfg.self_attention, cfg.cross_attention, strict=True))

        def transformer(width: int) -> TransformerBlock:
            return TransformerBlock(width, cfg.heads, cfg.dim_head, cfg.ff_mult, cond_dim)

        self.downs: Any = nn.ModuleList()
        for width_in, width, blocks, attends, crosses in levels:
            first = resnet(width, width, cond_dim if crosses and text else None)
            rest = nn.ModuleList(resnet(width, width, gca=True) for _ in range(blocks))
            last = transformer(width) if attends else nn.Identity()
            self.downs.append(nn.ModuleList([downsample(width_in, width), first, rest, last]))

        middle = widths[-1]
        self.mid_block1 = resnet(middle, middle, cond_dim)
        self.mid_attn = OverPixels(Residual(SelfAttention(middle, cfg.heads, cfg.dim_head)))
        self.mid_block2 = resnet(middle, middle, cond_dim)

        self.ups: Any = nn.ModuleList()
        for width_out, width, blocks, attends, crosses in reversed(levels):
            first = resnet(width * 2, width, cond_dim if crosses and text else None)
            rest = nn.ModuleList(resnet(width * 2, width, gca=True) for _ in range(blocks))
            last = transformer(width) if attends else nn.Identity()
            self.ups.append(nn.ModuleList([first, rest, last, Upsample(width, width_out)]))

        self.final_res_block = resnet(dim * 2 if cfg.init_to_final else dim, dim, gca=True)
        final = dim + (pixel // 2 * cfg.patch**2 if cfg.lowres else 0)
        self.final_conv = zero_init(nn.Conv2d(dim if cfg.drawing_blocks else final, 3 * cfg.patch**2, 3, padding=1))
        if cfg.classes:
            self.final_conv_seg = zero_init(nn.Conv2d(final, cfg.classes * cfg.patch**2, 3, padding=1))
        if cfg.drawing_blocks:
            read = final + (cfg.classes or 0) * cfg.patch**2 + (dim if cfg.init_to_final else 0)
            groups = cfg.model_copy(update={"groups": math.gcd(cfg.groups, read)})  # read need not be a multiple
            first = ResnetBlock(read, dim, groups, time_dim, context_dim=None, gca=True)
            others = (resnet(dim, dim, gca=True) for _ in range(cfg.drawing_blocks - 1))
            self.drawing = nn.ModuleList([first, *others])

    def encode_text(self, embeddings: Tensor | None, mask: Tensor | None, keep: Tensor) -> Text:
        """Text for the U-Net; where `keep` [B] is false, and at padding, the learned null stands instead.

        embeddings: [B,L,text_dim] or None (all null); mask: bool [B,L], true at words.
        """
        length = self.cfg.text_length
        null = self.null_text_embed.expand(len(keep), -1, -1)  # [B,text_length,cond_dim]
        tokens, pooled = null, None
        if embeddings is not None:
            if mask is None:
                raise ValueError("texts' embeddings need their mask")
            embeddings = embeddings[:, :length]
            # padded first: the sums then run in one order whatever the longest text of the batch
            embeddings = F.pad(embeddings, (0, 0, 0, length - embeddings.shape[1]))
            present = F.pad(mask[:, :length], (0, length - min(length, mask.shape[1]))) & keep[:, None]
            words = self.text_to_cond(embeddings)
            tokens = torch.where(present[:, :, None], words, null.to(words.dtype))
            if self.cfg.pooled_text:
                total = torch.where(present[:, :, None], embeddings, 0).sum(dim=1)
                pooled = total / present.sum(dim=1, keepdim=True).clamp_min(1).sqrt()
        tokens = self.attn_pool(tokens)
        hidden = self.to_text_non_attn_cond(tokens.mean(dim=1))
        if pooled is not None:
            hidden = hidden + self.pooled_text_to_hidden(pooled)
        hidden = torch.where(keep[:, None], hidden, self.null_text_hidden.to(hidden.dtype))
        return Text(tokens, hidden)

    def embed(self, image: Tensor, layout: Tensor | None, embedding: nn.Module | None) -> Tensor:
        """Image and layout as one stack of channels, pixels unshuffled: [B,C·patch²,H/patch,W/patch]."""
        x = image if embedding is None else torch.cat((image, embedding(layout).to(image.dtype)), dim=1)
        return F.pixel_unshuffle(x, self.cfg.patch) if self.cfg.patch > 1 else x

    def through(self, block: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        """What a block gives; with `checkpointing`, only its inputs are kept for the gradient."""
        if not (self.cfg.checkpointing and self.training and torch.is_grad_enabled()):
            return block(*inputs)
        return cast(Tensor, checkpoint(block, *inputs, use_reentrant=False, preserve_rng_state=False))

    def forward(
        self,
        image: Tensor,
        layout: Tensor | None,
        log_snr: Tensor,
        text: Text | None = None,
        lowres: LowRes | None = None,
    ) -> Prediction:
        cfg = self.cfg
        x = self.embed(image, layout, self.init_emb_seg if cfg.classes else None)
        low = None
        time_hidden = self.to_time_hiddens(log_snr)
        time = self.to_time_cond(time_hidden)
        tokens = self.to_time_tokens(time_hidden).unflatten(1, (cfg.time_tokens, -1))
        if cfg.lowres:
            if lowres is None:
                raise ValueError("a super-resolution network needs its low-resolution pair")
            low = self.embed(lowres.image, lowres.layout, self.init_emb_seg_lowres if cfg.classes else None)
            x = torch.cat((x, low), dim=1)
            low_hidden = self.to_lowres_time_hiddens(lowres.log_snr)
            time = time + self.to_lowres_time_cond(low_hidden)
            low_tokens = self.to_lowres_time_tokens(low_hidden).unflatten(1, (cfg.time_tokens, -1))
            tokens = torch.cat((tokens, low_tokens), dim=1)
        if text is not None:
            time = time + text.hidden
            tokens = torch.cat((tokens, text.tokens.to(tokens.dtype)), dim=1)
        context = self.norm_cond(tokens)

        x = self.init_conv(x)
        rounds = len(log_snr) // len(x)
        if rounds > 1:
            x, low = torch.cat([x] * rounds), None if low is None else torch.cat([low] * rounds)
        first_map = x
        run = self.through
        x = run(self.init_resnet_block, x, time)
        skips = []
        for down, first, rest, last in self.downs:
            x = run(first, down(x), time, context)
            for block in rest:
                x = run(block, x, time)
                skips.append(x)
            x = run(last, x, context) if isinstance(last, TransformerBlock) else x
            skips.append(x)

        x = run(self.mid_block1, x, time, context)
        x = run(self.mid_attn, x)
        x = run(self.mid_block2, x, time, context)

        def joined(block: nn.Module, x: Tensor, skip: Tensor, *rest: Tensor) -> Tensor:
            return cast(Tensor, block(torch.cat((x, skip * 2**-0.5), dim=1), *rest))

        for first, rest, last, up in self.ups:
            x = run(partial(joined, first), x, skips.pop(), time, context)
            for block in rest:
                x = run(partial(joined, block), x, skips.pop(), time)
            x = run(last, x, context) if isinstance(last, TransformerBlock) else x
            x = run(up, x)

        if cfg.init_to_final:
            x = torch.cat((x, first_map), dim=1)
        x = run(self.final_res_block, x, time)
        if low is not None:
            x = torch.cat((x, low), dim=1)
        logits = self.final_conv_seg(x) if cfg.classes else None
        if cfg.drawing_blocks:
            x = self.draw(x, logits, first_map if cfg.init_to_final else None, time)
        noise = self.final_conv(x)
        if cfg.patch > 1:
            noise = F.pixel_shuffle(noise, cfg.patch)
            logits = None if logits is None else F.pixel_shuffle(logits, cfg.patch)
        return Prediction(noise, logits)

    def draw(self, x: Tensor, logits: Tensor | None, first_map: Tensor | None, time: Tensor) -> Tensor:
        """Features [B,dim,H/patch,W/patch] of the image, given the layout head's answer. No gradient goes through
        that answer: the layout is learnt from layouts alone."""
        read = [x]
        if logits is not None:
            classes = logits.detach().float().unflatten(1, (self.cfg.classes, self.cfg.patch**2))
            read.append(classes.softmax(dim=1).flatten(1, 2).to(x.dtype))  # [B,K·patch²,H/patch,W/patch]
        if first_map is not None:
            read.append(first_map)
        x = torch.cat(read, dim=1)
        for block in self.drawing:
            x = self.through(block, x, time)
        return x


def zero_init(layer: Layer) -> Layer:
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
