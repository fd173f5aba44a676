"""Image and layout, drawn together on a grid SCALE times finer than what they become.

Of the layout the middle point of every SCALE x SCALE block is kept; the image is averaged over the block.
"""

import numpy as np
from PIL import Image, ImageDraw

from gcbench.data.faces.curves import Points

SCALE = 3

Colour = tuple[float, float, float]


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """`share` of b in a."""
    return tuple(x + (y - x) * share for x, y in zip(a, b, strict=True))  # type: ignore[return-value]


def shade(colour: Colour, gain: float) -> Colour:
    return tuple(x * gain for x in colour)  # type: ignore[return-value]


def ink(colour: Colour) -> tuple[int, int, int]:
    r, g, b = (0 if x < 0 else 255 if x > 255 else int(x) for x in colour)
    return r, g, b


def middles(fine: np.ndarray) -> np.ndarray:
    """[H,W], the middle point of every block of a fine grid [S*H,S*W]."""
    return fine[SCALE // 2 :: SCALE, SCALE // 2 :: SCALE]


class Canvas:
    """Draws outlines [n,2] in image coordinates, which cover a square in the middle of the image."""

    def __init__(self, size: tuple[int, int], backdrop: Image.Image, label: int):
        height, width = size
        self.unit = SCALE * float(min(height, width))
        self._offset = np.array([width - min(height, width), height - min(height, width)]) * SCALE / 2 - 0.5
        self.image = backdrop
        self.layout = Image.new("L", backdrop.size, label)
        self._colours, self._labels = ImageDraw.Draw(self.image), ImageDraw.Draw(self.layout)

    def fill(self, outline: Points, colour: Colour | None, label: int | None = None) -> None:
        """Fill an outline. colour None: in the layout only. label None: in the image only."""
        places = (outline * self.unit + self._offset).ravel().tolist()
        if colour is not None:
            self._colours.polygon(places, fill=ink(colour))
        if label is not None:
            self._labels.polygon(places, fill=label)

    def line(self, points: Points, width: float, colour: Colour) -> None:
        """A line of the image; its width in image coordinates."""
        places = (points * self.unit + self._offset).ravel().tolist()
        self._colours.line(places, fill=ink(colour), width=max(1, round(width * self.unit)))
