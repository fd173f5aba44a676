"""Atomic writes and hashes."""

import errno
import hashlib
from pathlib import Path

import pytest

from gcbench.core.errors import UserError
from gcbench.core.files import file_hash, text_hash, write_atomic, write_text


def test_writes_into_new_directories(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b.txt", "Straße\n")
    assert (tmp_path / "a" / "b.txt").read_bytes() == "Straße\n".encode()
    assert (tmp_path / "a" / "b.txt").stat().st_mode & 0o777 == 0o644
    write_text(tmp_path / "a" / "b.txt", "new")
    assert (tmp_path / "a" / "b.txt").read_text() == "new"


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left")])
def test_a_failing_writer_leaves_the_old_content(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def writer(temporary: Path) -> None:
        temporary.write_text("half of the n")
        raise error

    with pytest.raises(UserError if isinstance(error, OSError) else type(error)):
        write_atomic(path, writer)
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]


def test_the_writer_sees_a_file_of_the_same_ending_in_the_same_place(tmp_path: Path) -> None:
    seen: list[Path] = []
    write_atomic(tmp_path / "a.png", lambda temporary: seen.append(temporary))
    assert seen[0].parent == tmp_path
    assert seen[0].suffix == ".png"
    assert seen[0].name.startswith(".")


def test_full_disk_and_impossible_places_are_the_users_to_mend(tmp_path: Path) -> None:
    def full(temporary: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(UserError, match=r"cannot write .*a\.txt: No space left on device"):
        write_atomic(tmp_path / "a.txt", full)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--out"):
        write_text(tmp_path / "file" / "below.txt", "x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="--out"):
        write_text(tmp_path / "folder", "x")


def test_hashes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert file_hash(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()[:12]
    assert len(file_hash(tmp_path / "a", 20)) == 20
    assert text_hash("ab", "c") != text_hash("a", "bc") != text_hash("abc")
    assert text_hash("ab", "c") == text_hash("ab", "c")
