"""A user's layouts in the dataset's class ids: ids as they stand, colours through the palette, Cityscapes' labelIds."""

from pathlib import Path

import numpy as np
from PIL import Image

from gcbench.core.contracts import Dataset
from gcbench.core.errors import UserError
from gcbench.data import cityscapes_classes
from gcbench.data.image_files import VOID_IN_FILE, check_layout, plain_ids
from gcbench.data.unreadable_files import some


class LabelIds(UserError):
    """A layout read as train ids holds ids that only Cityscapes' labelIds have: all layouts are to be read as those."""

    def __init__(self, place: Path, ids: list[int]):
        self.sign = f"{place} holds {some(ids)}"
        super().__init__(f"the layout {self.sign}, as Cityscapes' labelIds do; map it to train ids")


def has_label_ids(dataset: Dataset) -> bool:
    """Whether Cityscapes' labelIds can be mapped to the dataset's classes."""
    return tuple(dataset.classes) == cityscapes_classes.CLASSES


def layout_ids(image: Image.Image, place: Path, dataset: Dataset, label_ids: bool = False) -> np.ndarray:
    """A decoded layout in the dataset's class ids, uint8 [H,W]; 255 is void. label_ids: it holds Cityscapes' labelIds.

    Raises:
        UserError: it holds ids or colours that the dataset lacks.
        LabelIds: see there; only for a dataset of Cityscapes' classes.
    """
    if is_coloured(image, dataset.palette):
        return from_colours(np.asarray(image.convert("RGBA")), place, dataset)
    ids = plain_ids(image, place)
    if label_ids:
        return urban_ids(ids, place)
    if has_label_ids(dataset):
        beyond = np.unique(ids[(ids > cityscapes_classes.VOID) & (ids < 34)]).tolist()
        if beyond:
            raise LabelIds(place, beyond)
    return check_layout(ids, place, len(dataset.classes), dataset.void)


def urban_ids(labels: np.ndarray, place: Path) -> np.ndarray:
    """Cityscapes' labelIds as train ids, uint8 [H,W]. UserError for what is no labelId."""
    layout = cityscapes_classes.TRAIN_IDS[labels]
    if layout.max() >= len(cityscapes_classes.CLASSES):
        strange = np.unique(labels[layout >= len(cityscapes_classes.CLASSES)]).tolist()
        raise UserError(
            f"the layout {place} holds {some(strange)}, which are no Cityscapes labelIds (0 to 33); replace the file"
        )
    return layout


def is_coloured(image: Image.Image, palette: tuple[tuple[int, int, int], ...]) -> bool:
    """Whether the layout's colours say its classes, rather than its numbers.

    RGB is coloured. A file with a colour table is, if its table consists of the dataset's colours only or one of them
    occurs in the layout (black aside, which begins many tables), unless its numbers are those colours' ids anyway.
    """
    if image.mode in ("RGB", "RGBA"):
        return True
    if image.mode != "P":
        return False
    flat = image.getpalette("RGB") or []
    table = [tuple(flat[i : i + 3]) for i in range(0, len(flat), 3)]
    used = [i for i in np.unique(np.asarray(image)).tolist() if i < len(table) and i != VOID_IN_FILE]
    if all(i < len(palette) and table[i] == tuple(palette[i]) for i in used):
        return False
    colours = set(map(tuple, palette))
    return set(table) <= colours or any(table[i] in colours and any(table[i]) for i in used)


def from_colours(pixels: np.ndarray, place: Path, dataset: Dataset) -> np.ndarray:
    """Pixels RGBA, uint8 [H,W,4], as the ids of the classes whose colours they are, uint8 [H,W].
    UserError: a colour is none of the dataset's, or that of two classes, or see-through."""
    if pixels[..., 3].min() < 255:
        raise UserError(
            f"the layout {place} has {(pixels[..., 3] < 255).sum()} see-through pixels; save it as 8-bit class ids"
        )
    packed = pixels[..., :3].astype(np.int64) @ (1 << 16, 1 << 8, 1)  # [H,W]
    colours, places, counts = np.unique(packed, return_inverse=True, return_counts=True)
    classes: dict[int, list[int]] = {}
    for k, (r, g, b) in enumerate(dataset.palette):
        classes.setdefault((r << 16) + (g << 8) + b, []).append(k)
    unknown = [(n, c) for c, n in zip(colours.tolist(), counts.tolist(), strict=True) if c not in classes]
    if unknown:
        n, colour = max(unknown)
        rest = sum(n for n, _ in unknown) - n
        others = f" and {rest} of {len(unknown) - 1} other colours" if rest else ""
        raise UserError(
            f"the layout {place} has {n} pixels of the colour {_triple(colour)}{others}, none of {dataset.name}'s"
            f" {len(dataset.classes)} colours; repaint them, or save the layout as 8-bit class ids, one channel"
        )
    for colour in colours.tolist():
        if len(classes[colour]) > 1:
            names = " and ".join(dataset.classes[k] for k in classes[colour])
            raise UserError(
                f"the layout {place} has the colour {_triple(colour)}, which {dataset.name} gives to {names}; save the"
                " layout as 8-bit class ids, one channel"
            )
    ids = np.array([classes[colour][0] for colour in colours.tolist()], np.uint8)
    return ids[places].reshape(packed.shape)


def _triple(colour: int) -> tuple[int, int, int]:
    return (colour >> 16, colour >> 8 & 255, colour & 255)
