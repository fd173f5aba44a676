"""What the trainer trains: a module whose forward is its loss, and how to show and save what it learnt."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeVar

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from gcbench.core.checkpoint import Card
from gcbench.core.contracts import Dataset
from gcbench.core.errors import UserError
from gcbench.core.settings import apply


class Batch(NamedTuple):
    """images: uint8 [B,3,H,W]; layouts: int64 [B,H,W]; texts: B captions; attributes: bool [B,A], if there are any."""

    images: Tensor
    layouts: Tensor
    texts: list[str]
    attributes: Tensor | None = None


def check_sample_steps(sampling: int, trained: int) -> None:
    """Refuse, before a training begins, previews of more sampling steps than its process has."""
    if not 1 <= sampling <= trained:
        raise UserError(f"setting model.sample_steps={sampling}: give 1 to {trained}, as the process has steps")


class TrainConfig(BaseModel):
    """How to train. seed fixes initial weights, order of data and noise. ema: decay of the averaged weights.

    batch_size: images a step, over all processes; micro_batch: images at a time (0: all at once).
    warmup: steps of linear rise of lr; decay: fraction of the run, at its end, over which lr falls to 0.
    compile: let torch.compile fuse the network's small operations: some minutes at the start, then faster steps.
    """

    model_config = ConfigDict(extra="forbid")

    steps: int = 1000
    batch_size: int = 16
    micro_batch: int = 0
    lr: float = 1.2e-4
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.0
    warmup: int = 0
    decay: float = 0.0
    clip: float = 0.0
    ema: float = 0.9999
    flip: bool = True
    precision: str = "fp32"
    compile: bool = False
    seed: int = 0
    log_every: int = 20
    save_every: int = 500
    preview_every: int = 1000


Config = TypeVar("Config", bound=BaseModel)


def choose(
    presets: Mapping[str, tuple[Config, TrainConfig]], settings: Mapping[str, Any], size: tuple[int, int]
) -> tuple[Config, TrainConfig]:
    """The model's config and how to train it: the preset that `settings` names (default `tiny`), the rest laid over.

    presets: name -> (model, training). settings: `preset`, `model.*`, `train.*`. size: of the dataset's images,
    which a config with a field `size` takes on in the preset `tiny`.

    Raises:
        UserError: an unknown preset or setting, or a value of the wrong type.
    """
    settings = dict(settings)
    preset = settings.pop("preset", "tiny")
    if preset not in presets:
        raise UserError(f"unknown preset {preset!r}; known: {', '.join(presets)}")
    model, training = presets[preset]
    if preset == "tiny" and "size" in type(model).model_fields:
        model = model.model_copy(update={"size": size})
    model, training = apply({"model": model, "train": training}, settings)
    return model, training


class Player(NamedTuple):
    """Parameters that one optimiser moves. rate: its share of `train.lr`; betas: its own, None for `train.betas`."""

    parameters: list[nn.Parameter]
    rate: float = 1.0
    betas: tuple[float, float] | None = None


class Turn(NamedTuple):
    """One move in a step: `forward` is told `name`, and its loss moves `players`.

    every: it comes each `every`-th step (lazy regularisation). start, stop: between which shares of the run it comes;
    where one starts a stage begins: the recipe takes on its averaged weights, the average and the rate start anew.
    """

    name: str = ""
    players: tuple[str, ...] = ("",)
    every: int = 1
    start: float = 0.0
    stop: float = 1.0


class Recipe(nn.Module):
    """A trainable thing. `forward(batch, generator, turn)` gives {"loss": scalar, ...}: `loss` is minimised.

    name: the entry point of what it trains, a model or, by `kind`, an evaluator. cfg: all that rebuilds the network.
    train_config: how to train it. dataset: what it learns from. size: (H, W) of the images it wants. A recipe whose
    parts are trained against each other, or one after the other, says so by `players` and `turns`.
    """

    kind: ClassVar[str] = "model"
    name: str
    cfg: Any
    train_config: TrainConfig
    dataset: Dataset
    size: tuple[int, int]

    @abstractmethod
    def forward(self, batch: Batch, generator: torch.Generator, turn: str = "") -> dict[str, Tensor]: ...

    def players(self) -> Mapping[str, Player]:
        """Whose parameters are trained; by default one player, all that wants a gradient."""
        return {"": Player([p for p in self.parameters() if p.requires_grad])}

    def turns(self) -> Sequence[Turn]:
        """The moves of a step, in order; by default one."""
        return (Turn(),)

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

    @abstractmethod
    def weights(self) -> dict[str, Tensor]:
        """The tensors that a checkpoint stores, by name. Must be a subset of `state_dict()` up to names."""

    @abstractmethod
    def preview(self, path: Path) -> None:
        """Draw an image that shows what has been learnt so far."""
