"""Texts of images: JSON lines `{"file_name": "STEM.png", "text": ["…", …]}`, one object an image, and other forms.

`file_name` may be the image's id alone, without an ending: the way to name a row of an npz.
A line may also hold `"group"`, the name of what its image depends on (a video sequence). A file's ending says its form:
`.csv`, `.txt` and `.json` as in `prompt_formats`, else JSON lines.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gcbench.core.errors import UserError
from gcbench.core.files import parse_json, read_text, write_text
from gcbench.data.pair_files import IMAGE_ENDINGS, image_id
from gcbench.data.prompt_formats import FORMATS, Row

MOST = 1 << 30
"""Bytes of a file of prompts."""
MOST_LETTERS = 100_000
"""Of a text; the reader of `per_sample.csv` takes a few more."""


@dataclass(frozen=True)
class Line:
    """The texts of one image, and its group if it has one."""

    file_name: str
    text: tuple[str, ...]
    group: str | None = None


def read_prompts(path: Path, ids: Sequence[str] | None = None) -> dict[str, Line]:
    """The lines of a file by their image's id (`file_name` without its ending); lines of one image are joined.

    ids: the images in their order, for plain text.
    UserError: names the file and the first line that is not as it should be."""
    path = Path(path)
    try:
        content = read_text(path, MOST)
    except OSError as error:
        forms = "JSON lines, CSV, plain text or COCO's JSON"
        raise UserError(f"cannot read the prompts {path} ({error}); give {forms} in UTF-8") from error
    form = FORMATS.get(path.suffix.lower())
    lines: dict[str, Line] = {}
    for row in _json_rows(content, path) if form is None else form(content, path, ids):
        line = _checked(row)
        name = Path(line.file_name.replace("\\", "/"))
        stem = image_id(name.stem if name.suffix.lower() in IMAGE_ENDINGS else name.name)
        if stem in lines:
            line = Line(line.file_name, lines[stem].text + line.text, lines[stem].group or line.group)
        lines[stem] = line
    return lines


def read_texts(path: Path) -> list[tuple[str, ...]]:
    """The texts of a file, a tuple an image, in the file's order; of plain text, a tuple a line that is not empty."""
    if Path(path).suffix.lower() != ".txt":
        return [line.text for line in read_prompts(path).values()]
    try:
        rows = [row.strip() for row in read_text(path, MOST).split("\n")]
    except OSError as error:
        raise UserError(f"cannot read the prompts {path} ({error}); give one text a line in UTF-8") from error
    return [_checked(Row(f"{path}, line {i}", "line", row)).text for i, row in enumerate(rows, 1) if row]


FIRST, ALL = "first", "all"
"""Which texts of an image are taken."""


def check_texts(texts: str) -> None:
    """UserError: `texts` is no choice of them."""
    if texts not in (FIRST, ALL):
        raise UserError(f"--texts {texts!r}: choose {FIRST} or {ALL}")


def find_prompts(folder: Path, name: str) -> Path | None:
    """The file of texts called so in a folder, in the first of its forms that is there."""
    places = (folder / f"{name}{ending}" for ending in (".jsonl", ".csv", ".json"))
    return next((place for place in places if place.is_file()), None)


def further_texts(texts: Iterable[Sequence[str]]) -> str:
    """What is left out where each image has its first text only, as a clause; "" where each has just one."""
    counts = [len(of_image) - 1 for of_image in texts if len(of_image) > 1]
    if not counts:
        return ""
    images = f"{len(counts)} image{'s' * (len(counts) > 1)}"
    return f"{sum(counts)} further text{'s' * (sum(counts) > 1)} of {images}: each has its first alone"


FORM = '{"file_name": "STEM.png", "text": ["…"]}'


def _json_rows(content: str, path: Path) -> Iterator[Row]:
    for number, row in enumerate(content.split("\n"), 1):
        if not row.strip():
            continue
        where = f"{path}, line {number}"
        try:
            value = parse_json(row)
        except ValueError as error:
            raise UserError(f"{where}: no JSON ({error}); write {FORM}") from error
        if not isinstance(value, Mapping):
            raise UserError(f"{where}: no JSON object; write {FORM}")
        yield Row(where, value.get("file_name"), value.get("text"), value.get("group"))


def _checked(row: Row) -> Line:
    where, name, text, group = row
    texts = [text] if isinstance(text, str) else text
    try:
        json.dumps([name, texts, group], ensure_ascii=False).encode()  # half of a surrogate pair is no text
    except UnicodeEncodeError as error:
        raise UserError(f"{where}: no JSON (what it holds is no text); write {FORM}") from error
    if not isinstance(name, str) or not name:
        raise UserError(f"{where}: file_name is missing; write {FORM}")
    if any(part == ".." for part in re.split(r"[/\\]", name)) or re.match(r"[/\\]|[A-Za-z]:", name):
        raise UserError(f"{where}: file_name {name!r} leads out of the folder; write {FORM}")
    if not isinstance(texts, list) or not texts or not all(isinstance(t, str) and t.strip() for t in texts):
        raise UserError(f"{where}: text of {name} is no list of texts; write {FORM}")
    for value in (name, *texts, group if isinstance(group, str) else ""):
        if len(value) > MOST_LETTERS:
            raise UserError(f"{where}: {value[:20]!r}… has more than {MOST_LETTERS} characters; shorten it")
    return Line(name, tuple(texts), group if isinstance(group, str) else None)


def write_prompts(path: Path, lines: Iterable[Line]) -> None:
    rows = [{"file_name": line.file_name, "text": list(line.text), "group": line.group} for line in lines]
    kept = [{key: value for key, value in row.items() if value is not None} for row in rows]
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept))
