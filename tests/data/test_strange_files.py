"""What lies in folders of images beside plain PNG and JPEG files: left out, read right, or named in one sentence."""

import io
import os
import shutil
import socket
import struct
import unicodedata
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Cli, write_toyland
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from gcbench.core.errors import UserError
from gcbench.core.files import write_atomic
from gcbench.data import image_files
from gcbench.data.finished_images import read_pairs
from gcbench.data.image_sources import open_source
from gcbench.data.open_dataset import open_dataset
from gcbench.data.unreadable_files import Unreadable

APPLE = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        " + bytes(60)
LEFT_BEHIND = ("._a.png", ".DS_Store", "Thumbs.db", ".hidden.png", "__MACOSX/a.png", "__MACOSX/._b.png")
LEFT_BEHIND_FOLDERS = (".ipynb_checkpoints", ".Trash-1000", "__MACOSX", "@eaDir", "$RECYCLE.BIN", ".git")
PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)


def png(array: np.ndarray = PIXELS, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG", **options)
    return stream.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def with_chunk(name: bytes, data: bytes) -> bytes:
    """A PNG with one more chunk before its pixels."""
    return png()[:33] + chunk(name, data) + png()[33:]


def fill(folder: Path) -> Path:
    for name in (*LEFT_BEHIND, *(f"{name}/a.png" for name in LEFT_BEHIND_FOLDERS)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(APPLE)
    return folder


# ---------------------------------------------------------------------------------------------------- left behind


def test_what_systems_leave_is_in_no_folder_and_no_zip(tmp_path: Path) -> None:
    folder = fill(tmp_path / "x")
    (folder / "a.png").write_bytes(png())
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(tmp_path))
    for place in (folder, tmp_path / "x.zip"):
        source = open_source(place, "image")
        assert source.ids == ("a",)
        assert source.left_out == ()
    assert open_source(shutil.copytree(folder, tmp_path / ".cache/x"), "image").ids == ("a",)  # what was asked for


def test_what_systems_leave_is_no_split_and_no_pair(cli: Cli, tmp_path: Path) -> None:
    root = write_toyland(tmp_path / "data", {"train": 2, "val": 2})
    (root / "dataset.toml").write_text((root / "dataset.toml").read_text().replace("splits =", "#"))
    for name in LEFT_BEHIND_FOLDERS:
        shutil.copytree(root / "train", root / name)
    for part in ("images", "layouts"):
        fill(root / "val" / part)
    assert open_dataset(str(root)).splits == ("train", "val")
    check = cli("data", "check", root)
    assert check.code == 0, check.err
    assert "val: 2 pairs" in check.err
    assert "were not read" not in check.err


def test_a_prompts_line_of_a_hidden_file_counts_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "i").mkdir()
    (tmp_path / "i/a.png").write_bytes(png())
    rows = [f'{{"file_name": "{name}", "text": ["t"]}}\n' for name in ("a.png", "._a.png", ".DS_Store")]
    (tmp_path / "p.jsonl").write_text("".join(rows))
    assert read_pairs(tmp_path / "i", None, tmp_path / "p.jsonl").ids == ("a",)


def test_runs_and_weights_in_hidden_places_are_not_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gcbench.runs.baselines import below
    from gcbench.weights.find_weights import find_weights

    for place in ("runs/one", "runs/.Trash-1000/files/two", "runs/.ipynb_checkpoints/one"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "record.json").write_text("{}")
    assert below(tmp_path / "runs") == [tmp_path / "runs/one"]
    weights = tmp_path / "w/segmenter/pets"
    weights.mkdir(parents=True)
    (weights / "._model.safetensors").write_bytes(APPLE)
    monkeypatch.setenv("GCBENCH_WEIGHTS", str(tmp_path / "w"))
    assert find_weights("segmenter", "pets") is None
    (weights / "model.safetensors").write_bytes(b"x")
    assert find_weights("segmenter", "pets") == weights / "model.safetensors"


# ------------------------------------------------------------------------------------------------------- no files


def pipe(path: Path) -> None:
    os.mkfifo(path)


def listening(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)
    os.chdir(here)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.symlink_to("/nonexistent/x.png"), "it links to /nonexistent/x.png, no such file"),
        (lambda path: path.symlink_to(path.name), "too many levels of symbolic links"),
        (lambda path: path.symlink_to("/dev/zero"), "it is a folder, a pipe or a device"),
        (pipe, "it is a folder, a pipe or a device"),
        (listening, "it is a folder, a pipe or a device"),
    ],
    ids=["dangling", "loop", "device", "pipe", "socket"],
)
@pytest.mark.parametrize("part", ["images", "layouts"])
def test_what_is_no_file_is_named_and_never_waited_for(
    cli: Cli, tmp_path: Path, make: Callable[[Path], None], reason: str, part: str
) -> None:
    root = write_toyland(tmp_path / "data", {"train": 4, "val": 4})
    path = root / "val" / part / "val01.png"
    path.unlink()
    make(path)
    commands = [
        ("data", "check", root),
        ("data", "export", root, "--out", tmp_path / "out"),
        ("evaluate", "--images", root / "val/images", "--layouts", root / "val/layouts", "--dataset", root),
    ]
    for command in commands:
        result = cli(*command)
        assert result.code == 2
        assert "val01.png" in result.complaint
        assert reason in result.complaint
    with pytest.raises(Unreadable, match=r"val01\.png"):
        image_files.read_image(path)


def test_a_split_of_a_dataset_names_what_is_no_file(cli: Cli, tmp_path: Path) -> None:
    root = write_toyland(tmp_path / "data", {"val": 4})
    (root / "val/images/val01.png").unlink()
    (root / "val/images/val01.png").symlink_to("/nonexistent")
    result = cli("data", "split", root, "--out", tmp_path / "out")
    assert (result.code, (tmp_path / "out").exists()) == (2, False)
    assert "val01.png (it links to /nonexistent, no such file or directory); mend the link" in result.complaint


def test_a_folder_called_like_an_image_is_none(tmp_path: Path) -> None:
    (tmp_path / "b.png").mkdir()
    (tmp_path / "a.png").write_bytes(png())
    assert open_source(tmp_path, "image").ids == ("a",)


def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(UserError, match=rf"cannot list {tmp_path} \(Permission denied\); give a folder"):
        open_source(tmp_path, "image")


# --------------------------------------------------------------------------------------------------- what is read


def animated() -> bytes:
    stream = io.BytesIO()
    frames = [Image.fromarray(np.full_like(PIXELS, shade)) for shade in (10, 200)]
    Image.fromarray(PIXELS).save(stream, "PNG", save_all=True, append_images=frames)
    return stream.getvalue()


def interlaced() -> bytes:
    """Adam7, written by hand: Pillow writes none."""
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    parts = [PIXELS[top::down, left::right] for top, left, down, right in passes]
    rows = b"".join(b"\0" + row.tobytes() for part in parts if part.size for row in part)
    head = struct.pack(">IIBBBBB", PIXELS.shape[1], PIXELS.shape[0], 8, 2, 0, 0, 1)
    return png()[:8] + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def workflow(zipped: bool) -> bytes:
    info = PngInfo()
    info.add_text("workflow", '{"n":0}' * 300_000, zip=zipped)
    return png(pnginfo=info)


@pytest.mark.parametrize(
    "content",
    [
        workflow(True),
        workflow(False),
        with_chunk(b"iTXt", b"XML\0\1\0\0\0" + zlib.compress(bytes(80_000_000))),
        with_chunk(b"iCCP", b"display\0\0" + zlib.compress(bytes(80_000_000))),
        with_chunk(b"iCCP", b"display\0\0" + b"no zlib"),
        with_chunk(b"zTXt", b"broken"),
        png(icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()),
        png() + b"appended" * 1000,
        animated(),
        interlaced(),
    ],
    ids=[
        "zTXt_2MB",
        "tEXt_2MB",
        "iTXt_80MB",
        "ICC_80MB",
        "ICC_broken",
        "zTXt_broken",
        "ICC",
        "appended",
        "APNG",
        "interlaced",
    ],
)
@pytest.mark.filterwarnings("error")
def test_pixels_are_read_whatever_lies_beside_them(content: bytes) -> None:
    """A workflow or a profile above 1 MiB, whole or broken, and further frames change no pixel."""
    assert image_files.header(content, Path("x.png"), "image") == (PIXELS.shape[:2], False, False)
    assert np.array_equal(image_files.rgb(image_files.decode(content, Path("x.png"), "image")), PIXELS)


@pytest.mark.filterwarnings("error")
def test_the_first_image_of_a_jpeg_with_several(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (16, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=frames[1:])
    assert image_files.header((tmp_path / "a.jpg").read_bytes(), tmp_path, "image") == ((8, 16), True, False)
    assert np.abs(image_files.read_image(tmp_path / "a.jpg").astype(int) - (254, 0, 0)).max() <= 1


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("transparency", [0, bytes(range(200))])
def test_see_through_palettes(transparency: object) -> None:
    """Alpha is left out, of palettes too; ids stay ids."""
    ids = np.arange(12, dtype=np.uint8).reshape(3, 4)
    image = Image.fromarray(ids)
    image.putpalette(bytes(range(36)))
    stream = io.BytesIO()
    image.save(stream, "PNG", transparency=transparency)
    content, where = stream.getvalue(), Path("x.png")
    colours = np.arange(36, dtype=np.uint8).reshape(12, 3)[ids]
    assert np.array_equal(image_files.rgb(image_files.decode(content, where, "image")), colours)
    assert np.array_equal(image_files.plain_ids(image_files.decode(content, where, "layout"), where), ids)


@pytest.mark.parametrize("depth", [2, 4])
def test_layouts_of_few_grey_bits_are_refused(depth: int) -> None:
    """Decoders stretch 2 and 4 bits to 8: id 1 of 2 bits would be read as 85."""
    head = struct.pack(">IIBBBBB", 4, 1, depth, 0, 0, 0, 0)
    row = b"\0" + (b"\x1b" if depth == 2 else b"\x01\x23")
    content = png()[:8] + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(row)) + chunk(b"IEND", b"")
    assert image_files.decode(content, Path("x.png"), "image").size == (4, 1)
    with pytest.raises(Unreadable, match=rf"x\.png \(its grey has {depth} bits, .*; save it as 8-bit class ids"):
        image_files.decode(content, Path("x.png"), "layout")


def saved(form: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(PIXELS).save(stream, form)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (saved("WEBP"), "WebP"),
        (saved("GIF"), "GIF"),
        (saved("BMP"), "BMP"),
        (saved("TIFF"), "TIFF"),
        (b"\0\0\0\x20ftypheic" + bytes(40), "HEIC or AVIF"),
        (saved("EPS"), "PostScript"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_formats_under_a_png_name_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, name: str
) -> None:
    """And PostScript starts no Ghostscript."""
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (tmp_path / "x.png").write_bytes(content)
    for read in (image_files.read_image, image_files.read_layout):
        with pytest.raises(Unreadable, match=rf"x\.png \(it is {name}, whatever its name\); save it as PNG"):
            read(tmp_path / "x.png")
    assert not (tmp_path / "started").exists()


def test_a_layout_in_jpeg_is_refused_under_any_name() -> None:
    """JPEG blurs ids; an image may be JPEG under the name of a PNG."""
    content = saved("JPEG")
    assert image_files.header(content, Path("x.png"), "image").jpeg
    for read in (image_files.header, image_files.decode):
        with pytest.raises(Unreadable, match=r"layout x\.png \(it is JPEG, which blurs ids\); save it as PNG"):
            read(content, Path("x.png"), "layout")


@pytest.mark.parametrize("content", [png()[:33] + png()[-12:], png()[:33], png()[:8], b"\xff\xd8\xff", b"\0"])
def test_images_without_pixels_are_refused(content: bytes) -> None:
    for read in (image_files.header, image_files.decode):
        with pytest.raises(Unreadable, match=r"x\.png \(.+\); replace the file"):
            read(content, Path("x.png"), "image")


def bomb_png() -> bytes:
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return png()[:8] + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def bomb_jpeg(side: int) -> bytes:
    content = bytearray(saved("JPEG"))
    place = content.index(b"\xff\xc0") + 5
    content[place : place + 4] = struct.pack(">HH", side, side)
    return bytes(content)


@pytest.mark.parametrize(
    "content", [bomb_png(), bomb_jpeg(65_500), bomb_jpeg(10_001)], ids=["png 3600 MP", "jpeg 4290 MP", "jpeg 100.02 MP"]
)
def test_too_many_pixels_are_refused_before_they_are_decoded(content: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for read in (image_files.header, image_files.decode):
            with pytest.raises(Unreadable, match=r"x\.png \(it has more than 100 million pixels\); make it smaller"):
                read(content, Path("x.png"), "image")


def test_a_file_above_the_bound_is_not_read(tmp_path: Path) -> None:
    with open(tmp_path / "x.png", "wb") as stream:
        stream.truncate((1 << 30) + 1)
    with pytest.raises(Unreadable, match=r"x\.png \(it has more than 1 GiB\); make it smaller"):
        image_files.read_image(tmp_path / "x.png")


# ------------------------------------------------------------------------------------------ what is counted and said


def test_other_formats_and_folders_below_are_counted(tmp_path: Path) -> None:
    for name in ("a.png", "b.webp", "c.WEBP", "d.tiff", "notes.txt", "more/e.png", "more/deep/f.JPG", ".git/g.png"):
        (tmp_path / "x" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "x" / name).write_bytes(png())
    at = tmp_path / "x"
    source = open_source(at, "image")
    assert source.ids == ("a",)
    assert source.left_out == (
        f"1 .tiff file in {at} was left out: only PNG and JPEG are read",
        f"2 .webp files in {at} were left out: only PNG and JPEG are read",
        f"2 images in folders below, such as {at}/more, were not read",
    )
    (at / "a.png").unlink()
    with pytest.raises(UserError, match=r"no PNG or JPEG images in .*x; give the folder .*2 \.webp .*such as .*x/more"):
        open_source(at, "image")
    (at / "h.jpg").write_bytes(png())
    with pytest.raises(UserError, match=r"no PNG layouts in .*1 \.jpg file .* left out: only PNG is read"):
        open_source(at, "layout")


@pytest.mark.usefixtures("oracle", "without_curve")
def test_what_is_left_out_is_said_and_recorded(cli: Cli, images: Path, toyland: Path) -> None:
    mine = images / "images"
    (mine / "extra.webp").write_bytes(saved("WEBP"))
    (mine / "below").mkdir()
    (mine / "below/x.png").write_bytes(png())
    result = cli("evaluate", "--images", mine, "--dataset", toyland, "--metrics", "fd", "--out", "run", "--json")
    assert result.code == 0, result.err
    for line in ("1 .webp file in", f"1 image in a folder below, {mine}/below, was not read"):
        assert line in result.err
        assert line in result.out


# ----------------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize("name", ["a.PNG", "a.JPG", "a.jpeg", "a.JPEG", "a.Png"])
def test_endings_in_any_case(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(png() if "n" in name.lower() else saved("JPEG"))
    assert open_source(tmp_path, "image").ids == ("a",)


def test_one_name_spelled_in_two_ways_is_one(tmp_path: Path) -> None:
    """A decomposed name (as macOS writes it) has the composed id; both side by side are two files of one name."""
    one, other = (unicodedata.normalize(form, "café") for form in ("NFD", "NFC"))
    (tmp_path / f"{one}.png").write_bytes(png())
    assert open_source(tmp_path, "image").ids == (other,)
    (tmp_path / f"{other}.png").write_bytes(png())
    with pytest.raises(UserError, match="share a name; rename or remove one"):
        open_source(tmp_path, "image")


@pytest.mark.parametrize("stem", ["x" * 250, "ß" * 125, "語" * 83])
def test_long_names_are_written_and_read(tmp_path: Path, stem: str) -> None:
    write_atomic(tmp_path / f"{stem}.png", lambda path: path.write_bytes(png()))
    assert os.listdir(tmp_path) == [f"{stem}.png"]
    assert open_source(tmp_path, "image").ids == (stem,)
