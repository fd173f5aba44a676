"""The two axes of a trade-off, and which points of a sweep no other point beats on them."""

from collections.abc import Mapping, Sequence

from gcbench.core.errors import UserError
from gcbench.core.record import Point, Record
from gcbench.reports.record_table import declared
from gcbench.reports.table import missing
from gcbench.runs.paired import Columns, paired, values_of

Axes = tuple[str, str]
"""Names of two metrics, (cost, gain)."""


def trade_off(record: Record, axes: Axes | None = None) -> Axes | None:
    """The axes of the record's curve, of the metrics that it has: as `axes_of`.

    None where a point lacks one of them; UserError for a metric that was asked for and is not in the record.
    """
    names = dict.fromkeys(name for point in record.points for name in point.scores)
    if axes is not None and names and (unknown := next((name for name in axes if name not in names), None)):
        raise UserError(f"--axes {','.join(axes)}: {unknown} was not measured here; choose two of {', '.join(names)}")
    axes = axes_of([*names], axes)
    complete = not any(missing(point.scores.get(name)) for point in record.points for name in axes)
    return axes if names and complete else None


def axes_of(names: Sequence[str], axes: Axes | None = None) -> Axes:
    """Those asked for, else the first metric of realism and the first of correspondence; "" where there is none."""
    first = {getattr(declared(name), "axis", None): name for name in reversed(names)}
    return axes or (first.get("realism", ""), first.get("correspondence", ""))


def front(*better: Sequence[Sequence[int]]) -> list[bool]:
    """Which points are on the front, by `better[axis][i][j]`: 1 if i is better than j there, -1 if worse, 0 if neither.

    A point is off it if another is better on one axis and not worse on the other.
    """

    def beats(i: int, j: int) -> bool:
        signs = [axis[i][j] for axis in better]
        return max(signs) > 0 and min(signs) >= 0

    places = range(len(better[0]))
    return [not any(beats(j, i) for j in places if j != i) for i in places]


def mark(
    record: Record, values: Columns | None = None, groups: Mapping[str, str] | None = None, axes: Axes | None = None
) -> None:
    """Set `pareto` on every point; None where the axes cannot be had. values, groups: of per_sample.csv."""
    chosen = trade_off(record, axes)
    flags: Sequence[bool | None] = [None] * len(record.points)
    if chosen is not None:
        flags = front(*(_better(record.points, name, values or {}, groups or {}) for name in chosen))
    for point, flag in zip(record.points, flags, strict=True):
        point.pareto = flag


def _better(points: Sequence[Point], metric: str, columns: Columns, groups: Mapping[str, str]) -> list[list[int]]:
    """For `front`: 1 where i beats j beyond the paired 95 % interval (without one: by the values), -1 if it loses."""
    way = 1 if getattr(declared(metric), "direction", "higher") == "higher" else -1
    scores = [point.scores[metric] for point in points]
    values = [values_of(columns, point.guidance, metric) for point in points]
    out = [[0] * len(points) for _ in points]
    for i in range(len(points)):
        for j in range(i):
            difference = paired(scores[i], scores[j], values[i], values[j], groups)
            low, high = difference.interval or (difference.value or 0.0,) * 2
            out[i][j] = way * ((low > 0) - (high < 0))
            out[j][i] = -out[i][j]
    return out
