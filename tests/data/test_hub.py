"""Datasets of the `datasets` library, from tiny local files; what needs the network is told apart by a stand-in."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import Cli
from PIL import Image

from gcbench.core.errors import UserError
from gcbench.core.record import Record
from gcbench.data import hub_tables
from gcbench.data.folder import Folder
from gcbench.data.hub import Hub
from gcbench.data.hub_tables import parse_source
from gcbench.data.open_dataset import open_dataset

datasets = pytest.importorskip("datasets", reason="needs the extra datasets")
from datasets import Array2D, ClassLabel, Dataset, Features, List, Value  # noqa: E402
from datasets import Image as ImageType  # noqa: E402

CLASSES = ["floor", "wall", "chair", "nothing"]
NAMES = f"classes = {CLASSES}\nvoid = 'nothing'\n".replace("'", '"')


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf-cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", datasets.config.HF_HUB_OFFLINE)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    datasets.disable_progress_bars()


def encoded(array: np.ndarray, form: str = "PNG") -> dict[str, Any]:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, form)
    return {"bytes": stream.getvalue(), "path": None}


def pairs(count: int, seed: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield rng.integers(0, 256, (6, 8, 3), np.uint8), rng.integers(0, 3, (6, 8), np.uint8)


def write(path: Path, columns: dict[str, tuple[Any, list[Any]]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    features = Features({name: feature for name, (feature, _) in columns.items()})
    Dataset.from_dict({name: values for name, (_, values) in columns.items()}, features).to_parquet(path)
    return path


def usual(count: int, seed: int = 0) -> dict[str, tuple[Any, list[Any]]]:
    drawn = list(pairs(count, seed))
    return {
        "image": (ImageType(), [encoded(image) for image, _ in drawn]),
        "layout": (ImageType(), [encoded(layout) for _, layout in drawn]),
        "text": (Value("string"), [f"A chair, number {i}." for i in range(count)]),
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    place = tmp_path / "rooms"
    write(place / "data" / "train-00000-of-00001.parquet", usual(5))
    write(place / "data" / "validation-00000-of-00001.parquet", usual(4, 1))
    (place / "dataset.toml").write_text(NAMES)
    return place


def test_a_local_folder(root: Path) -> None:
    data = open_dataset(f"hf:{root}")
    assert isinstance(data, Hub)
    assert (data.name, data.classes, data.void) == ("rooms", tuple(CLASSES), 3)
    assert data.splits == ("train", "validation")
    assert data.size == (6, 8)
    assert data.argument == f"hf:{root}"
    assert data.ids("validation") == [f"{i:06d}" for i in range(4)]
    for i, (image, layout) in enumerate(pairs(4, 1)):
        read = data.pair("validation", i, (6, 8))
        np.testing.assert_array_equal(read[0], image)
        np.testing.assert_array_equal(read[1], layout)
        assert data.captions("validation", i) == (f"A chair, number {i}.",)
    assert data.pair("train", 0, (3, 4))[0].shape == (3, 4, 3)
    assert data.aliases["wall"] == ("wall", "walls")
    with pytest.raises(UserError, match="no split 'test'; use train or validation"):
        data.ids("test")


def test_it_equals_the_folder_of_the_same_images(root: Path, tmp_path: Path) -> None:
    """What a folder with the same `dataset.toml` says: palette, aliases, pixels."""
    place = tmp_path / "folder"
    for part in ("images", "layouts"):
        (place / part).mkdir(parents=True)
    for i, (image, layout) in enumerate(pairs(4, 1)):
        Image.fromarray(image).save(place / "images" / f"{i:06d}.png")
        Image.fromarray(layout).save(place / "layouts" / f"{i:06d}.png")
    (place / "dataset.toml").write_text(f'name = "rooms"\n{NAMES}')
    mine, folder = open_dataset(f"hf:{root}"), Folder(place)
    for field in ("name", "classes", "palette", "void", "size", "aliases", "resize"):
        assert getattr(mine, field) == getattr(folder, field), field
    for i in range(4):
        for a, b in zip(mine.pair("validation", i, (4, 5)), folder.pair("val", i, (4, 5)), strict=True):
            np.testing.assert_array_equal(a, b)


def test_one_file_and_columns_by_name(tmp_path: Path) -> None:
    drawn = list(pairs(3))
    columns = {
        "photo": (ImageType(), [encoded(image, "JPEG") for image, _ in drawn]),
        "ids": (Array2D((6, 8), "int32"), [layout for _, layout in drawn]),
        "lines": (List(Value("string")), [["One.", "Two."]] * 3),
        "video": (Value("string"), ["a", "a", "b"]),
        "kind": (ClassLabel(names=CLASSES), [0, 1, 2]),
    }
    path = write(tmp_path / "rooms.parquet", columns)
    data = open_dataset(f"hf:{path},image=photo,layout=ids,text=lines,group=video,classes=kind")
    assert data.splits == ("val",)
    assert data.classes == tuple(CLASSES)
    assert data.void is None
    assert data.captions("val", 1) == ("One.", "Two.")
    assert data.groups("val") == ["a", "a", "b"]
    np.testing.assert_array_equal(data.pair("val", 2, (6, 8))[1], drawn[2][1])
    described = tmp_path / "described"
    described.mkdir()
    (described / "dataset.toml").write_text(
        'source = "hf:../rooms.parquet"\nname = "chambers"\nsize = [4, 4]\n[columns]\nimage = "photo"\nlayout = "ids"\n'
        'text = "lines"\ngroup = "video"\nclasses = "kind"\n'
    )
    other = open_dataset(str(described))
    assert (other.name, other.size, other.argument) == ("chambers", (4, 4), str(described))
    np.testing.assert_array_equal(other.pair("val", 2, (6, 8))[1], drawn[2][1])


@pytest.mark.parametrize(
    ("kind", "cells", "groups"),
    [
        ("string", ["a", None, "a", None], ["a", "000001", "a", "000003"]),
        ("float64", [1.5, float("nan"), 2, 2], ["1.5", "000001", "2.0", "2.0"]),
    ],
)
def test_rows_without_a_group_do_not_depend_on_one_another(
    tmp_path: Path, kind: str, cells: list[Any], groups: list[str]
) -> None:
    write(tmp_path / "rooms.parquet", {**usual(4), "group": (Value(kind), cells)})
    (tmp_path / "dataset.toml").write_text(f'source = "hf:./rooms.parquet"\n{NAMES}')
    assert open_dataset(str(tmp_path)).groups("val") == groups


def test_class_names_of_nested_labels(tmp_path: Path) -> None:
    drawn = list(pairs(2))
    nested = List(List(ClassLabel(names=CLASSES)))
    columns = usual(2) | {"layout": (nested, [layout.tolist() for _, layout in drawn])}
    data = open_dataset(f"hf:{write(tmp_path / 'x.parquet', columns)}")
    assert data.classes == tuple(CLASSES)
    np.testing.assert_array_equal(data.pair("val", 1, (6, 8))[1], drawn[1][1])


def test_saved_to_disk(root: Path, tmp_path: Path) -> None:
    library = datasets.load_dataset("parquet", data_files=str(root / "data" / "train-00000-of-00001.parquet"))
    library.save_to_disk(tmp_path / "saved")
    (tmp_path / "saved" / "dataset.toml").write_text(NAMES)
    saved, plain = open_dataset(f"hf:{tmp_path / 'saved'}"), open_dataset(f"hf:{root}")
    assert saved.splits == ("train",)
    for a, b in zip(saved.pair("train", 3, (6, 8)), plain.pair("train", 3, (6, 8)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_streamed_rows_are_the_first_ones(root: Path) -> None:
    whole, streamed = open_dataset(f"hf:{root}"), open_dataset(f"hf:{root},rows=3")
    assert len(streamed.ids("train")) == 3
    for i in range(3):
        for a, b in zip(streamed.pair("train", i, (6, 8)), whole.pair("train", i, (6, 8)), strict=True):
            np.testing.assert_array_equal(a, b)
    assert streamed.version != whole.version
    assert "first 3 rows" in streamed.version


def test_the_version_follows_content_columns_and_settings(root: Path) -> None:
    before = open_dataset(f"hf:{root}").version
    assert before == open_dataset(f"hf:{root}").version
    (root / "dataset.toml").write_text(NAMES + "size = [4, 4]\n")
    sized = open_dataset(f"hf:{root}").version
    assert sized != before
    write(root / "data" / "validation-00000-of-00001.parquet", usual(4, 2))
    assert open_dataset(f"hf:{root}").version not in (before, sized)


def test_captions_are_built_without_texts(tmp_path: Path) -> None:
    columns = usual(2)
    del columns["text"]
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "dataset.toml").write_text(NAMES)
    write(tmp_path / "x" / "train.parquet", columns)
    [text] = open_dataset(f"hf:{tmp_path / 'x'}").captions("train", 0)
    assert text.startswith("An image with ")
    assert all(word in text.lower() for word in ("floors", "walls", "chairs"))


# --------------------------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("hf:{root},image=photo", r"has no column 'photo'; its columns are image, layout, text"),
        ("hf:{root},image=text", r"the column 'text' holds Value.*, not images; name another"),
        ("hf:{root},layout=text", r"the column 'text' holds Value.*, not layouts"),
        ("hf:{root},text=image", r"the column 'image' holds Image.*, not texts"),
        ("hf:{root},classes=text", r"not a ClassLabel"),
        ("hf:{root},picture=image", r"unknown key 'picture'; known: image, layout, text"),
        ("hf:{root},image", r"'image' is no KEY=VALUE"),
        ("hf:{root},rows=many", r"rows=many is no number of rows"),
        ("hf:{root}/nowhere", r"nowhere is not there; give a folder"),
        ("hf:{root}/dataset.toml", r"dataset\.toml is no \.parquet file"),
        ("hf:", r"write hf:OWNER/NAME"),
        ("hf:a/b/c", r"write hf:OWNER/NAME"),
        ("hf:a/b@", r"no revision behind @"),
    ],
)
def test_mistakes_of_the_argument(root: Path, cli: Cli, argument: str, message: str) -> None:
    result = cli("data", "check", argument.format(root=root))
    assert result.code == 2
    assert len(result.err.strip().splitlines()) == 1, result.err
    with pytest.raises(UserError, match=message):
        open_dataset(argument.format(root=root))


def test_layouts_without_class_names(root: Path) -> None:
    (root / "dataset.toml").unlink()
    with pytest.raises(UserError, match=r"nothing names the classes .* dataset\.toml.*classes=COLUMN"):
        open_dataset(f"hf:{root}")


def test_faults_of_rows(tmp_path: Path) -> None:
    huge = io.BytesIO()
    Image.new("1", (20_000, 6_000)).save(huge, "PNG")
    whole = np.zeros((6, 8), np.uint8)
    layouts = [encoded(np.full((6, 8), 9, np.uint8)), encoded(np.zeros((6, 9), np.uint8)), encoded(whole, "JPEG")]
    images = [encoded(np.zeros((6, 8, 3), np.uint8))] * 3
    strange = [{"bytes": huge.getvalue(), "path": None}, {"bytes": b"GIF89a", "path": None}]
    strange += [{"bytes": None, "path": "/etc/hostname"}, None]
    columns = {
        "image": (ImageType(), images + strange),
        "layout": (ImageType(), layouts + [encoded(whole)] * 4),
        "text": (Value("string"), ["One."] * 6 + [" "]),
    }
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "dataset.toml").write_text(NAMES)
    write(tmp_path / "x" / "train.parquet", columns)
    data = open_dataset(f"hf:{tmp_path / 'x'}")
    wanted = [
        r"row 0, layout holds the ids 9; map them to the dataset's 0 to 3",
        r"row 1, image is 6x8 .*row 1, layout is 6x9",
        r"row 2, layout.*JPEG, which blurs ids",
        r"row 3, image.*million pixels",
        r"row 4, image.*GIF",
        r"row 5, image.*/etc/hostname, outside of the dataset",
        r"row 6, image.*it is empty",
    ]
    for i, message in enumerate(wanted):
        with pytest.raises(UserError, match=message):
            data.pair("train", i, (6, 8))
    with pytest.raises(UserError, match=r"row 6, text holds no text"):
        data.captions("train", 6)


@pytest.mark.parametrize("ids", [[[0, 1], [2]], [[0, 300]], []])
def test_ragged_or_strange_arrays(tmp_path: Path, ids: list[list[int]]) -> None:
    columns = usual(1) | {"layout": (List(List(Value("int64"))), [ids])}
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "dataset.toml").write_text(NAMES)
    write(tmp_path / "x" / "train.parquet", columns)
    with pytest.raises(UserError, match=r"row 0, layout is no rectangle of class ids"):
        open_dataset(f"hf:{tmp_path / 'x'}").pair("train", 0, (6, 8))


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r"needs the extra datasets: pip install 'gcbench\[datasets\]'"):
        open_dataset(f"hf:{root}")


# ----------------------------------------------------------------------------------------------------------- the hub


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def asked(root: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """A hub of one dataset, `me/rooms`, that is served from the local files: what it was asked for."""
    seen: list[dict[str, Any]] = []

    def load(place: str, name: str | None = None, *, data_files: object, revision: str | None) -> SimpleNamespace:
        seen.append({"place": place, "name": name, "revision": revision})
        builder = real(str(root))
        return SimpleNamespace(
            hash=COMMIT,
            config=builder.config,
            download_and_prepare=builder.download_and_prepare,
            as_dataset=builder.as_dataset,
            as_streaming_dataset=builder.as_streaming_dataset,
        )

    real = datasets.load_dataset_builder
    monkeypatch.setattr(datasets, "load_dataset_builder", load)
    return seen


def described(tmp_path: Path, source: str) -> str:
    place = tmp_path / "mine"
    place.mkdir()
    (place / "dataset.toml").write_text(f'source = "{source}"\n{NAMES}')
    return str(place)


def test_the_revision_is_asked_for_and_in_the_version(asked: list[dict[str, Any]], tmp_path: Path) -> None:
    data = open_dataset(described(tmp_path, "hf:me/rooms@v1,subset=small"))
    assert asked == [{"place": "me/rooms", "name": "small", "revision": "v1"}]
    assert data.version.startswith(f"me/rooms/small@{COMMIT}")
    assert data.name == "rooms"


def test_offline_another_commit_is_refused(
    asked: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the network the library takes whatever copy it has."""
    where = described(tmp_path, f"hf:me/rooms@{COMMIT[:12]}")
    monkeypatch.setenv("GCBENCH_OFFLINE", "1")
    assert len(open_dataset(where).ids("train")) == 5
    (Path(where) / "dataset.toml").write_text(f'source = "hf:me/rooms@v2"\n{NAMES}')
    with pytest.raises(UserError, match=rf"the copy that is here is of the commit {COMMIT}, not of v2"):
        open_dataset(where)


def test_offline_nothing_is_fetched(tmp_path: Path) -> None:
    """In a process of its own, since the library reads its setting when it is imported."""
    code = (
        "import socket\n"
        "def refuse(*a, **k): raise SystemExit('the network was used')\n"
        "socket.getaddrinfo = socket.socket.connect = refuse\n"
        "from gcbench.core.errors import UserError\n"
        "from gcbench.data.open_dataset import open_dataset\n"
        "try:\n    open_dataset('hf:nobody/nothing-at-all')\n"
        "except UserError as error:\n    print(error)\n"
    )
    environment = {**os.environ, "GCBENCH_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-500:]
    assert "cannot open hf:nobody/nothing-at-all" in done.stdout
    assert "GCBENCH_OFFLINE is set" in done.stdout


def test_sources() -> None:
    source, rest = parse_source("hf:me/rooms@v1,rows=20,image=photo")
    assert (source.place, source.revision, source.rows, source.local) == ("me/rooms", "v1", 20, False)
    assert rest == {"image": "photo"}
    assert parse_source("hf:./rooms@home")[0] == hub_tables.Source("./rooms@home")
    assert parse_source("hf:./rooms")[0].local


# ------------------------------------------------------------------------------------------ measuring without layouts


@pytest.fixture
def photographs(toyland: Path, tmp_path: Path) -> Path:
    """Images and texts of `toyland`, without layouts, in its classes."""
    place = tmp_path / "photographs"
    for split in ("train", "val"):
        files = sorted((toyland / split / "images").iterdir())
        texts = [text for i in range(len(files)) for text in Folder(toyland).captions(split, i)]
        columns = {
            "image": (ImageType(), [{"bytes": file.read_bytes(), "path": None} for file in files]),
            "text": (Value("string"), texts),
        }
        write(place / f"{split}.parquet", columns)
    lines = (toyland / "dataset.toml").read_text().splitlines()
    (place / "dataset.toml").write_text("\n".join(line for line in lines if not line.startswith("splits")) + "\n")
    return place


def test_metrics_of_images_and_texts_without_layouts(
    cli: Cli, photographs: Path, toyland: Path, images: Path, oracle: None, without_curve: None
) -> None:
    """As the same images in a folder with layouts give; what needs layouts is skipped, and says so."""
    names = "semantic-recall,fd,fsd,miou"
    asked = ["evaluate", "--images", images / "images", "--prompts", images / "prompts.jsonl", "--metrics", names]
    results = [
        cli(*asked, "--dataset", dataset, "--out", out, "--json")
        for dataset, out in ((f"hf:{photographs}", "a"), (toyland, "b"))
    ]
    assert [result.code for result in results] == [0, 0], [result.err for result in results]
    mine, whole = (Record.model_validate_json(result.out) for result in results)
    for name in ("semantic-recall", "fd"):
        assert mine.points[0].scores[name].value == whole.points[0].scores[name].value is not None
        assert mine.ceiling[name].value == whole.ceiling[name].value
        assert mine.floor[name].value == whole.floor[name].value
    for name in ("fsd", "miou"):
        assert mine.points[0].scores[name].reason == "toyland has no layouts"
    assert mine.protocol.dataset_version.startswith("@")


def test_photographs_with_texts_are_exported_for_diffusers_alone(cli: Cli, photographs: Path, tmp_path: Path) -> None:
    """That form needs no layouts; what cannot be written leaves nothing behind."""
    done = cli("data", "export", f"hf:{photographs}", "--as", "diffusers", "--out", tmp_path / "out")
    assert done.code == 0, done.err
    data = open_dataset(f"hf:{photographs}")
    for split in data.splits:
        rows = [json.loads(line) for line in (tmp_path / "out" / split / "metadata.jsonl").read_text().splitlines()]
        assert [row["text"] for row in rows] == [data.captions(split, i)[0] for i in range(len(rows))]
        for i, row in enumerate(rows):
            written = np.asarray(Image.open(tmp_path / "out" / split / row["file_name"]))
            np.testing.assert_array_equal(written, data.image(split, i, data.size))
    for form in ("folder", "cityscapes"):
        done = cli("data", "export", f"hf:{photographs}", "--as", form, "--out", tmp_path / form)
        assert (done.code, (tmp_path / form).exists()) == (2, False)
        assert "has no layouts, which the form" in done.complaint or "other classes" in done.complaint
    path = write(tmp_path / "bare.parquet", {"image": usual(2)["image"]})
    done = cli("data", "export", f"hf:{path}", "--as", "diffusers", "--out", tmp_path / "bare")
    assert (done.code, (tmp_path / "bare").exists()) == (2, False)
    assert "bare has no texts, which the form diffusers is made of" in done.complaint


def test_nothing_is_trained_on_layouts_that_are_not_there(cli: Cli, photographs: Path) -> None:
    result = cli("train", "--model", "gcdp", "--dataset", f"hf:{photographs}", "--steps", 1, "--out", "x")
    assert result.code == 2
    assert "has no layouts; name their column, layout=COLUMN" in result.complaint
    checked = cli("data", "check", f"hf:{photographs}")
    assert checked.code == 0, checked.err
    assert "metrics of layouts are skipped" in " ".join(checked.out.split())


MEANS = """
import torch
from gcbench.core.contracts import Evaluator
from gcbench.core.samples import Features


class Means(Evaluator):
    role, id = "inception", "means"

    @classmethod
    def open(cls, dataset, *, spec=None, device="cpu"):
        return cls()

    def __call__(self, images):
        return Features(vectors=images.float().mean((2, 3)))
"""


def test_images_alone(cli: Cli, tmp_path: Path, painter: str, images: Path, without_curve: None) -> None:
    """Nothing but images: no model draws from their texts, and a distance between images is measured."""
    path = write(tmp_path / "bare.parquet", {"image": usual(8)["image"]})
    result = cli("sweep", "--model", f"{painter}:Painter", "--dataset", f"hf:{path}", "-n", 4, "--out", "x")
    assert result.code == 2
    assert "Painter to draw from; name their column, text=COLUMN" in result.complaint
    (tmp_path / "means.py").write_text(MEANS)
    means = ["--metrics", "fid", "--evaluator", f"inception={tmp_path / 'means.py'}:Means"]
    result = cli("evaluate", "--images", images / "images", "--dataset", f"hf:{path}", *means, "--out", "y", "--json")
    assert result.code == 0, result.err
    record = Record.model_validate_json(result.out)
    assert record.points[0].scores["fid"].status == "ok"
    assert record.ceiling["fid"].status == "ok"
