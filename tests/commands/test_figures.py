"""The figures of weights and of a dataset, and those of records by training split: files, numbers, refusals."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Cli, Oracle, write_gcdp
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from sklearn.metrics import mutual_info_score

from gcbench.core.errors import UserError
from gcbench.core.protocol import Protocol
from gcbench.core.record import ModelInfo, Point, Provenance, Record, Training
from gcbench.core.run_spec import RunSpec
from gcbench.core.score import Score
from gcbench.data.faces import Faces
from gcbench.data.open_dataset import open_dataset
from gcbench.evaluation import feature_clusters, outpainting
from gcbench.evaluation.figure_models import opened, specs
from gcbench.gcdp.training import ImageRecipe


def table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as stream:
        return list(csv.DictReader(stream))


def written(folder: Path, number: int) -> list[dict[str, str]]:
    """The CSV of a figure whose other files are there and can be read."""
    names = sorted(path.name for path in folder.iterdir())
    assert names == [f"figure{number}.csv", f"figure{number}.png", f"figure{number}.svg"]
    assert Image.open(folder / f"figure{number}.png").size[0] > 600
    return table(folder / f"figure{number}.csv")


@pytest.fixture(scope="module")
def imagen(toyland: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("imagen") / "model.safetensors"
    return write_gcdp(path, open_dataset(str(toyland)), kind=("imagen", ImageRecipe))


def test_triplets_say_what_a_layout_shows(cli: Cli, toyland: Path, tmp_path: Path) -> None:
    result = cli("figure", 2, "--dataset", toyland, "-n", 2, "--out", tmp_path / "out")
    assert result.code == 0, result.err
    rows = written(tmp_path / "out", 2)
    layout = np.array(Image.open(toyland / "val/layouts/val01.png"))
    own = {row["class"]: float(row["share"]) for row in rows if row["id"] == "val01"}
    names = open_dataset(str(toyland)).classes
    assert own == {names[k]: pytest.approx(np.mean(layout == k)) for k in np.unique(layout)}
    assert {row["named"] for row in rows if row["class"] == "nothing"} == {"0"}


def test_samples_of_two_models_share_texts_and_seeds(
    cli: Cli, toyland: Path, gcdp: Path, imagen: Path, tmp_path: Path
) -> None:
    weights = ("--checkpoint", gcdp, "--checkpoint", imagen)
    result = cli("figure", 5, "--dataset", toyland, *weights, "-n", 2, "--seed", 7, "--out", tmp_path / "out")
    assert result.code == 0, result.err
    rows = written(tmp_path / "out", 5)
    texts = {model: {(r["seed"], r["text"]) for r in rows if r["model"] == model} for model in ("gcdp", "imagen")}
    assert texts["gcdp"] == texts["imagen"]
    assert {seed for seed, _ in texts["gcdp"]} == {"7", "8"}
    assert {row["share"] for row in rows if row["model"] == "imagen"} == {""}  # it draws no layout
    shares = [float(row["share"]) for row in rows if (row["model"], row["seed"]) == ("gcdp", "7")]
    assert sum(shares) == pytest.approx(1)


def test_clusters_of_two_models(cli: Cli, toyland: Path, gcdp: Path, imagen: Path, tmp_path: Path) -> None:
    weights = ("--checkpoint", gcdp, "--checkpoint", imagen)
    result = cli("figure", 8, "--dataset", toyland, *weights, "-n", 3, "--out", tmp_path / "out")
    assert result.code == 0, result.err
    rows = written(tmp_path / "out", 8)
    assert {row["model"] for row in rows} == {"gcdp", "gcdp, layout hidden", "imagen"}
    assert len(rows) == 3 * len(feature_clusters.TIMES) * len({row["level"] for row in rows})
    assert {(row["level"], row["height"], row["width"]) for row in rows} == {
        *(("up0", "4", "8"), ("up1", "8", "16"), ("final", "16", "32"))
    }
    assert all(-1 <= float(row["value"]) <= 1 for row in rows if row["value"])


@pytest.mark.parametrize(("number", "n"), [(8, 3), (9, 3), (8, 14)])
def test_few_groups_and_the_colours_of_classes_are_named(
    cli: Cli,
    toyland: Path,
    gcdp: Path,
    evaluator: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    n: int,
) -> None:
    kept: list[Figure] = []
    monkeypatch.setattr("gcbench.reports.drawing.save", lambda figure, folder, name: kept.append(figure))
    monkeypatch.setattr("gcbench.evaluation.feature_clusters.TIMES", (0.5,))
    options = ("--evaluator", evaluator, "--steps", 2) if number == 9 else ()
    done = cli("figure", number, "--dataset", toyland, "--checkpoint", gcdp, "-n", n, *options, "--out", tmp_path)
    assert done.code == 0, done.err
    texts = [text.get_text() for text in kept[0].findobj(Text) if isinstance(text, Text)]
    dataset = open_dataset(str(toyland))
    layouts = [np.array(Image.open(toyland / f"val/layouts/val{i:02d}.png")) for i in range(1 if number == 8 else n)]
    shown = {dataset.classes[k] for k in np.unique(layouts)}
    assert shown <= set(texts)
    groups = len(set(dataset.groups("val")[:n]))
    assert f"fewer than 20 groups ({groups})" in " ".join(" ".join(texts).split())


def test_features_with_and_without_the_layout(toyland: Path, gcdp: Path) -> None:
    """With noise in its place, no layout changes what the network says; with the noised one, it does."""
    (model,) = opened(specs(RunSpec.of(dataset=str(toyland), n=2), [gcdp]), open_dataset(str(toyland)))
    pairs = feature_clusters.real_pairs(model)
    assert pairs.layouts is not None
    other = feature_clusters.real_pairs(model)
    object.__setattr__(other, "layouts", torch.zeros_like(pairs.layouts))
    read = [
        [model.model.decoder_features(one, 0.3, [1, 2], layouts=known) for one in (pairs, other)]
        for known in (False, True)
    ]
    for (mine, theirs), same in zip(read, (True, False), strict=True):
        assert mine is not None
        assert theirs is not None
        assert mine["final"].equal(theirs["final"]) == same


def test_perfect_clusters_agree_and_void_does_not_count() -> None:
    layout = np.repeat(np.arange(4), 16).reshape(8, 8)
    features = torch.from_numpy(np.eye(4)[layout]).permute(2, 0, 1)  # [4,8,8], a channel a class
    clusters = feature_clusters.cluster(features, 4, seed=0)
    assert mutual_info_score(layout.ravel(), clusters.ravel()) == pytest.approx(np.log(4))
    assert feature_clusters.agreement(clusters, layout, None) == pytest.approx(1)
    spoilt = np.where(layout == 3, np.random.default_rng(0).integers(0, 4, (8, 8)), clusters)
    assert feature_clusters.agreement(spoilt, layout, 3) == pytest.approx(1)
    assert feature_clusters.agreement(spoilt, layout, None) < 0.95  # type: ignore[operator]
    assert feature_clusters.agreement(clusters, np.full((8, 8), 2), None) is None


def test_clusters_of_chance_agree_by_chance() -> None:
    rng = np.random.default_rng(1)
    values = [
        feature_clusters.agreement(rng.integers(0, 5, (16, 16)), rng.integers(0, 4, (16, 16)), None) for _ in range(30)
    ]
    assert abs(np.mean(np.array(values, float))) < 0.01


@pytest.fixture
def seen_by_oracle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outpainting, "open_evaluator", lambda role, spec, dataset, device: Oracle(dataset))


@pytest.mark.usefixtures("seen_by_oracle")
def test_outpainting_keeps_what_is_given(cli: Cli, toyland: Path, gcdp: Path, tmp_path: Path) -> None:
    command = ("figure", 9, "--dataset", toyland, "--checkpoint", gcdp, "-n", 3)
    result = cli(*command, "--out", tmp_path / "out")
    assert result.code == 0, result.err
    rows = written(tmp_path / "out", 9)
    assert [(row["direction"], row["repeats"]) for row in rows] == [
        *((direction, repeats) for repeats in ("1", "5") for direction in ("layout -> image", "image -> layout")),
        *((direction, "real pair") for direction in ("layout -> image", "image -> layout")),
    ]
    assert {(row["direction"], row["metric"]) for row in rows} == {
        ("layout -> image", "layout faithfulness"),
        ("image -> layout", "mIoU"),
    }
    assert {float(row["value"]) for row in rows if row["repeats"] == "real pair"} == {100.0}  # the oracle is perfect
    assert all(0 <= float(row["value"]) < 100 for row in rows if row["repeats"] != "real pair")
    spec = RunSpec.of(dataset=str(toyland), n=3, model="gcdp", checkpoint=gcdp)
    made = outpainting.outpaint(spec, open_dataset(str(toyland)), 2.0, repeats=[1])
    assert made.of("layouts", 1).samples.layouts.equal(made.real.layouts)  # type: ignore[union-attr,arg-type]
    assert made.of("images", 1).samples.images.equal(made.real.images)


def test_faces_after_a_training_of_two_steps(cli: Cli, tmp_path: Path) -> None:
    """Small images, a network of the test's size; without weights the sentence says how to train them."""
    lacking = cli("figure", 5, "--dataset", "faces", "--model", "imagen")
    assert lacking.code == 2
    assert "gcbench train --model imagen --dataset faces" in lacking.complaint
    small: dict[str, Any] = {
        "model.size": "32x32",
        "model.unet.dim": 8,
        "model.unet.groups": 4,
        "model.unet.heads": 2,
        "model.unet.dim_head": 4,
        "model.unet.drawing_blocks": 0,
        "model.sample_steps": 2,
        "train.batch_size": 2,
    }
    settings = [part for key, value in small.items() for part in ("--set", f"{key}={value}")]
    command = ("train", "--model", "gcdp", "--dataset", "faces", "--split", "train25", "--limit", 4, "--steps", 2)
    trained = cli(*command, *settings, "--device", "cpu", "--out", tmp_path / "run")
    assert trained.code == 0, trained.err
    weights = ("--dataset", "faces", "--checkpoint", tmp_path / "run/model.safetensors", "-n", 2)
    for number in (5, 8):
        drawn = cli("figure", number, *weights, "--out", tmp_path / f"figure{number}")
        assert drawn.code == 0, drawn.err
        assert written(tmp_path / f"figure{number}", number)


def test_parts_of_the_faces_are_their_first() -> None:
    faces = Faces()
    assert [len(faces.ids(split)) for split in ("train25", "train50", "train")] == [1350, 2700, 5400]
    assert list(faces.ids("train25")) == list(faces.ids("train")[:1350])
    assert faces.captions("train50", 3) == faces.captions("train", 3)
    one, other = (faces.pair(split, 3, (32, 32)) for split in ("train25", "train"))
    assert np.array_equal(one[0], other[0])
    with pytest.raises(IndexError):
        faces.seed("train25", 1350)


def record(run: Path, model: str, split: str | None, points: list[tuple[float, float, float]]) -> None:
    """points: guidance, distance and recall; recall of `Smiling` is as that of all."""

    def scores(fd: float, recall: float) -> dict[str, Score]:
        detail = {"per_attribute": {"Smiling": recall, "Male": None}, "affirmed": {"Smiling": 8.0, "Male": 0.0}}
        return {
            "fd": Score(value=fd, interval=(fd - 1, fd + 1), n=20),
            "attribute-recall": Score(
                value=recall, interval=(recall - 0.1, recall + 0.1), n=20, groups=20, detail=detail
            ),
        }

    faces = Faces()
    facts = {"dataset": "faces", "dataset_version": faces.version, "split": "val", "n": 20, "size": (64, 64)}
    Record(
        kind="sweep",
        model=ModelInfo(name=model),
        training=Training(images=10, split=split),
        protocol=Protocol.model_validate({**facts, "resize": faces.resize}),
        ceiling=scores(1, 0.95),
        floor={},
        points=[Point(guidance=w, scores=scores(fd, recall)) for w, fd, recall in points],
        provenance=Provenance(gcbench="0"),
    ).write(run / "record.json")


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    folder = tmp_path / "parts"
    for split, recall in (("train", 0.75), ("train25", 0.25), ("train50", 0.5)):
        for model in ("gcdp", "imagen"):
            record(folder / f"{model}-{split}", model, split, [(1, 30, recall - 0.125), (3, 40, recall)])
    record(folder / "old", "gcdp", None, [(1, 30, 0.5)])
    record(folder / "twice", "gcdp", "train", [(1, 30, 0.5)])
    return folder


def test_recall_of_each_attribute_by_training_split(cli: Cli, parts: Path, tmp_path: Path) -> None:
    result = cli("figure", 1, "--dataset", "faces", "--runs", parts, "--out", tmp_path / "out")
    assert result.code == 0, result.err
    rows = written(tmp_path / "out", 1)
    own = [
        (row["split"], row["guidance"], row["attribute"], float(row["value"])) for row in rows if row["model"] == "gcdp"
    ]
    assert own == [
        (split, "3", "Smiling", value) for split, value in (("train25", 0.25), ("train50", 0.5), ("train", 0.75))
    ]
    first = next(row for row in rows if row["split"] == "train50")
    assert (float(first["low"]), float(first["high"])) == (
        pytest.approx(0.2152, abs=1e-4),
        pytest.approx(0.7848, abs=1e-4),
    )
    assert first["asked"] == "8"  # Wilson's interval of 4 of 8
    assert {row["split"] for row in rows if row["model"] == "ceiling"} == {""}
    assert "Not drawn: old: its record does not say on which split" in result.err
    assert "Not drawn: twice: gcdp-train is of gcdp on train too" in result.err


def test_realism_by_training_split(cli: Cli, parts: Path, tmp_path: Path) -> None:
    result = cli("figure", 7, "--dataset", "faces", "--runs", parts, "--out", tmp_path / "out")
    assert result.code == 0, result.err
    rows = written(tmp_path / "out", 7)
    assert list(dict.fromkeys(row["panel"] for row in rows)) == ["train25", "train50", "train"]
    curve = [
        (row["guidance"], row["metric"], float(row["value"]))
        for row in rows
        if (row["panel"], row["model"]) == ("train25", "imagen")
    ]
    assert curve == [
        *(("1", "fd", 30), ("1", "attribute-recall", 0.125), ("3", "fd", 40), ("3", "attribute-recall", 0.25)),
    ]


def test_without_records_the_way_to_them_is_said(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for number in (1, 7):
        result = cli("figure", number, "--dataset", "faces", "--runs", tmp_path / "empty")
        assert result.code == 2
        assert "no record to draw for faces; train each model with `gcbench train --model NAME" in result.complaint


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ((2, "--guidance", 2), "--guidance means nothing to figure 2; it takes -n, --split"),
        ((6, "--checkpoint", "x.safetensors"), "--checkpoint means nothing to figure 6; it takes --axes, --runs"),
        ((5, "--runs", "x"), "--runs means nothing to figure 5"),
        ((5, "--checkpoint", "x.safetensors"), "--checkpoint x.safetensors: give the .safetensors file"),
    ],
)
def test_options_that_a_figure_does_not_take(cli: Cli, options: tuple[object, ...], complaint: str) -> None:
    result = cli("figure", *options)
    assert result.code == 2
    assert complaint in result.complaint


@pytest.mark.usefixtures("seen_by_oracle")
def test_figure_9_is_of_one_model(cli: Cli, toyland: Path, gcdp: Path, imagen: Path) -> None:
    result = cli("figure", 9, "--dataset", toyland, "--checkpoint", gcdp, "--checkpoint", imagen)
    assert (result.code, "figure 9 is of one model" in result.complaint) == (2, True)
    with pytest.raises(UserError, match="model imagen cannot be given the layouts"):
        outpainting.outpaint(
            RunSpec.of(dataset=str(toyland), n=2, model="imagen", checkpoint=imagen), open_dataset(str(toyland)), 1.0
        )
