"""Comparing two runs: against scipy and numpy on what the runs stored, and every way in which it must be refused."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import PAINTER, Cli
from scipy import stats

import gcbench
from gcbench.core.errors import UserError
from gcbench.core.protocol import Protocol
from gcbench.core.record import ModelInfo, Point, Provenance, Record
from gcbench.core.run_spec import guidance_text
from gcbench.core.score import Score
from gcbench.reports.comparison import Comparison, print_comparison
from gcbench.reports.run_pair import Row
from gcbench.runs.sample_table import SampleTable

PROTOCOL = Protocol(
    dataset="toyland",
    dataset_version="1",
    split="val",
    n=40,
    size=(32, 64),
    resize="box",
    evaluators={"segmenter": "oracle"},
    thresholds={"semantic-recall.min_pixels": 1.0},
    prompts="abc",
    seed=0,
    reference_n=14,
)


def write(
    path: Path,
    recall: Sequence[float | None],
    left_out: Sequence[float | None] = (),
    groups: Sequence[str] | None = None,
    scales: Sequence[float | None] = (1.0,),
    **changes: Any,
) -> Path:
    """A run of one or more equal points: recall an image, and an FSD whose left-out values are given."""
    ids = [f"{i:06d}" for i in range(len(recall))]
    scored = [value for value in recall if value is not None]
    scores = {
        "semantic-recall": Score(value=float(np.mean(scored)), n=len(scored), unscored=len(recall) - len(scored)),
        "fsd": Score(value=sum(v or 0 for v in left_out), n=len(ids), detail={"left_out": list(left_out)}),
    }
    record = Record(
        kind="sweep",
        model=ModelInfo(name=path.name),
        protocol=PROTOCOL.model_copy(update={"n": len(ids), **changes}),
        points=[Point(guidance=scale, scores=scores) for scale in scales],
        provenance=Provenance(gcbench="0"),
    )
    table = SampleTable()
    for scale in scales:
        table.values[guidance_text(scale), "semantic-recall", ""] = dict(zip(ids, recall, strict=True))
    table.groups = dict(zip(ids, groups or ids, strict=True))
    path.mkdir()
    table.write(path / "per_sample.csv")
    record.write(path / "record.json")
    return path


def rows(found: Comparison, metric: str) -> list[Row]:
    return [row for row in found.rows if row.metric == metric and row.column is None]


def only(found: Comparison, metric: str) -> Row:
    (one,) = rows(found, metric)
    return one


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Two models on the same 40 prompts: what is hard for one is hard for the other, a is better by 0.1."""
    rng = np.random.default_rng(0)
    shared = rng.random(40)
    a = write(tmp_path / "a", (shared + 0.1 + 0.1 * rng.standard_normal(40)).tolist(), (1.0, 2.0, 4.0, 3.0))
    b = write(tmp_path / "b", shared.tolist(), (1.5, 3.0, 4.5, 4.5))
    return a, b


# ------------------------------------------------------------------------------------------------- the numbers


def test_images_are_paired(pair: tuple[Path, Path]) -> None:
    """The interval is that of a paired t-test, some tenths of an unpaired one's."""
    found = only(gcbench.compare(*pair), "semantic-recall")
    a, b = (
        np.array([float(row["value"]) for row in csv.DictReader((path / "per_sample.csv").open())]) for path in pair
    )
    expected = stats.ttest_rel(a, b).confidence_interval()
    assert found.difference == pytest.approx((a - b).mean(), rel=1e-12)
    assert (found.pairing, found.units, found.n, found.better) == ("images", 40, 40, "A")
    assert found.interval is not None
    assert found.interval == pytest.approx(expected, abs=0.1 * (expected[1] - expected[0]))
    assert found.p_value is not None
    assert found.p_value < 0.002
    unpaired = stats.ttest_ind(a, b).confidence_interval()
    assert found.interval[1] - found.interval[0] < 0.5 * (unpaired.high - unpaired.low)


def test_blocks_are_paired(pair: tuple[Path, Path]) -> None:
    """SE² = (B-1)/B Σ (d_b - mean d)² and Student's t with B - 1 = 3 degrees of freedom; lower is better."""
    found = only(gcbench.compare(*pair), "fsd")
    d = np.array([1.0, 2.0, 4.0, 3.0]) - np.array([1.5, 3.0, 4.5, 4.5])
    error = np.sqrt(3 / 4 * ((d - d.mean()) ** 2).sum())
    assert found.difference == pytest.approx(10 - 13.5)
    assert found.standard_error == pytest.approx(error)
    assert found.interval == pytest.approx(stats.t.interval(0.95, 3, loc=-3.5, scale=error))
    assert found.p_value == pytest.approx(2 * stats.t.sf(3.5 / error, 3))
    assert (found.pairing, found.units, found.better) == ("blocks", 4, "A")


def test_the_other_way_round(pair: tuple[Path, Path]) -> None:
    for one, other in zip(gcbench.compare(*pair).rows, gcbench.compare(*pair[::-1]).rows, strict=True):
        assert other.difference == pytest.approx(-one.difference)
        assert other.p_value == pytest.approx(one.p_value)
        assert (other.a, other.b, other.better) == (one.b, one.a, "B")


def test_a_run_with_itself(pair: tuple[Path, Path]) -> None:
    for row in gcbench.compare(pair[0], pair[0] / "record.json").rows:
        assert (row.difference, row.interval, row.p_value, row.better) == (0, (0, 0), 1, None)


def test_images_of_one_prompt_are_one_witness(tmp_path: Path) -> None:
    """Each prompt is drawn four times with the same outcome: as much is known as from one image each."""
    difference = np.random.default_rng(1).standard_normal(30)
    groups = [f"p{i // 4:02d}" for i in range(120)]
    copies = [
        write(tmp_path / "a", np.repeat(difference, 4).tolist(), groups=groups),
        write(tmp_path / "b", [0.0] * 120),
    ]
    found = gcbench.compare(*[run if run.name == "a" else regroup(run, groups) for run in copies])
    once = gcbench.compare(write(tmp_path / "c", difference.tolist()), write(tmp_path / "d", [0.0] * 30))
    assert only(found, "semantic-recall").units == 30
    assert only(found, "semantic-recall").interval == pytest.approx(only(once, "semantic-recall").interval)


def regroup(run: Path, groups: Sequence[str]) -> Path:
    """The same run with other groups."""
    table = SampleTable.read(run / "per_sample.csv")
    table.groups = dict(zip(sorted(table.groups), groups, strict=True))
    table.write(run / "per_sample.csv")
    return run


def test_groups_of_one_run_count_where_the_images_of_the_other_are_independent(tmp_path: Path) -> None:
    groups = [f"p{i // 4}" for i in range(40)]
    a = write(tmp_path / "a", np.random.default_rng(0).random(40).tolist(), groups=groups)
    b = write(tmp_path / "b", [0.5] * 40)
    found = gcbench.compare(a, b)
    assert only(found, "semantic-recall").units == 10
    assert any("Fewer than 20 groups" in note for note in found.notes)
    with pytest.raises(UserError, match=r"image 000000 is in another group \('p0' against 'q'\)"):
        gcbench.compare(a, regroup(b, ["q"] * 40))


def test_unscored_images_leave_the_pair(tmp_path: Path) -> None:
    a = write(tmp_path / "a", [None, 0.5, 1.0, 0.75])
    b = write(tmp_path / "b", [0.0, 0.25, None, 0.25])
    found = only(gcbench.compare(a, b), "semantic-recall")
    assert (found.n, found.units, found.difference) == (2, 2, pytest.approx(0.375))
    assert (found.a, found.b) == (0.75, pytest.approx(1 / 6))


# ------------------------------------------------------------------------------- what cannot be said is not said


def test_missing_scores_keep_their_reason(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    record = Record.read(pair[0] / "record.json")
    record.points[0].scores["fsd"] = Score.skipped("the samples have no layouts")
    record.write(pair[0] / "record.json")
    found = only(gcbench.compare(*pair), "fsd")
    assert (found.a, found.b, found.difference, found.interval) == (None, 13.5, None, None)
    assert found.reason == "A: skipped, the samples have no layouts"


def test_a_metric_of_one_run_only(pair: tuple[Path, Path]) -> None:
    record = Record.read(pair[0] / "record.json")
    del record.points[0].scores["fsd"]
    record.write(pair[0] / "record.json")
    found = gcbench.compare(*pair)
    assert {row.metric for row in found.rows} == {"semantic-recall"}
    assert [(one.run, one.metric, one.reason) for one in found.left_out] == [("B", "fsd", "only B has it")]


def test_a_metric_of_one_run_only_at_one_scale(tmp_path: Path) -> None:
    runs = [write(tmp_path / name, [0.0, 1.0], scales=(1.0, 2.0)) for name in ("a", "b")]
    record = Record.read(runs[0] / "record.json")
    del record.points[1].scores["fsd"]
    record.write(runs[0] / "record.json")
    found = gcbench.compare(*runs)
    assert [row.guidance_a for row in rows(found, "fsd")] == [1]
    assert [str(left) for left in found.left_out] == ["B, fsd: only B has it at guidance 2"]


def test_layouts_that_two_segmenters_derived_are_not_compared(tmp_path: Path) -> None:
    runs = [write(tmp_path / name, [0.0, 1.0]) for name in ("a", "b")]
    for run in runs:
        record = Record.read(run / "record.json")
        record.model.layouts = f"derived:{run.name}"
        record.write(run / "record.json")
    (left,) = gcbench.compare(*runs).left_out
    assert (left.metric, left.reason) == ("fsd", "layouts: derived:a against derived:b")


@pytest.mark.parametrize(
    ("left_out", "fragment"),
    [
        ((), "B stores no values of it"),
        ((1.0, 2.0, 3.0), "not the same images and groups were scored in A and B"),
        ((1.0, None, 2.0, 3.0), "a value without one block is missing in B"),
    ],
)
def test_blocks_that_cannot_be_paired(tmp_path: Path, left_out: tuple[float | None, ...], fragment: str) -> None:
    a, b = write(tmp_path / "a", [0.0, 1.0] * 4, (1.0, 2.0, 3.0, 4.0)), write(tmp_path / "b", [1.0] * 8, left_out)
    found = only(gcbench.compare(a, b), "fsd")
    assert found.difference == pytest.approx(10 - sum(v or 0 for v in left_out))
    assert (found.interval, found.p_value, found.better) == (None, None, None)
    assert fragment in (found.reason or "")


def test_blocks_of_which_an_image_is_unscored(tmp_path: Path) -> None:
    """An unscored image may have moved the others into other blocks."""
    runs = [write(tmp_path / name, [0.0, 1.0] * 4, (1.0, 2.0, 3.0, 4.0)) for name in ("a", "b")]
    record = Record.read(runs[1] / "record.json")
    record.points[0].scores["fsd"].unscored = 1
    record.write(runs[1] / "record.json")
    found = only(gcbench.compare(*runs), "fsd")
    assert found.interval is None
    assert "not the same images" in (found.reason or "")


def test_values_that_are_not_the_scores_are_not_used(pair: tuple[Path, Path]) -> None:
    text = (pair[0] / "per_sample.csv").read_text().splitlines()
    (pair[0] / "per_sample.csv").write_text("\n".join([*text[:-1], text[-1].rpartition(",")[0] + ",0.9"]) + "\n")
    found = only(gcbench.compare(*pair), "semantic-recall")
    assert (found.interval, found.reason) == (None, "the values that A stores of its images are not those of the score")
    assert found.difference is not None
    (pair[0] / "per_sample.csv").unlink()
    assert only(gcbench.compare(*pair), "semantic-recall").interval is None


def test_images_of_other_names(pair: tuple[Path, Path]) -> None:
    file = pair[0] / "per_sample.csv"
    file.write_text(file.read_text().replace(",0000", ",x000"))
    found = only(gcbench.compare(*pair), "semantic-recall")
    assert (found.interval, found.reason) == (None, "the images have other names in A than in B")


@pytest.mark.parametrize(("lost", "subject"), [("a", "A stores"), ("b", "B stores"), ("ab", "A and B store")])
def test_who_stores_no_values_is_named_and_nobody_else(pair: tuple[Path, Path], lost: str, subject: str) -> None:
    for path in pair:
        if path.name in lost:
            (path / "per_sample.csv").unlink()
    reason = only(gcbench.compare(*pair), "semantic-recall").reason
    assert reason == f"{subject} no values of it, an image or a block, that could be paired"


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize(
    ("field", "key", "held"),
    [
        ("evaluators", "segmenter", "oracle"),
        ("thresholds", "semantic-recall.min_pixels", "1.0"),
    ],
)
def test_a_missing_evaluator_or_threshold_is_named_with_the_run_that_lacks_it(
    tmp_path: Path, field: str, key: str, held: str, swapped: bool
) -> None:
    runs = [write(tmp_path / "whole", [0.0, 1.0]), write(tmp_path / "lacking", [0.0, 1.0], **{field: {}})]
    record = Record.read(runs[1] / "record.json")
    record.points[0].scores["semantic-recall"] = Score.skipped("no weights are here")
    record.write(runs[1] / "record.json")
    lacks, has = ("A", "B") if swapped else ("B", "A")
    (left,) = gcbench.compare(*(runs[::-1] if swapped else runs)).left_out
    assert left.reason == f"{field}: {lacks} has no {key}, {has} has {held}; {lacks}: skipped, no weights are here"


def test_what_a_record_names_is_not_run(cli: Cli, pair: tuple[Path, Path]) -> None:
    """By no command that reads records: a metric, a model and an evaluator that are files stay names."""
    Path("evil.py").write_text('open("was-run", "w").close()\n')
    for path in pair:
        record = Record.read(path / "record.json")
        record.model.name = "evil.py:E"
        for point in record.points:
            point.scores = {"evil.py:E": Score(value=1.0), **point.scores}
        record.ceiling = {"evil.py:E": Score(value=1.0)}
        record.spec = {"model": "evil.py:E", "evaluators": ["segmenter=evil.py:E"]}
        record.protocol = record.protocol.model_copy(update={"evaluators": {"segmenter": "evil.py:E@x#0 fp64"}})
        record.write(path / "record.json")
        record.to_pandas()
    for asked in (["compare", *pair], ["compare", *pair, "--guidance", "best"], ["compare", *pair, "--format", "csv"]):
        assert cli(*asked).code == 0
    cli("table1", "--dataset", "toyland", "--measured", pair[0].parent, "--all", "--notes")
    cli("figure", 6, "--runs", pair[0].parent)
    assert not Path("was-run").exists()


def test_every_run_without_the_asked_scale_is_named(tmp_path: Path) -> None:
    runs = [write(tmp_path / name, [0.0, 1.0], scales=(1.0, 2.0)) for name in ("a", "b")]
    with pytest.raises(UserError) as refused:
        gcbench.compare(*runs, guidance=3)
    for run in runs:
        assert f"{run} has no point at guidance 3" in str(refused.value)


# ------------------------------------------------------------------------------------------------- protocols


@pytest.mark.parametrize(
    ("field", "value", "compared"),
    [
        ("dataset_version", "2", set()),
        ("size", (64, 128), set()),
        ("resize", "nearest", set()),
        ("void", "counted", set()),
        ("evaluators", {"segmenter": "other"}, {"fsd"}),
        ("evaluators", {}, {"fsd"}),
        ("thresholds", {"semantic-recall.min_pixels": 2.0}, {"fsd"}),
        ("thresholds", {}, {"fsd"}),
        ("metrics", {"fsd": "mine.py#0123"}, {"semantic-recall"}),
        ("prompts", "xyz", set()),
        ("prompts", None, {"fsd"}),
        ("reference_n", 15, {"semantic-recall"}),
    ],
)
def test_what_was_not_measured_alike_is_left_out_by_name(
    cli: Cli, tmp_path: Path, field: str, value: Any, compared: set[str]
) -> None:
    """By what the metrics declare: semantic-recall needs prompts and the segmenter, fsd the reference."""
    a, b = write(tmp_path / "a", [0.0, 1.0]), write(tmp_path / "b", [0.0, 1.0], **{field: value})
    result = cli("compare", a, b)
    assert result.code == (0 if compared else 2)
    if compared:
        found = gcbench.compare(a, b)
        assert {row.metric for row in found.rows} == compared
        (left,) = found.left_out
        assert {left.metric} == {"semantic-recall", "fsd"} - compared
        assert left.reason.startswith(f"{field}: ")
        assert f"Not compared: B, {left.metric}: {field}: " in result.out
    else:
        assert result.out == ""
        assert f"{field}: " in result.complaint
        assert str(a) in result.complaint


def test_of_three_runs_each_is_compared_with_the_first(cli: Cli, tmp_path: Path) -> None:
    """One run that cannot be compared keeps no other from it."""
    runs = [
        write(tmp_path / "a", [0.0, 1.0], (3.0, 4.0)),
        write(tmp_path / "b", [1.0, 1.0], (1.0, 2.0)),
        write(tmp_path / "c", [0.0, 1.0], size=(1, 1)),
        write(tmp_path / "d", [0.0, 0.5], (1.0, 1.0), prompts=None),
    ]
    found = gcbench.compare(*runs)
    assert [(row.run, row.metric, row.a, row.b) for row in found.rows] == [
        *(("B", "semantic-recall", 0.5, 1.0), ("B", "fsd", 7.0, 3.0), ("D", "fsd", 7.0, 2.0)),
    ]
    assert [(one.run, one.metric) for one in found.left_out] == [("C", None), ("D", "semantic-recall")]
    assert found.to_pandas()["difference"].tolist() == [-0.5, 4.0, 5.0]
    assert "D was made without prompts, A with them." in found.notes
    out = cli("compare", *runs).out
    for line in ("Not compared: C: size: (32, 64) against (1, 1)", "Not compared: D, semantic-recall: prompts: 'abc'"):
        assert line in out
    assert cli("compare", runs[0], runs[2]).code == 2
    assert cli("compare", runs[0]).complaint == "gcbench: compare takes at least two runs; give a second run directory"


@pytest.mark.parametrize("format", ["md", "latex", "csv"])
def test_formats(cli: Cli, pair: tuple[Path, Path], format: str) -> None:
    out = cli("compare", *pair, "--format", format).out
    assert "-3.5" in out  # A - B of the FSD
    if format == "csv":
        lines = {(line["name"], line["metric"]): line for line in csv.DictReader(out.splitlines())}
        assert float(lines["A − B", "fsd"]["value"]) == -3.5
        assert lines["A − B", "fsd"]["better"] == "A"
        assert float(lines["A", "fsd"]["value"]) == 10
    assert cli("compare", *pair, "--format", "json").out == cli("compare", *pair, "--json").out
    assert "choose one of rich, md" in cli("compare", *pair, "--format", "html").complaint


def test_seed_and_sampler_belong_to_the_models(tmp_path: Path) -> None:
    a = write(tmp_path / "a", [0.0, 1.0])
    b = write(tmp_path / "b", [0.0, 1.0], seed=7, sampler={"steps": 4.0})
    found = gcbench.compare(a, b)
    assert "The models A and B differ in sampler steps, seed: 0 against 7." in found.notes


@pytest.mark.parametrize("fault", ["absent", "no record", "another schema", "no points", "torn rows"])
def test_what_is_no_run(cli: Cli, pair: tuple[Path, Path], tmp_path: Path, fault: str) -> None:
    a, b = pair
    record = json.loads((a / "record.json").read_text())
    if fault == "absent":
        a = tmp_path / "nowhere"
    elif fault == "no record":
        (a / "record.json").unlink()
    elif fault == "another schema":
        (a / "record.json").write_text(json.dumps({**record, "schema_version": 3}))
    elif fault == "no points":
        (a / "record.json").write_text(json.dumps({**record, "points": []}))
    else:
        (a / "per_sample.csv").write_text(
            "guidance,id,group,prompt,metric,column,value\n1,0,0,,semantic-recall,,much\n"
        )
    result = cli("compare", a, b)
    assert (result.code, result.out) == (2, "")
    assert str(a) in result.complaint
    assert "Traceback" not in result.err


# ---------------------------------------------------------------------------------------------------- scales


def test_every_common_scale(tmp_path: Path) -> None:
    a = write(tmp_path / "a", [0.0, 1.0], scales=(1.0, 2.0, 4.0))
    b = write(tmp_path / "b", [0.0, 1.0], scales=(2.0, 3.0, 4.0))
    found = rows(gcbench.compare(a, b), "fsd")
    assert [(row.guidance_a, row.guidance_b) for row in found] == [(2, 2), (4, 4)]
    assert [row.guidance_a for row in rows(gcbench.compare(a, b, guidance=4), "fsd")] == [4]
    alone = write(tmp_path / "c", [0.0, 1.0], scales=(None,))
    found = rows(gcbench.compare(a, alone), "fsd")
    assert [(row.guidance_a, row.guidance_b) for row in found] == [(1, None), (2, None), (4, None)]
    assert rows(gcbench.compare(alone, a, guidance="2"), "fsd")[0].guidance_b == 2
    assert len(rows(gcbench.compare(alone, alone), "fsd")) == 1


def test_no_common_scale(cli: Cli, tmp_path: Path) -> None:
    a, b = write(tmp_path / "a", [0.0, 1.0], scales=(1.0, 2.0)), write(tmp_path / "b", [0.0, 1.0], scales=(3.0,))
    result = cli("compare", a, b)
    assert result.code == 2
    assert "guidance 1, 2 and" in result.complaint
    result = cli("compare", a, b, "--guidance", 3)
    assert result.code == 2
    assert f"{a} has no point at guidance 3; choose one of 1, 2" in result.complaint
    assert cli("compare", a, b, "--guidance", "bst").code == 2


def test_each_at_its_best_scale(tmp_path: Path) -> None:
    runs = []
    for name, values in (("a", ((1.0, 0.5, 9.0), (2.0, 0.7, 8.0))), ("b", ((1.0, 0.8, 5.0), (3.0, 0.6, 7.0)))):
        run = write(tmp_path / name, [0.0, 1.0], scales=[scale for scale, _, _ in values])
        record = Record.read(run / "record.json")
        for point, (_, recall, fsd) in zip(record.points, values, strict=True):
            point.scores = {"semantic-recall": Score(value=recall), "fsd": Score(value=fsd)}
        record.write(run / "record.json")
        runs.append(run)
    found = gcbench.compare(*runs, guidance="best")
    assert {(row.metric, row.guidance_a, row.guidance_b, row.a, row.b) for row in found.rows} == {
        ("semantic-recall", 2, 1, 0.7, 0.8),
        ("fsd", 2, 1, 8, 5),
    }
    assert any("flatter" in note for note in found.notes)


# ------------------------------------------------------------------------------------------------ end to end


@pytest.mark.usefixtures("oracle", "without_curve")
def test_two_painters(cli: Cli, toyland: Path, tmp_path: Path) -> None:
    """One paints more of what its prompt names than the other; 30 images of 14 pairs have 5 texts: 5 groups."""
    for name, divisor in (("bold", 3), ("shy", 9)):
        Path(f"{name}.py").write_text(PAINTER.replace("guidance / 4", f"guidance / {divisor}"))
        asked = ["--model", f"{name}.py:Painter", "--dataset", toyland, "-n", 30, "--guidance", "1,2"]
        assert cli("sweep", *asked, "--out", tmp_path / name).code == 0
    result = cli("compare", tmp_path / "bold", tmp_path / "shy", "--json")
    assert result.code == 0, result.err
    found = Comparison.model_validate_json(result.out)
    for row in rows(found, "semantic-recall"):
        assert (row.units, row.pairing) == (5, "images")
        assert row.difference is not None
        assert row.difference > 0
        assert row.a is not None
        assert row.b is not None
        assert row.difference == pytest.approx(row.a - row.b)
    for metric in ("miou", "fsd", "fd"):
        for row in rows(found, metric):
            assert (row.pairing, row.units) == ("blocks", 5)
            assert row.interval is not None
    shown = cli("compare", tmp_path / "bold", tmp_path / "shy")
    assert shown.code == 0
    assert {"guidance", "Semantic", "FSD", "↓", "↑", "p"} <= set(shown.out.split())
    assert "5 groups" in shown.out
    assert "same 5 blocks" in shown.out
    assert "miou void_share: A and B store no values of it, " in " ".join(shown.out.split())


def test_the_table_names_what_is_missing(pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    record = Record.read(pair[0] / "record.json")
    record.points[0].scores["fsd"] = Score.skipped("the samples have no layouts")
    record.write(pair[0] / "record.json")
    print_comparison(gcbench.compare(*pair))
    out = capsys.readouterr().out
    assert "fsd: A: skipped, the samples have no layouts." in out
    assert "< 0.001" in out


def test_a_lost_or_damaged_file_of_images_is_named(pair: tuple[Path, Path]) -> None:
    file = pair[1] / "per_sample.csv"
    whole = file.read_text()
    file.unlink()
    found = gcbench.compare(*pair)
    assert f"{file} is not there: nothing can be paired by image." in found.notes
    assert only(found, "semantic-recall").interval is None
    assert only(found, "fsd").interval is not None
    for damaged in (whole[:9], "", "name,value\n1,2\n"):
        file.write_text(damaged)
        with pytest.raises(UserError, match=r"per_sample\.csv is damaged"):
            gcbench.compare(*pair)
