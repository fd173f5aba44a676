"""Records by the split that their model was trained on: what the figures of smaller training sets are made of.

Several trainings of one model on one split that differ in nothing but their seed are shown as their mean.
"""

from collections.abc import Mapping
from typing import NamedTuple

from gcbench.core.contracts import Dataset
from gcbench.core.errors import UserError
from gcbench.core.record import Point, Record
from gcbench.core.run_spec import guidance_text
from gcbench.reports.over_seeds import mean_scores


class Trained(NamedTuple):
    """One model on one split. by_run: name of the run directory -> record; several are trainings with other seeds."""

    by_run: dict[str, Record]

    @property
    def first(self) -> Record:
        return next(iter(self.by_run.values()))

    @property
    def label(self) -> str:
        """The run's name, or of how many runs a mean is."""
        return next(iter(self.by_run)) if len(self.by_run) == 1 else f"mean of {len(self.by_run)}"

    @property
    def scales(self) -> list[float | None]:
        """The guidance scales that every training was measured at, in order."""
        own = [{point.guidance for point in record.points} for record in self.by_run.values()]
        return sorted(set.intersection(*own), key=lambda scale: scale or 0)

    @property
    def lone_scales(self) -> list[float | None]:
        """Those that some training was measured at, and not every one."""
        own = {point.guidance for record in self.by_run.values() for point in record.points}
        return sorted(own - set(self.scales), key=lambda scale: scale or 0)

    def at(self, scale: float | None) -> dict[str, Point]:
        """Name of the run directory -> its point at a scale."""
        return {
            name: point for name, record in self.by_run.items() for point in record.points if point.guidance == scale
        }

    @property
    def points(self) -> list[Point]:
        """A point a scale of `scales`: the run's own, or the means over trainings with Student's t intervals."""
        if len(self.by_run) == 1:
            return sorted(self.first.points, key=lambda point: point.guidance or 0)
        means = []
        for scale in self.scales:
            scores = {place: point.scores for place, point in enumerate(self.at(scale).values())}
            means.append(Point(guidance=scale, scores=mean_scores(scores, list(scores))))  # type: ignore[arg-type]
        return means


class BySplit(NamedTuple):
    """records: split, the smallest first -> model -> its trainings. shares: split -> its pairs in per cent of the whole
    training split's."""

    records: dict[str, dict[str, Trained]]
    shares: dict[str, float]
    left_out: list[str]

    @property
    def models(self) -> list[str]:
        return list(dict.fromkeys(model for trained in self.records.values() for model in trained))

    @property
    def most(self) -> int:
        """Trainings of the model and split that have most."""
        return max(len(trained.by_run) for models in self.records.values() for trained in models.values())

    def title(self, split: str) -> str:
        return f"{self.shares[split]:.0f} % of the pairs ({split})"


def by_split(records: Mapping[str, Record], dataset: Dataset, remedy: str) -> BySplit:
    """The trainings of each model and split, by what the records say; what is not shown, and parts without a record.
    UserError: no record says its split; with `remedy`."""
    known = {name: len(dataset.ids(name)) for name in (*dataset.parts, *dataset.splits[:-1])}
    trainings: dict[str, dict[str, Trained]] = {}
    left_out = []
    for name, record in records.items():
        split, model = record.training.split if record.training else None, record.model.name
        if split is None:
            left_out.append(f"{name}: its record does not say on which split its model was trained")
            continue
        if split not in known:
            left_out.append(f"{name}: trained on {split}, which is no training split of {dataset.name}")
            continue
        trained = trainings.setdefault(split, {}).setdefault(model, Trained({}))
        if reason := trained.by_run and _no_other_seed(record, trained.by_run):
            left_out.append(f"{name}: {next(iter(trained.by_run))} is of {model} on {split} too, {reason}")
        else:
            trained.by_run[name] = record
    if not trainings:
        raise UserError(f"no record to draw for {dataset.name} ({'; '.join(left_out)}); {remedy}")
    for split, models in trainings.items():
        for model, trained in models.items():
            scales = ", ".join(guidance_text(scale) or "none" for scale in trained.lone_scales)
            left_out += [f"{model} on {split} at guidance {scales}: not measured for every training"] * bool(scales)
    splits = (*dataset.parts, dataset.splits[0])
    left_out += [f"{split}: no record of a model that was trained on it" for split in splits if split not in trainings]
    order = sorted(trainings, key=lambda split: known[split])
    whole = known[dataset.splits[0]]
    return BySplit(
        {split: trainings[split] for split in order},
        {split: 100 * known[split] / whole for split in order},
        left_out,
    )


def _no_other_seed(record: Record, others: Mapping[str, Record]) -> str:
    """Why a record is not of another seed of the same training."""
    weights = record.model.weights
    if weights is None or any(weights == other.model.weights for other in others.values()):
        return "and nothing says that its weights are others"
    first = next(iter(others.values()))
    facts = {
        "images seen": (record.training and record.training.images, first.training and first.training.images),
        "parameters": (record.model.parameters, first.model.parameters),
        "sampler": (record.protocol.sampler, first.protocol.sampler),
    }
    differences = [f"{what} {mine} against {theirs}" for what, (mine, theirs) in facts.items() if mine != theirs]
    return f"and differs in more than the seed: {'; '.join(differences)}" if differences else ""
