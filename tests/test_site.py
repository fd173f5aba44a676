"""The documentation's site: every page is in it, in the newcomer's order, and it loads nothing from elsewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import gcbench

ROOT = Path(__file__).parents[1]
SITE = ROOT / "build/site"


def test_the_api_page_names_every_public_function() -> None:
    named = re.findall(r"^- \[`gcbench\.(\w+)`\]", (ROOT / "docs/api.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert {*named} == {*gcbench.__all__} - {"__version__"}


def test_the_pages_stand_in_the_order_of_the_index() -> None:
    """Within each part of the menu; strict building holds that none is missing."""
    index = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    order = re.findall(r"\]\((?:\.\./)?([\w/-]+)\.(?:md|ipynb)\)", index)
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    parts = [
        re.findall(r": ([\w/-]+)\.md$", part, re.MULTILINE) for part in re.split(r"^  - ", menu, flags=re.MULTILINE)
    ]
    pages = {page for part in parts for page in part}
    assert {*order} == pages - {"index", "bundled", "contributing", "changelog"}
    for part in parts[1:-2]:  # results and development are gathered from several places
        places = [order.index(page) for page in part if page in order]
        assert places == sorted(places), part


@pytest.mark.slow
def test_it_is_built_without_a_warning_and_loads_nothing() -> None:
    pytest.importorskip("mkdocs", reason="the extra `docs` is not installed")
    pytest.importorskip("material", reason="the extra `docs` is not installed")
    command = [sys.executable, "docs/build_site.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = sorted(SITE.rglob("*.html"))
    assert len(pages) > len(list((ROOT / "docs").glob("*.md")))
    for page in pages:
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|iframe|source)[^>]+src=\"?(https?:[^\s\">]+)", text)
        loaded += re.findall(r"<link[^>]+rel=\"?(?:stylesheet|preconnect|preload)[^>]+href=\"?(https?:[^\s\">]+)", text)
        assert not loaded, f"{page.relative_to(SITE)} loads {loaded}"
    assert "Measure <code>model</code> on <code>dataset</code>" in (SITE / "api.html").read_text(encoding="utf-8")
    check_bundled(SITE / "bundled")
    for place in re.findall(r"<a href=\"((?!https?:|#)[^\"#]+)", (SITE / "index.html").read_text(encoding="utf-8")):
        assert (SITE / place).exists(), place


def check_bundled(folder: Path) -> None:
    """A page for every group of bundled records, and the index links to each; none names this machine's folders."""
    index = (folder / "index.html").read_text(encoding="utf-8")
    linked = set(re.findall(r"<a [^>]*href=\"([^\"]+)\"", index))
    assert linked == {path.name for path in folder.iterdir()} - {"index.html"}
    assert "streets.html" in linked
    assert "regression.html" not in linked
    root = str(Path(gcbench.__file__).parent)
    assert not [page.name for page in folder.glob("*.html") if root in page.read_text(encoding="utf-8")]
