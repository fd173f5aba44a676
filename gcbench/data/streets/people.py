"""People on foot, riders, and the bicycles and motorcycles that they ride or leave behind."""

from gcbench.data.class_tables import colours
from gcbench.data.random_choices import Dice
from gcbench.data.streets import labels
from gcbench.data.streets.draw import Pen
from gcbench.data.streets.placement import Spot
from gcbench.data.streets.weather import Colour, Ink

CLOTHES: tuple[Colour, ...] = colours("b42832 284696 3c3e46 d8cebe e6aa3c 3c785a 96508c 5a96be 78543c")
TROUSERS: tuple[Colour, ...] = ((40, 44, 60), (60, 66, 90), (90, 80, 66), (34, 34, 36), (120, 116, 104))
SKIN: tuple[Colour, ...] = ((236, 196, 164), (214, 164, 128), (150, 104, 76), (104, 70, 52))
HAIR: tuple[Colour, ...] = ((40, 30, 24), (96, 66, 40), (196, 164, 100), (120, 120, 122), (24, 22, 22))
HELMETS: tuple[Colour, ...] = ((240, 240, 240), (220, 40, 40), (30, 30, 34), (240, 200, 40), (40, 90, 190))
FRAMES: tuple[Colour, ...] = ((200, 40, 44), (30, 90, 170), (40, 140, 80), (230, 170, 30), (220, 220, 224))
TANKS: tuple[Colour, ...] = ((214, 30, 34), (30, 80, 200), (240, 140, 20), (40, 150, 70), (236, 200, 30))
TYRE: Colour = (24, 24, 26)


def _stand(pen: Pen, label: int, at: Spot, reach: float, ground: Colour, grow: float, turn: float = 1.0) -> None:
    """Let the pen draw something of a class that stands at a spot, on its own shadow."""
    x, z = at
    pen.stand(x, z, label, grow=grow, turn=turn)
    pen.ground(x - reach, x + reach, z - 0.12, z + 0.3, pen.weather.ink(ground, z, pen.weather.shadow), solid=False)


def person(pen: Pen, dice: Dice, x: float, z: float, ground: Colour) -> None:
    """Someone who stands or walks: legs, torso, arms, head."""
    grow = dice.between(0.78, 0.88) if dice.chance(0.12) else dice.between(1.02, 1.16)
    _stand(pen, labels.PERSON, (x, z), 0.45, ground, grow)
    ink = pen.ink
    top, leg = ink(dice.near(dice.pick(CLOTHES))), ink(dice.near(dice.pick(TROUSERS), 8, 10))
    skin, hair = ink(dice.near(dice.pick(SKIN), 5, 8)), ink(dice.pick(HAIR))
    stride = dice.between(0.02, 0.26)
    lean = dice.between(-0.04, 0.04)
    if dice.chance(0.25):
        pen.box(-0.14, -0.03, 0, 0.5, skin)
        pen.box(0.03, 0.14, 0, 0.5, skin)
        pen.flat(((-0.27, 0.4), (0.27, 0.4), (0.17, 0.95), (-0.17, 0.95)), top)
    else:
        pen.flat(((-0.2, 0.9), (0.03, 0.9), (-stride + 0.06, 0), (-stride - 0.13, 0)), leg)
        pen.flat(((-0.03, 0.9), (0.2, 0.9), (stride + 0.13, 0), (stride - 0.06, 0)), leg)
    pen.flat(((-0.21, 0.82), (0.21, 0.82), (0.27 + lean, 1.42), (-0.27 + lean, 1.42)), top)
    arm = dice.between(0.0, 0.14)
    sleeve = _sleeve(top)
    pen.flat(((0.2, 1.42), (0.31, 1.4), (0.36 + arm, 0.85), (0.25 + arm, 0.83)), sleeve)
    pen.flat(((-0.2, 1.42), (-0.31, 1.4), (-0.36 - arm, 0.85), (-0.25 - arm, 0.83)), sleeve)
    if dice.chance(0.2):
        pen.box(-0.16, 0.16, 0.95, 1.38, ink(dice.pick(CLOTHES)), solid=False)
    pen.disc(lean, 1.6, 0.15, skin, high=0.18)
    pen.disc(lean, 1.69, 0.15, hair, high=0.1)


def bicycle(pen: Pen, dice: Dice, x: float, z: float, turn: float, ground: Colour, grow: float = 1.12) -> None:
    """A bicycle from its side: two ring wheels and a thin frame. The layout has it without holes."""
    _stand(pen, labels.BICYCLE, (x, z), 0.85, ground, grow, turn)
    ink = pen.ink
    frame, tyre = ink(dice.near(dice.pick(FRAMES), 8, 8)), ink(TYRE)
    for u in (-0.55, 0.55):
        pen.disc(u, 0.37, 0.37, None)
    pen.flat(((-0.55, 0.3), (0.1, 0.28), (0.5, 0.85), (0.45, 1.05), (-0.3, 0.98), (-0.3, 0.8)), None)
    for u in (-0.55, 0.55):
        pen.ring(u, 0.37, 0.37, 0.085, tyre)
        pen.disc(u, 0.37, 0.06, ink((160, 160, 164)), solid=False)
    pen.stroke(((-0.55, 0.37), (-0.22, 0.82), (0.42, 0.82), (0.02, 0.32), (-0.22, 0.82)), 0.085, frame)
    pen.stroke(((-0.55, 0.37), (0.02, 0.32)), 0.085, frame)
    pen.stroke(((0.55, 0.37), (0.40, 1.0), (0.56, 1.06)), 0.085, frame)
    pen.box(-0.36, -0.12, 0.92, 1.0, tyre)


def bicycle_behind(pen: Pen, dice: Dice, x: float, z: float, ground: Colour, grow: float = 1.12) -> None:
    """A bicycle from behind: one narrow wheel and a handlebar."""
    _stand(pen, labels.BICYCLE, (x, z), 0.3, ground, grow)
    ink = pen.ink
    frame, tyre = ink(dice.near(dice.pick(FRAMES), 8, 8)), ink(TYRE)
    pen.box(-0.07, 0.07, 0.5, 1.0, frame)
    pen.box(-0.34, 0.34, 0.98, 1.08, frame)
    pen.disc(0, 0.38, 0.16, tyre, high=0.38)
    pen.disc(0, 0.38, 0.04, ink((140, 140, 144)), solid=False, high=0.26)
    pen.box(-0.08, 0.08, 0.66, 0.78, ink((220, 30, 30)), solid=False)


def motorcycle(pen: Pen, dice: Dice, x: float, z: float, turn: float, ground: Colour, grow: float = 1.1) -> None:
    """A motorcycle from its side: filled wheels, a dark solid body, a coloured tank."""
    _stand(pen, labels.MOTORCYCLE, (x, z), 1.05, ground, grow, turn)
    ink = pen.ink
    tank = ink(dice.near(dice.pick(TANKS), 8, 8))
    for u in (-0.7, 0.72):
        pen.disc(u, 0.35, 0.36, ink(TYRE))
        pen.disc(u, 0.35, 0.14, ink((120, 120, 124)), solid=False)
    pen.flat(
        ((-0.75, 0.3), (0.45, 0.22), (0.62, 0.75), (0.55, 0.98), (-0.2, 0.85), (-0.95, 0.9), (-0.85, 0.6)),
        ink((38, 38, 42)),
    )
    pen.box(-0.25, 0.3, 0.25, 0.55, ink((110, 112, 116)), solid=False)
    pen.flat(((-0.15, 0.72), (0.5, 0.72), (0.5, 1.0), (0.3, 1.06), (-0.1, 0.95)), tank)
    pen.flat(((0.45, 0.7), (0.75, 0.72), (0.72, 1.02), (0.45, 1.16)), tank)
    pen.box(-0.95, -0.15, 0.82, 0.94, ink((24, 24, 26)))
    pen.box(-0.95, -0.45, 0.32, 0.44, ink((180, 180, 184)), solid=False)
    pen.box(0.68, 0.82, 0.82, 0.98, pen.weather.glow((255, 246, 210), z))
    pen.flat(((0.38, 1.08), (0.46, 1.04), (0.40, 1.28), (0.3, 1.28)), ink((50, 50, 54)))


def motorcycle_behind(pen: Pen, dice: Dice, x: float, z: float, ground: Colour, grow: float = 1.1) -> None:
    """A motorcycle from behind: a broad wheel, a dark tail with coloured panels, mirrors."""
    _stand(pen, labels.MOTORCYCLE, (x, z), 0.5, ground, grow)
    ink = pen.ink
    tank = ink(dice.near(dice.pick(TANKS), 8, 8))
    pen.disc(0, 0.36, 0.17, ink(TYRE), high=0.36)
    pen.flat(((-0.3, 0.35), (0.3, 0.35), (0.36, 0.8), (0.2, 1.05), (-0.2, 1.05), (-0.36, 0.8)), ink((38, 38, 42)))
    for side in (-1, 1):
        pen.flat(((side * 0.36, 0.6), (side * 0.2, 0.6), (side * 0.16, 1.0), (side * 0.36, 0.95)), tank)
        pen.box(side * 0.3 - 0.07, side * 0.3 + 0.07, 0.28, 0.46, ink((180, 180, 184)))
    pen.box(-0.48, 0.48, 1.1, 1.2, ink((50, 50, 54)))
    pen.box(-0.14, 0.14, 0.72, 0.86, ink((230, 30, 30)), solid=False)


def _sleeve(top: Ink) -> Ink:
    red, green, blue = (int(c * 0.8) for c in top)
    return red, green, blue


def _mount(pen: Pen, dice: Dice, x: float, z: float, turn: float, motor: bool) -> tuple[Ink, Ink, Ink, Ink]:
    """Let the pen draw a rider: the inks of top, legs, skin and helmet or hair."""
    pen.stand(x, z, labels.RIDER, grow=1.12, turn=turn)
    top, leg = pen.ink(dice.near(dice.pick(CLOTHES))), pen.ink(dice.near(dice.pick(TROUSERS), 8, 10))
    skin = pen.ink(dice.near(dice.pick(SKIN), 5, 8))
    return top, leg, skin, pen.ink(dice.pick(HELMETS) if motor or dice.chance(0.7) else dice.pick(HAIR))


def rider(pen: Pen, dice: Dice, x: float, z: float, turn: float, motor: bool) -> None:
    top, leg, skin, cap = _mount(pen, dice, x, z, turn, motor)
    sleeve = _sleeve(top)
    hip, knee, foot = (-0.25, 1.0), (0.2, 0.82), (0.06, 0.3)
    pen.flat((hip, (-0.2, 0.84), (0.12, 0.68), (0.28, 0.86), (0.1, 1.02)), leg)
    pen.flat(((knee[0] - 0.12, 0.8), (knee[0] + 0.08, 0.86), (foot[0] + 0.16, 0.26), (foot[0] - 0.06, 0.26)), leg)
    pen.flat(((-0.4, 0.95), (-0.02, 0.95), (0.34, 1.42), (0.2, 1.6), (-0.05, 1.55)), top)
    pen.flat(((0.16, 1.46), (0.3, 1.38), (0.56, 1.1), (0.46, 1.02)), sleeve)
    pen.disc(0.26, 1.74, 0.16, skin, high=0.18)
    pen.disc(0.25, 1.81, 0.18, cap, high=0.19 if motor else 0.12)


def rider_behind(pen: Pen, dice: Dice, x: float, z: float, motor: bool) -> None:
    top, leg, skin, cap = _mount(pen, dice, x, z, 1.0, motor)
    out = 0.36 if motor else 0.26
    for side in (-1, 1):
        pen.flat(((side * 0.06, 1.0), (side * 0.22, 1.0), (side * out, 0.4), (side * (out - 0.13), 0.4)), leg)
        pen.flat(((side * 0.2, 1.5), (side * 0.3, 1.46), (side * 0.42, 1.1), (side * 0.3, 1.08)), top)
    pen.flat(((-0.2, 0.9), (0.2, 0.9), (0.27, 1.55), (-0.27, 1.55)), top)
    pen.disc(0, 1.72, 0.16, skin, high=0.19)
    pen.disc(0, 1.78, 0.18, cap, high=0.18 if motor else 0.13)
