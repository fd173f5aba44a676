"""Distances on an encoder that the user names: the peers' numbers on timm's own features, under that encoder's name."""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from conftest import SIZE, Cli, Result
from PIL import Image
from prdc import compute_prdc
from pytorch_fid.fid_score import calculate_frechet_distance
from safetensors.torch import save_file
from timm.data import create_transform, resolve_data_config

import gcbench
from gcbench.core.record import Record
from gcbench.data.open_dataset import open_dataset

ARCH = "test_resnet"


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network of timm with random weights, in timm's format."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("encoder") / "model.safetensors"
    save_file(timm.create_model(ARCH).state_dict(), path)
    return path


def features(weights: Path, folder: Path) -> np.ndarray:
    """timm's own pooled features [n,d] of the images in a folder, by its own transform."""
    from safetensors.torch import load_file

    peer = timm.create_model(ARCH).eval()
    peer.load_state_dict(load_file(weights))
    transform = create_transform(**resolve_data_config(pretrained_cfg=peer.pretrained_cfg))
    inputs = torch.stack([transform(Image.open(path).convert("RGB")) for path in sorted(folder.glob("*.png"))])
    with torch.no_grad():
        return peer.forward_head(peer.forward_features(inputs), pre_logits=True).double().numpy()


def run(cli: Cli, images: Path, toyland: Path, *more: object) -> Result:
    found = cli("evaluate", "--images", images / "images", "--dataset", toyland, *more)
    assert found.code == 0, found.err
    return found


def test_distances_on_a_named_encoder_are_the_peers(
    cli: Cli, images: Path, toyland: Path, weights: Path, without_curve: None, tmp_path: Path
) -> None:
    asked = ["--metrics", "fd,kid,prdc,cmmd", "--evaluator", f"encoder={ARCH}@{weights}", "--out", tmp_path / "run"]
    shown = run(cli, images, toyland, *asked).out
    record = Record.read(tmp_path / "run")
    scores = record.points[0].scores
    real, made = (features(weights, folder) for folder in (toyland / "val/images", images / "images"))
    expected = calculate_frechet_distance(real.mean(0), np.cov(real.T), made.mean(0), np.cov(made.T))
    assert scores["fd"].value == pytest.approx(expected, rel=1e-2)  # resized in 8 bits, a grey level off at places
    x, y = ((z @ z.T / z.shape[1] + 1) ** 3 for z in (made, real))
    n, m = len(made), len(real)
    xy = ((made @ real.T / made.shape[1] + 1) ** 3).mean()
    kid = (x.sum() - np.trace(x)) / (n * (n - 1)) + (y.sum() - np.trace(y)) / (m * (m - 1)) - 2 * xy
    assert scores["kid"].detail["subsets"]["count"] == 100  # of 5 of the 14 real ones each
    assert abs(scores["kid"].value - kid) < 4 * (scores["kid"].standard_error or 0)
    peers = compute_prdc(real, made, 3)
    assert scores["prdc"].value == pytest.approx(peers["precision"])
    assert scores["prdc"].also["recall"].value == pytest.approx(peers["recall"])
    for title in (f"FD({ARCH})", f"KID({ARCH})", f"PRDC({ARCH})", f"MMD({ARCH})"):
        assert title in "".join(shown.split())
    assert "segmenter" not in record.protocol.evaluators
    assert record.protocol.readers == dict.fromkeys(["fd", "kid", "prdc", "cmmd"], "encoder")


def test_an_encoder_and_the_segmenter_are_never_compared(
    cli: Cli, images: Path, toyland: Path, weights: Path, evaluator: str, without_curve: None, tmp_path: Path
) -> None:
    """Though both runs have the segmenter for another metric."""
    asked = ["--metrics", "fd,semantic-recall", "--prompts", images / "prompts.jsonl", "--evaluator", evaluator]
    run(cli, images, toyland, *asked, "--out", tmp_path / "a")
    run(cli, images, toyland, *asked, "--evaluator", f"encoder={ARCH}@{weights}", "--out", tmp_path / "b")
    found = cli("compare", tmp_path / "a", tmp_path / "b")
    assert found.code == 0, found.err
    told = " ".join(found.out.split())
    assert "evaluators: A has no encoder, B has test_resnet#" in told
    assert "Semantic Recall" in told
    assert "FD(" not in told


def test_an_encoder_that_nothing_reads_is_named(
    cli: Cli, images: Path, toyland: Path, evaluator: str, without_curve: None, tmp_path: Path
) -> None:
    told = run(
        cli,
        *(images, toyland, "--metrics", "semantic-recall", "--prompts", images / "prompts.jsonl"),
        *("--evaluator", evaluator, "--evaluator", "encoder=resnet50@none.pth", "--out", tmp_path / "run"),
    )
    assert "--evaluator encoder=resnet50@none.pth is not used: no metric of this run asks for encoder" in told.err


def test_one_metric_alone_takes_the_named_encoder(weights: Path, toyland: Path) -> None:
    images = torch.randint(0, 256, (6, 3, *SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    metric = gcbench.metric("fd", dataset=str(toyland), evaluators=[f"encoder={ARCH}@{weights}"], device="cpu")
    metric.update_reference(images[:3])
    metric.update(images[3:])
    assert metric.metric.roles == ("encoder",)
    assert metric.compute().detail["sizes"]["d"] == features(weights, toyland / "train/images").shape[1]


# ---------------------------------------------------------------------------------- training images, several seeds


def test_memorisation_finds_copies_of_the_training_images(
    cli: Cli, images: Path, toyland: Path, weights: Path, without_curve: None, tmp_path: Path
) -> None:
    """The finished images are copies of training images; the ceiling's are real ones that were held out."""
    asked = ["--metrics", "memorisation", "--evaluator", f"encoder={ARCH}@{weights}", "--out", tmp_path / "run"]
    run(cli, images, toyland, *asked)
    record = Record.read(tmp_path / "run")
    found, real = record.points[0].scores["memorisation"], record.ceiling["memorisation"]
    assert found.detail["sizes"] == {"n": 5, "n_reference": 14, "n_training": 6}
    made, trained, held = (
        features(weights, folder) for folder in (images / "images", toyland / "train/images", toyland / "val/images")
    )
    units = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (made, trained, held)]
    near, far = (np.round(1 - (rows @ units[1].T).max(axis=1), 10) for rows in (units[0], units[2]))
    assert (near == 0).all()
    equal = np.mean(far == 0)  # real images of which the network sees a part that is one colour
    assert found.value == pytest.approx(1 - equal / 2)
    assert equal < 0.4
    assert found.detail["distance"]["held_out"] == pytest.approx(far.mean(), rel=0.05)
    assert found.also["ratio"].value == pytest.approx(0, abs=1e-6)
    assert real.value is not None
    assert 0 < real.value < 1


def test_memorisation_says_why_it_cannot_be_had(
    cli: Cli, images: Path, toyland: Path, weights: Path, without_curve: None, tmp_path: Path
) -> None:
    asked = ["evaluate", "--images", images / "images", "--dataset", toyland, "--metrics", "memorisation"]
    asked += ["--evaluator", f"encoder={ARCH}@{weights}"]
    assert cli(*asked, "--split", "train", "--out", tmp_path / "a").code == 1  # nothing else is measured
    reason = Record.read(tmp_path / "a").points[0].scores["memorisation"].reason
    assert str(reason).startswith("there is no other split than that of the prompts")
    assert cli(*asked, "--reference", "train", "--out", tmp_path / "b").code == 1
    reason = Record.read(tmp_path / "b").points[0].scores["memorisation"].reason
    assert str(reason).startswith("the reference is what the model was trained on")


def test_a_sweep_of_several_seeds_a_prompt(
    cli: Cli, toyland: Path, painter: str, weights: Path, without_curve: None, tmp_path: Path
) -> None:
    """The same digits from two shards as from one process; one seed a prompt has no diversity."""
    asked = ["--model", f"{painter}:Painter", "--dataset", toyland, "-n", "18", "--guidance", "2"]
    asked += ["--metrics", "diversity,memorisation", "--evaluator", f"encoder={ARCH}@{weights}"]
    several = [*asked, "--per-prompt", "4", "--batch-size", "8"]
    assert (found := cli("sweep", *several, "--jobs", "1", "--out", tmp_path / "a")).code == 0, found.err
    record = Record.read(tmp_path / "a")
    score = record.points[0].scores["diversity"]
    dataset = open_dataset(str(toyland))
    texts = [dataset.captions("val", row)[0] for row in range(5)]  # four are drawn 4 times, the last twice
    assert score.detail["prompts"] == {"of_several": len(set(texts)), "of_one": 0.0}
    assert (score.n, score.groups) == (18, len(set(texts)))
    for part in ("1/2", "2/2"):
        assert cli("sweep", *several, "--shard", part, "--out", tmp_path / "b").code == 0
    assert Record.read(tmp_path / "b").points[0].scores == record.points[0].scores
    assert cli("sweep", *asked, "--jobs", "1", "-n", "5", "--out", tmp_path / "c").code == 0
    alone = Record.read(tmp_path / "c").points[0].scores["diversity"]
    assert alone.unscored == sum(texts.count(text) == 1 for text in texts)
    assert record.protocol.prompts != Record.read(tmp_path / "c").protocol.prompts
