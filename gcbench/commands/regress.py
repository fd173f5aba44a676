"""`gcbench regress`: do the recorded numbers still hold?

A baseline is a run directory that `gcbench sweep --keep-samples` wrote. Its protocol must be the same, the scores of
real images (ceiling and floor) and of its stored samples must be the same to 1e-6. Samples made anew by the same model
from the same seeds must be the stored ones, up to rounding, on the recorded kind of machine, and their scores must be
within a part of a standard error anywhere. Nothing is taken from the cache of features. Nothing that a record names is
run, unless it is installed and registered.
"""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from gcbench.core.errors import PluginError, UserError
from gcbench.core.record import Point, Record
from gcbench.core.reference import Prompts, Reference
from gcbench.core.run_spec import PRECISIONS, RunSpec
from gcbench.core.samples import Samples, sample_ids
from gcbench.core.score import Score
from gcbench.data.finished_images import read_pairs
from gcbench.data.open_dataset import open_dataset
from gcbench.evaluation.finished_samples import read_samples
from gcbench.evaluation.generation import Generator, joined, measure_point
from gcbench.evaluation.given import given_pairs
from gcbench.evaluation.real_sets import RealSets, open_against, training_set
from gcbench.evaluation.scoring import Scoring, measure_real, open_evaluators
from gcbench.evaluation.setup import choose_device, evaluation_split, prepare, protocol_of
from gcbench.reports.regression_checks import ELSEWHERE, HERE, Check, Gated, Report, same_samples, same_scores
from gcbench.reports.regression_report import append_summary, write_junit
from gcbench.runs.baselines import BY_CONTENT, baselines, stored
from gcbench.runs.progress import Bar, say
from gcbench.runs.provenance import machine_kind, provenance


class Given(NamedTuple):
    """How to open what a record only names, where that is not found by its name."""

    model: str | None
    dataset: str | None
    reference: str | None
    checkpoint: Path | None
    cascade: Any
    evaluators: Sequence[str]
    settings: Mapping[str, Any]
    device: str


def regress(
    suite: str | None = None,
    *,
    runs: Path | None = None,
    rescore: Path | None = None,
    model: str | None = None,
    dataset: str | None = None,
    reference: str | None = None,
    checkpoint: Path | None = None,
    cascade: str | Sequence[Path] | None = None,
    evaluators: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
    junit: Path | None = None,
    summary: Path | None = None,
    device: str = "auto",
) -> Report:
    """Measure baselines again: the bundled ones (`suite` names one of them), or the run directories in `runs`.

    rescore: run directories whose stored samples are scored again, and nothing is generated. model, dataset,
    reference, checkpoint, evaluators, settings: as for `sweep`, where the record's own names are not found (a dataset
    by path, images that were measured against, a model's file, a checkpoint). junit, summary: files to write the
    report to, as JUnit XML and as Markdown (appended).

    Raises:
        UserError: no baseline, one without its samples, or anything that `sweep` refuses.
    """
    recorded = baselines(suite, runs, rescore, model, dataset, reference)
    device = choose_device(device)
    given = Given(model, dataset, reference, checkpoint, cascade, evaluators, settings or {}, device)
    report = Report(runs=[gate(name, *run, given, generate=rescore is None) for name, run in recorded.items()])
    if junit is not None:
        write_junit(junit, report)
    if summary is not None:
        append_summary(summary, report)
    return report


def gate(name: str, path: Path, record: Record, given: Given, *, generate: bool) -> Gated:
    """Check one baseline."""
    began = time.perf_counter()
    protocol = record.protocol
    spec = spec_of(path, record, given, generate)
    opened = open_dataset(spec.dataset)
    if opened.name != protocol.dataset:
        raise UserError(f"{path} was measured on {protocol.dataset}, not on {opened.name}; give its --dataset")
    known = (None, given.reference, *opened.splits, *opened.parts)
    if spec.reference not in known:  # a path that only the record names is not read
        raise UserError(
            f"{path} was measured against {spec.reference!r}, which is no split of {opened.name}; leave it out"
        )
    notes: list[str] = []
    if generate:
        model, scoring, reference, prompts, planned = prepare(spec, given.device)
        pairs = given_pairs(spec.given, reference, prompts.rows)
        generator = Generator(spec.model, model, reference, prompts, spec.seed, given=pairs)
        now, then = planned.model.model_dump(exclude={"name"}), record.model.model_dump(exclude={"name"})
        notes += [f"model {key}: {then[key]!r} recorded, {now[key]!r} now" for key in now if now[key] != then[key]]
        planned_protocol = planned.protocol
    else:
        generator = None
        reference = Reference(opened, evaluation_split(opened, protocol.split), protocol.size)
        metrics, derives = spec.metrics or (), record.model.layouts is not None
        opened_evaluators = open_evaluators(opened, metrics, spec.evaluators, given.device, derives)
        sets = RealSets(open_against(spec.reference, reference), training_set(reference, record.training))
        scoring = Scoring(opened, metrics, opened_evaluators, derives, protocol.given, sets)
        prompts = reference.prompts(protocol.n, spec.per_prompt)
        texts = prompts.texts if protocol.prompts is not None else None
        fields = {"seed": protocol.seed, "sampler": protocol.sampler}
        planned_protocol = protocol_of(reference, scoring, n=protocol.n, prompts=texts).model_copy(update=fields)
    say(f"{name}: {protocol.n} images of {record.model.name} on {reference}, {', '.join(spec.metrics or ())}")
    checks = protocol_checks(record, planned_protocol.differences(protocol))
    checks += measure(path, record, scoring, reference, prompts, generator, another_kind(record, given.device))
    notes += surroundings(record, given.device)
    spent = round(time.perf_counter() - began, 3)
    return Gated(run=name, checks=checks, notes=notes, command=record.provenance.command, seconds=spent)


def spec_of(path: Path, record: Record, given: Given, generate: bool) -> RunSpec:
    """What the record was asked to do. Further settings of its sampler are to be given again."""
    protocol = record.protocol
    steps, precision = protocol.sampler.get("steps"), protocol.sampler.get("precision", "fp32")
    return RunSpec.of(
        **({"model": given.model or record.model.name} if generate else {}),
        dataset=given.dataset or protocol.dataset,
        split=protocol.split,
        reference=given.reference if BY_CONTENT.fullmatch(protocol.reference or "") else protocol.reference,
        size=protocol.size,
        n=protocol.n,
        per_prompt=record.spec.get("per_prompt", 1),
        seed=protocol.seed or 0,
        steps=None if steps is None else int(steps),
        settings=given.settings,
        metrics=tuple(record.points[0].scores),
        evaluators=tuple(evaluators_of(path, record, given)),
        checkpoint=given.checkpoint,
        cascade=given.cascade,
        precision=precision if precision in PRECISIONS else "fp32",
        given=protocol.given,
    )


def evaluators_of(path: Path, record: Record, given: Given) -> Sequence[str]:
    """What was given; and for other roles whose recorded evaluator computed in double precision, that one by its name
    (`hrnet_w18_small@streets#<hash> ×2 fp64`), since no evaluator does so unasked.
    UserError: that name is more than a word @ a word, and so may stand for a file."""
    asked = {spec.partition("=")[0] for spec in given.evaluators}
    specs = list(given.evaluators)
    specs += [f"{role}=" for role in sorted({*record.protocol.readers.values()} - asked)]  # named, but its default
    for role, name in record.protocol.evaluators.items():
        if role in asked or not name.endswith(" fp64"):
            continue
        arch, _, where = name.partition("#")[0].partition("@")
        if not all(re.fullmatch(r"[\w-]+", word) for word in (role, arch, where)):
            raise UserError(
                f"{path} names the evaluator {role}={name!r}, which is opened only if you name it;"
                f" add --evaluator ROLE=ID[@FILE] for it if you trust it"
            )
        specs.append(f"{role}={arch}:fp64@{where}")
    return specs


def another_kind(record: Record, device: str) -> str | None:
    """Why new samples need not be the stored ones here; None where they must be."""
    then, now = record.provenance.machine_kind, machine_kind(device)
    if then == now:
        return None
    return f"recorded on {then or 'an unnamed kind of machine'}, this is {now}: shown and not gated"


def protocol_checks(record: Record, differences: Sequence[str]) -> list[Check]:
    """One check that all fields are the same, or one failure for each that is not (`field: now against recorded`)."""
    if not differences:
        return [Check(stage="protocol", metric="all fields", status="pass")]
    fields = [difference.partition(": ") for difference in differences]
    return [Check(stage="protocol", metric=name, status="fail", reason=f"now {rest}") for name, _, rest in fields]


def measure(
    path: Path,
    record: Record,
    scoring: Scoring,
    reference: Reference,
    prompts: Prompts,
    generator: Generator | None,
    ungated: str | None,
) -> list[Check]:
    """Real images, stored samples and, where there is a generator, new ones: each against the record. ungated: why new
    samples need not be the stored ones."""
    with Bar("evaluating real images", len(reference) + scoring.real_count) as bar:
        try:
            bounds = measure_real(scoring, reference, prompts.rows, bar.advance, cached=False)
        except PluginError as error:
            return same_scores("ceiling", None, record.ceiling, nothing(record.ceiling, error))
    checks = same_scores("ceiling", None, record.ceiling, bounds.ceiling)
    checks += same_scores("floor", None, record.floor, bounds.floor)
    total = record.protocol.n * len(record.points)
    kept: list[Samples] = []
    with Bar("evaluating stored samples", total) as bar:
        for point in record.points:
            scores, samples = score_stored(path, record, point, scoring, reference, prompts, bar)
            kept.append(samples)
            checks += same_scores("stored samples", point.guidance, point.scores, scores)
    if generator is None:
        return checks
    with Bar("generating and evaluating", total) as bar:
        for point, old in zip(record.points, kept, strict=True):
            try:
                telling = replace(generator, progress=bar.advance)
                new: list[Samples] = []
                scores = measure_point(telling, scoring, point.guidance, each=new.append).point.scores
                changes = changed(old, joined(new, generator.name))
                checks += same_samples(point.guidance, *changes, ungated)
            except UserError as error:  # samples that no longer are as the contract says
                scores = nothing(point.scores, error)
            errors = HERE if ungated is None else ELSEWHERE
            checks += same_scores("new samples", point.guidance, point.scores, scores, errors)
    return checks


def changed(old: Samples, new: Samples) -> tuple[float | None, float]:
    """The share of the layouts' pixels that differ in %, None where neither has layouts and all where one has; and the
    root of the mean squared difference of the images in grey levels."""
    greys = float((old.images.double() - new.images.double()).square().mean().sqrt())
    if old.layouts is None or new.layouts is None:
        return (None if old.layouts is new.layouts else 100.0), greys
    return float(100 * (old.layouts != new.layouts).double().mean()), greys


def nothing(scores: Mapping[str, Score], error: Exception) -> dict[str, Score]:
    """Every metric failed, for this reason."""
    return {name: Score.failed(str(error)) for name in scores}


def score_stored(
    path: Path, record: Record, point: Point, scoring: Scoring, reference: Reference, prompts: Prompts, bar: Bar
) -> tuple[dict[str, Score], Samples]:
    """The scores of a point's stored samples, and these. UserError: a sample is missing or damaged."""
    folder, names = stored(path, point), list(sample_ids(record.protocol.n))
    layouts, texts = folder / "layouts", folder / "prompts.jsonl"
    finished = read_pairs(folder / "images", layouts if layouts.is_dir() else None, texts if texts.exists() else None)
    if list(finished.ids) != names:
        raise UserError(f"{folder} holds {len(finished)} samples where its record has {len(names)}; put them back")
    groups = prompts.groups if record.protocol.prompts is not None else names
    group_of = dict(zip(names, groups, strict=True))
    source = "given" if record.protocol.given == "layouts" else "generated"
    parts = list(read_samples(finished, reference, source))
    kept = joined(parts, record.model.name)
    metrics = scoring.start()
    for samples in parts:
        try:
            scoring.update(metrics, replace(samples, groups=tuple(group_of[name] for name in samples.ids)))
        except PluginError as error:
            return nothing(point.scores, error), kept
        bar.advance(len(samples))
    return scoring.finish(metrics), kept


def surroundings(record: Record, device: str) -> list[str]:
    """What else is not as it was when the record was made: packages, Python, machine."""
    then, now = record.provenance, provenance(device)
    pairs = {
        "gcbench": (then.gcbench, now.gcbench),
        "python": (then.python, now.python),
        "device": (then.device, now.device),
        **{name: (then.packages.get(name), now.packages.get(name)) for name in {**then.packages, **now.packages}},
    }
    return [f"{name}: {old} recorded, {new} now" for name, (old, new) in pairs.items() if old != new]
