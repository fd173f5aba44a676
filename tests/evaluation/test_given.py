"""Layouts and images that are given to a model: kept as they are, and never measured as if it had drawn them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import CLASSES, PALETTE, SIZE, Cli, Result, write_gcdp
from PIL import Image

import gcbench
from gcbench.core.record import Record
from gcbench.data.open_dataset import open_dataset

COLOURIST = '''
import numpy as np
import torch

from gcbench.core.contracts import Model
from gcbench.core.samples import Samples


class Colourist(Model):
    """Paints a layout in the dataset's colours, or reads it from them; only so, and whatever the text."""

    conditional, guided, layouts = True, False, True
    given = frozenset({"layouts", "images"})

    def __init__(self, dataset):
        self.palette = torch.tensor(dataset.palette)

    @classmethod
    def open(cls, dataset, options):
        return cls(dataset)

    def generate(self, prompts, *, n, size, guidance, seeds, given=None):
        images, layouts = given if given is not None else (None, torch.zeros(n, *size, dtype=torch.int64))
        if layouts is None:
            layouts = (images[:, :, :, :, None] == self.palette.T[:, None, None]).all(1).int().argmax(-1)
        images = self.palette[layouts].permute(0, 3, 1, 2).to(torch.uint8) if images is None else images
        names = tuple(map(str, seeds))
        return Samples(images.contiguous(), layouts, "generated", None if prompts is None else tuple(prompts), names)


class ImagesOnly(Colourist):
    """A layout-to-image system: it draws no layouts, so those that it was given stand in their place."""

    layouts, given = False, frozenset({"layouts"})

    def generate(self, prompts, **more):
        made = super().generate(prompts, **more)
        return Samples(made.images, None, None, made.prompts, made.ids)


class Careless(Colourist):
    def generate(self, prompts, *, n, size, guidance, seeds, given=None):
        made = super().generate(prompts, n=n, size=size, guidance=guidance, seeds=seeds, given=given)
        return Samples(made.images, made.layouts * 0, "generated", None, made.ids)


class Unable(Colourist):
    given = frozenset()
'''


@pytest.fixture(scope="module")
def colourist(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("models") / "colourist.py"
    path.write_text(COLOURIST)
    return str(path)


def pixels(path: Path) -> np.ndarray:
    return np.array(Image.open(path))


def layouts_in(folder: Path, n: int = 3, scale: int = 2) -> dict[str, np.ndarray]:
    """Random ids in files of `scale` times the size, 255 among them, and what they are at the size: every second."""
    folder.mkdir(parents=True)
    rng, found = np.random.default_rng(0), {}
    for i in range(n):
        ids = rng.integers(0, 4, (SIZE[0] // 8, SIZE[1] // 8)).astype(np.uint8)
        ids[0, 0] = 255
        whole = np.kron(ids, np.ones((8, 8), np.uint8))
        Image.fromarray(np.kron(whole, np.ones((scale, scale), np.uint8))).save(folder / f"shop {i} é.png")
        found[f"shop {i} é.png"] = np.where(whole == 255, CLASSES.index("nothing"), whole)
    return found


def record_of(result: Result) -> Record:
    assert result.code == 0, result.err
    return Record.model_validate_json(result.out)


def test_images_on_given_layouts_go_straight_into_evaluate(
    cli: Cli, toyland: Path, colourist: str, oracle: None, without_curve: None, tmp_path: Path
) -> None:
    true, out = layouts_in(tmp_path / "in/layouts"), tmp_path / "out"
    asked = ["sample", "--model", f"{colourist}:Colourist", "--dataset", toyland, "--out", out]
    asked += ["--given-layouts", tmp_path / "in/layouts"]
    assert (drawn := cli(*asked)).code == 0, drawn.err
    assert "No texts" in drawn.err
    assert sorted(path.name for path in (out / "images").iterdir()) == sorted(true)
    for name, ids in true.items():
        assert np.array_equal(pixels(out / "layouts" / name), ids)
        assert np.array_equal(pixels(out / "images" / name), np.array(PALETTE, np.uint8)[ids])
    assert not (out / "prompts.jsonl").exists()

    parts = ["evaluate", "--images", out / "images", "--layouts", out / "layouts", "--dataset", toyland, "--json"]
    record = record_of(cli(*parts, "--out", "known"))
    scores = record.points[0].scores
    assert record.protocol.given == "layouts"
    assert "miou" not in scores
    assert scores["layout-faithfulness"].value == record.ceiling["layout-faithfulness"].value == 1
    assert scores["fsd"].reason == "the layouts were given to the model, and this number is of layouts alone"
    assert scores["fd"].status == "ok"

    copy = shutil.copytree(out / "images", tmp_path / "copy/images"), shutil.copytree(out / "layouts", "layouts")
    parts = ["evaluate", "--images", copy[0], "--layouts", copy[1], "--dataset", toyland, "--json"]
    assert record_of(cli(*parts, "--given", "--out", "said")).points[0].scores == scores
    unsaid = record_of(cli(*parts, "--out", "unsaid")).points[0].scores
    assert unsaid["miou"].value == 1  # nobody can know
    assert unsaid["fsd"].status == "ok"
    asked_by_name = record_of(cli(*parts, "--given", "--metrics", "miou", "--out", "named")).points[0].scores
    assert list(asked_by_name) == ["layout-faithfulness"]

    compared = cli("compare", "said", "unsaid", "--json")
    assert compared.code == 0, compared.err
    rows, left = (json.loads(compared.out)[key] for key in ("rows", "left_out"))
    assert {row["metric"] for row in rows if row["difference"] is not None} == {"fd"}
    assert {"layout-faithfulness", "miou", "fsd"} <= {one["metric"] for one in left}
    assert "A was given layouts of its samples, B was given nothing" in compared.out


def test_layouts_of_given_images(
    cli: Cli, toyland: Path, colourist: str, oracle: None, without_curve: None, tmp_path: Path
) -> None:
    """The images stay, the layouts are read off them, and no number of the images alone counts."""
    asked = ["sample", "--model", f"{colourist}:Colourist", "--dataset", toyland, "--out", tmp_path / "out"]
    assert (drawn := cli(*asked, "--given-images", toyland / "train/images", "-n", 4)).code == 0, drawn.err
    assert "Texts: those of" in drawn.err
    lines = [json.loads(line) for line in (toyland / "train/prompts.jsonl").read_text().splitlines()]
    written = [json.loads(line) for line in (tmp_path / "out/prompts.jsonl").read_text().splitlines()]
    assert [(line["file_name"], line["text"]) for line in written] == [(x["file_name"], x["text"]) for x in lines[:4]]
    for i in range(4):
        for part in ("images", "layouts"):
            mine, real = (root / part / f"train{i:02d}.png" for root in (tmp_path / "out", toyland / "train"))
            assert np.array_equal(pixels(mine), pixels(real))
    parts = ["--images", tmp_path / "out/images", "--layouts", tmp_path / "out/layouts"]
    parts += ["--prompts", tmp_path / "out/prompts.jsonl", "--dataset", toyland, "--json"]
    scores = record_of(cli("evaluate", *parts)).points[0].scores
    assert {name: score.status for name, score in scores.items()} == {
        "semantic-recall": "skipped", "miou": "ok", "fsd": "ok", "fd": "skipped",
    }  # fmt: skip
    assert scores["fd"].reason == "the images were given to the model, and this number is of images alone"


def test_a_sweep_of_given_layouts_is_its_own_protocol_and_regresses(
    cli: Cli, toyland: Path, colourist: str, oracle: None, without_curve: None
) -> None:
    asked = ["sweep", "--model", f"{colourist}:ImagesOnly", "--dataset", toyland, "-n", 9, "--json"]
    record = record_of(cli(*asked, "--given", "layouts", "--keep-samples", "--out", "runs/on"))
    scores = record.points[0].scores
    assert scores["layout-faithfulness"].value == 1
    assert record.protocol.given == "layouts"
    assert "given to the model" in str(scores["fsd"].reason)
    on = Path("runs/on/samples/all/layouts/000003.png")
    assert np.array_equal(pixels(on), pixels(toyland / "val/layouts/val03.png"))
    assert (again := cli(*asked, "--out", "runs/on")).code == 2
    assert "given: 'layouts' against None" in again.complaint
    for mode in ("--rescore", "--runs"):
        gate = cli("regress", mode, "runs", "--dataset", toyland, *(
            ("--model", f"{colourist}:ImagesOnly") if mode == "--runs" else ()
        ))  # fmt: skip
        assert gate.code == 0, gate.out + gate.err


def test_layouts_of_the_reference_are_known_without_a_word(
    cli: Cli, toyland: Path, colourist: str, oracle: None, without_curve: None, tmp_path: Path
) -> None:
    """On the split's own layouts, in other colours; a half of them is no longer most."""
    images = tmp_path / "images"
    images.mkdir()
    shutil.copytree(toyland / "val/layouts", tmp_path / "layouts")
    for path in sorted((tmp_path / "layouts").iterdir()):
        Image.fromarray(np.array(PALETTE, np.uint8)[pixels(path)] // 2).save(images / path.name)
    asked = ["evaluate", "--images", images, "--layouts", tmp_path / "layouts", "--dataset", toyland, "--json"]
    scores = record_of(cli(*asked, "--metrics", "fsd,fd", "--out", "a")).points[0].scores
    assert scores["fsd"].reason == ("of the 14 layouts 14 are the reference's own; add --given if a model drew on them")
    assert scores["fd"].status == "ok"
    for i in range(7):
        Image.fromarray(np.full(SIZE, i % 4, np.uint8)).save(tmp_path / f"layouts/val{i:02d}.png")
    assert record_of(cli(*asked, "--metrics", "fsd", "--out", "b")).points[0].scores["fsd"].status == "ok"


def test_a_stopped_sampling_resumes_and_fresh_removes_its_own_files_only(
    cli: Cli, toyland: Path, gcdp: Path, tmp_path: Path
) -> None:
    true, out = layouts_in(tmp_path / "in", 9), tmp_path / "out"
    asked = ["sample", "--dataset", toyland, "--checkpoint", gcdp, "--given-layouts", tmp_path / "in", "--out", out]
    asked += ["--prompt", "a car", "--repeats", 2]
    assert (first := cli(*asked)).code == 0, first.err
    before = {path: path.read_bytes() for path in sorted(out.rglob("*.png"))}
    for name in list(true)[7:]:
        (out / "images" / name).unlink()
    assert (second := cli(*asked)).code == 0, second.err
    assert {path: path.read_bytes() for path in sorted(out.rglob("*.png"))} == before
    other = tmp_path / "in/shop 0 é.png"
    Image.fromarray(np.zeros(SIZE, np.uint8)).save(other)
    assert "given: 'layouts " in cli(*asked).complaint
    assert cli(*asked, "--fresh", "-n", 2).code == 0
    assert len(list((out / "images").iterdir())) == 2
    (out / "images/mine.png").write_bytes(b"")
    assert "mine.png, which no run of gcbench wrote" in cli(*asked, "--fresh").complaint


def test_no_text_is_the_null_whatever_the_guidance(toyland: Path, gcdp: Path, tmp_path: Path) -> None:
    """No text is the learned null, whatever the guidance; a text changes the image."""
    layouts_in(tmp_path / "in", 2)
    drawn = {}
    for name, more in {"null": {"guidance": 1}, "guided": {"guidance": 3}, "text": {"prompts": ["a car"]}}.items():
        common = {"dataset": str(toyland), "checkpoint": gcdp, "given_layouts": tmp_path / "in"}
        [samples] = gcbench.sample(tmp_path / name, **common, **more)
        drawn[name] = samples
        assert samples.layout_source == "given"
    assert drawn["null"].prompts is None
    assert drawn["null"].images.equal(drawn["guided"].images)
    assert not drawn["null"].images.equal(drawn["text"].images)


def test_texts_are_those_beside_or_of_the_pairs(cli: Cli, toyland: Path, colourist: str, tmp_path: Path) -> None:
    shutil.copytree(toyland / "val/layouts", tmp_path / "in")
    asked = ["sample", "--model", f"{colourist}:Colourist", "--dataset", toyland, "--given-layouts", tmp_path / "in"]
    pairs = cli(*asked, "--out", tmp_path / "pairs")
    assert "Texts: the captions of these pairs of toyland/val." in pairs.err
    assert "No texts" in cli(*asked, "--prompt", "", "--out", tmp_path / "none").err
    for name in sorted(path.name for path in (tmp_path / "in").iterdir()):  # the same names, other layouts
        Image.fromarray(np.zeros(SIZE, np.uint8)).save(tmp_path / "in" / name)
    assert "No texts" in cli(*asked, "--out", tmp_path / "others").err
    (tmp_path / "prompts.jsonl").write_text('{"file_name": "val00.png", "text": ["a car"]}\n')
    assert "prompts.jsonl has no text of val01, one of 13 without" in cli(*asked, "--out", tmp_path / "x").complaint


@pytest.mark.parametrize("name", ["b_gtFine_labelIds", "b"])
def test_label_ids_are_mapped_and_named_by_their_image(cli: Cli, colourist: str, name: str, tmp_path: Path) -> None:
    """Cityscapes' own files: 26 is a car, whose train id is 13; the names lose their endings."""
    (tmp_path / "in").mkdir()
    for stem, label in (("a", 7), (name, 26)):
        Image.fromarray(np.full((64, 128), label, np.uint8)).save(tmp_path / "in" / f"{stem}.png")
    asked = ["sample", "--model", f"{colourist}:Colourist", "--given-layouts", tmp_path / "in"]
    assert (drawn := cli(*asked, "--out", tmp_path / "out")).code == 0, drawn.err
    found = {path.name: np.unique(pixels(path)).tolist() for path in (tmp_path / "out/layouts").iterdir()}
    assert found == {"a.png": [0], "b.png": [13]}


def test_the_whole_is_refused_in_one_sentence(cli: Cli, toyland: Path, colourist: str, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    layouts_in(folder)
    Image.fromarray(np.full(SIZE, 9, np.uint8)).save(tmp_path / "nine.png")
    (tmp_path / "bad").mkdir()
    (tmp_path / "nines").mkdir()
    (tmp_path / "bad/a.png").write_bytes((tmp_path / "nine.png").read_bytes()[:60])
    shutil.copy(tmp_path / "nine.png", tmp_path / "nines")
    asked = ["sample", "--dataset", toyland, "--out", tmp_path / "out", "--model"]
    cases = [
        ("Unable", ["--given-layouts", folder], "cannot be given the layouts of its samples: it draws all of them"),
        ("ImagesOnly", ["--given-images", folder], "cannot be given the images of its samples: only layouts can be"),
        ("Careless", ["--given-layouts", folder], "changed the layouts that it was given"),
        ("Colourist", ["--given-layouts", folder, "--given-images", folder], "leave nothing to draw"),
        ("Colourist", ["--repeats", 2], "--repeats is for what is given"),
        ("Colourist", ["--given-layouts", folder, "--repeats", 0], "--repeats 0: at least 1"),
        ("Colourist", ["--given-layouts", folder, "-n", 0], "-n 0: at least 1"),
        ("Colourist", ["--given-layouts", tmp_path / "nowhere"], "nowhere is not there"),
        ("Colourist", ["--given-layouts", tmp_path / "nines"], "nine.png holds the ids 9"),
        ("Colourist", ["--given-layouts", tmp_path / "bad"], "cannot read the layout"),
        ("Colourist", ["--given-images", tmp_path / "bad"], "cannot read the image"),
        ("Colourist", ["--given-layouts", toyland / "val"], "no PNG layouts in"),
        ("Colourist", ["--given-layouts", folder, "--prompt", "", "--prompt", "a car"], "prompt 1 is empty"),
    ]
    assert (
        f"--out {folder} is what is given"
        in cli("sample", "--dataset", toyland, "--out", folder, "--given-layouts", folder).complaint
    )
    for model, more, reason in cases:
        result = cli(*asked, f"{colourist}:{model}", *more)
        assert (result.code, reason in result.complaint) == (2, True), (more, result.err)
        assert not list((tmp_path / "out").glob("images/*"))
    for more, reason in (
        (["--given"], "--given says where layouts are from, and there are none"),
        (["--layouts", folder, "--given", "--derived-by", "x"], "contradict each other"),
    ):
        result = cli("evaluate", "--images", toyland / "val/images", "--dataset", toyland, *more)
        assert (result.code, reason in result.complaint) == (2, True), result.err
    assert "--given 'both': choose layouts or images" in cli("sweep", "--dataset", toyland, "--given", "both").complaint


def test_a_model_that_reads_no_text_says_nothing_of_it(cli: Cli, toyland: Path, tmp_path: Path) -> None:
    """An unconditional network."""
    layouts_in(tmp_path / "in")
    weights = write_gcdp(tmp_path / "model.safetensors", open_dataset(str(toyland)), text=False)
    asked = ["sample", "--dataset", toyland, "--checkpoint", weights, "--given-layouts", tmp_path / "in"]
    assert (drawn := cli(*asked, "--out", tmp_path / "out")).code == 0, drawn.err
    assert "text" not in drawn.err
