"""Light on what is drawn: gains that vary smoothly over skin, hair, cloth and hats.

A field is [H,W] over the pixels of the image, in head coordinates where it follows the head.
"""

from dataclasses import dataclass

import numpy as np

from gcbench.data.faces import labels as L
from gcbench.data.faces.features import MOUTH_V
from gcbench.data.faces.head import Head
from gcbench.data.faces.person import Person
from gcbench.data.random_choices import Dice

FLAT, FACE, HAIR, BODY, HAT = range(5)
MATERIAL = np.zeros(19, np.uint8)
MATERIAL[[L.SKIN, L.NOSE, L.L_EAR, L.R_EAR, L.U_LIP, L.L_LIP, L.MOUTH]] = FACE
MATERIAL[[L.L_EYE, L.R_EYE, L.L_BROW, L.R_BROW]] = FACE
MATERIAL[[L.HAIR]] = HAIR
MATERIAL[[L.NECK, L.CLOTH, L.NECK_L]] = BODY
MATERIAL[[L.HAT]] = HAT


@dataclass(frozen=True)
class Light:
    """x, y: where it comes from, -1..1 (left, above). hard: how dark the other side is. tint: of all colours."""

    x: float
    y: float
    hard: float
    tint: tuple[float, float, float]


def draw_light(dice: Dice) -> Light:
    warm = dice.between(-0.07, 0.07)
    gain = dice.between(0.9, 1.08)
    return Light(
        x=dice.between(-0.8, 0.8),
        y=dice.between(-0.7, -0.2),
        hard=dice.between(0.25, 0.6),
        tint=(gain * (1 + warm), gain, gain * (1 - warm)),
    )


class Fields:
    """Coordinates of the head at every pixel of an image of `size`."""

    def __init__(self, size: tuple[int, int], head: Head):
        height, width = size
        side = min(height, width)
        self.head = head
        x = (np.arange(width, dtype=np.float32) + 0.5 - (width - side) / 2) / side
        y = (np.arange(height, dtype=np.float32) + 0.5 - (height - side) / 2) / side
        dx, dy = (x - head.x) / head.scale, (y - head.y) / head.scale
        c, s = np.float32(np.cos(head.roll)), np.float32(np.sin(head.roll))
        self.u = dx[None, :] * c + dy[:, None] * s  # [H,W]
        self.v = dy[:, None] * c - dx[None, :] * s  # [H,W]
        self.x, self.y = x[None, :], y[:, None]

    def blob(self, u: float, v: float, wide: float, high: float, out: float = 0.0) -> np.ndarray:
        """A soft spot of height 1 around a point of the face, [H,W]."""
        at = (self.head.on(np.array([(u, v)]), out)[0] - (self.head.x, self.head.y)) / self.head.scale
        c, s = np.cos(self.head.roll), np.sin(self.head.roll)
        p, q = np.float32(at[0] * c + at[1] * s), np.float32(at[1] * c - at[0] * s)
        return np.exp(-(((self.u - p) / np.float32(wide)) ** 2) - ((self.v - q) / np.float32(high)) ** 2)


def gains(fields: Fields, light: Light, person: Person) -> np.ndarray:
    """The gain of every material at every pixel, float32 [5,H,W]."""
    head, u, v, blob = fields.head, fields.u, fields.v, fields.blob
    nx, ny = np.clip(u / 1.25, -1, 1), np.clip((v - 0.15) / 1.9, -1, 1)
    nz = np.sqrt(np.maximum(0.0, 1 - nx**2 - ny**2))
    lit = nx * light.x + ny * light.y + nz * 0.75  # [H,W]
    face = 1 + light.hard * (lit - 0.66)
    side = 1.0 if light.x > 0 else -1.0
    for s in (-1, 1):
        face -= 0.13 * blob(s * 0.4, head.brow + 0.16, 0.3, 0.12)  # under the brows
        face += 0.07 * blob(s * 0.55, 0.5, 0.24, 0.22)  # cheekbones
        face -= 0.16 * person.age * blob(s * 0.42, 0.27, 0.24, 0.07)  # bags
    face += 0.13 * blob(0.0, 0.3, 0.07, 0.34, 0.12) + 0.16 * blob(0.02 * side, 0.55, 0.09, 0.08, 0.2)  # nose
    face -= (0.16 + 0.2 * light.hard) * blob(-side * 0.19, 0.36, 0.09, 0.3, 0.1)
    face -= 0.15 * blob(0.0, 0.8, 0.24, 0.07, 0.1)
    face -= 0.12 * blob(0.0, MOUTH_V + 0.22, 0.26, 0.06)  # under the lip
    face += 0.06 * blob(0.0, head.length - 0.22, 0.2, 0.13)
    face += 0.07 * blob(0.0, head.hairline + 0.3, 0.5, 0.22)
    if person.hat:
        face -= 0.3 * np.clip((head.hairline + 0.62 - v) / 0.4, 0, 1)
    elif person.cut != "bald":
        face -= 0.14 * np.clip((head.hairline + 0.3 - v) / 0.3, 0, 1)
    else:
        face += 0.2 * blob(0.15 * side, -0.95, 0.3, 0.14)
    hair = 0.86 + 0.5 * light.hard * lit
    hair += 0.3 * np.exp(-(((np.hypot(u * 0.95 - 0.3 * light.x, v + 0.1) - 1.1) / 0.13) ** 2)) * np.clip(-v, 0, 1)
    hair -= 0.12 * np.clip(v - 0.6, 0, 1)
    down = (fields.y - head.y) / head.scale  # [H,1]
    body = 1 + 0.3 * light.hard * light.x * np.clip(u / 1.6, -1, 1)
    body = body - 0.42 * np.exp(-(((u - head.yaw * 0.6) / 0.75) ** 2) - ((v - head.length - 0.02) / 0.3) ** 2)
    body = body - 0.1 * np.clip(down - 2.2, 0, 1)
    hat = 0.9 + 0.6 * light.hard * lit
    flat = np.ones_like(u)
    return np.stack([flat, face, hair, body * flat, hat]).astype(np.float32)
