"""Which points of a sweep no other point beats on both axes."""

from collections.abc import Sequence
from typing import Any

from gcbench.core.record import Point, Record
from gcbench.core.registry import registry

REALISM = ("fid", "fd")
CORRESPONDENCE = ("semantic-recall",)


def axes(record: Record) -> tuple[str, str] | None:
    """The metrics of the trade-off (realism, correspondence), the first of each that all points have."""

    def first(names: Sequence[str]) -> str | None:
        for name in names:
            if record.points and all(
                (score := point.scores.get(name)) is not None and score.value is not None for point in record.points
            ):
                return name
        return None

    x, y = first(REALISM), first(CORRESPONDENCE)
    return None if x is None or y is None else (x, y)


def front(values: Sequence[tuple[float, float]]) -> list[bool]:
    """For (cost, gain) points: true where no other has a cost as low and a gain as high, one of them strictly."""
    return [not any((c <= cost and g >= gain) and (c < cost or g > gain) for c, g in values) for cost, gain in values]


def mark(record: Record, rows: Any = None, groups: Any = None, axes_: Any = None) -> None:
    """Set `pareto` on every point; None where the axes cannot be had."""
    found = axes(record)
    if found is None:
        for point in record.points:
            point.pareto = None
        return

    def oriented(point: Point, name: str, better: str) -> float:
        value = point.scores[name].value
        assert value is not None
        return value if registry("metrics")[name].direction == better else -value

    x, y = found
    flags = front([(oriented(p, x, "lower"), oriented(p, y, "higher")) for p in record.points])
    for point, flag in zip(record.points, flags, strict=True):
        point.pareto = flag
