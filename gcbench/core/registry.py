"""One registry for models, metrics, datasets and evaluators: entry points, and classes in the user's own files.

A plug-in registers itself in its own `pyproject.toml`, exactly as ours do in ours:

    [project.entry-points."gcbench.metrics"]
    my-metric = "my_package.my_metric:MyMetric"

Everything loads lazily. Wherever a name is taken, `FILE.py:CLASS` is taken too. A model that says what its `argument`
is, is named `NAME:ARGUMENT`.
"""

import importlib.util
import re
import sys
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, NamedTuple

from gcbench.core.contracts import Dataset, Evaluator, Metric, Model
from gcbench.core.errors import UserError
from gcbench.core.files import file_hash

KINDS = {"models": Model, "metrics": Metric, "datasets": Dataset, "evaluators": Evaluator}
"""What each kind derives from."""

OPTIONS = {"models": "--model", "metrics": "--metrics", "datasets": "--dataset", "evaluators": "--evaluator"}


class InFile(NamedTuple):
    """A class of a user's file, as `FILE.py:CLASS` names it."""

    path: Path
    attribute: str

    @property
    def origin(self) -> str:
        """The file and the hash of its content: an edited file is another one."""
        return f"{self.path.name} {file_hash(self.path)}"


def in_file(text: str) -> InFile | None:
    """The file and class of `FILE.py:CLASS`; None for what is a plain name. A drive letter is part of the file."""
    match = re.fullmatch(r"((?:[A-Za-z]:)?[^:]*\.py)(?::(.*))?", text)
    return None if match is None else InFile(Path(match[1]).expanduser(), match[2] or "")


def with_argument(text: str) -> tuple[str, str | None]:
    """NAME and ARGUMENT of `NAME:ARGUMENT`; None for the argument of what is a plain name or `FILE.py:CLASS`."""
    name, colon, argument = text.partition(":")
    return (name, argument) if colon and in_file(text) is None else (text, None)


def short_name(text: str) -> str:
    """What a folder is called after a name, `FILE.py:CLASS` or `NAME:ARGUMENT`: of paths the last part."""
    name, argument = with_argument(text)
    if argument is None:
        return Path(name.partition(":")[0]).stem
    last = re.sub(r"[^\w.-]+", "-", argument.rstrip("/").rpartition("/")[2]).strip("-.")
    return f"{name}-{last}" if last else name


class Registry:
    """The names of one kind, and what each stands for.

    `registry[name]` imports the class; iterating gives the registered names and imports nothing. Two entries of one
    name are refused when it is asked for.
    """

    def __init__(self, kind: str, entries: Sequence[EntryPoint]):
        self.kind = kind
        self._entries: dict[str, dict[str, EntryPoint]] = {}
        for entry in entries:
            self._entries.setdefault(entry.name, {}).setdefault(entry.value, entry)
        self._files: dict[str, InFile] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))

    def __contains__(self, name: object) -> bool:
        """Whether something is registered so, or was added from a file; `FILE.py:CLASS` itself is no name."""
        return name in self._entries or name in self._files

    def check(self, name: str) -> None:
        """Refuse a name that nothing has or two have, a file that is not there, or the argument of `NAME:ARGUMENT` if
        its class does; imports nothing but that class.
        UserError: one sentence, with the nearest names."""
        file = in_file(name)
        plain, argument = with_argument(name)
        if argument is not None and plain in self._entries:
            kind = self[plain]
            if not isinstance(getattr(kind, "argument", None), str):  # a class of another kind may have one of its own
                raise UserError(f"{OPTIONS[self.kind]} {name}: {plain} takes no argument; write {plain} alone")
            return kind.check_argument(argument)
        if file is not None:
            if not file.path.is_file() or not file.attribute.isidentifier():
                option, singular = OPTIONS[self.kind], self.kind[:-1]
                role = "ROLE=" if self.kind == "evaluators" else ""
                example = f"{option} {role}my_{singular}.py:My{singular.capitalize()}"
                raise UserError(f"{option} {name}: give an existing file and its class, as in {example}")
        elif name not in self:
            near = get_close_matches(name, list(self), n=3, cutoff=0.4)
            hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(self)}"
            raise UserError(f"unknown {self.kind[:-1]} {name!r}; {hint}")
        elif len(self._entries.get(name, ())) > 1:
            values = " and ".join(f"{entry.value} of {_package(entry)}" for entry in self._entries[name].values())
            raise UserError(f"two installed packages register the {self.kind[:-1]} {name!r} ({values}); uninstall one")

    def add(self, name: str) -> str:
        """The short name of `FILE.py:CLASS`, by which it is known in this process and in records: its class's name.

        Any other name stays as it is. Imports nothing.
        UserError: as `check`; or a registered one is called so already.
        """
        self.check(name)
        file = in_file(name)
        if file is None:
            return name
        if file.attribute in self._entries:
            raise UserError(
                f"{name}: a {self.kind[:-1]} called {file.attribute!r} is installed; give the class another name"
            )
        self._files[file.attribute] = file
        return file.attribute

    def __getitem__(self, name: str) -> Any:
        """Import and return the class called `name`, or the one of `FILE.py:CLASS` or `NAME:ARGUMENT`.
        UserError: as `check`; what raises when it is imported; what is no class of this kind."""
        self.check(name)
        name = name if name in self._files else with_argument(name)[0]
        file = in_file(name) or self._files.get(name)
        if file is not None:
            return _of_file(self.kind, file)
        [entry] = self._entries[name].values()
        who, package = f"{self.kind[:-1]} {name!r} of {_package(entry)} cannot be used", entry.dist and entry.dist.name
        remedy = f"mend {package or entry.module} or uninstall it"
        try:
            plugin = entry.load()
        except UserError:
            raise
        except (Exception, SystemExit) as error:
            raise UserError(f"{who}: importing {entry.value} raised {_said(error)}; {remedy}") from error
        if not _derives(plugin, KINDS[self.kind]):
            base = f"gcbench.core.contracts.{KINDS[self.kind].__name__}"
            raise UserError(f"{who}: {entry.value} is no class that derives from {base}; {remedy}")
        return plugin

    def get(self, name: str) -> Any | None:
        """The class called `name`; None where there is none, or one that cannot be used."""
        if name not in self:  # a file that only a record names is never run
            return None
        try:
            return self[name]
        except UserError:
            return None

    def working(self) -> dict[str, Any]:
        """Name -> class of all that are registered and can be used. What is broken is left out: see `gcbench list`."""
        return {name: plugin for name in self if (plugin := self.get(name)) is not None}

    def origin(self, name: str) -> str:
        """The distributions that registered `name`, or the file it is in."""
        if name in self._files:
            return self._files[name].origin
        return " and ".join(_package(entry) for entry in self._entries[name].values())

    def files(self, names: Sequence[str]) -> dict[str, str]:
        """Of these names, those that stand for a class in a file: name -> file and hash of its content."""
        return {name: self._files[name].origin for name in names if name in self._files}


@cache
def registry(kind: str) -> Registry:
    """The registry of `kind`: one of `models`, `metrics`, `datasets`, `evaluators`."""
    return Registry(kind, list(entry_points(group=f"gcbench.{kind}")))


def split_evaluator(role: str, text: str | None) -> tuple[str, str | None]:
    """What stands after `--evaluator ROLE=`, as (what the registry is asked for, what `Evaluator.open` gets as spec).

    `ID[@FILE]` goes whole to the evaluator that is registered for the role; of `FILE.py:CLASS[@SPEC]` SPEC goes to
    that class.
    """
    name, _, spec = (text or "").partition("@")
    return (name, spec or None) if in_file(name) else (role, text)


@cache
def _module(path: Path, content: str) -> Any:
    """The module in a file. content: the hash of the file, so that an edited one is read again."""
    name = f"gcbench_file_{path.stem}_{content}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _of_file(kind: str, file: InFile) -> Any:
    path, attribute = file
    try:
        module = _module(path.resolve(), file_hash(path))
    except (Exception, SystemExit) as error:
        where = f"{OPTIONS[kind]} {path}:{attribute}"
        raise UserError(f"{where}: importing {path} raised {_said(error)}; mend it") from error
    plugin = getattr(module, attribute, None)
    if not isinstance(plugin, type):
        raise UserError(f"{path} has no class {attribute!r}; name one that it defines")
    if not _derives(plugin, KINDS[kind]):
        base = f"gcbench.core.contracts.{KINDS[kind].__name__}"
        raise UserError(f"{attribute} of {path} is no {base}; derive it from that class")
    return plugin


def _derives(thing: object, base: type) -> bool:
    return isinstance(thing, type) and issubclass(thing, base)


def _package(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "unknown"


def _said(error: BaseException) -> str:
    """An exception as one line: its type and the first line of its message."""
    return ": ".join([type(error).__name__, *str(error).strip().splitlines()[:1]])
