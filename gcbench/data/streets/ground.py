"""What lies flat: road with its markings, sidewalks with kerbs, grass."""

from itertools import pairwise

from gcbench.data.random_choices import Dice
from gcbench.data.streets import labels
from gcbench.data.streets.draw import Pen
from gcbench.data.streets.weather import Colour

BANDS = (2.2, 3.2, 4.6, 7.0, 11.0, 20.0, 45.0, 400.0)
"""Depths at which a strip of ground changes its shade, so that distance fades it."""


def strip(pen: Pen, label: int, colour: Colour, x0: float, x1: float, shine: float = 0.0) -> None:
    """A strip along the street from the camera to the horizon. shine: how far it mirrors the sky."""
    pen.label = label
    w = pen.weather
    for near, far in pairwise(BANDS):
        mid = (near * far) ** 0.5
        r, g, b = colour
        if shine:
            sr, sg, sb = w.bottom
            t = shine * min(1.0, mid / 25)
            r, g, b = r + (sr - r) * t, g + (sg - g) * t, b + (sb - b) * t
        pen.ground(x0, x1, near, far, w.ink((r, g, b), mid))


def road_lines(pen: Pen, dice: Dice, left: float, right: float, centre: float) -> None:
    """A broken line between the lanes, sometimes lines along the edges, sometimes a crossing."""
    pen.label = labels.ROAD
    w = pen.weather
    paint: Colour = (232, 232, 224) if dice.chance(0.85) else (236, 196, 70)
    solid = dice.chance(0.2)
    if solid:
        for near, far in pairwise(BANDS):
            pen.ground(centre - 0.09, centre + 0.09, near, min(far, 70), w.ink(paint, near), solid=False)
    else:
        z = 2.3 + dice.between(0, 3)
        while z < 60:
            pen.ground(centre - 0.1, centre + 0.1, z, z + 2.2, w.ink(paint, z), solid=False)
            z += 5.5 if z < 25 else 11
    if dice.chance(0.5):
        for at in (left + 0.3, right - 0.3):
            for near, far in pairwise(BANDS):
                pen.ground(at - 0.07, at + 0.07, near, min(far, 70), w.ink(paint, near), solid=False)
    if dice.chance(0.28):
        z = dice.between(5.5, 10)
        x = left + 0.35
        while x + 0.5 < right:
            pen.ground(x, x + 0.5, z, z + 2.6, w.ink((228, 228, 222), z), solid=False)
            x += 1.0


def sidewalk(pen: Pen, colour: Colour, inner: float, outer: float) -> None:
    """Paving from `inner` to `outer` with joints; a pale kerb stands along the inner edge."""
    low, high = min(inner, outer), max(inner, outer)
    strip(pen, labels.SIDEWALK, colour, low, high)
    w = pen.weather
    z = 3.0
    while z < 30:
        pen.ground(low, high, z, z * 1.018, w.ink(colour, z, 0.86), solid=False)
        z *= 1.3
    middle = (low + high) / 2
    pen.ground(middle - 0.04, middle + 0.04, 2.2, 25, w.ink(colour, 5, 0.88), solid=False)
    edge = 0.22 if outer > inner else -0.22
    for near, far in pairwise(BANDS):
        kerb = w.ink(tuple(c * 1.12 + 12 for c in colour), near)  # type: ignore[arg-type]
        pen.ground(min(inner, inner + edge), max(inner, inner + edge), near, far, kerb, solid=False)


def plaza(pen: Pen, colour: Colour) -> None:
    """Paving everywhere: a street without a road."""
    strip(pen, labels.SIDEWALK, colour, -400, 400)
    w = pen.weather
    z = 2.6
    while z < 40:
        pen.ground(-60, 60, z, z * 1.02, w.ink(colour, z, 0.84), solid=False)
        z *= 1.3
    for x in range(-9, 10, 3):
        pen.ground(x - 0.06, x + 0.06, 2.2, 40, w.ink(colour, 6, 0.86), solid=False)
