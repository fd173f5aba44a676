"""Parts of a batch."""

import torch

from gcbench.core.samples import Features, Samples


def test_take_keeps_rows_together() -> None:
    images = torch.arange(3, dtype=torch.uint8).view(3, 1, 1, 1).expand(3, 3, 2, 2)
    layouts = torch.arange(3).view(3, 1, 1).expand(3, 2, 2)
    samples = Samples(images, layouts, "real", ("x", "y", "z"), ("a", "b", "c"), ("g", "g", "h"))
    part = samples.take([2, 0])
    assert (part.ids, part.prompts, part.groups) == (("c", "a"), ("z", "x"), ("h", "g"))
    assert part.images[:, 0, 0, 0].tolist() == part.layouts[:, 0, 0].tolist() == [2, 0]


def test_take_keeps_what_is_missing_missing() -> None:
    assert Features(vectors=torch.eye(3)).take([1]).labels is None
    assert Features(vectors=torch.eye(3)).take(range(1, 3)).vectors.tolist() == torch.eye(3)[1:].tolist()
