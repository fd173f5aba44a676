"""The command line: commands and their help, no logic. torch is imported by the commands that use it."""

import codecs
import errno
import io
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from gcbench.core.errors import NothingMeasured, Stopped, UserError, tell_launcher
from gcbench.core.names import plain

RESUMES = ("sweep", "evaluate", "sample", "suite", "train", "downstream")
"""Commands that resume where they were stopped."""


MOST_LETTERS = 4000
"""Of a message that repeats what was typed."""


class Commands(TyperGroup):
    """The commands; Ctrl-C, or a signal that a training waits for, ends one with a line that says how to resume it.
    What they refuse is shown as plain text."""

    def invoke(self, ctx: Any) -> Any:
        try:
            with readable():
                return super().invoke(ctx)
        except KeyboardInterrupt as error:
            code = 128 + error.signal if isinstance(error, Stopped) else 130
            fail(stopped(ctx.invoked_subcommand, sys.argv, str(error) or "stopped"), code)

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        with readable():
            return super().make_context(*arguments, **options)


HOLD_PATHS = ("dataset", "model", "evaluator", "set_", "cascade", "reference")
"""Options whose texts may hold a path: alone, behind `=`, `@` or a comma."""


def at_home(run: Callable[..., Any]) -> Callable[..., Any]:
    """The function of a command; `~` in its paths is the home folder, as in those that a shell has read."""

    def expanded(value: Any, text: bool) -> Any:
        if isinstance(value, list):
            return [expanded(item, text) for item in value]
        if isinstance(value, str) and text:
            return re.sub(r"(^|[=@,])(~[^/=@,]*)", lambda match: match[1] + os.path.expanduser(match[2]), value)
        return Path(os.path.expanduser(value)) if isinstance(value, Path) else value

    @wraps(run)
    def call(**options: Any) -> Any:
        return run(**{name: expanded(value, name in HOLD_PATHS) for name, value in options.items()})

    return call


@contextmanager
def readable() -> Iterator[None]:
    """Show what was typed in an error of the command line without characters that steer a terminal."""
    try:
        yield
    except Exception as error:
        if isinstance(message := getattr(error, "message", None), str):  # an error of the command line
            error.message = plain(message)  # type: ignore[attr-defined]
        raise


app = typer.Typer(
    name="gcbench",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(help="Datasets: what is found and complete, copies in other forms.", no_args_is_help=True)
app.add_typer(data_app, name="data")
weights_app = typer.Typer(help="Official weights: list, fetch, check, import.", no_args_is_help=True)
app.add_typer(weights_app, name="weights")
suite_app = typer.Typer(help="Suites: trainings and sweeps that make a table or a figure.", no_args_is_help=True)
app.add_typer(suite_app, name="suite")


def registered(kind: str) -> Callable[[str], list[str]]:
    """Completes the names of one kind."""

    def complete(incomplete: str) -> list[str]:
        from gcbench.core.registry import registry

        return [name for name in registry(kind) if name.startswith(incomplete)]

    return complete


Data = Annotated[
    str,
    typer.Option(
        "--dataset",
        help="A dataset's name, a folder with a dataset.toml, hf:OWNER/NAME, or file.py:Class.",
        autocompletion=registered("datasets"),
    ),
]
ModelName = Annotated[
    str,
    typer.Option(
        "--model", help="A model's name, NAME:ARGUMENT, or file.py:Class.", autocompletion=registered("models")
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Json = Annotated[bool, typer.Option("--json", help="Print the record as JSON on standard output, and nothing else.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Start again, even if --out holds another run.")]
Metrics = Annotated[str | None, typer.Option(help="Names or file.py:Class, with commas; see `gcbench list`.")]
Evaluators = Annotated[list[str] | None, typer.Option("--evaluator", help=r"ROLE=ID\[@FILE], or ROLE=file.py:Class.")]
Size = Annotated[str | None, typer.Option(help="HxW in pixels; by default the model's, else the dataset's.")]
Split = Annotated[str | None, typer.Option(help="Split of prompts and references; the dataset's last by default.")]
ReferenceOf = Annotated[
    str | None,
    typer.Option("--reference", help="Other real images: a split, a folder, .zip or .npz; or an .npz of mu and sigma."),
]
Checkpoint = Annotated[Path | None, typer.Option(help="A .safetensors file that `gcbench train` wrote.")]
Stages = Annotated[str | None, typer.Option("--cascade", help="BASE,SR: checkpoints of two stages in a row.")]
Precision = Annotated[str, typer.Option(help="fp32, bf16 or fp16; not all models take all.")]
Choices = Annotated[list[str] | None, typer.Option("--set", help="A sampler setting: sampler.image_sampler=ddim.")]
TableFormat = Annotated[str, typer.Option("--format", help="rich, md, latex, csv or json.")]
Plan = Annotated[bool, typer.Option("--plan", help="Only print the cost: memory, seconds, disk. Writes nothing.")]
Shard = Annotated[
    str | None, typer.Option(help="I/N: part I of N, from 1; slurm: the array task's part; any: free shards.")
]
Out = Annotated[Path | None, typer.Option(help="Run directory; ./runs/<name> by default.")]


def given(values: dict[str, Any]) -> dict[str, Any]:
    """A command's options under their names in Python. values: its `locals()`, before anything else is one."""
    from gcbench.core.settings import read_settings

    options: dict[str, Any] = {
        NAMES.get(name, name.rstrip("_")): value or () if name in NAMES else value for name, value in values.items()
    }
    if "settings" in options:
        options["settings"] = read_settings(options.pop("config", None), options["settings"])
    return options


NAMES = {"set_": "settings", "evaluator": "evaluators", "prompt": "prompts", "slurm": "slurm_options"}
"""Options that may be given several times, and what holds all of them."""


def check(options: dict[str, Any]) -> None:
    """Refuse a mistake in what is asked of a run, before torch is loaded."""
    from gcbench.core.run_spec import RunSpec
    from gcbench.data.open_dataset import open_dataset

    spec = RunSpec.of(**{name: value for name, value in options.items() if name in RunSpec.model_fields})
    dataset = open_dataset(spec.dataset)
    if spec.reference is not None:
        from gcbench.data.reference_source import find_reference

        find_reference(spec.reference, dataset)
    if "shard" in options:
        from gcbench.runs.work_shares import check_sharing

        alone = {name: options.get(name) or False for name in ("fresh", "train")}
        check_sharing(spec, options["shard"], options.get("jobs"), **alone)


def show(measured: Any, json: bool) -> None:
    """Print a record, or those of several runs by the runs' names; nothing of one whose shards are not all there."""
    several = isinstance(measured, dict)
    records = {name: record for name, record in (measured if several else {"": measured}).items() if record.points}
    if not records:
        return
    if json:
        text = ",\n".join(record.json_text() for record in records.values())
        text, utf8 = f"[{text}]" if several else text, (sys.stdout.encoding or "").lower().startswith("utf")
        typer.echo(text if utf8 else text.encode("ascii", "gcbench").decode())  # JSON is UTF-8, and so is ASCII
    elif several:
        from gcbench.commands.vary import print_records

        print_records(records)
    else:
        from gcbench.reports.record_table import print_record

        print_record(measured)


def print_version(asked: bool) -> None:
    if asked:
        from gcbench.core import __version__

        typer.echo(f"gcbench {__version__}")
        raise typer.Exit


@app.callback()
def gcbench(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=print_version)
    ] = False,
) -> None:
    """Measure text-to-image generators that must obey what a text says about a scene: which classes it names."""


@app.command()
def sweep(
    model: ModelName = "gcdp",
    dataset: Data = "streets",
    guidance: Annotated[str | None, typer.Option(help="Scales, 1,1.5,2,3,4 by default; 1 is conditional.")] = None,
    vary: Annotated[
        str | None, typer.Option(help="KEY=V1,V2: a run for each value of steps, precision or a key of --set.")
    ] = None,
    until_saturation: Annotated[bool, typer.Option(help="Stop when the watched metric no longer gains.")] = False,
    watch: Annotated[str | None, typer.Option(help="The metric to watch; the first of correspondence.")] = None,
    axes: Annotated[str | None, typer.Option(help="The curve's metrics, COST,GAIN, such as fid,clip-score.")] = None,
    n: Annotated[int, typer.Option("-n", help="Images for each scale.")] = 64,
    per_prompt: Annotated[int, typer.Option(help="Images of each prompt, from as many seeds; -n counts all.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the first image; the next has seed + 1.")] = 0,
    steps: Annotated[int | None, typer.Option(help="Sampling steps; the model's own by default.")] = None,
    set_: Choices = None,
    size: Size = None,
    split: Split = None,
    reference: ReferenceOf = None,
    given_: Annotated[
        str | None, typer.Option("--given", help="layouts or images: give the model those of the split.")
    ] = None,
    metrics: Metrics = None,
    checkpoint: Checkpoint = None,
    cascade: Stages = None,
    train: Annotated[bool, typer.Option("--train", help="Train the model on the dataset first.")] = False,
    evaluator: Evaluators = None,
    out: Out = None,
    fresh: Fresh = False,
    keep_samples: Annotated[bool, typer.Option(help="Keep images and layouts in the run directory.")] = False,
    batch_size: Annotated[int, typer.Option(help="Images at a time; changes no number.")] = 16,
    shard: Shard = None,
    jobs: Annotated[int | None, typer.Option(help="Processes here; on a CPU one a thread, if memory allows.")] = None,
    precision: Precision = "fp32",
    device: Device = "auto",
    json: Json = False,
    plan: Plan = False,
) -> None:
    """Measure a model at several guidance scales: a curve of realism against correspondence with the text.

    Without options: the bundled model on the bundled dataset, in minutes. If it is stopped,
    the same command resumes it.
    """
    options = given(locals())
    options.pop("json")
    planned = options.pop("plan")
    runs = {"": options}
    if vary is not None:
        from gcbench.commands.vary import read_vary, runs_of

        options["vary"] = read_vary(vary)
        runs = runs_of(options["vary"], options)
    for each in runs.values():
        check(each)
    if planned:
        from gcbench.commands.plan import plan_sweep

        return plan_sweep(**options)
    from gcbench.commands.sweep import sweep as run

    measured = run(**options)
    show(measured if vary is None else dict(zip(runs, measured, strict=True)), json)


@app.command()
def merge(
    run: Annotated[Path, typer.Argument(help="A run directory with all of its shards.")],
    device: Annotated[str | None, typer.Option(help="Device of the evaluators; that of the shards by default.")] = None,
    json: Json = False,
) -> None:
    """Merge a run's shards into its record. The last process of a shared run does the same by itself."""
    from gcbench.commands.merge import merge as merge_run

    show(merge_run(run, device), json)


@app.command()
def evaluate(
    images: Annotated[Path, typer.Option(help="A folder or .zip of PNG or JPEG images, or an .npz.")],
    dataset: Data = "streets",
    layouts: Annotated[Path | None, typer.Option(help="Folder, .zip or .npz: class ids, or colours.")] = None,
    prompts: Annotated[Path | None, typer.Option(help="JSON lines, CSV, TXT, or COCO's JSON.")] = None,
    texts: Annotated[str, typer.Option(help="For an image with several texts: first, or all (each counts).")] = "first",
    given_: Annotated[bool, typer.Option("--given", help="The layouts were given to the model.")] = False,
    derived_by: Annotated[str | None, typer.Option(help="The segmenter that made the layouts, if one did.")] = None,
    split: Split = None,
    reference: ReferenceOf = None,
    metrics: Metrics = None,
    evaluator: Evaluators = None,
    size: Size = None,
    name: Annotated[str | None, typer.Option(help="What to call the images; the folder's name by default.")] = None,
    self_check: Annotated[bool, typer.Option("--self-check", help="First evaluate the split's real pairs.")] = False,
    out: Out = None,
    fresh: Fresh = False,
    shard: Shard = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Measure finished images, from whatever model, against a split of a dataset."""
    options = given(locals())
    options.pop("json")
    check(options)
    from gcbench.data.finished_images import check_layouts

    check_layouts(images, layouts, options["given"], derived_by)
    from gcbench.commands.evaluate import evaluate as run

    show(run(**options), json)


@app.command()
def sample(
    out: Annotated[Path, typer.Option(help="Folder for images, layouts, prompts and a contact sheet.")],
    model: ModelName = "gcdp",
    dataset: Data = "streets",
    prompt: Annotated[list[str] | None, typer.Option(help="A text; without any, the split's captions.")] = None,
    prompts: Annotated[Path | None, typer.Option(help="A file of texts: JSON lines, CSV, TXT, COCO's JSON.")] = None,
    texts: Annotated[str, typer.Option(help="For an image with several texts in that file: first, or all.")] = "first",
    given_layouts: Annotated[Path | None, typer.Option(help="Layouts to draw images on: folder, .zip or .npz.")] = None,
    given_images: Annotated[Path | None, typer.Option(help="Images to draw layouts of: folder, .zip or .npz.")] = None,
    repeats: Annotated[int | None, typer.Option(help="Repeats of each step, with given layouts or images; 1.")] = None,
    n: Annotated[int | None, typer.Option("-n", help="Images; 8, or as many as are given.")] = None,
    guidance: Annotated[str, typer.Option(help="Guidance scale; of several, 1,2,4, one sheet is made.")] = "3",
    seed: Annotated[int, typer.Option(help="Seed of the first image.")] = 0,
    steps: Annotated[int | None, typer.Option(help="Sampling steps; the model's own by default.")] = None,
    set_: Choices = None,
    size: Size = None,
    checkpoint: Checkpoint = None,
    cascade: Stages = None,
    fresh: Fresh = False,
    precision: Precision = "fp32",
    device: Device = "auto",
) -> None:
    """Draw images and layouts from texts. If it is stopped, the same command draws the missing ones."""
    named = locals()
    file = named.pop("prompts")
    options = given(named)
    if file is not None:
        if prompt:
            raise UserError("--prompt and --prompts contradict each other; leave one out")
        options["prompts"] = file
    from gcbench.core.run_spec import check_given

    check({**options, "n": 8 if n is None else n, **check_given(given_layouts, given_images, repeats, {})[1]})
    from gcbench.commands.sample import sample as run

    run(**options, returned=False)


@app.command()
def train(
    model: Annotated[str | None, typer.Option(help="Train this model.")] = None,
    evaluator: Annotated[str | None, typer.Option(help="Train the evaluator of this role: segmenter.")] = None,
    dataset: Data = "streets",
    config: Annotated[Path | None, typer.Option(help="Settings as a TOML file.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="One setting, KEY=VALUE: train.lr=1e-4.")] = None,
    steps: Annotated[int | None, typer.Option(help="Training steps.")] = None,
    out: Out = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume the training in --out.")] = False,
    limit: Annotated[int | None, typer.Option(help="Use only the first pairs of the training split.")] = None,
    split: Annotated[str | None, typer.Option(help="Train on this split, such as train25.")] = None,
    init: Annotated[Path | None, typer.Option(help="Start from the weights of this checkpoint.")] = None,
    device: Device = "auto",
    plan: Plan = False,
) -> None:
    """Train a model or an evaluator; resumable, with a log, previews and averaged weights."""
    options = given(locals())
    options["evaluator"] = options.pop("evaluators") or None  # of a role, and one only
    if options.pop("plan"):
        from gcbench.commands.plan import plan_training

        return plan_training(**options)
    from gcbench.commands.train import train as run

    run(**options)


@app.command()
def downstream(
    runs: Annotated[
        list[Path] | None, typer.Argument(help="Runs of `sweep --keep-samples`, or a suite's directory.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Draw the pairs with this model instead.")] = None,
    checkpoint: Checkpoint = None,
    images: Annotated[Path | None, typer.Option(help="Or take finished images: folder, .zip or .npz.")] = None,
    layouts: Annotated[Path | None, typer.Option(help="Their layouts: class ids, or colours.")] = None,
    given_: Annotated[bool, typer.Option("--given", help="The layouts were given to the model.")] = False,
    derived_by: Annotated[str | None, typer.Option(help="The segmenter that made the layouts, if one did.")] = None,
    name: Annotated[str | None, typer.Option(help="What to call the pairs.")] = None,
    dataset: Data = "streets",
    split: Annotated[str | None, typer.Option(help="Split to test on; the dataset's last by default.")] = None,
    n: Annotated[int | None, typer.Option("-n", help="Pairs; 500, or as many as there are.")] = None,
    seeds: Annotated[int, typer.Option(help="Segmenters for each arm, one seed each.")] = 3,
    steps: Annotated[int, typer.Option(help="Training steps of every segmenter.")] = 200,
    ratio: Annotated[str, typer.Option(help="generated:real, for the arm trained on both.")] = "1:1",
    guidance: Annotated[str | None, typer.Option(help="Scale of the pairs; 1 for --model.")] = None,
    sampling_steps: Annotated[int | None, typer.Option(help="Sampling steps of --model; its own by default.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="A setting of the segmenter: train.lr=1e-3.")] = None,
    size: Annotated[str | None, typer.Option(help="HxW in pixels; the dataset's by default.")] = None,
    evaluator: Evaluators = None,
    out: Out = None,
    fresh: Fresh = False,
    batch_size: Annotated[int, typer.Option(help="Images drawn at a time; changes no number.")] = 16,
    device: Device = "auto",
    format: TableFormat = "rich",
    json: Json = False,
    plan: Plan = False,
) -> None:
    """Test a model's pairs as training data: segmenters trained on them, on real pairs or on both, tested on real ones.

    Equal steps, several seeds, differences from real pairs with intervals. If it is stopped,
    the same command resumes it.
    """
    options = given({name: value for name, value in locals().items() if name not in ("format", "json")})
    options["runs"] = tuple(options.pop("runs") or ())
    asked = {key: value for key, value in options.items() if key not in ("out", "fresh", "plan")}
    from gcbench.data.open_dataset import open_dataset
    from gcbench.reports.table import check_format
    from gcbench.runs.downstream_record import DownstreamSpec

    check_format(format)
    open_dataset(DownstreamSpec.of(**asked).dataset)  # what cannot be is refused before torch is loaded
    from gcbench.commands.downstream import downstream as run

    result = run(*options.pop("runs"), **options)
    if result is not None and json:
        typer.echo(result.json_text())
    elif result is not None:
        from gcbench.reports.downstream_table import downstream_tables
        from gcbench.reports.table import show as show_tables

        show_tables(downstream_tables(result), format)


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run directories, or their record.json; A is the first.")],
    guidance: Annotated[str | None, typer.Option(help="One scale, or `best`: each run's own; else all.")] = None,
    format: TableFormat = "rich",
    json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON, and nothing else.")] = False,
) -> None:
    """The difference of a run A to each other one, number by number, with interval and p-value.

    Numbers of different protocols are not compared; they are named, with the reason.
    """
    from gcbench.reports.comparison import compare as run
    from gcbench.reports.comparison import print_comparison

    print_comparison(run(*runs, guidance=guidance), "json" if json else format)


@app.command()
def regress(
    suite: Annotated[str | None, typer.Option(help="One of the bundled baselines; all by default.")] = None,
    runs: Annotated[Path | None, typer.Option(help="Your own: runs of `sweep --keep-samples`, or a folder.")] = None,
    rescore: Annotated[Path | None, typer.Option(help="As --runs, but only score the stored samples.")] = None,
    model: Annotated[str | None, typer.Option(help="Where the record's model is now: file.py:Class.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Where the record's dataset is now.")] = None,
    reference: Annotated[str | None, typer.Option(help="Where the reference's images or statistics are now.")] = None,
    checkpoint: Checkpoint = None,
    cascade: Stages = None,
    evaluator: Evaluators = None,
    set_: Choices = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML here.")] = None,
    summary: Annotated[Path | None, typer.Option(envvar="GITHUB_STEP_SUMMARY", help="Append Markdown here.")] = None,
    device: Device = "auto",
) -> None:
    """Measure recorded runs again; exit code 1 if a number no longer holds.

    Stored samples must score the same to 1e-6; samples made anew must be the stored ones up to rounding.
    """
    options = given(locals())
    from gcbench.runs.baselines import baselines

    baselines(suite, runs, rescore, model, dataset, reference)  # what cannot be is refused before torch is loaded
    from gcbench.commands.regress import regress as run
    from gcbench.reports.regression_report import print_report

    report = run(**options)
    print_report(report)
    if not report.passed:
        raise typer.Exit(1)


@app.command()
def table1(
    dataset: Annotated[str, typer.Option(help="Dataset of the measured rows; if it has none, all.")] = "cityscapes",
    format: TableFormat = "rich",
    measured: Annotated[Path | None, typer.Option(help="A folder of records, instead of the bundled ones.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All records of the dataset, not the suite's.")] = False,
    notes: Annotated[bool, typer.Option("--notes", help="Also print protocols and notes on the rows.")] = False,
) -> None:
    """The paper's Table 1 as published, and below it what was measured with gcbench."""
    from gcbench.reports.table import show
    from gcbench.reports.table1 import table1 as run

    show(run(dataset, measured, everything=everything, notes=notes), format)


@app.command()
def report(
    runs: Annotated[
        list[Path] | None, typer.Argument(help="Run directories, or their record.json; A is the first.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The HTML file, ./report.html; of --bundled a folder.")] = None,
    bundled: Annotated[bool, typer.Option("--bundled", help="A site of the bundled records instead.")] = False,
    segmenter: Annotated[
        bool, typer.Option("--segmenter/--no-segmenter", help="Let the record's segmenter label the kept images.")
    ] = True,
    device: Device = "auto",
) -> None:
    """Runs as one HTML file that needs no network: protocol, tables, curves, classes, samples side by side."""
    from gcbench.commands.report import report as run

    run(*(runs or ()), out=out, bundled=bundled, segmenter=segmenter, device=device)


@app.command()
def figure(
    number: Annotated[int, typer.Argument(help="1, 6, 7: from records; 2: from a dataset; 5, 8, 9: from weights.")],
    dataset: Data = "streets",
    runs: Annotated[Path | None, typer.Option(help="Your run directories, not the bundled records (1, 6, 7).")] = None,
    axes: Annotated[str | None, typer.Option(help="Metrics of the trade-off, COST,GAIN (6, 7).")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the files; ./runs/figure-N-<dataset> by default.")] = None,
    checkpoint: Annotated[
        list[Path] | None, typer.Option(help="Weights of a model; repeat for several (5, 8).", show_default=False)
    ] = None,
    model: Annotated[str | None, typer.Option(help="Model whose weights are looked for; gcdp by default.")] = None,
    n: Annotated[int | None, typer.Option("-n", help="Samples or pairs (2, 5, 8, 9).")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the first sample; 0 by default.")] = None,
    guidance: Annotated[float | None, typer.Option(help="One scale; 3 by default (5, 9).")] = None,
    steps: Annotated[int | None, typer.Option(help="Sampling steps; the model's own by default.")] = None,
    split: Annotated[str | None, typer.Option(help="Split of the pairs; the last by default.")] = None,
    evaluator: Annotated[
        list[str] | None, typer.Option(help="ROLE=ID[@FILE] in place of the usual one (9).", show_default=False)
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.", show_default="auto")] = None,
) -> None:
    """A figure of the paper: PNG, SVG and CSV."""
    from gcbench.commands.figure import draw_figure

    sampling = {"model": model, "n": n, "seed": seed, "guidance": guidance, "steps": steps, "split": split}
    evaluators = tuple(evaluator) if evaluator else None
    options = {"axes": axes, **sampling, "evaluators": evaluators, "device": device}
    draw_figure(number, dataset, runs=runs, out=out, checkpoints=checkpoint or (), **options)


@suite_app.command("list")
def suite_list() -> None:
    """The suites that come with gcbench: their rows and their budget."""
    from gcbench.commands.suite import list_suites

    list_suites()


@suite_app.command("run")
def suite_run(
    name: Annotated[str, typer.Argument(help="A name of `gcbench suite list`, or a file that ends in .toml.")],
    dataset: Data = "streets",
    out: Out = None,
    images: Annotated[int | None, typer.Option(help="Images that each training sees; the suite's own.")] = None,
    n: Annotated[int | None, typer.Option("-n", help="Images that each row is measured on; the suite's own.")] = None,
    only: Annotated[str | None, typer.Option(help="These rows, by name or model, with commas.")] = None,
    evaluator: Evaluators = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="First remove these rows' files in --out.")] = False,
    allow_code: Annotated[bool, typer.Option("--allow-code", help="Run Python files that the suite names.")] = False,
    device: Device = "auto",
    engine: Annotated[str, typer.Option(help="local: processes here; slurm: jobs of a cluster.")] = "local",
    jobs: Annotated[int | None, typer.Option(help="Stages at once: 1 here by default, all on a cluster.")] = None,
    shards: Annotated[int, typer.Option(help="Parts that each sweep is cut into, a stage each.")] = 1,
    slurm: Annotated[list[str] | None, typer.Option(help="For sbatch, KEY=VALUE: partition=gpu, time=240.")] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Only print the stages and command lines. Runs nothing.")
    ] = False,
) -> None:
    """Train and measure every row of a suite under one budget. A stopped run is resumed by the same command."""
    options = given(locals())
    from gcbench.data.open_dataset import open_dataset
    from gcbench.runs.suite_plan import check_engine, find

    check_engine(engine, jobs, shards, options["slurm_options"])
    suite = find(name)
    suite.check_code(only, allow_code)  # what cannot be is refused before torch is loaded
    suite.check_metrics()
    open_dataset(dataset)
    from gcbench.commands.suite import run_suite

    run_suite(**options)


@suite_app.command("show")
def suite_show(folder: Annotated[Path, typer.Argument(help="A directory that `gcbench suite run` wrote.")]) -> None:
    """Print a suite's tables from the records that exist so far, and write its tables over seeds."""
    from gcbench.runs.suite_ledger import Ledger

    Ledger.read(folder)
    from gcbench.commands.suite import show_suite

    show_suite(folder)


@app.command("list")
def list_(
    what: Annotated[str | None, typer.Argument(help="models, metrics, datasets or evaluators; all by default.")] = None,
) -> None:
    """What can be named: ours and what installed plug-ins registered."""
    from gcbench.commands.list import show as show_list

    show_list(what)


@app.command()
def speed(
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    sweep: Annotated[bool, typer.Option("--sweep", help="Also time the default sweep, in minutes.")] = False,
    paper: Annotated[
        bool, typer.Option("--paper", help="Time the paper's base model instead: 8 GiB, minutes.")
    ] = False,
    scale: Annotated[bool, typer.Option("--scale", help="Compare several processes with one: minutes.")] = False,
    precision: Precision = "fp32",
) -> None:
    """Time the parts whose speed is promised, each beside the way it is compared with, in one run."""
    from gcbench.commands.speed import run

    run(json, sweep, paper, precision, scale)


@data_app.command("list")
def data_list() -> None:
    """The datasets, and which of them are here."""
    from gcbench.commands.data import list_datasets

    list_datasets()


@data_app.command("check")
def data_check(
    dataset: Annotated[str | None, typer.Argument(help="A dataset's name or folder, or hf:OWNER/NAME.")] = None,
    named: Annotated[str | None, typer.Option("--dataset", help="The same, named as in other commands.")] = None,
    sample: Annotated[int, typer.Option(min=1, help="Pairs to read of each split.")] = 50,
) -> None:
    """Count a dataset's pairs, read some, and say what it is good for; exit code 2 if any is missing or unreadable."""
    from gcbench.commands.data import check

    if (dataset is None) == (named is None):
        raise typer.BadParameter("name one dataset, as in gcbench data check streets")
    chosen = dataset or named or ""
    if not check(chosen, sample):
        raise UserError(f"{chosen} is not whole; see above")


@data_app.command("split")
def data_split(
    dataset: Annotated[str, typer.Argument(metavar="PATH", help="A folder with a dataset.toml and one split.")],
    out: Annotated[Path, typer.Option(help="Where the divided copy goes; must not hold anything.")],
    val: Annotated[float, typer.Option(help="Share of the pairs to hold out and evaluate on.")] = 0.2,
    test: Annotated[float, typer.Option(help="Share of the pairs for a further split, test; 0 for none.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Which pairs are held out; one seed, one division.")] = 0,
    group_by: Annotated[
        str | None,
        typer.Option(help="Keep files together whose names begin alike: '*_' compares them up to their first _."),
    ] = None,
    link: Annotated[bool, typer.Option("--link", help="Hard-link images and layouts instead of copying them.")] = False,
) -> None:
    """Divide a folder dataset of one split into train and val, so that it can be trained on; groups are never cut."""
    from gcbench.commands.data import split

    split(dataset, out, val=val, test=test, seed=seed, group_by=group_by, link=link)


@data_app.command("prepare")
def data_prepare(
    dataset: Annotated[str, typer.Argument(help="A dataset's name or folder.")],
    out: Annotated[Path, typer.Option(help="Where the copy goes.")],
    size: Annotated[str, typer.Option(help="HxW of the copy.")],
    limit: Annotated[int | None, typer.Option(help="Pairs a split.")] = None,
) -> None:
    """A resized copy as a plain folder, which `--dataset PATH` reads faster than the original."""
    from gcbench.commands.data import write_copy

    write_copy(dataset, out, "folder", size, limit)


@data_app.command("export")
def data_export(
    dataset: Annotated[str, typer.Argument(help="A dataset's name or folder.")],
    out: Annotated[Path, typer.Option(help="Where the tree goes.")],
    as_: Annotated[str, typer.Option("--as", help="cityscapes, diffusers or folder.")] = "folder",
    size: Size = None,
    limit: Annotated[int | None, typer.Option(help="Pairs a split.")] = None,
) -> None:
    """Write a dataset as a Cityscapes tree, as images with texts for diffusers, or as a folder with a dataset.toml."""
    from gcbench.commands.data import write_copy

    write_copy(dataset, out, as_, size, limit)


@data_app.command("reference")
def data_reference(
    dataset: Annotated[str, typer.Argument(help="A dataset's name or folder.")],
    out: Annotated[Path, typer.Option(help="The .npz that --reference reads.")],
    split: Split = None,
    evaluator: Annotated[str, typer.Option(help=r"ROLE=ID\[@FILE], whose features are summed up.")] = "inception=tf1",
    size: Size = None,
    device: Device = "auto",
) -> None:
    """Mean and covariance of an evaluator's features of a split, in a file that says what it is."""
    from gcbench.commands.reference import write_reference

    write_reference(dataset, out, split, evaluator, size, device)


@weights_app.command("list")
def weights_list() -> None:
    """The files that can be had, their licences, and which of them are here."""
    from gcbench.commands.weights import list_weights

    list_weights()


@weights_app.command("fetch")
def weights_fetch(
    name: Annotated[str, typer.Argument(help="A name of `gcbench weights list`.")],
    from_: Annotated[Path | None, typer.Option("--from", help="A copy, file or folder, instead of a download.")] = None,
) -> None:
    """Download a file, verify it and put it into its place; a cut download is resumed."""
    from gcbench.commands.weights import fetch

    fetch(name, from_)


@weights_app.command("check")
def weights_check(
    names: Annotated[list[str] | None, typer.Argument(help="Names; all installed ones by default.")] = None,
) -> None:
    """Verify files and load them, without running what they hold; exit code 2 if one is broken."""
    from gcbench.commands.weights import check

    if not check(names or ()):
        raise UserError("not all of these weights can be used; see above, and `gcbench weights fetch NAME`")


@weights_app.command("import")
def weights_import(
    file: Annotated[Path, typer.Argument(help="A checkpoint that others' code wrote (.pt).")],
    as_: Annotated[str, typer.Option("--as", help="The model: gcdp.")],
    dataset: Data = "streets",
    out: Out = None,
    weights: Annotated[str, typer.Option(help="ema: averaged weights; model: those of the last step.")] = "ema",
    image_schedule: Annotated[str | None, typer.Option(help="cosine or linear, where the file does not say.")] = None,
    size: Size = None,
) -> None:
    """Store a checkpoint of the model's authors as ours; what it holds is never run."""
    from gcbench.core.run_spec import parse_size

    shape = parse_size(size)
    for option, value, known in (
        ("--weights", weights, ("ema", "model")),
        ("--image-schedule", image_schedule, ("cosine", "linear")),
    ):
        if value is not None and value not in known:
            raise UserError(f"{option} {value} is none of {', '.join(known)}")
    from gcbench.commands.weights import import_file

    import_file(file, as_, dataset, out, weights=weights, image_schedule=image_schedule, size=shape)


EXAMPLES = {
    "sweep": """gcbench sweep --guidance 1,2,4 -n 16 --out runs/first
gcbench sweep --vary steps=5,10,20 --guidance 2 -n 16 --out runs/steps
gcbench sweep --model my_model.py:MyModel --dataset data/mine""",
    "merge": """gcbench merge runs/sweep-gcdp-streets
gcbench merge runs/sweep-gcdp-streets --device cpu --json""",
    "evaluate": """gcbench evaluate --images images --prompts prompts.jsonl --dataset streets
gcbench evaluate --images a.zip --layouts layouts --dataset data/mine""",
    "sample": """gcbench sample --prompt 'a street with two buses' -n 4 --out samples
gcbench sample --model imagen --dataset faces --guidance 2 --out faces""",
    "train": """gcbench train --model gcdp --dataset data/mine --steps 20000
gcbench train --evaluator segmenter --dataset data/mine --set train.lr=1e-4""",
    "downstream": """gcbench downstream runs/sweep-gcdp-streets --guidance 2
gcbench downstream --model gcdp --dataset streets --seeds 3 --ratio 1:1
gcbench downstream runs/suite-table1-streets --plan""",
    "compare": """gcbench compare runs/sweep-gcdp-streets runs/sweep-imagen-streets
gcbench compare runs/a runs/b --guidance best""",
    "regress": """gcbench regress --junit report.xml
gcbench regress --runs runs --model my_model.py:MyModel""",
    "table1": """gcbench table1
gcbench table1 --dataset streets --format latex""",
    "report": """gcbench report runs/sweep-gcdp-streets
gcbench report runs/a runs/b --out both.html --no-segmenter
gcbench report --bundled --out site""",
    "figure": """gcbench figure 6
gcbench figure 6 --dataset streets --runs runs/suite-figure6-streets
gcbench figure 8 -n 8""",
    "list": """gcbench list
gcbench list metrics""",
    "speed": """gcbench speed
gcbench speed --sweep --json
gcbench speed --scale
gcbench speed --paper --precision bf16""",
    "suite list": """gcbench suite list
gcbench suite run table1 --dataset streets""",
    "suite run": """gcbench suite run table1 --dataset streets
gcbench suite run table1 --jobs 2 --plan
gcbench suite run figure6 --only gcdp,lafite --images 4800 -n 64""",
    "suite show": """gcbench suite show runs/suite-table1-streets
gcbench suite show runs/suite-mine-streets""",
    "data list": """gcbench data list
GCBENCH_DATA=/data gcbench data list""",
    "data check": """gcbench data check streets
gcbench data check data/mine --sample 500""",
    "data reference": """gcbench data reference streets --evaluator encoder=dinov2-vitl14 --out ./d.npz
gcbench data reference cityscapes --split train --size 256x512 --out ./i.npz""",
    "data split": """gcbench data split ./mine --out ./mine-divided
gcbench data split ./video --val 0.25 --group-by '*_' --link --out ./halves""",
    "data prepare": """gcbench data prepare cityscapes --size 128x256 --out data/small
gcbench data prepare data/mine --size 64x128 --limit 100 --out data/tiny""",
    "data export": """gcbench data export streets --limit 8 --out data/streets
gcbench data export streets --as cityscapes --out data/cityscapes""",
    "weights list": """gcbench weights list
GCBENCH_WEIGHTS=/weights gcbench weights list""",
    "weights fetch": """gcbench weights fetch inception-2015-12-05
gcbench weights fetch inception-2015-12-05 --from downloads/weights.pth""",
    "weights import": """gcbench weights import checkpoint.300000.pt --as gcdp --dataset cityscapes
gcbench weights import sr.pt --as gcdp --dataset celeba --out weights/sr""",
    "weights check": """gcbench weights check
gcbench weights check inception-2015-12-05""",
}
"""Below each command's help."""


def show_examples(group: typer.Typer, prefix: str = "") -> None:
    """Give every command `~` in paths, and its examples; a paragraph each, so that they stay lines of their own."""
    for command in group.registered_commands:
        name = prefix + (command.name or command.callback.__name__)  # type: ignore[union-attr]
        command.epilog = "\n\n".join(["Examples:", *EXAMPLES.get(name, "").splitlines()])
        command.callback = at_home(command.callback)  # type: ignore[arg-type]
    for subgroup in group.registered_groups:
        if subgroup.typer_instance is not None:
            show_examples(subgroup.typer_instance, f"{subgroup.name} ")


show_examples(app)


def fail(message: object, code: int = 2) -> NoReturn:
    with suppress(OSError):
        sys.stdout.flush()
    text = plain(message)
    text = text if len(text) < MOST_LETTERS else f"{text[: MOST_LETTERS // 2]} … {text[-MOST_LETTERS // 2 :]}"
    with suppress(OSError):
        typer.echo(f"gcbench: {text}", err=True)
    tell_launcher(text)
    raise SystemExit(code)


def stopped(command: str | None, arguments: Sequence[str], event: str = "stopped") -> str:
    """What Ctrl-C says: how what was begun is resumed. event: what happened."""
    if command not in RESUMES:
        return event
    if command == "train" and "--resume" not in arguments:
        return f"{event}; the same command with --resume continues it"
    without = " without --fresh" if "--fresh" in arguments and command != "evaluate" else ""
    return f"{event}; the same command{without} resumes the run"


def escaped(error: UnicodeError) -> tuple[str, int]:
    """Characters that a stream's encoding lacks, as JSON writes them: what `--json` prints stays JSON."""
    assert isinstance(error, UnicodeEncodeError)
    data = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{data[i] << 8 | data[i + 1]:04x}" for i in range(0, len(data), 2)), error.end


def prepare_process() -> None:
    """Streams that are there and take every character, figures in our own style, SIGTERM and Ctrl-C alike."""
    codecs.register_error("gcbench", escaped)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:  # closed; a file that is opened next must not take its place
            while os.open(os.devnull, os.O_RDWR) < number:
                pass
            setattr(sys, name, open(number, "r" if number == 0 else "w", encoding="utf-8", closefd=False))  # noqa: SIM115
        elif number and isinstance(stream := getattr(sys, name), io.TextIOWrapper):
            stream.reconfigure(errors="gcbench")
    os.environ |= {"MPLBACKEND": "agg", "MATPLOTLIBRC": os.devnull}  # nobody's own, which may not even load
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it tells where its cache lies without a home
    process = os.getpid()
    asked: list[int] = []

    def stop(number: int, frame: object) -> None:
        first = not asked  # known before the next one can come
        asked.append(number)
        if os.getpid() != process or len(asked) > 2:  # a child of a fork; somebody who will not wait
            os._exit(128 + number)
        if first:  # pressed twice: the line that says how to resume is still to come
            raise Stopped(number)

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                signal.signal(number, stop)


OUTPUT_FAILS = (errno.ENOSPC, errno.EIO, errno.EBADF, errno.EPIPE, errno.EFBIG)
"""Of an error without a file's name: standard output is full or gone."""


def main() -> None:
    """Entry point of `gcbench`: a user's mistake gets one sentence and exit code 2."""
    prepare_process()
    for argument in sys.argv[1:]:
        if any("\ud800" <= letter <= "\udfff" for letter in argument):
            fail(f"the argument {argument} is not UTF-8; rename the file, or write the text in UTF-8")
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except UserError as error:
        fail(error)
    except NothingMeasured as error:
        fail(error, 1)
    except MemoryError:
        fail("this needs more memory than there is; take a smaller --size, --batch-size or --set model.size")
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            fail(f"{error.filename}: {error.strerror}; give another path")
        if error.filename is not None or error.errno not in OUTPUT_FAILS:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a run measured is in its directory
        if error.errno == errno.EPIPE:
            raise SystemExit(1) from None
        fail(f"standard output cannot be written ({error.strerror}); write it elsewhere")
