"""`gcbench data`: which datasets are here, what they are good for, and copies of them in other forms."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

from gcbench.commands.list import show
from gcbench.core.contracts import Dataset
from gcbench.core.errors import UserError
from gcbench.core.registry import registry
from gcbench.core.run_spec import parse_size
from gcbench.data.dataset_summary import Capability, capabilities, metrics_capability, summarise
from gcbench.data.export import Form, export
from gcbench.data.folder import Folder
from gcbench.data.open_dataset import open_dataset
from gcbench.data.split import plan_split, write_split
from gcbench.reports.table import show_texts
from gcbench.runs.lock import Lock
from gcbench.runs.progress import Bar, say


def list_datasets() -> None:
    """The registered datasets, and where data is looked for."""
    show("datasets")
    root = os.environ.get("GCBENCH_DATA")
    say(f"Data is looked for in $GCBENCH_DATA ({root or 'not set'})/<dataset>; streets and faces need none.")


def check(name: str, sample: int) -> bool:
    """Print what a dataset holds, split by split, and what it is good for; whether nothing is wrong with it."""
    dataset = open_dataset(name)
    say(f"{dataset.name}, version {dataset.version}, {len(dataset.classes)} classes, default size {dataset.size}")
    summaries = summarise(dataset, sample)
    splits = [summary.split for summary in summaries]
    _percents("class", "% of area", splits, dataset.classes, [summary.shares for summary in summaries])
    if dataset.attributes:
        shares = [summary.attributes for summary in summaries]
        _percents("attribute", "% of pairs", splits, dataset.attributes, shares)
    whole = True
    for summary in summaries:
        say(f"{summary.split}: {summary.pairs} pairs in {summary.groups} groups; {summary.sampled} read")
        for problem in [*(f"without its counterpart: {path}" for path in summary.missing[:5]), *summary.problems[:5]]:
            whole = False
            say(f"  {problem}")
        for note in summary.notes:
            say(f"  {note}")
    lines = [*capabilities(dataset, summaries), _default_metrics(dataset)]
    show_texts(("good for", "", "why, and what to add"), lines)
    return whole


def _default_metrics(dataset: Dataset) -> Capability:
    """Which of the metrics that are measured unasked have their evaluators for this dataset."""
    from gcbench.evaluation.setup import default_metrics  # loads torch

    needed = {name: registry("metrics")[name].roles for name in default_metrics()}
    lacking: dict[str, str] = {}
    for role in dict.fromkeys(role for roles in needed.values() for role in roles):
        try:
            registry("evaluators")[role].open(dataset)
        except UserError as error:
            lacking[role] = str(error)
    missing = {name: lacking[role] for name, roles in needed.items() for role in roles if role in lacking}
    return metrics_capability([name for name in needed if name not in missing], missing)


def split(name: str, out: Path, *, val: float, test: float, seed: int, group_by: str | None, link: bool) -> None:
    """Divide a folder dataset of one split into train, val and perhaps test, in a new folder."""
    dataset = open_dataset(name)
    if not isinstance(dataset, Folder):
        raise UserError(f"{name} is no folder with a dataset.toml; `gcbench data export {name} --out DIR` writes one")
    plan = plan_split(dataset, val, test, seed, group_by)
    total = sum(map(len, plan.splits.values()))
    with Bar(f"writing {out}", total) as bar:
        write_split(dataset, plan, out, link, bar.advance)
    divided = Folder(out)
    for part, pairs in plan.splits.items():
        say(f"{part}: {len(pairs)} pairs ({len(pairs) / total:.0%}) in {len(set(divided.groups(part)))} groups")
    say(f"{out} can be trained on: gcbench train --model gcdp --dataset {divided.argument}")


def _percents(
    what: str, unit: str, splits: Sequence[str], names: Sequence[str], shares: Sequence[Mapping[str, float]]
) -> None:
    """A table of shares in per cent, a row a name and a column a split."""
    heads = [f"{split}, {unit}" for split in splits]
    show_texts((what, *heads), [[name, *(f"{100 * share[name]:.2f}" for share in shares)] for name in names], heads)


def write_copy(name: str, out: Path, form: str, size: str | None, limit: int | None) -> None:
    """Write a dataset as a Cityscapes tree, as images with texts, or as a plain folder with a dataset.toml."""
    if form not in get_args(Form):
        raise UserError(f"--as {form!r}: choose one of {', '.join(get_args(Form))}")
    if limit is not None and limit < 1:
        raise UserError(f"--limit {limit}: at least 1 pair a split")
    dataset = open_dataset(name)
    total = sum(min(limit or len(dataset.ids(split)), len(dataset.ids(split))) for split in dataset.splits)
    with Lock(out), Bar(f"writing {dataset.name}", total) as bar:
        count = export(dataset, out, form, parse_size(size), limit, lambda done, of: bar.set(done))  # type: ignore[arg-type]
    say(f"{out} holds {count} pairs of {dataset.name} as a {form} tree")
