"""What is installed: the wheel and the sdist, a checkout without symbolic links, an editable install."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import gcbench

ROOT = Path(__file__).parents[1]
LINKS = {"cli.py": "gcbench/cli.py"} | {name: f"gcbench/{name}" for name in ("metrics", "baselines", "results")}
DATA = (
    "py.typed",
    "results/record.schema.json",
    "results/measured/regression/streets/record.json",
    "runs/suites/table1.toml",
    "weights/gcdp/streets/model.safetensors",
    "weights/segmenter/streets/model.json",
)
"""Some files of the package that are no Python, one of each kind."""


def tracked() -> list[str]:
    """The files of the checkout that git knows."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("this is no git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()]


def copy_of_the_checkout(target: Path, links: bool = True) -> Path:
    """The tracked files as they are now. Without `links` each is a text file that holds its target, as git for
    Windows makes them."""
    for name in tracked():
        source, copy = ROOT / name, target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink() and not links:
            copy.write_text(os.readlink(source))
        else:
            shutil.copy2(source, copy, follow_symlinks=False)
    return target


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """What the wheel and the sdist hold."""
    pytest.importorskip("hatchling", reason="the extra `test` is not installed")
    source, out = copy_of_the_checkout(tmp_path_factory.mktemp("source")), tmp_path_factory.mktemp("out")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(out)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [wheel], [sdist] = out.glob("*.whl"), out.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    return {"wheel": set(zipfile.ZipFile(wheel).namelist()), "sdist": inside}


def test_the_wheel_is_the_package_and_nothing_else(built: dict[str, set[str]]) -> None:
    expected = {name for name in tracked() if name.startswith("gcbench/")}
    installed = {name for name in built["wheel"] if ".dist-info/" not in name}
    assert installed == expected
    assert {f"gcbench/{name}" for name in DATA} <= installed
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in built["wheel"])


def test_the_sdist_holds_package_tests_studies_and_docs(built: dict[str, set[str]]) -> None:
    folders = ("gcbench/", "tests/", "studies/", "docs/")
    assert {name for name in tracked() if name.startswith(folders)} <= built["sdist"]
    assert {"README.md", "LICENSE", "pyproject.toml", "PKG-INFO"} <= built["sdist"]
    assert not built["sdist"] & LINKS.keys()


def test_the_links_at_the_top_point_into_the_package() -> None:
    links = {name: os.readlink(ROOT / name) for name in tracked() if (ROOT / name).is_symlink()}
    assert links == LINKS


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_checkout_without_symbolic_links_works(tmp_path: Path) -> None:
    """As on Windows without developer mode."""
    checkout = copy_of_the_checkout(tmp_path / "checkout", links=False)
    assert (checkout / "metrics").read_text() == "gcbench/metrics"
    done = run(checkout, "-m", "gcbench", "--help", PYTHONPATH=str(checkout))
    assert done.returncode == 0, done.stderr
    assert "sweep" in done.stdout
    listed = run(checkout, "-m", "gcbench", "list", PYTHONPATH=str(checkout))
    assert listed.returncode == 0, listed.stderr
    assert "Broken" not in listed.stdout
    where = run(checkout, "-c", "import gcbench.metrics.fid as fid; print(fid.__file__)", PYTHONPATH=str(checkout))
    assert Path(where.stdout.strip()) == checkout / "gcbench/metrics/fid.py"


def test_from_the_folder_that_holds_the_checkout(tmp_path: Path) -> None:
    """The checkout, a folder called gcbench, is not taken for a namespace package."""
    copy_of_the_checkout(tmp_path / "gcbench")
    done = run(tmp_path, "-c", "import gcbench; print(gcbench.__version__)")
    assert (done.returncode, done.stdout) == (0, f"{gcbench.__version__}\n"), done.stderr
    done = run(tmp_path, "-m", "gcbench", "--version")
    assert (done.returncode, done.stdout) == (0, f"gcbench {gcbench.__version__}\n"), done.stderr
