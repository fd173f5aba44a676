"""The seeds of `gcbench downstream` summed up: mean and interval of every arm, and paired differences from `real`."""

from collections.abc import Iterator

import numpy as np

from gcbench.core.score import Score
from gcbench.runs.downstream_record import Arm, ArmDifference, ArmName, Downstream
from gcbench.statistics.intervals import Jackknife, group_jackknife, paired_jackknife


def summarise(result: Downstream) -> None:
    """Mean and interval over seeds of every arm, and the paired differences from `real`."""
    over = {(arm.arm, arm.of): _over_seeds(arm) for arm in result.arms}
    for arm in result.arms:
        arm.seeds.sort(key=lambda score: score.seed)
        jack = over[arm.arm, arm.of]
        per_class = {name: _mean(values) for name, values in _by_class(arm)}
        missing = "the layouts of the test images are void everywhere"
        arm.miou = (
            Score.skipped(missing)
            if jack is None
            else Score.of(jack, n=len(arm.seeds), within=(0.0, 1.0), detail={"per_class": per_class})
        )
    result.differences = []
    real = over["real", None]
    for (name, of), jack in over.items():
        if of is not None and jack is not None and real is not None:
            result.differences.append(_difference(name, of, jack, real))


def _over_seeds(arm: Arm) -> Jackknife | None:
    """The mean over seeds. Its jackknife is the textbook's t interval: SE² = s² / S with S - 1 degrees of freedom."""
    scores = sorted(arm.seeds, key=lambda score: score.seed)
    values = [score.miou.value for score in scores if score.miou.value is not None]
    if not values or len(values) < len(scores):
        return None
    return group_jackknife(
        lambda kept: float(np.mean([values[i] for i in kept])), [f"{score.seed:06d}" for score in scores]
    )


def _difference(arm: ArmName, of: str, jack: Jackknife, real: Jackknife) -> ArmDifference:
    difference = paired_jackknife(jack.value - real.value, jack.influence, real.influence)
    seeds = jack.groups or 0
    return ArmDifference(
        arm=arm, of=of, miou=Score.of(difference, n=seeds, within=(-1.0, 1.0)), p_value=difference.p_value
    )


def _by_class(arm: Arm) -> Iterator[tuple[str, list[float]]]:
    """Each class with its IoU at every seed that has one."""
    details = [score.miou.detail.get("per_class") for score in arm.seeds]
    maps = [detail for detail in details if isinstance(detail, dict)]
    for name in maps[0] if maps else ():
        yield name, [value for each in maps if (value := each.get(name)) is not None]


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None
