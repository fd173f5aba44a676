"""Text files as other systems write them: byte order marks, UTF-16, backslashes, blanks, NFD, other encodings."""

import contextlib
import json
import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gcbench.core.errors import UserError
from gcbench.core.files import read_text, write_text
from gcbench.core.settings import read_settings
from gcbench.data.camvid import CamVid
from gcbench.data.caption_lists import CaptionLists
from gcbench.data.celeba_tables import divide
from gcbench.data.finished_images import read_pairs
from gcbench.data.folder import Folder
from gcbench.data.prompts import read_prompts
from gcbench.runs.suite_plan import read as read_suite

TEXT = "a = 'café ₂'\n"
CODECS = ("utf-8", "utf-8-sig", "utf-16", "utf-32")  # those of 16 and 32 bits write their mark


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path)
    return path


@pytest.mark.parametrize("codec", CODECS)
def test_every_mark_is_read_and_left_out(tmp_path: Path, codec: str) -> None:
    file = tmp_path / "x.toml"
    file.write_bytes(TEXT.replace("\n", "\r\n").encode(codec))
    assert read_text(file) == TEXT
    assert read_settings(file) == {"a": "café ₂"}
    prompts = tmp_path / "p.jsonl"
    prompts.write_bytes('{"file_name": "a.png", "text": ["café"]}\r\n'.encode(codec))
    assert read_prompts(prompts)["a"].text == ("café",)
    (tmp_path / "train.txt").write_bytes("0\r\n".encode(codec))
    (tmp_path / "test.txt").write_bytes("images\\1.jpg\r\n".encode(codec))
    divided = divide(tmp_path, ["0", "1"], CaptionLists(tmp_path, "celeba"))
    assert (divided["train"], divided["test"]) == (["0"], ["1"])
    suite = tmp_path / "s.toml"
    suite.write_bytes("title = 1\r\n".encode(codec))
    with pytest.raises(UserError, match=r"suite .*s\.toml is none"):  # parsed, and no suite
        read_suite(suite)


def test_a_dataset_with_marks(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.png")
    (tmp_path / "layouts").mkdir()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "layouts" / "a.png")
    (tmp_path / "dataset.toml").write_bytes('name = "x"\nclasses = ["é", "b"]\n'.encode("utf-16"))
    (tmp_path / "prompts.jsonl").write_bytes(b'\xef\xbb\xbf{"file_name": "val\\\\images\\\\a.png", "text": "b"}\n')
    data = Folder(tmp_path)
    assert (data.classes, data.captions("val", 0)) == (("é", "b"), ("b",))


def test_what_is_no_text_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    file.write_bytes(b'{"file_name": "a.png", "text": "a"}\n{"file_name": "b.png", "text": "caf\xe9"}\n')
    with pytest.raises(UserError, match=r"p\.jsonl, line 2 is not UTF-8; save the file as UTF-8 text"):
        read_prompts(file)
    file.write_text('{"file_name": "a.png", "text": "a"}\n{"file_name": "b.png", "text": "\\ud83d"}\n')
    with pytest.raises(UserError, match=r"p\.jsonl, line 2: no JSON \(what it holds is no text"):
        read_prompts(file)
    for row in ("[" * 100_000, '{"file_name": "a.png", "text": "a", "group": ' + "1" * 5000 + "}"):
        file.write_text(row)
        with pytest.raises(UserError, match=r"p\.jsonl, line 1: no JSON"):
            read_prompts(file)


@pytest.mark.parametrize("forms", [("NFD", "NFC"), ("NFC", "NFD")])
def test_names_in_both_normal_forms_are_one(tmp_path: Path, forms: tuple[str, str]) -> None:
    listed, written = (unicodedata.normalize(form, "café") for form in forms)
    picture(tmp_path / "images" / f"{listed}.png")
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(picture(tmp_path / "layouts" / f"{written}.png"))
    line = json.dumps({"file_name": f"{written}.png", "text": ["a"]}, ensure_ascii=False)
    write_text(tmp_path / "prompts.jsonl", line + "\n")
    pairs = read_pairs(tmp_path / "images", tmp_path / "layouts", tmp_path / "prompts.jsonl")
    assert (pairs.ids, pairs.prompts) == (("café",), (("a",),))
    assert pairs.image(0).shape == (8, 8, 3)


@pytest.mark.skipif(os.name == "nt", reason="file names are UTF-16 there")
def test_a_name_that_is_not_utf_8(tmp_path: Path) -> None:
    path = picture(tmp_path / "images" / "a.png")
    try:
        path.rename(Path(os.fsdecode(os.fsencode(path.parent) + b"/caf\xe9.png")))
    except OSError:
        pytest.skip("this file system has UTF-8 names only")
    with pytest.raises(UserError, match=r"the file name caf\\udce9 is not UTF-8; rename the file"):
        read_pairs(tmp_path / "images")


@pytest.mark.parametrize(
    "line",
    [
        "/SegNet/CamVid/train/0001TP_1.png /SegNet/CamVid/trainannot/0001TP_1.png",
        r"C:\SegNet\CamVid\train\0001TP_1.png C:\SegNet\CamVid\trainannot\0001TP_1.png",
        "/my data/train/0001TP_1.png  /my data/trainannot/0001TP_1.png ",
        "/my data/train/0001TP_1.png\t/my data/trainannot/0001TP_1.png",
    ],
)
def test_lists_of_camvid(tmp_path: Path, line: str) -> None:
    picture(tmp_path / "train" / "0001TP_1.png")
    picture(tmp_path / "trainannot" / "0001TP_1.png")
    (tmp_path / "train.txt").write_bytes(f"{line}\r\n".encode("utf-8-sig"))
    assert len(CamVid(tmp_path).ids("train")) == 4  # its crops


@given(st.text(st.characters(exclude_categories=[])), st.binary())
def test_any_prompts_file_is_read_or_refused_in_one_sentence(tmp_path_factory, text: str, content: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "any.jsonl"
    rows = [json.dumps({"file_name": name, "text": [text]}) for name in ("a.png", text)]
    for written in (content, *(row.encode() for row in rows), text.encode("utf-8", "surrogatepass")):
        file.write_bytes(written)
        lines = {}
        with contextlib.suppress(UserError):
            lines = read_prompts(file)
        assert all(part.encode() for line in lines.values() for part in (line.file_name, *line.text))
