"""Two stages in a row: a base model draws small pairs, a super-resolution stage enlarges them.

Class ids are passed on, not colours. Each stage has its own checkpoint, guidance and number of steps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from torch import Tensor

from gcbench.core.contracts import Dataset, Model, ModelOptions, Size
from gcbench.core.errors import UserError
from gcbench.core.samples import Samples
from gcbench.diffusion.noise import derived_seed
from gcbench.gcdp.model import GCDP
from gcbench.gcdp.sampling import Beside

STAGE = "sr_"
"""Begins the names of the second stage's settings: `--set sampler.sr_guidance=2`."""

SECOND = 0x5E
"""The purpose for which the second stage's seeds are derived, so that its noise is not the first stage's."""


class SuperResolution(GCDP):
    """The second stage: draws a pair from a smaller one, and from the text if it reads any."""

    enlarges: ClassVar[bool] = True
    sampling: ClassVar[Mapping[str, str]] = {**GCDP.sampling, "guidance": "sr_guidance", "low_noise": "low_noise"}

    def enlarge(
        self, images: Tensor, layouts: Tensor | None, prompts: Sequence[str] | None, seeds: Sequence[int]
    ) -> tuple[Tensor, Tensor | None]:
        """Pairs of this stage's size, from images uint8 [N,3,h,w] and layouts int64 [N,h,w]."""
        seeds = [derived_seed(seed, SECOND, 0) for seed in seeds]
        return self.drawn(prompts, seeds, self.size, self.cfg.sr_guidance, Beside("low", images, layouts))


class Cascade(Model):
    """A base model whose samples a second stage enlarges."""

    layouts = True
    size: Size

    def __init__(self, base: GCDP, upper: SuperResolution):
        (h, w), (high, wide) = base.size, upper.size
        if high % h or wide % w or high // h != wide // w or high == h:
            fault = f"the first stage draws {h}x{w} and the second {high}x{wide}, which is no multiple"
            raise UserError(f"--cascade: {fault}; choose stages of one cascade")
        self.base, self.upper, self.card, self.size = base, upper, base.card, upper.size
        self.conditional, self.guided, self.layouts = base.conditional, base.guided, base.layouts
        self.first = h * w / (h * w + high * wide)
        """The first stage's share of the work, about."""

    @classmethod
    def open(cls, dataset: Dataset, options: ModelOptions) -> "Cascade":
        """options.cascade: the second stage's checkpoint; settings `sampler.sr_*` are its own."""
        own: dict[str, Any] = {}
        others: dict[str, Any] = {}
        for key, value in options.settings.items():
            setting = key.removeprefix(f"sampler.{STAGE}")
            (others if setting == key else own)[key if setting == key else f"sampler.{setting}"] = value
        base = GCDP.open(dataset, replace(options, settings=others, cascade=None))
        second = replace(options, checkpoint=options.cascade, settings=own, cascade=None)
        return cls(base, SuperResolution.open(dataset, second))

    def generate(
        self, prompts: Sequence[str] | None, *, n: int, size: Size, guidance: float, seeds: Sequence[int]
    ) -> Samples:
        if tuple(size) != tuple(self.size):
            raise UserError(f"this cascade draws {self.size[0]}x{self.size[1]} only; leave out --size")
        self.base.progress = lambda share: self.progress(share * self.first)
        self.upper.progress = lambda share: self.progress(self.first + share * (1 - self.first))
        small = self.base.generate(prompts, n=n, size=self.base.size, guidance=guidance, seeds=seeds)
        images, layouts = self.upper.enlarge(small.images, small.layouts, prompts, seeds)
        return replace(small, images=images, layouts=layouts)

    def describe(self) -> Mapping[str, str | int | None]:
        base, upper = self.base.describe(), self.upper.describe()
        parameters = sum(int(part["parameters"] or 0) for part in (base, upper))
        return {**base, "weights": f"{base['weights']}+{upper['weights']}", "parameters": parameters}

    def sampler(self) -> Mapping[str, float | str]:
        return {**self.base.sampler(), **{STAGE + key: fact for key, fact in self.upper.sampler().items()}}

    def seconds_per_image(self, size: Size, guidance: float) -> float:
        return self.base.seconds_per_image(self.base.size, guidance) / self.first
