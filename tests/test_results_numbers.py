"""The tables of docs/results.md hold what the bundled records say, to the last digit that they print."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import NamedTuple

import pytest

from gcbench.core.record import Record
from gcbench.core.run_spec import guidance_text
from gcbench.core.score import Score
from gcbench.runs.downstream_record import Downstream

ROOT = Path(__file__).parent.parent
MEASURED = ROOT / "gcbench" / "results" / "measured"
PAGE = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
NUMBER = r"[+−-]?\d+\.?\d*"


class Told(NamedTuple):
    """A number of a record. where: for the message of a failure."""

    where: str
    value: float | None
    low: float | None = None
    high: float | None = None


def rows(section: str, first: str) -> list[list[str]]:
    """The lines below the head of the table of `section` whose head begins with `first`, as cells."""
    text = PAGE.partition(f"\n{section}\n")[2].split("\n## ")[0]
    lines = text[text.index(f"\n| {first}") + 1 :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def check(cell: str, told: Told) -> None:
    """`v`, `v ± half` or `v [low, high]`, rounded as the cell is."""
    if told.value is None:
        assert cell.startswith("–") or not cell, f"{told.where}: {cell!r} and no such number"
        return
    value, *ends = re.findall(NUMBER, cell.replace("−", "-"))
    digits = len(value.partition(".")[2])
    assert float(value) == float(f"{told.value:.{digits}f}"), f"{told.where}: {cell!r} and {told.value}"
    if not ends:
        return
    assert told.low is not None
    assert told.high is not None
    expected = [(told.high - told.low) / 2] if "±" in cell else [told.low, told.high]
    shown = [f"{end:.{digits}f}" for end in expected]
    assert list(map(float, ends)) == list(map(float, shown)), f"{told.where}: {cell!r} and {expected}"


def told(folder: str, guidance: str, number: str) -> Told:
    """number: METRIC or METRIC/COLUMN, after `%` in per cent. guidance: of the point, or ceiling, or floor."""
    record = Record.read(MEASURED / folder)
    points = {guidance_text(point.guidance): point.scores for point in record.points}
    scores = {**points, "ceiling": record.ceiling or {}, "floor": record.floor or {}}[guidance]
    metric, _, column = number.lstrip("%").partition("/")
    score = scores.get(metric)
    score = score.also.get(column) if score is not None and column else score
    where, scale = f"{folder} at {guidance or 'its point'}, {number}", 100 if number.startswith("%") else 1
    if score is None or score.value is None:
        return Told(where, None)
    low, high = score.interval or (score.value, score.value)
    return Told(where, score.value * scale, low * scale, high * scale)


SEMANTIC = ("semantic-recall", "semantic-recall/precision")


def of_records() -> Iterator[tuple[str, Told]]:
    """Every cell of a table whose rows are points of records."""
    for guidance, *cells in rows("## streets", "guidance"):
        numbers: tuple[str, ...] = (*SEMANTIC, "%miou", "fsd", "fd", "miou/void_share")
        yield from ((cell, told("streets/gcdp", guidance, one)) for cell, one in zip(cells, numbers, strict=True))
    for model, _, _, *cells in rows("## streets: Table 1, models without texts", "model"):
        folder = f"streets/table1/{model.replace(', ', '-').replace('ceiling', 'real')}"
        point = "ceiling" if model == "ceiling" else ""
        for cell, one in zip(cells, ("fd", "%miou", "fsd", "fsd/void=drop"), strict=True):
            yield cell, told(folder, point, one)
    for model, guidance, *cells in rows("## streets: Figure 6, realism against correspondence", "model"):
        real = model in ("ceiling", "floor")
        point = model if real else guidance.strip("–")
        numbers = ("fd", "semantic-recall", "semantic-recall/recall@0.1%", "semantic-recall/precision", "%miou")
        for cell, one in zip(cells, numbers, strict=True):
            yield cell, told(f"streets/figure6/{'gcdp' if real else model}", point, one)
    for guidance, *cells in rows("## faces", "guidance"):
        numbers = ("attribute-recall", "semantic-recall", "%miou", "fd")
        for cell, one in zip(cells, numbers, strict=True):
            yield cell, told("faces/claim/gcdp-train-s2", guidance, one)


def of_evaluators() -> Iterator[tuple[str, Told]]:
    for _, what, value in rows("## faces", "evaluator"):
        for name, metric in (("Semantic Recall", "semantic-recall"), ("attribute recall", "attribute-recall")):
            if what.startswith(name):
                cell, floor = value.split(";")
                yield cell, told("faces/evaluators", "", metric)
                yield floor, told("faces/evaluators", "floor", metric)
        if what.startswith("mIoU"):
            yield value, told("faces/evaluators", "", "%miou")


def of_downstream() -> Iterator[tuple[str, Told]]:
    result = Downstream.read(MEASURED / "streets/downstream/table1-small/downstream.json")
    scores: dict[tuple[str, str | None], Score | None] = {(arm.arm, arm.of): arm.miou for arm in result.arms}
    scores |= {(f"{one.arm} − real", one.of): one.miou for one in result.differences}
    for name, *cells in rows("## streets: do the pairs of Table 1 teach?", "pairs"):
        model = None if name == "real" else name.partition(", layouts")[0].replace(", ", "-")
        arms = ("generated", "both", "generated − real", "both − real")
        for cell, arm in zip(cells[: 1 if model is None else 4], arms, strict=model is not None):
            score = scores["real" if model is None else arm, model]
            assert score is not None
            assert score.value is not None
            assert score.interval is not None
            yield cell, Told(f"downstream {arm} of {model}", *(100 * one for one in (score.value, *score.interval)))
        point, folder = ("ceiling", "real") if model is None else ("", model)
        for cell, one in zip(cells[4:], ("fd", "%miou", "fsd"), strict=True):
            yield cell, told(f"streets/table1-small/{folder}", point, one)


def over_seeds(dataset: str, split: str, metric: str, column: str) -> Told:
    """gcdp minus imagen at guidance 2, as the suite wrote it."""
    asked = {"kind": "difference", "trained_on": split, "guidance": "2", "metric": metric, "column": column}
    with (MEASURED / dataset / "claim" / "over_seeds.csv").open(newline="", encoding="utf-8") as file:
        (row,) = [
            row
            for row in csv.DictReader(file)
            if row["seed"] == "mean of 3" and all(row[key] == value for key, value in asked.items())
        ]
    return Told(f"{dataset} {split} {metric} {column}", float(row["value"]), float(row["low"]), float(row["high"]))


def mean_of(dataset: str, model: str, split: str, number: str, guidance: str = "2") -> Told:
    runs = [told(f"{dataset}/claim/{model}-{split}-s{seed}", guidance, number) for seed in range(3)]
    values = [one.value for one in runs if one.value is not None]
    return Told(f"{runs[0].where}, over seeds", mean(values) if values else None)


def of_the_claim() -> Iterator[tuple[str, Told]]:
    for claim, where, _, here, _ in rows("## The claim", "claim of the paper"):
        dataset = where.partition(",")[0]
        metric, column = ("semantic-recall", "f1@0.1%") if dataset == "streets" else ("attribute-recall", "")
        if "more so" in claim:  # its interval is the study's, which has a test of its own
            both = [over_seeds(dataset, split, metric, column).value or 0 for split in ("train25", "train")]
            yield here.partition(" [")[0], Told(f"{dataset}, few less all", both[0] - both[1])
            continue
        split = "train25" if "quarter" in claim else "train"
        difference, _, means = here.partition(" (")
        yield difference, over_seeds(dataset, split, metric, column)
        number = f"{metric}/{column}".rstrip("/")
        for cell, model in zip(means.strip(")").split(" − "), ("gcdp", "imagen"), strict=True):
            yield cell, mean_of(dataset, model, split, number)
    numbers: dict[str, tuple[str, str]] = {
        "Semantic Recall (1 pixel)": ("semantic-recall", ""),
        "recall@0.1%": ("semantic-recall", "recall@0.1%"),
        "precision@0.1%": ("semantic-recall", "precision@0.1%"),
        "FD(segmenter)": ("fd", ""),
    }
    for name, *cells in rows("## The claim", "| streets, all pairs"):
        for dataset, part in (("streets", cells[:3]), ("faces", cells[3:])):
            metric, column = numbers.get(name, ("%miou", ""))
            number = f"{metric}/{column}".rstrip("/")
            yield part[0], mean_of(dataset, "gcdp", "train", number)
            yield part[1], mean_of(dataset, "imagen", "train", number)
            if name in numbers:
                yield part[2], over_seeds(dataset, "train", metric, column)


def of_figure7() -> Iterator[tuple[str, Told]]:
    """The tables of docs/figures.md: three scales a cell."""
    page = (ROOT / "docs" / "figures.md").read_text(encoding="utf-8")
    tables = (
        ("faces", "attribute-recall", ("train25", "train50", "train")),
        ("streets", "semantic-recall", ("train25", "train")),
    )
    for dataset, metric, splits in tables:
        text = page[page.index(f"\n| {dataset}, ") + 1 :].split("\n\n")[0]
        for line in text.splitlines()[2:]:
            name, *cells = [cell.strip() for cell in line.strip("|").split("|")]
            model, _, fd = name.partition(", ")
            for cell, split in zip(cells, splits, strict=True):
                for value, guidance in zip(cell.split(" / "), "124", strict=True):
                    yield value, mean_of(dataset, model, split, "fd" if fd else metric, guidance)


@pytest.mark.parametrize(
    ("cells", "least"),
    [(of_records, 150), (of_evaluators, 5), (of_downstream, 30), (of_the_claim, 40), (of_figure7, 60)],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_the_page_says_what_the_records_say(cells: object, least: int) -> None:
    assert callable(cells)
    wrong, count = [], 0
    for cell, number in cells():
        count += 1
        try:
            check(cell, number)
        except AssertionError as error:
            wrong.append(str(error).partition("\nassert")[0])
    assert not wrong, "\n".join(wrong)
    assert count >= least
