"""`gcbench list`: what can be named, where it comes from, and what it needs."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gcbench.core.errors import UserError
from gcbench.core.registry import KINDS, registry

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
    console = Console(highlight=False)
    for one in KINDS if kind is None else (kind,):
        if kind is None:
            console.print(f"[bold]{one}[/bold]")
        _show(one, console)
        if kind is None:
            console.print()


def _show(kind: str, console: Console) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in ("name", *HEADS[kind], "from"):
        table.add_column(head, no_wrap=head == "name")
    broken = []
    for name in registry(kind):
        try:
            table.add_row(*map(escape, (name, *_cells(kind, name), registry(kind).origin(name))))
        except UserError as error:
            broken.append(str(error))
        except Exception as error:  # a plug-in that lacks what its contract asks for
            origin = registry(kind).origin(name)
            broken.append(f"{kind[:-1]} {name!r} of {origin} cannot be used: {type(error).__name__}: {error}")
    console.print(table)
    for line in broken:
        console.print(f"Broken: {line}", markup=False)


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
