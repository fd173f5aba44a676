"""One pass for all metrics: a batch of images goes once through each evaluator, its features to each metric."""

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from gcbench.core.contracts import Dataset, Evaluator, Metric, Task
from gcbench.core.errors import PluginError, UserError, calling
from gcbench.core.reference import Reference
from gcbench.core.registry import in_file, registry, split_evaluator
from gcbench.core.run_spec import check_evaluators
from gcbench.core.samples import Features, Samples
from gcbench.core.score import Score
from gcbench.evaluation.feature_cache import ReferenceFeatures
from gcbench.evaluation.real_sets import RealSets, refusal
from gcbench.runs.progress import say

Tick = Callable[[int], object]

BATCH = 16
"""Real images evaluated together."""

SEGMENTER = "segmenter"
"""The role that reads layouts from images."""


class EvaluatorSet(NamedTuple):
    """by_role: the evaluators. missing: role -> why it is not here and how to get it. named: the roles for which the
    user named one."""

    by_role: dict[str, Evaluator]
    missing: dict[str, str]
    named: frozenset[str] = frozenset()

    def features(self, samples: Samples) -> dict[str, Features]:
        """What every evaluator says of the samples: each image and each text goes through a network once."""
        features = {}
        for role, evaluator in self.by_role.items():
            with calling(f"evaluator {role}"):
                features[role] = evaluator(samples.images)
        return self.reread(features, samples.prompts)

    def reread(self, features: Mapping[str, Features], prompts: Sequence[str] | None) -> dict[str, Features]:
        """The same images' features beside those of other prompts."""
        reread = {}
        for role, evaluator in self.by_role.items():
            with calling(f"evaluator {role}"):
                reread[role] = replace(features[role], texts=evaluator.read(prompts) if prompts else None)
        return reread


def roles_of(metric: type[Metric], derives: bool, named: Collection[str]) -> tuple[str, ...]:
    """The evaluators that a metric needs, the user having named some; for a model that derives its layouts, also the
    one that reads them."""
    roles = metric.roles_where(named)
    return (*roles, SEGMENTER) if derives and "layouts" in metric.needs else roles


def open_evaluators(
    dataset: Dataset, metrics: Sequence[str], specs: Sequence[str], device: str, derives: bool = False
) -> EvaluatorSet:
    """The evaluators that `metrics` need. `specs`: `ROLE=ID[@FILE]`, as `--evaluator` takes them. derives: whether the
    segmenter reads the layouts, too.

    A role whose evaluator cannot be had is missing, unless it was asked for by name: then its error stands.
    """
    known, asked = registry("evaluators"), check_evaluators(specs)
    evaluators, missing = {}, {}
    roles = dict.fromkeys(role for name in metrics for role in roles_of(registry("metrics")[name], derives, asked))
    for role in asked.keys() - roles.keys():
        say(f"--evaluator {role}={asked[role]} is not used: no metric of this run asks for {role}.")
    for role in roles:
        if role not in known and role not in asked:
            missing[role] = f"no evaluator is registered for the role {role!r}"
            continue
        try:
            evaluators[role] = open_evaluator(role, asked.get(role), dataset, device)
        except PluginError:
            raise
        except UserError as error:
            if role in asked:
                raise
            missing[role] = str(error)
    return EvaluatorSet(evaluators, missing, frozenset(asked))


def open_evaluator(role: str, text: str | None, dataset: Dataset, device: str) -> Evaluator:
    """What `--evaluator ROLE=TEXT` asks for. One from a file has the file's hash in its id, so that an edited one is
    another evaluator."""
    name, spec = split_evaluator(role, text)
    kind = registry("evaluators")[name]
    file = in_file(name)
    if file is not None and kind.role != role:
        raise UserError(f"--evaluator {role}={text}: {file.attribute} is for the role {kind.role!r}; give it that one")
    with calling(f"evaluator {role}"):
        evaluator = kind.open(dataset, spec=spec, device=device)
    if file is not None:
        evaluator.id = f"{evaluator.id} {file.origin}"
    return evaluator


class Scoring:
    """The metrics of a run: their references, and fresh instances for each set of samples.

    derives: the samples' layouts are what the segmenter reads in them. given: what of the samples was given to their
    model, `images` or `layouts`. sets: real images beside those of the prompts' split. further: sample -> texts beside
    its prompt, with each of which the metrics that read prompts measure it again, as the sample `NAME#2` and on, of the
    same group. real: digests of the reference's images and layouts; shown: of the samples since `start`; sources: of
    their layouts. What stands on both sides makes a distance too small, down to 0.
    """

    def __init__(
        self,
        dataset: Dataset,
        names: Sequence[str],
        evaluators: EvaluatorSet,
        derives: bool = False,
        given: str | None = None,
        sets: RealSets = RealSets(),  # noqa: B008
    ):
        self.sets = sets
        self.task = replace(Task.of(dataset), named=evaluators.named)
        self.evaluators, self.given = evaluators, given
        reader = evaluators.by_role.get(SEGMENTER) if derives else None
        self.derived = None if reader is None else f"derived:{reader.id}"
        self.metrics: dict[str, Metric] = {}
        self.missing: dict[str, str] = {}
        for name in names:
            metric = registry("metrics")[name]
            roles = roles_of(metric, derives, evaluators.named)
            lacking = [evaluators.missing[role] for role in roles if role in evaluators.missing]
            if "layouts" in metric.needs and not dataset.has_layouts:
                lacking = [f"{dataset.name} has no layouts"]
            if lacking:
                self.missing[name] = lacking[0]
            else:
                check_declarations(name, metric)
                with calling(f"metric {name}"):
                    instance = metric(self.task)
                    if reason := self._unmeasurable(instance):
                        self.missing[name] = reason
                    else:
                        self.metrics[name] = instance
        self.real: set[bytes] = set()
        self.shown: list[bytes] = []
        self.sources: set[str] = set()
        self.further: Mapping[str, Sequence[str]] = {}

    def _unmeasurable(self, metric: Metric) -> str | None:
        """Why a metric cannot be had from the real images that there are; what is summed up it takes here."""
        against, training = self.sets
        if "training" in metric.needs and training is None:
            return "there is no other split than that of the prompts, so no images that a model was trained on"
        if against is None or "reference" not in metric.needs:
            return None
        if "training" in metric.needs and training is not None and against.name == training.split:
            return "the reference is what the model was trained on; it needs images that were held out"
        images, summed = against.images, against.summed
        if summed is None:
            lacking = "layouts" in metric.needs and images is not None and not images.dataset.has_layouts
            return "the images of the reference have no layouts" if lacking else None
        if metric.roles and (reason := refusal(against, metric.roles[0], self.evaluators.by_role[metric.roles[0]].id)):
            return reason
        if metric.take_moments(summed.mean, summed.covariance, against.n):
            return None
        return "the reference is a mean and a covariance, and this needs the real images themselves"

    @property
    def real_count(self) -> int:
        """Real images that are looked at beside those of the prompts' split."""
        against = self.sets.against
        count = len(against.images) if against is not None and against.images is not None else 0
        return count + (len(self.training) if self.training is not None else 0)

    @property
    def training(self) -> Reference | None:
        """The images that were trained on, if a metric asks for them."""
        asked = any("training" in metric.needs for metric in self.metrics.values())
        return self.sets.training if asked else None

    @property
    def thresholds(self) -> dict[str, float]:
        named = self.metrics.items()
        return {f"{name}.{key}": value for name, metric in named for key, value in metric.thresholds.items()}

    @property
    def readers(self) -> dict[str, str]:
        """Metric -> role of the evaluator that takes the place of its own."""
        named = self.metrics.items()
        return {name: metric.roles[0] for name, metric in named if metric.roles != type(metric).roles}

    def start(self) -> dict[str, Metric]:
        """Metrics without samples, on this run's references, for a new set of samples."""
        self.shown, self.sources = [], set()
        return self.fresh()

    def fresh(self) -> dict[str, Metric]:
        """Metrics without samples, for a part of the same set."""
        return {name: metric.fresh() for name, metric in self.metrics.items()}

    def finish(self, metrics: Mapping[str, Metric]) -> dict[str, Score]:
        """Every asked metric's score, those that cannot be measured with their reason."""
        scores = {name: self._not_drawn(metric) or computed(name, metric) for name, metric in metrics.items()}
        return {**scores, **{name: Score.skipped(reason) for name, reason in self.missing.items()}}

    def _not_drawn(self, metric: Metric) -> Score | None:
        """Why a number says nothing of the model: all that it reads was given, or is the reference's own."""
        n, given = len(self.shown), {self.given, *(["layouts"] if "given" in self.sources else [])}
        if (parts := metric.needs & {"images", "layouts"}) and parts <= given:
            part = min(parts)
            return Score.skipped(f"the {part} were given to the model, and this number is of {part} alone", n)
        if "reference" not in metric.needs:
            return None
        own, layouts = (sum(_halves(digest)[part] in self.real for digest in self.shown) for part in (0, 1))
        if own:
            reason = f"of the {n} images {own} are the reference's own; the ceiling is what real ones reach"
            return Score.skipped(reason, n)
        if "layouts" not in metric.needs:
            return None
        if "real" in self.sources:
            return Score.skipped("the layouts are real ones; the ceiling is what these reach", n)
        if 2 * layouts > n:  # few may be so by chance, such as one that is all sky
            reason = f"of the {n} layouts {layouts} are the reference's own; add --given if a model drew on them"
            return Score.skipped(reason, n)
        return None

    def update(self, metrics: Mapping[str, Metric], samples: Samples) -> None:
        self.shown += digests(samples)
        if samples.layout_source is not None:
            self.sources.add(samples.layout_source)
        features = self.evaluators.features(samples)
        if self.derived is not None:
            samples = replace(samples, layouts=features[SEGMENTER].labels, layout_source=self.derived)
        for name, metric in metrics.items():
            with calling(f"metric {name}"):
                metric.update(samples, features)
        self._with_further_texts(metrics, samples, features)

    def _with_further_texts(
        self, metrics: Mapping[str, Metric], samples: Samples, features: Mapping[str, Features]
    ) -> None:
        named = enumerate(samples.ids)
        more = [(row, i, text) for row, name in named for i, text in enumerate(self.further.get(name, ()), 2)]
        reading = {name: metric for name, metric in metrics.items() if "prompts" in metric.needs}
        if not more or not reading:
            return
        rows, texts = [row for row, _, _ in more], tuple(text for _, _, text in more)
        again = samples.take(rows)
        ids = tuple(f"{name}#{i}" for name, (_, i, _) in zip(again.ids, more, strict=True))
        again = replace(again, prompts=texts, ids=ids)
        taken = self.evaluators.reread({role: of_role.take(rows) for role, of_role in features.items()}, texts)
        for name, metric in reading.items():
            with calling(f"metric {name}"):
                metric.update(again, taken)


def check_declarations(name: str, metric: type[Metric]) -> None:
    """Refuse a metric that does not say of itself what the engine must know."""

    def numbers(values: Any) -> bool:
        return all(isinstance(value, int | float) for value in values)

    rules: dict[str, Callable[[Any], bool]] = {
        **dict.fromkeys(("title", "unit", "summary"), lambda value: isinstance(value, str)),
        "direction": lambda value: value in ("higher", "lower"),
        "axis": lambda value: value in ("realism", "correspondence", None),
        "needs": lambda value: set(value) <= {"images", "layouts", "prompts", "reference", "training"},
        "range": lambda value: numbers(value) and value[0] < value[1],
        "scale": lambda value: numbers(value.values()),
        "headline": lambda value: all(isinstance(column, str) for column in value),
    }
    for field, fits in rules.items():
        value = getattr(metric, field, None)
        with calling(f"metric {name}, its {field},"):
            if not fits(value):
                raise UserError(f"metric {name} declares {field} as {value!r}, which is not as the contract says")


def computed(name: str, metric: Metric) -> Score:
    """The metric's score, its parts checked."""
    with calling(f"metric {name}"):
        score = metric.compute()
        if not isinstance(score, Score):
            raise UserError(f"metric {name} computed {type(score).__name__}, not gcbench.core.score.Score; return one")
        score = Score.model_validate(score.model_dump())
    low, high = metric.range
    if score.value is not None and not low - 1e-9 <= score.value <= high + 1e-9:
        return Score.failed(f"its value {score.value:g} is outside its range of {low:g} to {high:g}", score.n)
    return score


def digests(samples: Samples) -> list[bytes]:
    """What tells each image from every other, then each layout, if it has one."""
    layouts = [None] * len(samples) if samples.layouts is None else samples.layouts
    return [
        b"".join(hashlib.sha256(b"" if part is None else part.cpu().numpy().tobytes()).digest() for part in pair)
        for pair in zip(samples.images, layouts, strict=True)
    ]


def _halves(digest: bytes) -> tuple[bytes, bytes]:
    return digest[: len(digest) // 2], digest[len(digest) // 2 :]


def batches(n: int) -> Iterator[range]:
    """The places 0..n-1, BATCH at a time."""
    return (range(start, min(start + BATCH, n)) for start in range(0, n, BATCH))


def pairs_matter(metric: Metric) -> bool:
    """Whether permuting captions and layouts among images can change the metric."""
    return "prompts" in metric.needs or {"images", "layouts"} <= metric.needs


class Bounds(NamedTuple):
    ceiling: dict[str, Score]
    floor: dict[str, Score]


def held_out(groups: Sequence[str], n: int) -> tuple[list[int], list[int]]:
    """Two sets of places that share no group: at most n from every second group, and all of the groups untouched."""
    half = set(list(dict.fromkeys(groups))[::2])
    held = [place for place, group in enumerate(groups) if group in half][:n]
    used = {groups[place] for place in held}
    return held, [place for place, group in enumerate(groups) if group not in used]


def measure_real(
    scoring: Scoring, reference: Reference, chosen: Sequence[int], tick: Tick = lambda count: None, cached: bool = True
) -> Bounds:
    """Fill the references of `scoring`, and measure ceiling and floor, in one pass over the split of the prompts.

    The reference is that whole split, or what `scoring.sets` names instead.

    Ceiling: the `chosen` images with their own captions and layouts. For metrics with a reference: as many images,
    at most half of the groups, against the images of the other groups, so that nothing dependent stands on both
    sides; where the reference is another one, the chosen images that are not of it, against it. Floor: the chosen
    images with captions and layouts permuted among them. cached: whether what evaluators said of real images before may
    be used again.
    """
    groups = reference.groups
    if len(groups) < 4:
        raise UserError(f"{reference} has {len(groups)} images; at least 4 are needed in a split")
    shown = sorted(set(chosen))
    held, rest = (set(places) for places in held_out(groups, len(shown)))
    order = np.random.default_rng(0).permutation(len(shown))
    swap = {shown[i]: shown[j] for i, j in zip(order, np.roll(order, 1), strict=True)}  # none keeps its own
    fill_references(scoring, tick, cached)
    own = scoring.sets.against is None  # the reference is the split of the prompts
    ceiling = {name: _of_a_part(metric) if own else metric.fresh() for name, metric in scoring.metrics.items()}
    floor = {name: metric.fresh() for name, metric in ceiling.items() if pairs_matter(metric)}
    with ReferenceFeatures(reference, scoring.evaluators.by_role, cached) as kept:
        for places in batches(len(groups)):
            samples = reference.samples(places, places.start)
            known = [_halves(digest)[0] in scoring.real for digest in digests(samples)]
            if own:
                scoring.real |= {half for digest in digests(samples) for half in _halves(digest)}
            features = scoring.evaluators.reread(kept.features(places, samples), samples.prompts)

            def part(of: Collection[int], places: Sequence[int] = places) -> list[int]:
                return [row for row, place in enumerate(places) if place in of]

            for name, metric in scoring.metrics.items():
                with calling(f"metric {name}"):
                    if "reference" not in metric.needs:
                        _add(ceiling[name].update, samples, features, part(swap))
                    elif own:
                        metric.update_reference(samples, features)
                        _add(ceiling[name].update_reference, samples, features, part(rest))
                        _add(ceiling[name].update, samples, features, part(held))
                    else:
                        _add(ceiling[name].update, samples, features, [row for row in part(swap) if not known[row]])
            if floor and (rows := part(swap)):
                others = reference.samples([swap[places[row]] for row in rows])
                mixed = replace(samples.take(rows), prompts=others.prompts, layouts=others.layouts)
                taken = {role: of_role.take(rows) for role, of_role in features.items()}
                reread = scoring.evaluators.reread(taken, mixed.prompts)
                for name, metric in floor.items():
                    with calling(f"metric {name}"):
                        _add(metric.update, mixed, reread, range(len(rows)))
            tick(len(places))
    missing = {name: Score.skipped(reason) for name, reason in scoring.missing.items()}
    lowest = {name: Score.skipped("pairing does not enter this metric") for name in scoring.metrics}
    lowest |= {name: computed(name, metric) for name, metric in floor.items()}
    highest = {name: computed(name, metric) for name, metric in ceiling.items()}
    return Bounds(highest | missing, lowest | missing)


def _of_a_part(metric: Metric) -> Metric:
    """An instance whose reference will be a part of the split only."""
    new = type(metric)(metric.task)
    if "training" in metric.needs:
        new.training = metric.training
    return new


def fill_references(scoring: Scoring, tick: Tick, cached: bool) -> None:
    """Give the metrics the real images that are not of the prompts' split: another reference, what was trained on."""
    against, training = scoring.sets.against, scoring.training
    if against is not None and against.images is not None:
        metrics = {name: metric for name, metric in scoring.metrics.items() if "reference" in metric.needs}
        for samples, features in _measured(against.images, scoring, metrics, tick, cached):
            scoring.real |= {half for digest in digests(samples) for half in _halves(digest)}
            for name, metric in metrics.items():
                with calling(f"metric {name}"):
                    metric.update_reference(samples, features)
    if training is not None:
        metrics = {name: metric for name, metric in scoring.metrics.items() if "training" in metric.needs}
        for samples, features in _measured(training, scoring, metrics, tick, cached):
            for name, metric in metrics.items():
                with calling(f"metric {name}"):
                    metric.update_training(samples, features)


def _measured(
    reference: Reference, scoring: Scoring, metrics: Mapping[str, Metric], tick: Tick, cached: bool
) -> Iterator[tuple[Samples, dict[str, Features]]]:
    """All its images and what the evaluators that these metrics read say of them, a batch at a time."""
    roles = {role for metric in metrics.values() for role in metric.roles}
    evaluators = {role: evaluator for role, evaluator in scoring.evaluators.by_role.items() if role in roles}
    with ReferenceFeatures(reference, evaluators, cached) as kept:
        for places in batches(len(reference)):
            samples = reference.samples(places, places.start)
            yield samples, kept.features(places, samples)
            tick(len(places))


def _add(
    update: Callable[[Samples, Mapping[str, Features]], None],
    samples: Samples,
    features: Mapping[str, Features],
    rows: Sequence[int],
) -> None:
    """Give a metric some rows of a batch, if any."""
    if len(rows):
        update(samples.take(rows), {role: of_role.take(rows) for role, of_role in features.items()})
