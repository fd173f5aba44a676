"""How often the 95 % intervals hold what they promise, and how often `compare` sees a difference where there is none.

    python -m studies.interval_coverage [--draws 500] [--n 50,200,1000] [--metrics fd,miou]
    python -m studies.interval_coverage --power [--draws 500]

From a population that is known whole, n samples are drawn again and again; each draw is scored by the metric itself, as
in a run. The mean of the values over all draws is the expectation at n; the share of intervals that hold it should be
95 %. Each draw is also compared with the next one, as two runs of equal models: 5 % of the p-values should be below
0.05. Samples are independent, or come in groups of five that are dependent. By their names a group's samples stand
together in a third of the draws, alternate with the others' in a third, and are shuffled in a third.

Populations: for FSD, mIoU and Semantic Recall the training scenes of `streets` as the bundled segmenter labels them; a
group is five of ten scenes that have about as much road. FSD's model draws the half with more road, Semantic Recall's
lacks a tenth of the classes. For FD, KID and PRDC features of 64 numbers made by a random network of rectifiers from
hidden ones, which a group shares in part; the reference has other hidden means. Further rows: the model is like the
reference (`same`), or the hidden numbers have heavy tails (`t3`: Student's t with 3 degrees of freedom; `lognormal`).

`--power` asks how often FD's paired difference at n = 200 has p < 0.05 between equal models, and between models whose
hidden means differ by 0.1 or 0.2: with every group left out by itself, and with ten blocks of neighbours.
"""

import argparse
from collections.abc import Callable, Mapping
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch

from gcbench.core.contracts import Task
from gcbench.core.registry import registry
from gcbench.core.samples import Features, Samples
from gcbench.core.score import Score
from gcbench.data.open_dataset import open_dataset
from gcbench.evaluation.scoring import open_evaluators
from gcbench.metrics.mean_metric import MeanMetric
from gcbench.metrics.row_metric import RowMetric
from gcbench.runs.paired import paired
from gcbench.runs.progress import Bar
from gcbench.statistics.frechet import frechet_jackknife
from gcbench.statistics.intervals import Jackknife, paired_jackknife

SCENES, ALIKE = 500, 10
DIM, HIDDEN = 64, 32
REFERENCE = 1000
GROUP = 5
RECALL = "semantic-recall"
OF_SCENES = (RECALL, "miou", "fsd")
FAULTLESS = f"{RECALL}, same"


class Coverage(NamedTuple):
    """held: share of intervals that hold the expectation. rejected: share of p-values below 0.05 between equal models.

    error: root mean square of the standard errors claimed, over the standard deviation of the values.
    """

    what: str
    n: int
    group: int
    draws: int
    held: float
    error: float
    rejected: float


class Cell(NamedTuple):
    """What is measured: a metric, some of its columns, and how features are drawn."""

    metric: str
    columns: tuple[str, ...] = ("",)
    tails: str = ""
    shift: float = 0.5

    def name(self, column: str) -> str:
        return ", ".join(filter(None, [self.metric, column, "" if self.shift else "same", self.tails]))


CELLS = (
    *(Cell(name) for name in ("fd", "kid")),
    Cell("prdc", ("", "recall", "coverage")),
    *(Cell(name) for name in OF_SCENES),
)
CORNERS = (
    *(Cell(name, shift=0.0) for name in ("fd", "kid", "fsd", RECALL)),
    *(Cell("fd", tails=tails) for tails in ("t3", "lognormal")),
)
"""Where jackknives are known to be cautious, or to fail."""
FEW = Cell(RECALL)
"""A mean over 5 and 20 groups too."""


def forgetful(seen: Features, task: Task, road: float) -> Features:
    """What a model's image would show that lacks every tenth class, the same ones where there is about as much road."""
    assert seen.labels is not None
    lost = np.flatnonzero(np.random.default_rng(int(50 * road)).random(len(task.classes)) < 0.1)
    gone = torch.isin(seen.labels, torch.from_numpy(lost))
    return Features(labels=seen.labels.masked_fill(gone, task.void or 0))


@cache
def scenes() -> tuple[dict[str, RowMetric], dict[str, np.ndarray], np.ndarray]:
    """The metrics that read scenes, what each keeps of a scene [SCENES,...], and the scenes in order of their road."""
    dataset = open_dataset("streets")
    evaluator = open_evaluators(dataset, ["miou"], (), "cpu").by_role["segmenter"]
    task = Task(dataset.classes, dataset.void, dataset.aliases)
    metrics: dict[str, RowMetric] = {name: registry("metrics")[name](task) for name in OF_SCENES}
    rows: dict[str, list[np.ndarray]] = {name: [] for name in (*OF_SCENES, FAULTLESS)}
    road = np.empty(SCENES)
    for split, count in (("val", 500), ("train", SCENES)):
        with Bar(f"evaluating scenes of {split}", count) as bar:
            for i in range(count):
                image, layout = dataset.pair(split, i, dataset.size)
                pixels = torch.from_numpy(image).permute(2, 0, 1)[None].contiguous()
                caption = (dataset.captions(split, i)[0],)
                samples = Samples(pixels, torch.from_numpy(layout)[None].long(), "generated", caption, (str(i),))
                bar.advance()
                if split == "val":
                    metrics["fsd"].update_reference(samples, {})
                    continue
                features = {"segmenter": evaluator(pixels)}
                road[i] = (layout == 0).mean()
                for name in rows:
                    seen = (
                        {"segmenter": forgetful(features["segmenter"], task, road[i])} if name == RECALL else features
                    )
                    rows[name].append(metrics[name.partition(",")[0]].rows(samples, seen)[0])
    return metrics, {name: np.stack(values) for name, values in rows.items()}, np.argsort(road)


def scene_rows(rng: np.random.Generator, n: int, group: int, cell: Cell) -> np.ndarray:
    """What the metric keeps of n scenes; FSD has a reference, and a shifted model draws the half with more road."""
    _, rows, by_road = scenes()
    kept = rows[cell.metric if cell.shift or cell.metric != RECALL else FAULTLESS]
    first = SCENES // 2 if cell.metric == "fsd" and cell.shift else 0
    if group == 1:
        chosen = np.sort(by_road[first:])[rng.integers(SCENES - first, size=n)]
    else:
        street = rng.integers(first // ALIKE, SCENES // ALIKE, size=n // group)
        chosen = by_road[(street[:, None] * ALIKE + rng.integers(ALIKE, size=(n // group, group))).ravel()]
    return kept[chosen]


@cache
def rectifiers() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    scale = np.arange(1, HIDDEN + 1) ** -0.5
    return scale[:, None] * rng.standard_normal((HIDDEN, DIM)), 0.3 * rng.standard_normal(DIM)


def feature_rows(rng: np.random.Generator, n: int, group: int, cell: Cell) -> np.ndarray:
    """float32 [n,DIM]; those of a group share two thirds of the variance of what they are made from."""
    tails: dict[str, Callable[..., Any]] = {
        "": rng.standard_normal,
        "t3": lambda size: rng.standard_t(3, size) / 3**0.5,
        "lognormal": lambda size: (np.exp(rng.standard_normal(size)) - np.e**0.5) / 2.161,
    }
    draw: Callable[..., np.ndarray] = tails[cell.tails]
    hidden = np.repeat(draw((n // group, HIDDEN)), group, axis=0)
    if group > 1:
        hidden = (2 / 3) ** 0.5 * hidden + (1 / 3) ** 0.5 * draw((n, HIDDEN))
    weight, bias = rectifiers()
    made = (hidden + cell.shift) @ weight + bias
    return (np.maximum(made, 0) if not cell.tails else made).astype(np.float32)


@cache
def opened(cell: Cell) -> RowMetric:
    """The cell's metric with its reference."""
    if cell.metric in OF_SCENES:
        return scenes()[0][cell.metric]
    metric: RowMetric = registry("metrics")[cell.metric](Task((), None, {}))
    rows = feature_rows(np.random.default_rng(2), REFERENCE, 1, cell._replace(shift=0.0))
    blank = torch.zeros(REFERENCE, 3, 1, 1, dtype=torch.uint8)
    samples = Samples(blank, None, None, None, tuple(map(str, range(REFERENCE))))
    metric.update_reference(samples, dict.fromkeys(metric.roles, Features(vectors=torch.from_numpy(rows))))
    return metric


def named(n: int, group: int, order: int) -> tuple[list[str], list[str]]:
    """Ids and groups of n samples that come group by group: in this order by name too, in turn, or shuffled."""
    turn = np.arange(n).reshape(group, n // group).T.ravel()
    ids = [f"{place:06d}" for place in (np.arange(n), turn, np.random.default_rng(3).permutation(n))[order]]
    return ids, ids if group == 1 else [f"g{i // group:05d}" for i in range(n)]


class Run(NamedTuple):
    """A draw as a run stores it: the score, values per sample by column, and the group of each sample."""

    score: Score
    per_sample: Mapping[str, Mapping[str, float | None]]
    groups: dict[str, str]

    def column(self, column: str) -> tuple[Score, Mapping[str, float | None]]:
        return self.score.also[column] if column else self.score, self.per_sample.get(column, {})


def drawn(cell: Cell, n: int, group: int, seed: int, order: int) -> Run:
    rng, of_scenes = np.random.default_rng([seed, n, group]), cell.metric in OF_SCENES
    rows = scene_rows(rng, n, group, cell) if of_scenes else feature_rows(rng, n, group, cell)
    ids, groups = named(n, group, order)
    metric: Any = opened(cell).fresh()
    metric._samples.add(ids, rows, groups)  # as `update` does with what it makes of images
    if isinstance(metric, MeanMetric):
        metric._shapes = opened(cell)._shapes  # type: ignore[attr-defined]
    return Run(metric.compute(), metric.per_sample(), dict(zip(ids, groups, strict=True)))


def coverage(cell: Cell, n: int, group: int, draws: int) -> list[Coverage]:
    """One for each column of the cell."""
    runs = [drawn(cell, n, group, seed, 3 * seed // draws) for seed in range(draws)]
    found = []
    for column in cell.columns:
        scores, p_values = [run.column(column)[0] for run in runs], []
        for run, other in pairwise(runs):
            if run.groups == other.groups:
                (a, values_a), (b, values_b) = run.column(column), other.column(column)
                p_values.append(paired(a, b, values_a, values_b, run.groups).p_value)
        values, errors = (np.array([getattr(s, name) for s in scores], float) for name in ("value", "standard_error"))
        error = float(np.sqrt(np.square(errors).mean()) / values.std(ddof=1))
        share = held(np.array([score.interval for score in scores]), float(values.mean()))
        rejected = float((np.array(p_values, float) < 0.05).mean())
        found.append(Coverage(cell.name(column), n, group, draws, share, error, rejected))
    return found


def power(cell: Cell, n: int, group: int, draws: int, differences: tuple[float, ...]) -> list[tuple[float, float]]:
    """For each difference of the hidden means: the shares of p < 0.05 with every group left out, and with tenths."""
    apart, tenths = named(n, group, 0)[1], [str(10 * i // n) for i in range(n)]
    reference = opened(cell).reference.condensed()

    def jackknives(difference: float, seed: int) -> list[Jackknife]:
        moved = cell._replace(shift=cell.shift + difference)
        rows = feature_rows(np.random.default_rng([seed, n, group]), n, group, moved)
        return [frechet_jackknife(reference, rows, groups)[1] for groups in (apart, tenths)]

    found = []
    for place, difference in enumerate(differences, start=1):
        p_values = [
            [
                paired_jackknife(a.value - b.value, a.detail()["influence"], b.detail()["influence"]).p_value
                for a, b in zip(jackknives(0.0, seed), jackknives(difference, place * draws + seed), strict=True)
            ]
            for seed in range(draws)
        ]
        shares = (np.array(p_values, float) < 0.05).mean(axis=0)
        found.append((float(shares[0]), float(shares[1])))
    return found


def print_power(draws: int) -> None:
    differences = (0.0, 0.1, 0.2)
    print("| features | groups | left out | equal models | differ by 0.1 | by 0.2 |")
    print("|" + " --- |" * 6)
    for tails in ("", "t3", "lognormal"):
        for group in (1, GROUP):
            shares = power(Cell("fd", tails=tails), 200, group, draws, differences)
            groups = "–" if group == 1 else f"{200 // group} of {group}"
            for way, what in enumerate(("each group", "tenths")):
                told = " | ".join(f"{share[way]:.1%}" for share in shares)
                print(f"| {tails or 'Gaussian'} | {groups} | {what} | {told} |", flush=True)


def held(intervals: np.ndarray, expectation: float) -> float:
    """The share of intervals [R,2] that hold the expectation."""
    return float(((intervals[:, 0] <= expectation) & (expectation <= intervals[:, 1])).mean())


def main(arguments: list[str] | None = None) -> list[Coverage]:
    parser = argparse.ArgumentParser(prog="python -m studies.interval_coverage", description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=500, help="draws of a cell, at n = 1000 half as many")
    parser.add_argument("--n", default="50,200,1000")
    parser.add_argument("--metrics", default="", help="by default all")
    parser.add_argument("--power", action="store_true", help="how often FD sees a difference that there is")
    given = parser.parse_args(arguments)
    if given.power:
        print_power(given.draws)
        return []
    sizes = [int(n) for n in given.n.split(",")]
    asked = [(cell, n) for cell in CELLS for n in sizes]
    asked += [(cell, n) for cell in CORNERS for n in sizes if n < 1000 or cell.metric in OF_SCENES]
    asked += [(FEW, n) for n in (25, 100)]
    names = given.metrics.split(",") if given.metrics else [cell.metric for cell in CELLS]
    rows = []
    print("| metric | n | groups | draws | interval holds it | claimed error / spread | equal models: p < 0.05 |")
    print("|" + " --- |" * 7)
    for cell, n in asked:
        for group in (1, GROUP) if cell.metric in names else ():
            for row in coverage(cell, n, group, given.draws // (1 + (n >= 1000))):
                groups = "–" if group == 1 else f"{n // group} of {group}"
                shares = f"{row.held:.1%} | {row.error:.2f} | {row.rejected:.1%}"
                print(f"| `{row.what}` | {n} | {groups} | {row.draws} | {shares} |", flush=True)
                rows.append(row)
    return rows


if __name__ == "__main__":
    main()
