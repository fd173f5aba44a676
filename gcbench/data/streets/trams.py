"""Trams, Cityscapes' trains: along the street on their rails, or across it."""

from gcbench.data.class_tables import colours
from gcbench.data.random_choices import Dice
from gcbench.data.streets import labels
from gcbench.data.streets.draw import Pen
from gcbench.data.streets.vehicle_parts import lights, open_side, shadow
from gcbench.data.streets.weather import Colour

TRAM_PAINTS: tuple[Colour, ...] = colours("b41e26 186046 1e408c d66018")
CREAM: Colour = (238, 228, 198)


def rails(pen: Pen, x: float, ground: Colour) -> None:
    """A tram's track along the street: a pale bed and two rails."""
    pen.label = labels.TRAIN
    ink = pen.weather.ink
    bed = (ground[0] * 0.86 + 14, ground[1] * 0.84 + 8, ground[2] * 0.82)
    pen.ground(x - 1.25, x + 1.25, 2.4, 70, ink(bed, 12), solid=False)
    for rail in (-0.75, 0.75):
        pen.ground(x + rail - 0.09, x + rail + 0.09, 2.4, 60, ink((62, 58, 56), 8), solid=False)


def train(pen: Pen, dice: Dice, x: float, z: float) -> None:
    """A tram along the street: long, cream over a colour, a dark band of windows, a yellow front."""
    pen.label = labels.TRAIN
    paint = dice.near(dice.pick(TRAM_PAINTS), 8, 8)
    half, top, long = 1.3, dice.between(3.4, 3.7), dice.between(20, 30)
    w = pen.weather
    ink = w.ink
    shadow(pen, x - half, x + half, z - 0.4, z + long, (90, 88, 86))
    pane = w.glow((240, 214, 140), z) if w.dark else ink((30, 34, 42), z)
    seen = open_side(x, 2 * half)
    if seen is not None:
        pen.side(seen, 0.12, top, z, z + long, ink(CREAM, z, 0.85))
        pen.side(seen, 0.12, 1.35, z, z + long, ink(paint, z, 0.82), solid=False)
        pen.side(seen, 1.5, 2.6, z + 0.4, z + long, pane, solid=False)
        for k in range(1, 4):
            at = z + long * k / 4
            pen.side(seen, 0.12, top, at - 0.25, at + 0.25, ink((60, 60, 62), z), solid=False)
        pen.side(seen, 0.12, 0.35, z, z + long, ink((40, 40, 42), z), solid=False)
    for a, b in ((-0.5, 0.5), (0.5, -0.5)):
        foot = ((x + a, top - 0.1, z + 3), (x + a + 0.14, top - 0.1, z + 3))
        pen.world((*foot, (x + b + 0.14, top + 1.0, z + 3), (x + b, top + 1.0, z + 3)), ink((50, 50, 52), z))
    pen.front(x - 0.8, x + 0.8, top + 0.9, top + 1.06, z + 3, ink((50, 50, 52), z))
    roof = ((x + half * 0.8, top, z), (x - half * 0.8, top, z), (x - half, top - 0.45, z))
    front = ((x - half, 0.12, z), (x + half, 0.12, z), (x + half, top - 0.45, z), *roof)
    pen.world(front, ink((244, 202, 40), z))
    pen.front(x - half * 0.84, x + half * 0.84, 1.5, 2.8, z, ink((34, 42, 52), z), solid=False)
    pen.front(x - half, x + half, 0.12, 0.9, z, ink(paint, z), solid=False)
    pen.front(x - half * 0.4, x + half * 0.4, 3.0, 3.25, z, w.glow((255, 240, 200), z), solid=False)
    pen.front(x - half, x + half, 0.12, 0.3, z, ink((40, 40, 42), z), solid=False)
    lights(pen, x, half * 0.9, 1.1, z, 0.3, False)


def train_across(pen: Pen, dice: Dice, x: float, z: float, ground: Colour) -> None:
    """A tram that crosses the street: long, two colours, a dark band, on rails."""
    pen.label = labels.TRAIN
    paint = dice.near(dice.pick(TRAM_PAINTS), 8, 8)
    w = pen.weather
    for near in (-0.3, 1.2):
        pen.ground(-40, 40, z + near, z + near + 0.25, w.ink((62, 58, 56), z), solid=False)
    shadow(pen, x - 9, x + 9, z - 0.5, z + 2, ground)
    pen.stand(x, z, turn=dice.pick((-1.0, 1.0)))
    ink = pen.ink
    pane = w.glow((240, 214, 140), z) if w.dark else ink((30, 34, 42))
    pen.flat(((-9, 0.12), (9.4, 0.12), (9.4, 2.2), (8.7, 3.5), (-9, 3.5)), ink(CREAM))
    pen.box(-9, 9.4, 0.12, 1.3, ink(paint), solid=False)
    pen.box(-8.8, 8.2, 1.5, 2.6, pane, solid=False)
    pen.flat(((8.3, 0.3), (9.4, 0.3), (9.4, 2.2), (8.7, 3.5), (8.3, 3.5)), ink((244, 202, 40)), solid=False)
    pen.flat(((8.5, 1.5), (9.3, 1.5), (9.1, 2.6), (8.5, 2.6)), ink((34, 42, 52)), solid=False)
    for u in (-4.4, 0.2, 4.6):
        pen.box(u - 0.15, u + 0.15, 0.12, 3.5, ink((60, 60, 62)), solid=False)
    pen.box(-9, 9.4, 0.12, 0.35, ink((40, 40, 42)), solid=False)
    pen.flat(((-0.6, 3.45), (-0.4, 3.45), (0.6, 4.4), (0.4, 4.4)), ink((50, 50, 52)))
    pen.box(-0.5, 0.9, 4.3, 4.45, ink((50, 50, 52)))
