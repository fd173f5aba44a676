"""Finished images with what belongs to them, and what is said of those that cannot be read."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gcbench.core.errors import UserError
from gcbench.data.finished_images import read_pairs
from gcbench.data.folder import Folder
from gcbench.data.streets import Streets
from gcbench.data.unreadable_files import Unreadable

TOML = 'name = "pets"\nclasses = ["cat", "dog", "bird", "nothing"]\nvoid = "nothing"\n'


def write(root: Path, stems: list[str], seed: int = 0, layout: str = "{}") -> Path:
    rng = np.random.default_rng(seed)
    for part in ("images", "layouts"):
        (root / part).mkdir(parents=True, exist_ok=True)
    for stem in stems:
        Image.fromarray(rng.integers(0, 255, (6, 8, 3), np.uint8)).save(root / "images" / f"{stem}.png")
        Image.fromarray(rng.integers(0, 4, (6, 8), np.uint8)).save(root / "layouts" / f"{layout.format(stem)}.png")
    return root


def lines(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write(tmp_path / "mine", ["b", "a"])


@pytest.fixture
def data(tmp_path: Path) -> Folder:
    root = write(tmp_path / "pets", ["x"])
    (root / "dataset.toml").write_text(TOML)
    return Folder(root)


def test_pairs(root: Path, data: Folder) -> None:
    rows = [{"file_name": "b.png", "text": ["B"], "group": "g"}, {"file_name": "a.png", "text": ["A"]}]
    found = read_pairs(root / "images", root / "layouts", lines(root / "p.jsonl", rows))
    assert (found.ids, found.prompts, found.groups) == (("a", "b"), (("A",), ("B",)), ("A", "g"))
    for index, name in enumerate(found.ids):
        image, layout = found.read(index, data)
        assert np.array_equal(image, Image.open(root / "images" / f"{name}.png"))
        assert np.array_equal(layout, Image.open(root / "layouts" / f"{name}.png"))
    image, layout = found.read(0, data, (3, 4))
    assert image.shape == (3, 4, 3)
    assert layout is not None
    assert layout.shape == (3, 4)
    alone = read_pairs(root / "images")
    assert alone.prompts is None
    assert alone.groups == ("a", "b")
    assert alone.read(0, data)[1] is None
    Image.fromarray(np.full((6, 8), 5, np.uint8)).save(root / "layouts/a.png")
    with pytest.raises(UserError, match=r"a\.png holds the ids 5; map"):
        found.read(0, data)


def test_unpaired(root: Path) -> None:
    (root / "layouts" / "a.png").unlink()
    with pytest.raises(UserError, match=r"1 of 2 entries of .*images have no counterpart in .*layouts.* a; add"):
        read_pairs(root / "images", root / "layouts")
    rows = lines(root / "p.jsonl", [{"file_name": f"{stem}.png", "text": ["t"]} for stem in "abc"])
    with pytest.raises(UserError, match=r"1 of 3 entries of .*p\.jsonl have no counterpart"):
        read_pairs(root / "images", None, rows)
    with pytest.raises(UserError, match=r"cannot read the prompts .*q\.jsonl"):
        read_pairs(root / "images", None, root / "q.jsonl")


@pytest.mark.parametrize("ending", ["", ".png"])
def test_prompts_of_an_npz_go_by_id(tmp_path: Path, ending: str) -> None:
    np.savez(tmp_path / "a.npz", np.full((2, 4, 4, 3), 9, np.uint8))
    rows = [{"file_name": f"{i:06d}{ending}", "text": f"text {i}"} for i in (1, 0)]
    found = read_pairs(tmp_path / "a.npz", None, lines(tmp_path / "p.jsonl", rows))
    assert (found.ids, found.prompts) == (("000000", "000001"), (("text 0",), ("text 1",)))


def test_ids_with_dots(tmp_path: Path) -> None:
    """Only an image's ending is an ending."""
    root = write(tmp_path, ["v1.5", "v1.6"])
    rows = [{"file_name": "v1.5", "text": "five"}, {"file_name": "v1.6.png", "text": "six"}]
    found = read_pairs(root / "images", root / "layouts", lines(root / "p.jsonl", rows))
    assert found.prompts == (("five",), ("six",))


@pytest.mark.parametrize(
    ("image", "layout", "label_ids"),
    [
        ("{}", "{}_labelIds", True),
        ("{}_leftImg8bit", "{}_gtFine_labelIds", True),
        ("{}_leftImg8bit", "{}_gtFine_labelTrainIds", False),
        ("{}_leftImg8bit", "{}_gtFine_color", False),
        ("{}_leftImg8bit", "{}_leftImg8bit", False),
        ("{}_labelIds", "{}_labelIds", True),
    ],
)
def test_cityscapes_names(tmp_path: Path, image: str, layout: str, label_ids: bool) -> None:
    for stem in ("city_1", "city_2"):
        write(tmp_path, [stem], layout=layout)
        (tmp_path / "images" / f"{stem}.png").rename(tmp_path / "images" / f"{image.format(stem)}.png")
    found = read_pairs(tmp_path / "images", tmp_path / "layouts")
    assert found.ids == tuple(image.format(stem) for stem in ("city_1", "city_2"))
    assert found.layout_names == tuple(layout.format(stem) for stem in ("city_1", "city_2"))
    assert found.named_label_ids is label_ids


def test_two_layouts_of_one_image(tmp_path: Path) -> None:
    root = write(write(tmp_path, ["a", "b"]), ["a"], layout="{}_labelIds")
    with pytest.raises(UserError, match=r"layouts has two layouts of a, a and a_labelIds; take one out"):
        read_pairs(root / "images", root / "layouts")


def test_the_survey(root: Path) -> None:
    Image.new("RGB", (5, 4)).save(root / "images/b.png", "JPEG")
    survey = read_pairs(root / "images", root / "layouts").survey()
    assert survey.sizes == {(6, 8): 1, (4, 5): 1}
    assert survey.jpeg == 1
    hashes = {survey.hash, read_pairs(root / "images").survey().hash}
    content = (root / "layouts/a.png").read_bytes()
    Image.new("L", (8, 6), 2).save(root / "layouts/a.png")
    hashes.add(read_pairs(root / "images", root / "layouts").survey().hash)
    assert len(hashes) == 3
    (root / "layouts/a.png").write_bytes(content)
    assert read_pairs(root / "images", root / "layouts").survey().hash == survey.hash


def test_all_that_cannot_be_read_is_named_and_counted(tmp_path: Path) -> None:
    """Ten with their reasons, then how many more; the whole ones are not among them."""
    root = write(tmp_path, [f"p{i:02d}" for i in range(14)])
    for i in range(2, 14):
        path = root / "images" / f"p{i:02d}.png"
        path.write_bytes(b"" if i % 2 else path.read_bytes()[:-20])
    (root / "layouts/p00.png").write_text("a letter")
    with pytest.raises(UserError) as caught:
        read_pairs(root / "images", root / "layouts").survey()
    message = str(caught.value)
    assert message.startswith("cannot read 12 images and 1 layouts of 14: ")
    assert message.endswith(" and 3 more; replace these files")
    assert f"{root / 'layouts/p00.png'} (it is empty or no image), {root / 'images/p02.png'} (" in message
    assert message.count(".png (") == 10
    assert "images/p00" not in message
    assert "images/p01" not in message
    assert "\n" not in message


def test_one_that_cannot_be_read(root: Path) -> None:
    (root / "images/b.png").write_bytes(b"")
    with pytest.raises(Unreadable, match=r"cannot read the image .*b\.png \(it is empty or no image\); replace"):
        read_pairs(root / "images", root / "layouts").survey()


def test_layouts_of_a_datasetddpm_npz(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images, ids = rng.integers(0, 256, (3, 6, 8, 3), np.uint8), rng.integers(0, 20, (3, 6, 8), np.uint8)
    np.savez(tmp_path / "samples_6x8x3.npz", images, ids, rng.random(3))
    found = read_pairs(tmp_path / "samples_6x8x3.npz")
    for index in range(3):
        image, layout = found.read(index, Streets.open())
        assert np.array_equal(image, images[index])
        assert np.array_equal(layout, ids[index])
    write(tmp_path, ["000000", "000001", "000002"])
    given = read_pairs(tmp_path / "samples_6x8x3.npz", tmp_path / "layouts")
    assert given.layouts is not None
    assert given.layouts.path == tmp_path / "layouts"  # what is given comes before what the file holds


def test_sources_of_different_forms_pair(tmp_path: Path, data: Folder) -> None:
    """Images as rows of an npz, layouts as members of a zip."""
    import zipfile

    np.savez(tmp_path / "a.npz", np.full((2, 6, 8, 3), 9, np.uint8))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for i in range(2):
            stream = io.BytesIO()
            Image.new("L", (8, 6), i).save(stream, "PNG")
            archive.writestr(f"{i:06d}.png", stream.getvalue())
    found = read_pairs(tmp_path / "a.npz", tmp_path / "a.zip")
    assert [int(found.read(i, data)[1].max()) for i in range(2)] == [0, 1]  # type: ignore[union-attr]
