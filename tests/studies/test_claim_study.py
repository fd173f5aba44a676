"""The study that reads the claim's answer: its interval is scipy's, its verdicts those of the rule."""

import numpy as np
import pytest
from scipy import stats

from gcbench.statistics.intervals import student_mean
from studies.claim import answer, differences, verdict


def row(split: str, seed: str, value: float, half: float = 0.01) -> dict[str, str]:
    number = {"value": str(value), "low": str(value - half), "high": str(value + half)}
    return {
        **number,
        "kind": "difference",
        "trained_on": split,
        "guidance": "2",
        "seed": seed,
        "metric": "m",
        "column": "c",
    }


FEW, ALL = (0.08, 0.11, 0.1), (0.05, 0.07, 0.06)
ROWS = [
    *(row("train25", str(seed), value) for seed, value in enumerate(FEW)),
    *(row("train", str(seed), value) for seed, value in enumerate(ALL)),
    row("train", "mean of 3", 9.0),
    {**row("train", "3", 9.0), "guidance": "4"},
]


def test_the_answer_is_students_interval_over_the_seeds() -> None:
    lines = {claim: (mean, said) for claim, mean, said in answer(ROWS, "m", "c")}
    assert list(lines) == ["train", "train25", "train25 less train"]
    for claim, values in (("train", ALL), ("train25", FEW), ("train25 less train", np.subtract(FEW, ALL))):
        mean, said = lines[claim]
        assert mean.value == pytest.approx(np.mean(values))
        expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
        assert mean.interval == pytest.approx((expected.low, expected.high))
        assert said == ("holds" if expected.low > 0 else "open")
    assert differences(ROWS, "train", "2", "m", "c").keys() == {"0", "1", "2"}


@pytest.mark.parametrize(
    ("values", "ends", "said"),
    [
        ((0.5, 0.6, 0.55), [(0.4, 0.7)] * 3, "holds"),
        ((0.5, 0.6, 0.55), [(0.4, 0.7), (-0.2, -0.1), (0.4, 0.7)], "open"),  # a seed's own interval lies below 0
        ((0.5, 0.6, 0.55), [(-0.1, 0.7)] * 3, "holds"),
        ((-0.5, -0.6, -0.55), [(-0.7, -0.4)] * 3, "does not hold"),
        ((0.5, -0.6, 0.1), [], "open"),
        ((0.5,), [], "open"),  # one seed has no interval
    ],
)
def test_the_rule(values: tuple[float, ...], ends: list[tuple[float, float]], said: str) -> None:
    assert verdict(student_mean(values), ends) == said
