"""When a sweep may stop: two scales in a row whose gain in Semantic Recall is surely too small."""

import numpy as np
import pytest

from gcbench.commands.sweep import GAIN, saturated
from gcbench.core.record import Point
from gcbench.runs.run_directory import Rows

N = 40
GROUPS = {f"{i:06d}": f"{i:06d}" for i in range(N)}
BASE = np.random.default_rng(0).uniform(0.3, 0.9, N)


def curve(*levels: float, noise: float = 0.0, seed: int = 0) -> tuple[list[Point], Rows]:
    """Scales 1, 2, 3, … whose recall is `levels` above the first, image by image, with independent noise."""
    rng = np.random.default_rng(seed)
    rows: Rows = {}
    for scale, level in enumerate(levels, 1):
        for i, name in enumerate(GROUPS):
            rows[(f"{scale}", name)] = {"semantic-recall": float(BASE[i] + level + noise * rng.normal())}
    return [Point(guidance=float(scale)) for scale in range(1, len(levels) + 1)], rows


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ((0, 0, 0), True),
        ((0, 0.2, 0.2, 0.2), True),
        ((0, 0.2, 0.15, 0.1), True),  # falling is no gain either
        ((0, GAIN / 2, GAIN), True),
        ((0, 0.1, 0.2), False),
        ((0, 0, 0.1), False),  # the last step gained
        ((0, 0.1, 0.1), False),  # once is not enough
        ((0, 0, 0, 0.1), False),  # what was flat before does not count
        ((0, 2 * GAIN, 4 * GAIN), False),
        ((0, 0), False),
        ((0,), False),
        ((), False),
    ],
)
def test_levels(levels: tuple[float, ...], expected: bool) -> None:
    points, rows = curve(*levels)
    assert saturated(points, rows, GROUPS) is expected


def test_noise_that_could_hide_a_gain_goes_on() -> None:
    """The interval decides, not the mean: no gain on average, but its upper end is above GAIN."""
    points, rows = curve(0, 0, 0, noise=0.1)
    assert not saturated(points, rows, GROUPS)
    points, rows = curve(0, -0.2, -0.4, noise=0.1)
    assert saturated(points, rows, GROUPS)


def test_the_order_of_points_does_not_matter() -> None:
    points, rows = curve(0, 0.2, 0.2, 0.2)
    assert saturated(points[::-1], rows, GROUPS)


def test_unscored_images_are_left_out() -> None:
    points, rows = curve(0, 0, 0)
    for name in list(GROUPS)[3:]:
        rows[("2", name)]["semantic-recall"] = None
    assert saturated(points, rows, GROUPS)
    for name in list(GROUPS)[1:]:
        rows[("2", name)]["semantic-recall"] = None
    assert not saturated(points, rows, GROUPS)  # one image tells nothing
    assert not saturated(points, {}, GROUPS)
    assert not saturated([Point(guidance=None)], rows, GROUPS)
