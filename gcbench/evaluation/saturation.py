"""When a sweep may stop: twice in a row, more guidance surely gained too little."""

from collections.abc import Sequence

from gcbench.core.contracts import Metric
from gcbench.core.errors import UserError
from gcbench.core.record import Point
from gcbench.core.registry import registry
from gcbench.runs.paired import paired, values_of
from gcbench.runs.sample_table import SampleTable


def watched_metric(watch: str | None, metrics: Sequence[str]) -> str:
    """The metric whose gain decides: the named one, else the first of the run's that measures correspondence.
    UserError: it is not measured in this run, or does not say which gain counts."""
    if watch is None:
        watch = next((name for name in metrics if registry("metrics")[name].axis == "correspondence"), None)
        if watch is None:
            raise UserError("--until-saturation watches a metric of correspondence; add one to --metrics")
    if watch not in metrics:
        raise UserError(f"--watch {watch} is not measured in this run; add it to --metrics")
    if registry("metrics")[watch].gain is None:
        raise UserError(f"--watch {watch}: this metric does not say which gain counts; watch another")
    return watch


def saturated(points: Sequence[Point], table: SampleTable, watch: str) -> bool:
    """Whether at the last two scales the paired 95 % interval of the gain in `watch` ended below its `gain`."""
    metric: type[Metric] = registry("metrics")[watch]
    sign = 1 if metric.direction == "higher" else -1
    known = sorted((p for p in points if p.guidance is not None), key=lambda point: point.guidance or 0)
    if len(known) < 3:
        return False
    for before, after in zip(known[-3:-1], known[-2:], strict=True):
        scores = after.scores.get(watch), before.scores.get(watch)
        if scores[0] is None or scores[1] is None:
            return False
        values = [values_of(table.values, point.guidance, watch) for point in (after, before)]
        gain = paired(scores[0], scores[1], values[0], values[1], table.groups)
        if gain.interval is None or metric.gain is None:
            return False
        if max(sign * end for end in gain.interval) >= metric.gain:
            return False
    return True
