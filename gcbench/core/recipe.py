"""What the trainer trains: a module whose forward is its loss, and how to show and save what it learnt."""

from abc import abstractmethod
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from gcbench.core.checkpoint import Card
from gcbench.core.contracts import Dataset


class Batch(NamedTuple):
    """images: uint8 [B,3,H,W]; layouts: int64 [B,H,W]; texts: B captions; attributes: bool [B,A], if there are any."""

    images: Tensor
    layouts: Tensor
    texts: list[str]
    attributes: Tensor | None = None


class TrainConfig(BaseModel):
    """How to train. seed fixes initial weights, order of data and noise. ema: decay of the averaged weights.

    batch_size: pictures a step, over all processes; micro_batch: pictures at a time (0: all at once).
    warmup: steps of linear rise of lr; decay: fraction of the run, at its end, over which lr falls to 0.
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
    seed: int = 0
    log_every: int = 20
    save_every: int = 500
    preview_every: int = 1000


class Recipe(nn.Module):
    """A trainable thing. `forward(batch, generator)` gives {"loss": scalar, ...}: `loss` is minimised, all are logged.

    train_config: how to train it. dataset: what it learns from. size: (H, W) of the pictures it wants.
    """

    train_config: TrainConfig
    dataset: Dataset
    size: tuple[int, int]

    @abstractmethod
    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]: ...

    @abstractmethod
    def card(self, provenance: dict[str, Any]) -> Card:
        """What the checkpoint says of itself."""

    @abstractmethod
    def weights(self) -> dict[str, Tensor]:
        """The tensors that a checkpoint stores, by name. Must be a subset of `state_dict()` up to names."""

    @abstractmethod
    def preview(self, path: Path) -> None:
        """Draw a picture that shows what has been learnt so far."""
