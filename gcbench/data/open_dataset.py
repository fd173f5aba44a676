"""Open a dataset by its registered name or its path."""

from pathlib import Path

from gcbench.core.contracts import Dataset
from gcbench.core.errors import UserError
from gcbench.core.registry import in_file, registry
from gcbench.data.folder import CONFIG, Folder


def open_dataset(name_or_path: str) -> Dataset:
    """The dataset called so, the class of a file (`FILE.py:CLASS`), or the directory that holds a `dataset.toml`.

    A registered name wins over a directory of the same name; write `./NAME` for the directory.

    Raises:
        UserError: neither; near names are suggested.
    """
    datasets = registry("datasets")
    if name_or_path in datasets or in_file(name_or_path):
        return datasets[name_or_path].open()
    path = Path(name_or_path).expanduser()
    if path.name == CONFIG:
        path = path.parent
    if (path / CONFIG).is_file():
        return Folder(path)
    if path.is_dir():
        raise UserError(f'{path} holds no {CONFIG}; write one with name = "…" and classes = ["…", …]')
    if len(path.parts) > 1:
        raise UserError(f"{path} is not there; give a directory with a {CONFIG} or one of {', '.join(datasets)}")
    return datasets[name_or_path]
