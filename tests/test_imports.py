"""Imports point one way: from the import graph of the files, read without running them."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import gcbench
from gcbench.core.registry import KINDS, registry

ROOT = Path(gcbench.__file__).parent

FLOORS = {
    "core": (),
    "statistics": (),
    "text": ("core",),
    "networks": ("core",),
    "diffusion": ("core",),
    "data": ("text", "core"),
    "training": ("data", "core"),
    "weights": ("data", "core"),
    "metrics": ("statistics", "text", "core"),
    "evaluators": ("networks", "training", "weights", "data", "core"),
    "gcdp": ("evaluators", "networks", "diffusion", "training", "weights", "data", "text", "core"),
    "baselines": ("gcdp", "evaluators", "networks", "diffusion", "training", "weights", "data", "text", "core"),
    "runs": ("data", "core"),
    "evaluation": ("runs", "training", "statistics", "text", "data", "core"),
    "reports": ("runs", "statistics", "text", "data", "core"),
    "commands": ("reports", "evaluation", "runs", "training", "weights", "statistics", "text", "data", "core"),
    "results": (),
    "cli": ("commands", "reports", "runs", "data", "core", "gcbench"),
    "__main__": ("cli",),
    "gcbench": ("commands", "reports", "core"),
}
"""Package (or file beside `gcbench/__init__.py`, which is called gcbench here) -> what it may import besides itself."""

ENGINE = ("core", "runs", "evaluation", "reports", "commands")
"""Names no metric, model or dataset."""

PLUG_INS = ("metrics", "baselines", "gcdp", "evaluators")

ALLOWED_NAMES = {
    "gcdp": "the command line's default model",
    "streets": "the command line's default dataset",
    "folder": "also the form of `gcbench data export`",
    "real": "also a row of a record: real images",
}
"""Registered names that the engine may spell out, and why."""

FILES = {
    ".".join(("gcbench", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}


def imports(module: str) -> set[str]:
    """The files of ours that `module` imports, wherever in it. `from package import module` is an import of the module."""
    found = set()
    for node in ast.walk(ast.parse(FILES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            names = [
                whole if (whole := f"{node.module}.{alias.name}") in FILES else str(node.module) for alias in node.names
            ]
        else:
            continue
        found |= {name for name in names if name in FILES}
    return found - {module}


GRAPH = {module: imports(module) for module in FILES}


def floor(module: str) -> str:
    return module.split(".")[1] if "." in module else module


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """One circle for each file that stands in any: the way from it back to it."""
    found = []
    for start in graph:
        ways = [[start]]
        seen: set[str] = set()
        while ways:
            way = ways.pop(0)
            for target in graph[way[-1]]:
                if target == start:
                    found.append([*way, start])
                    ways = []
                    break
                if target not in seen:
                    seen.add(target)
                    ways.append([*way, target])
    return found


def texts(module: str) -> Iterator[str]:
    """The strings of a file, without docstrings."""
    tree = ast.parse(FILES[module].read_text(encoding="utf-8"))
    plain = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in plain:
            yield node.value


def test_the_circles_are_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == [["b", "c", "b"], ["c", "b", "c"]]
    assert circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_no_files_import_each_other() -> None:
    assert circles(GRAPH) == []


@pytest.mark.parametrize("package", sorted({floor(module) for module in FILES}))
def test_imports_point_one_way(package: str) -> None:
    allowed = {package, *FLOORS[package]}
    upward = {
        f"{module} -> {target}"
        for module, targets in GRAPH.items()
        if floor(module) == package
        for target in targets
        if floor(target) not in allowed
    }
    assert upward == set()


def test_the_table_of_floors_has_no_circle_and_no_floor_that_is_gone() -> None:
    assert set(FLOORS) == {floor(module) for module in FILES}
    assert circles({name: set(below) - {name} for name, below in FLOORS.items()}) == []


def test_run_storage_draws_nothing() -> None:
    drawing = {
        module
        for module in FILES
        if "matplotlib" in FILES[module].read_text(encoding="utf-8") or module.startswith("gcbench.reports")
    }
    assert {
        (module, target) for module in GRAPH for target in GRAPH[module] & drawing if floor(module) == "runs"
    } == set()


@pytest.mark.parametrize("command", ["regress", "figure"])
def test_commands_that_import_no_other(command: str) -> None:
    assert {target for target in GRAPH[f"gcbench.commands.{command}"] if floor(target) == "commands"} == set()


def test_the_engine_imports_no_plug_in() -> None:
    named = {
        f"{module} -> {target}"
        for module in GRAPH
        if floor(module) in ENGINE
        for target in GRAPH[module]
        if floor(target) in PLUG_INS
    }
    assert named == set()


NAMES = {name for kind in KINDS for name in registry(kind) if kind != "evaluators"} - ALLOWED_NAMES.keys()


@pytest.mark.parametrize("package", ENGINE)
def test_the_engine_spells_no_registered_name(package: str) -> None:
    spelled = {
        (module, text) for module in FILES if floor(module) == package for text in texts(module) if text in NAMES
    }
    assert spelled == set()
