"""JSON lines of texts: `{"file_name": "STEM.png", "text": ["…", …]}`, one object an image.

`file_name` may be the image's id alone, without an ending: the way to name a row of an npz.
A line may also hold `"group"`, the name of what its image depends on (a video sequence).
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gcbench.core.errors import UserError
from gcbench.core.files import parse_json, read_text, write_text
from gcbench.data.pair_files import IMAGE_ENDINGS, image_id

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


def read_prompts(path: Path) -> dict[str, Line]:
    """The lines of a file by their image's id (`file_name` without its ending); lines of one image are joined.
    UserError: names the file and the first line that is not as it should be."""
    try:
        content = read_text(path, MOST)
    except OSError as error:
        raise UserError(f"cannot read the prompts {path} ({error}); give JSON lines in UTF-8") from error
    lines: dict[str, Line] = {}
    for number, row in enumerate(content.split("\n"), 1):
        if not row.strip():
            continue
        line = _parse(row, f"{path}, line {number}")
        name = Path(line.file_name.replace("\\", "/"))
        stem = image_id(name.stem if name.suffix.lower() in IMAGE_ENDINGS else name.name)
        if stem in lines:
            line = Line(line.file_name, lines[stem].text + line.text, lines[stem].group or line.group)
        lines[stem] = line
    return lines


def _parse(row: str, where: str) -> Line:
    form = '{"file_name": "STEM.png", "text": ["…"]}'
    try:
        value = parse_json(row)
        json.dumps(value, ensure_ascii=False).encode()  # an escaped half of a surrogate pair is no text
    except UnicodeEncodeError as error:
        raise UserError(f"{where}: no JSON (what it holds is no text); write {form}") from error
    except ValueError as error:
        raise UserError(f"{where}: no JSON ({error}); write {form}") from error
    if not isinstance(value, Mapping):
        raise UserError(f"{where}: no JSON object; write {form}")
    name, text, group = value.get("file_name"), value.get("text"), value.get("group")
    texts = [text] if isinstance(text, str) else text
    if not isinstance(name, str) or not name:
        raise UserError(f"{where}: file_name is missing; write {form}")
    if any(part == ".." for part in re.split(r"[/\\]", name)) or re.match(r"[/\\]|[A-Za-z]:", name):
        raise UserError(f"{where}: file_name {name!r} leads out of the folder; write {form}")
    if not isinstance(texts, list) or not texts or not all(isinstance(t, str) and t.strip() for t in texts):
        raise UserError(f"{where}: text of {name} is no list of texts; write {form}")
    for text in (name, *texts, group if isinstance(group, str) else ""):
        if len(text) > MOST_LETTERS:
            raise UserError(f"{where}: {text[:20]!r}… has more than {MOST_LETTERS} characters; shorten it")
    return Line(name, tuple(texts), group if isinstance(group, str) else None)


def write_prompts(path: Path, lines: Iterable[Line]) -> None:
    rows = [{"file_name": line.file_name, "text": list(line.text), "group": line.group} for line in lines]
    kept = [{key: value for key, value in row.items() if value is not None} for row in rows]
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept))
