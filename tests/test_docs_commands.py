"""README and docs: commands parse, links and paths are there, lines are short, words are those of the glossary.

The Python of the docs is run by `test_docs.py`.
"""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from gcbench.cli import app

ROOT = Path(__file__).parents[1]

AT_THE_TOP = ("README.md", "CONTRIBUTING.md", "AGENTS.md", "CHANGELOG.md")
PAGES = [*(ROOT / name for name in AT_THE_TOP), *sorted((ROOT / "docs").glob("*.md"))]

LONGEST = 160

WORDS = re.compile(r"\b(pictures?|judges?|judged|judging|by making|goes on)\b", re.IGNORECASE)
"""What the field calls image and evaluator, and idioms."""

UsageError: type[Exception] = typer.BadParameter.__mro__[1]
"""click's, or that of the copy of click which newer versions of typer bring."""

PATHS = re.compile(r"`((?:gcbench|tests|docs|studies|\.ci)/[\w./-]+)`")

page_by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```$|^    .*?$|`[^`\n]+`", "", text, flags=re.MULTILINE | re.DOTALL)


def commands(page: Path) -> list[str]:
    """The lines of code that call gcbench, continued lines joined, comments off."""
    text = re.sub(r" *\\\n *", " ", page.read_text(encoding="utf-8"))
    code = re.findall(r"^```(?:bash)?\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    code += re.findall(r"^ {4}(.*)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    lines = [part.strip() for block in code for line in block.splitlines() for part in line.split("&&")]
    lines = [re.sub(r"^(\w+=\S* )+|^- run: ", "", line) for line in lines]
    return [line for line in lines if re.match(r"gcbench [a-z-]", line)]


def parse(line: str) -> None:
    """Resolve command, options and arguments as the command line does, and run nothing."""
    words = shlex.split(re.split(r" {2,}|\s#", line)[0])[1:]
    command: Any = typer.main.get_command(app)
    context = command.context_class(command, info_name="gcbench")
    while hasattr(command, "resolve_command") and words and not words[0].startswith("-"):
        name, command, words = command.resolve_command(context, words)
        context = command.context_class(command, info_name=name, parent=context)
    command.parse_args(context, words)


def test_a_wrong_command_is_found() -> None:
    for line in ("gcbench sweeep", "gcbench sweep --no-such", "gcbench data split x", "gcbench sweep -n many"):
        with pytest.raises(UsageError):
            parse(line)


def test_there_are_commands() -> None:
    assert sum(len(commands(page)) for page in PAGES) > 60


@page_by_page
def test_commands_parse(page: Path) -> None:
    for line in commands(page):
        try:
            parse(line)
        except UsageError as error:
            pytest.fail(f"{page.name}: {line}: {error}")


@page_by_page
def test_commands_named_in_sentences_parse(page: Path) -> None:
    """They may leave out what must be given. The changelog also names what is gone."""
    text = page.read_text(encoding="utf-8")
    for line in re.findall(r"(?<!`)`(gcbench [a-z][^`…<]+)`", text) if page.name != "CHANGELOG.md" else ():
        try:
            parse(line.replace(" --help", ""))
        except UsageError as error:
            if type(error).__name__ != "MissingParameter":
                pytest.fail(f"{page.name}: {line}: {error}")


@page_by_page
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]+`", "", page.read_text(encoding="utf-8"))):
        if re.match(r"https?:", target):
            continue
        file, _, anchor = target.partition("#")
        path = (page.parent / file) if file else page
        assert path.exists(), f"{page.name} links to {target}"
        if anchor:
            heads = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}
            assert anchor in slugs, f"{page.name} links to {target}"


@page_by_page
def test_paths_exist(page: Path) -> None:
    for path in PATHS.findall(page.read_text(encoding="utf-8")):
        if page.name in ("CHANGELOG.md", "adding-a-metric.md"):  # what was, and what the reader will write
            continue
        assert (ROOT / path).exists(), f"{page.name} names {path}"


@page_by_page
def test_lines_are_short(page: Path) -> None:
    """Rows of tables cannot be broken."""
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        assert len(line) <= LONGEST or line.startswith("|"), f"{page.name}:{number} has {len(line)} characters"


@page_by_page
def test_one_word_for_one_thing(page: Path) -> None:
    assert not WORDS.findall(without_code(page.read_text(encoding="utf-8")))


def test_readme_keeps_its_commands_and_its_length() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert "pip install -e . && gcbench sweep" in lines
    assert "pip install -e '.[test]' && pytest" in lines
    assert len(lines) <= 115
