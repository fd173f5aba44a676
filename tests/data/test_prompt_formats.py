"""Texts of images as CSV, plain text and COCO's captions."""

import csv
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gcbench.core.errors import UserError
from gcbench.data.prompts import find_prompts, further_texts, read_prompts, read_texts, write_prompts

COCO = {
    "info": {"description": "COCO 2017 Dataset", "year": 2017},
    "images": [
        {"license": 4, "file_name": "000000397133.jpg", "height": 427, "width": 640, "id": 397133},
        {"license": 1, "file_name": "000000037777.jpg", "height": 230, "width": 352, "id": 37777},
        {"license": 1, "file_name": "000000000001.jpg", "height": 230, "width": 352, "id": 1},
    ],
    "licenses": [],
    "annotations": [
        {"image_id": 37777, "id": 90, "caption": "A small kitchen."},
        {"image_id": 397133, "id": 12, "caption": "A man at a stove."},
        {"image_id": 37777, "id": 89, "caption": "A room with a table, and a fridge."},
    ],
}
"""captions_val2017.json, cut."""


def texts(path: Path, ids: list[str] | None = None) -> dict[str, tuple[str, ...]]:
    return {name: line.text for name, line in read_prompts(path, ids).items()}


def test_coco(tmp_path: Path) -> None:
    path = tmp_path / "captions_val2017.json"
    path.write_text(json.dumps(COCO))
    assert texts(path) == {
        "000000397133": ("A man at a stove.",),
        "000000037777": ("A room with a table, and a fridge.", "A small kitchen."),  # in the order of their ids
    }


@pytest.mark.parametrize(
    ("header", "sign"), [("file_name,text,group", ","), ("Filename,PROMPT,group", ","), ("image,caption,group", ",")]
)
def test_csv(tmp_path: Path, header: str, sign: str) -> None:
    path = tmp_path / "p.csv"
    path.write_text(f'\ufeff{header}\na.png,"One, and ""two"".",x\n\na.png,Three.,\nb,"On two\nlines.",\n', "utf-8")
    lines = read_prompts(path)
    assert {name: line.text for name, line in lines.items()} == {
        "a": ('One, and "two".', "Three."),
        "b": ("On two\nlines.",),
    }
    assert [line.group for line in lines.values()] == ["x", None]


words = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12).filter(str.strip)


@given(rows=st.lists(st.lists(words, min_size=1, max_size=3), min_size=1, max_size=4))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_survives_as_in_json_lines(tmp_path: Path, rows: list[list[str]]) -> None:
    """What Python's own csv and json write is read as JSON lines are."""
    (tmp_path / "p.jsonl").write_text(
        "".join(json.dumps({"file_name": f"{i}", "text": row}) + "\n" for i, row in enumerate(rows)), "utf-8"
    )
    with (tmp_path / "p.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["file_name", "text"])
        writer.writerows([f"{i}", text] for i, row in enumerate(rows) for text in row)
    pairs = [(i, text) for i, row in enumerate(rows) for text in row]
    coco = {
        "images": [{"id": i, "file_name": f"{i}"} for i in range(len(rows))],
        "annotations": [{"id": n, "image_id": i, "caption": text} for n, (i, text) in enumerate(pairs)],
    }
    (tmp_path / "p.json").write_text(json.dumps(coco), "utf-8")
    assert texts(tmp_path / "p.csv") == texts(tmp_path / "p.json") == texts(tmp_path / "p.jsonl")


def test_plain_text(tmp_path: Path) -> None:
    path = tmp_path / "p.txt"
    path.write_bytes(b"A car.\r\nA bus.\r\n\r\n")
    assert texts(path, ["b", "c"]) == {"b": ("A car.",), "c": ("A bus.",)}
    assert read_texts(path) == [("A car.",), ("A bus.",)]
    with pytest.raises(UserError, match=r"p\.txt has 2 lines for 3 images; write one text a line"):
        texts(path, ["a", "b", "c"])
    with pytest.raises(UserError, match=r"p\.txt does not say which image a text is for; write JSON lines, or CSV"):
        texts(path)
    path.write_text("One.\n\nTwo.\n")
    with pytest.raises(UserError, match=r"p\.txt, line 2: text of b is no list of texts"):
        texts(path, ["a", "b", "c"])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.csv", "", "has no column file_name or filename or image or file in its first line"),
        ("p.csv", "a,b\n1,2\n", "has no column file_name"),
        ("p.csv", "image,file,text\n1,2,3\n", "has several columns"),
        ("p.csv", "image,title\n1,2\n", "has no column text or caption or prompt"),
        ("p.csv", "image,text\na.png,One, two.\n", "line 2: 3 cells where the header has 2; quote"),
        ("p.csv", 'image,text\na.png,"One\n', "no CSV"),
        ("p.csv", "image,text\n../a.png,One.\n", "line 2: file_name '../a.png' leads out"),
        ("p.csv", "image,text\na.png, \n", "line 2: text of a.png is no list of texts"),
        ("p.csv", "image,text\na.png," + "x" * 200_000, "no CSV"),
        ("p.json", "[]", "has no list 'images' of objects"),
        ("p.json", '{"file_name": "a", "text": "b"}\n{"file_name": "c", "text": "d"}\n', "JSON lines have the ending"),
        ("p.json", '{"images": [], "annotations": [3]}', "has no list 'annotations'"),
        ("p.json", '{"images": [{"file_name": "a"}], "annotations": []}', r"images\[0\] has no id"),
        ("p.json", '{"images": [], "annotations": [{"image_id": 3, "caption": "x"}]}', "belongs to none"),
        ("p.json", '{"images": [{"id": 3}], "annotations": [{"image_id": 3, "caption": "x"}]}', "file_name is missing"),
        (
            "p.json",
            '{"images": [{"id": 3, "file_name": "a"}], "annotations": [{"image_id": 3, "caption": 4}]}',
            "image 3: text of a is no list of texts",
        ),
    ],
)
def test_mistakes(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=message):
        read_prompts(tmp_path / name)


def test_find_and_count(tmp_path: Path) -> None:
    assert find_prompts(tmp_path, "val") is None
    (tmp_path / "val.csv").write_text("image,text\na,One.\na,Two.\nb,Three.\n")
    lines = read_prompts(tmp_path / "val.csv")
    assert further_texts(line.text for line in lines.values()) == "1 further text of 1 image: each has its first alone"
    assert further_texts([("One.",)]) == ""
    write_prompts(tmp_path / "val.jsonl", lines.values())
    assert find_prompts(tmp_path, "val") == tmp_path / "val.jsonl"
    assert texts(tmp_path / "val.jsonl") == texts(tmp_path / "val.csv")
