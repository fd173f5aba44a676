"""Figure 7 of the bundled trainings: what is drawn against the records' JSON, numpy and scipy."""

import csv
import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from conftest import Cli
from scipy import stats

MEASURED = Path(str(files("gcbench.results"))) / "measured"


def scores(dataset: str, name: str) -> dict[tuple[float, str], float]:
    """(guidance, metric) -> value of one bundled record."""
    record = json.loads((MEASURED / dataset / "claim" / name / "record.json").read_text(encoding="utf-8"))
    return {(p["guidance"], metric): one["value"] for p in record["points"] for metric, one in p["scores"].items()}


@pytest.mark.parametrize(
    ("dataset", "gain", "splits"),
    [
        ("faces", "attribute-recall", ["train25", "train50", "train"]),
        ("streets", "semantic-recall", ["train25", "train"]),
    ],
)
def test_bundled_trainings_are_shown_as_curves_and_their_mean(
    cli: Cli, tmp_path: Path, dataset: str, gain: str, splits: list[str]
) -> None:
    result = cli("figure", 7, "--dataset", dataset, "--out", tmp_path)
    assert result.code == 0, result.err
    missing = "Not drawn: train50: no record of a model that was trained on it"
    assert (missing in result.err) is ("train50" not in splits)
    with (tmp_path / "figure7.csv").open(encoding="utf-8", newline="") as stream:
        drawn = list(csv.DictReader(stream))
    assert list(dict.fromkeys(row["panel"] for row in drawn)) == splits
    assert {row["metric"] for row in drawn} == {"fd", gain}
    values = {
        (row["panel"], row["model"], row["run"], row["guidance"], row["metric"]): row
        for row in drawn
        if row["model"] in ("gcdp", "imagen")
    }
    assert len(values) == len(splits) * 2 * (3 + 1) * 3 * 2
    for split in splits:
        for model in ("gcdp", "imagen"):
            runs = [f"{model}-{split}-s{seed}" for seed in range(3)]
            for scale in (1, 2, 4):
                for metric in ("fd", gain):
                    each = [scores(dataset, run)[scale, metric] for run in runs]
                    for run, value in zip(runs, each, strict=True):
                        assert float(values[split, model, run, str(scale), metric]["value"]) == value
                    mean = values[split, model, "mean of 3", str(scale), metric]
                    assert float(mean["value"]) == pytest.approx(np.mean(each))
                    ends = stats.t.interval(0.95, 2, loc=np.mean(each), scale=stats.sem(each))
                    assert (float(mean["low"]), float(mean["high"])) == pytest.approx(ends)
    for real in ("ceiling", "floor"):
        assert [row["panel"] for row in drawn if row["model"] == real and row["metric"] == gain] == splits
