"""Layouts that official code coloured: by Cityscapes' 35 labels, by the dataset's palette, or by PASCAL VOC's colours.

SPADE's results colour label i as PASCAL VOC colours class i + 1: its writer asks for a map of label_nc + 2 labels,
and only one of exactly 35 has Cityscapes' colours. Semantic Palette's visualiser rounds colours down twice on their
way to the file, so each channel may be up to two lower than in the table.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from gcbench.core.contracts import Dataset
from gcbench.core.errors import UserError
from gcbench.data import cityscapes_classes
from gcbench.data.class_tables import colours
from gcbench.data.image_files import VOID_IN_FILE
from gcbench.data.image_sources import Facts, Source
from gcbench.data.layouts import has_label_ids

Colour = tuple[int, int, int]
Table = Mapping[Colour, int]

VOID_COLOURS: tuple[Colour, ...] = colours("6f4a00 510051 faaaa0 e6968c b4a5b4 966464 96785a 00005a 00006e")
"""Colours of Cityscapes' labels that are no class (dynamic, ground, parking, rail track, guard rail, bridge, tunnel,
caravan, trailer): void. A group of poles has the poles' own colour, and a licence
plate the cars'; they cannot be told apart and are read as those."""

CITYSCAPES_LABELS = 35


class Recoloured(Source):
    """Coloured layouts as class ids by a table; layouts that hold numbers stay as they are. slack: of a channel."""

    def __init__(self, inner: Source, table: Table, slack: int):
        self.inner, self.slack = inner, slack
        self.path, self.kind, self.ids, self.left_out = inner.path, inner.kind, inner.ids, inner.left_out
        self._colours = np.array(list(table), np.int16)  # [T,3]
        self._ids = np.array(list(table.values()), np.uint8)  # [T]

    def place(self, name: str) -> Path:
        return self.inner.place(name)

    def look(self, name: str) -> Facts:
        return self.inner.look(name)

    def image(self, name: str) -> Image.Image:
        image = self.inner.image(name)
        if image.mode not in ("RGB", "RGBA"):
            return image
        used, places = colours_of(image)
        near = np.abs(used[:, None] - self._colours).max(-1)  # [U,T]
        if (strange := near.min(1) > self.slack).any():
            red, green, blue = used[strange][0].tolist()
            raise UserError(
                f"the layout {self.place(name)} has the colour {red, green, blue}, which is no label's; repaint it, or"
                " save the layouts as 8-bit class ids and name their folder with sampler.layouts"
            )
        return Image.fromarray(self._ids[near.argmin(1)][places])


def colours_of(image: Image.Image) -> tuple[np.ndarray, np.ndarray]:
    """The colours of an image, int16 [U,3], and where each is: its row there, [H,W]."""
    pixels = np.asarray(image.convert("RGB")).astype(np.int32)
    packed = pixels @ (1 << 16, 1 << 8, 1)  # [H,W]
    used, places = np.unique(packed, return_inverse=True)
    return np.stack([used >> 16, used >> 8 & 255, used & 255], 1).astype(np.int16), places.reshape(packed.shape)


def palette_table(dataset: Dataset) -> Table:
    """The dataset's palette, with all of Cityscapes' colours if its classes are Cityscapes'."""
    table = {colour: k for k, colour in enumerate(dataset.palette)}
    if has_label_ids(dataset):
        table |= {colour: cityscapes_classes.VOID for colour in VOID_COLOURS}
    return table


def voc_table(dataset: Dataset) -> Table:
    """The colour of label i in SPADE's results -> i; that of an unknown label -> void."""
    labels = CITYSCAPES_LABELS if has_label_ids(dataset) else len(dataset.classes)
    return {voc_colour(i + 1): i for i in range(labels)} | {voc_colour(labels + 1): VOID_IN_FILE}


def voc_colour(number: int) -> Colour:
    """PASCAL VOC's colour of a class: bits 0, 1, 2 of its number are the top bits of red, green, blue, and so on."""
    red, green, blue = (
        sum((number >> 3 * group + channel & 1) << 7 - group for group in range(3)) for channel in range(3)
    )
    return red, green, blue


def fitting_table(layouts: Source, tables: Sequence[Table]) -> Table:
    """The first of the tables that knows every colour of the layouts, looked at until all others are ruled out.
    UserError: none does."""
    left = list(tables)
    for name in layouts.ids:
        image = layouts.image(name)
        if image.mode not in ("RGB", "RGBA"):
            continue
        used = set(map(tuple, colours_of(image)[0].tolist()))
        left = [table for table in left if used <= table.keys()]
        if not left:
            raise UserError(
                f"the layout {layouts.place(name)} has colours that neither the dataset's palette nor SPADE's map of"
                " labels has; save the layouts as 8-bit class ids and name their folder with sampler.layouts"
            )
        if len(left) == 1:
            break
    return left[0]
