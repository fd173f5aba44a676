"""Open a dataset by its registered name or its path."""

import os
from pathlib import Path

from gcbench.core.contracts import Dataset
from gcbench.core.errors import UserError
from gcbench.core.names import check_names
from gcbench.core.registry import in_file, registry
from gcbench.data.dataset_toml import CONFIG
from gcbench.data.folder import Folder
from gcbench.data.hub import open_described, open_hub
from gcbench.data.hub_tables import PREFIX


def known_of(name_or_path: str) -> Dataset | type[Dataset]:
    """`name`, `classes` and `size` of a dataset, of which the files need not be here if its class says them."""
    datasets = registry("datasets")
    kind = datasets.get(name_or_path)
    if kind is not None and all(isinstance(getattr(kind, fact, None), tuple) for fact in ("classes", "size")):
        return kind
    return open_dataset(name_or_path)


def open_dataset(name_or_path: str) -> Dataset:
    """The dataset called so, the class of a file (`FILE.py:CLASS`), a hub dataset (`hf:OWNER/NAME`), or the directory
    that holds a `dataset.toml`.

    A bare name is never a directory; write `./NAME` for that.
    UserError: neither; near names are suggested."""
    if name_or_path.startswith(PREFIX):
        return open_hub(name_or_path)
    datasets = registry("datasets")
    if name_or_path in datasets or in_file(name_or_path):
        opened = datasets[name_or_path].open()
        check_names(f"dataset {name_or_path}", opened.name, opened.splits, opened.classes)
        return opened
    path = Path(name_or_path).expanduser()
    if path.name == CONFIG:
        path = path.parent
    if not {"/", os.sep} & set(name_or_path) and name_or_path not in (".", ".."):
        if path.is_dir():
            raise UserError(f"{name_or_path!r} is no dataset's name; write ./{name_or_path} for the directory")
        return datasets[name_or_path]
    if (path / CONFIG).is_file():
        return open_described(path) or Folder(path)
    if path.is_dir():
        raise UserError(f'{path} holds no {CONFIG}; write one with name = "…" and classes = ["…", …]')
    fault = "is no directory" if path.exists() else "is not there"
    raise UserError(f"{path} {fault}; give a directory with a {CONFIG} or one of {', '.join(datasets)}")
