"""Halves and quarters of a training split: by the GCDP authors' lists of captions where they are there, else by ours.

Their lists are `{25,50,100}_captions.jsonl`, JSON lines of an image's file name and its texts. Each is looked for in
`<root>/captions`, `<root>`, and `caption_files/<dataset>` in the root or beside it, as in the authors' tree.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path

from gcbench.core.errors import UserError
from gcbench.data.prompts import Line, read_prompts

PARTS = {"train50": 50, "train25": 25}
"""Split -> per cent of `train`; the smaller lies in the larger where both are ours."""


class CaptionLists:
    """The lists of a dataset called `name` at `root`."""

    def __init__(self, root: Path, name: str, id_of: Callable[[str], str] = str):
        self.root, self.name, self.id_of = root, name, id_of
        self.lines = cache(self._lines)

    def file(self, split: str) -> Path | None:
        """The list of a split, if it is there: 100 for what is no part."""
        beside = (up / "caption_files" / self.name for up in (self.root, self.root.parent))
        places = (self.root / "captions", self.root, *beside)
        name = f"{PARTS.get(split, 100)}_captions.jsonl"
        return next((place / name for place in places if (place / name).is_file()), None)

    @property
    def files(self) -> set[Path]:
        """All that are there."""
        listed = (self.file(split) for split in ("", *PARTS))
        return {path for path in listed if path is not None}

    def _lines(self, split: str) -> Mapping[str, Line]:
        """The lines of the split's list by `id_of` what stands before a file name's ending."""
        path = self.file(split)
        return {self.id_of(name): line for name, line in read_prompts(path).items()} if path else {}

    def part(self, split: str, ids: Sequence[str]) -> list[str]:
        """Those of `train`'s ids that belong to a part, in their order: the listed ones, else the first of an order
        fixed by SHA-256. UserError: the list names none of them."""
        path = self.file(split)
        if path is None:
            order = sorted(ids, key=lambda name: sha256(f"gcbench {self.name} 1/{name}".encode()).digest())
            chosen: Collection[str] = set(order[: round(PARTS[split] / 100 * len(ids))])
        else:
            chosen = self.lines(split)
            if ids and not any(name in chosen for name in ids):
                raise UserError(f"{path} names none of the training images of {self.name}; put the right list there")
        return [name for name in ids if name in chosen]
