"""Smooth curves through few points, and ribbons along them. Points are arrays [n,2]."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

Points = np.ndarray
"""float64 [n,2]"""


@lru_cache(maxsize=64)
def _weights(n: int, steps: int, closed: bool) -> np.ndarray:
    """Catmull-Rom as a matrix: points of the curve [m,n] from n control points."""
    spans = n if closed else n - 1
    t = np.arange(steps) / steps
    basis = 0.5 * np.stack(
        [-(t**3) + 2 * t**2 - t, 3 * t**3 - 5 * t**2 + 2, -3 * t**3 + 4 * t**2 + t, t**3 - t**2]
    )  # [4,steps]
    weights = np.zeros((spans * steps + (0 if closed else 1), n))
    for span in range(spans):
        for place, row in zip(range(span - 1, span + 3), basis, strict=True):
            at = place % n if closed else min(max(place, 0), n - 1)
            weights[span * steps : (span + 1) * steps, at] += row
    if not closed:
        weights[-1, -1] = 1
    return weights


def closed(points: Sequence[tuple[float, float]], steps: int = 5) -> Points:
    """A smooth outline through the points and back to the first."""
    return _weights(len(points), steps, True) @ np.array(points)


def through(points: Sequence[tuple[float, float]], steps: int = 5) -> Points:
    """A smooth line from the first point to the last."""
    return _weights(len(points), steps, False) @ np.array(points)


def ribbon(line: Points, widths: Sequence[float]) -> Points:
    """The outline of a stroke along `line` [n,2] whose widths change smoothly from the first to the last."""
    step = np.gradient(line, axis=0)  # [n,2]
    length = np.hypot(step[:, 0], step[:, 1]) + 1e-9
    normal = np.stack([-step[:, 1], step[:, 0]], axis=1) / length[:, None]
    half = np.interp(np.linspace(0, len(widths) - 1, len(line)), np.arange(len(widths)), widths) / 2
    side = normal * half[:, None]
    return np.concatenate([line + side, (line - side)[::-1]])


def mirrored(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points and, on the way back, their mirror images; those on the axis u = 0 once."""
    return [*points, *((-u, v) for u, v in reversed(points) if u != 0)]


def ellipse(u: float, v: float, wide: float, high: float, steps: int = 20) -> Points:
    """An ellipse by its centre and half axes."""
    return np.array((u, v)) + _circle(steps) * (wide, high)


@lru_cache(maxsize=8)
def _circle(steps: int) -> Points:
    angle = np.arange(steps) * (2 * np.pi / steps)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)
