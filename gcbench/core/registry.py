"""One registry for models, metrics, datasets and evaluators, filled from entry points, loaded lazily.

A plug-in registers itself in its own `pyproject.toml`, exactly as ours do in ours:

    [project.entry-points."gcbench.metrics"]
    my-metric = "my_package.my_metric:MyMetric"
"""

from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from gcbench.core.errors import UserError

KINDS = ("models", "metrics", "datasets", "evaluators")


class Registry:
    """The names of one kind, and what each stands for.

    `registry[name]` imports the object; iterating gives names and imports nothing.
    """

    def __init__(self, kind: str, entries: dict[str, EntryPoint]):
        self.kind = kind
        self._entries = entries

    def __iter__(self):
        return iter(sorted(self._entries))

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def check(self, name: str) -> None:
        """Raise a UserError with the nearest names if there is no `name`; imports nothing. A file's class may be."""
        if name not in self._entries and ".py:" not in name:
            raise UserError(f"unknown {self.kind[:-1]} {name!r}{self._hint(name)}")

    def __getitem__(self, name: str) -> Any:
        """Import and return the object called `name`.

        Raises:
            UserError: no such name; the nearest names are suggested.
        """
        self.check(name)
        return self._entries[name].load()

    def working(self) -> list[str]:
        """The names whose import works."""
        names = []
        for name in self:
            try:
                self[name]
            except Exception:  # a plug-in's own, whatever it is
                continue
            names.append(name)
        return names

    def origin(self, name: str) -> str:
        """The distribution that registered `name`, for lists and records."""
        dist = self._entries[name].dist
        return f"{dist.name} {dist.version}" if dist else "unknown"

    def _hint(self, name: str) -> str:
        near = get_close_matches(name, list(self), n=3, cutoff=0.4)
        if near:
            return f"; did you mean {' or '.join(near)}?"
        return f"; known: {', '.join(self)}"


@cache
def registry(kind: str) -> Registry:
    """The registry of `kind`: one of `models`, `metrics`, `datasets`, `evaluators`."""
    assert kind in KINDS, kind
    entries: dict[str, EntryPoint] = {}
    for entry in entry_points(group=f"gcbench.{kind}"):
        other = entries.setdefault(entry.name, entry)
        if other.value != entry.value:
            raise UserError(
                f"two installed packages register the {kind[:-1]} {entry.name!r} ({other.value} and {entry.value});"
                " uninstall one"
            )
    return Registry(kind, entries)
