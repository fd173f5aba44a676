"""The colours in which a ControlNet is shown a layout: the dataset's own, or those of a file.

A file is JSON: a list of K colours [R, G, B] in the order of the dataset's classes, or an object {"class": [R, G, B]}.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gcbench.core.contracts import Dataset
from gcbench.core.errors import UserError
from gcbench.core.files import parse_json, read_text


def read_palette(path: Path | None, dataset: Dataset) -> Tensor:
    """uint8 [K,3]. path: None for the dataset's palette. The void class may be left out of a file; it is then black.
    UserError: no such file, or not a colour for each class."""
    if path is None:
        return torch.tensor(dataset.palette, dtype=torch.uint8)
    path = path.expanduser()
    try:
        held = parse_json(read_text(path))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise UserError(f"palette={path} cannot be read as JSON ({why}); give colours [R, G, B] by class") from None
    classes = list(dataset.classes)
    void = None if dataset.void is None else classes[dataset.void]
    if isinstance(held, list):
        names = classes if len(held) == len(classes) else [name for name in classes if name != void]
        if len(held) != len(names):
            raise UserError(f"palette={path} has {len(held)} colours for the {len(classes)} classes of {dataset.name}")
        held = dict(zip(names, held, strict=True))
    if not isinstance(held, dict):
        raise UserError(f"palette={path} holds neither a list of colours nor an object of them; give colours by class")
    if lacking := [name for name in classes if name not in held and name != void]:
        raise UserError(
            f"palette={path} has no colour for {lacking[0]}, one of {len(lacking)} classes without; add these"
        )
    return torch.tensor([_colour(path, name, held.get(name, [0, 0, 0])) for name in classes], dtype=torch.uint8)


def _colour(path: Path, name: str, colour: Any) -> list[int]:
    whole = isinstance(colour, list) and len(colour) == 3 and all(type(part) is int for part in colour)
    if not whole or not all(0 <= part <= 255 for part in colour):
        raise UserError(f"palette={path}: the colour of {name} is {colour!r}; give three whole numbers from 0 to 255")
    return list(colour)


def painted(layouts: Tensor, palette: Tensor) -> Tensor:
    """Layouts int64 [B,H,W] in their colours, float [B,3,H,W] in [0,1]."""
    return (palette[layouts].permute(0, 3, 1, 2).float() / 255).contiguous()  # [B,3,H,W]
