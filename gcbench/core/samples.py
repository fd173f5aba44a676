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


@dataclass(frozen=True)
class Samples:
    """A batch of B images.

    images: uint8 [B,3,H,W], RGB.
    layouts: int64 [B,H,W] class ids (void is a class of its own), or None.
    layout_source: `real`, `generated`, `derived:<evaluator id>`, or None without layouts.
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

        b, _, h, w = self.images.shape
        assert self.images.dtype == torch.uint8
        assert self.images.shape[1] == 3, self.images.shape
        assert len(self.ids) == b
        if self.layouts is not None:
            assert self.layouts.dtype == torch.int64
            assert self.layouts.shape == (b, h, w), self.layouts.shape
            assert self.layout_source is not None
        if self.prompts is not None:
            assert len(self.prompts) == b
        if self.groups is None:
            object.__setattr__(self, "groups", self.ids)
        assert self.groups is not None
        assert len(self.groups) == b

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Sequence[int]) -> Samples:
        """Some of the samples, by their places in the batch."""
        index = list(rows)

        def some(values: tuple[str, ...] | None) -> tuple[str, ...] | None:
            return None if values is None else tuple(values[row] for row in rows)

        ids = some(self.ids)
        assert ids is not None
        layouts = None if self.layouts is None else self.layouts[index]
        source = self.layout_source
        return Samples(self.images[index], layouts, source, some(self.prompts), ids, some(self.groups))


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
