"""`gcbench figure`: a figure of the paper from records, as PNG, SVG and CSV."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from gcbench.core.errors import UserError
from gcbench.core.files import write_text
from gcbench.core.run_spec import RunSpec
from gcbench.data.open_dataset import open_dataset
from gcbench.runs.lock import Lock
from gcbench.runs.progress import say

if TYPE_CHECKING:
    from gcbench.reports.figure6 import Figure

KNOWN = {6: "realism against correspondence with the text"}


def draw_figure(
    number: int,
    dataset: str = "streets",
    *,
    runs: Path | None = None,
    axes: str | Sequence[str] | None = None,
    out: Path | None = None,
) -> Figure:
    """Write `figure6.png`, `.svg` and `.csv` into `out`, by default ./runs/figure-6-<dataset>.

    runs: a folder that holds a run directory a model; None for the records that come with gcbench. axes: the metrics of
    the trade-off, cost and gain.
    UserError: an unknown figure, or no record of it.
    """
    if number not in KNOWN:
        known = ", ".join(f"{key} ({what})" for key, what in KNOWN.items())
        raise UserError(f"there is no figure {number} here; known: {known}")
    chosen = RunSpec.of(axes=axes).axes
    opened = open_dataset(dataset)
    from gcbench.reports.figure6 import SUITE, as_csv, gather
    from gcbench.reports.figure6_panels import draw

    bundle = Path(str(files("gcbench.results"))) / "measured" / opened.name / SUITE
    folder = out or Path("runs") / f"figure-{number}-{opened.name}"
    with Lock(folder):
        found = gather(opened, bundle if runs is None else Path(runs), chosen)
        for line in found.left_out:
            say(f"Not drawn: {line}")
        write_text(folder / f"figure{number}.csv", as_csv(found.numbers))
        draw(found, folder, f"figure{number}")
    say(f"Wrote {folder}/figure{number}.png, .svg and .csv")
    return found
