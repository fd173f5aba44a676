"""What a dataset, a model, an evaluator and a metric must offer. Plug-ins implement these; the engine knows no more.

Imports no torch: what a metric declares is read without it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field

from gcbench.core.errors import UserError
from gcbench.core.files import text_hash
from gcbench.core.samples import Features, Samples, Texts
from gcbench.core.score import Estimate, Score

if TYPE_CHECKING:
    import numpy as np
    import torch

Size = tuple[int, int]
"""(H, W) in pixels."""


class Dataset(ABC):
    """Pairs of an image and its layout, with captions.

    classes: K names; a class's place is its id in every layout. palette: K RGB triples. void: the id of the
    void class, or None. size: the default (H, W). splits: names, the one to train on first, the one to evaluate on
    last; with one only, nothing can be trained. parts: further ones, parts of the first, to be trained on by name (one
    may be among `splits` instead). aliases: class name -> the words (lower case,
    singular and plural) by which a text names it; void has none. resize: how images are brought to size.
    mirror: what each class id becomes in an image seen in a mirror (left and right parts change names); None if
    nothing changes. attributes: names of what a whole image can be (`Smiling`); attribute_words: attribute -> the
    words (lower case) by which a text affirms it. has_layouts, has_texts: whether its images have them, all or none;
    what needs them is skipped where they have none. Who reads asks these first: no method gives None.
    """

    name: str
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    void: int | None
    size: Size
    splits: tuple[str, ...]
    parts: tuple[str, ...] = ()
    aliases: Mapping[str, tuple[str, ...]]
    resize: str
    mirror: tuple[int, ...] | None = None
    attributes: tuple[str, ...] = ()
    attribute_words: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    has_layouts: bool = True
    has_texts: bool = True

    @classmethod
    @abstractmethod
    def open(cls) -> Dataset:
        """The dataset where it is looked for (`$GCBENCH_DATA/<name>`), or a UserError that says where to put what."""

    @property
    @abstractmethod
    def version(self) -> str:
        """What data this is: the generator's version, or a hash of the file list. Part of every protocol."""

    @abstractmethod
    def ids(self, split: str) -> Sequence[str]:
        """The names of the split's pairs, in a fixed order. UserError if the split is unknown."""

    @abstractmethod
    def pair(self, split: str, index: int, size: Size) -> tuple[np.ndarray, np.ndarray]:
        """Image uint8 [H,W,3] and layout uint8 [H,W] of class ids. UserError names an unreadable file, or says that the
        dataset has no layouts."""

    def image(self, split: str, index: int, size: Size) -> np.ndarray:
        """The image of a pair alone, uint8 [H,W,3]; without `has_layouts`, all that there is."""
        return self.pair(split, index, size)[0]

    @abstractmethod
    def captions(self, split: str, index: int) -> Sequence[str]:
        """The texts of a pair, at least one; an empty one without `has_texts`."""

    def attribute_labels(self, split: str, index: int) -> np.ndarray | None:
        """Which of `attributes` the pair has, bool [A]; None for a dataset without attributes."""
        return None

    def resize_by_nearest(self) -> None:
        """Bring images to size by the nearest pixel from now on. UserError: it does not choose how."""
        raise UserError(f"setting train.resize=nearest: {self.name} brings its images to size by itself; leave it out")

    def fingerprint(self, split: str) -> str:
        """A hash of what the split's images show; here of `version`, which must then change with any pixel."""
        return text_hash(self.version, split)

    @property
    def argument(self) -> str:
        """What `--dataset` takes to open it."""
        return self.name

    def groups(self, split: str) -> Sequence[str]:
        """What is dependent: one name a pair. Independent pairs have their own id."""
        return self.ids(split)


class Given(NamedTuple):
    """What is known of the samples to be drawn and stays: images uint8 [B,3,H,W], layouts int64 [B,H,W]."""

    images: torch.Tensor | None = None
    layouts: torch.Tensor | None = None


@dataclass(frozen=True)
class ModelOptions:
    """How a model is opened. A model ignores what it has no use for.

    checkpoint: a file, or None to look in `$GCBENCH_WEIGHTS` and among the bundled weights. device: a torch
    device. precision: of the network. steps: sampling steps, None for the model's default. settings: further
    choices of the sampler, by key (`sampler.KEY`); a model refuses what it does not know. cascade: the checkpoint of a
    second stage, for a model that is `staged`. argument: what stands behind the model's name, `NAME:ARGUMENT`.
    """

    checkpoint: Path | None = None
    device: str = "cpu"
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    steps: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    cascade: Path | None = None
    argument: str | None = None


class Reading(BaseModel):
    """What a model leaves out of the texts that it is given. A sample is named by its id, 000000 the first."""

    model_config = ConfigDict(extra="forbid")

    n: int = Field(description="Texts.")
    unknown: dict[str, int] = Field(
        default_factory=dict,
        description="Word that the model does not know -> in how many texts; the most frequent, 100 at most.",
    )
    denied: dict[str, int] = Field(
        default_factory=dict,
        description='Class that a text denies ("no cars") and whose mention is left out -> in how many texts.',
    )
    cut: list[str] = Field(
        default_factory=list, description="Samples whose text is longer than the model reads: it reads the beginning."
    )
    empty: list[str] = Field(
        default_factory=list,
        description="Samples of whose text the model reads nothing: the image is that of an empty text.",
    )


class Model(ABC):
    """What generates.

    conditional: it reads prompts. guided: guidance changes its samples. layouts: it draws layouts too.
    size: the (H, W) it was trained at, which a run takes unless told another; None for the dataset's own.
    derives: it draws no layouts; those that it is measured by are read from its images by the segmenter that measures,
    and marked so. progress: while it works, `generate` may tell this which share of its images is done, 0 to 1.
    given: what may be known of its samples: `layouts`, `images`. layouts_given: its samples have layouts that it was
    given by itself, as finished images of a layout-to-image system have. staged: it takes a second stage (`--cascade`).
    argument: what may stand behind its name (`PATH` of `NAME:PATH`); None, it takes none.
    recipe: None, or a class method `recipe(dataset, settings)` that gives what `gcbench train` trains, a
    `gcbench.training.recipe.Recipe`. contentless: its recipe can be built and run on tensors without content, for a
    plan.
    """

    conditional: bool
    guided: bool
    layouts: bool
    derives: bool = False
    size: Size | None = None
    given: frozenset[str] = frozenset()
    layouts_given: bool = False
    staged: ClassVar[bool] = False
    argument: ClassVar[str | None] = None
    progress: Callable[[float], object] = staticmethod(lambda share: None)
    recipe: ClassVar[Any] = None
    contentless: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def open(cls, dataset: Dataset, options: ModelOptions) -> Model:
        """A model ready to generate samples of `dataset`."""

    @classmethod
    def check_argument(cls, argument: str) -> None:
        """UserError: nothing can be opened with this argument. Quick: torch is not loaded for it."""
        return

    @abstractmethod
    def generate(
        self, prompts: Sequence[str] | None, *, n: int, size: Size, guidance: float, seeds: Sequence[int]
    ) -> Samples:
        """n samples. Sample i depends on prompts[i] and seeds[i] only: never on batch size or order.

        A model that says what may be `given` takes `given` too, a `Given` of n rows, and returns these as they are."""

    def reading(self, texts: Sequence[str]) -> Reading | None:
        """What it leaves out of the texts, text i being sample i's; None where that is not known."""
        return None

    def describe(self) -> Mapping[str, str | int | None]:
        """`weights` (hash), `trained_on`, `parameters`, `note`: what a record says of this model."""
        return {}

    def sampler(self) -> Mapping[str, float | str]:
        """The sampler's settings, for the protocol."""
        return {}

    def decoder_features(
        self, pairs: Samples, time: float, seeds: Sequence[int], *, layouts: bool = True
    ) -> Mapping[str, torch.Tensor] | None:
        """What each level of its decoder says of real pairs noised at a share `time` of its process, in (0,1]: level ->
        [B,C,h,w], the deepest first. layouts: off, a network that reads layouts is given uniform noise in their place.
        None for a model without such a network."""
        return None

    def seconds_per_image(self, size: Size, guidance: float) -> float | None:
        """An estimate, made in well under a few seconds, or None."""
        return None


class Evaluator(ABC):
    """A network that measures, in a role (`segmenter`, `inception`, `clip`, `attributes`, `encoder`).

    id: names architecture, training data if not the standard one, weights' hash, input scale and precision. What
    stands before its `#` is what tables call it.
    recipe: as a model's.
    """

    role: ClassVar[str]
    id: str
    recipe: ClassVar[Any] = None

    @classmethod
    @abstractmethod
    def open(cls, dataset: Dataset, *, spec: str | None = None, device: str = "cpu") -> Evaluator:
        """The evaluator for `dataset`; `spec` is what stands after `ROLE=` in `--evaluator ROLE=ID[@FILE]`."""

    @abstractmethod
    def __call__(self, images: torch.Tensor) -> Features:
        """Measure uint8 [B,3,H,W] images."""

    def read(self, prompts: Sequence[str]) -> Texts | None:
        """What it reads in texts; None for an evaluator that sees images only."""
        return None


@dataclass(frozen=True)
class Task:
    """What a metric may know of the dataset that it scores on. Plain data: it can be copied and pickled.

    named: the roles for which the user named an evaluator.
    """

    classes: tuple[str, ...]
    void: int | None
    aliases: Mapping[str, tuple[str, ...]]
    attributes: tuple[str, ...] = ()
    attribute_words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    named: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        for name in ("aliases", "attribute_words"):
            object.__setattr__(self, name, {key: tuple(words) for key, words in getattr(self, name).items()})

    @classmethod
    def of(cls, dataset: Dataset) -> Task:
        return cls(dataset.classes, dataset.void, dataset.aliases, dataset.attributes, dataset.attribute_words)


State = dict[str, Any]
"""Tensors and plain data (text, numbers, None, lists and maps of them) by name; `core.metric_state` writes it."""


class Metric(ABC):
    """A number over a set of samples.

    needs: of `images`, `layouts`, `prompts`, `reference`, `training`. roles: evaluators whose features it reads.
    alternative: a role whose evaluator takes the place of the first one where the user names it, and the title that the
    metric then has, `{}` in it being the evaluator's name.
    direction: which way is better. unit: of its value as it is shown: the stored one times `scale` of its column, 1 if
    that names none. range: what its values cannot leave; ranges: of the columns for which that is another. title: its
    column's heading. summary: one line for `gcbench list metrics`. axis: what it is for on a curve, cost (`realism`)
    or gain (`correspondence`). headline: the columns that a table shows, "" for the value itself. default: whether a
    run measures it unasked. gain: the least difference that counts when a sweep asks whether it is saturated.
    thresholds: named numbers that change the value; they are part of the protocol. reference: what `update_reference`
    builds, if `needs` has it; training: the same of `update_training`. when_given: the metric that takes its place
    where the layouts were given to the model.
    """

    needs: ClassVar[frozenset[str]]
    roles: tuple[str, ...] = ()
    alternative: ClassVar[tuple[str, str] | None] = None
    direction: ClassVar[Literal["higher", "lower"]]
    unit: ClassVar[str]
    title: ClassVar[str]
    summary: ClassVar[str]
    scale: ClassVar[Mapping[str, float]] = {}
    range: ClassVar[tuple[float, float]] = (-inf, inf)
    ranges: ClassVar[Mapping[str, tuple[float, float]]] = {}
    axis: ClassVar[Literal["realism", "correspondence"] | None] = None
    headline: ClassVar[tuple[str, ...]] = ("",)
    default: ClassVar[bool] = False
    gain: ClassVar[float | None] = None
    thresholds: ClassVar[Mapping[str, float]] = {}
    when_given: ClassVar[str | None] = None
    reference: Any
    training: Any

    def __init__(self, task: Task):
        self.task, self.roles = task, self.roles_where(task.named)

    @classmethod
    def roles_where(cls, named: Collection[str]) -> tuple[str, ...]:
        """The evaluators that it reads where the user named those of these roles."""
        instead = cls.alternative[0] if cls.alternative else None
        return (instead, *cls.roles[1:]) if instead in named and instead else cls.roles

    def fresh(self) -> Self:
        """An instance without samples that shares this one's reference, and what it knows of the training."""
        new = type(self)(self.task)
        if "reference" in self.needs:
            new.reference = self.reference
        if "training" in self.needs:
            new.training = self.training
        return new

    def update_reference(self, samples: Samples, features: Mapping[str, Features]) -> None:  # noqa: B027
        """Add real pairs to the reference. Only called where `needs` has `reference`."""

    def update_training(self, samples: Samples, features: Mapping[str, Features]) -> None:  # noqa: B027
        """Add pairs that the model was trained on. Only called where `needs` has `training`."""

    def take_moments(self, mean: np.ndarray, covariance: np.ndarray, n: int) -> bool:
        """Take the mean [d] and the covariance [d,d] of the real images' features as the reference; n: how many, 0
        where that is not known. False: it cannot, because it needs the images."""
        return False

    @abstractmethod
    def update(self, samples: Samples, features: Mapping[str, Features]) -> None:
        """Add samples; `features[role]` is what the evaluator of that role gave for them. The reference need not be
        there yet: it is for `compute`."""

    @abstractmethod
    def merge(self, other: Metric) -> None:
        """Take in the samples of another instance (not its reference), exactly as if it had been one run."""

    @abstractmethod
    def state(self) -> State:
        """All that `compute` needs of the samples so far, without the reference."""

    @abstractmethod
    def load(self, state: State) -> None:
        """Take what `state` gave in place of the samples so far; the reference stays. UserError if it is no such."""

    @abstractmethod
    def compute(self) -> Score:
        """The score of all samples so far."""

    def per_sample(self) -> Mapping[str, Mapping[str, float | None]]:
        """column -> sample id -> value, "" for the value's own column; empty for a number of the whole set."""
        return {}

    def scored(self, estimate: Estimate, column: str = "", *, n: int, **more: Any) -> Score:
        """`Score.of` an estimate, within the range of its column."""
        return Score.of(estimate, n=n, within=self.ranges.get(column, self.range), **more)
