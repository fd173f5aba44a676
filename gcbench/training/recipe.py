"""What the trainer trains: a module whose forward is its loss, and how to show and save what it learnt."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import torch
from pydantic import AfterValidator, AliasChoices, Field, ValidationInfo
from torch import Tensor, nn

from gcbench.core.checkpoint import Card
from gcbench.core.contracts import Dataset, Size
from gcbench.core.errors import UserError
from gcbench.core.settings import AnyConfig, Config, Count, Share, Weight, apply
from gcbench.training.ema import Growth

Beta = Annotated[float, Field(ge=0, lt=1)]


class Batch(NamedTuple):
    """images: uint8 [B,3,H,W]; layouts: int64 [B,H,W]; texts: B captions; attributes: bool [B,A], if there are any."""

    images: Tensor
    layouts: Tensor
    texts: list[str]
    attributes: Tensor | None = None

    def part(self, begin: int, end: int) -> "Batch":
        """The pairs from place `begin` on, up to `end`."""
        attributes = None if self.attributes is None else self.attributes[begin:end]
        return Batch(self.images[begin:end], self.layouts[begin:end], self.texts[begin:end], attributes)

    def to(self, device: torch.device) -> "Batch":
        """On a device; the host does not wait for it if the tensors are pinned."""
        images, layouts = (tensor.to(device, non_blocking=True) for tensor in (self.images, self.layouts))
        attributes = None if self.attributes is None else self.attributes.to(device, non_blocking=True)
        return Batch(images, layouts, self.texts, attributes)

    def pinned(self) -> "Batch":
        attributes = None if self.attributes is None else self.attributes.pin_memory()
        return Batch(self.images.pin_memory(), self.layouts.pin_memory(), self.texts, attributes)


def _of_process(steps: int, info: ValidationInfo) -> int:
    process = info.data.get("process")
    if process is not None and steps > process.steps:
        raise ValueError(f"give 1 to {process.steps}, as the process has steps")
    return steps


SampleSteps = Annotated[int, Field(ge=1), AfterValidator(_of_process)]
"""Of a model whose config has a `process` before it, which has so many steps at least."""

SampleBatch = Annotated[int, Field(ge=1, validation_alias=AliasChoices("sample_batch", "block"))]
"""Images that go through a network together when it draws, always: a shorter batch is filled up and the filling thrown
away, so that sums run in one order whatever the caller's batch size. Older cards call it `block`."""

Enlarged = Annotated[float, Field(ge=1, le=4)]


def _rising(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError("give the smaller number first")
    return pair


class TrainConfig(Config):
    """How to train. seed fixes initial weights, order of data and noise.

    ema: decay of the averaged weights; ema_every, ema_after, ema_growth: as in `EMA`.
    flip: mirror half of the images; swap_mirrored: left and right parts then change names, where the dataset has such.
    crop: enlarge each image by a factor drawn from this range, and cut a window of the image's size out of it.
    resize: how images that are files come to size, by `area` or, as their layouts do, by the `nearest` pixel.
    precision: `fp16` scales its losses, and needs a GPU. weights_dtype: of the checkpoint's tensors.
    batch_size: images a step, over all processes; micro_batch: images at a time (0: all at once).
    warmup: steps of linear rise of lr; decay: fraction of the run, at its end, over which lr falls to 0.
    keep_every: steps after which the weights of that moment are also kept, in kept/ (0: never). track: a tracker that
    is told what the log and the previews say. Neither changes a number: a resumed run may choose others.
    compile: let torch.compile fuse the network's small operations: some minutes at the start, then faster steps;
    `reduce-overhead` as CUDA graphs, for a small network on a GPU, where starting operations takes longer than they do.
    """

    steps: Count = 1000
    batch_size: int = Field(default=16, ge=1, le=2**16)
    micro_batch: int = Field(default=0, ge=0)
    lr: float = Field(default=1.2e-4, gt=0)
    betas: tuple[Beta, Beta] = (0.9, 0.99)
    weight_decay: Weight = 0.0
    warmup: int = Field(default=0, ge=0)
    decay: Share = 0.0
    clip: Weight = 0.0
    ema: Share = 0.9999
    ema_every: Count = 1
    ema_after: int = Field(default=0, ge=0)
    ema_growth: Growth = "ratio"
    flip: bool = True
    swap_mirrored: bool = True
    crop: Annotated[tuple[Enlarged, Enlarged], AfterValidator(_rising)] = (1.0, 1.0)
    resize: Literal["area", "nearest"] = "area"
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    weights_dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    compile: bool | Literal["reduce-overhead"] = False
    seed: int = Field(default=0, ge=0, lt=2**32)
    log_every: Count = 20
    save_every: Count = 500
    preview_every: Count = 1000
    keep_every: int = Field(default=0, ge=0)
    track: Literal["", "tensorboard", "trackio", "wandb"] = ""


def choose(
    presets: Mapping[str, tuple[AnyConfig, TrainConfig]], settings: Mapping[str, Any], size: Size
) -> tuple[AnyConfig, TrainConfig]:
    """The model's config and how to train it: the preset that `settings` names (default `tiny`), the rest laid over.

    presets: name -> (model, training). settings: `preset`, `model.*`, `train.*`. size: of the dataset's images,
    which a config with a field `size` takes on in a preset `tiny…`.
    UserError: an unknown preset or setting, or a value of the wrong type or out of its bounds.
    """
    settings = dict(settings)
    preset = settings.pop("preset", "tiny")
    if preset not in presets:
        raise UserError(f"unknown preset {preset!r}; known: {', '.join(presets)}")
    model, training = presets[preset]
    if preset.startswith("tiny") and "size" in type(model).model_fields:
        model = model.model_copy(update={"size": size})
    model, training = apply({"model": model, "train": training}, settings)
    return model, training


def captions_of(dataset: Dataset, split: str) -> Iterator[str]:
    """All captions of a split."""
    return (text for i in range(len(dataset.ids(split))) for text in dataset.captions(split, i))


def preview_captions(dataset: Dataset) -> list[str]:
    """The texts that previews are drawn from: the first captions of the first eight held-out pairs."""
    split = dataset.splits[-1]
    return [dataset.captions(split, i)[0] for i in range(min(8, len(dataset.ids(split))))]


def check_multiples(size: Size, multiple: int, reader: str = "the network") -> None:
    """Refuse a size that `reader` cannot halve as often as it does."""
    if size[0] % multiple or size[1] % multiple:
        raise UserError(f"setting model.size={list(size)} does not suit {reader}; take multiples of {multiple}")


def compile_network(network: nn.Module, how: bool | str) -> None:
    """As `train.compile` says."""
    if how:
        network.compile(mode=None if how is True else how)


def check_uncompiled(name: str, cfg: TrainConfig) -> None:
    """Refuse `train.compile` for a recipe that takes second derivatives."""
    if cfg.compile:
        raise UserError(f"setting train.compile: {name} takes second derivatives, which torch.compile does not give")


class OptimizerGroup(NamedTuple):
    """Parameters that one optimiser moves. rate: its share of `train.lr`; betas: its own, None for `train.betas`."""

    parameters: list[nn.Parameter]
    rate: float = 1.0
    betas: tuple[float, float] | None = None


class Phase(NamedTuple):
    """One move in a step: `forward` is told `name`, and its loss moves the optimiser groups `groups`.

    every: it comes each `every`-th step (lazy regularisation). start, stop: between which shares of the run it comes;
    where one starts a stage begins: the recipe takes on its averaged weights, the average and the rate start anew.
    """

    name: str = ""
    groups: tuple[str, ...] = ("",)
    every: int = 1
    start: float = 0.0
    stop: float = 1.0


class Recipe(nn.Module):
    """A trainable thing. `forward(batch, generator, phase)` gives {"loss": scalar, ...}: `loss` is minimised.

    The batch is on the parameters' device. Random numbers come from `normal`, `uniform`, `of_images` or `once` of
    `gcbench.core.draws`, so that an image's are the same however many processes share the batch; what compares images
    of a batch `gathered` them (`gcbench.core.shared_batch`). Values are means over the images at hand.

    name: the entry point of what it trains, a model or, by `kind`, an evaluator. cfg: all that rebuilds the network.
    train_config: how to train it. dataset: what it learns from. size: (H, W) of the images it wants. A recipe whose
    parts are trained against each other, or one after the other, says so by `optimizer_groups` and `phases`.
    """

    kind: ClassVar[str] = "model"
    name: str
    cfg: Any
    train_config: TrainConfig
    dataset: Dataset
    size: Size

    def __init__(self, name: str, cfg: Any, dataset: Dataset, train_config: TrainConfig):
        super().__init__()
        self.name, self.cfg, self.dataset, self.train_config = name, cfg, dataset, train_config
        self.size = cfg.size

    @abstractmethod
    def forward(self, batch: Batch, generator: torch.Generator, phase: str = "") -> dict[str, Tensor]: ...

    def prepared(self, batch: Batch) -> Batch:
        """What is made of a batch on the CPU, beforehand; by default nothing."""
        return batch

    def optimizer_groups(self) -> Mapping[str, OptimizerGroup]:
        """Whose parameters are trained; by default one group, all that wants a gradient."""
        return {"": OptimizerGroup([p for p in self.parameters() if p.requires_grad])}

    def phases(self) -> Sequence[Phase]:
        """The moves of a step, in order; by default one."""
        return (Phase(),)

    @property
    def classes(self) -> tuple[str, ...]:
        """What the network was trained to tell apart."""
        return self.dataset.classes

    def card(self, provenance: dict[str, Any]) -> Card:
        """What the checkpoint says of itself."""
        return Card(
            kind=self.kind,
            name=self.name,
            classes=self.classes,
            dataset=self.dataset.name,
            config=self.cfg.model_dump(mode="json"),
            provenance=provenance,
        )

    def shrunk(self) -> Mapping[str, Any]:
        """Settings of a small network of the same kind, by which the speed of this one is estimated; empty for one that
        is small itself, or where none stands for it."""
        return {}

    @abstractmethod
    def weights(self) -> dict[str, Tensor]:
        """The tensors that a checkpoint stores, by name. Must be a subset of `state_dict()` up to names."""

    @abstractmethod
    def preview(self, path: Path) -> None:
        """Draw an image that shows what has been learnt so far."""
