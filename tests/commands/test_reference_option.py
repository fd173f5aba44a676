"""`--reference`: another split, images of any origin, a mean and a covariance; what differs is never compared."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import Cli, Oracle, Result, write_toyland
from PIL import Image
from pytorch_fid.fid_score import calculate_frechet_distance

from gcbench.core.errors import UserError
from gcbench.core.record import Record
from gcbench.core.reference import Reference
from gcbench.data.open_dataset import open_dataset
from gcbench.data.reference_file import read_reference_file
from gcbench.data.reference_source import ImageSet, read_reference

SCORED = ("fd", "fsd", "miou", "semantic-recall")


@pytest.fixture
def run(cli: Cli, images: Path, toyland: Path, oracle: None, without_curve: None, tmp_path: Path):
    """Evaluate the finished images; the record's directory is `tmp_path / name`."""

    def evaluate(name: str, *more: object) -> Record:
        parts = ["--images", images / "images", "--layouts", images / "layouts", "--prompts", images / "prompts.jsonl"]
        found: Result = cli("evaluate", *parts, "--dataset", toyland, "--out", tmp_path / name, *more)
        assert found.code == 0, found.err
        evaluate.err = found.err  # type: ignore[attr-defined]
        return Record.read(tmp_path / name)

    return evaluate


def seen(folder: Path, toyland: Path) -> np.ndarray:
    """What the oracle's pooled features [n,d] are of images, counted here."""
    palette = np.array(open_dataset(str(toyland)).palette)
    rows = []
    for path in sorted(folder.glob("*.png")):
        pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
        distance = np.abs(pixels[..., None, :] - palette).sum(-1).astype(float)
        distance[..., 4] = np.inf  # void is none of its answers
        rows.append(np.bincount(distance.argmin(-1).ravel(), minlength=5) / distance[..., 0].size)
    return np.array(rows)


def distance(real: np.ndarray, made: np.ndarray) -> float:
    return float(calculate_frechet_distance(real.mean(0), np.cov(real.T), made.mean(0), np.cov(made.T), eps=0))


def test_another_split(run, images: Path, toyland: Path, tmp_path: Path) -> None:
    """The prompts and the ceiling's images stay those of val: they are measured against all of the other split."""
    other = write_toyland(tmp_path / "other" / "toyland", {"train": 6, "spare": 9, "val": 14})
    plain, against = run("a", "--dataset", other), run("b", "--dataset", other, "--reference", "spare")
    assert (plain.protocol.reference, plain.protocol.reference_n) == (None, 14)
    assert (against.protocol.reference, against.protocol.reference_n) == ("spare", 9)
    made = seen(images / "images", toyland)
    fd = against.points[0].scores["fd"]
    assert fd.value == pytest.approx(distance(seen(other / "spare/images", toyland), made), abs=1e-5)
    real = seen(other / "val/images", toyland)[:5]
    assert against.ceiling["fd"].value == pytest.approx(distance(seen(other / "spare/images", toyland), real), abs=1e-5)
    assert against.points[0].scores["semantic-recall"] == plain.points[0].scores["semantic-recall"]
    assert against.ceiling["semantic-recall"] == plain.ceiling["semantic-recall"]


def test_images_of_any_origin(run, images: Path, toyland: Path, tmp_path: Path) -> None:
    """A folder with `images` and `layouts` is the split that it is a copy of; without layouts FSD says so."""
    copied = shutil.copytree(toyland / "val", tmp_path / "copy")
    plain, whole = run("a"), run("b", "--reference", copied)
    for name in ("fd", "fsd"):
        assert whole.points[0].scores[name].value == pytest.approx(plain.points[0].scores[name].value)
    assert str(whole.protocol.reference).startswith("images ")
    assert whole.protocol.reference_n == 14
    assert whole.ceiling["fd"].reason == "no images" or whole.ceiling["fd"].value is None  # all are of the reference
    bare = run("c", "--reference", copied / "images")
    assert bare.points[0].scores["fd"].value == pytest.approx(plain.points[0].scores["fd"].value)
    assert bare.points[0].scores["fsd"].reason == "the images of the reference have no layouts"
    moved = shutil.copytree(copied, tmp_path / "moved")
    assert run("d", "--reference", moved).protocol == whole.protocol  # by content, wherever it lies


def test_what_is_done_to_the_images_of_a_reference_is_said(run, images: Path, toyland: Path, tmp_path: Path) -> None:
    """JPEG on one side is asked of what is measured against, not of the split that the prompts come from."""
    real = tmp_path / "real"
    real.mkdir()
    for i, path in enumerate(sorted((toyland / "train/images").glob("*.png"))):
        Image.open(path).resize((64, 32) if i else (32, 32)).save(real / f"{path.stem}.jpg")
    (real / "notes.txt").write_text("of no use")
    told = run("a", "--reference", real).provenance.warnings
    [line] = [line for line in told if "JPEG" in line]
    assert line.startswith("0 of the 5 images are JPEG, and 6 of the 6 of the reference: compression on one side alone")
    assert "images of the reference are resized to 32×64 by the box filter: 5 of 32×64, 1 of 32×32" in told
    np.savez(tmp_path / "adm.npz", mu=np.zeros(5), sigma=np.eye(5), arr_0=np.zeros((2, 4, 4, 3), np.uint8))
    told = run("b", "--reference", tmp_path / "adm.npz").provenance.warnings
    assert not any("JPEG" in line for line in told)  # it is not known
    assert any(line.endswith("adm.npz holds arr_0 too, not read") for line in told)


@pytest.mark.parametrize("layouts", [True, False])
def test_images_of_any_origin_as_a_dataset(toyland: Path, tmp_path: Path, layouts: bool) -> None:
    """`has_layouts` and `has_texts` say what there is, and nothing is None."""
    parts = ("images", "layouts") if layouts else ("images",)
    for part in parts:
        shutil.copytree(toyland / "val" / part, tmp_path / "real" / part)
    held = read_reference(tmp_path / "real", open_dataset(str(toyland)))
    assert isinstance(held, ImageSet)
    assert (held.has_layouts, held.has_texts, held.captions("images", 0)) == (layouts, False, ("",))
    image = np.asarray(Image.open(toyland / "val/images/val00.png"))
    np.testing.assert_array_equal(held.image("images", 0, (32, 64)), image)
    samples = Reference(held, "images", (32, 64)).samples([0, 3])
    assert samples.prompts is None
    if layouts:
        np.testing.assert_array_equal(held.pair("images", 0, (32, 64))[0], image)
        assert samples.layout_source == "real"
    else:
        assert (samples.layouts, samples.layout_source) == (None, None)
        with pytest.raises(UserError, match="has no layouts; put them in a folder"):
            held.pair("images", 0, (32, 64))


def test_the_references_own_images_are_found(run, images: Path, toyland: Path, tmp_path: Path) -> None:
    shutil.copytree(images / "images", tmp_path / "same")
    fd = run("a", "--reference", tmp_path / "same").points[0].scores["fd"]
    assert str(fd.reason).startswith("of the 5 images 5 are the reference's own")


def test_a_mean_and_a_covariance(run, images: Path, toyland: Path, tmp_path: Path) -> None:
    """As ADM and clean-fid write them: nothing is known of them, which is said; what needs images is skipped."""
    real, made = seen(toyland / "val/images", toyland), seen(images / "images", toyland)
    np.savez(tmp_path / "adm.npz", mu=real.mean(0), sigma=np.cov(real.T))
    record = run("a", "--reference", tmp_path / "adm.npz")
    fd = record.points[0].scores["fd"]
    assert fd.value == pytest.approx(distance(real, made), abs=1e-5)
    assert fd.value == pytest.approx(run("b").points[0].scores["fd"].value, abs=1e-5)
    assert fd.detail["sizes"]["n_reference"] is None
    assert record.protocol.reference_n == 0
    reason = "the reference is a mean and a covariance, and this needs the real images themselves"
    assert record.points[0].scores["fsd"].reason == reason
    assert record.points[0].scores["semantic-recall"].value is not None
    assert record.ceiling["fd"].value is not None
    assert any("says neither which evaluator its mean" in line for line in record.provenance.warnings)


def test_a_mean_of_other_features_is_skipped(run, tmp_path: Path) -> None:
    np.savez(tmp_path / "adm.npz", mu=np.zeros(7), sigma=np.eye(7))
    fd = run("a", "--reference", tmp_path / "adm.npz").points[0].scores["fd"]
    assert fd.reason == "the reference is of 7 features, and this segmenter gives 5"


def test_a_file_of_ours_says_what_it_is(
    run,
    cli: Cli,
    toyland: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gcbench.commands.reference.open_evaluator", lambda role, text, data, device: Oracle(data))
    file = tmp_path / "val.npz"
    found = cli("data", "reference", toyland, "--evaluator", "segmenter=oracle", "--out", file)
    assert found.code == 0, found.err
    about = read_reference_file(file).about
    assert about is not None
    assert (about.role, about.evaluator, about.n, about.split) == ("segmenter", "oracle", 14, "val")
    real = seen(toyland / "val/images", toyland)
    with np.load(file) as held:  # as other tools read it
        np.testing.assert_allclose(held["sigma"], np.cov(real.T), atol=1e-8)
    record = run("a", "--reference", file)
    assert record.points[0].scores["fd"].value == pytest.approx(run("b").points[0].scores["fd"].value, abs=1e-6)
    assert record.protocol.reference_n == 14
    assert not any("says neither" in line for line in record.provenance.warnings)
    monkeypatch.setattr(Oracle, "id", "oracle of other weights")
    fd = run("c", "--reference", file).points[0].scores["fd"]
    expected = "the reference was made by another evaluator, oracle; this run's segmenter is oracle of other weights"
    assert fd.reason == expected


def test_references_are_never_compared(run, cli: Cli, toyland: Path, tmp_path: Path) -> None:
    """What needs none is compared all the same."""
    run("a")
    run("b", "--reference", "train")
    told = " ".join(cli("compare", tmp_path / "a", tmp_path / "b").out.split())
    assert "reference: None against 'train'" in told
    assert "Semantic Recall" in told
    assert "FSD" not in told.replace("fsd", "")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("trian", "has no such split; choose train or val, or give a path"),
        ("./none", "./none is not there"),
        ("{folder}/empty", "no PNG or JPEG images in"),
        ("{folder}/shape.npz", r"mu is of shape \(3,\) and sigma of \(2, 2\)"),
        ("{folder}/words.npz", "mu is <U1 of shape"),
        ("{folder}/nan.npz", "holds values that are not finite"),
        ("{folder}/skew.npz", "sigma is not symmetric"),
        ("{folder}/negative.npz", "sigma is no covariance"),
        ("{folder}/together.npz", "sigma is no covariance"),
        ("{folder}/about.npz", "none that `gcbench data reference` writes"),
        ("{folder}/broken.npz", "make or copy the file again"),
    ],
)
def test_what_is_no_reference(text: str, match: str, cli: Cli, images: Path, toyland: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    np.savez(tmp_path / "shape.npz", mu=np.zeros(3), sigma=np.eye(2))
    np.savez(tmp_path / "words.npz", mu=np.array(["a"]), sigma=np.eye(1))
    np.savez(tmp_path / "nan.npz", mu=np.full(2, np.nan), sigma=np.eye(2))
    np.savez(tmp_path / "skew.npz", mu=np.zeros(2), sigma=np.array([[1.0, 0.9], [0.0, 1.0]]))
    np.savez(tmp_path / "negative.npz", mu=np.zeros(2), sigma=np.diag([1.0, -1.0]))
    np.savez(tmp_path / "together.npz", mu=np.zeros(2), sigma=np.array([[1.0, 2.0], [2.0, 1.0]]))
    np.savez(tmp_path / "about.npz", mu=np.zeros(2), sigma=np.eye(2), about=np.frombuffer(b"{}", np.uint8))
    (tmp_path / "broken.npz").write_bytes(b"PK nothing")
    asked = ["--reference", text.format(folder=tmp_path), "--metrics", "fd"]
    found = cli("evaluate", "--images", images / "images", "--dataset", toyland, *asked)
    assert found.code == 2
    with pytest.raises(UserError, match=match):
        raise UserError(found.complaint)


def test_a_sweep_takes_it_too(
    cli: Cli, toyland: Path, painter: str, oracle: None, without_curve: None, tmp_path: Path
) -> None:
    asked = ["--model", f"{painter}:Painter", "--dataset", toyland, "-n", "6", "--guidance", "1,2", "--jobs", "1"]
    found = cli("sweep", *asked, "--reference", "train", "--out", tmp_path / "run")
    assert found.code == 0, found.err
    record = Record.read(tmp_path / "run")
    assert (record.protocol.split, record.protocol.reference, record.protocol.reference_n) == ("val", "train", 6)
    assert [point.scores["fd"].status for point in record.points] == ["ok", "ok"]
    assert cli("sweep", *asked, "--out", tmp_path / "run").code == 2  # another protocol in this directory
