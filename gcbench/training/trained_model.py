"""What all models have in common whose weights a checkpoint of ours holds: a subclass states only what is its own."""

import time
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from pkgutil import resolve_name
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, Self

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from gcbench.core.checkpoint import Card, Checkpoint
from gcbench.core.contracts import Dataset, Given, Model, ModelOptions, Reading, Size
from gcbench.core.errors import UserError
from gcbench.core.samples import Samples
from gcbench.core.settings import apply_to_fields
from gcbench.networks.text import Reader
from gcbench.text.known_words import Aliases
from gcbench.training.recipe import Recipe, TrainConfig, choose
from gcbench.weights.find_weights import open_weights


class Imported(NamedTuple):
    """A checkpoint of others' code as ours. facts: of its making. said: what it does not say, a sentence each."""

    state: dict[str, Tensor]
    config: Any
    facts: dict[str, Any]
    said: list[str]


class TrainedModel(Model):
    """A model that `gcbench train` trains. A subclass gives `build` and `draw`, and says on the class:

    name: its entry point, by which its weights are found, unless they are those of the model `trained_as`.
    config: the pydantic class of its checkpoints' configs, with `size` and `sample_batch`. stepped: it draws in several
    steps, of which its config says `sample_steps` and `process.steps`. presets: name -> (config, how to train it).
    recipe_class: MODULE:CLASS of its recipe, imported when a training begins. sampling: what a run may choose anew by
    `--set sampler.KEY=VALUE`, and its protocol then says: KEY -> the config's field. sampler_presets: several of
    these at once, `--set sampler.preset=NAME`.
    """

    name: ClassVar[str]
    trained_as: ClassVar[str | None] = None
    config: ClassVar[type[BaseModel]]
    presets: ClassVar[Mapping[str, tuple[Any, TrainConfig]]]
    recipe_class: ClassVar[str]
    sampling: ClassVar[Mapping[str, str]] = {}
    sampler_presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    stepped: ClassVar[bool] = False
    network: Any
    cfg: Any
    size: Size
    steps: int | None = None
    aliases: Aliases = MappingProxyType({})

    def __init__(self, network: nn.Module, cfg: Any, card: Card, options: ModelOptions):
        self.network = network.eval().to(options.device)
        self.cfg, self.card, self.size = cfg, card, cfg.size
        self.device, self.precision = torch.device(options.device), options.precision
        if self.stepped:
            self.steps = cfg.sample_steps if options.steps is None else options.steps
            if not 1 <= self.steps <= cfg.process.steps:
                raise UserError(f"--steps {self.steps} is outside 1..{cfg.process.steps}, the process that was trained")

    @classmethod
    def open(cls, dataset: Dataset, options: ModelOptions) -> Self:
        if options.steps is not None and not cls.stepped:
            fault = f"{cls.name} draws in one pass and has no sampling steps"
            raise UserError(f"--steps {options.steps}: {fault}; leave it out")
        if options.precision == "fp16":  # which no sampler of ours is written for
            raise UserError(f"--precision fp16: {cls.name} draws in fp32 or bf16; choose one of these")
        cfg, weights = open_weights(cls.trained_as or cls.name, dataset, options.checkpoint, cls.config)
        cfg = cls.sampled_by(cfg, options.settings)
        model = cls(cls.build(cfg, weights, dataset), cfg, weights.card, options)
        model.aliases = dataset.aliases
        return model

    @classmethod
    def sampled_by(cls, cfg: Any, settings: Mapping[str, Any]) -> Any:
        """The config with the settings of a run's sampler laid over it. UserError: one that it does not take."""
        fields = {**cls.sampling, **cls.places(cfg)}
        if settings and not fields:
            raise UserError(f"--set {next(iter(settings))}: {cls.name} has nothing to choose when it samples")
        return apply_to_fields(cfg, "sampler", fields, cls.sampler_settings(settings))

    @classmethod
    def sampler_settings(cls, settings: Mapping[str, Any]) -> Mapping[str, Any]:
        """The settings with a `sampler.preset` spelled out; what is set beside it wins."""
        settings = dict(settings)
        preset = settings.pop("sampler.preset", None) if cls.sampler_presets else None
        if preset is None:
            return settings
        if preset not in cls.sampler_presets:
            raise UserError(f"unknown sampler.preset={preset!r}; known: {', '.join(cls.sampler_presets)}")
        return {**{f"sampler.{key}": value for key, value in cls.sampler_presets[preset].items()}, **settings}

    @classmethod
    def import_weights(cls, path: Path, dataset: Dataset | type[Dataset], **options: Any) -> "Imported":
        """A file that others' code wrote, as ours. UserError: it is none that this model knows."""
        raise UserError(f"--as {cls.name}: no file of others is known for it; train it with `gcbench train`")

    @classmethod
    @abstractmethod
    def build(cls, cfg: Any, weights: Checkpoint, dataset: Dataset) -> nn.Module:
        """The network of `cfg` with the checkpoint's weights."""

    @abstractmethod
    def draw(
        self, prompts: Sequence[str] | None, seeds: Sequence[int], *, size: Size, guidance: float
    ) -> tuple[Tensor, Tensor | None]:
        """Images uint8 [N,3,H,W] and the model's own layouts int64 [N,H,W], or None; one a seed."""

    @classmethod
    def places(cls, cfg: Any) -> Mapping[str, str]:
        """As `sampling`: where files that others trained lie on this machine. No protocol says that."""
        return {}

    def generate(
        self,
        prompts: Sequence[str] | None,
        *,
        n: int,
        size: Size,
        guidance: float,
        seeds: Sequence[int],
        given: Given | None = None,
    ) -> Samples:
        """Samples are named by their seeds."""
        self.check_size(size)
        texts = self.told(prompts)
        more: dict[str, Any] = {} if given is None else {"given": given}
        try:
            images, layouts = self.draw(texts, list(seeds), size=size, guidance=guidance, **more)
        except FloatingPointError as error:
            raise UserError(
                f"{self.name}: {error} at guidance {guidance:g}; lower --guidance, take --precision fp32, or train it"
                " again with a lower train.lr"
            ) from None
        source = "given" if given is not None and given.layouts is not None else "generated"
        return Samples(
            images,
            layouts,
            source if layouts is not None else None,
            tuple(prompts) if prompts is not None else None,
            tuple(f"{seed:06d}" for seed in seeds),
        )

    def told(self, prompts: Sequence[str] | None) -> list[str] | None:
        """The texts as its network is given them; None for a model that reads none."""
        texts = list(prompts) if self.conditional and prompts is not None else None
        if texts and (reader := self.reader):
            return [reader.told(text, self.aliases) for text in texts]
        return texts

    @property
    def reader(self) -> Reader | None:
        """The part of the network that reads texts."""
        return next((part for part in self.network.modules() if isinstance(part, Reader)), None)

    def reading(self, texts: Sequence[str]) -> Reading | None:
        return None if self.reader is None else self.reader.reading(texts, self.aliases)

    def check_size(self, size: Size) -> None:
        """Refuse any size but the one that it was trained at; a model that can draw others has a check of its own."""
        if tuple(size) != tuple(self.size):
            h, w = self.size
            raise UserError(f"{self.name} draws images of {h}x{w} only; leave out --size or train it at another")

    def describe(self) -> Mapping[str, str | int | None]:
        return {
            "weights": self.card.sha256,
            "trained_on": self.card.dataset,
            "parameters": sum(p.numel() for p in self.network.parameters()),
        }

    def sampler(self) -> Mapping[str, float | str]:
        steps = {} if self.steps is None else {"steps": self.steps}
        chosen = {key: attrgetter(field)(self.cfg) for key, field in self.sampling.items()}
        facts = {**steps, **chosen, "precision": self.precision}
        return {key: fact if isinstance(fact, str) else float(fact) for key, fact in facts.items()}

    def seconds_per_image(self, size: Size, guidance: float) -> float | None:
        """From one batch, timed after one that is not counted."""
        self.check_size(size)
        prompts = [""] if self.conditional else None
        return seconds(lambda: self.draw(prompts, [0], size=size, guidance=guidance)) / self.cfg.sample_batch

    @classmethod
    def recipe(cls, dataset: Dataset, settings: Mapping[str, Any]) -> Recipe:
        """What `gcbench train` trains. `settings`: `preset`, `model.*` and `train.*`."""
        cfg, training = choose(cls.presets, settings, dataset.size)
        return resolve_name(cls.recipe_class)(cls.name, cfg, dataset, training)


def seconds(act: Callable[[], object]) -> float:
    """What `act` takes, the second of two times: the first also fills caches."""
    took = 0.0
    for _ in range(2):
        began = time.perf_counter()
        act()
        took = time.perf_counter() - began
    return took
