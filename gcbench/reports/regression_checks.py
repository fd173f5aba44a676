"""Whether recorded scores still hold: what `gcbench regress` is made of. Scores in, verdicts out; measures nothing."""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel

from gcbench.core.score import Score

TOLERANCE = 1e-6
"""Two numbers are the same if they differ by at most TOLERANCE + TOLERANCE · |recorded|."""

PIXELS, GREYS = 0.15, 0.8
"""What samples made anew may differ by from the stored ones: % of the layouts' pixels, RMS grey levels of the images.
Another instruction set changes up to 0.09 % and 0.6 of the bundled baseline, planted faults 0.19 % and 1.3 or more."""

HERE, ELSEWHERE = 0.05, 0.5
"""Standard errors that a score of new samples may move by, on the recorded kind of machine and on another."""

Stage = Literal["protocol", "ceiling", "floor", "stored samples", "new against stored", "new samples"]
Status = Literal["pass", "fail", "skip"]


class Check(BaseModel):
    """One recorded number against what it is now; for the stage `protocol`, metric is the field.

    reason: why it failed or was skipped, where the values do not say it.
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
    runs: list[Gated]

    @property
    def passed(self) -> bool:
        return not any(run.failures for run in self.runs)


def same_scores(
    stage: Stage,
    guidance: float | None,
    recorded: Mapping[str, Score],
    now: Mapping[str, Score],
    errors: float | None = None,
) -> list[Check]:
    """A check of every recorded score with a value, further columns too. What was not measured then is no promise.

    errors: how many of its own standard errors the value may move by, without one there is no tolerance to hold to.
    None: every number of it, its errors and details included, must be the same.
    """
    checks = []
    for name, whole in recorded.items():
        columns: list[tuple[str | None, Score]] = [(None, whole), *whole.also.items()]
        for column, before in columns:
            after = now.get(name) if column is None or name not in now else now[name].also.get(column)
            if before.value is None:
                continue
            error = 0.0 if errors is None else before.standard_error and errors * before.standard_error
            check = Check(stage=stage, metric=name, column=column, guidance=guidance, status="fail")
            check.recorded, check.tolerance = before.value, None if error is None else max(error, allowed(before.value))
            if after is None or after.value is None:
                check.reason = "no longer measured" if after is None else f"now {after.status}: {after.reason}"
            else:
                check.now = after.value
                if errors is None:
                    check.status, check.reason = _verdict(numbers(before), numbers(after))
                elif check.tolerance is None:
                    check.status, check.reason = "skip", "recorded without a standard error"
                elif abs(after.value - before.value) <= check.tolerance:
                    check.status = "pass"
            checks.append(check)
    return checks


def same_samples(guidance: float | None, pixels: float | None, greys: float | None, ungated: str | None) -> list[Check]:
    """Samples made anew against the stored ones: the share of the layouts' pixels that changed in %, and the RMS
    difference of the images in grey levels. None: nothing to compare with. ungated: why they are only shown."""
    checks = []
    for metric, column, now, tolerance in (("layouts", "changed %", pixels, PIXELS), ("images", "RMS", greys, GREYS)):
        if now is not None:
            verdict: Status = "skip" if ungated else "pass" if now <= tolerance else "fail"
            check = Check(stage="new against stored", metric=metric, column=column, guidance=guidance, status=verdict)
            check.recorded, check.now, check.tolerance, check.reason = 0.0, now, tolerance, ungated
            checks.append(check)
    return checks


def _verdict(recorded: Mapping[str, float | None], now: Mapping[str, float | None]) -> tuple[Status, str | None]:
    """Pass or fail; where the value itself agrees, also which other numbers differ."""
    other = [key for key, value in recorded.items() if not same(value, now.get(key))]
    if not other or "value" in other:
        return "fail" if other else "pass", None
    more = f", and {len(other) - 1} more" if len(other) > 1 else ""
    return "fail", f"{other[0]}: {recorded[other[0]]} recorded, {now.get(other[0])} now{more}"


def numbers(score: Score) -> dict[str, float | None]:
    """All numbers of one score by name, further columns left out."""
    low, high = score.interval or (None, None)
    by_name: dict[str, float | None] = {"value": score.value, "standard_error": score.standard_error}
    by_name |= {"interval low": low, "interval high": high, "n": score.n, "unscored": score.unscored}
    for name, part in score.detail.items():
        items = part.items() if isinstance(part, dict) else enumerate(part)
        by_name |= {f"{name} {key}": value for key, value in items}
    return by_name


def allowed(recorded: float) -> float:
    return TOLERANCE + TOLERANCE * abs(recorded)


def same(recorded: float | None, now: float | None) -> bool:
    if recorded is None or now is None:
        return recorded is now
    return abs(now - recorded) <= allowed(recorded)
