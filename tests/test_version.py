"""The version is git's tag; without one it follows the last release, which three files name alike."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="the extra `test` is not installed")
pytest.importorskip("hatch_vcs", reason="the extra `test` is not installed")
pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LAST = SETTINGS["tool"]["hatch"]["version"]["fallback-version"]


def hatchling(folder: Path, *arguments: str, **environment: str) -> str:
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "SETUPTOOLS_SCM"))}
    command = [sys.executable, "-m", "hatchling", *arguments]
    done = subprocess.run(command, cwd=folder, env=outside | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def git(folder: Path, *arguments: str) -> None:
    names = [f"GIT_{who}_{what}=x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")]
    environment = os.environ | dict(name.split("=") for name in names)
    subprocess.run(["git", *arguments], cwd=folder, env=environment, check=True, capture_output=True)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """What a build reads, with a package of one file."""
    folder = tmp_path / "tree"
    (folder / "gcbench").mkdir(parents=True)
    (folder / "gcbench" / "__init__.py").write_text("")
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, folder)
    return folder


def repository(folder: Path) -> Path:
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "all")
    return folder


def test_without_git_it_is_the_last_release(tree: Path) -> None:
    assert hatchling(tree, "version") == LAST


def test_in_a_clone_without_tags_it_is_before_the_next(tree: Path) -> None:
    major, minor, patch = map(int, LAST.split("."))
    found = hatchling(repository(tree), "version")
    assert re.fullmatch(rf"{major}\.{minor}\.{patch + 1}\.dev1\+g[0-9a-f]+", found), found


def test_a_tag_is_the_version_and_an_sdist_keeps_it(tree: Path) -> None:
    git(repository(tree), "tag", "v7.8.9")
    hatchling(tree, "build", "-t", "sdist", "-d", str(tree.parent))
    with tarfile.open(tree.parent / "gcbench-7.8.9.tar.gz") as archive:
        archive.extractall(tree.parent, filter="data")
    assert hatchling(tree.parent / "gcbench-7.8.9", "version") == "7.8.9"


def test_the_last_release_is_the_same_everywhere() -> None:
    """Of the tree too, where it has tags."""
    [cited] = re.findall(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    changes = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert next(name for name in changes if name != "Unreleased") == cited == LAST
    assert changes.index(LAST) <= 1


def test_links_of_the_readme_lead_into_the_repository_where_the_build_knows_it(tree: Path) -> None:
    """Every other one is an address already. Without a repository the text is README.md's."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    plain = json.loads(hatchling(tree, "metadata"))
    assert plain["readme"]["text"] == readme
    assert not plain.get("urls")
    built = json.loads(hatchling(tree, "metadata", GITHUB_REPOSITORY="someone/gcbench", GITHUB_REF_NAME="v7.8.9"))
    home = "https://github.com/someone/gcbench"
    assert built["urls"]["Source"] == home
    links = dict(
        zip(re.findall(r"\]\((\S+?)\)", readme), re.findall(r"\]\((\S+?)\)", built["readme"]["text"]), strict=True)
    )
    assert links["docs/faq.md"] == f"{home}/blob/v7.8.9/docs/faq.md"
    assert links["docs/images/samples.png"] == f"{home}/raw/v7.8.9/docs/images/samples.png"
    assert all(
        now == then if then.startswith("https:") else now.endswith(f"/v7.8.9/{then}") for then, now in links.items()
    )
