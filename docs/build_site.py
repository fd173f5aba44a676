"""The documentation's site: `python docs/build_site.py`, with the extra `docs`.

The pages are written for GitHub. Here they are laid out in build/docs as a site needs them, and mkdocs builds them into
build/site: links that lead out of docs/ lead to copies, notebooks become pages, docs/api.md gets the docstrings, and
the bundled records come as `gcbench report` shows them. Needs no network. Any warning fails the build.
"""

import argparse
import base64
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SOURCES, SITE = ROOT / "build/docs", ROOT / "build/site"
PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Files outside docs/ that are pages, and where they lie in the site. README.md's place is docs/index.md's."""

BUNDLED = """# The bundled records
[The records that come with gcbench](bundled/index.html), as `gcbench report --bundled` shows them: protocol, tables,
curves and classes, a page for each folder of measured results.
"""


def place_of(path: Path) -> str:
    """Where a file of the checkout lies in the site: its page, or a copy of the file."""
    name = path.relative_to(ROOT).as_posix()
    if name in PAGES:
        return PAGES[name]
    if name.startswith("docs/"):
        return name.removeprefix("docs/")
    if name.startswith("notebooks/"):
        return name.removesuffix(".ipynb") + ".md"
    copy = SOURCES / "files" / name
    copy.parent.mkdir(parents=True, exist_ok=True)
    if copy.suffix == ".md":
        copy = copy.with_name(f"{copy.stem.lower()}.txt")
    shutil.copy(path, copy)
    return copy.relative_to(SOURCES).as_posix()


def led(text: str, page: Path, place: str) -> str:
    """The text of `page` with its relative links as they are from `place` in the site."""

    def link(match: re.Match[str]) -> str:
        target, _, anchor = match[2].partition("#")
        if not target or re.match(r"https?:", target):
            return match[0]
        path = (page.parent / target).resolve()
        if path.is_dir():
            path = path / "README.md"
        to = os.path.relpath(place_of(path), os.path.dirname(place) or ".").replace(os.sep, "/")
        return f"{match[1]}({to}{'#' + anchor if anchor else ''})"

    parts = re.split(r"(^```.*?^```$|`[^`\n]+`(?!\]))", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if code % 2 else re.sub(r"(\])\(([^)\s]+)\)", link, part) for code, part in enumerate(parts))


def blocks(text: str) -> str:
    """A blank line before each list and table that follows a paragraph: GitHub needs none, Python-Markdown does."""
    lines, code = [""], False
    for line in text.splitlines():
        code ^= line.startswith("```")
        starts = re.match(r"([-*] |\d+\. |\|)", line)
        inside = not lines[-1] or re.match(r"([-*] |\d+\. |\||\s)", lines[-1])
        lines += ["", line] if starts and not inside and not code else [line]
    return "\n".join(lines[1:]) + "\n"


def documented(text: str) -> str:
    """docs/api.md with the docstring in place of each `- [`NAME`](../FILE.py)`."""

    def entry(match: re.Match[str]) -> str:
        module = match[2].replace("/", ".")
        return f'\n::: {module}.{match[1].rpartition(".")[2]}\n    options: {{ heading: "{match[1]}" }}\n'

    return re.sub(r"^- \[`([\w.]+)`\]\(\.\./([\w/]+)\.py\)$", entry, text, flags=re.MULTILINE)


def page_of_notebook(path: Path, run: bool, place: str) -> str:
    """Its cells as Markdown, with outputs if it was run."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    if run:
        import nbformat
        from nbclient import NotebookClient

        empty = ROOT / "build/notebooks" / path.stem
        shutil.rmtree(empty, ignore_errors=True)
        empty.mkdir(parents=True)
        loaded = nbformat.from_dict(notebook)
        notebook = NotebookClient(loaded, timeout=600, resources={"metadata": {"path": str(empty)}}).execute()
    parts = []
    for number, cell in enumerate(notebook["cells"]):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(led(source, path, place))
        else:
            parts += [
                f"```python\n{source}\n```",
                *shown(cell["outputs"], SOURCES / "notebooks", f"{path.stem}-{number}"),
            ]
    parts.append(f"[This notebook]({path.name}) as a file.")
    shutil.copy(path, SOURCES / "notebooks" / path.name)
    return "\n\n".join(parts) + "\n"


def shown(outputs: list[dict[str, Any]], folder: Path, name: str) -> list[str]:
    """A cell's outputs: images as files, tables as they are, text as text; what went to stderr is progress."""
    parts = []
    for number, output in enumerate(outputs):
        data = output.get("data", {})
        if "image/png" in data:
            (folder / f"{name}-{number}.png").write_bytes(base64.b64decode(data["image/png"]))
            parts.append(f"![what the cell shows]({name}-{number}.png)")
        elif "text/html" in data:
            parts.append(re.sub(r"\n\s*", "", "".join(data["text/html"])))
        elif text := output.get("text") if output.get("name") == "stdout" else data.get("text/plain"):
            parts.append(f"```text\n{''.join(text).rstrip()}\n```")
    return parts


def lay_out(run_notebooks: bool) -> None:
    """The site's sources."""
    shutil.rmtree(SOURCES, ignore_errors=True)
    (SOURCES / "notebooks").mkdir(parents=True)
    shutil.copytree(ROOT / "docs/images", SOURCES / "images")
    for page in [*sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]:
        text, place = page.read_text(encoding="utf-8"), place_of(page)
        text = documented(text) if place == "api.md" else text
        (SOURCES / place).write_text(blocks(led(text, page, place)), encoding="utf-8")
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        place = place_of(notebook)
        (SOURCES / place).write_text(blocks(page_of_notebook(notebook, run_notebooks, place)), encoding="utf-8")
    (SOURCES / "bundled.md").write_text(BUNDLED, encoding="utf-8")
    report = [sys.executable, "-m", "gcbench", "report", "--bundled", "--no-segmenter", "--out"]
    subprocess.run([*report, str(SOURCES / "bundled")], cwd=ROOT, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run-notebooks", action="store_true", help="show what the notebooks' cells print")
    lay_out(parser.parse_args().run_notebooks)
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    subprocess.run([sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"], cwd=ROOT, env=quiet, check=True)
    print(f"Wrote {(SITE / 'index.html').relative_to(ROOT)}")


if __name__ == "__main__":
    main()
