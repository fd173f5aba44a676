"""Means over seeds and paired differences of two rows: against scipy, and against `gcbench compare` of each seed."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import Cli
from scipy import stats

from gcbench.core.record import Record
from gcbench.core.score import Score
from gcbench.reports.comparison import compare
from gcbench.reports.over_seeds import mean_scores, over_seeds
from gcbench.reports.table import render
from gcbench.runs.suite_plan import Row, Variant
from gcbench.statistics.intervals import student_mean

PAIR = (Row(model="imagen", name="good", guidance=[1, 4]), Row(model="imagen", name="weak", guidance=[1, 4]))


@pytest.mark.parametrize("values", [[1.0, 2.0], [0.2, 0.25, 0.21], [3.0, 3.0, 3.0], [-1.0, 5.0, 2.0, 7.5, 0.0]])
def test_the_interval_is_scipys(values: list[float]) -> None:
    mean = student_mean(values)
    error = stats.sem(values)
    assert mean.value == pytest.approx(np.mean(values))
    assert mean.standard_error == pytest.approx(error)
    assert mean.groups == len(values)
    if error:
        assert mean.interval == pytest.approx(stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=error))
    else:
        assert mean.interval == (3.0, 3.0)


def test_one_seed_has_no_interval_and_none_no_mean() -> None:
    assert student_mean([2.5])[:3] == (2.5, None, None)
    for bad in ([], [1.0, float("nan")]):
        with pytest.raises(ValueError, match="mean"):
            student_mean(bad)


def test_a_seed_without_a_value_leaves_the_mean_out_with_its_reason() -> None:
    there, lost = Score(value=0.5, n=4), Score.skipped("no prompt names a class")
    found = mean_scores({0: {"m": there}, 1: {"m": lost}}, [0, 1, 2])["m"]
    assert (found.value, found.status) == (None, "skipped")
    assert found.reason == "seed 1: skipped, no prompt names a class; seed 2: not measured"


def test_the_mean_of_a_share_stays_a_share() -> None:
    scores = {seed: {"semantic-recall": Score(value=value, n=4)} for seed, value in enumerate((0.9, 1.0, 0.2))}
    found = mean_scores(scores, [0, 1, 2])["semantic-recall"]
    assert found.interval is not None
    assert found.interval[1] == 1.0


@pytest.fixture
def runs(cli: Cli, toyland: Path, painter: str, oracle: None, without_curve: None, tmp_path: Path) -> dict[str, Path]:
    """Sweeps that stand for trainings with three seeds: what differs between them is their sampling seed."""
    made = {}
    for row, name, scales in ((PAIR[0], "Painter", "3,4"), (PAIR[1], "Painter", "3,4")):
        for seed in range(3):
            out = tmp_path / f"{row.name}-s{seed}"
            first = 100 * seed + (50 if row is PAIR[1] else 0)
            model = f"{painter}:{name}"
            done = cli(
                *("sweep", "--model", model, "--dataset", toyland, "-n", 14, "--guidance", scales, "--seed", first),
                *("--metrics", "semantic-recall,fd,miou", "--out", out),
            )
            assert done.code == 0, done.err
            made[out.name] = out
    return made


def test_rows_and_differences_over_seeds(runs: dict[str, Path]) -> None:
    variants = [(Variant(row, None, seed), runs[f"{row.name}-s{seed}"]) for row in PAIR for seed in range(3)]
    found = over_seeds(variants, ["good", "weak"])
    tables = {table.title: table for table in found.tables(everything=True)}
    rows = {(r.name, r.cells["guidance"].value, r.cells["seed"].value): r for r in tables["over seeds"].rows}
    columns = {column.key: column for column in tables["over seeds"].columns}
    assert len(rows) == 2 * 2 * 4
    records = {name: Record.read(path) for name, path in runs.items()}
    for metric in ("semantic-recall", "fd", "miou"):
        for name in ("good", "weak"):
            for place, scale in enumerate((3.0, 4.0)):
                scores = [records[f"{name}-s{seed}"].points[place].scores[metric] for seed in range(3)]
                values = [float(score.value) for score in scores if score.value is not None]
                cell = columns[metric].cell(rows[name, f"{scale:g}", "mean of 3"])
                size = columns[metric].scale
                low, high = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
                ends = [min(max(end, columns[metric].range[0]), columns[metric].range[1]) * size for end in (low, high)]
                assert cell.value == pytest.approx(np.mean(values) * size)
                assert cell.interval == pytest.approx(ends)
                for seed, score in enumerate(scores):
                    own = columns[metric].cell(rows[name, f"{scale:g}", str(seed)])
                    assert score.interval is not None
                    assert own.interval == pytest.approx([end * size for end in score.interval])

    table = tables["good − weak, paired"]
    lines = {(r.cells["guidance"].value, r.cells["seed"].value): r for r in table.rows}
    columns = {column.key: column for column in table.columns}
    alone = [compare(runs[f"good-s{seed}"], runs[f"weak-s{seed}"]) for seed in range(3)]
    pairings = set()
    for metric in ("semantic-recall", "fd", "miou"):
        size = columns[metric].scale
        for scale in (3.0, 4.0):
            each = [r for one in alone for r in one.rows if (r.metric, r.column, r.guidance_a) == (metric, None, scale)]
            values = [row.difference for row in each if row.difference is not None]
            assert len(values) == 3
            low, high = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
            mean = columns[metric].cell(lines[f"{scale:g}", "mean of 3"])
            assert mean.value == pytest.approx(np.mean(values) * size)
            assert mean.interval == pytest.approx([low * size, high * size])
            for seed, row in enumerate(each):
                cell = columns[metric].cell(lines[f"{scale:g}", str(seed)])
                assert row.interval is not None
                assert cell.interval == pytest.approx([end * size for end in row.interval])
                pairings.add((metric, cell.more["pairing"]))
    assert pairings == {("semantic-recall", "images"), ("fd", "blocks"), ("miou", "blocks")}


def test_what_has_no_partner_is_named_and_a_seed_that_lacks_leaves_the_mean_out(runs: dict[str, Path]) -> None:
    variants = [(Variant(row, "train25", seed), runs[f"{row.name}-s{seed}"]) for row in PAIR for seed in range(3)]
    found = over_seeds(variants[:-1], ["good", "weak"])
    assert found.notes == ["Not compared: good-train25-s2 has no partner of weak."]
    text = render(found.tables(), "csv")
    assert "train25" in text
    content = json.loads(render(found.tables(everything=True), "json"))["tables"]
    titles = [table["title"] for table in content]
    assert titles == ["over seeds, trained on train25", "good − weak, paired, trained on train25", ""]
    seeds = [row["seed"] for row in content[0]["rows"] if row["name"] == "weak"]
    assert seeds == ["mean of 2", "0", "1"] * 2
    paired = [row["seed"] for row in content[1]["rows"]]
    assert paired == ["mean of 2", "0", "1"] * 2
