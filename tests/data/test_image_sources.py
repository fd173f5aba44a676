"""Folder, zip and npz give the same entries; what is damaged or encrypted is named."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gcbench.core.errors import UserError
from gcbench.core.files import file_hash
from gcbench.data.image_sources import inner_layouts, open_source
from gcbench.data.unreadable_files import Unreadable

NAMES = ("b", "a", "c.1")


def png(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.integers(0, 256, (6, 8, 3), np.uint8) for name in NAMES}


@pytest.fixture
def folder(tmp_path: Path, arrays: dict[str, np.ndarray]) -> Path:
    root = tmp_path / "folder"
    root.mkdir()
    for name, array in arrays.items():
        (root / f"{name}.png").write_bytes(png(array))
    (root / ".hidden.png").write_text("junk")
    (root / "notes.txt").write_text("junk")
    return root


def zipped(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_the_same_entries_wherever_they_lie(tmp_path: Path, arrays: dict[str, np.ndarray], folder: Path) -> None:
    members = {f"deep/down/{name}.PNG": (folder / f"{name}.png").read_bytes() for name in NAMES}
    junk = {"__MACOSX/deep/d.png": b"x", "deep/._b.png": b"x", "deep/.DS_Store": b"x", "deep/down/": b""}
    archive = zipped(tmp_path / "z.zip", {**junk, **members, "deep/readme.txt": b"x"})
    np.savez(tmp_path / "n.npz", np.stack([arrays[name] for name in sorted(NAMES)]), np.arange(3))
    lying = open_source(folder, "image")
    packed = open_source(archive, "image")
    rows = open_source(tmp_path / "n.npz", "image")
    assert lying.ids == packed.ids == ("a", "b", "c.1")
    assert rows.ids == ("000000", "000001", "000002")
    for name, row in zip(lying.ids, rows.ids, strict=True):
        for source, one in ((lying, name), (packed, name), (rows, row)):
            assert np.array_equal(source.image(one), arrays[name])
            assert source.look(one).size == (6, 8)
            assert not source.look(one).jpeg
        assert lying.look(name).hash == packed.look(name).hash == file_hash(folder / f"{name}.png")
    assert len({rows.look(row).hash for row in rows.ids}) == 3
    assert str(packed.place("a")).endswith("z.zip/deep/down/a.PNG")
    assert str(rows.place("000001")).endswith("n.npz/arr_0/000001")


def test_jpeg_is_known_by_content(tmp_path: Path, folder: Path) -> None:
    Image.open(folder / "a.png").save(folder / "a.png", "JPEG")
    source = open_source(folder, "image")
    assert [source.look(name).jpeg for name in source.ids] == [True, False, False]


def test_images_and_layouts_in_one_zip(tmp_path: Path, folder: Path) -> None:
    image, layout = (folder / "a.png").read_bytes(), png(np.zeros((6, 8), np.uint8))
    members = {"out/images/x.png": image, "out/layouts/x.png": layout, "out/grid.png": image}
    archive = zipped(tmp_path / "z.zip", members)
    assert open_source(archive, "image").ids == open_source(archive, "layout").ids == ("x",)
    assert open_source(archive, "image").image("x").mode == "RGB"
    assert open_source(archive, "layout").image("x").mode == "L"


@pytest.mark.parametrize("members", [["one/a.png", "two/a.png"], ["a.png", "a.jpg"]])
def test_two_members_of_one_name(tmp_path: Path, folder: Path, members: list[str]) -> None:
    archive = zipped(tmp_path / "z.zip", {name: b"x" for name in members})
    with pytest.raises(UserError, match=r"z\.zip/.*a\.png and .*a\.(png|jpg) share a name; rename"):
        open_source(archive, "image")


def test_encrypted_members_are_named(tmp_path: Path, folder: Path) -> None:
    archive = zipped(tmp_path / "z.zip", {f"{name}.png": (folder / f"{name}.png").read_bytes() for name in NAMES})
    content = bytearray(archive.read_bytes())
    for name in (b"a.png", b"c.1.png"):
        entry = content.rindex(name) - 46  # of the central directory: a fixed part, then the name
        assert content[entry : entry + 4] == b"PK\x01\x02"
        content[entry + 8] |= 1
    archive.write_bytes(content)
    with pytest.raises(UserError, match=r"2 of 3 images in .*z\.zip are encrypted: a\.png, c\.1\.png; unpack it"):
        open_source(archive, "image")


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_corrupt_member_is_named(tmp_path: Path, folder: Path, compression: int) -> None:
    members = {f"{name}.png": (folder / f"{name}.png").read_bytes() for name in NAMES}
    archive = zipped(tmp_path / "z.zip", members, compression)
    content = bytearray(archive.read_bytes())
    content[content.index(b"a.png") + 60] ^= 0xFF
    archive.write_bytes(content)
    source = open_source(archive, "image")
    for read in (source.look, source.image):
        with pytest.raises(Unreadable, match=r"cannot read the image .*z\.zip/a\.png \(.+\); replace the file"):
            read("a")
    source.look("b")


def test_a_file_that_vanishes(folder: Path) -> None:
    source = open_source(folder, "image")
    (folder / "a.png").unlink()
    with pytest.raises(Unreadable, match=r"a\.png \(No such file"):
        source.look("a")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("nowhere", None, r"nowhere is not there; give the folder, \.zip or \.npz that holds the images"),
        ("a.npy", b"x", r"a\.npy is neither a folder nor a \.zip nor a \.npz; give"),
        ("a.zip", b"x", r"cannot read .*a\.zip \(File is not a zip file\); make"),
        ("a.npz", b"x", r"cannot read .*a\.npz \(File is not a zip file\); make"),
    ],
)
def test_no_source(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        open_source(tmp_path / name, "image")


def test_nothing_of_the_kind(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(UserError, match=r"no PNG or JPEG images in .*z\.zip; give"):
        open_source(zipped(tmp_path / "z.zip", {"a.txt": b"x"}), "image")
    with pytest.raises(UserError, match=r"no PNG layouts in .*z\.zip; give"):
        open_source(zipped(tmp_path / "z.zip", {"a.jpg": b"x"}), "layout")
    np.savez(tmp_path / "fid.npz", mu=np.zeros(4), sigma=np.zeros((4, 4)))
    with pytest.raises(UserError, match=r"fid\.npz holds mu, sigma; save the images as uint8 .*, as arr_0"):
        open_source(tmp_path / "fid.npz", "image")
    np.savez(tmp_path / "real.npz", np.full((2, 4, 4, 3), 0.5))
    with pytest.raises(UserError, match=r"arr_0 is float64 .* from 0\.5 to 0\.5; save layouts as uint8 \[N,H,W\]"):
        open_source(tmp_path / "real.npz", "layout")


def test_layouts_of_an_npz(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    """ADM's arr_1 [N] is a class an image; DatasetDDPM's arr_1 [N,H,W] is a layout an image."""
    images = np.stack(list(arrays.values()))
    ids = np.random.default_rng(1).integers(0, 20, (3, 6, 8), np.uint8)
    np.savez(tmp_path / "adm.npz", images, np.array([4, 8, 1]))
    np.savez(tmp_path / "ddpm.npz", images, ids, np.random.default_rng(2).random(3))
    np.savez(tmp_path / "ids.npz", ids.astype(np.int64))
    np.savez(tmp_path / "colours.npz", images)
    assert inner_layouts(open_source(tmp_path / "adm.npz", "image")) is None
    inner = inner_layouts(open_source(tmp_path / "ddpm.npz", "image"))
    for source in (inner, open_source(tmp_path / "ddpm.npz", "layout"), open_source(tmp_path / "ids.npz", "layout")):
        assert source is not None
        assert source.ids == ("000000", "000001", "000002")
        for row, name in enumerate(source.ids):
            assert source.image(name).mode == "L"
            assert np.array_equal(source.image(name), ids[row])
    assert np.array_equal(open_source(tmp_path / "colours.npz", "layout").image("000002"), images[2])


def test_images_cast_from_0_to_1(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", np.random.default_rng(0).random((3, 4, 4, 3)).round().astype(np.uint8))
    source = open_source(tmp_path / "a.npz", "image")
    with pytest.raises(UserError, match=r"a\.npz: arr_0 holds no value above 1; scale the images to 0 to 255"):
        [source.look(name) for name in source.ids]
