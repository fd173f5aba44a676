"""Two stages in a row: a base model draws small pairs, a super-resolution stage enlarges them.

Class ids are passed on, not colours. Each stage has its own checkpoint, guidance and sampler; both are drawn from the
same text. Settings of the second stage begin with `sr_`, but for `low_noise`, which the first stage has not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from torch import Tensor

from gcbench.core.contracts import Dataset, Given, Model, ModelOptions, Reading, Size
from gcbench.core.errors import UserError
from gcbench.core.samples import Samples
from gcbench.diffusion.noise import derived_seed
from gcbench.gcdp.model import GCDP
from gcbench.gcdp.sampling import Beside

STAGE = "sr_"
"""Begins the names of the second stage's settings: `--set sampler.sr_guidance=2`."""

BOTH = ("sampler.preset", "sampler.text_encoder")
"""Settings that are laid over both stages."""

SECOND = 0x5E
"""The purpose for which the second stage's seeds are derived, so that its noise is not the first stage's."""


class SuperResolution(GCDP):
    """The second stage: draws a pair from a smaller one, and from the text if it reads any."""

    enlarges: ClassVar[bool] = True
    sampling: ClassVar[Mapping[str, str]] = {
        **{STAGE + key: field for key, field in GCDP.sampling.items() if field.startswith("process.")},
        "sr_guidance": "sr_guidance",
        "low_noise": "low_noise",
    }

    @classmethod
    def sampler_settings(cls, settings: Mapping[str, Any]) -> Mapping[str, Any]:
        """A preset is that of the first stage, by this one's names."""
        given = {key: value for key, value in settings.items() if key != "sampler.preset"}
        preset = super().sampler_settings({key: settings[key] for key in settings.keys() - given.keys()})
        return {**{key.replace("sampler.", f"sampler.{STAGE}"): value for key, value in preset.items()}, **given}

    def draw(
        self,
        prompts: Sequence[str] | None,
        seeds: Sequence[int],
        *,
        size: Size,
        guidance: float,
        given: Given | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Pairs of `size`. given: the smaller ones, at their own size."""
        small = given or Given()
        return self.drawn(prompts, seeds, size, guidance, Beside("low", small.images, small.layouts))


class Cascade(Model):
    """A base model whose samples a second stage enlarges."""

    layouts = True
    size: Size

    def __init__(self, base: GCDP, upper: SuperResolution):
        (high, wide), small = upper.size, upper.cfg.low_size
        small = small or (high // 2, wide // 2)
        if tuple(base.size) != tuple(small):
            drawn, enlarged = ("{}x{}".format(*size) for size in (base.size, small))
            fault = f"the first stage draws {drawn} and the second enlarges {enlarged} to {high}x{wide}"
            raise UserError(f"--cascade: {fault}; choose stages of one cascade")
        self.base, self.upper, self.size = base, upper, upper.size
        self.stages = (base, upper)
        self.conditional, self.guided, self.layouts = base.conditional, base.guided, base.layouts

    @classmethod
    def open(cls, dataset: Dataset, options: ModelOptions, kind: type[GCDP] = GCDP) -> "Cascade":
        """options: checkpoint and cascade are the two stages' weights. kind: the model that both are of.
        UserError: they are not a base stage and a super-resolution stage of one model, dataset and size."""

        def concerns(key: str, second: bool) -> bool:
            return key in BOTH or key.startswith((f"sampler.{STAGE}", "sampler.low_noise")) == second

        settings = dict(options.settings)
        steps = settings.pop(f"sampler.{STAGE}steps", options.steps)
        if steps is not None and (not isinstance(steps, int) or isinstance(steps, bool)):
            raise UserError(f"setting sampler.{STAGE}steps={steps!r} is no number of steps; give a whole number")
        own, others = ({key: value for key, value in settings.items() if concerns(key, part)} for part in (True, False))
        base = kind.open(dataset, replace(options, settings=others, cascade=None))
        upper: Any = type(SuperResolution.__name__, (SuperResolution, kind), {})
        second = replace(options, checkpoint=options.cascade, settings=own, steps=steps, cascade=None)
        return cls(base, upper.open(dataset, second))

    def generate(
        self, prompts: Sequence[str] | None, *, n: int, size: Size, guidance: float, seeds: Sequence[int]
    ) -> Samples:
        self.check_size(size)
        first = 1 / (1 + self.size[0] * self.size[1] / (self.base.size[0] * self.base.size[1]))  # share of the work
        self.base.progress = lambda share: self.progress(share * first)
        self.upper.progress = lambda share: self.progress(first + share * (1 - first))
        small = self.base.generate(prompts, n=n, size=self.base.size, guidance=guidance, seeds=seeds)
        large = self.upper.generate(
            prompts,
            n=n,
            size=self.size,
            guidance=self.upper.cfg.sr_guidance,
            seeds=[derived_seed(seed, SECOND, 0) for seed in seeds],
            given=Given(small.images, small.layouts),
        )
        return replace(small, images=large.images, layouts=large.layouts)

    def check_size(self, size: Size) -> None:
        if tuple(size) != tuple(self.size):
            raise UserError(f"this cascade draws {self.size[0]}x{self.size[1]} only; leave out --size")

    def reading(self, texts: Sequence[str]) -> Reading | None:
        """What the first stage leaves out, which plans the scene."""
        return self.base.reading(texts)

    def describe(self) -> Mapping[str, str | int | None]:
        base, upper = self.base.describe(), self.upper.describe()
        parameters = sum(int(part["parameters"] or 0) for part in (base, upper))
        note = "cascade {}x{} to {}x{}".format(*self.base.size, *self.size)
        return {**base, "weights": f"{base['weights']}+{upper['weights']}", "parameters": parameters, "note": note}

    def sampler(self) -> Mapping[str, float | str]:
        """The second stage's facts beside the first one's; the precision is one for both."""
        upper = {f"{STAGE}steps" if key == "steps" else key: fact for key, fact in self.upper.sampler().items()}
        return {**upper, **self.base.sampler()}

    def seconds_per_image(self, size: Size, guidance: float) -> float:
        self.check_size(size)
        upper = self.upper.seconds_per_image(self.size, self.upper.cfg.sr_guidance)
        return self.base.seconds_per_image(self.base.size, guidance) + upper
