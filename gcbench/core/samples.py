"""What a model makes and a metric reads: images, their layouts, the texts they were made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def sample_ids(n: int, start: int = 0) -> tuple[str, ...]:
    """The names of a run's samples; their sorted order is the order of generation."""
    return tuple(f"{i:06d}" for i in range(start, start + n))


def to_bytes(images: torch.Tensor) -> torch.Tensor:
    """Images in [-1,1], what is beyond clamped, as uint8. FloatingPointError: NaN or infinity, which has no byte."""
    import torch

    images = finite(images).float()
    return (images.clamp(-1, 1) * 127.5 + 127.5).round().to(torch.uint8)


def finite(drawn: torch.Tensor) -> torch.Tensor:
    """What a network drew, as it is. FloatingPointError: it holds NaN or infinity, of which no sample can be made."""
    if not drawn.isfinite().all():
        raise FloatingPointError("what the network drew is not finite")
    return drawn


@dataclass(frozen=True)
class Samples:
    """A batch of B images.

    images: uint8 [B,3,H,W], RGB.
    layouts: int64 [B,H,W] class ids (void is a class of its own), or None.
    layout_source: `real`, `generated`, `given` (to the model, which drew the images), `derived:<evaluator id>`, or None
        without layouts.
    prompts: B texts, or None.
    ids: B names, unique in a run. Their sorted order is the sample index that block jackknives cut.
    groups: B names of what is dependent (a video sequence, one prompt drawn twice); the ids if nothing is.
    """

    images: torch.Tensor
    layouts: torch.Tensor | None
    layout_source: str | None
    prompts: tuple[str, ...] | None
    ids: tuple[str, ...]
    groups: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        import torch  # who holds a tensor has loaded it already

        if self.groups is None:
            object.__setattr__(self, "groups", self.ids)
        shape = tuple(_tensor("images", self.images, torch.uint8).shape)
        if len(shape) != 4 or shape[1] != 3:
            raise ValueError(f"images are {list(shape)}, not [B,3,H,W]")
        b, _, h, w = shape
        if self.layouts is not None:
            if tuple(_tensor("layouts", self.layouts, torch.int64).shape) != (b, h, w):
                raise ValueError(f"layouts are {list(self.layouts.shape)}, not [{b},{h},{w}] as the images are")
            if self.layout_source is None:
                raise ValueError("layouts have no layout_source; say generated, real, given or derived:NAME")
        for name in ("prompts", "ids", "groups"):
            values = getattr(self, name)
            if values is None and name == "prompts":
                continue
            if not isinstance(values, tuple) or not all(isinstance(value, str) for value in values):
                raise ValueError(f"{name} are no tuple of texts")
            if len(values) != b:
                raise ValueError(f"{name} are {len(values)} for {b} images")

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Sequence[int]) -> Samples:
        """Some of the samples, by their places in the batch."""
        index = list(rows)

        def some(values: tuple[str, ...] | None) -> tuple[str, ...] | None:
            return None if values is None else tuple(values[row] for row in rows)

        layouts = None if self.layouts is None else self.layouts[index]
        ids = tuple(self.ids[row] for row in rows)
        return Samples(self.images[index], layouts, self.layout_source, some(self.prompts), ids, some(self.groups))


def _tensor(name: str, value: object, dtype: torch.dtype) -> torch.Tensor:
    import torch

    if not isinstance(value, torch.Tensor) or value.dtype != dtype:
        kind = value.dtype if isinstance(value, torch.Tensor) else type(value).__name__
        raise ValueError(f"{name} are {kind}, not a tensor of {dtype}")
    return value


@dataclass(frozen=True)
class Texts:
    """What an evaluator reads in B texts.

    vectors: float32 [B,d], in the space of the images' vectors. truncated: bool [B], texts it could not read whole.
    """

    vectors: torch.Tensor
    truncated: torch.Tensor

    def take(self, rows: Sequence[int]) -> Texts:
        index = list(rows)
        return Texts(self.vectors[index], self.truncated[index])


@dataclass(frozen=True)
class Features:
    """What an evaluator says of B images, and of their prompts if it reads.

    vectors: float32 [B,d] pooled features, or None.
    labels: int64 [B,H,W] class ids at the images' own size, or None.
    probabilities: float32 [B,A] that the image has each of the dataset's attributes, or None.
    texts: of the samples' prompts, or None.
    """

    vectors: torch.Tensor | None = None
    labels: torch.Tensor | None = None
    probabilities: torch.Tensor | None = None
    texts: Texts | None = None

    def take(self, rows: Sequence[int]) -> Features:
        """The features of some of the samples, by their places in the batch."""
        index = list(rows)

        def some(part: torch.Tensor | None) -> torch.Tensor | None:
            return None if part is None else part[index]

        texts = None if self.texts is None else self.texts.take(rows)
        return Features(some(self.vectors), some(self.labels), some(self.probabilities), texts)
