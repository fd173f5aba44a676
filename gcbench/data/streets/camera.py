"""Perspective: where a point of the world stands in the image.

World: X metres to the right of the camera, Y metres above the ground, Z metres ahead.
Image: x in [0, 2] and y in [0, 1] downwards, whatever the number of pixels.
"""

from dataclasses import dataclass

NEAR = 2.2
"""Nothing is projected from nearer than this depth."""


@dataclass(frozen=True)
class Camera:
    """vx, vy: the vanishing point. focal: image units at depth 1. height: of the camera."""

    vx: float
    vy: float
    focal: float
    height: float

    def point(self, x: float, y: float, z: float) -> tuple[float, float]:
        s = self.focal / z
        return self.vx + x * s, self.vy + (self.height - y) * s

    def scale(self, z: float) -> float:
        """Image units in a metre at depth z."""
        return self.focal / z
