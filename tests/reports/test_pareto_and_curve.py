"""The Pareto front against its definition, and curves of records with holes."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gcbench.core.protocol import Protocol
from gcbench.core.record import ModelInfo, Point, Provenance, Record
from gcbench.core.score import Score
from gcbench.reports import pareto
from gcbench.reports.curve import draw
from gcbench.reports.record_table import print_record, scores_csv

few = st.integers(0, 4).map(float)  # few values, so that there are ties


@settings(deadline=None)
@given(st.lists(st.tuples(few, few), max_size=12))
def test_front_by_brute_force(points: list[tuple[float, float]]) -> None:
    def beaten(cost: float, gain: float) -> bool:
        return any(c <= cost and g >= gain and (c, g) != (cost, gain) for c, g in points)

    assert pareto.front(points) == [not beaten(*point) for point in points]


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=1, max_size=12), st.randoms())
def test_front_has_the_best_of_each_axis_and_knows_no_order(points: list[tuple[float, float]], random) -> None:  # type: ignore[no-untyped-def]
    flags = dict(zip(points, pareto.front(points), strict=True))
    assert flags[min(points, key=lambda p: (p[0], -p[1]))]
    assert flags[max(points, key=lambda p: (p[1], -p[0]))]
    shuffled = random.sample(points, len(points))
    assert dict(zip(shuffled, pareto.front(shuffled), strict=True)) == flags


def score(value: float, interval: bool = True) -> Score:
    return Score(value=value, interval=(value - 0.1, value + 0.1) if interval else None, n=9)


def record(*points: Point, ceiling: dict[str, Score] | None = None) -> Record:
    protocol = Protocol(dataset="d", dataset_version="1", split="val", n=9, size=(32, 64), resize="box")
    return Record(
        kind="sweep",
        model=ModelInfo(name="m"),
        protocol=protocol,
        points=list(points),
        ceiling=ceiling or {},
        floor={"semantic-recall": score(0.1, interval=False)} if ceiling else {},
        provenance=Provenance(gcbench="0"),
    )


def point(guidance: float | None, fd: float | None, recall: float | None, **more: Score) -> Point:
    scores = {"fd": Score.skipped("no evaluator") if fd is None else score(fd)}
    scores["semantic-recall"] = Score.failed("a fault") if recall is None else score(recall)
    return Point(guidance=guidance, scores={**scores, **more})


def test_marks() -> None:
    found = record(point(1, 5, 0.2), point(2, 4, 0.5), point(3, 6, 0.9), point(4, 7, 0.9))
    pareto.mark(found)
    assert [p.pareto for p in found.points] == [False, True, True, False]
    found.points.append(point(5, None, 1.0))
    pareto.mark(found)
    assert [p.pareto for p in found.points] == [None] * 5


def test_fid_is_preferred_as_realism() -> None:
    both = record(point(1, 5, 0.2, fid=score(50)), point(2, 4, 0.5, fid=score(60)))
    assert pareto.axes(both) == ("fid", "semantic-recall")
    del both.points[1].scores["fid"]
    assert pareto.axes(both) == ("fd", "semantic-recall")
    assert pareto.axes(record()) is None


EMPTY = record()
NO_SCORES = record(Point(guidance=1), Point(guidance=2))
WHOLE = record(point(1, 5, 0.2), point(2, 4, 0.5), ceiling={"semantic-recall": score(0.9)})
ONE_HOLE = record(point(1, 5, 0.2), point(2, None, None), point(3, 4, 0.4), ceiling={"fd": Score.skipped("why")})
NO_INTERVALS = record(
    *(Point(guidance=g, scores={"fd": score(g, False), "semantic-recall": score(0.5, False)}) for g in (1, 2))
)
UNGUIDED = record(point(None, 5, 0.2, miou=score(0.4)), ceiling={"miou": Score.failed("a fault")})
UNSORTED = record(point(4, 5, 0.2), point(1, 6, 0.4))
ODD_INTERVAL = record(Point(guidance=1, scores={"fd": Score(value=1, interval=(2, 3)), "semantic-recall": score(0.2)}))


@pytest.mark.parametrize("found", [EMPTY, NO_SCORES, WHOLE, ONE_HOLE, NO_INTERVALS, UNGUIDED, UNSORTED, ODD_INTERVAL])
def test_curves_and_tables_of_holes(found: Record, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pareto.mark(found)
    draw(found, tmp_path)
    assert np.asarray(Image.open(tmp_path / "curve.png")).std() > 0
    assert (tmp_path / "curve.svg").read_text().rstrip().endswith("</svg>")
    print_record(found)
    assert "d/val" in capsys.readouterr().out
    assert len(scores_csv(found).splitlines()) >= 1


def test_a_curve_is_drawn_the_same_way_twice(tmp_path: Path) -> None:
    for name in ("a", "b"):
        draw(WHOLE, tmp_path / name)
    assert (tmp_path / "a/curve.svg").read_bytes() == (tmp_path / "b/curve.svg").read_bytes()


def test_the_table_says_the_unit_of_each_metric_that_it_shows(capsys: pytest.CaptureFixture[str]) -> None:
    print_record(WHOLE)
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("Units: "))
    assert "Semantic Recall in share of named classes" in line
    assert line.count(" in ") == len(WHOLE.points[0].scores)
