"""The answer to docs/claim.md from the records of its suite: D and its interval, whether it grows, the rare classes.

python -m studies.claim [--runs DIR] [--dataset streets] [--guidance 2]

Reads `over_seeds.csv`, as `gcbench suite run claim` writes it, and the runs' records beside it.
"""

import argparse
import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from gcbench.core.record import Record
from gcbench.core.run_spec import guidance_text
from gcbench.reports.table import show_texts
from gcbench.runs.manifest import RECORD
from gcbench.statistics.intervals import Mean, student_mean

FIRST = {"streets": ("semantic-recall", "f1@0.1%"), "faces": ("attribute-recall", "")}
"""Dataset -> metric and column that decide."""
SPLITS = ("train", "train25")
BUNDLED = Path("gcbench/results/measured")

Row = Mapping[str, str]
Seeds = dict[str, tuple[float, float, float]]
"""Seed -> D and the ends of its own paired interval."""


def differences(rows: Sequence[Row], split: str, guidance: str, metric: str, column: str) -> Seeds:
    """D of each seed, gcdp minus imagen."""
    what = ("difference", split, guidance, metric, column)
    mine = [
        row for row in rows if tuple(row[k] for k in ("kind", "trained_on", "guidance", "metric", "column")) == what
    ]
    seeds = [row for row in mine if row["seed"].isdecimal() and row["value"]]
    return {row["seed"]: (float(row["value"]), float(row["low"]), float(row["high"])) for row in seeds}


def verdict(mean: Mean, ends: Sequence[tuple[float, float]] = ()) -> str:
    """As the page's rule has it. ends: of each seed's own interval over texts."""
    if mean.interval is None:
        return "open"
    low, high = mean.interval
    if low > 0 and all(end >= 0 for _, end in ends):
        return "holds"
    return "does not hold" if high < 0 else "open"


def answer(rows: Sequence[Row], metric: str, column: str, guidance: str = "2") -> list[tuple[str, Mean, str]]:
    """(claim, D over seeds, verdict) for both numbers of pairs, and for the difference between them."""
    of = {split: differences(rows, split, guidance, metric, column) for split in SPLITS}
    lines = []
    for split, seeds in of.items():
        if seeds:
            mean = student_mean([d for d, _, _ in seeds.values()])
            lines.append((split, mean, verdict(mean, [(low, high) for _, low, high in seeds.values()])))
    if both := sorted(of["train"].keys() & of["train25"].keys()):
        mean = student_mean([of["train25"][seed][0] - of["train"][seed][0] for seed in both])
        lines.append(("train25 less train", mean, verdict(mean)))
    return lines


def rare(folder: Path, split: str, guidance: str) -> list[tuple[str, float, float]]:
    """Class, and recall from 0.1 % of the area of gcdp and of imagen, the means over the seeds that are there."""
    means: dict[str, list[list[float]]] = {}
    for i, model in enumerate(("gcdp", "imagen")):
        for run in sorted(folder.glob(f"{model}-{split}-s*")):
            for point in Record.read(run / RECORD).points:
                if point.guidance is not None and guidance_text(point.guidance) == guidance:
                    shares = point.scores["semantic-recall"].detail["per_class@0.1%"]
                    for name, share in shares.items():
                        if share is not None:
                            means.setdefault(name, [[], []])[i].append(share)
    return [(name, *(sum(part) / len(part) for part in both)) for name, both in means.items() if all(both)]  # type: ignore[misc]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, help="directory of the suite; the bundled one by default")
    parser.add_argument("--dataset", choices=FIRST, default="streets")
    parser.add_argument("--guidance", default="2")
    given = parser.parse_args(arguments)
    folder = given.runs or BUNDLED / given.dataset / "claim"
    with (folder / "over_seeds.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    numbers = dict.fromkeys((row["metric"], row["column"]) for row in rows if row["kind"] == "difference")
    lines = []
    for metric, column in sorted(numbers, key=lambda number: number != FIRST[given.dataset]):
        for claim, mean, said in answer(rows, metric, column, given.guidance):
            low, high = mean.interval or (float("nan"),) * 2
            decides = said if (metric, column) == FIRST[given.dataset] else ""
            lines.append([f"{metric} {column}", claim, f"{mean.value:+.4f}", f"[{low:.4f}, {high:.4f}]", decides])
    title = f"{given.dataset}, guidance {given.guidance}: gcdp - imagen, mean over seeds, Student's t 95 % interval"
    show_texts(("metric", "trained on", "D", "interval", "verdict"), lines, ("D", "interval"), title)
    classes = [[name, f"{a:.2f}", f"{b:.2f}"] for name, a, b in rare(folder, "train", given.guidance)]
    show_texts(("class, recall@0.1%", "gcdp", "imagen"), classes, ("gcdp", "imagen"))


if __name__ == "__main__":
    main()
