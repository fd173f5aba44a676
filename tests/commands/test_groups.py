"""Dependent images: names decide nothing, and few groups are said below every table that the command line prints."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from conftest import PALETTE, SIZE, Cli
from PIL import Image

from gcbench.core.record import Point, Record
from gcbench.core.score import Score

DRAWINGS, COPIES = 10, 4
FEW = "Fewer than 20 groups"
Evaluate = Callable[..., Path]


def write(root: Path, name: Callable[[int, int], str], grouped: bool, seed: int) -> Path:
    """Ten drawings, four copies of each that differ a little; layouts differ from what the images show."""
    for part in ("images", "layouts"):
        (root / part).mkdir(parents=True)
    lines = []
    for drawing in range(DRAWINGS):
        rng = np.random.default_rng([seed, drawing])
        layout = np.zeros(SIZE, np.uint8)
        for k in (1, 2, 3):
            top, left = rng.integers(20, size=2)
            layout[top : top + rng.integers(4, 12), left : left + rng.integers(4, 40)] = k
        for copy in range(COPIES):
            image = layout.copy()
            image[copy, : 3 * drawing] = 1 + drawing % 3
            stem = name(drawing, copy)
            Image.fromarray(np.array(PALETTE, np.uint8)[image]).save(root / "images" / f"{stem}.png")
            Image.fromarray(layout).save(root / "layouts" / f"{stem}.png")
            group = {"group": f"drawing {drawing}"} if grouped else {}
            text = [f"an image with roads, drawing number {1 + drawing}, copy {1 + copy}"]
            lines.append(json.dumps({"file_name": f"{stem}.png", "text": text, **group}))
    (root / "prompts.jsonl").write_text("\n".join(lines))
    return root


@pytest.fixture
def evaluate(cli: Cli, toyland: Path, oracle: None, without_curve: None, tmp_path: Path) -> Evaluate:
    """A run of the images, which are named in this order."""

    def run(order: str, *more: object, grouped: bool = True, seed: int = 0) -> Path:
        names = {
            "together": lambda drawing, copy: f"x{drawing}{copy}",
            "in turn": lambda drawing, copy: f"x{copy}{drawing}",
            "shuffled": lambda drawing, copy: f"x{7 * (COPIES * drawing + copy) % 40:02}",
        }
        root = write(tmp_path / f"{order} {grouped} {seed}", names[order], grouped, seed)
        parts = ["--images", root / "images", "--layouts", root / "layouts", "--prompts", root / "prompts.jsonl"]
        result = cli("evaluate", *parts, "--dataset", toyland, "--out", root / "run", "--name", order, *more)
        assert result.code == 0, result.err
        return root / "run"

    return run


def numbers(points: Iterable[Point]) -> dict[str, Score]:
    """Every score, columns among them."""
    scores = {name: score for point in points for name, score in point.scores.items()}
    return scores | {f"{name} {column}": s for name, score in scores.items() for column, s in score.also.items()}


def test_names_decide_no_standard_error(evaluate: Evaluate) -> None:
    orders = ("together", "in turn", "shuffled")
    one, *others = (numbers(Record.read(evaluate(order)).points) for order in orders)
    assert {name for name, score in one.items() if score.standard_error} >= {"fsd", "fsd void=drop", "fd", "miou"}
    for other in others:
        for name, score in one.items():
            assert score.groups in (DRAWINGS, None)
            assert other[name].value == pytest.approx(score.value, rel=1e-9)
            assert other[name].standard_error == pytest.approx(score.standard_error, rel=1e-6, abs=1e-12)
            assert other[name].interval == pytest.approx(score.interval, rel=1e-6, abs=1e-12)


def test_copies_without_groups_count_as_independent(evaluate: Evaluate) -> None:
    """Four copies of a drawing are one: the error is about twice that of 40 independent images."""
    grouped = numbers(Record.read(evaluate("in turn")).points)
    alone = numbers(Record.read(evaluate("in turn", grouped=False)).points)
    for name in ("fsd", "fd", "miou"):
        errors = np.array([scores[name].standard_error for scores in (grouped, alone)], float)
        assert 1.6 < errors[0] / errors[1] < 2.6


@pytest.mark.parametrize("format", ["rich", "md", "latex"])
def test_few_groups_are_said_by_compare_and_table1(cli: Cli, evaluate: Evaluate, format: str) -> None:
    run, other = evaluate("together"), evaluate("together", seed=1)
    for asked in (["compare", run, other], ["table1", "--dataset", "toyland", "--measured", run, "--all"]):
        result = cli(*asked, "--format", format)
        assert result.code == 0, result.err
        assert FEW in " ".join((result.out + result.err).split())


def test_few_groups_are_said_by_evaluate_and_sweep(cli: Cli, toyland: Path, images: Path, oracle: None) -> None:
    parts = ["--images", images / "images", "--layouts", images / "layouts", "--prompts", images / "prompts.jsonl"]
    for asked in (["evaluate", *parts, "--out", "evaluated"], ["sweep", "--model", "real", "-n", 6, "--out", "swept"]):
        result = cli(*asked, "--dataset", toyland)
        assert result.code == 0, result.err
        assert FEW in " ".join(result.out.split())


def test_few_groups_are_said_by_no_table_of_many(cli: Cli, evaluate: Evaluate) -> None:
    """Forty images that nothing binds."""
    run = evaluate("in turn", grouped=False)
    table = cli("table1", "--dataset", "toyland", "--measured", run, "--all")
    assert "in turn" in table.out
    assert "in turn" not in table.out.partition(FEW)[2]
