"""Flat shapes, the pen that makes them, and how they become an image and a layout.

A scene is a list of shapes, far to near. Both rasters draw the same list: both at twice the size; then
the image is averaged down, and of the layout every second point is kept. What the shapes stand for, it does
not know.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from gcbench.data.streets.weather import Colour, Ink, Weather

POLYGON, ELLIPSE, LINE, RING = range(4)


@dataclass(frozen=True)
class Camera:
    """vx, vy: the vanishing point. focal: image units at depth 1. height: of the camera."""

    vx: float
    vy: float
    focal: float
    height: float

    def point(self, x: float, y: float, z: float) -> tuple[float, float]:
        s = self.focal / z
        return self.vx + x * s, self.vy + (self.height - y) * s

    def scale(self, z: float) -> float:
        """Image units in a metre at depth z."""
        return self.focal / z


class Shape(NamedTuple):
    """kind: POLYGON …; xy: its points (or corners) in image units; ink: None draws in the layout only.

    label: the class that owns it. solid: it draws in the layout too; details do not. group: shapes that are
    dropped together. width: of a LINE or RING, in image units.
    """

    kind: int
    xy: tuple[float, ...]
    ink: Ink | None
    label: int
    solid: bool
    group: int = 0
    width: float = 0.0


@dataclass
class Pen:
    """Draws shapes of one class, in world coordinates or on an upright sheet that faces the camera.

    `stand` sets the foot (X, Z) of the sheet; then `flat`, `disc`, `stroke` and `ring` take metres to the
    right of the foot (u) and above it (v).
    """

    camera: Camera
    weather: Weather
    label: int = 0
    group: int = 0

    def __post_init__(self) -> None:
        self.shapes: list[Shape] = []
        self.x = self.y = self.s = 0.0
        self.z = 1.0
        self.turn = 1.0

    def stand(self, x: float, z: float, label: int | None = None, *, grow: float = 1.0, turn: float = 1.0) -> None:
        """label: of what stands there. grow: scale of all lengths. turn: of lengths to the side; negative mirrors."""
        self.label = self.label if label is None else label
        self.x, self.y = self.camera.point(x, 0.0, z)
        self.s = self.camera.scale(z) * grow
        self.z = z
        self.turn = turn

    def ink(self, colour: Colour, gain: float = 1.0) -> Ink:
        return self.weather.ink(colour, self.z, gain)

    def world(self, points: Sequence[tuple[float, float, float]], ink: Ink | None, solid: bool = True) -> None:
        c = self.camera
        f, vx, vy, h = c.focal, c.vx, c.vy, c.height
        xy = tuple(c for x, y, z in points for c in (vx + f * x / z, vy + f * (h - y) / z))
        self.shapes.append(Shape(POLYGON, xy, ink, self.label, solid, self.group))

    def side(self, x: float, y0: float, y1: float, z0: float, z1: float, ink: Ink | None, solid: bool = True) -> None:
        """An upright rectangle along the street."""
        c = self.camera
        f, vx, vy, h = c.focal, c.vx, c.vy, c.height
        a, b = f / z0, f / z1
        xa, xb = vx + x * a, vx + x * b
        xy = (xa, vy + (h - y0) * a, xb, vy + (h - y0) * b, xb, vy + (h - y1) * b, xa, vy + (h - y1) * a)
        self.shapes.append(Shape(POLYGON, xy, ink, self.label, solid, self.group))

    def ground(self, x0: float, x1: float, z0: float, z1: float, ink: Ink | None, solid: bool = True) -> None:
        """A rectangle that lies on the ground."""
        c = self.camera
        f, vx, vy, h = c.focal, c.vx, c.vy, c.height
        a, b = f / z0, f / z1
        ya, yb = vy + h * a, vy + h * b
        xy = (vx + x0 * a, ya, vx + x1 * a, ya, vx + x1 * b, yb, vx + x0 * b, yb)
        self.shapes.append(Shape(POLYGON, xy, ink, self.label, solid, self.group))

    def front(self, x0: float, x1: float, y0: float, y1: float, z: float, ink: Ink | None, solid: bool = True) -> None:
        """An upright rectangle that faces the camera."""
        c = self.camera
        s = c.focal / z
        xa, xb = c.vx + x0 * s, c.vx + x1 * s
        ya, yb = c.vy + (c.height - y0) * s, c.vy + (c.height - y1) * s
        xy = (xa, ya, xb, ya, xb, yb, xa, yb)
        self.shapes.append(Shape(POLYGON, xy, ink, self.label, solid, self.group))

    def flat(self, points: Sequence[tuple[float, float]], ink: Ink | None, solid: bool = True) -> None:
        self.shapes.append(Shape(POLYGON, self._on_sheet(points), ink, self.label, solid, self.group))

    def box(self, u0: float, u1: float, v0: float, v1: float, ink: Ink | None, solid: bool = True) -> None:
        """A rectangle on the sheet."""
        self.flat(((u0, v0), (u1, v0), (u1, v1), (u0, v1)), ink, solid)

    def disc(
        self, u: float, v: float, radius: float, ink: Ink | None, solid: bool = True, high: float | None = None
    ) -> None:
        """An ellipse on the sheet; `high` is its half height, if it is not round."""
        xy = self._corners(u, v, radius, radius if high is None else high)
        self.shapes.append(Shape(ELLIPSE, xy, ink, self.label, solid, self.group))

    def ring(self, u: float, v: float, radius: float, width: float, ink: Ink) -> None:
        """The outline of an ellipse on the sheet: a detail of the image."""
        xy = self._corners(u, v, radius, radius)
        self.shapes.append(Shape(RING, xy, ink, self.label, False, self.group, width * self.s))

    def stroke(self, points: Sequence[tuple[float, float]], width: float, ink: Ink) -> None:
        """A line on the sheet: a detail of the image."""
        self.shapes.append(Shape(LINE, self._on_sheet(points), ink, self.label, False, self.group, width * self.s))

    def _on_sheet(self, points: Sequence[tuple[float, float]]) -> tuple[float, ...]:
        x, y, s, t = self.x, self.y, self.s, self.s * self.turn
        return tuple(c for u, v in points for c in (x + u * t, y - v * s))

    def _corners(self, u: float, v: float, wide: float, high: float) -> tuple[float, ...]:
        x, y, s, t = self.x, self.y, self.s, self.s * self.turn
        xa, xb = x + u * t - wide * abs(t), x + u * t + wide * abs(t)
        return (xa, y - (v + high) * s, xb, y - (v - high) * s)


def _places(xy: tuple[float, ...], sx: float, sy: float) -> list[float]:
    """Pixel coordinates: pixel centres are whole numbers."""
    scaled = [c * sy - 0.5 for c in xy]
    scaled[::2] = [c * sx - 0.5 for c in xy[::2]]
    return scaled


def draw_layout(shapes: Iterable[Shape], size: tuple[int, int], base: int) -> np.ndarray:
    """The class ids [H,W] uint8; `base` is the class where no shape is.

    Drawn on the image's fine grid, of which every second point is kept: so it follows the image closely.
    """
    height, width = size
    canvas = Image.new("L", (2 * width, 2 * height), base)
    pen = ImageDraw.Draw(canvas)
    sx, sy = float(width), 2.0 * height
    for shape in shapes:
        if shape.solid:
            draw = pen.polygon if shape.kind == POLYGON else pen.ellipse
            draw(_places(shape.xy, sx, sy), fill=shape.label)
    return np.array(canvas)[::2, ::2].copy()  # [H,W]


def draw_image(shapes: Iterable[Shape], size: tuple[int, int], backdrop: Image.Image) -> np.ndarray:
    """The image [H,W,3] uint8, over a backdrop of twice the size, on which it draws."""
    pen = ImageDraw.Draw(backdrop)
    sx, sy = float(size[1]), 2.0 * size[0]
    for shape in shapes:
        if shape.ink is None:
            continue
        places, width = _places(shape.xy, sx, sy), max(1, round(shape.width * sy))
        if shape.kind == POLYGON:
            pen.polygon(places, fill=shape.ink)
        elif shape.kind == ELLIPSE:
            pen.ellipse(places, fill=shape.ink)
        elif shape.kind == LINE:
            pen.line(places, fill=shape.ink, width=width)
        else:
            pen.ellipse(places, outline=shape.ink, width=width)
    return np.asarray(backdrop.reduce(2))  # [H,W,3]
