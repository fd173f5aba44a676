"""Export and read back: the same layouts, captions and groups."""

import numpy as np
import pytest
from PIL import Image

from gcbench.core.contracts import Dataset
from gcbench.core.errors import UserError
from gcbench.data import cityscapes_classes
from gcbench.data.cityscapes import Cityscapes
from gcbench.data.dataset_summary import summarise
from gcbench.data.export import export
from gcbench.data.open_dataset import open_dataset
from gcbench.data.pair_files import generator

SIZE = (8, 16)


class Tiny(Dataset):
    """Noise in the urban classes; one id stands in both splits."""

    name = "tiny"
    classes = cityscapes_classes.CLASSES
    palette = cityscapes_classes.PALETTE
    void = cityscapes_classes.VOID
    size = SIZE
    splits = ("train", "val")
    aliases = cityscapes_classes.ALIASES
    resize = "drawn"
    version = "1"
    drawn = 0

    @classmethod
    def open(cls):
        return cls()

    def ids(self, split):
        return ["s/0", "s/1", "s/2"] if split == "train" else ["s/0", "v"]

    def groups(self, split):
        return ["one", "one", "two"] if split == "train" else self.ids(split)

    def pair(self, split, index, size):
        self.drawn += 1
        rng = generator(split, str(index))
        return rng.integers(0, 256, (*size, 3), np.uint8), rng.integers(0, 20, size, np.uint8)

    def captions(self, split, index):
        return (f"Road {split} {index}, “ä”.", "Sky.")


def assert_same(data, back, size=SIZE):
    assert back.splits == data.splits
    for split in data.splits:
        assert len(back.ids(split)) == len(data.ids(split))
        for i in range(len(data.ids(split))):
            for mine, theirs in zip(data.pair(split, i, size), back.pair(split, i, size), strict=True):
                assert np.array_equal(mine, theirs)
            assert tuple(data.captions(split, i)) == tuple(back.captions(split, i))


def test_cityscapes_round_trip(tmp_path):
    data, seen = Tiny(), []
    assert export(data, tmp_path / "o", "cityscapes", progress=lambda done, total: seen.append((done, total))) == 5
    assert seen == [(i, 5) for i in range(1, 6)]
    back = Cityscapes(tmp_path / "o")
    assert_same(data, back)
    assert list(back.groups("val")) == list(back.ids("val"))
    again = Cityscapes(tmp_path / "o")
    export(again, tmp_path / "copy", "cityscapes", SIZE)
    assert_same(back, Cityscapes(tmp_path / "copy"))


def test_folder_round_trip(tmp_path):
    data = Tiny()
    export(data, tmp_path / "o", "folder", (4, 6))
    back = open_dataset(str(tmp_path / "o"))
    assert_same(data, back, (4, 6))
    assert back.size == (4, 6)
    assert (back.name, back.classes, back.palette, back.void) == ("tiny", data.classes, data.palette, 19)
    assert back.aliases == data.aliases
    assert back.groups("train") == ["one", "one", "two"]
    assert back.groups("val") == back.ids("val")


def test_a_class_without_words_keeps_none_in_a_copy(tmp_path):
    class Silent(Tiny):
        aliases = {"sky": ("sky", "skies")}  # noqa: RUF012

    export(Silent(), tmp_path / "o", "folder", limit=1)
    named = {name: words for name, words in open_dataset(str(tmp_path / "o")).aliases.items() if words}
    assert named == Silent.aliases


def test_it_resumes_and_grows(tmp_path):
    data = Tiny()
    export(data, tmp_path, "folder", limit=1)
    assert data.drawn == 2
    export(data, tmp_path, "folder")
    assert data.drawn == 5
    assert_same(data, open_dataset(str(tmp_path)))
    lost = next((tmp_path / "train" / "layouts").iterdir())
    lost.unlink()
    data.drawn = 0
    export(data, tmp_path, "folder", limit=1)
    export(data, tmp_path, "folder")
    assert data.drawn == 1
    assert lost.is_file()
    assert_same(data, open_dataset(str(tmp_path)))


def test_void_is_written_as_unlabelled(tmp_path):
    export(Tiny(), tmp_path / "o", "cityscapes", limit=1)
    (path,) = (tmp_path / "o" / "gtFine" / "val").rglob("*.png")
    raw, layout = np.asarray(Image.open(path)), Tiny().pair("val", 0, SIZE)[1]
    assert (raw[layout == 19] == 0).all()
    assert (raw[layout == 0] == 7).all()


def test_places_that_are_taken(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "mine.txt").write_text("precious")
    with pytest.raises(UserError, match="a is there and is no export of gcbench; choose another --out"):
        export(Tiny(), tmp_path / "a")
    export(Tiny(), tmp_path / "b")
    with pytest.raises(UserError, match=r"b holds another export \(see .*export\.json\); choose another --out"):
        export(Tiny(), tmp_path / "b", size=(2, 2))


def test_other_classes_are_no_cityscapes(tmp_path):
    data = Tiny()
    data.classes = ("a", "b")
    with pytest.raises(UserError, match=r"tiny has other classes than Cityscapes .*use the form folder"):
        export(data, tmp_path / "o", "cityscapes")
    assert not (tmp_path / "o").exists()


def test_a_summary_counts_and_reads(tmp_path):
    export(Tiny(), tmp_path / "o")
    train, val = summarise(open_dataset(str(tmp_path / "o")))
    assert (train.split, train.pairs, train.groups, train.sampled) == ("train", 3, 2, 3)
    assert abs(sum(train.shares.values()) - 1) < 1e-9
    assert set(train.shares) == set(cityscapes_classes.CLASSES)
    assert (val.pairs, val.missing, val.problems) == (2, (), ())
    next((tmp_path / "o" / "val" / "images").iterdir()).write_bytes(b"no image")
    assert "cannot read the image" in summarise(open_dataset(str(tmp_path / "o")))[1].problems[0]


class Named(Tiny):
    """Pairs of given ids, one split; each has its id in its caption and its number in its pixels."""

    splits = ("val",)

    def __init__(self, names):
        self.names = names

    def ids(self, split):
        return self.names

    groups = ids

    def pair(self, split, index, size):
        return np.full((*size, 3), index, np.uint8), np.full(size, index % 20, np.uint8)

    def captions(self, split, index):
        return (f"{index}: {self.names[index]!r}",)


NAMES = [
    *("a b", "a-b", "a+b", "a/b", "a.b"),
    *("A", "a", "É", "é", "e\u0301", "STRASSE", "straße"),
    *("con", "NUL", "com1.x", "aux.png"),
    *("x" * 250, "x" * 251, "語" * 100, "語" * 101, "y" * 200, "y" * 201),
    *(".hidden", "..", "-", "", " ", "._a", "v1.5", "v1.5.png", "*?<>|:"),
]


@pytest.mark.parametrize("form", ["folder", "cityscapes"])
def test_no_two_names_become_one(tmp_path, form):
    """Every pair is there, under a name of its own on any file system, with its own caption."""
    data = Named(NAMES)
    assert export(data, tmp_path / "o", form, (2, 2)) == len(NAMES)
    back = Cityscapes(tmp_path / "o") if form == "cityscapes" else open_dataset(str(tmp_path / "o"))
    assert len(back.ids("val")) == len(NAMES)
    seen = set()
    for i in range(len(NAMES)):
        image, layout = back.pair("val", i, (2, 2))
        number = int(image[0, 0, 0])
        seen.add(number)
        assert layout[0, 0] == number % 20
        assert back.captions("val", i) == (f"{number}: {NAMES[number]!r}",)
    assert seen == set(range(len(NAMES)))
    files = [path.name for path in (tmp_path / "o").rglob("*.png")]
    assert max(len(name.encode()) for name in files) <= 255
    images = [path.name for path in (tmp_path / "o").rglob("*.png") if "gtFine" not in path.name]
    images = images if form == "cityscapes" else [p.name for p in (tmp_path / "o/val/images").iterdir()]
    assert len({name.casefold() for name in images}) == len(NAMES)
    assert not [name for name in images if name.partition(".")[0].lower() in ("con", "nul", "aux", "com1")]


def test_plain_names_stay_and_a_longer_list_renames_none_of_them(tmp_path):
    export(Named(["a", "b.1", "ö_2"]), tmp_path / "o")
    assert sorted(path.stem for path in (tmp_path / "o/val/images").iterdir()) == ["a", "b.1", "ö_2"]


class OneText(Tiny):
    def captions(self, split, index):
        return (f"Road {split} {index}, “ä”.",)


@pytest.mark.parametrize("kind", [Tiny, OneText])
def test_datasets_reads_the_image_folder_for_diffusers(tmp_path, monkeypatch, kind):
    """As train_text_to_image_lora.py loads --train_data_dir: images and the column `text`, by datasets' imagefolder."""
    datasets = pytest.importorskip("datasets", reason="the library datasets is not installed")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    data = kind()
    assert export(data, tmp_path / "o", "diffusers", limit=1) == 2
    export(data, tmp_path / "o", "diffusers")
    export(data, tmp_path / "o", "diffusers", limit=1)  # what is there stays, with its text
    for split in data.splits:
        pattern = {"train": str(tmp_path / "o" / split / "**")}
        loaded = datasets.load_dataset("imagefolder", data_files=pattern, cache_dir=str(tmp_path / "cache"))["train"]
        assert set(loaded.column_names) == {"image", "text"}
        assert len(loaded) == len(data.ids(split))
        for index, row in enumerate(loaded):
            texts = data.captions(split, index)
            assert row["text"] == (list(texts) if kind is Tiny else texts[0])
            assert np.array_equal(np.asarray(row["image"]), data.pair(split, index, SIZE)[0])
    assert not list((tmp_path / "o").rglob("layouts"))


def test_the_forms_by_the_command_line(tmp_path, cli):
    assert cli("data", "export", "streets", "--as", "diffusers", "--limit", 1, "--out", "o").code == 0
    lines = (tmp_path / "cwd" / "o" / "val" / "metadata.jsonl").read_text().splitlines()
    assert len(lines) == 1
    done = cli("data", "export", "streets", "--as", "coco", "--out", "p")
    assert (done.code, done.complaint) == (2, "gcbench: --as 'coco': choose one of cityscapes, diffusers, folder")
