"""Archives are bounded by their directories before anything is unpacked, and no damage is more than a refusal."""

import io
import tracemalloc
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gcbench.core.errors import UserError
from gcbench.data.image_sources import open_source


def png(side: int = 4) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (side, side), "red").save(out, "PNG")
    return out.getvalue()


def zipped(path: Path, names: Sequence[str], content: bytes | None = None, **how: Any) -> Path:
    with zipfile.ZipFile(path, "w", **how) as archive:
        for name in names:
            archive.writestr(name, png() if content is None else content)
    return path


@pytest.mark.parametrize(
    "name", ["../a.png", "images/../../a.png", "/a.png", "..\\a.png", "C:\\a.png", "\\\\host\\a.png", "a\x1b[2J.png"]
)
def test_a_member_that_leads_out_of_its_zip(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"a\.zip is not unpacked: the name .* leads out of it or holds") as raised:
        open_source(zipped(tmp_path / "a.zip", ["b.png", name]), "image")
    assert str(raised.value).isprintable()


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_that_could_unpack_to_anything(tmp_path: Path, method: int) -> None:
    path = zipped(tmp_path / "a.zip", ["a.png"], bytes(1 << 20), compression=method)
    with pytest.raises(UserError, match="neither stored nor deflated"):
        open_source(path, "image")


def with_sizes(path: Path, packed: int | None, unpacked: int | None) -> Path:
    """A zip whose directory says other sizes of its first member than are true."""
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\x01\x02")
    for offset, value in ((20, packed), (24, unpacked)):
        if value is not None:
            content[at + offset : at + offset + 4] = value.to_bytes(4, "little")
    path.write_bytes(content)
    return path


def test_a_directory_that_lies(tmp_path: Path) -> None:
    """More than deflate can make, more than an image has, members that share their bytes, and less than there is."""
    deflated = {"compression": zipfile.ZIP_DEFLATED}
    path = with_sizes(zipped(tmp_path / "a.zip", ["a.png"], **deflated), None, 1 << 31)
    with pytest.raises(UserError, match=r"a\.png would unpack to 2147483648 bytes"):
        open_source(path, "image")
    path = with_sizes(zipped(tmp_path / "b.zip", ["a.png"]), 1 << 27, 1 << 27)
    with pytest.raises(UserError, match="members overlap"):
        open_source(path, "image")
    path = with_sizes(zipped(tmp_path / "c.zip", ["a.png"], bytes(1 << 24), **deflated), None, 100)
    source = open_source(path, "image")
    tracemalloc.start()
    with pytest.raises(UserError):  # no more than the directory says is read, and that is no image
        source.look("a")
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


@settings(max_examples=60)
@given(data=st.data())
def test_no_damage_to_a_zip_or_npz_is_more_than_a_refusal(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    if data.draw(st.booleans()):
        path = zipped(folder / "a.zip", ["a.png", "images/b.png"], compression=zipfile.ZIP_DEFLATED)
    else:
        path = folder / "a.npz"
        np.savez(path, np.zeros((2, 4, 4, 3), np.uint8))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=6))
    path.write_bytes(content)
    try:
        source = open_source(path, "image")
        for name in source.ids:
            source.look(name)
            source.image(name)
    except UserError:
        pass
