"""The workflows, the action and the Dockerfile, by the linters that are installed; none of them needs a network."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted(map(str, (ROOT / ".github/workflows").glob("*.yml")))
BESIDE = Path(sys.executable).parent


def lint(tool: str, *arguments: str) -> None:
    path = shutil.which(tool, path=str(BESIDE)) or shutil.which(tool)
    if path is None:
        pytest.skip(f"{tool} is not installed")
    done = subprocess.run([path, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_workflows_fit_githubs_schema() -> None:
    lint("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *WORKFLOWS)


def test_the_action_fits_githubs_schema() -> None:
    lint("check-jsonschema", "--builtin-schema", "vendor.github-actions", "action.yml")


def test_workflows_and_the_action_are_safe() -> None:
    arguments = ["--offline", "--no-progress", "--min-severity=medium", "--config=.github/zizmor.yml"]
    lint("zizmor", *arguments, *WORKFLOWS, "action.yml")


def test_actionlint_finds_nothing() -> None:
    lint("actionlint", *WORKFLOWS)


def test_the_dockerfile_is_clean() -> None:
    lint("hadolint", "Dockerfile")


def workflow(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / f".github/workflows/{name}.yml").read_text(encoding="utf-8"))
    return found


def test_every_python_that_the_package_names_is_tested_on_every_system() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = [text.rpartition(" ")[2] for text in project["classifiers"] if text.startswith("Programming Language ::")]
    matrix = workflow("ci")["jobs"]["tests"]["strategy"]["matrix"]
    assert matrix["python"] == [version for version in named if version.startswith("3.")]
    assert {system.partition("-")[0] for system in matrix["os"]} == {"ubuntu", "macos", "windows"}


def test_only_the_job_that_publishes_may_ask_for_an_identity() -> None:
    release = workflow("release")
    asking = {name for name, job in release["jobs"].items() if "id-token" in job.get("permissions", {})}
    assert asking == {"publish"}
    publish = release["jobs"]["publish"]
    assert publish["environment"] == {"name": "pypi"}
    assert [step["uses"].partition("@")[0] for step in publish["steps"]] == [
        "actions/download-artifact",
        "pypa/gh-action-pypi-publish",
    ]
    assert "secrets." not in (ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8")


def test_the_dockerfile_copies_what_the_context_holds_and_a_build_needs() -> None:
    """.dockerignore leaves out all but what is copied; a build reads what the wheel's own settings name."""
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    context = {line[1:] for line in ignored if line.startswith("!")}
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copied = {word for line in lines if line.startswith("COPY ") for word in line.split()[1:-1]}
    assert copied == context
    assert all((ROOT / name).exists() for name in context)
    assert {"pyproject.toml", "hatch_build.py", "README.md", "LICENSE", "NOTICE", "gcbench"} <= copied
