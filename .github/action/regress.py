"""The step of action.yml: `gcbench regress` with the action's inputs; its table in the job's summary and in one
comment on the pull request, which later runs write over.

Inputs come in the environment (`INPUT_…`), never in the text of a command. Needs `gcbench` and, for the comment, `gh`.
Exit code: that of `gcbench regress`.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ONE_EACH = ("suite", "runs", "rescore", "model", "dataset", "reference", "checkpoint", "cascade", "device", "junit")
ONE_A_LINE = {"evaluators": "--evaluator", "settings": "--set"}
LONGEST = 60_000
"""Characters of a comment; GitHub refuses more than 65 536."""


def given(name: str) -> str:
    return os.environ.get(f"INPUT_{name.upper()}", "").strip()


def arguments() -> list[str]:
    """The inputs as options of `gcbench regress`; empty ones are left to its defaults."""
    options = [word for name in ONE_EACH if given(name) for word in (f"--{name}", given(name))]
    lines = [(option, line.strip()) for name, option in ONE_A_LINE.items() for line in given(name).splitlines()]
    return options + [word for option, line in lines if line for word in (option, line)]


def regress(summary: Path) -> int:
    """Run it; what could not be run is said in `summary` too, by its one sentence."""
    done = subprocess.run(
        ["gcbench", "regress", *arguments(), "--summary", str(summary)], stderr=subprocess.PIPE, text=True, check=False
    )
    sys.stderr.write(done.stderr)
    if not summary.exists():
        summary.write_text(
            f"The check could not be run.\n\n```\n{done.stderr.strip()[-2000:]}\n```\n", encoding="utf-8"
        )
    return done.returncode


def append(variable: str, text: str) -> None:
    """To a file that GitHub names in the environment; elsewhere there is none."""
    if path := os.environ.get(variable):
        with open(path, "a", encoding="utf-8") as file:
            file.write(text)


def gh(*words: str, body: str | None = None) -> str:
    told = None if body is None else json.dumps({"body": body})
    words = words if told is None else (*words, "--input", "-")
    return subprocess.run(["gh", "api", *words], input=told, capture_output=True, text=True, check=True).stdout


def comment(text: str, title: str) -> None:
    """Write the pull request's comment, or write over ours: a bot's that begins with our mark."""
    place = f"repos/{os.environ['GITHUB_REPOSITORY']}/issues"
    mark = f"<!-- gcbench: {title} -->"
    body = f"{mark}\n## {title}\n{text}"
    if len(body) > LONGEST:
        body = f"{body[:LONGEST]}\n\n… the rest stands in the job's summary."
    pages = json.loads(gh(f"{place}/{os.environ['PULL_REQUEST']}/comments?per_page=100", "--paginate", "--slurp"))
    comments = [one for page in pages for one in page]
    ours = [one["id"] for one in comments if one["user"]["type"] == "Bot" and one["body"].startswith(mark)]
    if ours:
        gh(f"{place}/comments/{ours[0]}", "--method", "PATCH", body=body)
    else:
        gh(f"{place}/{os.environ['PULL_REQUEST']}/comments", "--method", "POST", body=body)


def main() -> int:
    with TemporaryDirectory() as folder:
        summary = Path(folder, "summary.md")
        code = regress(summary)
        text = summary.read_text(encoding="utf-8")
    append("GITHUB_STEP_SUMMARY", text)
    append("GITHUB_OUTPUT", f"passed={'true' if code == 0 else 'false'}\n")
    if given("comment") == "true" and os.environ.get("PULL_REQUEST"):
        try:
            comment(text, given("title").replace("--", "").replace("\n", " ") or "gcbench regress")
        except (OSError, subprocess.CalledProcessError) as error:  # from a fork, the token may only read
            reason = (getattr(error, "stderr", None) or str(error)).strip().replace("\n", " ")
            print(f"::warning::The pull request got no comment; the table stands in the job's summary. {reason}")
    return code


if __name__ == "__main__":
    sys.exit(main())
