"""The Python of the docs runs, block by block, as it stands there."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"

PAGES: dict[str, dict[int, str]] = {
    "adding-a-model.md": {0: "flat.py"},
    "definitions.md": {},
    "process.md": {},
    "python.md": {},
    "which-n.md": {},
}
"""Page -> its blocks that are files too, by their place, and what those are called. All are run in their order."""

ELSEWHERE = {
    "adding-a-metric.md": "tests/metrics/test_adding_a_metric.py",
    "diffusers.md": "tests/baselines/test_diffusers_page.py",
    "your-own-dataset.md": "tests/data/test_own_dataset_page.py",
}
"""Pages that have a test of their own."""

SLOW = {"definitions.md", "python.md"}


def blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (DOCS / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_every_page_with_python_is_run() -> None:
    assert {path.name for path in DOCS.glob("*.md") if blocks(path.name)} == PAGES.keys() | ELSEWHERE.keys()
    for page, test in ELSEWHERE.items():
        assert page in (DOCS.parent / test).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=pytest.mark.slow) if page in SLOW else page for page in PAGES]
)
def test_the_page_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one namespace and an empty folder; functions called test_… are called."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    names: dict[str, object] = {}
    for place, block in enumerate(blocks(page)):
        if place in PAGES[page]:
            (tmp_path / PAGES[page][place]).write_text(block, encoding="utf-8")
        exec(compile(block, f"{page}, block {place + 1}", "exec"), names)
    for name, test in names.items():
        if name.startswith("test_"):
            test()  # type: ignore[operator]
