"""Figure 6 from records: its files, its numbers by hand, what is left out and why."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from conftest import CLASSES, Cli
from matplotlib.container import BarContainer
from PIL import Image

from gcbench.commands.figure import draw_figure
from gcbench.core.errors import UserError
from gcbench.core.files import text_hash
from gcbench.core.protocol import Protocol
from gcbench.core.record import ModelInfo, Point, Provenance, Record
from gcbench.core.reference import Reference
from gcbench.core.score import Score
from gcbench.data.folder import Folder
from gcbench.data.open_dataset import open_dataset
from gcbench.reports.drawing import new_figure
from gcbench.reports.figure6 import class_shares, gather
from gcbench.reports.figure6_panels import _recall
from gcbench.runs.sample_table import SampleTable
from gcbench.text.class_mentions import named_classes

N = 14
RECALLS: dict[str, float | None] = {"road": 1.0, "car": 0.5, "sky": 0.25, "tree": None}


@pytest.fixture
def rare(monkeypatch: pytest.MonkeyPatch) -> None:
    """In toyland all but the road are rare; every pair has a text of its own."""
    monkeypatch.setattr("gcbench.reports.figure6.RARE", 0.5)
    captions = Folder.captions
    own = lambda self, split, i: (f"{captions(self, split, i)[0]} Number {i}.",)  # noqa: E731
    monkeypatch.setattr(Folder, "captions", own)


def score(value: float, half: float = 0.05) -> Score:
    return Score(value=value, interval=(value - half, value + half), n=N)


def recall(value: float) -> Score:
    return score(value).model_copy(update={"detail": {"per_class": RECALLS}})


def write(toyland: Path, run: Path, points: list[Point], **protocol: object) -> None:
    dataset = open_dataset(str(toyland))
    facts = {
        "dataset": "toyland",
        "dataset_version": dataset.version,
        "split": "val",
        "n": N,
        "size": (32, 64),
        "resize": dataset.resize,
        "prompts": text_hash(*Reference(dataset, "val", dataset.size).prompts(N).texts),
        "sampler": {"steps": float(len(points))},
    }
    Record(
        kind="sweep",
        model=ModelInfo(name=run.name),
        protocol=Protocol.model_validate(facts | protocol),
        ceiling={"fd": score(2.0), "semantic-recall": recall(0.99)},
        floor={"fd": Score.skipped("no pairs"), "semantic-recall": recall(0.6)},
        points=points,
        provenance=Provenance(gcbench="0"),
    ).write(run / "record.json")


def point(guidance: float | None, fd: float, gain: float) -> Point:
    return Point(guidance=guidance, scores={"fd": score(fd), "semantic-recall": recall(gain)})


@pytest.fixture
def runs(toyland: Path, tmp_path: Path) -> Path:
    """A guided model, one of one point, the autoencoder that reads no text, and records that do not fit."""
    folder = tmp_path / "runs"
    write(toyland, folder / "gcdp", [point(3, 40, 0.9), point(1, 30, 0.8), point(4, 60, 0.85)])
    write(toyland, folder / "lafite", [point(None, 50, 0.7)])
    write(toyland, folder / "ldm-reconstruction", [point(None, 20, 0.95)], prompts=None)
    write(toyland, folder / "mine", [point(1, 45, 0.75)])
    write(toyland, folder / "imagen", [point(1, 45, 0.75)], n=99)
    write(toyland, folder / "other", [point(1, 45, 0.75)], dataset="streets")
    write(
        toyland, folder / "blind", [Point(guidance=1, scores={"fd": score(3), "semantic-recall": Score.skipped("x")})]
    )
    (folder / "train-gcdp").mkdir()
    (folder / "suite.json").write_text("{}")
    return folder


@pytest.mark.usefixtures("rare")
def test_files(cli: Cli, toyland: Path, runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "figure"
    result = cli("figure", 6, "--dataset", toyland, "--runs", runs, "--out", out)
    assert result.code == 0, result.err
    assert sorted(path.name for path in out.iterdir()) == ["figure6.csv", "figure6.png", "figure6.svg"]
    assert Image.open(out / "figure6.png").size[0] > 1000
    assert "<svg" in (out / "figure6.svg").read_text()
    with open(out / "figure6.csv", newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert list(lines[0]) == ["panel", "model", "guidance", "class", "metric", "value", "low", "high"]
    assert {line["panel"] for line in lines} == {"trade-off", "recall", "shares"}  # no F1 without values per sample
    curve = [
        (line["guidance"], line["metric"], float(line["value"]))
        for line in lines
        if (line["panel"], line["model"]) == ("trade-off", "gcdp")
    ]
    assert curve == [
        *(("1", "fd", 30), ("1", "semantic-recall", 0.8), ("3", "fd", 40), ("3", "semantic-recall", 0.9)),
        *(("4", "fd", 60), ("4", "semantic-recall", 0.85)),
    ]
    for left_out in (
        "ldm: no record of it",
        "imagen: another protocol (n: 14 against 99)",
        "other: it was measured on streets",
        "blind: semantic-recall skipped, x",
    ):
        assert f"Not drawn: {left_out}" in result.err


@pytest.mark.usefixtures("rare")
def test_the_numbers_of_each_panel(toyland: Path, runs: Path) -> None:
    dataset = open_dataset(str(toyland))
    figure = gather(dataset, runs)
    assert figure.models == [
        "gcdp",
        "lafite",
        "ldm-reconstruction",
        "mine",
    ]  # the suite's order, then what else lies there

    floor = figure.panel("trade-off", "floor")
    assert [(one.metric, one.value) for one in floor] == [("semantic-recall", 0.6)]
    assert [one.value for one in figure.panel("trade-off", "ceiling")] == [2.0, 0.99]

    recalls = {one.class_: one for one in figure.panel("recall", "gcdp")}
    assert set(recalls) == {"car", "sky"}  # the road is not rare, void is never named, of trees no prompt speaks
    assert {one.guidance for one in recalls.values()} == {3.0}  # where Semantic Recall is best
    texts = Reference(dataset, "val", dataset.size).prompts(N).texts
    asked = sum("car" in named_classes(text, dataset.aliases) for text in texts)
    low, high = wilson(round(0.5 * asked), asked)
    assert (recalls["car"].low, recalls["car"].high) == (pytest.approx(low), pytest.approx(high))
    assert {one.low for one in figure.panel("recall", "ldm-reconstruction")} == {None}  # its prompts are not known
    assert {one.class_ for one in figure.panel("recall", "ceiling")} == {"car", "sky"}

    shares = {one.class_: one.value for one in figure.panel("shares")}
    assert sum(shares.values()) == pytest.approx(1)
    assert next(iter(shares)) == "road"
    assert set(shares) == set(CLASSES)


@pytest.mark.usefixtures("rare")
def test_any_two_metrics_in_their_units(cli: Cli, toyland: Path, tmp_path: Path) -> None:
    """mIoU in per cent; the recall of the classes stays that of the metric that has it."""
    scores = {"fd": score(30), "semantic-recall": recall(0.9), "kid": score(0.5), "miou": score(0.5)}
    write(toyland, tmp_path / "runs/gcdp", [Point(guidance=1, scores=scores)])
    figure = gather(open_dataset(str(toyland)), tmp_path / "runs", ("kid", "miou"))
    assert [(one.metric, one.value, one.low) for one in figure.panel("trade-off", "gcdp")] == [
        ("kid", 0.5, 0.45),
        ("miou", 50, 45),
    ]
    assert {one.metric for one in figure.panel("recall")} == {"semantic-recall"}
    out = ["--runs", tmp_path / "runs", "--out", tmp_path / "out"]
    assert cli("figure", 6, "--dataset", toyland, "--axes", "kid,miou", *out).code == 0
    assert "fid not measured" in cli("figure", 6, "--dataset", toyland, "--axes", "fid,miou", *out).complaint
    assert cli("figure", 6, "--dataset", toyland, "--axes", "fid", *out).code == 2


def test_f1_is_the_mean_over_images(toyland: Path, tmp_path: Path) -> None:
    """By hand: recall and precision of four images; nothing found is 0, an image without a recall does not count."""
    run = tmp_path / "runs/mine"
    write(toyland, run, [point(2, 30, 0.5)])
    values = {"a": (1.0, 0.5), "b": (0.5, 0.5), "c": (0.0, None), "d": (0.0, 0.0), "e": (None, None)}
    sample_table = SampleTable()
    for name, pair in values.items():
        sample_table.groups[name] = name
        for column, value in zip(("", "precision"), pair, strict=True):
            sample_table.values.setdefault(("2", "semantic-recall", column), {})[name] = value
    sample_table.write(run / "per_sample.csv")
    figure = gather(open_dataset(str(toyland)), tmp_path / "runs")
    f1, fd = figure.panel("f1", "mine")
    assert (f1.metric, f1.guidance, f1.value) == ("f1", 2.0, pytest.approx((2 / 3 + 1 / 2 + 0 + 0) / 4))
    assert f1.low is not None
    assert f1.low < f1.value
    assert (fd.metric, fd.value, fd.low) == ("fd", 30, 29.95)


def wilson(hits: int, n: int) -> tuple[float, float]:
    """Wilson (1927): the p for which |hits/n - p| = z sqrt(p (1 - p) / n)."""
    z, share = 1.959963984540054, hits / n
    centre, width = share + z * z / (2 * n), z * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
    return (centre - width) / (1 + z * z / n), (centre + width) / (1 + z * z / n)


def test_class_shares_are_those_of_the_training_layouts(toyland: Path) -> None:
    layouts = [np.array(Image.open(path)) for path in sorted((toyland / "train/layouts").glob("*.png"))]
    shares = class_shares(open_dataset(str(toyland)))
    for k, name in enumerate(CLASSES):
        assert shares[name] == pytest.approx(np.mean(np.stack(layouts) == k))
    assert list(shares.values()) == sorted(shares.values(), reverse=True)


def test_one_model_of_one_point_and_no_rare_class(
    toyland: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gcbench.reports.figure6.RARE", 0.0)
    write(toyland, tmp_path / "runs/lafite", [point(None, 50, 0.7)])
    figure = draw_figure(6, str(toyland), runs=tmp_path / "runs", out=tmp_path / "out")
    assert not figure.panel("recall")
    assert (tmp_path / "out/figure6.png").is_file()


@pytest.mark.usefixtures("rare")
def test_the_bars_of_a_dozen_models_are_told_apart(toyland: Path, tmp_path: Path) -> None:
    for letter in "abcdefghijkl":
        write(toyland, tmp_path / letter, [point(None, 50, 0.7)])
    figure = gather(open_dataset(str(toyland)), tmp_path)
    panel = new_figure((9, 3)).subplots()
    _recall(figure, panel)
    looks = [
        (bars[0].get_facecolor(), bars[0].get_hatch()) for bars in panel.containers if isinstance(bars, BarContainer)
    ]
    assert len(looks) == len(set(looks)) == 12


def test_an_unknown_figure(cli: Cli) -> None:
    result = cli("figure", 3)
    assert (result.code, result.out) == (2, "")
    assert "there is no figure 3 here; known: 1 (recall of each attribute" in result.complaint


def test_without_records(cli: Cli, toyland: Path, tmp_path: Path) -> None:
    result = cli("figure", 6, "--dataset", toyland)
    assert result.code == 2
    assert "no record to draw for toyland; run `gcbench suite run figure6 --dataset" in result.complaint
    write(toyland, tmp_path / "runs/gcdp", [])
    with pytest.raises(UserError, match="gcdp: it has no finished point"):
        gather(open_dataset(str(toyland)), tmp_path / "runs")
    assert json.loads((tmp_path / "runs/gcdp/record.json").read_text())["points"] == []
    assert not Path("runs").exists()
