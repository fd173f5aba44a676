"""Baselines of `gcbench regress`: run directories whose samples were kept, bundled or the user's.

Imports no torch: what cannot be measured again is refused before anything slow is loaded.
"""

import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from gcbench.core.errors import UserError
from gcbench.core.files import hidden
from gcbench.core.record import Point, Record
from gcbench.core.registry import OPTIONS, registry
from gcbench.runs.manifest import RECORD
from gcbench.runs.run_directory import REGRESSION, kept_samples

BY_CONTENT = re.compile(r"(images|statistics) [0-9a-f]+")
"""What a protocol calls a reference that was no split of the dataset."""


def baselines(
    suite: str | None,
    runs: Path | None,
    rescore: Path | None,
    model: str | None = None,
    dataset: str | None = None,
    reference: str | None = None,
) -> dict[str, tuple[Path, Record]]:
    """Name -> directory and record: the bundled ones (`suite` names one), or those in the folder `runs` or `rescore`.
    model, dataset: what is opened in place of what the records name; rescoring opens no model. reference: where the
    images or statistics are that a record knows by their content only.
    UserError: none, two of the three are given, or one has no finished point, kept no samples or names what is not
    registered or not there."""
    if sum(chosen is not None for chosen in (suite, runs, rescore)) > 1:
        raise UserError("--suite, --runs and --rescore exclude one another; give one of them")
    folder = runs if runs is not None else rescore
    paths = bundled(suite) if folder is None else {str(path): path for path in below(folder)}
    records = {name: (path, Record.read(path / RECORD)) for name, path in paths.items()}
    for path, record in records.values():
        check_names(path, record, model=model is None and rescore is None, dataset=dataset is None)
        if not record.points:
            raise UserError(f"{path} holds no finished point; let the run end, or take it out")
        for point in record.points:
            stored(path, point)
    check_reference({path: record.protocol.reference for path, record in records.values()}, reference)
    return records


def check_reference(recorded: Mapping[Path, str | None], given: str | None) -> None:
    """UserError: a run was measured against images or statistics and none are given, or the other way round."""
    by_content = [path for path, name in recorded.items() if name is not None and BY_CONTENT.fullmatch(name)]
    if by_content and given is None:
        path = by_content[0]
        raise UserError(
            f"{path} was measured against {recorded[path]}, which its record knows by their content only; add"
            " --reference DIR|ZIP|NPZ for them"
        )
    if given is not None and not by_content:
        raise UserError(f"--reference {given}: these runs were measured against splits, by name; leave it out")
    if given is not None and not Path(given).expanduser().exists():
        raise UserError(f"--reference {given} is not there; give a folder or .zip of images, or an .npz")


def check_names(path: Path, record: Record, *, model: bool, dataset: bool) -> None:
    """Refuse what a record names and only a registered name may stand for: its metrics and, where they are not given,
    its model and dataset. A record may be a stranger's, and a file that it names is code.
    UserError: one that is not registered."""
    named = [("metrics", name) for point in record.points for name in point.scores]
    named += [("models", record.model.name)] if model else []
    named += [("datasets", record.protocol.dataset)] if dataset else []
    for kind, name in named:
        if name not in registry(kind):
            raise UserError(
                f"{path} names the {kind[:-1]} {name!r}, which is not registered and is opened only if you name it;"
                + (" leave this run out" if kind == "metrics" else f" add {OPTIONS[kind]} for it if you trust it")
            )


def bundled(suite: str | None) -> dict[str, Path]:
    """The baselines that come with gcbench by name, or the one called so."""
    root = Path(str(files("gcbench.results") / "measured" / REGRESSION))
    folders = {path.parent.name: path.parent for path in sorted(root.glob(f"*/{RECORD}"))}
    if suite is None and folders:
        return folders
    if suite is None or suite not in folders:
        raise UserError(
            f"no bundled baseline is called {suite!r}; choose {' or '.join(folders)}, or give --runs DIR"
            if suite
            else "no baseline is bundled; give --runs DIR"
        )
    return {suite: folders[suite]}


def below(folder: Path) -> list[Path]:
    """The run directories in `folder`, itself included."""
    if not Path(folder).is_dir():
        raise UserError(f"{folder} is no folder; give the one that holds the run directories")
    folders = sorted(path.parent for path in Path(folder).rglob(RECORD) if not hidden(path.relative_to(folder)))
    if not folders:
        raise UserError(
            f"{folder} holds no run directory; `gcbench sweep --keep-samples --out {folder}/NAME` makes one"
        )
    return folders


def stored(path: Path, point: Point) -> Path:
    """Where the run keeps the samples of a point. UserError: it keeps none."""
    kept = kept_samples(path, point.guidance)
    if not (kept / "images").is_dir():
        raise UserError(f"{path} keeps no samples ({kept / 'images'}); measure it again with --keep-samples --fresh")
    return kept
