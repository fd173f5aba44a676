"""`gcbench sweep`: a model at several guidance scales, the same prompts and seeds at each, all metrics in one pass."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gcbench.commands.train import CONFIG
from gcbench.commands.train import train as train_model
from gcbench.core.contracts import Model
from gcbench.core.errors import NothingMeasured, UserError
from gcbench.core.record import Point, Record
from gcbench.core.reference import Reference
from gcbench.core.run_spec import DEFAULT_GUIDANCE, LONG_GUIDANCE, RunSpec, guidance_text
from gcbench.core.samples import Samples, sample_ids
from gcbench.data.contact_sheet import save_png
from gcbench.evaluation.generation import Generator, in_batches, measure_point, seconds_per_image
from gcbench.evaluation.given import given_pairs
from gcbench.evaluation.saturation import saturated, watched_metric
from gcbench.evaluation.scoring import BATCH, Scoring, measure_real
from gcbench.evaluation.setup import Prepared, choose_device, prepare, reading_lines
from gcbench.evaluation.shards import Shards, shards
from gcbench.reports import curve, pareto
from gcbench.reports.record_table import number_column, write_scores
from gcbench.reports.sample_grid import SheetRow, sheet
from gcbench.reports.table import Row
from gcbench.runs.manifest import GRID, KEPT, MEASURED, SCORES, SHARDS, remove_written
from gcbench.runs.progress import Bar, say
from gcbench.runs.run_directory import RunDirectory, kept_samples
from gcbench.runs.sample_folder import SampleFolder

SHOWN = 4
"""Samples of each scale on the run's grid."""


def sweep(
    model: str = "gcdp",
    dataset: str = "streets",
    *,
    out: Path | None = None,
    fresh: bool = False,
    keep_samples: bool = False,
    train: bool = False,
    **options: Any,
) -> Record:
    """Measure `model` on `dataset` at each guidance scale; write and return the record.

    options: the fields of `RunSpec`, named as the options of `gcbench sweep`. The run directory is written after every
    point, and within one after every shard; called again with the same arguments, a stopped sweep resumes where it was,
    to the same digits. train: train the model first.

    Raises:
        UserError: anything that is the caller's to mend, before the long work where it can be known.
    """
    began = time.perf_counter()
    spec = RunSpec.of(model=model, dataset=dataset, **options)
    if spec.n < 2:
        raise UserError(f"-n {spec.n}: at least 2 images are needed to measure a spread; the default is 64")
    if train and spec.cascade is not None:
        raise UserError("--train and --cascade both give weights; train each stage by `gcbench train`")
    device = choose_device(spec.device)
    out = Path(out or Path("runs") / f"sweep-{Path(model.partition(':')[0]).stem}-{Path(dataset).name}")
    files = (*MEASURED, GRID, *([KEPT] if keep_samples else []))
    inputs = {"--dataset": Path(spec.dataset), **spec.weights}
    with RunDirectory(out, fresh, files, inputs) as folder:
        if train and spec.checkpoint is None:
            spec = spec.model_copy(update={"checkpoint": _trained(spec)})
        run = Sweep(spec, prepare(spec, device), folder, keep_samples)
        run.announce()
        with Bar("evaluating real images", len(run.reference) if run.todo else 0) as bar:
            run.measure_real(bar.advance)
        with Bar("generating and evaluating", spec.n * len(run.todo)) as bar:
            for scale in run.todo:
                if run.saturated():
                    say(f"{run.watch} is saturated: twice the interval held no gain that counts. The sweep stops.")
                    break
                point = run.measure(scale, bar.advance, began)
                say(_line(point))
        run.write_grid()
        remove_written(folder.path / SHARDS)
        if not any(score.value is not None for point in run.record.points for score in point.scores.values()):
            raise NothingMeasured(f"nothing could be measured; the reasons are in {folder.path}")
    return run.record


class Sweep:
    """A sweep at work. record: what is measured so far; table: its values per sample; todo: the scales to come."""

    def __init__(self, spec: RunSpec, prepared: Prepared, folder: RunDirectory, keep: bool):
        self.spec, self.folder, self.keep = spec, folder, keep
        self.model, self.scoring, self.reference, self.prompts, planned = prepared
        given = given_pairs(spec.given, self.reference, self.prompts.rows)
        self.generator = Generator(
            spec.model, self.model, self.reference, self.prompts, spec.seed, spec.batch_size, given=given
        )
        metrics = [*self.scoring.metrics, *self.scoring.missing]
        if not self.scoring.metrics:
            raise UserError(f"no metric can be measured: {next(iter(self.scoring.missing.values()))}")
        if unmeasured := [name for name in spec.axes or () if name not in metrics]:
            raise UserError(f"--axes: {unmeasured[0]} is not measured in this run; add it to --metrics")
        self.watch = watched_metric(spec.watch, metrics) if spec.until_saturation else None
        self.record = folder.resume(planned, metrics)
        ids = sample_ids(spec.n)
        self.table = folder.read_samples(self.record, ids)
        texts = self.prompts.texts if self.model.conditional else ()
        self.table.groups = dict(zip(ids, self.prompts.groups if self.model.conditional else ids, strict=True))
        self.table.prompts = dict(zip(ids, texts, strict=False))
        if keep and any(not kept_samples(folder.path, point.guidance).is_dir() for point in self.record.points):
            raise UserError(f"{folder.path} holds points whose samples were not kept; add --fresh to make them again")
        default = LONG_GUIDANCE if spec.until_saturation else DEFAULT_GUIDANCE
        self.scales: list[float | None] = list(spec.guidance or default) if self.model.guided else [None]
        done = {point.guidance for point in self.record.points}
        self.todo = [scale for scale in self.scales if scale not in done]
        if done and self.todo:
            earlier = self.record.provenance
            before = [*earlier.before, earlier.model_copy(update={"before": []})]
            self.record.provenance = planned.provenance.model_copy(update={"before": before})
        self.seconds: dict[str, float] = {}
        self.shown: dict[float | None, Samples | None] = {}
        self._identity = [planned.protocol.model_dump_json(), planned.model.model_dump_json(), *metrics]

    def announce(self) -> None:
        """Say what will be done, and how long it will take."""
        height, width = self.reference.size
        scales = ", ".join(guidance_text(scale) for scale in self.scales if scale is not None)
        given = self.spec.given
        say(
            f"{self.spec.model} on {self.reference}: {self.spec.n} images of {height}×{width}"
            f"{' at guidance ' + scales if scales else ''}{f', of given {given}' if given else ''}, then"
            f" {', '.join([*self.scoring.metrics, *self.scoring.missing])}. Run: {self.folder.path}"
        )
        for line in reading_lines(self.spec.model, self.record.reading):
            say(line)
        say(estimate(self.spec, self.model, self.scoring, self.reference, self.todo))
        if len(self.todo) < len(self.scales):
            done = len(self.scales) - len(self.todo)
            say(f"{done} of {len(self.scales)} points are there already; {len(self.todo)} to go.")
        if begun := sum(self.shards(scale).done(self.spec.n) for scale in self.todo):
            say(f"{begun} images of a point that was begun are measured already.")
        for name, reason in self.scoring.missing.items():
            say(f"{name} will be skipped: {reason}")

    def shards(self, scale: float | None, tick: Any = lambda count: None) -> Shards:
        """What is measured of a scale whose point is not whole yet."""
        identity = [guidance_text(scale), *self._identity]
        return Shards(self.folder.path / SHARDS, identity, shown=SHOWN, tick=tick, check=self.folder.check)

    def measure_real(self, tick: Any) -> None:
        """Ceiling and floor, and the references of the metrics, if there is a point to come."""
        if self.todo:
            began = time.perf_counter()
            bounds = measure_real(self.scoring, self.reference, self.prompts.rows, tick)
            self.record.ceiling, self.record.floor = bounds.ceiling, bounds.floor
            self.seconds["real"] = round(time.perf_counter() - began, 3)

    def saturated(self) -> bool:
        return self.watch is not None and saturated(self.record.points, self.table, self.watch)

    def measure(self, scale: float | None, tick: Any, began: float) -> Point:
        """One point, measured and written. began: when the sweep did."""
        measured_already = self.shards(scale, tick)
        kept = SampleFolder(kept_samples(self.folder.path, scale)) if self.keep else None
        measured = measure_point(replace(self.generator, progress=tick), self.scoring, scale, measured_already, kept)
        self.shown[scale] = measured.shown
        self.record.points = sorted([*self.record.points, measured.point], key=lambda point: point.guidance or 0)
        self.table.collect(measured.metrics, scale)
        pareto.mark(self.record, self.table.rows, self.table.groups, self.spec.axes)
        self.seconds["sweep"] = round(time.perf_counter() - began, 3)
        self.record.provenance = self.record.provenance.model_copy(update={"seconds": dict(self.seconds)})
        self.folder.check()
        write_scores(self.record, self.folder.path / SCORES)
        curve.draw(self.record, self.folder.path, self.spec.axes)
        self.folder.write(self.record, self.table)
        measured_already.forget()
        return measured.point

    def write_grid(self) -> None:
        """`grid.png`: the first samples of each scale. Those of a point whose shards are gone are made again."""
        if self.shown or (self.folder.path / SHARDS).exists() or not (self.folder.path / GRID).exists():
            rows = []
            for point in self.record.points:
                scale = point.guidance
                shown = self.shown.get(scale) or self.shards(scale).first() or self._first(scale)
                rows.append(SheetRow("" if scale is None else f"guidance {guidance_text(scale)}", shown))
            if rows:
                self.folder.check()
                save_png(self.folder.path / GRID, sheet(rows, self.reference.dataset.palette))

    def _first(self, scale: float | None) -> Samples:
        """The first samples of a scale, generated in a batch as they were: a network's last digits depend on it."""
        batch = next(in_batches(self.generator.batches(scale, shards(self.spec.n)[0]), self.spec.model))
        return batch.take(range(min(SHOWN, len(batch))))


def estimate(spec: RunSpec, model: Model, scoring: Scoring, reference: Reference, todo: Sequence[float | None]) -> str:
    """How long the points of these scales take: from one batch evaluated and the model's own word."""
    if not todo:
        return "Nothing is left to do."
    samples = reference.samples(range(min(BATCH, len(reference))))
    began = time.perf_counter()
    scoring.evaluators.features(samples)
    evaluating = (time.perf_counter() - began) / len(samples)
    seconds = evaluating * (len(reference) + spec.n * len(todo))
    known = {
        plain: seconds_per_image(spec.model, model, reference, None if plain else 2.0)
        for plain in {scale in (None, 1.0) for scale in todo}
    }
    for scale in todo:
        generating = known[scale in (None, 1.0)]
        if generating is None or spec.given is not None:  # it may take every step several times
            return f"Evaluating takes about {seconds:.0f} s; how long the model takes, its bar will say."
        seconds += spec.n * generating
    return f"This takes about {seconds:.0f} s." if seconds < 100 else f"This takes about {seconds / 60:.0f} min."


def _trained(spec: RunSpec) -> Path:
    """The checkpoint that `--train` makes first, or resumes if an earlier try was stopped."""
    out = Path("runs") / f"train-{spec.model}-{Path(spec.dataset).name}"
    resume = (out / CONFIG).exists()
    return train_model(model=spec.model, dataset=spec.dataset, out=out, resume=resume, device=spec.device)


def _line(point: Point) -> str:
    columns = [number_column(name) for name in point.scores]
    numbers = [column.texts([Row("", scores=point.scores)])[0] for column in columns]
    scores = ", ".join(f"{column.heading.rstrip(' ↑↓')} {text}" for column, text in zip(columns, numbers, strict=True))
    label = "" if point.guidance is None else f"guidance {guidance_text(point.guidance)}: "
    return f"{label}{scores} ({sum(point.seconds.values()):.0f} s)"
