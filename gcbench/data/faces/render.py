"""From a seed to pixels: a person, a pose and a light, drawn as image and layout at once."""

import numpy as np
from PIL import Image, ImageDraw

from gcbench.data.faces import clothes, colours, features, wear
from gcbench.data.faces import labels as L
from gcbench.data.faces.canvas import SCALE, Canvas, ink, middles, mix, shade
from gcbench.data.faces.hair import Hair
from gcbench.data.faces.head import Head
from gcbench.data.faces.light import FACE, MATERIAL, Fields, Light, draw_light, gains
from gcbench.data.faces.person import Person, draw_person
from gcbench.data.random_choices import Dice

SIZE = (64, 64)
"""The default (H, W)."""
BACKDROP = 24
"""Backdrops are out of focus: they are drawn this small and enlarged."""


def person(seed: np.random.SeedSequence) -> Person:
    return draw_person(Dice(np.random.default_rng(seed)))


def render(seed: np.random.SeedSequence, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The image uint8 [H,W,3] and the layout uint8 [H,W]."""
    dice = Dice(np.random.default_rng(seed))
    who = draw_person(dice)
    head, light = _pose(dice, who), draw_light(dice)
    canvas = Canvas(size, _backdrop(size, dice), L.BACKGROUND)
    _draw(canvas, head, who, dice)
    fine = np.asarray(canvas.layout)  # [S*H,S*W]
    image = _lit(canvas.image, fine, size, head, light, who)
    return _sensor(image, seed), middles(fine).copy()


def _backdrop(size: tuple[int, int], dice: Dice) -> Image.Image:
    """A wall, a blurred room, blurred lights or open air behind the person: RGB, at the fine grid of `size` (H, W)."""
    small = Image.new("RGB", (BACKDROP, BACKDROP))
    pen = ImageDraw.Draw(small)
    base = dice.near(dice.pick(colours.BACKDROPS), 12, 22)
    other = dice.near(dice.pick(colours.BACKDROPS), 12, 22)
    kind = dice.pick(("wall", "wall", "room", "lights", "air"))
    if kind == "air":
        base, other = dice.near((168, 200, 230), 14, 20), dice.near((96, 140, 84), 16, 20)
    horizon = dice.between(0.35, 0.75) * BACKDROP
    for row in range(BACKDROP):
        share = min(max((row - horizon) / 3 + 0.5, 0.0), 1.0) if kind == "air" else 0.6 * row / BACKDROP
        pen.line((0, row, BACKDROP, row), fill=ink(mix(base, other, share)))
    if kind == "room":
        for _ in range(dice.whole(2, 4)):
            left, top = dice.between(-4, BACKDROP), dice.between(-6, 8)
            corner = (left + dice.between(3, 9), top + dice.between(6, 26))
            pen.rectangle((left, top, *corner), fill=ink(dice.near(other, 18, 30)))
    elif kind in ("lights", "air"):
        for _ in range(dice.whole(5, 11)):
            x, y, r = dice.between(0, BACKDROP), dice.between(0, BACKDROP), dice.between(1, 3.4)
            lamp, leaf = mix(base, (255, 236, 190), dice.between(0.25, 0.8)), shade(other, dice.between(0.7, 1.25))
            pen.ellipse((x - r, y - r, x + r, y + r), fill=ink(lamp if kind == "lights" else leaf))
    return small.reduce(2).resize((size[1] * SCALE, size[0] * SCALE), Image.Resampling.BICUBIC)


def _pose(dice: Dice, who: Person) -> Head:
    def lean(limit: float) -> float:
        return limit * (dice.unit() + dice.unit() - 1)

    return Head(
        x=0.5 + lean(0.05),
        y=0.44 + lean(0.03) + (0.04 if who.hat else 0.0),
        scale=dice.between(0.225, 0.258),
        roll=lean(0.16),
        yaw=lean(0.42),
        pitch=lean(0.16),
        jaw=dice.between(0.86, 0.96) if who.male else dice.between(0.74, 0.86),
        chin=dice.between(0.36, 0.48) if who.male else dice.between(0.24, 0.36),
        length=dice.between(1.52, 1.68) if who.male else dice.between(1.44, 1.58),
        brow=dice.between(-0.34, -0.28) if who.male else dice.between(-0.42, -0.34),
        hairline=dice.between(-0.88, -0.78),
    )


def _draw(canvas: Canvas, head: Head, who: Person, dice: Dice) -> None:
    """Far to near."""
    hair, body = Hair(canvas, head, who, dice), clothes.Body(head, who, dice)
    hair.draw_behind()
    clothes.draw_body(canvas, body, who, dice)
    clothes.draw_necklace(canvas, body, who, dice)
    features.draw_ears(canvas, head, who)
    features.draw_face(canvas, head, who)
    features.draw_wrinkles(canvas, head, who)
    features.draw_beard(canvas, head, who, dice)
    wear.draw_lenses(canvas, head, who)
    features.draw_nose(canvas, head, who, dice)
    features.draw_mouth(canvas, head, who, dice)
    features.draw_eyes(canvas, head, who, dice)
    features.draw_brows(canvas, head, who, dice)
    wear.draw_glasses(canvas, head, who, dice)
    hair.draw_before()
    wear.draw_earrings(canvas, head, who, dice)
    wear.draw_hat(canvas, head, who, dice)


def _lit(
    image: Image.Image, fine: np.ndarray, size: tuple[int, int], head: Head, light: Light, who: Person
) -> np.ndarray:
    """The image in its light, averaged down: float32 [H,W,3]."""
    fields = Fields(size, head)
    every = gains(fields, light, who).reshape(-1)  # [5*H*W]
    colours, material = np.asarray(image), MATERIAL[fine].astype(np.int64)
    places = np.arange(size[0] * size[1]).reshape(size)
    out = np.zeros((*size, 3), np.float32)
    for row in range(SCALE):
        for column in range(SCALE):
            part = slice(row, None, SCALE), slice(column, None, SCALE)
            out += colours[part] * every[material[part] * places.size + places][:, :, None]
    out /= SCALE * SCALE
    if who.rosy:
        cheeks = sum(fields.blob(side * 0.56, 0.56, 0.25, 0.2) for side in (-1, 1))
        blush = cheeks * (middles(material) == FACE)  # [H,W]
        out += blush[:, :, None] * np.array([0.13, -0.15, -0.1], np.float32) * max(who.skin)
    out *= np.array(light.tint, np.float32)
    over = np.maximum(out - 215, 0)
    return out - over + over * 40 / (over + 40)  # highlights never burn out


def _sensor(image: np.ndarray, seed: np.random.SeedSequence) -> np.ndarray:
    """A little noise, and whole numbers."""
    entropy = seed.entropy
    assert isinstance(entropy, list | tuple)
    rng = np.random.default_rng([*entropy, 1])
    noise = rng.standard_normal(image.shape[:2], dtype=np.float32)
    return np.clip(np.rint(image + 1.5 * noise[:, :, None]), 0, 255).astype(np.uint8)
