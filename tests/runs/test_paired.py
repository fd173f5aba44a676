"""The paired difference of two numbers, against scipy and by hand."""

import numpy as np
import pytest
from scipy import stats

from gcbench.core.score import Score
from gcbench.runs.paired import Columns, paired, values_of
from gcbench.statistics.intervals import group_jackknife


def mean_of(values: dict[str, float | None]) -> Score:
    scored = [value for value in values.values() if value is not None]
    return Score(value=float(np.mean(scored)), n=len(scored), unscored=len(values) - len(scored))


def named(values: np.ndarray) -> dict[str, float | None]:
    return {f"{place:04d}": float(value) for place, value in enumerate(values)}


def test_values_of_one_number_at_one_scale() -> None:
    columns: Columns = {
        ("", "a", ""): {"0": 0, "1": 4},
        ("1", "b", ""): {"0": 1, "1": 2},
        ("1", "b", "more"): {"0": 11, "1": None},
        ("1.0000012", "a", ""): {"0": 16, "1": 20},
    }
    assert values_of(columns, None, "a") == {"0": 0, "1": 4}
    assert values_of(columns, 1, "b", "more") == {"0": 11, "1": None}
    assert values_of(columns, 1.0000012, "a") == {"0": 16, "1": 20}
    assert values_of(columns, 1.000001, "a") == {}


def test_images_as_a_paired_t_test() -> None:
    rng = np.random.default_rng(0)
    shared = rng.random(60)
    a, b = named(shared + 0.05 + 0.1 * rng.standard_normal(60)), named(shared)
    found = paired(mean_of(a), mean_of(b), a, b)
    x, y = np.array(list(a.values()), float), np.array(list(b.values()), float)
    low, high = stats.ttest_rel(x, y).confidence_interval()
    assert (found.pairing, found.units, found.n, found.reason) == ("images", 60, 60, None)
    assert found.value == pytest.approx((x - y).mean(), rel=1e-12)
    assert found.interval == pytest.approx((low, high), abs=0.1 * (high - low))


def test_groups_are_drawn_whole() -> None:
    """Four equal images of each prompt tell as much as one."""
    rng = np.random.default_rng(1)
    once = named(rng.standard_normal(30))
    four = {f"{name}-{copy}": value for name, value in once.items() for copy in range(4)}
    groups = {name: name[:4] for name in four}
    nothing, none_of_four = dict.fromkeys(once, 0.0), dict.fromkeys(four, 0.0)
    small = paired(mean_of(once), mean_of(nothing), once, nothing)
    large = paired(mean_of(four), mean_of(none_of_four), four, none_of_four, groups)
    assert large.units == 30
    assert large.interval == pytest.approx(small.interval)
    assert paired(mean_of(once), mean_of(nothing), once, nothing, dict.fromkeys(once, "one")).reason


def test_blocks_of_older_records_by_hand() -> None:
    left_a, left_b = [1.0, 2.0, 4.0, 3.0], [1.5, 3.0, 4.5, 4.5]
    a, b = (Score(value=sum(left), n=8, detail={"left_out": list(left)}) for left in (left_a, left_b))
    found = paired(a, b)
    d = np.array(left_a) - np.array(left_b)
    error = np.sqrt(3 / 4 * ((d - d.mean()) ** 2).sum())
    assert found.value == pytest.approx(-3.5)
    assert found.standard_error == pytest.approx(error)
    assert found.interval == pytest.approx(stats.t.interval(0.95, 3, loc=-3.5, scale=error))
    assert (found.pairing, found.units) == ("blocks", 4)


def test_blocks_are_paired_only_where_both_runs_were_cut_by_the_same_groups() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 12))

    def scored(x: np.ndarray, groups: list[str]) -> Score:
        jack = group_jackknife(lambda kept: float(x[kept].mean()), groups)
        return Score.of(jack, n=len(x), detail=jack.detail())

    names = [f"g{i % 6}" for i in range(12)]
    found = paired(scored(a, names), scored(b, names))
    test = stats.ttest_rel((a[:6] + a[6:]) / 2, (b[:6] + b[6:]) / 2)
    assert (found.pairing, found.units) == ("blocks", 6)
    assert found.interval == pytest.approx(test.confidence_interval(), rel=1e-9)
    assert found.p_value == pytest.approx(test.pvalue, rel=1e-9)
    old = Score(value=1.0, n=12, detail={"left_out": [1.0] * 6})
    for other, why in ((scored(b, [f"g{i // 2}" for i in range(12)]), None), (scored(b, names[::-1]), None)):
        assert (paired(scored(a, names), other).reason or "") == (why or "")
    moved = [*names[:11], "g0"]
    assert "the blocks are no partners" in (paired(scored(a, names), scored(b, moved)).reason or "")
    assert "older gcbench" in (paired(scored(a, names), old).reason or "")
    assert "older gcbench" in (paired(old, scored(a, names)).reason or "")


def test_what_cannot_be_paired_keeps_its_difference_and_says_why() -> None:
    a, b = Score(value=3.0, n=8), Score(value=1.0, n=8)
    assert paired(a, b)[0] == 2
    assert "a and b store no values" in (paired(a, b).reason or "")
    assert paired(a, Score.skipped("why")).reason == "a value is missing"
    with_blocks = a.model_copy(update={"detail": {"left_out": [1.0, 2.0]}})
    assert "not the same images" in (paired(with_blocks, with_blocks.model_copy(update={"n": 9})).reason or "")
    values = {"0": 1.0, "1": None, "2": 5.0}
    other = {"0": 1.0, "1": 1.0, "3": 1.0}
    assert "other names" in (paired(mean_of(values), mean_of(other), values, other).reason or "")
    wrong = dict.fromkeys(values, 9.0)  # values of which the score is not the mean are not used
    assert paired(mean_of(values), mean_of(values), wrong, values).pairing is None
