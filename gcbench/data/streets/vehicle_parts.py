"""What cars, trucks, buses and trams share: shadow, wheels, lamps, and which side one sees."""

from gcbench.data.streets.draw import Pen
from gcbench.data.streets.weather import Colour

TYRE: Colour = (26, 26, 28)
GLASS: Colour = (48, 60, 74)
RED: Colour = (220, 30, 26)
LAMP: Colour = (255, 246, 210)


def open_side(x: float, wide: float) -> float | None:
    """The X of the side that the camera sees, if it sees one."""
    if x - wide / 2 > 0.15:
        return x - wide / 2
    if x + wide / 2 < -0.15:
        return x + wide / 2
    return None


def shadow(pen: Pen, x0: float, x1: float, z0: float, z1: float, ground: Colour) -> None:
    pen.ground(x0, x1, z0, z1, pen.weather.ink(ground, z0, pen.weather.shadow), solid=False)


def side_wheel(pen: Pen, x: float, z: float, radius: float) -> None:
    """A wheel in a side that runs along the street."""
    outline = ((0, -0.55), (0, 0.55), (1, 1), (2, 0.5), (2, -0.5), (1, -1))  # height and length, in radii
    pen.world([(x, high * radius, z + radius * along) for high, along in outline], pen.weather.ink(TYRE, z))


def lights(pen: Pen, x: float, reach: float, y: float, z: float, size: float, back: bool) -> None:
    """A pair of lamps in the near face: red behind, white in front."""
    w = pen.weather
    ink = w.glow(RED, z) if back and w.dark else w.ink(RED, z) if back else w.glow(LAMP, z)
    for side in (-1, 1):
        inner, outer = x + side * (reach - size * 1.5), x + side * reach
        pen.front(min(inner, outer), max(inner, outer), y - size / 2, y + size / 2, z, ink, solid=False)
