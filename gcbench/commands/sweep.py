"""`gcbench sweep`: a model at several guidance scales, the same prompts and seeds at each, all metrics in one pass."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

import torch
from threadpoolctl import threadpool_limits

from gcbench.commands.train import CONFIG
from gcbench.commands.train import train as train_model
from gcbench.commands.vary import check_values, runs_of, say_what_next
from gcbench.core.contracts import Model
from gcbench.core.errors import NothingMeasured, UserError
from gcbench.core.memory import peak_memory
from gcbench.core.record import Point, Record
from gcbench.core.reference import Reference
from gcbench.core.registry import short_name
from gcbench.core.run_spec import DEFAULT_GUIDANCE, LONG_GUIDANCE, RunSpec, guidance_text
from gcbench.core.samples import Samples, sample_ids
from gcbench.data.contact_sheet import save_png
from gcbench.evaluation.generation import Generator, drawing, in_batches, measure_point, seconds_per_image
from gcbench.evaluation.given import given_pairs
from gcbench.evaluation.saturation import saturated, watched_metric
from gcbench.evaluation.scoring import BATCH, Scoring, measure_real
from gcbench.evaluation.setup import Prepared, choose_device, prepare, reading_lines
from gcbench.evaluation.shards import Shards
from gcbench.evaluation.shared_work import Work, of, take, take_all
from gcbench.reports import pareto
from gcbench.reports.record_table import number_column, write_scores
from gcbench.reports.sample_grid import SheetRow, sheet
from gcbench.reports.table import Row
from gcbench.runs.helpers import Helpers, arguments, fitting, left_alone
from gcbench.runs.manifest import GRID, KEPT, MEASURED, SCORES, SHARDS, remove_written, write_command
from gcbench.runs.progress import Bar, say
from gcbench.runs.run_directory import RunDirectory, kept_samples
from gcbench.runs.sample_folder import SampleFolder
from gcbench.runs.sample_table import SampleTable
from gcbench.runs.work_shares import Share, check_sharing

Tick = Callable[[float], object]

SHOWN = 4
"""Samples of each scale on the run's grid."""
DRAWING = "generating and evaluating"
FIRST = 2
"""Shards a process, up to which a point is measured before the real images: what is wrong with these shows soon."""


@overload
def sweep(model: str = ..., dataset: str = ..., *, vary: None = None, **options: Any) -> Record: ...


@overload
def sweep(
    model: str = ..., dataset: str = ..., *, vary: Mapping[str, Sequence[Any]], **options: Any
) -> list[Record]: ...


def sweep(
    model: str = "gcdp",
    dataset: str = "streets",
    *,
    vary: Mapping[str, Sequence[Any]] | None = None,
    out: Path | None = None,
    fresh: bool = False,
    keep_samples: bool = False,
    train: bool = False,
    shard: str | None = None,
    jobs: int | None = None,
    **options: Any,
) -> Record | list[Record]:
    """Measure `model` on `dataset` at each guidance scale; write and return the record.

    options: the fields of `RunSpec`, named as the options of `gcbench sweep`. The run directory is written after every
    point, and within one after every shard; called again with the same arguments, a stopped sweep resumes where it was,
    to the same digits. train: train the model first. jobs: processes on this machine that share the run; by default one
    a thread that torch has, on a CPU with the memory for it, else one. shard: measure only a share of the shards, as
    `gcbench.runs.work_shares.share_of` reads it; the last such process to end merges all. Before that, the record that
    is returned lacks their points.

    vary: a setting of the sampler (`steps`, `precision` or a key of `settings`) -> several values. Each value is a run
    of its own in `out`/KEY=VALUE, at guidance 1 unless told; the list of their records is returned. All values are
    tried before anything is measured.

    Raises:
        UserError: anything that is the caller's to mend, before the long work where it can be known.
    """
    began = time.perf_counter()
    spec = RunSpec.of(model=model, dataset=dataset, **options)
    if spec.n < 2:
        raise UserError(f"-n {spec.n}: at least 2 images are needed to measure a spread; the default is 64")
    out = Path(out or Path("runs") / f"sweep-{short_name(model)}-{Path(dataset).name}")
    if vary is not None:
        runs = runs_of(vary, {"model": model, "dataset": dataset, "train": train, **options})
        check_values(runs)
        more: dict[str, Any] = {"fresh": fresh, "keep_samples": keep_samples, "shard": shard, "jobs": jobs}
        records = [sweep(**asked, **more, out=out / name) for name, asked in runs.items()]
        if all(record.points for record in records):
            say_what_next(out, runs)
        return records
    if train and spec.cascade is not None:
        raise UserError("--train and --cascade both give weights; train each stage by `gcbench train`")
    share = check_sharing(spec, shard, jobs, fresh, train)
    device = choose_device(spec.device)
    files = (*MEASURED, GRID, *([KEPT] if keep_samples else []))
    inputs = {"--dataset": Path(spec.dataset), **spec.weights}
    with RunDirectory(out, fresh, files, inputs, shared=share is not None) as folder:
        if train and spec.checkpoint is None:
            spec = spec.model_copy(update={"checkpoint": _trained(spec)})
        run = Sweep(spec, prepare(spec, device), folder, keep_samples)
        asked = {"model": model, "dataset": dataset, "out": str(out), "keep_samples": keep_samples}
        asked |= {**options, "checkpoint": spec.checkpoint}
        run.announce(share)
        if share is not None:
            write_command(folder.path, "sweep", asked)
            run.take_share(share, began)
        else:
            with run.helped(jobs, asked) as helpers:  # they start first, for what follows takes its time
                say(estimate(spec, run.model, run.scoring, run.reference, run.todo, helpers.count + 1))
                if jobs is None and (room := fitting(helpers.count + 1, peak_memory())) <= helpers.count:
                    say(f"The memory that is free is for {room} of them.")  # known since a batch was evaluated
                    helpers.keep(room - 1)
                run.measure_all(began, helpers)
    return run.record


class Sweep:
    """A sweep at work. record: what is measured so far; todo: the scales to come; table: the values per sample of the
    metrics `watched`, which are compared between scales."""

    def __init__(self, spec: RunSpec, prepared: Prepared, folder: RunDirectory, keep: bool):
        self.spec, self.folder, self.keep = spec, folder, keep
        self.model, self.scoring, self.reference, self.prompts, self.planned = prepared
        given = given_pairs(spec.given, self.reference, self.prompts.rows)
        self.generator = Generator(
            spec.model, self.model, self.reference, self.prompts, spec.seed, spec.batch_size, given=given
        )
        self.metrics = [*self.scoring.metrics, *self.scoring.missing]
        if not self.scoring.metrics:
            raise UserError(f"no metric can be measured: {next(iter(self.scoring.missing.values()))}")
        if unmeasured := [name for name in spec.axes or () if name not in self.metrics]:
            raise UserError(f"--axes: {unmeasured[0]} is not measured in this run; add it to --metrics")
        self.watch = watched_metric(spec.watch, self.metrics) if spec.until_saturation else None
        self.watched = {*pareto.axes_of(self.metrics, spec.axes), self.watch or ""}
        default = LONG_GUIDANCE if spec.until_saturation else DEFAULT_GUIDANCE
        self.scales: list[float | None] = list(spec.guidance or default) if self.model.guided else [None]
        self.seconds: dict[str, float] = {}
        self.processes: set[str] = set()
        self.shown: dict[float | None, Samples | None] = {}
        self._shards: dict[float | None, Shards] = {}
        self._identity = [self.planned.protocol.model_dump_json(), self.planned.model.model_dump_json(), *self.metrics]
        self.resume()

    def resume(self) -> None:
        """Take the record from the directory, and with it what is still to be done."""
        planned, ids = self.planned, sample_ids(self.spec.n)
        self.record = self.folder.resume(planned, self.metrics)
        self.table = self.folder.read_samples(self.record, ids, self.watched)
        texts = self.prompts.texts if self.model.conditional else ()
        self.table.groups = dict(zip(ids, self.prompts.groups if self.model.conditional else ids, strict=True))
        self.table.prompts = dict(zip(ids, texts, strict=False))
        kept = [kept_samples(self.folder.path, point.guidance) for point in self.record.points]
        if self.keep and not all(place.is_dir() for place in kept):
            raise UserError(
                f"{self.folder.path} holds points whose samples were not kept; add --fresh to make them again"
            )
        done = {point.guidance for point in self.record.points}
        self.todo = [scale for scale in self.scales if scale not in done]
        if self.todo and not self.keep and self.folder.keeps:
            raise UserError(f"{self.folder.path} keeps its samples; add --keep-samples to resume it, or --fresh")
        if done and self.todo:
            earlier = self.record.provenance
            before = [*earlier.before, earlier.model_copy(update={"before": []})]
            self.record.provenance = planned.provenance.model_copy(update={"before": before})

    def announce(self, share: Share | None = None) -> None:
        """Say what will be done, and which share of it."""
        height, width = self.reference.size
        scales = ", ".join(guidance_text(scale) for scale in self.scales if scale is not None)
        given = self.spec.given
        say(
            f"{self.spec.model} on {self.reference}: {self.spec.n} images of {height}×{width}"
            f"{' at guidance ' + scales if scales else ''}{f', of given {given}' if given else ''}, then"
            f" {', '.join([*self.scoring.metrics, *self.scoring.missing])}. Run: {self.folder.path}"
        )
        if note := self.record.model.note:
            say(f"Model: {note}.")
        if self.model.conditional and (note := self.prompts.note):
            say(note)
        against = self.scoring.sets.against
        for line in [*reading_lines(self.spec.model, self.record.reading), *([] if against is None else against.notes)]:
            say(line)
        if share is not None:
            images = sum(len(part) for _, part in of(share, self.work(self.todo)))
            say(f"This process takes {images} of {self.spec.n * len(self.todo)} images.")
        if len(self.todo) < len(self.scales):
            done = len(self.scales) - len(self.todo)
            say(f"{done} of {len(self.scales)} points are there already; {len(self.todo)} to go.")
        if begun := sum(self.shards(scale).done for scale in self.todo):
            say(f"{begun} images of a point that was begun are measured already.")
        for name, reason in self.scoring.missing.items():
            say(f"{name} will be skipped: {reason}")

    def shards(self, scale: float | None) -> Shards:
        """What is measured of a scale whose point is not whole yet."""
        if scale not in self._shards:
            shards = Shards(
                self.spec.n,
                self.folder.path / SHARDS,
                [guidance_text(scale), *self._identity],
                shown=SHOWN,
                batch=self.spec.batch_size,
                texts=self.keep,
                check=self.check,
            )
            if (kept := self.kept(scale)) is not None:
                ids, parts = self.generator.ids, self.generator.parts
                shards.whole = lambda part: kept.holds(ids[part.start : part.stop], parts, texts=False)
            shards.needed = lambda: scale not in self.folder.points()
            self._shards[scale] = shards
        return self._shards[scale]

    def kept(self, scale: float | None) -> SampleFolder | None:
        """Where the samples of a scale are kept, if they are."""
        return SampleFolder(kept_samples(self.folder.path, scale)) if self.keep else None

    def check(self) -> None:
        """UserError: nobody needs what would be written now."""
        self.folder.check()
        if left_alone():
            raise UserError(f"the process that this one shared {self.folder.path} with is gone; give its command again")

    @contextmanager
    def helped(self, jobs: int | None, asked: Mapping[str, Any]) -> Iterator[Helpers]:
        """Other processes of this machine that do shards of the points to come; `jobs` counts this one too."""
        budget, work = torch.get_num_threads(), sum(len(self.shards(scale).parts) for scale in self.todo)
        if jobs is None:
            alone = self.watch is not None or sys.platform == "win32" or self.planned.provenance.device[:3] != "cpu"
            jobs = 1 if alone else fitting(min(budget, work // 2), peak_memory())
        count, threads = max(min(jobs, work), 1), max(budget // max(jobs, 1), 1)
        command = ["sweep", *arguments(asked), "--shard=any"]
        if count == 1:
            yield Helpers(command, 0, threads)
            return
        say(f"{count} processes of {threads} thread{'s' * (threads > 1)} share it.")
        self.folder.share()
        torch.set_num_threads(threads)
        try:
            with self.folder.merging() as mine:
                if not mine:
                    raise UserError(f"another process merges {self.folder.path}; wait for it")
                with threadpool_limits(threads), Helpers(command, count - 1, threads) as helpers:
                    yield helpers
        finally:
            torch.set_num_threads(budget)

    def take_share(self, share: Share, began: float) -> None:
        """Measure the shards of a share, and merge all if that is this process's to do."""
        images = sum(len(part) for _, part in of(share, self.work(self.todo)))
        with Bar(DRAWING, images) as bar:
            whole = take_all(share, self.work(self.todo, bar.advance), self.scoring)
        if whole:
            with self.folder.merging() as mine:
                if mine:
                    self.resume()  # another process may have merged meanwhile
                    if self.todo:
                        self.measure_all(began)
                    else:
                        remove_written(self.folder.path / SHARDS)

    def work(self, scales: Sequence[float | None], tick: Tick = lambda images: None) -> list[Work]:
        """What is to be drawn at these scales."""

        def telling(images: float) -> None:
            self.check()
            tick(images)

        generator = replace(self.generator, progress=telling)
        rows = [(row, scale) for row, scale in enumerate(self.scales) if scale in scales]
        return [Work(row, self.shards(scale), drawing(generator, scale, self.kept(scale))) for row, scale in rows]

    def measure_all(self, began: float, helpers: Helpers | None = None) -> None:
        """All points to come, each written when its shards are there. began: when the sweep did."""
        done = self.measure_first(helpers)
        with Bar("evaluating real images", self.real_count) as bar:
            self.measure_real(bar.advance)
        with Bar(DRAWING, self.spec.n * len(self.todo), done) as bar:
            for place, scale in enumerate(self.todo):
                if self.saturated():
                    say(f"{self.watch} is saturated: twice the interval held no gain that counts. The sweep stops.")
                    break
                while not self.shards(scale).complete:
                    shared = helpers is not None and helpers.working
                    ahead = shared and bool(self.record.points)  # nothing is begun that a first row would wait for
                    work = self.work(self.todo[place:] if ahead else [scale], bar.advance)
                    if not take(Share(), work, self.scoring):
                        time.sleep(0.05)
                point = self.measure(scale, bar.advance, began)
                say(_line(point, self.record))
        self.write_grid()
        remove_written(self.folder.path / SHARDS)
        if not any(score.value is not None for point in self.record.points for score in point.scores.values()):
            raise NothingMeasured(f"nothing could be measured; the reasons are in {self.folder.path}")

    def measure_first(self, helpers: Helpers | None) -> float:
        """How many images of the first point this process has measured before the real ones: those that were free, if
        the point has few shards. The others then finish theirs while it is at the real ones, and nobody waits."""
        if helpers is None or not helpers.count or not self.todo:
            return 0.0
        shards = self.shards(self.todo[0])
        if len(shards.parts) > FIRST * (helpers.count + 1):
            return 0.0
        with Bar(DRAWING, self.spec.n * len(self.todo)) as bar:
            while take(Share(), self.work(self.todo[:1], bar.advance), self.scoring):
                pass
            return bar.done

    @property
    def real_count(self) -> int:
        return len(self.reference) + self.scoring.real_count if self.todo else 0

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
        from gcbench.reports import curve  # and with it matplotlib, which a process that takes a share does without

        shards = self.shards(scale)
        shards.tick = tick
        measured = measure_point(replace(self.generator, progress=tick), self.scoring, scale, shards, self.kept(scale))
        self.processes |= measured.processes
        self.shown[scale] = measured.shown
        self.record.points = sorted([*self.record.points, measured.point], key=lambda point: point.guidance or 0)
        table = SampleTable(self.table.groups, self.table.prompts)
        table.collect(measured.metrics, scale)
        self.table.values |= {
            key: values for key, values in table.values.items() if key[1] in self.watched and not key[2]
        }
        pareto.mark(self.record, self.table.values, self.table.groups, self.spec.axes)
        self.seconds["sweep"] = round(time.perf_counter() - began, 3)
        fields = {"seconds": dict(self.seconds), "processes": max(len(self.processes), 1)}
        self.record.provenance = self.record.provenance.model_copy(update=fields)
        self.folder.check()
        write_scores(self.record, self.folder.path / SCORES)
        curve.draw(self.record, self.folder.path, self.spec.axes)
        self.folder.write(self.record, table)
        shards.forget()
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
        batch = next(in_batches(self.generator.batches(scale, self.shards(scale).parts[0]), self.spec.model))
        return batch.take(range(min(SHOWN, len(batch))))


def estimate(
    spec: RunSpec,
    model: Model,
    scoring: Scoring,
    reference: Reference,
    todo: Sequence[float | None],
    processes: int = 1,
) -> str:
    """How long the points of these scales take so many processes: from one batch evaluated and the model's own word."""
    if not todo:
        return "Nothing is left to do."
    samples = reference.samples(range(min(BATCH, len(reference))))
    began = time.perf_counter()
    scoring.evaluators.features(samples)
    evaluating = (time.perf_counter() - began) / len(samples)
    seconds = evaluating * (len(reference) + scoring.real_count + spec.n * len(todo))
    known = {
        plain: seconds_per_image(spec.model, model, reference, None if plain else 2.0)
        for plain in {scale in (None, 1.0) for scale in todo}
    }
    for scale in todo:
        generating = known[scale in (None, 1.0)]
        if generating is None or spec.given is not None:  # it may take every step several times
            return f"Evaluating takes about {seconds / processes:.0f} s; how long the model takes, its bar will say."
        seconds += spec.n * generating
    seconds /= processes
    return f"This takes about {seconds:.0f} s." if seconds < 100 else f"This takes about {seconds / 60:.0f} min."


def _trained(spec: RunSpec) -> Path:
    """The checkpoint that `--train` makes first, or resumes if an earlier try was stopped."""
    out = Path("runs") / f"train-{short_name(spec.model)}-{Path(spec.dataset).name}"
    resume = (out / CONFIG).exists()
    return train_model(model=spec.model, dataset=spec.dataset, out=out, resume=resume, device=spec.device)


def _line(point: Point, record: Record) -> str:
    columns = [number_column(name, protocol=record.protocol) for name in point.scores]
    numbers = [column.texts([Row("", scores=point.scores)])[0] for column in columns]
    scores = ", ".join(f"{column.heading.rstrip(' ↑↓')} {text}" for column, text in zip(columns, numbers, strict=True))
    label = "" if point.guidance is None else f"guidance {guidance_text(point.guidance)}: "
    processes = record.provenance.processes
    together = "" if processes == 1 else f" of {processes} processes together"
    return f"{label}{scores} ({sum(point.seconds.values()):.0f} s{together})"
