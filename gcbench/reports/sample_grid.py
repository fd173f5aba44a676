"""A sheet of samples for people: a block of tiles a guidance scale, image above layout, the text under each.

Works with no installed font: Pillow brings its own, which has Latin letters; others become boxes.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from gcbench.core.errors import UserError
from gcbench.core.samples import Samples
from gcbench.data.contact_sheet import colour

WIDTH = 256
"""Tiles are enlarged to at least this many pixels, so that their texts can be read, and reduced to at most twice it."""
GAP = 12
LETTER, HEADING = 14, 20
"""Heights of letters in pixels: of a text, of a row's label."""
LINES = 8
"""Of a text, at most; the last ends in an ellipsis if there is more."""


COLUMNS = 4
"""Tiles side by side; a longer row continues below."""

Palette = Sequence[tuple[int, int, int]]


class SheetRow(NamedTuple):
    """One block. label: its heading; a row after one of the same label has none, and neither has ""."""

    label: str
    samples: Samples


def sheet(rows: Sequence[SheetRow], palette: Palette) -> Tensor:
    """All rows below each other, uint8 [3,H',W'], enlarged or reduced by one whole factor, the same for all."""
    if not rows or not all(len(row.samples) for row in rows):
        raise UserError("a sheet of samples needs at least one image a row; give more")
    width = max(row.samples.images.shape[3] for row in rows)
    enlarge, reduce = max(1, -(-WIDTH // width)), max(1, -(-width // (2 * WIDTH)))
    labels = [row.label for row in rows]
    headings = [label if label != before else "" for label, before in zip(labels, ["", *labels], strict=False)]
    blocks = [
        np.array(_block(heading, row.samples, palette, enlarge, reduce))  # [H,W,3]
        for heading, row in zip(headings, rows, strict=True)
    ]
    wide = max(block.shape[1] for block in blocks)
    blocks = [np.pad(block, ((0, 0), (0, wide - block.shape[1]), (0, 0)), constant_values=255) for block in blocks]
    return torch.from_numpy(np.concatenate(blocks)).permute(2, 0, 1).contiguous()


def wrap(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int, lines: int = LINES) -> list[str]:
    """A text as lines of at most `width` pixels, broken at blanks, or inside a word that is wider; "…" for the rest."""
    printable = "".join(c if c.isprintable() else " " for c in text.encode("utf-8", "replace").decode())
    broken: list[str] = []
    words = printable.split()
    while words and len(broken) <= lines:
        line = words.pop(0)
        while words and font.getlength(f"{line} {words[0]}") <= width:
            line += f" {words.pop(0)}"
        if font.getlength(line) > width and len(line) > 1:
            fits = next((n for n in range(1, len(line)) if font.getlength(line[: n + 1]) > width), len(line))
            words.insert(0, line[fits:])
            line = line[:fits]
        broken.append(line)
    if len(broken) <= lines:
        return broken
    last = broken[lines - 1]
    while last and font.getlength(f"{last} …") > width:
        last = last[:-1]
    return [*broken[: lines - 1], f"{last} …"]


def _block(title: str, samples: Samples, palette: Palette, enlarge: int, reduce: int) -> Image.Image:
    """The tiles of one row under its title."""
    letters, heading = ImageFont.load_default(LETTER), ImageFont.load_default(HEADING)
    tiles = [[_scaled(image, enlarge, reduce, Image.Resampling.BOX)] for image in samples.images]
    if samples.layouts is not None:
        for parts, layout in zip(tiles, colour(samples.layouts, palette), strict=True):
            parts.append(_scaled(layout, enlarge, reduce, Image.Resampling.NEAREST))
    wide, high = tiles[0][0].size
    texts = [wrap(text, letters, wide) for text in samples.prompts or [""] * len(tiles)]
    columns, step = min(COLUMNS, len(tiles)), round(LETTER * 1.3)
    label = wrap(title, heading, columns * (wide + GAP) - GAP, 2)
    top = len(label) * round(HEADING * 1.3)
    starts = range(0, len(tiles), columns)
    heights = [high * len(tiles[0]) + GAP + step * max(map(len, texts[at : at + columns])) for at in starts]
    block = Image.new("RGB", (columns * (wide + GAP) + GAP, GAP + top + sum(heights) + GAP * len(heights)), "white")
    draw = ImageDraw.Draw(block)
    for place, line in enumerate(label):
        draw.text((GAP, GAP + place * round(HEADING * 1.3)), line, fill="black", font=heading)
    y = GAP + top
    for at, height in zip(starts, heights, strict=True):
        for j, parts in enumerate(tiles[at : at + columns]):
            x = GAP + j * (wide + GAP)
            for place, part in enumerate(parts):
                block.paste(part, (x, y + place * high))
            for place, line in enumerate(texts[at + j]):
                draw.text((x, y + high * len(parts) + 4 + place * step), line, fill="black", font=letters)
        y += height + GAP
    return block


def _scaled(image: Tensor, enlarge: int, reduce: int, how: Image.Resampling) -> Image.Image:
    """An RGB image uint8 [3,H,W], enlarged or reduced by a whole factor."""
    plain = Image.fromarray(image.permute(1, 2, 0).contiguous().cpu().numpy())
    size = (max(1, plain.width * enlarge // reduce), max(1, plain.height * enlarge // reduce))
    return plain.resize(size, Image.Resampling.NEAREST if enlarge > 1 else how)
