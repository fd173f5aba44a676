"""`gcbench list`: what can be named, where it comes from, and what it needs."""

from gcbench.core.errors import UserError
from gcbench.core.names import plain
from gcbench.core.registry import KINDS, registry
from gcbench.reports.table import show_texts

HEADS = {
    "models": ("what it does",),
    "metrics": ("better", "unit", "needs", "evaluator"),
    "datasets": ("classes", "size", "state"),
    "evaluators": ("what it does",),
}


def show(kind: str | None = None) -> None:
    """Print the registry `kind`: models, metrics, datasets or evaluators; without it, all four.

    What cannot be used is named below with the reason.
    """
    if kind is not None and kind not in KINDS:
        raise UserError(f"unknown list {kind!r}; choose {', '.join(KINDS)}")
    for name in KINDS if kind is None else (kind,):
        _show(name, name if kind is None else "")
        if kind is None:
            print()


def _show(kind: str, title: str) -> None:
    lines, broken = [], []
    for name in registry(kind):
        origin = registry(kind).origin(name)
        try:
            argument = getattr(registry(kind).get(name), "argument", None)
            called = f"{name}:{argument}" if isinstance(argument, str) else name
            lines.append([called, *_cells(kind, name), origin])
        except UserError as error:
            broken.append(str(error))
        except Exception as error:  # a plug-in that lacks what its contract asks for
            broken.append(f"{kind[:-1]} {name!r} of {origin} cannot be used: {type(error).__name__}: {error}")
    show_texts(("name", *HEADS[kind], "from"), lines, title=title)
    for line in broken:
        print(plain(f"Broken: {line}"))


def _cells(kind: str, name: str) -> list[str]:
    thing = registry(kind)[name]
    if kind == "metrics":
        return [thing.direction, thing.unit, ", ".join(sorted(thing.needs)), ", ".join(thing.roles) or "none"]
    if kind == "datasets":
        try:
            dataset = thing.open()
            counts = ", ".join(f"{split} {len(dataset.ids(split))}" for split in dataset.splits)
        except UserError as error:
            return [str(len(getattr(thing, "classes", ()))), "×".join(map(str, thing.size)), f"not here: {error}"]
        return [str(len(dataset.classes)), f"{dataset.size[0]}×{dataset.size[1]}", counts]
    return [(thing.__doc__ or "").strip().split("\n")[0]]
