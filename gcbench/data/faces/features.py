"""What lies in a face: ears, nose, eyes, brows, mouth, beard. Each part is drawn in image and layout alike."""

import numpy as np

from gcbench.data.faces import labels as L
from gcbench.data.faces.canvas import Canvas, Colour, mix, shade
from gcbench.data.faces.curves import Points, closed, ellipse, mirrored, ribbon, through
from gcbench.data.faces.head import Head
from gcbench.data.faces.person import BEARDS, Person, lip_colour
from gcbench.data.random_choices import Dice

SIDES = ((-1, L.L_EYE, L.L_BROW, L.L_EAR), (1, L.R_EYE, L.R_BROW, L.R_EAR))
"""l_ is at the left of the image."""
EYE_U, EYE_WIDE = 0.44, 0.225
MOUTH_V = 1.0

Interval = tuple[float, float]


def draw_ears(canvas: Canvas, head: Head, person: Person) -> None:
    for side, _, _, label in SIDES:
        rim = [(0.9, 0.0), (1.08, -0.12), (1.2, 0.02), (1.18, 0.3), (1.1, 0.56), (1.0, 0.66), (0.9, 0.5)]
        canvas.fill(head.around(_flip(closed(rim), side), -0.15), shade(person.skin, 0.95), label)
        inner = [(0.99, 0.05), (1.09, 0.0), (1.12, 0.14), (1.06, 0.34), (1.0, 0.4)]
        canvas.fill(head.around(_flip(closed(inner), side), -0.15), shade(person.skin, 0.76))


def draw_face(canvas: Canvas, head: Head, person: Person) -> None:
    jaw, chin, length = head.jaw, head.chin, head.length
    half = [(0.0, -1.2), (0.52, -1.1), (0.86, -0.72), (0.99, -0.15), (0.99, 0.32), (0.5 + 0.5 * jaw, 0.78)]
    half += [(jaw * 0.97, 1.08), (0.5 * (jaw + chin), length - 0.2), (chin * 0.75, length - 0.03), (0.0, length)]
    canvas.fill(head.outline(closed(mirrored(half))), person.skin, L.SKIN)


def draw_nose(canvas: Canvas, head: Head, person: Person, dice: Dice) -> None:
    wide = dice.between(0.23, 0.31) * (1.08 if person.male else 0.96)
    end = 0.6 + dice.between(-0.04, 0.06)
    skin = mix(person.skin, (200, 90, 80), 0.06)
    half = [(0.0, -0.12), (0.09, -0.05), (0.11, 0.25), (wide * 0.8, end - 0.1), (wide, end), (wide * 0.72, end + 0.1)]
    outline = head.on(closed(mirrored([*half, (0.0, end + 0.14)])), 0.12)
    canvas.fill(outline, skin, L.NOSE)
    for side in (-1, 1):
        wing = [(side * wide * 0.72, end - 0.14), (side * wide * 1.0, end), (side * wide * 0.8, end + 0.1)]
        canvas.fill(head.on(ribbon(through(wing), (0.02, 0.04, 0.02)), 0.12), shade(skin, 0.84))
        hole = ellipse(side * wide * 0.42, end + 0.07, wide * 0.24, 0.04, 10)
        canvas.fill(head.on(hole, 0.16), shade(skin, 0.45))


def draw_eyes(canvas: Canvas, head: Head, person: Person, dice: Dice) -> None:
    high = dice.between(0.1, 0.13) * (0.92 if person.male else 1.08) * (0.78 if person.smiling else 1.0)
    tilt = dice.between(-0.02, 0.05)
    look = dice.between(-0.06, 0.06)
    dark = person.makeup is not None or not person.male
    liner = (30, 22, 24) if dark else mix(person.skin, (30, 20, 18), 0.75)
    lash = 0.075 if person.makeup else 0.055 if dark else 0.04
    x = np.linspace(-1, 1, 9)

    def lid(side: int, height: float) -> Points:
        """A line from corner to corner of an eye, `height` above them in its middle."""
        return np.stack([side * EYE_U + x * EYE_WIDE, -height * (1 - x**2) - tilt * x * side], axis=1)

    for side, label, _, _ in SIDES:
        upper, lower = lid(side, high), lid(side, -0.62 * high)
        if person.makeup:
            shadow = np.concatenate([lid(side, high * 2.9), lid(side, 0.0)[::-1]])
            canvas.fill(head.on(shadow), mix(person.skin, person.makeup, 0.85))
        else:
            canvas.fill(head.on(ribbon(lid(side, high * 1.75), (0.01, 0.045, 0.01))), shade(person.skin, 0.74))
        if person.age:
            canvas.fill(head.on(ribbon(lid(side, -high * 1.9), (0.01, 0.05, 0.02))), shade(person.skin, 0.8))
        canvas.fill(head.on(np.concatenate([upper, lower[::-1]])), (238, 234, 230), label)
        middle = side * EYE_U + look
        iris = ellipse(middle, -0.1 * high, 0.125, 0.125, 16)
        bow = 1 - np.clip((iris[:, 0] - side * EYE_U) / EYE_WIDE, -1, 1) ** 2
        iris[:, 1] = np.clip(iris[:, 1], -high * bow, 0.62 * high * bow)  # the lids cover it
        canvas.fill(head.on(iris), person.iris)
        canvas.fill(head.on(ellipse(middle, -0.15 * high, 0.055, 0.06, 10)), (14, 12, 14))
        canvas.fill(head.on(ellipse(middle - 0.05, -0.45 * high, 0.035, 0.035, 8)), (250, 250, 250))
        outwards = (0.02, lash, lash)[::side]
        canvas.fill(head.on(ribbon(upper, outwards)), liner)
        if person.makeup:
            wing = through([(side * 0.6, -0.03), (side * 0.68, -0.07), (side * 0.73, -0.13)])
            canvas.fill(head.on(ribbon(wing, (0.06, 0.04, 0.01))), liner)


def draw_wrinkles(canvas: Canvas, head: Head, person: Person) -> None:
    """Of those who are not young: across the forehead, beside the eyes, below the corners of the mouth."""
    if not person.age:
        return
    tone, deep = shade(person.skin, 0.76 - 0.1 * person.age), 0.04 + 0.03 * person.age
    for row in range(3):
        v = head.hairline + 0.2 + 0.11 * row
        line = through([(-0.5 + 0.05 * row, v + 0.02), (-0.2, v - 0.03), (0.2, v - 0.03), (0.5 - 0.05 * row, v + 0.02)])
        canvas.fill(head.on(ribbon(line, (0.01, deep, 0.01))), tone)
    for side in (-1, 1):
        for drop in (-0.1, 0.02, 0.14):
            foot = np.array([(0.7, 0.4 * drop), (0.84, drop)])
            canvas.fill(head.on(ribbon(_flip(foot, side), (0.045, 0.015))), tone)
        jowl = through([(0.46, MOUTH_V + 0.06), (0.52, MOUTH_V + 0.2), (0.48, MOUTH_V + 0.34)])
        canvas.fill(head.on(ribbon(_flip(jowl, side), (0.01, deep, 0.02))), tone)


def draw_brows(canvas: Canvas, head: Head, person: Person, dice: Dice) -> None:
    thick = dice.between(0.21, 0.25) if person.bushy else dice.between(0.065, 0.085)
    arch = dice.between(0.02, 0.1) * (0.6 if person.male else 1.2)
    dark = {"blond": 0.6, "gray": 0.66, "red": 0.66}.get(person.hair_kind, 0.9) * (0.8 if person.bushy else 1.0)
    colour = mix(shade(person.hair, dark), person.skin, 0.0 if person.bushy else 0.16)
    for side, _, label, _ in SIDES:
        v = head.brow
        line = through([(0.16, v + 0.03), (0.36, v - 0.04 - arch * 0.5), (0.56, v - arch), (0.73, v + 0.05)], 6)
        outline = ribbon(_flip(line, side), (thick * 0.9, thick, thick * 0.85, thick * 0.35))
        canvas.fill(head.on(outline), colour, label)
        if person.bushy:
            for u in np.linspace(0.16, 0.6, 8):
                at = v - arch * np.sin((u - 0.16) / 0.5 * 1.6)
                hair = np.array([(u, at + thick * 0.4), (u + 0.06, at - thick * 0.5)])
                canvas.line(head.on(_flip(hair, side)), 0.004, shade(colour, 0.8))


def draw_mouth(canvas: Canvas, head: Head, person: Person, dice: Dice) -> None:
    """Two lips, and what shows between them."""
    wide = dice.between(0.32, 0.37) + (0.13 if person.smiling else 0.0)
    lift = dice.between(0.19, 0.24) if person.smiling else dice.between(-0.035, 0.0)
    full = dice.between(0.085, 0.115) * (0.9 if person.male else 1.12)
    gap = person.opening * (0.17 if person.smiling else 0.2)
    colour = lip_colour(person)
    x = np.linspace(-1, 1, 17)
    bow = 1 - x**2
    base = MOUTH_V + 0.1 * (head.length - 1.55) - lift * (x**2 - 0.35)  # the corners rise

    def edge(offset: Points) -> Points:
        return np.stack([x * wide, base + offset], axis=1)

    cupid = full * (1.1 * np.sqrt(bow) - 0.28 * np.exp(-((x / 0.16) ** 2)))
    upper, split_top = edge(-cupid - 0.3 * gap * bow), edge(-0.3 * gap * bow)
    split_low, lower = edge(0.7 * gap * bow), edge(0.7 * gap * bow + full * 1.45 * bow**0.75)
    canvas.fill(head.on(np.concatenate([upper, split_top[::-1]])), shade(colour, 0.88), L.U_LIP)
    canvas.fill(head.on(np.concatenate([split_low, lower[::-1]])), colour, L.L_LIP)
    if gap:
        inside = np.concatenate([split_top, split_low[::-1]])
        canvas.fill(head.on(inside), (72, 22, 26), L.MOUTH)
        share = 0.62 if person.smiling else 0.34
        teeth = edge(-0.3 * gap * bow + share * gap * bow)
        canvas.fill(head.on(np.concatenate([split_top[1:-1], teeth[-2:0:-1]])), (240, 236, 226))
    else:
        canvas.fill(head.on(ribbon(split_top, (0.03, 0.035, 0.03))), shade(colour, 0.5))
    if person.lipstick:
        shine = ellipse(0.0, float(lower[8, 1]) - full * 0.7, wide * 0.3, full * 0.22, 10)
        canvas.fill(head.on(shine), mix(colour, (255, 255, 255), 0.45))
    if person.smiling or person.age:
        deep = 0.03 + 0.05 * person.age + (0.02 if person.smiling else 0.0)
        for side in (-1, 1):
            fold = [(0.3, 0.62), (0.47, 0.78), (wide + 0.13, MOUTH_V - lift * 0.4 + 0.06)]
            canvas.fill(head.on(ribbon(_flip(through(fold), side), (0.01, deep, 0.02))), shade(person.skin, 0.7))


def draw_beard(canvas: Canvas, head: Head, person: Person, dice: Dice) -> None:
    """Beards grow on the skin and stay `skin` in the layout, as in CelebAMask-HQ."""
    parts = BEARDS[person.beard]
    colour = mix(shade(person.hair, 0.85), person.skin, 0.1)
    mouth = MOUTH_V + 0.1 * (head.length - 1.55)
    end = head.length
    if "stubble" in parts:
        grey = mix(person.skin, (34, 34, 42), 0.42)
        canvas.fill(head.on(closed(mirrored(_jaw_area(head, mouth)))), grey)
    if "full" in parts:
        canvas.fill(head.on(closed(mirrored(_jaw_area(head, mouth)))), colour)
        _bristles(canvas, head, colour, dice, (-0.8, 0.8), (mouth + 0.1, end - 0.08), 46)
    if "goatee" in parts:
        top = mouth + 0.22
        half = [(0.0, top), (0.2, top + 0.02), (0.33, top + 0.14), (0.3, end - 0.12), (0.16, end), (0.0, end + 0.04)]
        canvas.fill(head.on(closed(mirrored(half))), colour)
        _bristles(canvas, head, colour, dice, (-0.24, 0.24), (top + 0.04, end - 0.1), 16)
    if "mustache" in parts:
        half = [(0.0, mouth - 0.24), (0.2, mouth - 0.26), (0.42, mouth - 0.12), (0.5, mouth + 0.06)]
        half += [(0.38, mouth), (0.2, mouth - 0.07), (0.0, mouth - 0.08)]
        canvas.fill(head.on(closed(mirrored(half)), 0.03), colour)
        _bristles(canvas, head, colour, dice, (-0.36, 0.36), (mouth - 0.22, mouth - 0.12), 14)


def _jaw_area(head: Head, mouth: float) -> list[tuple[float, float]]:
    """The half of the face where a full beard grows, from the ears to the chin."""
    jaw, chin, end = head.jaw, head.chin, head.length
    cheek = [(0.0, mouth - 0.24), (0.4, mouth - 0.24), (0.62, mouth - 0.12), (0.88, 0.5), (1.0, 0.28), (0.99, 0.7)]
    return [*cheek, (jaw + 0.04, 1.08), (0.5 * (jaw + chin), end - 0.16), (chin * 0.75, end + 0.02), (0.0, end + 0.04)]


def _bristles(
    canvas: Canvas, head: Head, colour: Colour, dice: Dice, across: Interval, down: Interval, count: int
) -> None:
    for _ in range(count):
        u, v = dice.between(*across), dice.between(*down)
        u *= 1 - 0.55 * ((v - down[0]) / (down[1] - down[0])) ** 2  # a chin is narrow below
        end = (u + dice.between(-0.03, 0.03) + u * 0.08, v + dice.between(0.06, 0.12))
        canvas.line(head.on(np.array([(u, v), end])), 0.004, shade(colour, dice.between(0.7, 1.35)))


def _flip(points: Points, side: int) -> Points:
    return points * (side, 1)
