"""`gcbench suite`: train and measure every row of a suite, one after the other, so that a stopped run goes on."""

import math
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.resources import files
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from gcbench.commands.sweep import sweep
from gcbench.commands.train import CONFIG, TRAINED, recipe_of, train
from gcbench.core.checkpoint import read_card
from gcbench.core.contracts import Dataset
from gcbench.core.errors import NothingMeasured, UserError
from gcbench.core.files import parse_json, read_text, write_text
from gcbench.core.record import Provenance
from gcbench.core.run_spec import MOST_IMAGES, MOST_TRAINED, check_count
from gcbench.core.settings import read_settings
from gcbench.data.open_dataset import open_dataset
from gcbench.evaluation.setup import choose_device
from gcbench.reports.table import show
from gcbench.reports.table1 import table1
from gcbench.runs.lock import Lock
from gcbench.runs.manifest import RUN, Manifest
from gcbench.runs.progress import say
from gcbench.runs.suite_plan import BUDGET, Row, Suite, bundled, find

LEDGER = "suite.json"
TRAIN = "train-"
"""Before a row's name: the directory of its training."""


class Stage(BaseModel):
    """What a stage took, or why it was not made. images: seen in training, or measured. seconds: of all its tries."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["train", "sweep"]
    row: str
    model: str
    status: Literal["ok", "failed"] = "ok"
    reason: str | None = None
    images: int | None = None
    parameters: int | None = None
    seconds: float | None = None
    device: str = ""


class Ledger(BaseModel):
    """What a suite's directory holds: the budget that all its rows share, and what its stages took."""

    model_config = ConfigDict(extra="forbid")

    suite: str
    dataset: str
    dataset_version: str
    images: int
    n: int
    evaluators: list[str] = Field(default_factory=list)
    stages: list[Stage] = Field(default_factory=list)

    def differences(self, other: "Ledger") -> list[str]:
        mine, theirs = self.model_dump(exclude={"stages"}), other.model_dump(exclude={"stages"})
        return [f"{key}: {mine[key]!r} against {theirs[key]!r}" for key in mine if mine[key] != theirs[key]]

    def put(self, stage: Stage) -> None:
        """In place of an earlier try of the same stage."""
        self.stages = [old for old in self.stages if (old.kind, old.row) != (stage.kind, stage.row)] + [stage]

    def write(self, folder: Path) -> None:
        write_text(folder / LEDGER, self.model_dump_json(indent=1, exclude_none=True) + "\n")


class Task(NamedTuple):
    """A stage to come."""

    kind: Literal["train", "sweep"]
    row: Row


def tasks(suite: Suite, rows: Sequence[Row]) -> list[Task]:
    """Each row's training, unless an earlier row's is taken, then its sweep; trainings that `rows` need included."""
    needed = [owner.name for row in rows if (owner := suite.trained_by(row))]
    out = []
    for row in suite.row:
        if row.name in needed:
            out.append(Task("train", row))
        if row in rows:
            out.append(Task("sweep", row))
    return out


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
) -> Path:
    """Make every row of the suite `name` on `dataset`, and what it shows; returns its directory.

    images, n: in place of the suite's own. only: rows by name or model, with commas. allow_code: run the Python files
    that the suite's rows name as models. A stage that cannot be made does
    not lose the others.

    Raises:
        UserError: what the caller must mend before the start; at the end, that stages were not made.
    """
    suite = find(name)
    given = {key: value for key, value in (("images", images), ("n", n)) if value is not None}
    suite = suite.model_copy(update=given)
    check_count("--images", suite.images, 1, MOST_TRAINED, "that a training sees")
    check_count("-n", suite.n, 2, MOST_IMAGES, "to measure a spread")
    device = choose_device(device)
    opened = open_dataset(dataset)
    rows = suite.check_code(only, allow_code)
    todo = tasks(suite, rows)
    out = out or Path("runs") / f"suite-{suite.name}-{opened.name}"
    planned = Ledger(
        suite=suite.name,
        dataset=opened.name,
        dataset_version=opened.version,
        images=suite.images,
        n=suite.n,
        evaluators=list(evaluators),
    )
    again = [] if not fresh else tasks(suite, suite.row) if only is None else todo
    everything = [task.row for task in again if task.kind == "sweep"] == suite.row
    with Lock(out):
        ledger = _resume(out, planned, again, everything)
        ledger.write(out)
        say(f"{suite.title or suite.name} on {opened.name}: {len(todo)} stages. Run: {out}")
        for task in todo:
            say("  " + _described(task, suite))
        if known := _estimate(suite, opened, todo):
            say(known)

        made: dict[str, Path | None] = {}  # row -> weights; None where the training failed
        for number, task in enumerate(todo, 1):
            row = task.row
            say(f"Stage {number} of {len(todo)}: {_described(task, suite)}")
            try:
                owner = suite.trained_by(row)
                weights = None if owner is None or task.kind == "train" else made[owner.name]
                if task.kind == "train":
                    stage, made[row.name] = _train(suite, row, dataset, out, device)
                elif owner is not None and weights is None:
                    raise UserError(f"the training of {owner.name} was not made")
                else:
                    stage = _sweep(suite, row, dataset, out, weights, evaluators, device)
            except (UserError, NothingMeasured) as error:
                say(f"{row.name}: {error}")
                stage = Stage(kind=task.kind, row=row.name, model=row.model, status="failed", reason=str(error))
                if task.kind == "train":
                    made[row.name] = None
            ledger.put(stage)
            ledger.write(out)
    _show(suite, dataset, opened, out)
    asked = {(task.kind, task.row.name) for task in todo}
    failed = [stage for stage in ledger.stages if stage.status == "failed" and (stage.kind, stage.row) in asked]
    if failed:
        reasons = "; ".join(f"{stage.kind} {stage.row}: {stage.reason}" for stage in failed)
        raise UserError(f"{len(failed)} of {len(todo)} stages were not made ({reasons}); the others are in {out}")
    return out


def list_suites() -> None:
    """Print the suites that come with gcbench: their rows and budget."""
    for name, suite in bundled().items():
        rows = ", ".join(f"{row.name} (optional)" if row.optional else row.name for row in suite.row)
        print(f"{name}  {suite.title}: {rows};")
        print(f"  {suite.images} images a training, {suite.n} images measured")


def _described(task: Task, suite: Suite) -> str:
    row = task.row
    settings = f" ({', '.join(row.train if task.kind == 'train' else row.sample)})"
    what = f"{task.kind} {row.name}{settings if len(settings) > 3 else ''}"
    if task.kind == "train":
        return f"{what}: {suite.images} images seen"
    if row.until_saturation:
        return f"{what}: {suite.n} images a guidance scale, up to {len(row.scales)} scales, until saturation"
    return f"{what}: {suite.n} images" + (f", {len(row.scales)} guidance scales" if len(row.scales) > 1 else "")


def _train(suite: Suite, row: Row, dataset: str, out: Path, device: str) -> tuple[Stage, Path]:
    settings = read_settings(None, row.train)
    batch = recipe_of(row.model, None, dataset, settings).train_config.batch_size
    settings[BUDGET] = math.ceil(suite.images / batch)
    folder = out / f"{TRAIN}{row.name}"
    weights = train(model=row.model, dataset=dataset, settings=settings, out=folder, resume=True, device=device)
    card = read_card(weights)
    seconds, machine = card.provenance.get("seconds"), card.provenance.get("device") or ""
    stage = Stage(kind="train", row=row.name, model=row.model, images=card.images_seen, seconds=seconds, device=machine)
    return stage, weights


def _sweep(
    suite: Suite, row: Row, dataset: str, out: Path, weights: Path | None, evaluators: Sequence[str], device: str
) -> Stage:
    record = sweep(
        row.model,
        dataset,
        guidance=row.scales,
        until_saturation=row.until_saturation,
        n=suite.n,
        settings=read_settings(None, row.sample),
        checkpoint=weights,
        evaluators=evaluators,
        out=out / row.name,
        device=device,
    )
    tries: list[Provenance] = [record.provenance, *record.provenance.before]
    return Stage(
        kind="sweep",
        row=row.name,
        model=row.model,
        images=suite.n * len(record.points),
        parameters=record.model.parameters,
        seconds=round(sum(one.seconds.get("sweep", 0.0) for one in tries), 3),
        device=record.provenance.device,
    )


def _resume(out: Path, planned: Ledger, fresh: Sequence[Task], everything: bool) -> Ledger:
    """The ledger to go on with. fresh: tasks whose earlier results are thrown away.
    UserError: `out` holds another suite or budget, is no directory, or holds a stranger's file among those results."""
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file; choose a directory")
    held = read_ledger(out / LEDGER) if (out / LEDGER).exists() and not (fresh and everything) else planned
    if differences := held.differences(planned):
        raise UserError(
            f"{out} holds another suite ({'; '.join(differences)}); choose another --out, or add --fresh to start anew"
            " with all rows"
        )
    folders = {out / (f"{TRAIN}{task.row.name}" if task.kind == "train" else task.row.name): task for task in fresh}
    with ExitStack() as locks:
        manifests: dict[Path, Manifest] = {}
        for folder, task in folders.items():
            if folder.is_dir():
                locks.enter_context(Lock(folder))
                trained = TRAINED if (folder / CONFIG).exists() else ()
                manifests[folder] = Manifest(files=[*trained]) if task.kind == "train" else Manifest.read(folder)
                manifests[folder].refuse_removal(folder, {})
        for folder, manifest in manifests.items():
            manifest.remove(folder)
            (folder / RUN).unlink(missing_ok=True)
    gone = {(task.kind, task.row.name) for task in fresh}
    held.stages = [stage for stage in held.stages if (stage.kind, stage.row) not in gone]
    return held


def read_ledger(path: Path) -> Ledger:
    try:
        return Ledger.model_validate(parse_json(read_text(path)))
    except (OSError, UserError, ValueError):
        raise UserError(f"{path} is damaged; put it back as it was, or choose another --out") from None


def _estimate(suite: Suite, dataset: Dataset, todo: Sequence[Task]) -> str | None:
    """From what the same stages took in the run that comes with gcbench, if there is one."""
    path = Path(str(files("gcbench.results"))) / "measured" / dataset.name / suite.name / LEDGER
    if not path.is_file():
        return None
    ledger = read_ledger(path)
    known = {(stage.kind, stage.row): stage for stage in ledger.stages}
    share = {"train": suite.images / ledger.images, "sweep": suite.n / ledger.n}
    seconds, devices = 0.0, []
    for task in todo:
        stage = known.get((task.kind, task.row.name))
        if stage is None or stage.seconds is None:
            return None
        seconds += stage.seconds * share[task.kind]
        devices.append(stage.device)
    machines = " and ".join(dict.fromkeys(devices))
    return f"By the run that comes with gcbench this takes {seconds / 60:.0f} min on {machines}."


def _show(suite: Suite, dataset: str, opened: Dataset, out: Path) -> None:
    """The table or figure of what is there."""
    if suite.show is None or not any((out / row.name / "record.json").is_file() for row in suite.row):
        return
    if suite.show == "table1":
        show(table1(opened.name, out))
    else:
        from gcbench.commands.figure import draw_figure

        draw_figure(6, dataset, runs=out, out=out)
