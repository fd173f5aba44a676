"""`gcbench list`: what can be named, where it comes from, and what it needs."""

from rich.console import Console
from rich.table import Table

from gcbench.core.errors import UserError
from gcbench.core.registry import KINDS, registry


def show(kind: str) -> None:
    """Print the registry `kind`: models, metrics, datasets or evaluators."""
    if kind not in KINDS:
        raise UserError(f"unknown list {kind!r}; choose {', '.join(KINDS)}")
    found = registry(kind)
    table = Table(box=None, pad_edge=False, header_style="bold")
    heads = {
        "metrics": ("better", "unit", "needs", "evaluator"),
        "datasets": ("classes", "size", "state"),
        "models": ("what it does",),
        "evaluators": ("what it does",),
    }[kind]
    for head in ("name", *heads, "from"):
        table.add_column(head, no_wrap=head == "name")
    for name in found:
        table.add_row(name, *_cells(kind, name), found.origin(name))
    Console(highlight=False).print(table)


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
