"""The guidance sweep: one model at several scales, the same prompts and seeds at each, every metric in one pass."""

import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gcbench.commands.train import CONFIG, run_training
from gcbench.core.contracts import Dataset, Model, ModelOptions, Size
from gcbench.core.errors import UserError
from gcbench.core.files import text_hash
from gcbench.core.protocol import Protocol
from gcbench.core.record import Point, Record
from gcbench.data.open_dataset import open_dataset
from gcbench.evaluation.arguments import (
    check_device,
    check_n,
    check_precision,
    evaluation_split,
    guidance_scales,
    metric_names,
    model_info,
    open_model,
    parse_size,
    training_of,
)
from gcbench.evaluation.generation import Prompts, choose_prompts, measure_point, sample_ids
from gcbench.evaluation.scoring import BATCH, EvaluatorSet, Scoring, measure_real, open_evaluators, real_samples
from gcbench.reports import pareto
from gcbench.runs.progress import Bar, Bars, say
from gcbench.runs.provenance import provenance
from gcbench.runs.run_directory import KEPT, SAMPLES, Rows, RunDirectory
from gcbench.runs.sample_folder import write_samples
from gcbench.statistics.intervals import paired_difference

GAIN = 0.005
"""A gain in Semantic Recall that counts. The sweep is saturated when the interval's upper end was below it twice."""

GENERATING = "generating and evaluating"
"""Label of the bar that counts images."""


def sweep(
    model: str = "gcdp",
    dataset: str = "streets",
    *,
    guidance: str | Sequence[float] | None = None,
    until_saturation: bool = False,
    n: int = 64,
    seed: int = 0,
    steps: int | None = None,
    settings: Mapping[str, Any] | None = None,
    size: str | Size | None = None,
    split: str | None = None,
    metrics: str | Sequence[str] | None = None,
    checkpoint: Path | None = None,
    train: bool = False,
    evaluators: Sequence[str] = (),
    out: Path | None = None,
    fresh: bool = False,
    keep_samples: bool = False,
    batch_size: int = 16,
    precision: str = "fp32",
    device: str = "auto",
    bars: Bars = Bar,
) -> Record:
    """Measure `model` on `dataset` at each guidance scale; write and return the record.

    The arguments are those of `gcbench sweep`. The run directory is written after every point; called again with the
    same arguments, a stopped sweep goes on where it was, to the same digits. bars: what makes the progress bars.

    Raises:
        UserError: anything that is the caller's to mend, before the long work where it can be known.
    """
    began = time.perf_counter()
    check_n(n)
    if batch_size < 1:
        raise UserError(f"--batch-size {batch_size}: at least 1 image goes through the model at a time")
    check_precision(precision)
    device = check_device(device)
    scales = guidance_scales(guidance, until_saturation)
    names = metric_names(metrics)
    if until_saturation and "semantic-recall" not in names:
        raise UserError("--until-saturation watches semantic-recall; add it to --metrics")
    opened = open_dataset(dataset)
    split = evaluation_split(opened, split)
    folder = RunDirectory(out or Path("runs") / f"sweep-{Path(model.partition(':')[0]).stem}-{opened.name}", fresh)
    if train and checkpoint is None:
        checkpoint = trained(model, dataset, device)
    options = ModelOptions(checkpoint, device, precision, steps, settings or {})  # type: ignore[arg-type]
    generator, scoring, prompts, planned = prepare(
        model, opened, split, names, options, n=n, seed=seed, size=parse_size(size), evaluators=evaluators
    )
    target, evaluator_set = planned.protocol.size, scoring.evaluator_set
    points: list[float | None] = list(scales) if generator.guided else [None]
    record = folder.resume(planned, names)
    rows = folder.read_samples() if record.points else {}
    if any((_key(point.guidance), name) not in rows for point in record.points for name in sample_ids(n)):
        raise UserError(
            f"{folder.path / SAMPLES} lacks rows that its record.json has points of; add --fresh to start anew"
        )
    if keep_samples and any(not kept_folder(folder.path, point.guidance).is_dir() for point in record.points):
        raise UserError(f"{folder.path} holds points whose samples were not kept; add --fresh to make them again")
    done = {point.guidance for point in record.points}
    todo = [scale for scale in points if scale not in done]
    if done and todo:
        record.provenance = planned.provenance.model_copy(
            update={"before": [*record.provenance.before, record.provenance.model_copy(update={"before": []})]}
        )
    where = " at guidance " + ", ".join(f"{s:g}" for s in points if s is not None) if generator.guided else ""
    say(
        f"{model} on {opened.name}/{split}: {n} images of {target[0]}×{target[1]}{where}, then"
        f" {', '.join(names)}. Run: {folder.path}"
    )
    say(estimate(generator, evaluator_set, opened, split, target, n, todo))
    if done:
        say(f"{len(done)} of {len(points)} points are there already; {len(todo)} to go.")
    for name, reason in scoring.missing.items():
        say(f"{name} will be skipped: {reason}")
    if not scoring.metrics:
        raise UserError(f"no metric can be measured: {next(iter(scoring.missing.values()))}")

    seconds: dict[str, float] = {}
    if todo:
        start = time.perf_counter()
        with bars("evaluating real images", len(opened.ids(split))) as bar:
            bounds = measure_real(scoring, opened, split, target, prompts.rows, bar.advance)
        record.ceiling, record.floor = bounds.ceiling, bounds.floor
        seconds["real"] = round(time.perf_counter() - start, 3)
    groups = dict(zip(sample_ids(n), prompts.groups if generator.conditional else sample_ids(n), strict=True))
    with bars(GENERATING, n * len(todo)) as bar:
        for scale in todo:
            if until_saturation and saturated(record.points, rows, groups):
                say(f"Semantic Recall is saturated: twice no gain of {GAIN} was within the interval. The sweep stops.")
                break
            measured = measure_point(
                generator,
                scoring,
                prompts,
                scale,
                seed=seed,
                size=target,
                batch_size=batch_size,
                keep=keep_samples,
                tick=bar.advance,
            )
            if keep_samples:
                kept = kept_folder(folder.path, scale)
                shutil.rmtree(kept, ignore_errors=True)  # of a run that --fresh replaces, or stopped before its record
                write_samples(kept, measured.kept, opened)
            record.points = sorted([*record.points, measured.point], key=lambda point: point.guidance or 0)
            rows.update({(_key(scale), sample): values for sample, values in measured.per_sample.items()})
            pareto.mark(record)
            seconds["sweep"] = round(time.perf_counter() - began, 3)
            record.provenance = record.provenance.model_copy(update={"seconds": seconds})
            folder.write(record, rows, groups)
            say(_line(measured.point))
    return record


class Prepared(NamedTuple):
    """What a sweep works with. record: its protocol, model and provenance, without points."""

    model: Model
    scoring: Scoring
    prompts: Prompts
    record: Record


def prepare(
    model: str,
    dataset: Dataset,
    split: str,
    metrics: Sequence[str],
    options: ModelOptions,
    *,
    n: int,
    seed: int,
    size: Size | None,
    evaluators: Sequence[str],
) -> Prepared:
    """Open model and evaluators and say under which protocol they will be measured.

    Raises:
        UserError: anything of these that the caller must mend.
    """
    generator = open_model(model, dataset, options)
    evaluator_set = open_evaluators(dataset, metrics, evaluators, options.device, generator.derives)
    scoring = Scoring(dataset, metrics, evaluator_set, generator.derives)
    prompts = choose_prompts(dataset, split, n)
    protocol = protocol_of(
        dataset,
        split,
        scoring,
        prompts if generator.conditional else None,
        n=n,
        size=size or generator.size or dataset.size,
        seed=seed,
        sampler=generator.sampler(),
    )
    info = model_info(model, generator).model_copy(update={"layouts": scoring.derived})
    record = Record(
        kind="sweep",
        model=info,
        training=training_of(generator),
        protocol=protocol,
        provenance=provenance(options.device),
    )
    return Prepared(generator, scoring, prompts, record)


def protocol_of(
    dataset: Dataset,
    split: str,
    scoring: Scoring,
    prompts: Prompts | None,
    *,
    n: int,
    size: Size,
    seed: int | None,
    sampler: Mapping[str, float | str],
) -> Protocol:
    """The protocol of samples made from `prompts` (None: without texts) and scored by `scoring`."""
    return Protocol(
        dataset=dataset.name,
        dataset_version=dataset.version,
        split=split,
        n=n,
        size=size,
        resize=dataset.resize,
        evaluators={role: evaluator.id for role, evaluator in scoring.evaluator_set.by_role.items()},
        thresholds=scoring.thresholds,
        metric_files=scoring.metric_files,
        prompts=text_hash(*prompts.texts) if prompts is not None else None,
        seed=seed,
        sampler=dict(sampler),
        reference_n=len(dataset.ids(split)),
    )


def estimate(
    model: Model,
    evaluator_set: EvaluatorSet,
    dataset: Dataset,
    split: str,
    size: Size,
    n: int,
    todo: Sequence[float | None],
) -> str:
    """How long the work will take, from one batch evaluated and the model's own word."""
    if not todo:
        return "Nothing is left to do."
    samples = real_samples(dataset, split, range(min(BATCH, len(dataset.ids(split)))), size)
    began = time.perf_counter()
    evaluator_set.features(samples)
    an_image = (time.perf_counter() - began) / len(samples)
    seconds = an_image * (len(dataset.ids(split)) + n * len(todo))
    known = {plain: model.seconds_per_image(size, 1.0 if plain else 2.0) for plain in {s in (None, 1.0) for s in todo}}
    for scale in todo:
        generating = known[scale in (None, 1.0)]
        if generating is None:
            return f"Evaluating takes about {seconds:.0f} s; how long the model takes, its bar will say."
        seconds += n * generating
    return f"This takes about {seconds:.0f} s." if seconds < 100 else f"This takes about {seconds / 60:.0f} min."


def trained(model: str, dataset: str, device: str) -> Path:
    """The checkpoint that `--train` makes first, or went on with if an earlier try was stopped."""
    out = Path("runs") / f"train-{model}-{Path(dataset).name}"
    return run_training(model=model, dataset=dataset, out=out, resume=(out / CONFIG).exists(), device=device)


def saturated(points: Sequence[Point], rows: Rows, groups: dict[str, str]) -> bool:
    """Whether at the last two scales the paired 95 % interval of the gain in Semantic Recall ended below GAIN."""
    scales = sorted(point.guidance for point in points if point.guidance is not None)
    if len(scales) < 3:
        return False
    column = "semantic-recall"
    for lower, upper in zip(scales[-3:-1], scales[-2:], strict=True):
        ids = [
            sample
            for sample in groups
            if rows.get((_key(lower), sample), {}).get(column) is not None
            and rows.get((_key(upper), sample), {}).get(column) is not None
        ]
        if len(ids) < 2:
            return False
        before, after = (np.array([rows[(_key(s), i)][column] for i in ids], float) for s in (lower, upper))
        gain = paired_difference(after, before, [groups[i] for i in ids], seed=0)
        if gain.interval is None or gain.interval[1] >= GAIN:
            return False
    return True


def kept_folder(run: Path, scale: float | None) -> Path:
    """Where a run directory keeps the samples of a scale."""
    return run / KEPT / ("all" if scale is None else f"guidance-{scale:g}")


def _key(scale: float | None) -> str:
    return "" if scale is None else f"{scale:g}"


def _line(point: Point) -> str:
    scores = ", ".join(f"{name} {score.text()}" for name, score in point.scores.items())
    label = "" if point.guidance is None else f"guidance {point.guidance:g}: "
    return f"{label}{scores} ({sum(point.seconds.values()):.0f} s)"
