"""A user's own folder."""

import json

import numpy as np
import pytest
from PIL import Image

from gcbench.core.errors import UserError
from gcbench.data.folder import Folder
from gcbench.data.open_dataset import open_dataset
from gcbench.text.class_mentions import named_classes

TOML = 'name = "pets"\nclasses = ["cat", "dog", "traffic light", "nothing"]\nvoid = "nothing"\n'


def write(folder, stems, ending=".png", seed=0, ids=4):
    rng = np.random.default_rng(seed)
    for part in ("images", "layouts"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for stem in stems:
        Image.fromarray(rng.integers(0, 255, (6, 8, 3), np.uint8)).save(folder / "images" / f"{stem}{ending}")
        Image.fromarray(rng.integers(0, ids, (6, 8), np.uint8)).save(folder / "layouts" / f"{stem}.png")


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "mine"
    write(root, ["b", "a"])
    (root / "dataset.toml").write_text(TOML)
    return root


def toml(root, text):
    (root / "dataset.toml").write_text(text)
    return root


def test_without_split_folders(root):
    data = open_dataset(str(root))
    assert (data.name, data.splits, data.void, data.size) == ("pets", ("val",), 3, (6, 8))
    assert data.ids("val") == data.groups("val") == ["a", "b"]
    assert data.aliases == {
        "cat": ("cat", "cats"),
        "dog": ("dog", "dogs"),
        "traffic light": ("traffic light", "traffic lights"),
    }
    assert len(set(data.palette)) == 4
    image, layout = data.pair("val", 0, (3, 4))
    assert image.shape == (3, 4, 3)
    assert layout.shape == (3, 4)
    (text,) = data.captions("val", 0)
    assert text.startswith("An image with ")
    assert named_classes(text, data.aliases) == {"cat", "dog", "traffic light"}


def test_split_folders_jpg_and_prompts(tmp_path):
    root = tmp_path / "data"
    write(root / "train", ["x"], ".jpg")
    write(root / "test", ["x", "y"])
    rows = [{"file_name": "x.png", "text": ["X"], "group": "g"}, {"file_name": "y.png", "text": "Y"}]
    (root / "test" / "prompts.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data = Folder(toml(root, TOML + "size = [2, 3]\n[aliases]\ncat = ['Kitty']\n"))
    assert data.splits == ("train", "test")
    assert [tuple(data.captions("test", i)) for i in (0, 1)] == [("X",), ("Y",)]
    assert data.groups("test") == ["g", "y"]
    assert data.size == (2, 3)
    assert data.aliases["cat"] == ("kitty",)
    assert data.aliases["dog"] == ("dog", "dogs")
    before = data.version
    ordered = Folder(toml(root, 'splits = ["train", "test"]\n' + TOML))
    assert ordered.splits == ("train", "test")
    assert ordered.version != before


def test_void_by_id_or_absent(root):
    assert Folder(toml(root, TOML.replace('"nothing"\n', "0\n"))).void == 0
    layout = root / "layouts" / "a.png"
    Image.fromarray(np.full((6, 8), 255, np.uint8)).save(layout)
    assert (Folder(toml(root, TOML)).pair("val", 0, (6, 8))[1] == 3).all()
    with pytest.raises(UserError, match=r"a\.png holds the ids 255 \(255 means void"):
        Folder(toml(root, TOML.split("void")[0])).pair("val", 0, (6, 8))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TOML + "pallete = []", "unknown key 'pallete'; did you mean palette"),
        ('name = "x"', "the key 'classes' is missing; add it"),
        ('name = 3\nclasses = ["a", "b"]', "name: input should be a valid string"),
        ("name = ", "[(]Invalid value.*correct it"),
        (TOML.replace('void = "nothing"', 'void = "none"'), "void = 'none' is not among classes"),
        (TOML.replace('void = "nothing"', "void = 4"), "void = 4 is no id of the 4 classes"),
        (TOML + "palette = [[0, 0, 0]]", "palette must be 4 triples"),
        (TOML + "size = [4]", r"size must be \[H, W\]"),
        (TOML + '[aliases]\nbird = ["b"]', "aliases.bird is no class"),
        (TOML.replace('"dog"', '"cat"'), "classes names one class twice"),
        (TOML + 'splits = ["a", "b"]', "names the split 'a' but .* is not there"),
        (TOML + "splits = []", "splits is empty"),
    ],
)
def test_bad_configs_are_named(root, text, message):
    with pytest.raises(UserError, match=rf"dataset\.toml.*{message}"):
        Folder(toml(root, text))


def test_unpaired_and_empty(root, tmp_path):
    (root / "layouts" / "a.png").unlink()
    data = Folder(root)
    with pytest.raises(UserError, match=r"1 files of the split 'val'.*images/a\.png; add the missing"):
        data.ids("val")
    empty = tmp_path / "empty"
    (empty / "images").mkdir(parents=True)
    with pytest.raises(UserError, match=r"no images in .*empty; put"):
        Folder(toml(empty, TOML))
    write(root, ["b"], ".jpg")
    with pytest.raises(UserError, match=r"b\.png and b\.jpg share a name"):
        Folder(root)


def test_an_image_without_prompt(root):
    (root / "prompts.jsonl").write_text('{"file_name": "a.png", "text": ["t"]}')
    with pytest.raises(UserError, match=r"prompts\.jsonl has no line for b\.png; add it"):
        Folder(root).captions("val", 1)


def test_find_names_what_is_wrong(root, tmp_path, monkeypatch):
    assert open_dataset(str(root / "dataset.toml")).name == "pets"
    with pytest.raises(UserError, match="did you mean cityscapes"):
        open_dataset("cityscape")
    with pytest.raises(UserError, match=r"holds no dataset\.toml; write"):
        open_dataset(str(root / "images"))
    (tmp_path / "dataset").touch()
    with pytest.raises(UserError, match="dataset is no directory; give a directory"):
        open_dataset(str(tmp_path / "dataset"))
    with pytest.raises(UserError, match="nowhere is not there; give a directory"):
        open_dataset(str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="--dataset PATH"):
        Folder.open()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"'mine' is no dataset's name; write \./mine"):
        open_dataset("mine")
    assert open_dataset("./mine").argument == "./mine"
    monkeypatch.chdir(root)
    assert open_dataset(".").name == "pets"
