"""The Pareto front against its definition, and curves of records with holes."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from PIL import Image
from rich.console import Console

from gcbench.core.errors import UserError
from gcbench.core.protocol import Protocol
from gcbench.core.record import ModelInfo, Point, Provenance, Record
from gcbench.core.score import Score
from gcbench.reports import pareto
from gcbench.reports.curve import draw
from gcbench.reports.record_table import print_record, scores_csv

signs = st.integers(-1, 1)


@st.composite
def matrices(draw: st.DrawFn, n: int) -> list[list[int]]:
    """Who is better than whom on one axis: j than i the opposite of i than j."""
    out = [[0] * n for _ in range(n)]
    for i in range(n):
        for j in range(i):
            out[i][j] = draw(signs)
            out[j][i] = -out[i][j]
    return out


@settings(deadline=None)
@given(st.integers(0, 7).flatmap(lambda n: st.tuples(matrices(n), matrices(n))))
def test_front_by_brute_force(axes: tuple[list[list[int]], list[list[int]]]) -> None:
    """DESIGN: off it if another is better on one axis and not worse on the other."""
    cost, gain = axes
    for i, on_front in enumerate(pareto.front(cost, gain)):
        beaten = any(
            (cost[j][i] == 1 and gain[j][i] != -1) or (gain[j][i] == 1 and cost[j][i] != -1)
            for j in range(len(cost))
            if j != i
        )
        assert on_front is not beaten


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 9), st.floats(0, 1)), min_size=1, max_size=9))
def test_without_intervals_the_front_is_the_plain_one(points: list[tuple[float, float]]) -> None:
    found = record(
        *(
            Point(guidance=i + 1, scores={"fd": score(fd, False), "semantic-recall": score(recall, False)})
            for i, (fd, recall) in enumerate(points)
        )
    )
    pareto.mark(found)
    for (fd, recall), point in zip(points, found.points, strict=True):
        beaten = any(c <= fd and g >= recall and (c, g) != (fd, recall) for c, g in points)
        assert point.pareto is not beaten


def test_the_front_heeds_the_paired_intervals() -> None:
    """Second against first: much better in FD, its recall lower by less than is known. Third: surely worse in both."""
    ids = [f"{i:03d}" for i in range(60)]
    rng = np.random.default_rng(0)
    hard, noise = rng.random(60), 0.2 * rng.standard_normal(60)
    recalls = [hard, hard - 0.01 + noise - noise.mean(), hard - 0.2]
    lefts = [[8.0, 8.2, 7.9, 8.1], [5.0, 5.3, 4.9, 5.1], [9.0, 9.2, 8.9, 9.1]]
    values, points = {}, []
    for scale, (recall, left) in enumerate(zip(recalls, lefts, strict=True), 1):
        values[str(scale), "semantic-recall", ""] = dict(zip(ids, recall.tolist(), strict=True))
        fd = Score(value=float(np.mean(left)), n=60, detail={"left_out": list(left)})
        points.append(Point(guidance=scale, scores={"fd": fd, "semantic-recall": Score(value=recall.mean(), n=60)}))
    found = record(*points)
    pareto.mark(found, values)
    assert [point.pareto for point in found.points] == [False, True, False]
    pareto.mark(found)  # without the values of the images the difference counts as it is
    assert [point.pareto for point in found.points] == [True, True, False]


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


def test_axes_are_the_first_that_are_declared_or_those_asked_for() -> None:
    both = record(point(1, 5, 0.2, fid=score(50)), point(2, 4, 0.5, fid=score(60)))
    assert pareto.trade_off(both) == ("fd", "semantic-recall")
    assert pareto.trade_off(both, ("fid", "semantic-recall")) == ("fid", "semantic-recall")
    with pytest.raises(
        UserError, match=r"--axes fid,kid: kid was not measured here; choose two of fd, semantic-recall"
    ):
        pareto.trade_off(both, ("fid", "kid"))
    both.points[1].scores["fid"] = Score.failed("a fault")
    assert pareto.trade_off(both, ("fid", "semantic-recall")) is None
    assert pareto.trade_off(record()) is None


def test_a_gain_may_be_a_cost() -> None:
    """Semantic Recall as the first axis: higher stays better."""
    found = record(point(1, 5, 0.2), point(2, 5, 0.5))
    pareto.mark(found, axes=("semantic-recall", "fd"))
    assert [p.pareto for p in found.points] == [False, True]


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


def crowded() -> Record:
    """Nine scales whose error bars lie across each other, of a model with a long name."""
    points = []
    for i, scale in enumerate((1, 1.5, 2, 3, 4, 6, 8, 12, 16)):
        fd, recall = 24 + 0.3 * (i - 3) ** 2, 0.5 + 0.02 * min(i, 5)
        scores = {"fd": (fd, 2.5), "semantic-recall": (recall, 0.04)}
        ends = {name: Score(value=v, interval=(v - half, v + half), n=9) for name, (v, half) in scores.items()}
        points.append(Point(guidance=scale, scores=ends, pareto=i == 3))
    found = record(*points, ceiling={"semantic-recall": score(0.9)})
    found.model.name = "a$b^$c" + "/and-on" * 30
    return found


def test_no_label_lies_under_an_error_bar_and_no_title_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looked up in the drawn figure: the box of each text against every line, point by point."""
    kept: list[Figure] = []
    monkeypatch.setattr("gcbench.reports.drawing.save", lambda figure, folder, name: kept.append(figure))
    draw(crowded(), tmp_path)
    (figure,) = kept
    figure.canvas.draw()
    panel = figure.axes[0]
    labels = [text for text in panel.texts if text.get_text().replace(".", "").isdigit()]
    assert [text.get_text() for text in labels] == ["1", "1.5", "2", "3", "4", "6", "8", "12", "16"]
    boxes = [text.get_window_extent() for text in labels]
    bars = [segment for part in panel.collections for segment in part.get_segments()]  # type: ignore[attr-defined]
    assert len(bars) == 18
    for start, end in bars:
        for x, y in panel.transData.transform(np.linspace(start, end, 500)):
            assert not any(box.x0 < x < box.x1 and box.y0 < y < box.y1 for box in boxes)
    assert not any(a.overlaps(b) for at, a in enumerate(boxes) for b in boxes[:at])
    title = figure._suptitle.get_window_extent()  # type: ignore[attr-defined]
    assert title.x0 >= 0
    assert title.x1 <= figure.bbox.x1
    assert "a$b^$c/and-on" in figure._suptitle.get_text().replace("\\", "")  # type: ignore[attr-defined]
    plt.close(figure)


def test_a_curve_is_drawn_the_same_way_twice(tmp_path: Path) -> None:
    for name in ("a", "b"):
        draw(WHOLE, tmp_path / name)
    assert (tmp_path / "a/curve.svg").read_bytes() == (tmp_path / "b/curve.svg").read_bytes()


def test_the_table_says_the_unit_of_each_metric_that_it_shows(capsys: pytest.CaptureFixture[str]) -> None:
    print_record(WHOLE, Console(width=200))
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("Units: "))
    assert "Semantic Recall in share of named classes" in line
    assert line.count(" in ") == len(WHOLE.points[0].scores)
