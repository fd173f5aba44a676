"""Texts of images in the forms that others write: CSV, plain text, COCO's captions. Each gives rows, not yet checked.

Knows no images and no JSON lines; `prompts` does, and checks what stands in a row.
"""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gcbench.core.errors import UserError
from gcbench.core.files import parse_json

NAMES = ("file_name", "filename", "image", "file")
TEXTS = ("text", "caption", "prompt")
"""What a CSV's columns of images and texts may be called, in any case; a column `group` is read too."""


class Row(NamedTuple):
    """where: what messages call it. The rest may be anything at all."""

    where: str
    file_name: Any
    text: Any
    group: Any = None


def csv_rows(content: str, path: Path) -> Iterator[Row]:
    """The rows of a CSV with a header that names a column of images and one of texts. UserError: it does not."""
    reader = csv.reader(io.StringIO(content, newline=""), strict=True)
    try:
        header = [cell.strip().lower() for cell in next(reader, [])]
        name, text = (_column(header, known, path) for known in (NAMES, TEXTS))
        group = header.index("group") if "group" in header else None
        for row in reader:
            where = f"{path}, line {reader.line_num}"
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(header):
                raise UserError(
                    f"{where}: {len(row)} cells where the header has {len(header)}; quote texts with commas"
                )
            yield Row(where, row[name], row[text], (row[group] or None) if group is not None else None)
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: no CSV ({error}); correct it") from error


def _column(header: Sequence[str], known: Sequence[str], path: Path) -> int:
    places = [i for i, cell in enumerate(header) if cell in known]
    if len(places) != 1:
        fault = "has no column" if not places else "has several columns"
        raise UserError(f"{path} {fault} {' or '.join(known)} in its first line; write 'file_name,text' there")
    return places[0]


def text_rows(content: str, path: Path, ids: Sequence[str] | None) -> Iterator[Row]:
    """A text a line, in the order of the images `ids`. UserError: there are none, or their number differs."""
    lines = [line.strip() for line in content.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    if ids is None:
        raise UserError(f"{path} does not say which image a text is for; write JSON lines, or CSV with file_name,text")
    if len(lines) != len(ids):
        raise UserError(f"{path} has {len(lines)} lines for {len(ids)} images; write one text a line, in their order")
    return (Row(f"{path}, line {i}", name, line) for i, (name, line) in enumerate(zip(ids, lines, strict=True), 1))


def coco_rows(content: str, path: Path) -> Iterator[Row]:
    """The captions of COCO's JSON, `{"images": [{"id", "file_name"}], "annotations": [{"image_id", "caption"}]}`, by
    image in the file's order, then in that of the captions' ids. UserError: it is none."""
    try:
        value = parse_json(content)
    except ValueError as error:
        raise UserError(f"{path}: no JSON ({error}); JSON lines have the ending .jsonl") from error
    images, captions = (_objects(value, key, path) for key in ("images", "annotations"))
    names: dict[Any, Any] = {}
    for place, image in enumerate(images):
        names[_key(image, "id", f"{path}, images[{place}]")] = image.get("file_name")
    texts: dict[Any, list[Any]] = {key: [] for key in names}
    for place, caption in enumerate(sorted(captions, key=_order)):
        key = _key(caption, "image_id", f"{path}, annotations[{place}]")
        if key not in texts:
            raise UserError(f"{path}: the annotation of image {key!r} belongs to none of its images; correct it")
        texts[key].append(caption.get("caption"))
    return (Row(f"{path}, image {key}", names[key], text) for key, text in texts.items() if text)


def _order(caption: Mapping[str, Any]) -> int:
    key = caption.get("id")
    return key if isinstance(key, int) else 0


def _objects(value: Any, key: str, path: Path) -> list[Mapping[str, Any]]:
    objects = value.get(key) if isinstance(value, Mapping) else None
    if not isinstance(objects, list) or not all(isinstance(item, Mapping) for item in objects):
        raise UserError(f"{path} has no list {key!r} of objects; COCO's captions have images and annotations")
    return objects


def _key(item: Mapping[str, Any], field: str, where: str) -> int | str:
    key = item.get(field)
    if not isinstance(key, int | str) or isinstance(key, bool):
        raise UserError(f"{where} has no {field}; COCO's captions have one")
    return key


Read = Callable[[str, Path, Sequence[str] | None], Iterator[Row]]

FORMATS: Mapping[str, Read] = {
    ".csv": lambda content, path, ids: csv_rows(content, path),
    ".txt": text_rows,
    ".json": lambda content, path, ids: coco_rows(content, path),
}
"""Ending -> how the rows are read; all others are JSON lines."""
