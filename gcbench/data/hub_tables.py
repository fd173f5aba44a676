"""Tables of the `datasets` library: on the Hugging Face hub or in a local folder, whole or the first rows streamed.

Says what columns and rows there are, and which revision; knows nothing of images, layouts or texts. No code of a
dataset is run: the library reads data files only.
"""

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from gcbench.core.errors import UserError
from gcbench.core.files import text_hash
from gcbench.core.network import offline
from gcbench.data.image_sources import visible
from gcbench.data.pair_files import file_mark

PREFIX = "hf:"
LOCAL = ("/", "./", "../", "~")
"""How the path of local data begins; else it is a name on the hub."""


class Source(NamedTuple):
    """Where a table is. place: OWNER/NAME on the hub, or a local path. subset: the library's configuration. rows: how
    many of each split are streamed; None: all are fetched."""

    place: str
    revision: str | None = None
    subset: str | None = None
    rows: int | None = None

    @property
    def local(self) -> bool:
        return self.place.startswith(LOCAL) or os.path.isabs(self.place)

    @property
    def path(self) -> Path:
        """Of local data."""
        return Path(self.place).expanduser()

    @property
    def word(self) -> str:
        """What it is called without a name of its own."""
        return self.path.resolve().stem if self.local else self.place.rpartition("/")[2]


def parse_source(text: str) -> tuple[Source, dict[str, str]]:
    """The source, and the other settings, of `hf:NAME[@REVISION][,KEY=VALUE…]`. UserError: it is none."""
    place, *settings = text.removeprefix(PREFIX).split(",")
    options = {}
    for setting in settings:
        key, sign, value = setting.partition("=")
        if not sign or not value or key in options:
            raise UserError(f"--dataset {text}: {setting!r} is no KEY=VALUE, or one of two; write hf:NAME,image=COLUMN")
        options[key] = value
    source = Source(place)
    if not source.local:
        name, _, revision = place.partition("@")
        source = Source(name, revision or None)
        if "@" in place and not revision:
            raise UserError(f"--dataset {text}: no revision behind @; name a commit, tag or branch, or leave it out")
    if not source.place or (source.place.count("/") > 1 and not source.local):
        raise UserError(f"--dataset {text}: write hf:OWNER/NAME[@REVISION], or hf:./FOLDER for local files")
    rows = options.pop("rows", None)
    if rows is not None and (not rows.isdecimal() or not 0 < int(rows) < 10**9):
        raise UserError(f"--dataset {text}: rows={rows} is no number of rows; write for example rows=500")
    return source._replace(subset=options.pop("subset", None), rows=None if rows is None else int(rows)), options


def library() -> ModuleType:
    """The `datasets` library, offline if `GCBENCH_OFFLINE` says so. UserError: it is not installed."""
    if offline():
        os.environ["HF_HUB_OFFLINE"] = "1"  # read when it is imported
    try:
        import datasets
    except ImportError as error:
        raise UserError("--dataset hf:… needs the extra datasets: pip install 'gcbench[datasets]'") from error
    if offline():  # it may have been imported before
        datasets.config.HF_HUB_OFFLINE = True
    return datasets


class Table:
    """The splits of a source. features: column -> the library's type. revision: the commit on the hub, or a hash of the
    local data files."""

    def __init__(self, source: Source):
        self.source = source
        self.library = library()
        try:
            self._open()
        except UserError:
            raise
        except Exception as error:  # the library's own are many, and network, disk and data raise theirs
            raise UserError(self._reason(error)) from error

    def _open(self) -> None:
        source, library = self.source, self.library
        if source.local and not source.path.exists():
            raise UserError(f"hf:{source.place} is not there; give a folder or a .parquet file that is")
        if source.local and _saved(source.path):
            loaded = library.load_from_disk(str(source.path))
            self._splits = dict(loaded) if isinstance(loaded, Mapping) else {"val": loaded}
            self.revision = self._hash([path for path in sorted(source.path.rglob("*")) if path.is_file()])
        else:
            self._load()
        if not self._splits:
            raise UserError(f"hf:{source.place} has no splits; give data files")
        first = next(iter(self._splits.values()))
        self.features: Mapping[str, Any] = first.features or first._resolve_features().features
        self.splits = tuple(self._splits)
        self._kept: dict[str, Any] = {}

    def _load(self) -> None:
        source, library = self.source, self.library
        place, files = str(source.path) if source.local else source.place, None
        if source.local and source.path.is_file():
            if source.path.suffix.lower() != ".parquet":
                raise UserError(f"hf:{source.place} is no .parquet file; give one, or the folder of the data files")
            place, files = "parquet", {"val": str(source.path)}
        builder = library.load_dataset_builder(place, source.subset, data_files=files, revision=source.revision)
        if source.local:
            listed = (path for paths in (builder.config.data_files or {}).values() for path in paths)
            self.revision = self._hash([Path(path) for path in listed])
        else:
            self.revision = self._commit(str(builder.hash))
        if source.rows is not None:
            self._splits = dict(builder.as_streaming_dataset())
        else:
            builder.download_and_prepare()
            self._splits = dict(builder.as_dataset())

    def _commit(self, commit: str) -> str:
        """The commit that was opened, if it is the one that was asked for: without the network the library takes the
        copy that it has, whatever its revision."""
        asked = self.source.revision
        known = asked is None or commit.startswith(asked)
        if not known and (offline() or _hexadecimal(asked)):
            raise UserError(
                f"hf:{self.source.place}: the copy that is here is of the commit {commit}, not of {asked}; name that"
                " commit, or let the network be used"
            )
        return commit

    def _hash(self, files: Sequence[Path]) -> str:
        root = self.source.path.resolve()
        marks = (f"{os.path.relpath(path.resolve(), root.parent)} {file_mark(path)}" for path in files)
        return text_hash(*sorted(marks))

    def _reason(self, error: Exception) -> str:
        lines = str(error).strip().splitlines()
        silent = "; GCBENCH_OFFLINE is set" if offline() and not self.source.local else ""
        what = f"{type(error).__name__}: {lines[0] if lines else ''}"[:300]
        return f"cannot open hf:{self.source.place} ({what}){silent}; give a dataset that the datasets library reads"

    def rows(self, split: str, columns: Sequence[str]) -> Sequence[Mapping[str, Any]]:
        """Rows with these columns, images undecoded; what is streamed is fetched now, and kept in memory."""
        if split not in self._kept:
            chosen = self._splits[split].select_columns(list(columns))
            for column in columns:
                if isinstance(self.features[column], self.library.Image):
                    chosen = chosen.cast_column(column, self.library.Image(decode=False))
            if self.source.rows is not None:
                chosen = _fetched(chosen, self.source.rows, f"hf:{self.source.place}, {split}")
            self._kept[split] = chosen
        return self._kept[split]

    @cached_property
    def roots(self) -> tuple[Path, ...]:
        """Folders that files named in rows may lie in."""
        if self.source.local:
            return (self.source.path.resolve(),)
        import huggingface_hub

        caches = (self.library.config.HF_CACHE_HOME, huggingface_hub.constants.HF_HUB_CACHE)
        return tuple(Path(cache).expanduser().resolve() for cache in caches)


MOST_FETCHED = 4 << 30
"""Bytes of images that are kept of a streamed split."""


def _fetched(rows: Any, count: int, where: str) -> list[Mapping[str, Any]]:
    kept: list[Mapping[str, Any]] = []
    size = 0
    for row in islice(rows, count):
        for value in row.values():
            size += len(value.get("bytes") or b"") if isinstance(value, Mapping) else 0
        if size > MOST_FETCHED:
            raise UserError(f"{where}: {len(kept)} rows have {MOST_FETCHED >> 30} GiB; ask for fewer with rows=N")
        kept.append(row)
    return kept


def _saved(folder: Path) -> bool:
    """Whether `save_to_disk` wrote the folder."""
    return bool({"dataset_dict.json", "state.json"} & {path.name for path in visible(folder)})


def _hexadecimal(text: str | None) -> bool:
    return text is not None and len(text) >= 7 and not set(text) - set("0123456789abcdef")
