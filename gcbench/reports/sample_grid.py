"""Samples on one sheet."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from gcbench.core.samples import Samples
from gcbench.data.contact_sheet import grid


class SheetRow(NamedTuple):
    label: str
    samples: Samples


def sheet(rows: Sequence[SheetRow], palette: Sequence[tuple[int, int, int]]) -> Tensor:
    images = torch.cat([row.samples.images for row in rows])
    layouts = [row.samples.layouts for row in rows if row.samples.layouts is not None]
    return grid(images, torch.cat(layouts) if layouts else None, palette)
