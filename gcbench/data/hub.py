"""A dataset of the Hugging Face hub, or local data of the same kind, with its columns of images, layouts and texts.

    hf:OWNER/NAME[@REVISION][,KEY=VALUE…]      image=, layout=, text=, group=, classes=: columns; subset=; rows=N
    hf:./FOLDER, hf:./FILE.parquet             local

A `dataset.toml` in a local folder, or one elsewhere that names its `source`, may say the same, and all that it says for
a folder of images. Columns that nobody names are found (`hub_columns`). Class names are those of `dataset.toml`, else
of the library's ClassLabel in the column `classes` or in the layouts.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from gcbench.core.contracts import Dataset, Size
from gcbench.core.errors import UserError
from gcbench.core.files import read_toml, text_hash
from gcbench.core.names import check_names
from gcbench.core.run_spec import parse_size
from gcbench.data import image_files
from gcbench.data.dataset_toml import CONFIG, Config, aliases_of, palette_of, read_config, void_of
from gcbench.data.folder import split_order
from gcbench.data.hub_columns import class_names, find_columns
from gcbench.data.hub_tables import PREFIX, Source, Table, parse_source
from gcbench.data.pair_files import check_split, generator
from gcbench.data.unreadable_files import Kind, Unreadable
from gcbench.text.captions import PLAIN, build_caption, present


class HubConfig(BaseModel):
    """What a `dataset.toml` may say of a hub dataset: the keys of `dataset_toml.Config`, none of which must be there.

    source: `hf:OWNER/NAME[@REVISION]`, if it is not the folder itself. columns: what for (`hub_columns.COLUMNS`) -> the
    column. subset, rows: as in `hub_tables.Source`. splits: those to use, the one to train on first.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    source: str | None = None
    columns: dict[str, str] = Field(default_factory=dict)
    subset: str | None = None
    rows: int | None = Field(default=None, ge=1)
    name: str | None = Field(default=None, min_length=1)
    classes: list[str] | None = Field(default=None, min_length=2, max_length=255)
    palette: list[list[int]] | None = None
    splits: list[str] | None = Field(default=None, min_length=1)
    size: list[int] | None = None
    void: str | int | None = None
    aliases: dict[str, list[str]] = Field(default_factory=dict)


class Hub(Dataset):
    """The dataset that `argument` names; `config` and `where`, its file, say more of it. A row is its own group,
    unless a column says which."""

    resize = image_files.RESIZE

    def __init__(self, argument: str, source: Source, config: HubConfig, where: object):
        self.given, self.config, self.where = argument, config, where
        self.table = table = Table(source)
        self.columns = find_columns(table, config.columns, where)
        self.has_layouts, self.has_texts = "layout" in self.columns, bool({"text", "layout"} & self.columns.keys())
        self.name = config.name or source.word
        names = config.classes or class_names(table, self.columns)
        if self.has_layouts and not names:
            raise UserError(
                f"{where}: nothing names the classes of the layouts; write classes = […] into a {CONFIG}, or name the"
                " column of a ClassLabel, classes=COLUMN"
            )
        self._name_classes(names or [])
        self.splits = tuple(config.splits or sorted(table.splits, key=split_order))
        for split in self.splits:
            if split not in table.splits:
                raise UserError(f"{where}: there is no split {split!r}; the splits are {', '.join(table.splits)}")
        check_names(where, self.name, self.splits, self.classes)
        self.size = self._size()

    @classmethod
    def open(cls) -> "Hub":
        raise UserError("a hub dataset is none by name; write --dataset hf:OWNER/NAME")

    @property
    def argument(self) -> str:
        return self.given

    @property
    def version(self) -> str:
        """The place and its commit, or the hash of local data, with a hash of all else that says what a pair is."""
        source = self.table.source
        how = text_hash(self.config.model_dump_json(), *(f"{use} {name}" for use, name in sorted(self.columns.items())))
        part = f", first {source.rows} rows" if source.rows is not None else ""
        subset = f"/{source.subset}" if source.subset else ""
        return f"{'' if source.local else source.place}{subset}@{self.table.revision}{part} {how}"

    def ids(self, split: str) -> Sequence[str]:
        return [f"{i:06d}" for i in range(len(self._rows(split)))]

    def groups(self, split: str) -> Sequence[str]:
        column, ids = self.columns.get("group"), self.ids(split)
        if column is None:
            return ids
        named = (row[column] for row in self._rows(split))
        return [own if name is None or name != name else str(name) for own, name in zip(ids, named, strict=True)]

    def pair(self, split: str, index: int, size: Size) -> tuple[np.ndarray, np.ndarray]:
        if not self.has_layouts:
            raise UserError(f"{self.where} has no layouts; name their column, layout=COLUMN, or use what needs none")
        image, layout = self._image(split, index), self._layout(split, index)
        image_files.check_sizes(image, layout, self._place(split, index, "image"), self._place(split, index, "layout"))
        return image_files.resize_pair(image, layout, size, nearest=self.resize == image_files.NEAREST)

    def image(self, split: str, index: int, size: Size) -> np.ndarray:
        return (
            self.pair(split, index, size)[0]
            if self.has_layouts
            else image_files.resize_image(self._image(split, index), size)
        )

    def captions(self, split: str, index: int) -> Sequence[str]:
        column = self.columns.get("text")
        if column is None:
            if not self.has_layouts:
                return ("",)
            names = present(self._layout(split, index), self.classes, self.void)
            return (build_caption(names, generator(f"{index:06d}"), PLAIN),)
        value = self._rows(split)[index][column]
        texts = [value] if isinstance(value, str) else list(value or ())
        if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
            raise UserError(
                f"{self._place(split, index, 'text')} holds no text; take the row out, or name another column"
            )
        return tuple(texts)

    def resize_by_nearest(self) -> None:
        self.resize = image_files.NEAREST

    # --------------------------------------------------------------------------------------------- what it is made of

    def _name_classes(self, names: list[str]) -> None:
        config = self.config
        if not names:
            self.classes, self.palette, self.void, self.aliases = (), (), None, {}
            return
        if not 2 <= len(names) <= 255:
            raise UserError(f"{self.where} has {len(names)} classes; there must be 2 to 255")
        fields = config.model_dump(include={"palette", "void", "aliases"})
        whole = Config(name=self.name, classes=names, **fields)
        self.classes = tuple(names)
        self.void = void_of(whole, self.where)
        self.palette = palette_of(whole, self.where)
        self.aliases = aliases_of(whole, self.void, self.where)

    def _size(self) -> Size:
        size = self.config.size
        if size is not None:
            if len(size) != 2 or min(size) < 1:
                raise UserError(f"{self.where}: size must be [H, W] in pixels")
            return parse_size(size) or (1, 1)
        for split in reversed(self.splits):
            if len(self._rows(split)):
                height, width = self._image(split, 0).shape[:2]
                return height, width
        raise UserError(f"{self.where} has no rows; give some")

    # ------------------------------------------------------------------------------------------------------- the rows

    def _rows(self, split: str) -> Sequence[Mapping[str, Any]]:
        check_split(self, split)
        used = [column for use, column in self.columns.items() if use != "classes"]
        return self.table.rows(split, list(dict.fromkeys(used)))

    def _place(self, split: str, index: int, use: str) -> Path:
        """What messages call a cell."""
        return Path(f"{self.where}, {split}, row {index}, {self.columns[use]}")

    def _image(self, split: str, index: int) -> np.ndarray:
        place = self._place(split, index, "image")
        content = self._content(self._rows(split)[index][self.columns["image"]], place, "image")
        return image_files.rgb(image_files.decode(content, place, "image"))

    def _layout(self, split: str, index: int) -> np.ndarray:
        place = self._place(split, index, "layout")
        value = self._rows(split)[index][self.columns["layout"]]
        if isinstance(value, list):
            ids = _array(value, place)
        else:
            content = self._content(value, place, "layout")
            ids = image_files.plain_ids(image_files.decode(content, place, "layout"), place)
        return image_files.check_layout(ids, place, len(self.classes), self.void)

    def _content(self, value: Any, place: Path, kind: Kind) -> bytes:
        """The bytes of an image, in the row or in a file of the dataset's own."""
        if isinstance(value, Mapping):
            content, path = value.get("bytes"), value.get("path")
            if content is None and path:
                file = Path(path)
                if not any(file.resolve().is_relative_to(root) for root in self.table.roots):
                    raise Unreadable(
                        kind, place, f"it names the file {path}, outside of the dataset", "put it in the row"
                    )
                return image_files.read_file(file, kind)
            value = content
        if not isinstance(value, bytes):
            raise Unreadable(kind, place, "it is empty")
        if len(value) > image_files.MOST_BYTES:
            raise Unreadable(kind, place, f"it has more than {image_files.MOST_BYTES >> 30} GiB", "make it smaller")
        return value


def open_hub(argument: str) -> Hub:
    """The dataset of `hf:…`, with the `dataset.toml` of a local folder. UserError: one sentence, whatever is wrong."""
    source, columns = parse_source(argument)
    where = source.path / CONFIG if source.local and source.path.is_dir() else None
    config = read_config(where, HubConfig) if where is not None and where.is_file() else HubConfig()
    if config.source is not None:
        raise UserError(f"{where} names a source of its own; give its folder as --dataset {source.place}")
    return _opened(argument, source, config, columns)


def open_described(folder: Path) -> Hub | None:
    """The dataset whose `source` the `dataset.toml` in `folder` names; None if it names none."""
    where = folder / CONFIG
    if "source" not in _keys(where):
        return None
    config = read_config(where, HubConfig)
    text = config.source or ""
    if not text.startswith(PREFIX):
        raise UserError(f"{where}: source = {text!r} is none; write hf:OWNER/NAME")
    source, columns = parse_source(text)
    if source.local and not source.path.is_absolute() and not source.place.startswith("~"):
        source = source._replace(place=str((folder / source.place).resolve()))
    return _opened(str(folder) if len(folder.parts) > 1 else f"./{folder}", source, config, columns)


def _opened(argument: str, source: Source, config: HubConfig, columns: Mapping[str, str]) -> Hub:
    """What is named in the argument goes before what the file says."""
    source = source._replace(subset=source.subset or config.subset, rows=source.rows or config.rows)
    config = config.model_copy(update={"columns": {**config.columns, **columns}})
    return Hub(argument, source, config, f"{PREFIX}{source.place}")


def _keys(where: Path) -> set[str]:
    """The keys of a TOML file; none of one that cannot be read, which its reader says."""
    try:
        return set(read_toml(where))
    except (OSError, ValueError, UserError):
        return set()


def _array(rows: list[Any], place: Path) -> np.ndarray:
    """Nested lists as ids, uint8 [H,W]. UserError: they are ragged, too large, or no ids."""
    if sum(len(row or ()) for row in rows) > image_files.MOST_PIXELS:
        raise Unreadable("layout", place, f"it has more than {image_files.MOST_PIXELS // 10**6} million pixels")
    try:
        array = np.array(rows)
    except ValueError:
        array = np.empty(0)
    if array.ndim != 2 or not array.size or array.dtype.kind not in "iu" or array.min() < -1 or array.max() > 255:
        raise UserError(f"the layout {place} is no rectangle of class ids of 0 to 255; correct it")
    return array.astype(np.uint8)  # -1 is void, as it is in 8 bits
