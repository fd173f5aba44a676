"""Baselines of `gcbench regress`: run directories whose samples were kept, bundled or the user's.

Imports no torch: what cannot be measured again is refused before anything slow is loaded.
"""

from importlib.resources import files
from pathlib import Path

from gcbench.core.errors import UserError
from gcbench.core.record import Point, Record
from gcbench.runs.manifest import RECORD
from gcbench.runs.run_directory import REGRESSION, kept_samples


def baselines(suite: str | None, runs: Path | None, rescore: Path | None) -> dict[str, tuple[Path, Record]]:
    """Name -> directory and record: the bundled ones (`suite` names one), or those in the folder `runs` or `rescore`.
    UserError: none, two of the three are given, or one has no finished point or kept no samples."""
    if sum(chosen is not None for chosen in (suite, runs, rescore)) > 1:
        raise UserError("--suite, --runs and --rescore exclude one another; give one of them")
    folder = runs if runs is not None else rescore
    paths = bundled(suite) if folder is None else {str(path): path for path in below(folder)}
    found = {name: (path, Record.read(path / RECORD)) for name, path in paths.items()}
    for path, record in found.values():
        if not record.points:
            raise UserError(f"{path} holds no finished point; let the run end, or take it out")
        for point in record.points:
            stored(path, point)
    return found


def bundled(suite: str | None) -> dict[str, Path]:
    """The baselines that come with gcbench by name, or the one called so."""
    root = Path(str(files("gcbench.results") / "measured" / REGRESSION))
    found = {path.parent.name: path.parent for path in sorted(root.glob(f"*/{RECORD}"))}
    if suite is None and found:
        return found
    if suite is None or suite not in found:
        raise UserError(
            f"no bundled baseline is called {suite!r}; choose {' or '.join(found)}, or give --runs DIR"
            if suite
            else "no baseline is bundled; give --runs DIR"
        )
    return {suite: found[suite]}


def below(folder: Path) -> list[Path]:
    """The run directories in `folder`, itself included."""
    if not Path(folder).is_dir():
        raise UserError(f"{folder} is no folder; give the one that holds the run directories")
    found = sorted(path.parent for path in Path(folder).rglob(RECORD))
    if not found:
        raise UserError(
            f"{folder} holds no run directory; `gcbench sweep --keep-samples --out {folder}/NAME` makes one"
        )
    return found


def stored(path: Path, point: Point) -> Path:
    """Where the run keeps the samples of a point. UserError: it keeps none."""
    kept = kept_samples(path, point.guidance)
    if not (kept / "images").is_dir():
        raise UserError(f"{path} keeps no samples ({kept / 'images'}); measure it again with --keep-samples --fresh")
    return kept
