"""`gcbench suite`: train and measure every row of a suite, here or on a cluster; a stopped run resumes."""

import math
import shlex
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from importlib.resources import files
from pathlib import Path

from gcbench.commands.train import CONFIG, TRAINED, recipe_of
from gcbench.core.contracts import Dataset
from gcbench.core.errors import UserError
from gcbench.core.files import write_text
from gcbench.core.registry import registry
from gcbench.core.run_spec import MOST_IMAGES, MOST_TRAINED, check_count
from gcbench.core.settings import read_settings
from gcbench.data.open_dataset import open_dataset
from gcbench.evaluation.setup import choose_device
from gcbench.reports.html_report import write_report
from gcbench.reports.over_seeds import over_seeds
from gcbench.reports.table import render, show
from gcbench.reports.table1 import table1
from gcbench.runs import slurm
from gcbench.runs.local_engine import run_local
from gcbench.runs.lock import Lock
from gcbench.runs.manifest import RECORD, RUN, Manifest
from gcbench.runs.progress import say
from gcbench.runs.suite_ledger import LEDGER, LOGS, Ledger, ended, read_ledger
from gcbench.runs.suite_plan import Row, Show, Suite, Variant, bundled, check_engine, find
from gcbench.runs.suite_stages import TRAIN, Job, Stage, steps_of, trainings

OVER_SEEDS, REPORT = "over_seeds", "report.html"


def run_suite(
    name: str,
    dataset: str = "streets",
    *,
    out: Path | None = None,
    images: int | None = None,
    n: int | None = None,
    only: str | None = None,
    evaluators: Sequence[str] = (),
    fresh: bool = False,
    allow_code: bool = False,
    device: str = "auto",
    engine: str = "local",
    jobs: int | None = None,
    shards: int = 1,
    slurm_options: Sequence[str] = (),
    plan: bool = False,
) -> Path:
    """Make every row of the suite `name` on `dataset`, and what it shows; returns its directory.

    images, n: in place of the suite's own. only: rows by name or model, with commas. allow_code: run the Python files
    that the suite's rows name as models. engine: `local` runs the stages as processes of this machine, `slurm` submits
    them and returns. jobs: stages at once, 1 by default here, all on a cluster. shards: that each sweep is cut into.
    slurm_options: KEY=VALUE for sbatch. plan: print the stages, and make nothing. A stage that cannot be made does not
    lose the others.

    Raises:
        UserError: what the caller must mend before the start; at the end, that stages were not made.
    """
    suite = find(name)
    given = {key: value for key, value in (("images", images), ("n", n)) if value is not None}
    suite = suite.model_copy(update=given)
    check_count("--images", suite.images, 1, MOST_TRAINED, "that a training sees")
    check_count("-n", suite.n, 2, MOST_IMAGES, "to measure a spread")
    check_engine(engine, jobs, shards, slurm_options)
    options = slurm.check_options(slurm_options) if engine == "slurm" else {}
    suite.check_metrics()
    device = device if engine == "slurm" else choose_device(device)  # a job may have another than this machine
    opened = open_dataset(dataset)
    rows = suite.check_code(only, allow_code)
    variants = _variants(suite, rows, opened)
    out = out or Path("runs") / f"suite-{suite.name}-{opened.name}"
    steps = steps_of(suite, rows, lambda row: _steps(suite, row, rows, dataset))
    stages = Job(suite, dataset, out, device, evaluators, steps, shards).stages(variants)
    title = f"{suite.title or suite.name} on {opened.name}: {len(stages)} stages. Run: {out}"
    known = [line] if (line := _estimate(suite, opened, variants)) else []
    if plan:
        print("\n".join([title, *_planned(stages), *known]))
        for array in slurm.arrays(stages) if engine == "slurm" else ():
            keys = ", ".join(stage.key for stage in array)
            print(f"\nsbatch, {keys}:\n{slurm.script(_logs(out), suite.name, options, jobs, array)}")
        return out
    planned = Ledger(
        suite=suite.name,
        dataset=opened.name,
        dataset_version=opened.version,
        images=suite.images,
        n=suite.n,
        evaluators=list(evaluators),
    )
    again = [] if not fresh else _folders(suite, suite.row if only is None else rows)
    executor = slurm.slurm_executor(_logs(out), suite.name, options, jobs) if engine == "slurm" else None
    with Lock(out):
        ledger = _resume(out, planned, again, only is None or rows == suite.row)
        ledger.plan, ledger.dataset_argument = suite, dataset
        ledger.waiting = stages if executor is not None else []
        ledger.write(out)
        for line in [title, *(f"  {line}" for line in _planned(stages)), *known]:
            say(line)
        if executor is not None:
            ids = slurm.submit(stages, executor, lambda job: None)
            for stage in stages:
                job = f"job {ids[stage.key]}" if stage.key in ids else stage.fault or "left out"
                say(f"{stage.key}: {job}")
            say(f"Submitted {len(ids)} jobs; the last is the table: gcbench suite show {shlex.quote(str(out))}")
            return out

        def note(stage: Stage, reason: str | None) -> None:
            ledger.collect(stage, out, reason)
            ledger.write(out)

        run_local(stages[:-1], _logs(out), jobs or 1, note)
        _show(ledger, out)
    if failed := ledger.failed(stages):
        reasons = "; ".join(f"{outcome.key}: {outcome.reason}" for outcome in failed)
        raise UserError(f"{len(failed)} of {len(stages) - 1} stages were not made ({reasons}); the others are in {out}")
    return out


def show_suite(folder: Path) -> None:
    """Print what a suite shows of the records that are there, and write its tables over seeds.
    UserError: `folder` holds no suite, or is written at the moment."""
    Ledger.read(folder)
    with Lock(folder):
        ledger = Ledger.read(folder)
        for stage in ledger.waiting:
            has_ended = ended(stage, folder)
            if stage.shard and not has_ended:
                continue  # of what is not merged nothing is known here
            ledger.collect(stage, folder, None if has_ended else stage.fault or f"it did not end; see {folder / LOGS}")
        ledger.write(folder)
        for outcome in ledger.failed(ledger.waiting):
            say(f"{outcome.key}: {outcome.reason}")
        _show(ledger, folder)


def list_suites() -> None:
    """Print the suites that come with gcbench: their rows and budget."""
    for name, suite in bundled().items():
        rows = ", ".join(f"{row.name} (optional)" if row.optional else row.name for row in suite.row)
        print(f"{name}  {suite.title}: {rows};")
        axes = "" if suite.seeds is None else f", {suite.seeds} seeds"
        axes += "" if suite.splits is None else f", trained on {' and '.join(suite.splits)}"
        print(f"  {suite.images} images a training, {suite.n} images measured{axes}")


def _logs(out: Path) -> Path:
    return out / LOGS


def _variants(suite: Suite, rows: Sequence[Row], dataset: Dataset) -> list[Variant]:
    """The rows on their splits with their seeds. UserError: a split that cannot be trained on."""
    variants = [variant for row in rows for variant in suite.variants(row)]
    known = (*dataset.splits[:-1], *dataset.parts)
    for variant in variants:
        if variant.split is not None and variant.split not in known:
            choices = ", ".join(known) or "none"
            raise UserError(
                f"the suite {suite.name} trains on the split {variant.split!r}; {dataset.name} has {choices}"
            )
    return variants


def _folders(suite: Suite, rows: Sequence[Row]) -> list[str]:
    """What the stages of these rows write, trainings that they need included."""
    variants = [variant for row in rows for variant in suite.variants(row)]
    return [*(v.name for v in variants), *(f"{TRAIN}{v.name}" for v in trainings(suite, variants))]


def _steps(suite: Suite, row: Row, rows: Sequence[Row], dataset: str) -> int | str:
    """Of the row's training, or why it cannot be. UserError: its model would not take the `sample` of one of `rows`
    that is measured with its weights; so nothing is trained in vain."""
    from gcbench.training.trained_model import TrainedModel  # and with it torch

    try:
        recipe = recipe_of(row.model, None, dataset, read_settings(None, suite.settings(row, dataset)))
    except UserError as error:
        return str(error)
    for measured in rows:
        kind = registry("models")[measured.model]
        if measured.sample and suite.trained_by(measured) == row and issubclass(kind, TrainedModel):
            try:
                kind.sampled_by(recipe.cfg, read_settings(None, measured.sample))
            except UserError as error:
                raise UserError(f"the suite {suite.name}, `sample` of {measured.name}: {error}") from None
    return math.ceil(suite.images / recipe.train_config.batch_size)


def _planned(stages: Sequence[Stage]) -> list[str]:
    """Two or three lines a stage: its name, what it needs, its command line."""
    lines = []
    for stage in stages:
        others = "all others" if stage.kind == "table" else ", ".join(stage.needs)
        needs = f" after {others}" if stage.needs else ""
        lines.append(f"{stage.key}{needs}" + (f": cannot be made, {stage.fault}" if stage.fault else ""))
        lines.append(f"  gcbench {shlex.join(stage.command)}")
    return lines


def _resume(out: Path, planned: Ledger, fresh: Sequence[str], everything: bool) -> Ledger:
    """The ledger to continue. fresh: folders whose earlier results are thrown away.
    UserError: `out` holds another suite or budget, is no directory, or holds a stranger's file among those results."""
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file; choose a directory")
    held = read_ledger(out / LEDGER) if (out / LEDGER).exists() and not (fresh and everything) else planned
    if differences := held.differences(planned):
        raise UserError(
            f"{out} holds another suite ({'; '.join(differences)}); choose another --out, or add --fresh to start anew"
            " with all rows"
        )
    with ExitStack() as locks:
        manifests: dict[Path, Manifest] = {}
        for name in fresh:
            if (folder := out / name).is_dir():
                locks.enter_context(Lock(folder))
                trained = TRAINED if (folder / CONFIG).exists() else ()
                manifests[folder] = Manifest(files=[*trained]) if trained else Manifest.read(folder)
                manifests[folder].refuse_removal(folder, {})
        for folder, manifest in manifests.items():
            manifest.remove(folder)
            (folder / RUN).unlink(missing_ok=True)
    held.stages = [stage for stage in held.stages if stage.folder not in fresh]
    return held


def _estimate(suite: Suite, dataset: Dataset, variants: Sequence[Variant]) -> str | None:
    """From what the same stages took in the run that comes with gcbench, if there is one."""
    path = Path(str(files("gcbench.results"))) / "measured" / dataset.name / suite.name / LEDGER
    if not path.is_file():
        return None
    ledger = read_ledger(path)
    known = {(str(outcome.kind), outcome.row): outcome for outcome in ledger.stages}
    seconds, devices = 0.0, []
    for kind, share, todo in (
        ("train", suite.images / ledger.images, trainings(suite, variants)),
        ("sweep", suite.n / ledger.n, variants),
    ):
        for variant in todo:
            outcome = known.get((kind, variant.name)) or known.get((kind, variant.row.name))
            if outcome is None or outcome.seconds is None:
                return None
            seconds += outcome.seconds * share
            devices.append(outcome.device)
    machines = " and ".join(dict.fromkeys(devices))
    return f"By the run that comes with gcbench this takes {seconds / 60:.0f} min on {machines}, one stage at a time."


# ---------------------------------------------------------------------------------------------------------- shown


def _table1(ledger: Ledger, out: Path) -> None:
    show(table1(ledger.dataset, out))


def _figure6(ledger: Ledger, out: Path) -> None:
    from gcbench.commands.figure import draw_figure

    draw_figure(6, ledger.dataset_argument or ledger.dataset, runs=out, out=out)


SHOWN: dict[Show, Callable[[Ledger, Path], None]] = {"table1": _table1, "figure6": _figure6}
"""What a suite's `show` names, and how it is made of the records in a directory."""


def _show(ledger: Ledger, out: Path) -> None:
    """The table or figure of what is there, and the tables over seeds and splits."""
    suite = ledger.plan or find(ledger.suite)
    runs = [(v, out / v.name) for row in suite.row for v in suite.variants(row) if (out / v.name / RECORD).is_file()]
    if not runs:
        return
    if suite.show is not None:
        SHOWN[suite.show](ledger, out)
    if suite.seeds is not None or suite.splits is not None or suite.compare is not None:
        summary = over_seeds(runs, suite.compare)
        show(summary.tables())
        for ending in ("csv", "json"):
            write_text(out / f"{OVER_SEEDS}.{ending}", render(summary.tables(everything=True), ending))
    say(f"Wrote {write_report([folder for _, folder in runs], out / REPORT)}")
