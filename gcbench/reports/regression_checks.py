"""Whether recorded scores still hold: what `gcbench regress` is made of. Scores in, verdicts out; measures nothing."""

from collections.abc import Iterator, Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict

from gcbench.core.score import Score

TOLERANCE = 1e-6
"""Two numbers are the same if they differ by at most TOLERANCE + TOLERANCE · |recorded|."""

Stage = Literal["protocol", "ceiling", "floor", "stored samples", "new samples"]


class Check(BaseModel):
    """One recorded number against what it is now.

    metric, column: the number; for the stage `protocol`, the field. recorded, now: its values, where there are such.
    tolerance: by how much they may differ. reason: why it failed or was skipped, where the values do not say it.
    """

    model_config = ConfigDict(extra="forbid")

    stage: Stage
    metric: str
    column: str | None = None
    guidance: float | None = None
    recorded: float | None = None
    now: float | None = None
    tolerance: float | None = None
    status: Literal["pass", "fail", "skip"]
    reason: str | None = None


class Gated(BaseModel):
    """What became of one baseline. notes: what is not the same as when it was recorded, though it may be."""

    model_config = ConfigDict(extra="forbid")

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

    model_config = ConfigDict(extra="forbid")

    runs: list[Gated]

    @property
    def passed(self) -> bool:
        return not any(run.failures for run in self.runs)


def same_scores(
    stage: Stage, guidance: float | None, recorded: Mapping[str, Score], now: Mapping[str, Score]
) -> list[Check]:
    """Every number of every recorded score, its errors and details included, must be the same."""
    checks = []
    for name, column, before in columns(recorded):
        after = find(now, name, column)
        base = Check(stage=stage, metric=name, column=column, guidance=guidance, status="fail", recorded=before.value)
        assert before.value is not None
        margin = allowed(before.value)
        if after is None or after.value is None:
            checks.append(base.model_copy(update={"tolerance": margin, "reason": lost(after)}))
            continue
        there = numbers(after)
        other = [key for key, value in numbers(before).items() if not same(value, there.get(key))]
        reason = None
        if other and "value" not in other:
            key = other[0]
            reason = f"{key}: {numbers(before)[key]} recorded, {there.get(key)} now"
            reason += f", and {len(other) - 1} more" if len(other) > 1 else ""
        found = {"now": after.value, "tolerance": margin, "status": "fail" if other else "pass", "reason": reason}
        checks.append(base.model_copy(update=found))
    return checks


def near_scores(guidance: float | None, recorded: Mapping[str, Score], now: Mapping[str, Score]) -> list[Check]:
    """Every recorded value must be met within its own standard error; without one there is no tolerance to hold to."""
    checks = []
    for name, column, before in columns(recorded):
        after = find(now, name, column)
        base = Check(
            stage="new samples", metric=name, column=column, guidance=guidance, status="fail", recorded=before.value
        )
        assert before.value is not None
        error = before.standard_error
        if after is None or after.value is None:
            found = {"tolerance": error, "reason": lost(after)}
        elif error is None:
            found = {"now": after.value, "status": "skip", "reason": "recorded without a standard error"}
        else:
            margin = max(error, allowed(before.value))
            held = abs(after.value - before.value) <= margin
            found = {"now": after.value, "tolerance": margin, "status": "pass" if held else "fail"}
        checks.append(base.model_copy(update=found))
    return checks


def columns(scores: Mapping[str, Score]) -> Iterator[tuple[str, str | None, Score]]:
    """Every score with a value, and those of the further columns. What was not measured then is no promise."""
    for name, score in scores.items():
        further: list[tuple[str | None, Score]] = [(None, score), *score.also.items()]
        yield from ((name, column, one) for column, one in further if one.value is not None)


def find(scores: Mapping[str, Score], name: str, column: str | None) -> Score | None:
    score = scores.get(name)
    return score if score is None or column is None else score.also.get(column)


def lost(score: Score | None) -> str:
    return "no longer measured" if score is None else f"now {score.status}: {score.reason}"


def numbers(score: Score) -> dict[str, float | None]:
    """All numbers of one score by name, further columns left out."""
    low, high = score.interval or (None, None)
    found: dict[str, float | None] = {
        "value": score.value,
        "standard_error": score.standard_error,
        "interval low": low,
        "interval high": high,
        "n": score.n,
        "unscored": score.unscored,
    }
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
