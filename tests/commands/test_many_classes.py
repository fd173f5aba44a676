"""COCO-Stuff's 171 classes, and 255, the most that a file of 8 bits holds, through training, sampling and measuring."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Cli
from PIL import Image

from gcbench.commands.label_speed import one_hot_kl, steps
from gcbench.core.record import Record
from gcbench.data import coco_stuff_classes
from gcbench.data.class_tables import distinct_colours
from gcbench.data.open_dataset import open_dataset
from gcbench.diffusion import categorical

TINY = {
    "model.size": "[32,32]",
    "model.unet.dim": 16,
    "model.unet.mults": "[1,2]",
    "model.unet.blocks": "[1,1]",
    "model.unet.self_attention": "[false,false]",
    "model.unet.cross_attention": "[false,true]",
    "model.unet.drawing_blocks": 1,
    "train.batch_size": 4,
}


@pytest.fixture
def coco(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A miniature in the official tree: 171 classes and void, in layouts of 32×32."""
    root, rng = tmp_path / "data" / "coco-stuff", np.random.default_rng(0)
    pixels = np.array([*(label - 1 for label in coco_stuff_classes.LABEL_IDS), 255], np.uint8)
    palette = np.array(coco_stuff_classes.PALETTE, np.uint8)
    for split in ("train2017", "val2017"):
        for part in ("images", "annotations"):
            (root / part / split).mkdir(parents=True, exist_ok=True)
        captions = []
        for number in range(6):
            ids = rng.integers(0, 172, (8, 8)).repeat(4, 0).repeat(4, 1)
            stem = f"{number:012d}"
            Image.fromarray(palette[ids]).save(root / "images" / split / f"{stem}.jpg", quality=100, subsampling=0)
            Image.fromarray(pixels[ids]).save(root / "annotations" / split / f"{stem}.png")
            names = [
                coco_stuff_classes.ALIASES[coco_stuff_classes.CLASSES[k]][0] for k in (ids[0, 0], ids[9, 9]) if k < 171
            ]
            captions.append({"id": number, "image_id": number, "caption": f"A scene with {' and '.join(names)}."})
        images = [{"id": number, "file_name": f"{number:012d}.jpg"} for number in range(6)]
        (root / "annotations" / f"captions_{split}.json").write_text(
            json.dumps({"images": images, "annotations": captions})
        )
    monkeypatch.setenv("GCBENCH_DATA", str(tmp_path / "data"))
    return root


def test_coco_stuff_trains_samples_and_is_measured(coco: Path, cli: Cli, oracle: None, without_curve: None) -> None:
    chosen = [part for key, value in TINY.items() for part in ("--set", f"{key}={value}")]
    trained = cli("train", "--model", "gcdp", "--dataset", "coco-stuff", "--steps", 2, "--out", "run", *chosen)
    assert trained.code == 0, trained.err
    drawn = cli(
        *("sample", "--model", "gcdp", "--dataset", "coco-stuff", "--checkpoint", "run/model.safetensors"),
        *("-n", 4, "--steps", 3, "--guidance", 2, "--out", "drawn"),
    )
    assert drawn.code == 0, drawn.err
    layouts = np.stack([np.asarray(Image.open(path)) for path in sorted(Path("drawn/layouts").iterdir())])
    assert layouts.shape == (4, 32, 32)
    assert 20 < layouts.max() <= 171  # an untrained head is all but uniform over the classes
    assert len(np.unique(layouts)) > 60
    asked = ["--images", "drawn/images", "--layouts", "drawn/layouts", "--prompts", "drawn/prompts.jsonl"]
    measured = cli("evaluate", *asked, "--dataset", "coco-stuff", "--size", "32x32", "--out", "measured", "--json")
    assert measured.code == 0, measured.err
    record = Record.model_validate_json(measured.out)
    assert {name: score.status for name, score in record.points[0].scores.items()} == dict.fromkeys(
        ("semantic-recall", "miou", "fd", "fsd"), "ok"
    )
    assert record.ceiling["miou"].value is not None
    assert record.ceiling["miou"].value > 0.8  # the oracle on JPEG: near, and no class is taken for another
    assert len(record.ceiling["miou"].detail["per_class"]) == 171  # type: ignore[arg-type]


@pytest.fixture
def most(tmp_path: Path) -> Path:
    """254 classes and void, whose id 254 is one below the 255 that means void in files."""
    root, rng = tmp_path / "most", np.random.default_rng(0)
    palette = np.array(distinct_colours(255), np.uint8)
    for split in ("train", "val"):
        for part in ("images", "layouts"):
            (root / split / part).mkdir(parents=True)
        for i in range(8):
            ids = np.arange(255 + 1).reshape(16, 16) if i == 0 else rng.integers(0, 255, (16, 16))
            ids = ids.astype(np.uint8)
            shown = np.where(ids == 255, 254, ids)
            Image.fromarray(palette[shown]).save(root / split / "images" / f"{i}.png")
            Image.fromarray(ids).save(root / split / "layouts" / f"{i}.png")
    classes = [f"n{i:03d}" for i in range(254)] + ["nothing"]
    (root / "dataset.toml").write_text(f'name = "most"\nclasses = {json.dumps(classes)}\nvoid = "nothing"\n')
    return root


def test_most_classes(most: Path, cli: Cli, oracle: None, without_curve: None) -> None:
    data = open_dataset(str(most))
    assert len(set(data.palette)) == 255
    assert sorted(np.unique(data.pair("val", 0, (16, 16))[1]).tolist()) == list(range(255))
    checked = cli("data", "check", most)
    assert checked.code == 0, checked.err
    swept = cli("sweep", "--model", "real", "--dataset", most, "-n", 8, "--out", "run", "--json")
    assert swept.code == 0, swept.err
    record = Record.model_validate_json(swept.out)
    assert record.ceiling["miou"].value == 1.0  # the oracle reads all 254 classes off their colours
    assert record.ceiling["miou"].detail["classes"] == {"scored": 254, "absent": 0}
    assert record.ceiling["semantic-recall"].value == 1.0
    assert record.ceiling["fsd"].status == "ok"
    assert cli("report", "run", "--out", "report.html").code == 0
    assert cli("data", "export", most, "--out", "copy").code == 0
    np.testing.assert_array_equal(open_dataset("./copy").pair("val", 3, (16, 16))[1], data.pair("val", 3, (16, 16))[1])
    layouts = Path("coloured")
    layouts.mkdir()
    for i in range(8):
        ids = data.pair("val", i, (16, 16))[1]
        Image.fromarray(np.array(data.palette, np.uint8)[ids]).save(layouts / f"{i}.png")
    read = cli(
        *("evaluate", "--images", most / "train" / "images", "--layouts", layouts, "--dataset", most),
        *("--metrics", "miou", "--json", "--out", "coloured-run"),
    )
    assert read.code == 0, read.err


def test_trainable_at_most_classes(most: Path, cli: Cli) -> None:
    chosen = [part for key, value in {**TINY, "model.size": "[16,16]"}.items() for part in ("--set", f"{key}={value}")]
    trained = cli("train", "--model", "gcdp", "--dataset", most, "--steps", 1, "--out", "run", *chosen)
    assert trained.code == 0, trained.err


@pytest.mark.parametrize("classes", [2, 20, 171, 255])
def test_label_maths_equals_that_of_one_hots(classes: int) -> None:
    """The loss and its gradient, against the usual way; draws, against the posterior's own frequencies."""
    generator = torch.Generator().manual_seed(classes)
    y_t, y_0 = torch.randint(0, classes, (2, 1, 6, 7), generator=generator)
    logits = torch.randn(1, classes, 6, 7, generator=generator).double()
    mine, usual = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    t, s = torch.tensor(0.4, dtype=torch.float64).view(1, 1, 1), torch.tensor(0.45, dtype=torch.float64).view(1, 1, 1)
    ours = categorical.posterior_kl(y_t, y_0, mine.log_softmax(1), t, s)
    theirs = one_hot_kl(y_t, y_0, usual, 0.4 / 0.45, 0.45)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    ours.mean().backward()
    theirs.mean().backward()
    torch.testing.assert_close(mine.grad, usual.grad, rtol=1e-4, atol=1e-6)
    u = torch.rand(20_000, 1, 1, generator=generator, dtype=torch.float64)
    many = logits[:, :, :1, :1].expand(20_000, -1, -1, -1).clone()
    start = y_t[:, :1, :1].expand(20_000, -1, -1)
    drawn = categorical.draw_posterior(start, many, t, s, u).flatten()
    expected = categorical.posterior(y_t[:, :1, :1], logits[:, :, :1, :1].softmax(1), t, s).flatten()
    found = torch.bincount(drawn, minlength=classes) / 20_000
    assert (found - expected).abs().max() < 5 * (0.25 / 20_000) ** 0.5
    assert drawn.max() < classes


def test_what_is_timed_runs() -> None:
    for step in steps(classes=171, size=(8, 8)).values():
        step()
