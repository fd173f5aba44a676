"""What stands below the face: neck, chest, clothes and necklaces."""

from typing import NamedTuple

import numpy as np

from gcbench.data.faces import colours
from gcbench.data.faces import labels as L
from gcbench.data.faces.canvas import Canvas, Colour, mix, shade
from gcbench.data.faces.curves import Points, closed, ellipse, mirrored, ribbon, through
from gcbench.data.faces.head import Head
from gcbench.data.faces.person import Person
from gcbench.data.random_choices import Dice


class Neckline(NamedTuple):
    """top, depth: from v to v. wide: half width at the top, in half widths of the neck. pointed: a V."""

    top: float
    depth: float
    wide: float
    pointed: bool


NECKLINES = {
    "crew": Neckline(1.66, 1.93, 1.25, False),
    "vee": Neckline(1.66, 2.42, 1.35, True),
    "scoop": Neckline(1.98, 2.5, 2.0, False),
    "shirt": Neckline(1.66, 2.25, 1.1, True),
    "coat": Neckline(1.66, 2.0, 1.2, False),
}


class Body:
    """Neck and shoulders. They stand upright below the head, whatever its roll."""

    def __init__(self, head: Head, person: Person, dice: Dice):
        self.head = head
        self.neck = dice.between(0.52, 0.6) if person.male else dice.between(0.42, 0.48)
        self.slope = dice.between(0.0, 0.16)
        nape = head.around(np.array([(0.0, 1.0)]), -0.1)[0]
        self._shift = np.array([nape[0], nape[1] - head.scale])

    def at(self, points: Points) -> Points:
        return points * self.head.scale + self._shift


def draw_body(canvas: Canvas, body: Body, person: Person, dice: Dice) -> None:
    skin = shade(person.skin, 0.93)
    n = body.neck
    half = [(0.0, 0.6), (n, 0.6), (n, 1.55), (n * 1.35, 1.85), (1.0, 2.12), (1.0, 3.6), (0.0, 3.6)]
    canvas.fill(body.at(closed(mirrored(half))), skin, L.NECK)
    for side in (-1, 1):
        cord = through([(side * n * 0.75, 1.2), (side * n * 0.5, 1.7), (side * 0.12, 2.0)])
        canvas.fill(body.at(ribbon(cord, (0.02, 0.06, 0.03))), shade(skin, 0.88))
    if person.garment == "suit":
        _suit(canvas, body, person, dice)
        return
    fabric = dice.near(dice.pick(colours.FABRICS), 10, 14)
    cut = NECKLINES[person.garment]
    wide = cut.wide * n
    _garment(canvas, body, fabric, cut)
    if person.garment in ("shirt", "coat"):
        _collar(canvas, body, shade(fabric, 1.12), cut.depth, 0.42 if person.garment == "shirt" else 0.7)
        for v in (2.3, 2.6, 2.9):
            canvas.fill(body.at(ellipse(0.0, max(v, cut.depth + 0.08), 0.05, 0.05, 10)), shade(fabric, 0.55))
        return
    if person.garment == "crew":
        low = cut.depth
        hem = [(-wide, cut.top), (-wide * 0.6, low - 0.05), (0, low + 0.04), (wide * 0.6, low - 0.05), (wide, cut.top)]
        canvas.fill(body.at(ribbon(through(hem), (0.08, 0.1, 0.1, 0.1, 0.08))), shade(fabric, 0.8), L.CLOTH)
    if dice.chance(0.3):
        stripe = dice.near(dice.pick(colours.FABRICS), 10, 14)
        for v in (2.16, 2.5, 2.84, 3.2):
            if v > cut.depth + 0.05:
                band = through([(-2.6, v + 0.16), (-0.9, v), (0.9, v), (2.6, v + 0.16)])
                canvas.fill(body.at(ribbon(band, (0.12, 0.12))), stripe)


def _garment(canvas: Canvas, body: Body, fabric: Colour, cut: Neckline) -> None:
    """Two shoulders and a chest with an opening for the neck."""
    slope, top, low, wide = body.slope, cut.top, cut.depth, cut.wide * body.neck
    left = through([(-2.9, 4.0), (-2.6, 2.7 + slope), (-2.1, 2.25 + slope), (-1.2, 1.9 + slope * 0.5), (-wide, top)])
    if cut.pointed:
        opening = np.array([(-wide, top), (-0.02, low), (0.02, low), (wide, top)])
    else:
        opening = through([(-wide, top), (-wide * 0.62, low - 0.1), (0, low), (wide * 0.62, low - 0.1), (wide, top)])
    canvas.fill(body.at(np.concatenate([left, opening, (left * (-1, 1))[::-1]])), fabric, L.CLOTH)


def _collar(canvas: Canvas, body: Body, colour: Colour, depth: float, wide: float) -> None:
    n = body.neck
    for side in (-1, 1):
        edge = [(n * 1.2 + wide * 0.4, depth), (0.16 + wide * 0.3, depth + 0.16), (0.03, depth)]
        flap = np.array([(n * 0.98, 1.5), (n * 1.3, 1.68), *edge]) * (side, 1)
        canvas.fill(body.at(flap), colour, L.CLOTH)
        canvas.line(body.at(flap[2:]), 0.006, shade(colour, 0.72))


def _suit(canvas: Canvas, body: Body, person: Person, dice: Dice) -> None:
    """A jacket over a shirt with a necktie."""
    cloth, shirt = dice.near(dice.pick(colours.SUITS), 4, 8), dice.pick(colours.SHIRTS)
    tie = dice.near(dice.pick(colours.TIES), 10, 8)
    n = body.neck
    _garment(canvas, body, cloth, Neckline(1.66, 1.9, 1.3, True))
    canvas.fill(body.at(np.array([(-n * 1.2, 1.7), (n * 1.2, 1.7), (0.5, 3.6), (-0.5, 3.6)])), shirt, L.CLOTH)
    knot, end = 1.86, 3.6
    blade = np.array([(-0.17, knot + 0.26), (0.17, knot + 0.26), (0.34, end), (-0.34, end)])
    canvas.fill(body.at(blade), tie, L.CLOTH)
    if dice.chance(0.5):
        bright = mix(tie, (255, 255, 255), 0.55)
        for v in np.arange(knot + 0.4, end, 0.3):
            canvas.line(body.at(np.array([(-0.26, v + 0.2), (0.26, v - 0.02)])), 0.012, bright)
    knotted = np.array([(-0.24, knot), (0.24, knot), (0.15, knot + 0.3), (-0.15, knot + 0.3)])
    canvas.fill(body.at(knotted), shade(tie, 0.82), L.CLOTH)
    for side in (-1, 1):
        lapel = np.array([(n * 1.1, 1.66), (n * 1.6, 1.82), (1.2, 2.5), (0.62, 3.6), (0.36, 3.6), (0.6, 2.4)])
        canvas.fill(body.at(lapel * (side, 1)), shade(cloth, 1.22), L.CLOTH)
        canvas.line(body.at(lapel[1:4] * (side, 1)), 0.006, shade(cloth, 0.6))
    _collar(canvas, body, shade(shirt, 1.05), 1.95, 0.3)


def draw_necklace(canvas: Canvas, body: Body, person: Person, dice: Dice) -> None:
    if person.necklace is None:
        return
    jewel = dice.pick(colours.JEWELS[:3])
    low = dice.between(1.9, 2.1)
    outer, inner, half = body.neck * 1.08, body.neck * 0.85, 0.86 + low / 2
    path = through([(-outer, 1.6), (-inner, half), (0, low), (inner, half), (outer, 1.6)], 6)
    if person.necklace == "pearls":
        along = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(path, axis=0).T))])
        for at in np.linspace(0, along[-1], 15):
            u, v = float(np.interp(at, along, path[:, 0])), float(np.interp(at, along, path[:, 1]))
            canvas.fill(body.at(ellipse(u, v, 0.085, 0.085, 10)), shade(jewel, 0.9), L.NECK_L)
            canvas.fill(body.at(ellipse(u - 0.02, v - 0.025, 0.035, 0.035, 8)), (255, 255, 255))
        return
    canvas.fill(body.at(ribbon(path, (0.09, 0.1, 0.1, 0.09))), shade(jewel, 0.86), L.NECK_L)
    stone = closed([(-0.11, low + 0.1), (0, low - 0.02), (0.11, low + 0.1), (0, low + 0.3)])
    canvas.fill(body.at(stone), dice.pick(colours.JEWELS), L.NECK_L)
    canvas.fill(body.at(ellipse(-0.02, low + 0.08, 0.03, 0.04, 8)), (255, 255, 255))
