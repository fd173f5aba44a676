"""What `gcbench regress` found, for people and for CI: a table, JUnit XML, a Markdown summary."""

import re
from itertools import groupby
from pathlib import Path
from xml.etree import ElementTree

from rich.console import Console
from rich.text import Text

from gcbench.core.errors import UserError
from gcbench.core.files import write_atomic
from gcbench.core.names import plain
from gcbench.core.run_spec import guidance_text
from gcbench.reports.regression_checks import Check, Gated, Report
from gcbench.reports.table import show_texts

HEADS = ("metric", "recorded", "now", "difference", "tolerance", "")


def name(check: Check) -> str:
    return check.metric if check.column is None else f"{check.metric} {check.column}"


def number(value: float | None, sign: str = "") -> str:
    return "–" if value is None else f"{value:{sign}.6g}"


def cells(check: Check) -> list[str]:
    """One check as a row under HEADS."""
    difference = None if check.recorded is None or check.now is None else check.now - check.recorded
    numbers = (number(check.recorded), number(check.now), number(difference, "+"), number(check.tolerance))
    return [name(check), *numbers, "FAIL" if check.status == "fail" else check.status]


def stage(check: Check) -> str:
    return check.stage if check.guidance is None else f"{check.stage}, guidance {guidance_text(check.guidance)}"


def verdict(run: Gated) -> str:
    done = [check for check in run.checks if check.status != "skip"]
    outcome = f"{len(run.failures)} of {len(done)} checks failed" if run.failures else f"all {len(done)} checks passed"
    return f"{run.run}: {outcome} ({run.seconds:.0f} s)"


def remarks(run: Gated) -> list[str]:
    """What is to be said below the table of a baseline: reasons, what else has changed, how it was recorded."""
    lines = list(dict.fromkeys(f"{name(check)}: {check.reason}" for check in run.checks if check.reason))
    lines += run.notes
    if run.failures and run.command:
        lines.append(f"Recorded by `{run.command}`; the same command with --fresh records it anew.")
    return lines


def print_report(report: Report, console: Console | None = None) -> None:
    """Every check of every baseline, on standard output."""
    console = console or Console(highlight=False)
    for run in report.runs:
        lines: list[list[Text]] = []
        for heading, checks in groupby(run.checks, key=stage):
            lines.append([Text(plain(heading), "dim")])
            for check in checks:
                style = "bold red" if check.status == "fail" else ""
                lines.append([Text(plain(text), style) for text in ("  " + name(check), *cells(check)[1:])])
        show_texts(HEADS, lines, HEADS[1:], console=console)
        for line in remarks(run):
            console.print(Text(plain(line)), soft_wrap=True)
        console.print(Text(plain(verdict(run)), style="bold"), soft_wrap=True)
        console.print()


def markdown(report: Report) -> str:
    """A summary: a line for each baseline, a table of what failed."""
    lines = [f"## gcbench regress: {'passed' if report.passed else 'FAILED'}", ""]
    for run in report.runs:
        lines += [f"**{escaped(verdict(run))}**", ""]
        if run.failures:
            table = [["what", *HEADS[:-1]], ["---"] * 2 + ["---:"] * 4]
            table += [[stage(check), *cells(check)[:-1]] for check in run.failures]
            lines += [*(f"| {' | '.join(map(escaped, row))} |" for row in table), ""]
        if notes := remarks(run):
            lines += [*(f"- {escaped(line)}" for line in notes), ""]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """No table, tag or link in Markdown; what stands between backticks stays code."""
    return re.sub(r"([|\[\]])", r"\\\1", plain(text)).replace("&", "&amp;").replace("<", "&lt;")


def append_summary(path: Path, report: Report) -> None:
    """Append the Markdown summary, as GitHub Actions wants it at $GITHUB_STEP_SUMMARY."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a", encoding="utf-8") as stream:
            stream.write(markdown(report))
    except OSError as error:
        raise UserError(f"cannot write --summary {path}: {error.strerror or error}; choose another file") from error


def write_junit(path: Path, report: Report) -> None:
    """Write JUnit XML, atomically: a test suite for each baseline, a test case for each check."""
    root = ElementTree.Element("testsuites", name="gcbench regress")
    for run in report.runs:
        skipped = sum(check.status == "skip" for check in run.checks)
        counts = {"tests": len(run.checks), "failures": len(run.failures), "skipped": skipped, "errors": 0}
        facts = {"name": plain(run.run), "time": f"{run.seconds:.3f}", **{key: str(n) for key, n in counts.items()}}
        suite = ElementTree.SubElement(root, "testsuite", facts)
        for check in run.checks:
            case = ElementTree.SubElement(
                suite, "testcase", {"classname": plain(f"{run.run}: {stage(check)}"), "name": plain(name(check))}
            )
            if check.status == "fail":
                text = ", ".join(map(" ".join, list(zip(HEADS, cells(check), strict=True))[1:-1]))
                message = text if check.reason is None else f"{check.reason} ({text})"
                failure = ElementTree.SubElement(case, "failure", message=plain(message), type="regression")
                failure.text = "\n".join(map(plain, run.notes))
            elif check.status == "skip":
                ElementTree.SubElement(case, "skipped", message=plain(check.reason or ""))
    tree = ElementTree.ElementTree(root)
    ElementTree.indent(tree)
    write_atomic(path, lambda file: tree.write(file, encoding="utf-8", xml_declaration=True))
