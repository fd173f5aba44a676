"""Scores: what is missing stays missing, with its reason."""

import math

import pytest
from pydantic import ValidationError

from gcbench.core.score import Score
from gcbench.statistics.intervals import Jackknife, Mean


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_an_ok_score_has_a_finite_value(value: float | None) -> None:
    with pytest.raises(ValidationError, match="finite value"):
        Score(value=value)


@pytest.mark.parametrize("status", ["skipped", "failed"])
def test_a_missing_score_has_a_reason_and_no_value(status: str) -> None:
    with pytest.raises(ValidationError, match="gives its reason"):
        Score(status=status)  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="no value"):
        Score(status=status, value=0.0, reason="nothing to see")  # type: ignore[arg-type]


def test_missing_survives_a_round_trip() -> None:
    score = Score(value=0.5, n=3, detail={"classes": {"car": 0.5, "train": None}}, also={"x": Score.skipped("no text")})
    again = Score.model_validate_json(score.model_dump_json())
    assert again == score
    assert again.detail["classes"]["train"] is None  # type: ignore[call-overload]
    assert again.also["x"].value is None
    assert again.also["x"].reason == "no text"


def test_skipped_and_failed() -> None:
    skipped, failed = Score.skipped("no layouts", n=4, unscored=2), Score.failed("out of memory", n=4)
    assert (skipped.status, skipped.value, skipped.n, skipped.unscored) == ("skipped", None, 4, 2)
    assert (failed.status, failed.reason) == ("failed", "out of memory")


def test_text() -> None:
    assert Score(value=0.8123, interval=(0.80, 0.82)).text() == "0.812 ± 0.010"
    assert Score(value=42.224).text(1) == "42.2"
    assert Score.skipped("no layouts").text() == "skipped"


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(ValidationError):
        Score(value=1.0, vaule=2.0)  # type: ignore[call-arg]


def test_of_an_estimate() -> None:
    score = Score.of(Mean(0.5, 0.1, (0.3, 0.7)), n=9, unscored=2, detail={"a": [1.0]}, also={"b": Score(value=1.0)})
    assert (score.value, score.standard_error, score.interval, score.n, score.unscored) == (0.5, 0.1, (0.3, 0.7), 9, 2)
    assert (score.status, score.detail, score.also) == ("ok", {"a": [1.0]}, {"b": Score(value=1.0)})
    assert Score.of(Mean(0.5, None, None), n=1, within=(0.0, 1.0)).interval is None


@pytest.mark.parametrize(
    ("within", "interval"),
    [((0.0, 1.0), (0.0, 1.0)), ((0.0, math.inf), (0.0, 1.2)), ((-math.inf, math.inf), (-0.2, 1.2))],
)
def test_the_interval_stays_in_the_range(within: tuple[float, float], interval: tuple[float, float]) -> None:
    score = Score.of(Jackknife(0.5, 0.3, (-0.2, 1.2), []), n=9, within=within)
    assert (score.interval, score.standard_error) == (interval, 0.3)
