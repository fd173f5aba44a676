"""CelebA-HQ's text files: attributes, and which images are for training."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from gcbench.core.errors import UserError
from gcbench.core.files import read_text
from gcbench.data.caption_lists import PARTS, CaptionLists
from gcbench.data.celeba_attributes import ATTRIBUTES

TRAINED = 24000
"""MM-CelebA-HQ's maintainers train on the ids below and test on the others (their issue 6)."""
LISTS = ("train.txt", "test.txt")
PICKLES = ("train/filenames.pickle", "test/filenames.pickle")

ATTRIBUTES_HQ = "CelebAMask-HQ-attribute-anno.txt"
ATTRIBUTES_CELEBA = "list_attr_celeba.txt"
MAPPING = "CelebA-HQ-to-CelebA-mapping.txt"
ZIP = "CelebAMask-HQ"
"""The folder in the official zip, which the root may hold as it is."""


def first(root: Path, names: Sequence[str]) -> Path | None:
    """The first of the files or folders that is there, in the root or in the official zip's folder."""
    return next((path for name in names for path in (root / name, root / ZIP / name) if path.exists()), None)


def attribute_file(root: Path) -> Path | None:
    """CelebAMask-HQ's attributes, else CelebA's, else None."""
    return first(root, (ATTRIBUTES_HQ, ATTRIBUTES_CELEBA))


def read_attributes(root: Path) -> Mapping[str, np.ndarray]:
    """Id -> bool [40] in the order of ATTRIBUTES. UserError: names the line that is not as it should be."""
    path = attribute_file(root)
    if path is None:
        raise UserError(f"{root / ATTRIBUTES_HQ} is not there; put the official file there")
    rows = _lines(path)
    names = rows[1].split() if len(rows) > 1 else []
    if sorted(names) != sorted(ATTRIBUTES):
        raise UserError(f"{path}, line 2 is not the names of CelebA's 40 attributes; put the official file there")
    order = [names.index(name) for name in ATTRIBUTES]
    table: dict[str, np.ndarray] = {}
    for number, row in enumerate(rows[2:], 3):
        name, *values = row.split() or [""]
        if not name:
            continue
        if len(values) != len(names) or not set(values) <= {"1", "-1", "0"}:
            raise UserError(f"{path}, line {number} is not a file name and 40 values of 1 or -1; correct the line")
        table[_id(name, f"{path}, line {number}")] = np.array([values[i] == "1" for i in order])
    if path.name == ATTRIBUTES_HQ:
        return table
    return {name: table[original] for name, original in _mapping(root, path).items() if original in table}


def _mapping(root: Path, needed_by: Path) -> dict[str, str]:
    """CelebA-HQ's id -> CelebA's."""
    path = first(root, (MAPPING,))
    if path is None:
        raise UserError(f"{needed_by} has CelebA's own ids and {root / MAPPING} is not there; put the mapping there")
    originals = {}
    for number, row in enumerate(_lines(path)[1:], 2):
        words = row.split()
        if len(words) not in (0, 3):
            raise UserError(f"{path}, line {number} is not 'idx orig_idx orig_file'; correct the line")
        if words:
            originals[_id(words[0], f"{path}, line {number}")] = _id(words[2], f"{path}, line {number}")
    return originals


def divide(root: Path, names: Collection[str], captions: CaptionLists) -> dict[str, list[str]]:
    """Split -> ids in their order: `train`, its parts, and `test`.

    names: the ids that are there. By `train.txt` and `test.txt` if they are there (one id or file name a line), else by
    the maintainers' rule. captions: lists that say the parts of `train`, where they are there.
    UserError: one list without the other, an id in both, or the maintainers' pickles without lists."""
    lists = [root / name for name in LISTS]
    if any(path.is_file() for path in lists):
        train, test = (_listed(path) for path in lists)
        if twice := sorted(set(train) & set(test), key=int):
            raise UserError(f"{lists[0]} and {lists[1].name} both have {twice[0]}; leave it in one of them")
    else:
        for name in PICKLES:
            if (root / name).exists():
                raise UserError(
                    f"{root / name} is a pickle, which can run code when it is opened, and is not read; write its"
                    f" names into {lists[0]} and {lists[1].name}, one a line, or remove it to split by id"
                    f" (0 to {TRAINED - 1} train, the others test)"
                )
        train = [name for name in names if int(name) < TRAINED]
        test = [name for name in names if int(name) >= TRAINED]
    splits = {"train": train, **{split: captions.part(split, train) for split in PARTS}}
    return {split: sorted(ids, key=int) for split, ids in {**splits, "test": test}.items()}


def _listed(path: Path) -> list[str]:
    if not path.is_file():
        raise UserError(f"{path} is not there but the other list is; write both {LISTS[0]} and {LISTS[1]}, or neither")
    rows = enumerate(_lines(path), 1)
    return list(dict.fromkeys(_id(row.strip(), f"{path}, line {number}") for number, row in rows if row.strip()))


def _id(name: str, where: str) -> str:
    stem = Path(name.replace("\\", "/")).stem
    if not stem.isdecimal():
        raise UserError(f"{where}: {name!r} is no id of CelebA-HQ; write a number, or a file name that is one")
    return str(int(stem))


def _lines(path: Path) -> list[str]:
    try:
        return read_text(path).split("\n")
    except OSError as error:
        raise UserError(f"cannot read {path} ({error}); replace the file") from error
