"""Files of others are read with care, files of ours are written atomically; hashes."""

import errno
import hashlib
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcbench.core import files
from gcbench.core.errors import UserError
from gcbench.core.files import (
    MOST_TEXT,
    file_hash,
    parse_json,
    read_bytes,
    read_text,
    read_toml,
    text_hash,
    write_atomic,
    write_text,
)


def test_writes_into_new_directories(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b.txt", "Straße\n")
    assert (tmp_path / "a" / "b.txt").read_bytes() == "Straße\n".encode()
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


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_mode_is_that_of_any_new_file(tmp_path: Path, mask: int, mode: int) -> None:
    before = os.umask(mask)
    try:
        write_text(tmp_path / "a.txt", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == mode


def test_a_temporary_is_hidden_and_of_no_ending_that_a_search_asks_for(tmp_path: Path) -> None:
    seen: list[Path] = []
    write_atomic(tmp_path / "a.png", lambda temporary: seen.append(temporary))
    write_atomic(tmp_path / ("ß" * 127), lambda temporary: seen.append(temporary))  # 254 bytes, as long as names get
    assert [(file.parent, file.name[0], file.suffix) for file in seen] == [(tmp_path, ".", ".tmp")] * 2


def test_a_symbolic_link_stays_one_and_a_device_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "file")
    write_text(tmp_path / "link", "x")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "disk" / "file").read_text() == "x"
    (tmp_path / "null").symlink_to(os.devnull)
    write_text(tmp_path / "null", "x")
    assert Path(os.devnull).is_char_device()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["disk", "link", "null"]


WRITES = """
import sys, time
from pathlib import Path
from gcbench.core.files import write_atomic
def write(temporary):
    temporary.write_text("half")
    print(temporary.name, flush=True)
    if sys.stdin.readline():  # else: killed
        temporary.write_text("whole " + sys.argv[2])
write_atomic(Path(sys.argv[1]), write)
"""


def test_killed_writers_leave_nothing_and_living_ones_are_let_be(tmp_path: Path) -> None:
    """Of three that write one file at once two are killed: a fourth takes over what they left, not the third's."""
    path = tmp_path / "a.safetensors"
    write_text(path, "old")

    def start(name: str) -> tuple[subprocess.Popen[str], str]:
        command = [sys.executable, "-c", WRITES, str(path), name]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        return process, process.stdout.readline().strip()

    (one, first), (two, second), (three, third) = start("1"), start("2"), start("3")
    assert len({first, second, third}) == 3
    for process in (one, three):
        process.kill()
        process.wait()
    assert path.read_text() == "old"
    assert not list(tmp_path.glob("*.safetensors"))[1:]
    write_text(path, "fourth")
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([path.name, second])
    two.communicate("go\n")
    assert two.returncode == 0
    assert path.read_text() == "whole 2"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_where_files_cannot_be_locked_each_writer_has_a_name_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*_: int) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(files.fcntl, "flock", flock)
    seen: list[Path] = []

    def nested(temporary: Path) -> None:
        seen.append(temporary)
        if len(seen) == 1:
            write_atomic(tmp_path / "a", nested)
        temporary.write_text(str(len(seen)))

    write_atomic(tmp_path / "a", nested)
    assert seen[0] != seen[1]
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_threads_that_write_one_file_all_succeed(tmp_path: Path) -> None:
    texts = [str(i) * 5000 for i in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda text: write_text(tmp_path / "a", text), texts))
    assert (tmp_path / "a").read_text() in texts
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


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


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("NaN", "NaN is no finite number"),
        ('{"a": -Infinity}', "-Infinity is no finite"),
        ("[1e999]", "1e999 is no finite"),
        ("9" * 5000, "5000 digits"),
        ('{"a": {"b": 1, "b": 2}}', "'b' stands there twice"),
        (nested(200_000), "nested too deeply"),
        ("[1,", "line 1"),
    ],
)
def test_json_that_is_none(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)) as raised:
        parse_json(text)
    assert len(str(raised.value)) < 100


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_json_is_what_was_written(value: object) -> None:
    assert parse_json(json.dumps(value)) == value


@pytest.mark.parametrize(
    ("text", "why"),
    [("a = " + "9" * 5000, "digits"), ("a = " + nested(200_000), "nested"), ("a = 1\na = 2", "overwrite")],
)
def test_toml_that_is_none(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(ValueError, match=why):
        read_toml(tmp_path / "a.toml")


def test_what_is_no_file_is_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, kind in ((tmp_path / "pipe", "a pipe"), (Path("/dev/zero"), "a device"), (tmp_path, "a folder")):
        with pytest.raises(OSError, match=kind):
            read_bytes(path)
    with pytest.raises(OSError, match="null"):
        read_bytes(Path("a\0b"))


def test_a_file_is_bounded_before_it_is_read(tmp_path: Path) -> None:
    with open(tmp_path / "a", "wb") as stream:
        stream.truncate(3 << 30)  # a hole, no bytes on the disk
    with pytest.raises(OSError, match=f"it has {3 << 30} bytes, more than the {MOST_TEXT}"):
        read_text(tmp_path / "a")
