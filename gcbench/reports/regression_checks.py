"""Whether recorded scores still hold: what `gcbench regress` is made of. Scores in, verdicts out; measures nothing."""

from collections.abc import Callable, Mapping
from typing import Literal

from pydantic import BaseModel

from gcbench.core.score import Score

TOLERANCE = 1e-6
"""Two numbers are the same if they differ by at most TOLERANCE + TOLERANCE · |recorded|."""

Stage = Literal["protocol", "ceiling", "floor", "stored samples", "new samples"]
Status = Literal["pass", "fail", "skip"]
Verdict = tuple[Status, str | None]
"""And why, where the values do not say it."""


class Check(BaseModel):
    """One recorded number against what it is now.

    metric, column: the number; for the stage `protocol`, the field. recorded, now: its values, where there are such.
    tolerance: by how much they may differ. reason: why it failed or was skipped, where the values do not say it.
    """

    stage: Stage
    metric: str
    column: str | None = None
    guidance: float | None = None
    recorded: float | None = None
    now: float | None = None
    tolerance: float | None = None
    status: Status
    reason: str | None = None


class Gated(BaseModel):
    """What became of one baseline. notes: what is not the same as when it was recorded, though it may be."""

    run: str
    checks: list[Check]
    notes: list[str]
    command: str
    seconds: float

    @property
    def failures(self) -> list[Check]:
        return [check for check in self.checks if check.status == "fail"]


class Report(BaseModel):
    """What became of all baselines."""

    runs: list[Gated]

    @property
    def passed(self) -> bool:
        return not any(run.failures for run in self.runs)


def same_scores(
    stage: Stage, guidance: float | None, recorded: Mapping[str, Score], now: Mapping[str, Score]
) -> list[Check]:
    """Every number of every recorded score, its errors and details included, must be the same."""

    def verdict(before: Score, after: Score) -> Verdict:
        recorded, there = numbers(before), numbers(after)
        other = [key for key, value in recorded.items() if not same(value, there.get(key))]
        if not other or "value" in other:
            return "fail" if other else "pass", None
        more = f", and {len(other) - 1} more" if len(other) > 1 else ""
        return "fail", f"{other[0]}: {recorded[other[0]]} recorded, {there.get(other[0])} now{more}"

    return _checks(stage, guidance, recorded, now, lambda value, _: allowed(value), verdict)


def near_scores(guidance: float | None, recorded: Mapping[str, Score], now: Mapping[str, Score]) -> list[Check]:
    """Every recorded value must be met within its own standard error; without one there is no tolerance to hold to."""

    def tolerance(value: float, error: float | None) -> float | None:
        return None if error is None else max(error, allowed(value))

    def verdict(before: Score, after: Score) -> Verdict:
        margin = tolerance(before.value or 0, before.standard_error)
        if margin is None:
            return "skip", "recorded without a standard error"
        return ("pass" if abs((after.value or 0) - (before.value or 0)) <= margin else "fail"), None

    return _checks("new samples", guidance, recorded, now, tolerance, verdict)


def _checks(
    stage: Stage,
    guidance: float | None,
    recorded: Mapping[str, Score],
    now: Mapping[str, Score],
    tolerance: Callable[[float, float | None], float | None],
    verdict: Callable[[Score, Score], Verdict],
) -> list[Check]:
    """A check of every recorded score with a value, further columns too. What was not measured then is no promise."""
    checks = []
    for name, whole in recorded.items():
        columns: list[tuple[str | None, Score]] = [(None, whole), *whole.also.items()]
        for column, before in columns:
            after = now.get(name) if column is None or name not in now else now[name].also.get(column)
            if before.value is None:
                continue
            check = Check(stage=stage, metric=name, column=column, guidance=guidance, status="fail")
            check.recorded, check.tolerance = before.value, tolerance(before.value, before.standard_error)
            if after is None or after.value is None:
                check.reason = "no longer measured" if after is None else f"now {after.status}: {after.reason}"
            else:
                check.now = after.value
                check.status, check.reason = verdict(before, after)
            checks.append(check)
    return checks


def numbers(score: Score) -> dict[str, float | None]:
    """All numbers of one score by name, further columns left out."""
    low, high = score.interval or (None, None)
    found: dict[str, float | None] = {"value": score.value, "standard_error": score.standard_error}
    found |= {"interval low": low, "interval high": high, "n": score.n, "unscored": score.unscored}
    for name, part in score.detail.items():
        items = part.items() if isinstance(part, dict) else enumerate(part)
        found |= {f"{name} {key}": value for key, value in items}
    return found


def allowed(recorded: float) -> float:
    return TOLERANCE + TOLERANCE * abs(recorded)


def same(recorded: float | None, now: float | None) -> bool:
    if recorded is None or now is None:
        return recorded is now
    return abs(now - recorded) <= allowed(recorded)
