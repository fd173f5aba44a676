"""EXIF orientation is carried out on images and layouts, whatever their mode and format, and said."""

import io
import json
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest
from conftest import Cli, write_toyland
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gcbench.data import image_files
from gcbench.data.finished_images import read_pairs
from gcbench.data.image_sources import open_source

UPRIGHT = {  # of the stored array [H,W,...], as the standard describes the place of row 0 and column 0
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}
STORED = {**UPRIGHT, 6: UPRIGHT[8], 8: UPRIGHT[6]}  # each is its own inverse but the quarter turns


def encoded(image: Image.Image, orientation: int, form: str = "PNG") -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stream = io.BytesIO()
    image.save(stream, form, exif=exif, **({"quality": 100, "subsampling": 0} if form == "JPEG" else {}))
    return stream.getvalue()


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(UPRIGHT)),
    st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "JPEG L", "JPEG RGB", "JPEG CMYK"]),
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(0, 2**32 - 1),
)
def test_every_orientation_mode_and_format_is_numpys_rotation(
    orientation: int, mode: str, height: int, width: int, seed: int
) -> None:
    """The pixels of a file with a tag are those of the file without it, turned by numpy; so is the header's size."""
    form, _, kind = mode.rpartition(" ")
    form, rng = form or "PNG", np.random.default_rng(seed)
    channels = {"LA": (2,), "RGB": (3,), "RGBA": (4,), "CMYK": (4,)}.get(kind, ())
    top = 65536 if kind == "I;16" else 256
    array = rng.integers(0, top, (height, width, *channels)).astype(np.uint16 if kind == "I;16" else np.uint8)
    image = Image.fromarray(array).convert("1") if kind == "1" else Image.fromarray(array)
    if kind == "P":
        image.putpalette(rng.integers(0, 256, 768).astype(np.uint8).tobytes())
    if kind == "CMYK":
        image = Image.fromarray(array, "CMYK")
    plain, tagged = encoded(image, 1, form), encoded(image, orientation, form)
    where = Path("x.png")
    assert image_files.header(plain, where, "image")[::2] == ((height, width), False)
    expected = UPRIGHT[orientation](image_files.rgb(image_files.decode(plain, where, "image")))
    assert np.array_equal(image_files.rgb(image_files.decode(tagged, where, "image")), expected)
    assert image_files.header(tagged, where, "image")[::2] == (expected.shape[:2], orientation > 1)
    if kind in ("1", "L", "P") and form == "PNG":
        ids = UPRIGHT[orientation](np.asarray(image).astype(np.uint8))
        assert np.array_equal(image_files.plain_ids(image_files.decode(tagged, where, "layout"), where), ids)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_what_is_no_orientation_turns_nothing(orientation: int) -> None:
    image = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3))
    assert image_files.header(encoded(image, orientation), Path("x"), "image") == ((2, 3), False, False)


@pytest.mark.filterwarnings("error")
def test_a_damaged_exif_turns_nothing() -> None:
    """Random bytes in its place, and the true one with bytes changed or cut: never another error than Unreadable."""
    image, rng = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3)), random.Random(0)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    whole = exif.tobytes()
    for _ in range(500):
        body = bytearray(whole[: rng.randrange(6, len(whole) + 1)] if rng.random() < 0.7 else rng.randbytes(40))
        for _ in range(rng.randrange(4)):
            body[rng.randrange(len(body))] = rng.randrange(256)
        stream = io.BytesIO()
        image.save(stream, "JPEG", exif=bytes(body))
        assert image_files.header(stream.getvalue(), Path("x"), "image").size in ((2, 3), (3, 2))


@pytest.fixture
def pairs(tmp_path: Path) -> tuple[Path, Path]:
    """A toy dataset, and a copy of its validation pairs: each stored turned, with the tag that undoes it."""
    root, turned = write_toyland(tmp_path / "data", {"train": 2, "val": 8}), tmp_path / "turned"
    for part in ("images", "layouts"):
        (turned / part).mkdir(parents=True)
        for orientation, path in enumerate(sorted((root / "val" / part).iterdir()), 1):
            array = STORED[orientation](np.asarray(Image.open(path)))
            (turned / part / path.name).write_bytes(encoded(Image.fromarray(np.ascontiguousarray(array)), orientation))
    return root, turned


def test_folders_and_zips_give_upright_pairs(pairs: tuple[Path, Path], tmp_path: Path) -> None:
    root, turned = pairs
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in turned.rglob("*.png"):
            archive.write(path, path.relative_to(turned))
    for kind, part in (("image", "images"), ("layout", "layouts")):
        for place in (turned / part, tmp_path / "all.zip"):
            source = open_source(place, kind)  # type: ignore[arg-type]
            for name in source.ids:
                plain = np.asarray(Image.open(root / "val" / part / f"{name}.png"))
                assert np.array_equal(np.asarray(source.image(name)), plain)
                assert source.look(name).size == plain.shape[:2]


def test_it_is_counted_and_said(pairs: tuple[Path, Path]) -> None:
    _, turned = pairs
    both = read_pairs(turned / "images", turned / "layouts").survey()
    assert both.notes() == ["7 images and 7 layouts were turned by their EXIF orientation"]
    for path in sorted((turned / "images").iterdir())[2:]:
        path.unlink()
    assert read_pairs(turned / "images").survey().notes() == ["1 image was turned by their EXIF orientation"]


@pytest.mark.usefixtures("oracle", "without_curve")
def test_turned_images_score_as_upright_ones(cli: Cli, pairs: tuple[Path, Path], tmp_path: Path) -> None:
    """What was scored upside down without a word: mIoU of the same images, upright and stored turned."""
    root, turned = pairs
    scores = []
    for place in (root / "val", turned):
        result = cli(
            *("evaluate", "--images", place / "images", "--layouts", place / "layouts", "--dataset", root),
            *("--metrics", "miou", "--device", "cpu", "--out", tmp_path / place.name, "--json"),
        )
        assert result.code == 0, result.err
        scores.append(json.loads(result.out)["points"][0]["scores"]["miou"]["value"])
        assert ("7 images and 7 layouts were turned by their EXIF orientation" in result.err) == (place == turned)
    assert scores[0] == scores[1]


def test_finished_images_as_a_model_are_upright(pairs: tuple[Path, Path]) -> None:
    from gcbench.baselines.folder.model import Folder
    from gcbench.core.contracts import ModelOptions
    from gcbench.data.open_dataset import open_dataset

    root, turned = pairs
    data = open_dataset(str(root))
    drawn = {}
    for place in (root / "val", turned):
        model = Folder.open(data, ModelOptions(checkpoint=place))
        drawn[place] = model.generate(None, n=8, size=data.size, guidance=1.0, seeds=range(8))
        said = "7 images and 7 layouts were turned by their EXIF orientation" in str(model.describe()["note"])
        assert said == (place == turned)
    one, other = drawn.values()
    assert np.array_equal(one.images, other.images)
    assert one.layouts is not None
    assert other.layouts is not None
    assert np.array_equal(one.layouts, other.layouts)


def test_datasets_and_copies_are_upright(cli: Cli, pairs: tuple[Path, Path], tmp_path: Path) -> None:
    """`data check` says how many, and an exported copy is upright without a tag."""
    root, turned = pairs
    (root / "train/images").rename(tmp_path / "elsewhere")
    (turned / "dataset.toml").write_text((root / "dataset.toml").read_text().replace('["train", "val"]', '["val"]'))
    check = cli("data", "check", turned)
    assert check.code == 0, check.err
    assert "7 of 8 images read are turned by their EXIF orientation" in check.err
    assert "7 of 8 layouts read are turned by their EXIF orientation" in check.err
    assert cli("data", "export", turned, "--out", tmp_path / "copy").code == 0
    for part in ("images", "layouts"):
        for path in sorted((tmp_path / "copy/val" / part).iterdir()):
            copy = Image.open(path)
            assert copy.getexif().get(0x0112) is None
            assert np.array_equal(np.asarray(copy), np.asarray(Image.open(root / "val" / part / path.name)))
