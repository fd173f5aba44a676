"""Rows of numbers keyed by sample id: the state of a metric that batches fill and processes merge exactly.

Knows of ids, groups and numbers; nothing of images or of what the numbers mean.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np


class Rows(NamedTuple):
    """All rows in the order of their ids, so that sums over them never depend on the order of arrival."""

    ids: list[str]
    values: np.ndarray  # [n,...]
    groups: list[str]


class OrderedRows:
    """All rows in the order of their ids, without a second copy of them: only what is asked for is brought together.

    `rows[100:200]` and `rows[np.array([3, 1])]` are arrays [m,...]. Later additions do not show.
    """

    def __init__(self, ids: list[str], rows: list[np.ndarray], groups: list[str]):
        self.ids, self.groups, self._rows = ids, groups, rows

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self._rows), *self._rows[0].shape)

    def __getitem__(self, places: "slice | np.ndarray") -> np.ndarray:
        wanted = self._rows[places] if isinstance(places, slice) else [self._rows[i] for i in places]
        return np.stack(wanted)  # [m,...]


class SampleRows:
    """One row a sample. Order and batch size leave no trace; an id that comes twice is an error.

    A batch is kept as one array, and each of its rows as a view of that array.
    """

    def __init__(self) -> None:
        self._rows: dict[str, np.ndarray] = {}
        self._groups: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, ids: Sequence[str], rows: np.ndarray, groups: Sequence[str] | None = None) -> None:
        """Add B rows [B,...]. Groups name what is dependent; the ids if nothing is.
        ValueError: an id is there already or stands twice in the batch, or the rows are of another shape or type than
        those that are there. Nothing is added then.
        """
        new = dict(zip(ids, np.array(rows), strict=True))
        if len(new) < len(ids):
            raise ValueError(f"sample ids must be unique, {first_repeated(ids)!r} came twice")
        self._take(new, dict(zip(ids, ids if groups is None else groups, strict=True)))

    def merge(self, other: "SampleRows") -> None:
        """Take in another process's rows; ValueError as in `add`."""
        self._take(other._rows, other._groups)

    def in_order(self) -> OrderedRows:
        """Every row, by id, where they lie: for rows too many or too long to be copied."""
        ids = sorted(self._rows)
        return OrderedRows(ids, [self._rows[name] for name in ids], [self._groups[name] for name in ids])

    def sorted(self) -> Rows:
        """Every row, by id, as one array. ValueError if there is none."""
        rows = self.in_order()
        return Rows(rows.ids, rows[:], rows.groups)

    def _take(self, rows: Mapping[str, np.ndarray], groups: Mapping[str, str]) -> None:
        if shared := self._rows.keys() & rows.keys():
            raise ValueError(f"sample ids must be unique, {min(shared)!r} came twice")
        kinds = {(row.shape, row.dtype.name) for row in (*_first(self._rows), *_first(rows))}
        if len(kinds) > 1:
            raise ValueError(f"rows of other shapes or types do not fit together: {sorted(kinds)}")
        self._rows.update(rows)
        self._groups.update(groups)


def _first(rows: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """One row for all, since they are alike; none if there is none."""
    return [next(iter(rows.values()))] if rows else []


def first_repeated(ids: Sequence[str]) -> str:
    """The first id that stands there before."""
    return next(name for place, name in enumerate(ids) if name in ids[:place])
