"""What a model makes and a metric reads: pictures, their layouts, the texts they were made from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch


@dataclass(frozen=True)
class Samples:
    """A batch of B pictures.

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

    def __getitem__(self, part: slice) -> "Samples":
        return Samples(
            self.images[part],
            None if self.layouts is None else self.layouts[part],
            self.layout_source,
            None if self.prompts is None else self.prompts[part],
            self.ids[part],
            None if self.groups is None else self.groups[part],
        )

    def with_prompts(self, prompts: Sequence[str] | None) -> "Samples":
        """The same pictures, said to come from other texts."""
        return replace(self, prompts=None if prompts is None else tuple(prompts))


@dataclass(frozen=True)
class Features:
    """What an evaluator says of B pictures.

    vectors: float32 [B,d] pooled features, or None.
    labels: int64 [B,H,W] class ids at the pictures' own size, or None.
    """

    vectors: torch.Tensor | None = None
    labels: torch.Tensor | None = None
