"""Imports point one way: from the import graph of the files, read without running them."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import gcbench
from gcbench.core.registry import registry

ROOT = Path(gcbench.__file__).parent

FLOORS = {
    "core": "",
    "statistics": "",
    "text": "core",
    "networks": "weights text core",  # the text encoder's files
    "diffusion": "core",
    "data": "text core",
    "weights": "data core",
    "training": "networks weights data text core",
    "metrics": "statistics text core",
    "evaluators": "networks training weights data core",
    "gcdp": "networks diffusion training weights data text core",
    "baselines": "gcdp networks diffusion training weights data text core",
    "runs": "statistics data core",  # what two stored numbers differ by: compare, the front and saturation need it
    "evaluation": "runs statistics data core",
    "reports": "runs statistics text data core",
    "commands": "reports evaluation runs training weights diffusion statistics data core",
    "results": "",
    "cli": "commands reports runs data core",
    "__main__": "cli",
    "gcbench": "commands evaluation reports core",
}
"""Package (or file beside `gcbench/__init__.py`, which is called gcbench here) -> what it may import besides itself."""

ENGINE = ("core", "runs", "evaluation", "reports", "commands")
"""Names no metric, model or dataset."""

PLUG_INS = ("metrics", "baselines", "gcdp", "evaluators")

WORDS = {"gcdp", "streets", "real"}
"""Registered names that may be spelled: the defaults of the command line, and `real`, a source of layouts too."""

ALLOWED = {
    ("gcbench.commands.speed", "faces"): "what is timed",
    ("gcbench.runs.provenance", "diffusers"): "a package whose version is noted",
}
"""Registered names that files of the engine spell out, because there they mean something else."""

FILES = {
    ".".join(("gcbench", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}


def imports(module: str) -> set[str]:
    """The files of ours that `module` imports, wherever in it. `from package import module` imports the module."""
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
    allowed = {package, *FLOORS[package].split()}
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
    assert circles({name: set(below.split()) for name, below in FLOORS.items()}) == []


def test_run_storage_draws_nothing() -> None:
    drawing = {
        module
        for module in FILES
        if "matplotlib" in FILES[module].read_text(encoding="utf-8") or module.startswith("gcbench.reports")
    }
    runs = {module: GRAPH[module] & drawing for module in GRAPH if floor(module) == "runs"}
    assert {module: targets for module, targets in runs.items() if targets} == {}


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


NAMES = {name for kind in ("models", "metrics", "datasets") for name in registry(kind)} - WORDS


@pytest.mark.parametrize("package", ENGINE)
def test_the_engine_spells_no_registered_name(package: str) -> None:
    files = [module for module in FILES if floor(module) == package]
    spelled = {(module, text) for module in files for text in texts(module) if text in NAMES}
    assert spelled - ALLOWED.keys() == set()


def test_no_exception_is_left_over() -> None:
    assert {(module, name) for module, name in ALLOWED if name not in set(texts(module))} == set()
