"""Figure 1 of several trainings: means, intervals and refusals against numpy, scipy and the bundled records' JSON."""

import csv
import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from conftest import Cli
from scipy import stats

CLAIM = Path(str(files("gcbench.results"))) / "measured" / "faces" / "claim"


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def recalls(name: str, guidance: float) -> tuple[float, dict[str, float]]:
    """The attribute recall of one bundled record, and that of each attribute."""
    record = json.loads((CLAIM / name / "record.json").read_text(encoding="utf-8"))
    (point,) = (point for point in record["points"] if point["guidance"] == guidance)
    score = point["scores"]["attribute-recall"]
    return score["value"], {key: value for key, value in score["detail"]["per_attribute"].items() if value is not None}


def test_bundled_trainings_are_shown_as_their_mean(cli: Cli, tmp_path: Path) -> None:
    result = cli("figure", 1, "--dataset", "faces", "--out", tmp_path)
    assert result.code == 0, result.err
    assert "Not drawn" not in result.err
    drawn = rows(tmp_path / "figure1.csv")
    assert {row["split"] for row in drawn} == {"", "train25", "train50", "train"}
    for model in ("gcdp", "imagen"):
        for split in ("train25", "train50", "train"):
            runs = [f"{model}-{split}-s{seed}" for seed in range(3)]
            scale = max((1, 2, 4), key=lambda w: sum(recalls(run, w)[0] for run in runs))
            own = [row for row in drawn if (row["model"], row["split"]) == (model, split)]
            assert {row["guidance"] for row in own} == {str(scale)}
            assert {row["run"] for row in own} == {*runs, "mean of 3"}
            for name in recalls(runs[0], scale)[1]:
                values = [recalls(run, scale)[1][name] for run in runs]
                (mean,) = (row for row in own if (row["run"], row["attribute"]) == ("mean of 3", name))
                assert float(mean["value"]) == pytest.approx(np.mean(values))
                if error := stats.sem(values):
                    low, high = stats.t.interval(0.95, 2, loc=np.mean(values), scale=error)
                    assert float(mean["low"]) == pytest.approx(max(0, low))
                    assert float(mean["high"]) == pytest.approx(min(1, high))
                each = [
                    float(row["value"]) for run in runs for row in own if (row["run"], row["attribute"]) == (run, name)
                ]
                assert each == values
    ceiling = {row["attribute"]: float(row["value"]) for row in drawn if row["model"] == "ceiling"}
    record = json.loads((CLAIM / "gcdp-train-s0" / "record.json").read_text(encoding="utf-8"))
    assert ceiling == record["ceiling"]["attribute-recall"]["detail"]["per_attribute"]


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """Two bundled trainings of one model that may be changed."""
    for seed in (0, 1):
        (tmp_path / "runs" / f"s{seed}").mkdir(parents=True)
        text = (CLAIM / f"gcdp-train-s{seed}" / "record.json").read_text(encoding="utf-8")
        (tmp_path / "runs" / f"s{seed}" / "record.json").write_text(text, encoding="utf-8")
    return tmp_path / "runs"


@pytest.mark.parametrize(
    ("where", "value", "complaint"),
    [
        (("model", "weights"), "ea58cb05dc6a", None),
        (("model", "weights"), None, "and nothing says that its weights are others"),
        (("training", "images"), 64, "and differs in more than the seed: images seen 64 against 128000"),
        (("model", "parameters"), 5, "and differs in more than the seed: parameters 5 against 2179616"),
    ],
)
def test_only_other_seeds_of_the_same_training_are_averaged(
    cli: Cli, two: Path, tmp_path: Path, where: tuple[str, str], value: object, complaint: str | None
) -> None:
    file = two / "s1" / "record.json"
    record = json.loads(file.read_text(encoding="utf-8"))
    record[where[0]][where[1]] = value
    file.write_text(json.dumps(record), encoding="utf-8")
    result = cli("figure", 1, "--dataset", "faces", "--runs", two, "--out", tmp_path / "out")
    assert result.code == 0, result.err
    runs = {row["run"] for row in rows(tmp_path / "out" / "figure1.csv") if row["model"] == "gcdp"}
    if complaint is None:
        assert runs == {"s0", "s1", "mean of 2"}
    else:
        assert runs == {"s0"}
        assert f"Not drawn: s1: s0 is of gcdp on train too, {complaint}" in result.err


def test_a_scale_that_one_training_lacks_is_said(cli: Cli, two: Path, tmp_path: Path) -> None:
    file = two / "s1" / "record.json"
    record = json.loads(file.read_text(encoding="utf-8"))
    record["points"] = [point for point in record["points"] if point["guidance"] != 4]
    file.write_text(json.dumps(record), encoding="utf-8")
    result = cli("figure", 1, "--dataset", "faces", "--runs", two, "--out", tmp_path / "out")
    assert "Not drawn: gcdp on train at guidance 4: not measured for every training" in result.err
    drawn = rows(tmp_path / "out" / "figure1.csv")
    assert {row["guidance"] for row in drawn if row["model"] == "gcdp"} == {"2"}
