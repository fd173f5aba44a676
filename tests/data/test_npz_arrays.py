"""Arrays of an npz, row by row: the same as numpy gives, in little memory, and nothing unpickled."""

import pickle
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from gcbench.core.errors import UserError
from gcbench.data.npz_arrays import Array, array_names, class_ids

WANTED = "images as uint8 [N,H,W,3] of 0 to 255"


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_rows_are_those_of_numpy(tmp_path: Path, rng: np.random.Generator, save) -> None:
    images, labels = rng.integers(0, 256, (7, 5, 4, 3), np.uint8), rng.integers(-1, 300, (7, 5, 4))
    save(tmp_path / "a.npz", images, labels, uncertainty=rng.random(7))
    assert array_names(tmp_path / "a.npz") == ["arr_0", "arr_1", "uncertainty"]
    for name, values in (("arr_0", images), ("arr_1", labels)):
        array = Array(tmp_path / "a.npz", name)
        assert (array.shape, array.dtype) == (values.shape, values.dtype)
        for row in (0, 1, 2, 3, 4, 5, 6, 6, 2, 5, 0):  # also backwards
            assert np.array_equal(array.row(row), values[row])


def test_one_row_is_in_memory(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", np.zeros((64, 512, 256, 3), np.uint8))  # 24 MiB
    tracemalloc.start()
    array = Array(tmp_path / "a.npz", "arr_0")
    total = sum(int(array.row(i).sum()) for i in range(64))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total == 0
    assert peak < 3 * 2**20


@pytest.mark.parametrize("damage", ["flipped", "cut"])
def test_a_damaged_file_is_named(tmp_path: Path, rng: np.random.Generator, damage: str) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, rng.integers(0, 256, (7, 50, 40, 3), np.uint8))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content if damage == "flipped" else content[: len(content) // 2])
    with pytest.raises(UserError, match=r"cannot read (arr_0 in )?.*a\.npz \(.*\); make or copy the file again"):
        [Array(path, "arr_0").row(i) for i in range(7)]


def test_a_header_that_promises_more(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive, archive.open("arr_0.npy", "w") as stream:
        header = {"descr": "|u1", "fortran_order": False, "shape": (4, 2, 2, 3)}
        np.lib.format.write_array_header_1_0(stream, header)
        stream.write(bytes(13))
    with pytest.raises(UserError, match=r"arr_0 in .* \(its header says uint8 \(4, 2, 2, 3\), which is not what"):
        Array(tmp_path / "a.npz", "arr_0")


class Malicious:
    """Unpickled, it leaves a file behind."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    np.savez(tmp_path / "a.npz", np.array([Malicious(trap), None], object))
    array = Array(tmp_path / "a.npz", "arr_0")
    assert not array.holds_label_maps
    with pytest.raises(UserError, match=r"arr_0 is object of shape \(2,\); save images"):
        array.expect_rgb(WANTED)
    assert not trap.exists()
    pickle.loads(pickle.dumps(Malicious(trap)))
    assert trap.exists()  # the trap works


def test_what_is_no_image_is_described(tmp_path: Path, rng: np.random.Generator) -> None:
    """Its dtype, its shape and the range of its values: enough to see the mistake."""
    real = rng.uniform(-1, 1, (3, 200, 300, 3)).astype(np.float32)
    real[0, 0, 0] = (-1, 0.75, np.nan)
    real = np.minimum(real, 0.75)
    first = rng.integers(0, 200, (3, 3, 8, 9), np.uint8)
    first[1, 2, 3, :2] = 0, 201
    cases = {
        "real": (real, r"float32 of shape \(3, 200, 300, 3\) with values from -1\.0 to 0\.75;"),
        "first": (first, r"uint8 of shape \(3, 3, 8, 9\) with values from 0 to 201;"),
        "wide": (np.full((2, 4, 4, 3), 300), r"int64 .* with values from 300 to 300;"),
        "grey": (np.zeros((2, 4, 4), np.uint8), r"uint8 of shape \(2, 4, 4\) with values from 0 to 0;"),
        "none": (np.zeros((0, 4, 4, 3), np.uint8), r"uint8 of shape \(0, 4, 4, 3\);"),
        "flat": (np.zeros((2, 0, 4, 3), np.uint8), r"uint8 of shape \(2, 0, 4, 3\);"),
        "text": (np.array(["a", "b"]), r"<U1 of shape \(2,\);"),
        "fortran": (
            np.asfortranarray(np.ones((2, 4, 4, 3), np.uint8)),
            r"uint8 .*, in Fortran order with values from 1 to 1;",
        ),
    }
    np.savez(tmp_path / "a.npz", **{name: array for name, (array, _) in cases.items()})
    for name, (_, message) in cases.items():
        with pytest.raises(UserError, match=rf"a\.npz: {name} is {message}.* save images as uint8 \[N,H,W,3\]"):
            Array(tmp_path / "a.npz", name).expect_rgb(WANTED)


def test_class_ids() -> None:
    for dtype in (np.uint8, np.int32, np.int64, bool):
        assert class_ids(np.array([[0, 1]], dtype), Path("x")).tolist() == [[0, 1]]
    signed = class_ids(np.array([[-1, 33]], np.int8), Path("x"))
    assert (signed.tolist(), signed.dtype) == ([[255, 33]], np.uint8)
    with pytest.raises(UserError, match="the layout x holds values from -2 to 7; save class ids"):
        class_ids(np.array([[-2, 7]]), Path("x"))
    with pytest.raises(UserError, match="from 0 to 256"):
        class_ids(np.array([[0, 256]]), Path("x"))


def write_npy(path: Path, header: bytes, content: bytes = bytes(48), version: tuple[int, int] = (1, 0)) -> None:
    """An npz whose array says `header` of itself."""
    length = len(header).to_bytes(2 if version == (1, 0) else 4, "little")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("arr_0.npy", b"\x93NUMPY" + bytes(version) + length + header + content)


def said(shape: str, descr: str = "'|u1'", order: str = "False") -> bytes:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}}}\n".encode()


@pytest.mark.parametrize(
    "header",
    [
        said("(1000000000, 1024, 1024, 3)"),
        said("(-1, 4, 4, 3)"),
        said("(4, -4, -1, 3)"),
        said("(2**9,)"),
        said(f"({10**400},)"),
        said("(0, 1000000, 1000000, 1000000)"),
        said("(1,)", "'|V999999999999'"),
        said("(1,)", "'nonsense'"),
        said("(1,)", "[[[]]]"),
        said("(1,)", order="'maybe'"),
        b"{" * 9000 + b"\n",
        b"[" * 200 + b"\n",
        b"{[]: 1}\n",
        b"__import__('os')\n",
        b" " * 60_000 + said("(1, 4, 4, 3)"),
        b"",
    ],
)
@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0), (9, 9)])
def test_a_header_that_lies_is_refused_before_anything_is_allocated(
    tmp_path: Path, header: bytes, version: tuple[int, int]
) -> None:
    write_npy(tmp_path / "a.npz", header, version=version)
    tracemalloc.start()
    with pytest.raises(UserError, match=r"cannot read arr_0 in .*a\.npz \(.*\); make or copy the file again"):
        Array(tmp_path / "a.npz", "arr_0")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**25


@pytest.mark.parametrize("descr", ["'|O'", "'<f8'", "[('a', '|u1'), ('b', '|O')]", "'|S16'", "'<U4'", "'<M8[s]'"])
@pytest.mark.parametrize("order", ["False", "True"])
def test_an_array_of_another_kind_is_no_image(tmp_path: Path, descr: str, order: str) -> None:
    write_npy(tmp_path / "a.npz", said("(1, 1, 1, 3)", descr, order))
    with pytest.raises(UserError, match="save images"):
        Array(tmp_path / "a.npz", "arr_0").expect_rgb(WANTED)
