"""One pass for all metrics: a batch of pictures goes once through each evaluator, its features to each metric."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from gcbench.core.contracts import Dataset, Evaluator, Metric, Size, Task
from gcbench.core.errors import UserError
from gcbench.core.registry import registry
from gcbench.core.samples import Features, Samples
from gcbench.core.score import Score

BATCH = 16
"""Real pictures judged together."""


class Judges(NamedTuple):
    """evaluators: by role. missing: role -> why it is not here and how to get it."""

    evaluators: dict[str, Evaluator]
    missing: dict[str, str]

    def features(self, samples: Samples) -> dict[str, Features]:
        return {role: judge(samples.images) for role, judge in self.evaluators.items()}


def open_judges(dataset: Dataset, metrics: Sequence[str], specs: Sequence[str], device: str) -> Judges:
    """The evaluators that `metrics` need. `specs`: `ROLE=ID[@FILE]`, as `--evaluator` takes them.

    A role whose evaluator cannot be had is missing, unless it was asked for by name: then its error stands.
    """
    known, asked = registry("evaluators"), {}
    for spec in specs:
        role, equals, rest = spec.partition("=")
        if not equals:
            raise UserError(f"--evaluator {spec!r} lacks '='; write --evaluator ROLE=ID[@FILE]")
        known[role]  # an unknown role is an error with near names
        asked[role] = rest
    evaluators, missing = {}, {}
    for role in dict.fromkeys(role for name in metrics for role in registry("metrics")[name].roles):
        if role not in known:
            missing[role] = f"no evaluator is registered for the role {role!r}"
            continue
        try:
            evaluators[role] = known[role].open(dataset, spec=asked.get(role), device=device)
        except UserError as error:
            if role in asked:
                raise
            missing[role] = str(error)
    return Judges(evaluators, missing)


class Scoring:
    """The metrics of a run: their references, and fresh instances for each set of samples."""

    def __init__(self, dataset: Dataset, names: Sequence[str], judges: Judges):
        self.task = Task(dataset.classes, dataset.void, dataset.aliases)
        self.judges = judges
        self.metrics: dict[str, Metric] = {}
        self.missing: dict[str, str] = {}
        for name in names:
            metric = registry("metrics")[name]
            lacking = [judges.missing[role] for role in metric.roles if role in judges.missing]
            if lacking:
                self.missing[name] = lacking[0]
            else:
                self.metrics[name] = metric(self.task)

    @property
    def thresholds(self) -> dict[str, float]:
        return {
            f"{name}.{key}": value for name, metric in self.metrics.items() for key, value in metric.thresholds.items()
        }

    def start(self) -> dict[str, Metric]:
        """Metrics without samples, on this run's references."""
        return {name: metric.fresh() for name, metric in self.metrics.items()}

    def finish(self, metrics: Mapping[str, Metric]) -> dict[str, Score]:
        """Every asked metric's score, those that cannot be measured with their reason."""
        scores = {name: metric.compute() for name, metric in metrics.items()}
        return {**scores, **{name: Score.skipped(reason) for name, reason in self.missing.items()}}

    def update(self, metrics: Mapping[str, Metric], samples: Samples) -> None:
        features = self.judges.features(samples)
        for metric in metrics.values():
            metric.update(samples, features)


def real_samples(dataset: Dataset, split: str, indices: Sequence[int], size: Size, start: int = 0) -> Samples:
    """Real pairs with their first caption. Sample ids count from `start`; groups are the dataset's."""
    pairs = [dataset.pair(split, index, size) for index in indices]
    groups = dataset.groups(split)
    return Samples(
        torch.from_numpy(np.stack([image for image, _ in pairs])).permute(0, 3, 1, 2).contiguous(),
        torch.from_numpy(np.stack([layout for _, layout in pairs])).long(),
        "real",
        tuple(dataset.captions(split, index)[0] for index in indices),
        tuple(f"{start + i:06d}" for i in range(len(indices))),
        tuple(groups[index] for index in indices),
    )


def batches(items: Sequence[int], size: int) -> Iterator[tuple[int, Sequence[int]]]:
    """(start, part) for parts of `size` items."""
    for start in range(0, len(items), size):
        yield start, items[start : start + size]


def pairs_matter(metric: Metric) -> bool:
    """Whether permuting captions and layouts among pictures can change the metric."""
    return "prompts" in metric.needs or {"images", "layouts"} <= metric.needs


class Bounds(NamedTuple):
    ceiling: dict[str, Score]
    floor: dict[str, Score]
    reference_n: int


def measure_real(
    scoring: Scoring, dataset: Dataset, split: str, size: Size, chosen: Sequence[int], tick=lambda count: None
) -> Bounds:
    """Fill the metrics' references with the whole split, and measure ceiling and floor, in one pass over it.

    Ceiling: the `chosen` pictures (at most half the split) with their own captions and layouts; for metrics with a
    reference, against the rest of the split, so that no picture stands on both sides. Floor: the same pictures with
    captions and layouts permuted among them.
    """
    everything = list(range(len(dataset.ids(split))))
    if len(everything) < 4:
        raise UserError(f"the split {split!r} of {dataset.name} has {len(everything)} pictures; at least 4 are needed")
    held = (
        sorted(set(chosen))[: len(everything) // 2] if len(set(chosen)) > len(everything) // 2 else sorted(set(chosen))
    )
    rest = sorted(set(everything) - set(held))
    against_rest = {name: type(metric)(scoring.task) for name, metric in scoring.metrics.items()}
    shuffled = {name: metric.fresh() for name, metric in against_rest.items() if pairs_matter(metric)}
    order = np.random.default_rng(0).permutation(len(held))
    other = dict(zip(order.tolist(), np.roll(order, 1).tolist(), strict=True))  # a permutation without fixed points
    for part, is_held in ((rest, False), (held, True)):
        for start, indices in batches(part, BATCH):
            samples = real_samples(dataset, split, indices, size, start + (0 if is_held else len(held)))
            features = scoring.judges.features(samples)
            for name, metric in scoring.metrics.items():
                if "reference" in metric.needs:
                    metric.update_reference(samples, features)
                    if not is_held:
                        against_rest[name].update_reference(samples, features)
            if is_held:
                for metric in against_rest.values():
                    metric.update(samples, features)
                swapped = real_samples(dataset, split, [held[other[start + i]] for i in range(len(indices))], size)
                mixed = replace(samples, prompts=swapped.prompts, layouts=swapped.layouts)
                for metric in shuffled.values():
                    metric.update(mixed, features)
            tick(len(indices))
    floor = {
        name: shuffled[name].compute() if name in shuffled else Score.skipped("pairing does not enter this metric")
        for name in scoring.metrics
    }
    missing = {name: Score.skipped(reason) for name, reason in scoring.missing.items()}
    ceiling = {name: metric.compute() for name, metric in against_rest.items()}
    return Bounds({**ceiling, **missing}, {**floor, **missing}, len(everything))
