"""When a sweep may stop: two scales in a row whose gain in the watched metric is surely too small."""

import numpy as np
import pytest

from gcbench.core.errors import UserError
from gcbench.core.record import Point
from gcbench.core.score import Score
from gcbench.evaluation.saturation import saturated, watched_metric
from gcbench.metrics.semantic_recall import SemanticRecall
from gcbench.runs.sample_table import SampleTable

N = 40
IDS = [f"{i:06d}" for i in range(N)]
BASE = np.random.default_rng(0).uniform(0.3, 0.9, N)
WATCH = "semantic-recall"
GAIN = SemanticRecall.gain


def curve(*levels: float, noise: float = 0.0, seed: int = 0, scored: int = N) -> tuple[list[Point], SampleTable]:
    """Scales 1, 2, 3, … whose recall is `levels` above the first, image by image, with independent noise.

    scored: how many images of the second scale have a value.
    """
    rng = np.random.default_rng(seed)
    table, points = SampleTable(), []
    table.groups = {name: name for name in IDS}
    for scale, level in enumerate(levels, 1):
        values = BASE + level + noise * rng.normal(size=N)
        count = scored if scale == 2 else N
        known = dict(zip(IDS[:count], map(float, values), strict=False))
        table.values[f"{scale}", WATCH, ""] = {**known, **dict.fromkeys(IDS[count:])}
        score = Score(value=float(values[:count].mean()), interval=(0, 2), n=count, unscored=N - count)
        points.append(Point(guidance=float(scale), scores={WATCH: score}))
    return points, table


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
    assert saturated(*curve(*levels), WATCH) is expected


def test_noise_that_could_hide_a_gain_goes_on() -> None:
    """The interval decides, not the mean: no gain on average, but its upper end is above GAIN."""
    assert not saturated(*curve(0, 0, 0, noise=0.1), WATCH)
    assert saturated(*curve(0, -0.2, -0.4, noise=0.1), WATCH)


def test_the_order_of_points_does_not_matter() -> None:
    points, table = curve(0, 0.2, 0.2, 0.2)
    assert saturated(points[::-1], table, WATCH)


def test_unscored_images_are_left_out() -> None:
    assert saturated(*curve(0, 0, 0, scored=3), WATCH)
    assert not saturated(*curve(0, 0, 0, scored=1), WATCH)  # one image tells nothing
    points, _ = curve(0, 0, 0)
    assert not saturated(points, SampleTable(), WATCH)
    assert not saturated([Point(guidance=None)], SampleTable(), WATCH)


def test_a_set_metric_is_watched_by_its_blocks() -> None:
    """mIoU has no value an image: what it says without each block is paired. It falls, so nothing is gained."""
    left = np.linspace(-0.01, 0.01, 10)

    def point(scale: float, value: float) -> Point:
        detail = {"left_out": [value + x for x in left]}
        return Point(guidance=scale, scores={"miou": Score(value=value, interval=(0, 1), n=N, detail=detail)})

    falling = [point(1, 0.5), point(2, 0.45), point(3, 0.4)]
    assert saturated(falling, SampleTable(), "miou")
    rising = [point(1, 0.5), point(2, 0.55), point(3, 0.6)]
    assert not saturated(rising, SampleTable(), "miou")


def test_what_can_be_watched() -> None:
    assert watched_metric(None, ["fd", "semantic-recall", "miou"]) == "semantic-recall"
    assert watched_metric("miou", ["fd", "miou"]) == "miou"
    with pytest.raises(UserError, match="add one to --metrics"):
        watched_metric(None, ["fd", "miou"])
    with pytest.raises(UserError, match="--watch miou is not measured"):
        watched_metric("miou", ["fd"])
    with pytest.raises(UserError, match="does not say which gain counts"):
        watched_metric("fd", ["fd"])
