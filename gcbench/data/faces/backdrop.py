"""What stands behind a person: a wall, a blurred room, blurred lights, or open air."""

from PIL import Image, ImageDraw

from gcbench.data.faces import colours
from gcbench.data.faces.canvas import SCALE, ink, mix, shade
from gcbench.data.streets.dice import Dice

SMALL = 24
"""Backdrops are out of focus: they are drawn this small and enlarged."""


def draw_backdrop(size: tuple[int, int], dice: Dice) -> Image.Image:
    """RGB, at the fine grid of an image of `size` (H, W)."""
    small = Image.new("RGB", (SMALL, SMALL))
    pen = ImageDraw.Draw(small)
    base = dice.near(dice.pick(colours.BACKDROPS), 12, 22)
    other = dice.near(dice.pick(colours.BACKDROPS), 12, 22)
    kind = dice.pick(("wall", "wall", "room", "lights", "air"))
    if kind == "air":
        base, other = dice.near((168, 200, 230), 14, 20), dice.near((96, 140, 84), 16, 20)
    horizon = dice.between(0.35, 0.75) * SMALL
    for row in range(SMALL):
        share = min(max((row - horizon) / 3 + 0.5, 0.0), 1.0) if kind == "air" else 0.6 * row / SMALL
        pen.line((0, row, SMALL, row), fill=ink(mix(base, other, share)))
    if kind == "room":
        for _ in range(dice.whole(2, 4)):
            left, top = dice.between(-4, SMALL), dice.between(-6, 8)
            corner = (left + dice.between(3, 9), top + dice.between(6, 26))
            pen.rectangle((left, top, *corner), fill=ink(dice.near(other, 18, 30)))
    elif kind in ("lights", "air"):
        for _ in range(dice.whole(5, 11)):
            x, y, r = dice.between(0, SMALL), dice.between(0, SMALL), dice.between(1, 3.4)
            lamp, leaf = mix(base, (255, 236, 190), dice.between(0.25, 0.8)), shade(other, dice.between(0.7, 1.25))
            pen.ellipse((x - r, y - r, x + r, y + r), fill=ink(lamp if kind == "lights" else leaf))
    return small.reduce(2).resize((size[1] * SCALE, size[0] * SCALE), Image.Resampling.BICUBIC)
