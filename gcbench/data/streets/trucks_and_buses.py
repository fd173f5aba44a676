"""Trucks (a plain box and a coloured cab) and buses (one colour, a row of windows), along the street or across."""

from gcbench.data.class_tables import colours
from gcbench.data.random_choices import Dice
from gcbench.data.streets import labels
from gcbench.data.streets.draw import Pen
from gcbench.data.streets.vehicle_parts import GLASS, LAMP, TYRE, lights, open_side, shadow, side_wheel
from gcbench.data.streets.weather import Colour

BUS_PAINTS: tuple[Colour, ...] = colours("e22024 f6be10 185cd2 149c4a f0780e be1e6e")
BOX_PAINTS: tuple[Colour, ...] = colours("eeeeec deded8 e8e2cc ced8e2")
CAB_PAINTS: tuple[Colour, ...] = colours("be2824 284696 e0a828 286e46 787c82")


def truck(pen: Pen, dice: Dice, x: float, z: float, back: bool, ground: Colour) -> None:
    """A truck: a plain light box on a dark chassis, and a separate coloured cab."""
    pen.label = labels.TRUCK
    box, cab = dice.near(dice.pick(BOX_PAINTS), 5, 8), dice.near(dice.pick(CAB_PAINTS), 8, 12)
    half, top = 1.25, dice.between(3.2, 3.7)
    long, nose = dice.between(6.0, 7.5), 2.0
    ink = pen.weather.ink
    shadow(pen, x - half - 0.3, x + half + 0.3, z - 0.5, z + long + nose, ground)
    seen = open_side(x, 2 * half)
    box0, box1 = (z, z + long) if back else (z + nose + 0.3, z + nose + 0.3 + long)
    cab0, cab1 = (box1 + 0.3, box1 + 0.3 + nose) if back else (z, z + nose)
    if seen is not None and back:
        pen.side(seen, 0.35, 2.6, cab0, cab1, ink(cab, z, 0.85))
        pen.side(seen, 1.6, 2.4, cab0 + 0.5, cab1 - 0.2, ink(GLASS, z), solid=False)
    if seen is not None:
        pen.side(seen, 0.35, 0.9, box0, cab1 if back else box1, ink((52, 52, 56), z))
        pen.side(seen, 0.85, top, box0, box1, ink(box, z, 0.82))
        pen.side(seen, 0.85, 1.05, box0, box1, ink(cab, z, 0.8), solid=False)
        for wheel in (box0 + 0.9, box0 + 2.0, box1 - 0.8):
            side_wheel(pen, seen, wheel, 0.48)
    pen.front(x - half, x + half, 0.85, top, box0, ink(box, z))
    if back:
        for side in (-1, 1):
            pen.front(x + side * 0.9 - 0.25, x + side * 0.9 + 0.25, 0, 0.6, z, ink(TYRE, z))
        pen.front(x - half, x + half, 0.4, 0.9, z, ink((54, 54, 58), z))
        pen.front(x - 0.05, x + 0.05, 0.95, top - 0.1, z, ink(box, z, 0.6), solid=False)
        pen.front(x - half, x + half, top - 0.12, top, z, ink(box, z, 0.7), solid=False)
        pen.front(x - half, x - half + 0.1, 0.9, top, z, ink(box, z, 0.7), solid=False)
        pen.front(x + half - 0.1, x + half, 0.9, top, z, ink(box, z, 0.7), solid=False)
        pen.front(x - half, x + half, 0.62, 0.72, z, ink((230, 170, 40), z), solid=False)
        lights(pen, x, half * 0.95, 0.65, z, 0.28, True)
        return
    if seen is not None:
        pen.side(seen, 0.35, 2.6, cab0, cab1, ink(cab, z, 0.8))
        pen.side(seen, 1.5, 2.3, cab0 + 0.3, cab1 - 0.5, ink(GLASS, z), solid=False)
        side_wheel(pen, seen, z + 1.0, 0.48)
    for side in (-1, 1):
        pen.front(x + side * 0.95 - 0.2, x + side * 0.95 + 0.2, 0, 0.5, z, ink(TYRE, z))
    pen.front(x - half, x + half, 0.3, 2.65, z, ink(cab, z, 1.05))
    pen.front(x - half * 0.88, x + half * 0.88, 1.55, 2.4, z, ink(GLASS, z), solid=False)
    pen.front(x - half * 0.6, x + half * 0.6, 0.75, 1.3, z, ink((40, 40, 44), z), solid=False)
    pen.front(x - half, x + half, 0.3, 0.55, z, ink((70, 70, 74), z), solid=False)
    lights(pen, x, half * 0.95, 0.8, z, 0.3, False)


def truck_across(pen: Pen, dice: Dice, x: float, z: float, ground: Colour) -> None:
    pen.label = labels.TRUCK
    box, cab = dice.near(dice.pick(BOX_PAINTS), 5, 8), dice.near(dice.pick(CAB_PAINTS), 8, 12)
    shadow(pen, x - 4.3, x + 4.3, z - 0.4, z + 2, ground)
    pen.stand(x, z, turn=dice.pick((-1.0, 1.0)))
    ink = pen.ink
    pen.box(-4.2, 4.2, 0.4, 0.95, ink((52, 52, 56)))
    pen.box(-4.3, 2.0, 0.9, 3.4, ink(box))
    pen.box(-4.3, 2.0, 0.9, 1.1, ink(cab, 0.9), solid=False)
    pen.box(-4.3, 2.0, 3.25, 3.4, ink(box, 0.75), solid=False)
    pen.flat(((2.25, 0.45), (4.3, 0.45), (4.3, 1.5), (3.9, 2.65), (2.25, 2.65)), ink(cab))
    pen.flat(((3.0, 1.55), (4.2, 1.55), (3.85, 2.4), (3.0, 2.4)), ink(GLASS), solid=False)
    pen.box(4.1, 4.3, 0.7, 0.95, pen.weather.glow(LAMP, z), solid=False)
    for u in (-3.3, -2.2, 3.2):
        pen.disc(u, 0.5, 0.5, ink(TYRE))
        pen.disc(u, 0.5, 0.2, ink((150, 150, 150)), solid=False)


def bus(pen: Pen, dice: Dice, x: float, z: float, back: bool, ground: Colour) -> None:
    """A bus: tall, one saturated colour, one long row of windows."""
    pen.label = labels.BUS
    paint = dice.near(dice.pick(BUS_PAINTS), 8, 8)
    half, top, long = 1.28, dice.between(3.0, 3.3), dice.between(9.5, 12.0)
    w = pen.weather
    ink = w.ink
    shadow(pen, x - half - 0.3, x + half + 0.3, z - 0.5, z + long, ground)
    pane = w.glow((250, 226, 150), z) if w.dark else ink((54, 74, 92), z)
    seen = open_side(x, 2 * half)
    if seen is not None:
        pen.side(seen, 0.25, top, z, z + long, ink(paint, z, 0.82))
        pen.side(seen, 1.35, 2.5, z + 0.3, z + long - 0.2, pane, solid=False)
        for k in range(1, 6):
            at = z + long * k / 6
            pen.side(seen, 1.35, 2.5, at - 0.1, at + 0.1, ink(paint, z, 0.7), solid=False)
        pen.side(seen, 0.25, 0.5, z, z + long, ink(paint, z, 0.5), solid=False)
        side_wheel(pen, seen, z + 2.2, 0.48)
        side_wheel(pen, seen, z + long - 2.4, 0.48)
    for side in (-1, 1):
        pen.front(x + side * 0.95 - 0.2, x + side * 0.95 + 0.2, 0, 0.5, z, ink(TYRE, z))
    pen.front(x - half, x + half, 0.25, top, z, ink(paint, z, 1.05))
    if back:
        pen.front(x - half * 0.8, x + half * 0.8, 1.7, 2.55, z, pane, solid=False)
        pen.front(x - half * 0.6, x + half * 0.6, 0.6, 1.2, z, ink(paint, z, 0.55), solid=False)
    else:
        pen.front(x - half * 0.9, x + half * 0.9, 1.15, 2.45, z, ink((50, 66, 82), z), solid=False)
        pen.front(x - half * 0.8, x + half * 0.8, 2.6, 2.95, z, ink((24, 24, 24), z), solid=False)
        pen.front(x - half * 0.6, x + half * 0.6, 2.68, 2.88, z, w.glow((255, 170, 30), z), solid=False)
    pen.front(x - half, x + half, 0.25, 0.42, z, ink(paint, z, 0.5), solid=False)
    lights(pen, x, half * 0.92, 0.8, z, 0.28, back)


def bus_across(pen: Pen, dice: Dice, x: float, z: float, ground: Colour) -> None:
    pen.label = labels.BUS
    paint = dice.near(dice.pick(BUS_PAINTS), 8, 8)
    w = pen.weather
    shadow(pen, x - 5.2, x + 5.2, z - 0.4, z + 2, ground)
    pen.stand(x, z, turn=dice.pick((-1.0, 1.0)))
    ink = pen.ink
    pane = w.glow((250, 226, 150), z) if w.dark else ink((54, 74, 92))
    pen.box(-5.2, 5.2, 0.3, 3.15, ink(paint))
    pen.box(-5.0, 5.2, 1.35, 2.5, pane, solid=False)
    for u in (-3.4, -1.7, 0.0, 1.7, 3.4):
        pen.box(u - 0.12, u + 0.12, 1.35, 2.5, ink(paint, 0.8), solid=False)
    pen.box(3.6, 4.5, 0.45, 2.5, ink((70, 90, 106)), solid=False)
    pen.box(-5.2, 5.2, 0.3, 0.5, ink(paint, 0.55), solid=False)
    for u in (-3.2, 2.6):
        pen.disc(u, 0.48, 0.5, ink(TYRE))
        pen.disc(u, 0.48, 0.2, ink((150, 150, 150)), solid=False)
