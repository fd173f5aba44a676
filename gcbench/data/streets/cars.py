"""Cars and vans, along the street (seen from behind or in front) or across it."""

from gcbench.data.class_tables import colours
from gcbench.data.random_choices import Dice
from gcbench.data.streets import labels
from gcbench.data.streets.draw import Pen
from gcbench.data.streets.vehicle_parts import GLASS, LAMP, RED, TYRE, lights, open_side, shadow, side_wheel
from gcbench.data.streets.weather import Colour

CAR_PAINTS: tuple[Colour, ...] = colours("e2e4e6 b0b4b8 2c2e32 5c6066 b02224 244288 c4b696 285440 821e28 4678aa")
VAN_PAINTS: tuple[Colour, ...] = colours("b0b4b8 3a3c42 686c74 344668 786c5c")

Point = tuple[float, float, float]


def car(pen: Pen, dice: Dice, x: float, z: float, back: bool, ground: Colour) -> None:
    """A car along the street whose near end is at depth z; `back`: we see its back."""
    pen.label = labels.CAR
    van = dice.chance(0.2)
    paint = dice.near(dice.pick(VAN_PAINTS if van else CAR_PAINTS), 8, 14)
    wide = dice.between(1.75, 1.95)
    long = dice.between(3.9, 4.8)
    top = dice.between(1.75, 1.95) if van else dice.between(1.42, 1.65)
    belt = dice.between(0.9, 1.0) + (0.15 if van else 0)
    ink = pen.weather.ink
    half, end = wide / 2, z + long
    shadow(pen, x - half - 0.2, x + half + 0.2, max(z - 0.35, 2.2), end, ground)
    seen = open_side(x, wide)
    roof = 0.9 if van else 0.78
    slope = 0.15 if van else 0.55

    def across(reach: float, y: float, z: float) -> tuple[Point, Point]:
        return (x - reach, y, z), (x + reach, y, z)

    if seen is not None:
        inner = x + (seen - x) * roof
        pen.side(seen, 0.28, belt, z, end, ink(paint, z, 0.8))
        cabin0, cabin1 = z, end - (0.9 if back else 0.5)  # joins the near face without a gap
        roof0, roof1 = cabin0 + slope * 0.6, cabin1 - slope
        cabin = ((seen, belt, cabin0), (seen, belt, cabin1), (inner, top, roof1), (inner, top, roof0))
        pen.world(cabin, ink(paint, z, 0.78))
        glass = 0.12 + 0.5 * slope
        sill = ((seen, belt + 0.05, cabin0 + glass), (seen, belt + 0.05, cabin1 - glass))
        pen.world((*sill, (inner, top - 0.1, roof1 - 0.1), (inner, top - 0.1, roof0 + 0.1)), ink(GLASS, z, 0.9), False)
        side_wheel(pen, seen, z + 0.85, 0.33)
        side_wheel(pen, seen, end - 0.85, 0.33)
    for side in (-1, 1):
        pen.front(x + side * half * 0.8 - 0.14, x + side * half * 0.8 + 0.14, 0, 0.36, z + 0.05, ink(TYRE, z))
    pen.front(x - half * 0.9, x + half * 0.9, 0.14, 0.36, z, ink((36, 36, 40), z))
    pen.world((*across(half, belt, z), *across(half * roof, top, z + slope * 0.6)[::-1]), ink(paint, z, 0.92))
    pen.front(x - half, x + half, 0.3, belt, z, ink(paint, z, 1.05))
    top_of_glass = across(half * roof * 0.86, top - 0.1, z + slope * 0.5)
    pen.world((*across(half * 0.8, belt + 0.02, z), *top_of_glass[::-1]), ink(GLASS, z), solid=False)
    lights(pen, x, half * 0.95, 0.75, z, 0.2, back)
    pen.front(x - 0.25, x + 0.25, 0.42, 0.56, z, ink((230, 230, 220), z), solid=False)
    pen.front(x - half, x + half, 0.28, 0.38, z, ink(paint, z, 0.6), solid=False)


def car_across(pen: Pen, dice: Dice, x: float, z: float, ground: Colour) -> float:
    """A car seen from its side; returns half its length."""
    pen.label = labels.CAR
    paint = dice.near(dice.pick(CAR_PAINTS), 8, 14)
    shadow(pen, x - 2.2, x + 2.2, z - 0.3, z + 1.2, ground)
    pen.stand(x, z, turn=dice.pick((-1.0, 1.0)))
    ink = pen.ink
    pen.flat(((-2.15, 0.28), (2.15, 0.28), (2.15, 0.72), (1.3, 0.95), (-1.9, 0.98), (-2.15, 0.9)), ink(paint))
    pen.flat(((-1.75, 0.94), (1.25, 0.92), (0.55, 1.5), (-1.15, 1.52)), ink(paint, 0.9))
    pen.flat(((-1.45, 0.97), (-0.35, 0.97), (-0.35, 1.4), (-1.05, 1.4)), ink(GLASS), solid=False)
    pen.flat(((-0.2, 0.97), (0.95, 0.97), (0.45, 1.4), (-0.2, 1.4)), ink(GLASS), solid=False)
    pen.box(-2.15, 2.15, 0.28, 0.4, ink(paint, 0.65), solid=False)
    for u in (-1.3, 1.35):
        pen.disc(u, 0.35, 0.36, ink(TYRE))
        pen.disc(u, 0.35, 0.16, ink((150, 150, 154)), solid=False)
    pen.box(1.95, 2.15, 0.62, 0.76, pen.weather.glow(LAMP, z), solid=False)
    pen.box(-2.15, -2.0, 0.7, 0.86, ink(RED), solid=False)
    return 2.2
