"""Where a point of the head stands in the image.

Head coordinates: u to the viewer's right, v down, z towards the viewer; the origin lies between the eyes, the unit is
half the width of the face. Image coordinates: x and y from 0 to 1 over a square; y runs down.
"""

from dataclasses import dataclass
from functools import cached_property
from math import cos, sin

import numpy as np

from gcbench.data.faces.curves import Points

DEPTH = 0.85
"""How far the middle of the face stands before its outline."""


@dataclass(frozen=True)
class Head:
    """x, y: the origin in the image. scale: image units in a unit of the head. Angles in radians.

    roll: towards a shoulder. yaw: to the viewer's right. pitch: down. jaw: half width at the corners of the jaw.
    chin: half width of the chin. length: v of the chin. brow: v of the brows. hairline: v of the forehead's top.
    """

    x: float
    y: float
    scale: float
    roll: float
    yaw: float
    pitch: float
    jaw: float
    chin: float
    length: float
    brow: float
    hairline: float

    @cached_property
    def _turn(self) -> np.ndarray:
        return np.array([[cos(self.roll), sin(self.roll)], [-sin(self.roll), cos(self.roll)]]) * self.scale

    def on(self, points: Points, out: float = 0.0) -> Points:
        """Points of the face's surface, or `out` before it, in the image."""
        u, v = points[:, 0], points[:, 1]
        round_ = np.maximum(0.04, 1 - (u / 1.1) ** 2 - ((v - 0.2) / 1.9) ** 2)
        z = DEPTH * np.sqrt(round_) + out
        return self._image(u * cos(self.yaw) + z * sin(self.yaw), v * cos(self.pitch) + z * sin(self.pitch))

    def around(self, points: Points, z: float = 0.0) -> Points:
        """Points of an outline around the head: its width does not shrink as the head turns."""
        return self._image(points[:, 0] + z * sin(self.yaw), points[:, 1] * cos(self.pitch) + z * sin(self.pitch))

    def outline(self, points: Points) -> Points:
        """Points of the outline of the face: the lower, the further before the ears."""
        u, v = points[:, 0], points[:, 1]
        z = 0.5 * np.clip(v / self.length, 0, 1) ** 1.5
        return self._image(u + z * sin(self.yaw), v * cos(self.pitch) + z * sin(self.pitch))

    def _image(self, u: Points, v: Points) -> Points:
        return np.stack([u, v], axis=1) @ self._turn + (self.x, self.y)  # [n,2]
