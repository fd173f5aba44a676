"""The GitHub Action: its inputs are the options of `gcbench regress`; its step runs with a stand-in for `gh`."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from gcbench.cli import app

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / ".github/action/regress.py"
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
PLURAL = {"evaluators": "evaluator", "settings": "set"}
OWN = {"gcbench", "packages", "python-version", "comment", "title", "token"}

pytestmark = pytest.mark.skipif(os.name == "nt", reason="stand-ins are scripts with a first line that Windows ignores")

GH = """
import json, sys
from pathlib import Path
state = Path(__file__).parent / "comments.json"
words = sys.argv[1:]
comments = json.loads(state.read_text())
assert words.pop(0) == "api"
place = words[0]
method = words[words.index("--method") + 1] if "--method" in words else "GET"
if method == "GET":
    assert place == "repos/someone/things/issues/7/comments?per_page=100" and words[1:] == ["--paginate", "--slurp"]
    print(json.dumps([comments[:1], comments[1:]]))  # two pages
else:
    body = json.load(sys.stdin)["body"]
    if Path(__file__).with_name("read-only").exists():
        sys.exit("HTTP 403: Resource not accessible by integration")
    if method == "POST":
        assert place == "repos/someone/things/issues/7/comments"
        comments.append({"id": len(comments) + 1, "user": {"type": "Bot"}, "body": body})
    else:
        assert method == "PATCH"
        next(one for one in comments if place == f"repos/someone/things/issues/comments/{one['id']}")["body"] = body
    state.write_text(json.dumps(comments))
"""
"""The comments of a pull request in a file: listed, written, written over."""

GCBENCH = """
import sys
from pathlib import Path
words = sys.argv[1:]
Path(__file__).with_name("called").write_text("\\n".join(words))
Path(words[words.index("--summary") + 1]).write_text(Path(__file__).with_name("table").read_text())
sys.exit(int(Path(__file__).with_name("code").read_text()))
"""


class Place:
    """A folder with stand-ins on the PATH, and what the step leaves in it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.tool("gh", GH)
        self.comments([])

    def tool(self, name: str, text: str) -> None:
        path = self.folder / name
        path.write_text(f"#!{sys.executable}\n{text}")
        path.chmod(0o755)

    def gate(self, code: int, table: str) -> None:
        self.tool("gcbench", GCBENCH)
        (self.folder / "code").write_text(str(code))
        (self.folder / "table").write_text(table)

    def comments(self, put: list[dict[str, Any]] | None = None) -> list[dict[str, Any]]:
        path = self.folder / "comments.json"
        if put is not None:
            path.write_text(json.dumps(put))
        found: list[dict[str, Any]] = json.loads(path.read_text())
        return found

    def step(self, **inputs: str) -> subprocess.CompletedProcess[str]:
        defaults = {name: str(told.get("default", "")) for name, told in ACTION["inputs"].items()}
        environment = {f"INPUT_{name.upper()}": value for name, value in (defaults | inputs).items()}
        environment |= {"GITHUB_REPOSITORY": "someone/things", "PULL_REQUEST": "7"}
        for variable in ("GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT"):
            environment[variable] = str(self.folder / variable)
        path = f"{self.folder}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            [sys.executable, str(SCRIPT)],
            cwd=self.folder,
            env=os.environ | environment | {"PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )

    def left(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_its_inputs_are_the_options_of_regress() -> None:
    command: Any = typer.main.get_command(app)
    regress = command.commands["regress"]
    options = {name.removeprefix("--") for parameter in regress.params for name in parameter.opts if "--" in name}
    assert {PLURAL.get(name, name) for name in ACTION["inputs"]} - OWN == options - {"summary", "help"}


def test_every_input_reaches_the_step_through_the_environment() -> None:
    *_, step = ACTION["runs"]["steps"]
    assert "${{" not in step["run"]
    passed = {name.removeprefix("INPUT_").lower() for name in step["env"] if name.startswith("INPUT_")}
    assert passed == {*ACTION["inputs"]} - {"gcbench", "packages", "python-version", "token"}
    for name, value in step["env"].items():
        if name.startswith("INPUT_"):
            assert value == f"${{{{ inputs.{name.removeprefix('INPUT_').lower()} }}}}"
    assert all("inputs." not in each.get("run", "") for each in ACTION["runs"]["steps"])


def test_a_pass_is_a_comment_and_a_later_fault_writes_over_it(place: Place) -> None:
    other = {"id": 99, "user": {"type": "User"}, "body": "<!-- gcbench: gcbench regress -->\nby a person"}
    place.comments([other])
    place.gate(0, "| all | hold |\n")
    done = place.step(runs="baselines", evaluators="segmenter=a@b\n\n clip=c ", settings="x=1\ny=2")
    assert done.returncode == 0, done.stderr
    options = "--runs baselines --device auto --junit regress.xml --evaluator segmenter=a@b --evaluator clip=c"
    assert " ".join(place.left("called").split()[:-1]) == f"regress {options} --set x=1 --set y=2 --summary"
    assert place.left("GITHUB_STEP_SUMMARY") == "| all | hold |\n"
    assert place.left("GITHUB_OUTPUT") == "passed=true\n"
    [first, ours] = place.comments()
    assert first == other
    assert ours["body"].startswith("<!-- gcbench: gcbench regress -->\n## gcbench regress\n| all | hold |")

    place.gate(1, "| fid | moved |\n")
    assert place.step().returncode == 1
    [first, ours] = place.comments()
    assert first == other
    assert "moved" in ours["body"]
    assert "hold" not in ours["body"]
    assert place.left("GITHUB_OUTPUT").splitlines() == ["passed=true", "passed=false"]

    place.step(title="another gate")
    assert len(place.comments()) == 3


def test_without_a_pull_request_or_a_wish_there_is_no_comment(place: Place) -> None:
    place.gate(0, "fine\n")
    assert place.step(comment="false").returncode == 0
    assert place.comments() == []
    assert place.left("GITHUB_STEP_SUMMARY") == "fine\n"


@pytest.mark.parametrize("code", [0, 1])
def test_a_token_that_may_only_read_is_a_warning_and_the_gate_decides(place: Place, code: int) -> None:
    place.gate(code, "table\n")
    (place.folder / "read-only").touch()
    done = place.step()
    assert done.returncode == code
    [warning] = [line for line in done.stdout.splitlines() if line.startswith("::warning::")]
    assert "403" in warning
    assert place.left("GITHUB_STEP_SUMMARY") == "table\n"


def test_a_long_table_is_cut_in_the_comment_alone(place: Place) -> None:
    table = "| a row |\n" * 10_000
    place.gate(1, table)
    place.step()
    [ours] = place.comments()
    assert len(ours["body"]) < 65_536
    assert "summary" in ours["body"][-60:]
    assert place.left("GITHUB_STEP_SUMMARY") == table


def test_what_could_not_be_run_is_said_by_gcbench_itself(place: Place) -> None:
    """The real command, and a folder that is not there."""
    program = "from gcbench.cli import main\nmain()\n"
    place.tool("gcbench", program)
    done = place.step(runs="nowhere")
    assert done.returncode == 2, done.stderr
    for text in (done.stderr, place.left("GITHUB_STEP_SUMMARY"), place.comments()[0]["body"]):
        assert "nowhere" in text
    assert place.left("GITHUB_OUTPUT") == "passed=false\n"
    assert "Traceback" not in done.stderr
