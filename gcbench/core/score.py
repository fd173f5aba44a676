"""One measured number, with its interval, or the reason why it is missing."""

import math
from collections.abc import Mapping
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, model_validator

FEW_GROUPS = 20
"""Below so many independent groups, intervals are wide and themselves uncertain: that is said wherever they stand."""

Status = Literal["ok", "skipped", "failed"]


class Estimate(Protocol):
    """What a statistic gives: a value, and its standard error and 95 % interval where there are samples enough."""

    @property
    def value(self) -> float: ...

    @property
    def standard_error(self) -> float | None: ...

    @property
    def interval(self) -> tuple[float, float] | None: ...


class Score(BaseModel):
    """A metric's value on a set of samples. What is missing stays missing: value None, status and reason say why."""

    model_config = ConfigDict(extra="forbid")

    value: float | None = Field(None, description="In the metric's unit; null where it could not be measured.")
    standard_error: float | None = Field(
        None, description="For the expectation of the metric at this n with the reference fixed."
    )
    interval: tuple[float, float] | None = Field(None, description="Ends of the 95 % interval, for the same.")
    n: int = Field(0, description="Images that were scored.")
    groups: int | None = Field(
        None, description="Independent groups among them, which the interval rests on; null where it is not known."
    )
    unscored: int = Field(0, description="Images that could not be scored, such as of a prompt that names no class.")
    status: Status = Field("ok", description="Whether there is a value, and if not, whether it was tried.")
    reason: str | None = Field(None, description="Why there is no value.")
    detail: dict[str, dict[str, float | None] | list[float | None]] = Field(
        default_factory=dict, description="Named maps or lists: per class, what each block of groups adds."
    )
    also: dict[str, "Score"] = Field(
        default_factory=dict, description="Further columns of the metric (precision beside recall), each a score."
    )

    @model_validator(mode="after")
    def _missing_stays_missing(self) -> "Score":
        if self.status == "ok":
            if self.value is None or not math.isfinite(self.value):
                raise ValueError("a score with status ok needs a finite value")
        elif self.value is not None or not self.reason:
            raise ValueError(f"a {self.status} score has no value and gives its reason")
        return self

    @classmethod
    def of(
        cls,
        estimate: Estimate,
        *,
        n: int,
        unscored: int = 0,
        within: tuple[float, float] = (-math.inf, math.inf),
        detail: Mapping[str, Any] | None = None,
        also: Mapping[str, "Score"] | None = None,
    ) -> "Score":
        """An estimate as a score. within: what the value cannot leave, nor then the interval's ends."""
        interval = estimate.interval
        if interval is not None:
            low, high = (min(max(end, within[0]), within[1]) for end in interval)
            interval = (low, high)
        return cls(
            value=estimate.value,
            standard_error=estimate.standard_error,
            interval=interval,
            n=n,
            groups=getattr(estimate, "groups", None),
            unscored=unscored,
            detail=dict(detail or {}),
            also=dict(also or {}),
        )

    @classmethod
    def skipped(cls, reason: str, n: int = 0, unscored: int = 0) -> "Score":
        return cls(status="skipped", reason=reason, n=n, unscored=unscored)

    @classmethod
    def failed(cls, reason: str, n: int = 0) -> "Score":
        return cls(status="failed", reason=reason, n=n)

    def text(self, digits: int = 3) -> str:
        """`0.812 ± 0.010` (the value and half its 95 % interval), or the status."""
        if self.value is None:
            return self.status
        if self.interval is None:
            return f"{self.value:.{digits}f}"
        low, high = self.interval
        return f"{self.value:.{digits}f} ± {(high - low) / 2:.{digits}f}"
