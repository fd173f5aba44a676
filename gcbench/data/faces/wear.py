"""What people wear on the head: earrings, glasses, hats."""

import numpy as np

from gcbench.data.faces import colours
from gcbench.data.faces import labels as L
from gcbench.data.faces.canvas import Canvas, mix, shade
from gcbench.data.faces.curves import Points, closed, ellipse, mirrored, ribbon, through
from gcbench.data.faces.features import EYE_U
from gcbench.data.faces.head import Head
from gcbench.data.faces.person import Person
from gcbench.data.random_choices import Dice


def draw_earrings(canvas: Canvas, head: Head, person: Person, dice: Dice) -> None:
    """One at each ear; the far one may be hidden behind the cheek of a turned head."""
    if person.earrings is None:
        return
    jewel = dice.pick(colours.JEWELS)
    for side in (-1, 1):
        u, v = side * 1.08, 0.64
        if person.earrings == "stud":
            canvas.fill(head.around(ellipse(u, v, 0.105, 0.105, 12), -0.1), jewel, L.EAR_R)
        elif person.earrings == "hoop":
            ring = ellipse(u, v + 0.2, 0.19, 0.24, 18)
            canvas.fill(head.around(ribbon(np.concatenate([ring, ring[:1]]), (0.085, 0.085)), -0.1), jewel, L.EAR_R)
        else:
            drop = closed([(u, v - 0.02), (u + 0.08, v + 0.24), (u, v + 0.4), (u - 0.08, v + 0.24)])
            canvas.fill(head.around(drop, -0.1), jewel, L.EAR_R)
            canvas.fill(head.around(ellipse(u, v, 0.06, 0.06, 8), -0.1), shade(jewel, 0.8), L.EAR_R)
        glint = ellipse(u - 0.03, v + (0.0 if person.earrings == "stud" else 0.2), 0.03, 0.04, 8)
        canvas.fill(head.around(glint, -0.1), (255, 255, 255))


LENSES = {"round": (0.33, 0.31), "square": (0.36, 0.25), "sun": (0.37, 0.27)}
"""Half width and half height."""


def lens(kind: str, side: int) -> Points:
    wide, high = LENSES[kind]
    if kind == "round":
        return ellipse(side * (EYE_U + 0.02), 0.02, wide, high, 24)
    u, v = side * (EYE_U + 0.02), 0.05 if kind == "sun" else 0.0
    right = [(0.0, -1.04), (1.0, -1.0), (0.96, 0.7), (0.5, 1.15)]
    return closed([*right, *((-x, y) for x, y in right[:0:-1])]) * (wide, high) + (u, v)


def draw_lenses(canvas: Canvas, head: Head, person: Person) -> None:
    """The part of glasses that lies behind eyes and brows in the layout: in CelebAMask-HQ those are painted later."""
    if person.glasses and person.glasses != "sun":
        for side in (-1, 1):
            canvas.fill(head.on(lens(person.glasses, side), 0.1), mix(person.skin, (225, 235, 245), 0.16), L.EYE_G)


def draw_glasses(canvas: Canvas, head: Head, person: Person, dice: Dice) -> None:
    if person.glasses is None:
        return
    frame = dice.pick(colours.FRAMES)
    thick = dice.between(0.06, 0.095)
    for side in (-1, 1):
        rim = lens(person.glasses, side)
        if person.glasses == "sun":
            canvas.fill(head.on(rim, 0.1), mix(frame, (18, 18, 22), 0.7), L.EYE_G)
            glare = closed([(side * EYE_U - 0.22, -0.14), (side * EYE_U + 0.02, -0.2), (side * EYE_U - 0.1, 0.04)])
            canvas.fill(head.on(glare, 0.1), (104, 110, 120))
        outline = ribbon(np.concatenate([rim, rim[:2]]), (thick, thick))
        canvas.fill(head.on(outline, 0.1), frame, L.EYE_G)
        arm = through([(side * (EYE_U + LENSES[person.glasses][0]), -0.08), (side * 0.98, -0.1), (side * 1.08, -0.06)])
        canvas.fill(head.around(ribbon(arm, (thick, thick)), 0.0), frame, L.EYE_G)
    gap = EYE_U + 0.02 - LENSES[person.glasses][0]
    bridge = through([(-gap - 0.02, 0.0), (0, -0.07), (gap + 0.02, 0.0)])
    canvas.fill(head.on(ribbon(bridge, (thick, thick)), 0.16), frame, L.EYE_G)


def draw_hat(canvas: Canvas, head: Head, person: Person, dice: Dice) -> None:
    if person.hat is None:
        return
    felt = dice.near(dice.pick(colours.HATS), 8, 10)
    band = dice.near(dice.pick(colours.HATS), 8, 10)
    line = head.hairline + 0.1
    if person.hat == "beanie":
        half = [(0.0, -1.62), (0.6, -1.5), (1.06, -1.1), (1.17, line + 0.12), (1.17, line + 0.26)]
        half += [(0.6, line + 0.04), (0.0, line)]
        canvas.fill(head.around(closed(mirrored(half), 6), -0.05), felt, L.HAT)
        fold = [(-1.18, line + 0.1), (-0.6, line - 0.12), (0.0, line - 0.16), (0.6, line - 0.12), (1.18, line + 0.1)]
        canvas.fill(head.around(ribbon(through(fold), (0.34, 0.36, 0.34)), 0.05), mix(felt, band, 0.25), L.HAT)
        for u in np.linspace(-1.0, 1.0, 13):
            rib = np.array([(u, line - 0.3 + 0.16 * u**2), (u * 1.02, line + 0.0 + 0.2 * u**2)])
            canvas.line(head.around(rib, 0.05), 0.005, shade(felt, 0.72))
    elif person.hat == "brim":
        tall = dice.between(1.5, 1.72)
        half = [(0.0, -tall + 0.08), (0.35, -tall), (0.78, -tall + 0.12), (0.98, -1.1), (1.02, line), (0.0, line + 0.1)]
        canvas.fill(head.around(closed(mirrored(half)), -0.05), felt, L.HAT)
        ribbon_line = through([(-1.02, line - 0.2), (0.0, line - 0.08), (1.02, line - 0.2)])
        canvas.fill(head.around(ribbon(ribbon_line, (0.24, 0.24)), 0.0), shade(band, 0.8), L.HAT)
        brim = [(-1.75, line + 0.06), (-1.0, line - 0.1), (0.0, line - 0.03), (1.0, line - 0.1), (1.75, line + 0.06)]
        brim += [(1.1, line + 0.2), (0.0, line + 0.26), (-1.1, line + 0.2)]
        canvas.fill(head.around(closed(brim), 0.15), shade(felt, 0.86), L.HAT)
    else:
        half = [(0.0, -1.5), (0.55, -1.42), (0.98, -1.05), (1.1, line + 0.1), (0.6, line + 0.02), (0.0, line)]
        canvas.fill(head.around(closed(mirrored(half), 6), -0.05), felt, L.HAT)
        seam = through([(0.0, -1.5), (0.02, -1.1), (0.0, line)])
        canvas.line(head.around(seam, 0.1), 0.005, shade(felt, 0.7))
        visor = [(-0.86, line - 0.02), (0.0, line - 0.14), (0.86, line - 0.02)]
        visor += [(0.82, line + 0.2), (0.0, line + 0.3), (-0.82, line + 0.2)]
        canvas.fill(head.on(closed(visor), 0.3), shade(mix(felt, band, 0.25), 0.82), L.HAT)
        badge = ellipse(0.0, line - 0.5, 0.22, 0.2, 16)
        canvas.fill(head.around(badge, 0.3), mix(band, (255, 255, 255), 0.5), L.HAT)
