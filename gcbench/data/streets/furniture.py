"""Poles with what hangs on them, and the small things that Cityscapes calls void: bins, boxes, bollards."""

from gcbench.data.random_choices import Dice
from gcbench.data.streets import labels
from gcbench.data.streets.draw import Pen
from gcbench.data.streets.weather import Colour

POLES: tuple[Colour, ...] = ((96, 98, 100), (150, 152, 154), (60, 66, 62), (120, 116, 108))
BOXES: tuple[Colour, ...] = ((150, 112, 70), (60, 110, 120), (230, 120, 30), (70, 90, 70), (120, 60, 130))


def pole(pen: Pen, dice: Dice, x: float, z: float, high: float, arm: float = 0.0) -> None:
    """At least two pixels wide at the default size; `arm` reaches over the road with a lamp."""
    pen.stand(x, z, labels.POLE)
    half = max(0.09, 0.0145 / pen.s)
    colour = dice.near(dice.pick(POLES), 4, 10)
    pen.box(-half, half, 0, high, pen.ink(colour))
    pen.box(half * 0.2, half, 0, high, pen.ink(colour, 0.72), solid=False)
    if arm:
        thin = max(0.08, 0.009 / pen.s)
        pen.box(min(0, arm), max(0, arm), high - thin, high + thin, pen.ink(colour, 0.9))
        lamp = pen.weather.glow((255, 240, 190), z) if pen.weather.dark else pen.ink((216, 216, 210))
        pen.box(arm - 0.35, arm + 0.35, high - 2.4 * thin, high, lamp)


def traffic_light(pen: Pen, dice: Dice, x: float, z: float, v: float) -> None:
    """A dark case with a yellow rim and three lamps, one of them lit."""
    pen.stand(x, z, labels.LIGHT)
    unit = max(0.17, 0.031 / pen.s)
    rim = pen.ink((206, 176, 50) if dice.chance(0.6) else (196, 198, 200))
    pen.box(-1.25 * unit, 1.25 * unit, v - 2.9 * unit, v + 2.9 * unit, rim)
    pen.box(-0.95 * unit, 0.95 * unit, v - 2.6 * unit, v + 2.6 * unit, pen.ink((26, 28, 28)), solid=False)
    lit = dice.whole(0, 2)
    lamps = (((255, 40, 30), (70, 26, 24)), ((255, 196, 30), (74, 60, 24)), ((40, 255, 130), (22, 62, 40)))
    for place, (on, off) in enumerate(lamps):
        colour = pen.weather.glow(on, z) if place == lit else pen.ink(off)
        pen.disc(0, v + (1 - place) * 1.65 * unit, 0.78 * unit, colour, solid=False)


def traffic_sign(pen: Pen, dice: Dice, x: float, z: float, v: float) -> None:
    """A bright plate: a disc, a triangle, a square, a diamond or a board."""
    pen.stand(x, z, labels.SIGN)
    r = max(0.42, 0.062 / pen.s)
    red, white, blue, yellow = (
        pen.ink(c, 1.05) for c in ((214, 24, 30), (244, 244, 244), (20, 80, 190), (250, 206, 30))
    )
    kind = dice.whole(0, 5)
    if kind == 0:
        pen.disc(0, v, r, red)
        pen.disc(0, v, r * 0.62, white, solid=False)
    elif kind == 1:
        pen.flat(((-1.1 * r, v - 0.85 * r), (1.1 * r, v - 0.85 * r), (0, v + 1.05 * r)), red)
        pen.flat(((-0.6 * r, v - 0.55 * r), (0.6 * r, v - 0.55 * r), (0, v + 0.5 * r)), white, solid=False)
    elif kind == 2:
        pen.box(-r, r, v - r, v + r, white)
        pen.box(-0.84 * r, 0.84 * r, v - 0.84 * r, v + 0.84 * r, blue, solid=False)
        pen.box(-0.25 * r, 0.25 * r, v - 0.5 * r, v + 0.5 * r, white, solid=False)
    elif kind == 3:
        pen.flat(((0, v - 1.2 * r), (1.2 * r, v), (0, v + 1.2 * r), (-1.2 * r, v)), white)
        pen.flat(((0, v - 0.9 * r), (0.9 * r, v), (0, v + 0.9 * r), (-0.9 * r, v)), yellow, solid=False)
    elif kind == 4:
        pen.disc(0, v, r, blue)
        head = ((0.45 * r, v), (0, v + 0.6 * r), (-0.45 * r, v))
        foot = ((-0.15 * r, v - 0.6 * r), (0.15 * r, v - 0.6 * r))
        pen.flat((*foot, (0.15 * r, v), *head, (-0.15 * r, v)), white, solid=False)
    else:
        pen.box(-1.6 * r, 1.6 * r, v - 0.85 * r, v + 0.85 * r, white)
        pen.box(-1.45 * r, 1.45 * r, v - 0.7 * r, v + 0.7 * r, blue, solid=False)
        pen.box(-1.1 * r, 1.1 * r, v + 0.1 * r, v + 0.4 * r, white, solid=False)
        pen.box(-1.1 * r, 0.5 * r, v - 0.45 * r, v - 0.15 * r, white, solid=False)


def thing(pen: Pen, dice: Dice, x: float, z: float) -> None:
    """Something void: a bin, a pile of boxes or a striped bollard."""
    pen.stand(x, z, labels.VOID)
    ink = pen.ink
    kind = dice.whole(0, 2)
    colour = dice.near(dice.pick(BOXES), 8, 12)
    if kind == 0:
        pen.flat(((-0.38, 0), (0.38, 0), (0.46, 1.0), (-0.46, 1.0)), ink(colour, 0.8))
        pen.box(-0.52, 0.52, 1.0, 1.18, ink((40, 42, 44)))
    elif kind == 1:
        pen.box(-0.6, 0.6, 0, 0.8, ink(colour))
        pen.box(-0.6, 0.6, 0.36, 0.44, ink(colour, 0.7), solid=False)
        pen.box(-0.4, 0.35, 0.8, 1.35, ink(colour, 1.15))
    else:
        pen.flat(((-0.4, 0), (0.4, 0), (0.16, 1.2), (-0.16, 1.2)), ink((236, 110, 20)))
        pen.flat(((-0.3, 0.35), (0.3, 0.35), (0.24, 0.7), (-0.24, 0.7)), ink((244, 244, 240)), solid=False)


def bonnet(pen: Pen, dice: Dice) -> None:
    """The bonnet of the car that carries the camera, along the lower edge."""
    pen.label = labels.VOID
    w = pen.weather
    paint = w.ink(dice.near(dice.pick(((34, 36, 40), (60, 62, 68), (150, 154, 160), (40, 46, 66))), 4, 8), 0)
    r, g, b = paint
    shine = (min(255, int(r * 1.3 + 14)), min(255, int(g * 1.3 + 14)), min(255, int(b * 1.3 + 16)))
    y = 1 - dice.between(0.085, 0.155)
    camera = pen.camera
    pen.stand(0, 3.0)
    unit = 1 / pen.s

    def sheet(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
        return [((px - camera.vx) * unit, (pen.y - py) * unit) for px, py in points]

    arc = [(k / 8 * 2.2 - 0.1, y + 0.08 * max(0.0, abs(k - 4) - 1.0) ** 2 / 9) for k in range(9)]
    pen.flat(sheet([*arc, (2.1, 1.1), (-0.1, 1.1)]), paint)
    pen.flat(sheet([*arc, *((px, py + 0.022) for px, py in arc[::-1])]), shine, solid=False)
    pen.flat(sheet([(0.9, y + 0.03), (1.1, y + 0.03), (1.3, 1.1), (0.7, 1.1)]), shine, solid=False)
