"""Images for people: coloured layouts, contact sheets, PNG files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gcbench.core.files import write_atomic


def colour(layouts: Tensor, palette: Sequence[tuple[int, int, int]]) -> Tensor:
    """Class ids [B,H,W] -> RGB uint8 [B,3,H,W]."""
    return torch.tensor(palette, dtype=torch.uint8)[layouts].permute(0, 3, 1, 2)


def grid(
    images: Tensor, layouts: Tensor | None, palette: Sequence[tuple[int, int, int]], columns: int = 4, gap: int = 2
) -> Tensor:
    """A contact sheet uint8 [3,H',W']: each image, with its coloured layout below it."""
    tiles = images if layouts is None else torch.cat((images, colour(layouts, palette)), dim=2)
    b, _, h, w = tiles.shape
    rows = -(-b // columns)
    sheet = torch.full((3, rows * (h + gap) - gap, columns * (w + gap) - gap), 255, dtype=torch.uint8)
    for i in range(b):
        y, x = i // columns * (h + gap), i % columns * (w + gap)
        sheet[:, y : y + h, x : x + w] = tiles[i]
    return sheet


def save_png(path: Path, image: Tensor) -> None:
    """RGB uint8 [3,H,W], or class ids [H,W], as PNG."""
    array = image.permute(1, 2, 0).numpy() if image.ndim == 3 else image.numpy().astype(np.uint8)
    write_atomic(path, lambda temporary: Image.fromarray(np.ascontiguousarray(array)).save(temporary, format="PNG"))
