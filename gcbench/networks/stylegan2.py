"""StyleGAN2 for images of any shape H×W, in plain torch operations (Karras et al. 2020).

Every weight is drawn from N(0,1) and scaled where it is used by 1/√fan_in (equalised learning rate). Resolutions
double from a learned seed map on; what goes up or down passes the filter [1,3,3,1]. Images are float [B,3,H,W], real
ones in [-1,1]. It knows nothing of what styles are made from, nor of losses.
"""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gcbench.core.draws import moved, of_images, uniform
from gcbench.core.run_spec import ImageSize
from gcbench.core.settings import Config, Count, Share
from gcbench.core.shared_batch import gathered, own

Noise = Callable[[int, int], Tensor]
"""(h, w) -> N(0,1) [B,1,h,w], the next of its stream."""

Between = Callable[[int, Tensor], Tensor]
"""(convolution, x [B,C,h,w]) -> x: what comes between a modulated convolution and its noise."""

SMALLEST = 4
"""The seed map's shorter side at most, and the discriminator's last one."""


class StyleGAN2Config(Config):
    """size: (H, W) of the images. A map of height h has min(channel_max, channel_base // h) channels.

    z_dim, w_dim, mapping_layers: of the mapping network. mixing: share of training images whose styles come from two
    latents, with a random layer between. generator: `skip` sums the images of all resolutions, `residual` reads one
    off the last, with a shortcut around each pair of convolutions. group: images whose deviation the discriminator
    sees together.
    """

    size: ImageSize = (64, 128)
    z_dim: Count = 128
    w_dim: Count = 128
    mapping_layers: Count = 4
    channel_base: Count = 1024
    channel_max: Count = 128
    mixing: Share = 0.9
    generator: Literal["skip", "residual"] = "skip"
    group: Count = 4

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """The resolutions, from the seed's to the images': halved while both sides are even and the shorter > 4."""
        h, w = self.size
        out = [(h, w)]
        while h % 2 == w % 2 == 0 and min(h, w) > SMALLEST:
            h, w = h // 2, w // 2
            out.insert(0, (h, w))
        return out

    @property
    def layers(self) -> int:
        """Styles that an image takes: one a convolution, and one for the last image."""
        return 2 * len(self.sizes)

    def channels(self, h: int) -> int:
        return min(self.channel_max, self.channel_base // h)


class Linear(nn.Module):
    """x W^T + b of equalised learning rate. rate: how much slower than the others it learns; start: the bias's."""

    def __init__(self, inputs: int, outputs: int, *, rate: float = 1.0, start: float = 0.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.full((outputs,), start / rate))
        self.scale, self.rate = rate / math.sqrt(inputs), rate

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.scale, self.bias * self.rate)


class Conv(nn.Module):
    """A convolution of equalised learning rate that keeps the size, or halves it behind the filter."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, down: bool = False, bias: bool = True):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.scale, self.kernel, self.down = 1 / math.sqrt(inputs * kernel**2), kernel, down

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.scale
        if not self.down:
            return F.conv2d(x, weight, self.bias, padding=self.kernel // 2)
        if self.kernel == 1:
            return F.conv2d(fir(x, 1, stride=2), weight, self.bias)
        return F.conv2d(fir(x, 1 + self.kernel // 2), weight, self.bias, stride=2)


def leaky(x: Tensor) -> Tensor:
    """√2 leaky ReLU of slope 0.2: a unit variance stays about one."""
    return F.leaky_relu(x, 0.2) * math.sqrt(2)


def fir(x: Tensor, padding: int, *, stride: int = 1, gain: float = 1.0) -> Tensor:
    """x [B,C,h,w] behind the filter [1,3,3,1]⊗[1,3,3,1] of sum `gain`, zeros around it."""
    taps = torch.ones(4, dtype=x.dtype, device=x.device) / 8
    taps[1:3] *= 3
    kernel = (gain * taps[:, None] * taps).expand(x.shape[1], 1, 4, 4)
    return F.conv2d(x, kernel, stride=stride, padding=padding, groups=x.shape[1])


def upsample(x: Tensor) -> Tensor:
    """Twice the size behind the same filter, the border's pixels repeated outside: bilinear between pixel centres."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class Mapping(nn.Module):
    """z [B,z_dim], brought to unit mean square, through `layers` linear layers to w [B,w_dim]."""

    def __init__(self, z_dim: int, w_dim: int, layers: int):
        super().__init__()
        widths = [z_dim] + [w_dim] * layers
        self.layers = nn.ModuleList(Linear(a, b, rate=0.01) for a, b in pairwise(widths))

    def forward(self, z: Tensor) -> Tensor:
        w = pixel_norm(z)
        for layer in self.layers:
            w = leaky(layer(w))
        return w


def pixel_norm(z: Tensor, axis: int = -1) -> Tensor:
    """z over the root of its mean square along an axis."""
    return z * (z.square().mean(axis, keepdim=True) + 1e-8).rsqrt()


class ModulatedConv(nn.Module):
    """A convolution whose input channels each image's style scales: y_j = d_j Σ_i W_ji * (s_i x_i).

    s = A(style) [B,in], 1 at style 0. d_j = (Σ_ik (W_jik s_i)²)^-½ makes the outputs' variance one for inputs of unit
    variance (demodulation), or 1. up: twice the size, by a transposed convolution and the filter. Styles scale maps
    and not weights, which is the same and needs no weights of an image's own.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, style_dim: int, *, demodulate: bool = True, up: bool = False
    ):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.affine = Linear(style_dim, inputs, start=1.0)
        self.scale, self.kernel = 1 / math.sqrt(inputs * kernel**2), kernel
        self.demodulate, self.up = demodulate, up

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        s = self.affine(style)  # [B,in]
        weight = self.weight * self.scale  # [out,in,k,k]
        x = x * s[:, :, None, None].to(x.dtype)
        if self.up:
            x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)  # [B,out,2h+k-2,2w+k-2]
            x = fir(x, (5 - self.kernel) // 2, gain=4.0)  # [B,out,2h,2w]
        else:
            x = F.conv2d(x, weight, padding=self.kernel // 2)
        if self.demodulate:
            d = (s.square() @ weight.square().sum((2, 3)).T + 1e-8).rsqrt()  # [B,out]
            x = x * d[:, :, None, None].to(x.dtype)
        return x


class StyledConv(nn.Module):
    """A modulated 3×3 convolution, what comes between, noise of a learned strength, bias, leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, style_dim: int, *, up: bool = False):
        super().__init__()
        self.conv = ModulatedConv(inputs, outputs, 3, style_dim, up=up)
        self.strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor, style: Tensor, noise: Noise, between: Callable[[Tensor], Tensor]) -> Tensor:
        x = between(self.conv(x, style))
        x = x + self.strength * noise(*x.shape[-2:]).to(x.dtype)
        return leaky(x + self.bias[:, None, None])


class ToRGB(nn.Module):
    """A modulated 1×1 convolution to three channels, or others, without demodulation."""

    def __init__(self, inputs: int, style_dim: int, outputs: int = 3):
        super().__init__()
        self.conv = ModulatedConv(inputs, outputs, 1, style_dim, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        return self.conv(x, style) + self.bias[:, None, None]


class Synthesis(nn.Module):
    """Styles [B,layers,style_dim] to images [B,3,H,W].

    Convolution 0 is at the seed's resolution, 2r-1 (upwards) and 2r at resolution r; the image of resolution r takes
    style 2r+1, which is that of the next convolution.
    """

    def __init__(self, cfg: StyleGAN2Config, style_dim: int):
        super().__init__()
        self.cfg = cfg
        widths = [cfg.channels(h) for h, _ in cfg.sizes]
        self.seed = nn.Parameter(torch.randn(1, widths[0], *cfg.sizes[0]))
        steps = list(pairwise(widths))
        self.first = StyledConv(widths[0], widths[0], style_dim)
        self.rising = nn.ModuleList(StyledConv(a, b, style_dim, up=True) for a, b in steps)
        self.staying = nn.ModuleList(StyledConv(b, b, style_dim) for _, b in steps)
        skip = cfg.generator == "skip"
        self.shortcuts = nn.ModuleList(Conv(a, b, 1, bias=False) for a, b in steps if not skip)
        self.to_rgb = nn.ModuleList(ToRGB(width, style_dim) for width in (widths if skip else widths[-1:]))

    def forward(self, styles: Tensor, noise: Noise, between: Between | None = None) -> Tensor:
        if styles.shape[1] != self.cfg.layers:
            raise ValueError(f"{styles.shape[1]} styles for {self.cfg.layers} layers")
        style = styles.unbind(1)  # each [B,style_dim]

        def convolve(layer: StyledConv, number: int, x: Tensor) -> Tensor:
            return layer(x, style[number], noise, lambda x: x if between is None else between(number, x))

        def convolve_all(x: Tensor, r: int) -> Tensor:
            x = convolve(self.rising[r], 2 * r + 1, x)  # type: ignore[arg-type]
            return convolve(self.staying[r], 2 * r + 2, x)  # type: ignore[arg-type]

        x = self.seed.expand(len(styles), -1, -1, -1).contiguous(memory_format=torch.channels_last)  # faster
        x = convolve(self.first, 0, x)
        if self.cfg.generator == "residual":
            for r, shortcut in enumerate(self.shortcuts):
                x = (convolve_all(x, r) + upsample(shortcut(x))) / math.sqrt(2)
            return self.to_rgb[0](x, style[-1])
        image = self.to_rgb[0](x, style[1])
        for r, to_rgb in enumerate(self.to_rgb[1:]):
            x = convolve_all(x, r)
            image = upsample(image) + to_rgb(x, style[2 * r + 3])
        return image


class ResidualDown(nn.Module):
    """Two convolutions, the second halving, and a shortcut, over √2."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.staying = Conv(inputs, inputs, 3)
        self.falling = Conv(inputs, outputs, 3, down=True)
        self.shortcut = Conv(inputs, outputs, 1, down=True, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return (leaky(self.falling(leaky(self.staying(x)))) + self.shortcut(x)) / math.sqrt(2)


def group_deviation(x: Tensor, group: int) -> Tensor:
    """[B,1,h,w]: the standard deviation over a group of images, its mean over channels and places.

    Groups are of `group` images or of the largest divisor of both it and B; one image alone has 0. Of a batch that
    processes share, B are the images of all.
    """
    x = gathered(x)
    b, c, h, w = x.shape
    size = math.gcd(b, group)
    parts = x.view(size, b // size, c, h, w)
    deviation = (parts.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))  # [B/size]
    return own(deviation.repeat(size)).view(-1, 1, 1, 1).expand(-1, 1, h, w)


class Discriminator(nn.Module):
    """Images [B,3,H,W] to logits [B] and features [B,F].

    The features are what the logit is a linear function of, or, with `head_dim`, another linear function of that.
    """

    def __init__(self, cfg: StyleGAN2Config, head_dim: int | None = None):
        super().__init__()
        self.group = cfg.group
        widths = [cfg.channels(h) for h, _ in reversed(cfg.sizes)]
        h, w = cfg.sizes[0]
        self.entry = Conv(3, widths[0], 1)
        self.falling = nn.ModuleList(ResidualDown(a, b) for a, b in pairwise(widths))
        self.last = Conv(widths[-1] + 1, widths[-1], 3)
        self.hidden = Linear(widths[-1] * h * w, widths[-1])
        self.logit = Linear(widths[-1], 1)
        self.head = None if head_dim is None else Linear(widths[-1], head_dim)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        x = leaky(self.entry(images.contiguous(memory_format=torch.channels_last)))  # faster
        for block in self.falling:
            x = block(x)
        x = leaky(self.last(torch.cat((x, group_deviation(x, self.group)), dim=1)))
        hidden = leaky(self.hidden(x.flatten(1)))  # [B,F]
        return self.logit(hidden).squeeze(1), hidden if self.head is None else self.head(hidden)


def two_latents(b: int, *shape: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """N(0,1) [2B,*shape]: the first latents of b images, and after them their second ones."""

    def both(n: int, source: torch.Generator) -> Tensor:
        return torch.randn(2 * n, *shape, generator=source).unflatten(0, (2, n)).transpose(0, 1)

    return moved(of_images(b, generator, both).transpose(0, 1).flatten(0, 1), device)


def mixed(first: Tensor, second: Tensor, mixing: float, generator: torch.Generator) -> Tensor:
    """Styles [B,L,D] of two latents: with chance `mixing`, the second's from a layer on that is drawn for each image.

    The layer is one of 1..L-1, so that either has some.
    """
    b, layers, _ = first.shape
    cut = of_images(b, generator, lambda n, source: torch.randint(1, layers, (n,), generator=source))
    cut = torch.where(uniform(b, generator=generator) < mixing, cut, layers)
    after = torch.arange(layers) >= cut[:, None]  # [B,L]
    return torch.where(moved(after[:, :, None], first.device), second, first)
