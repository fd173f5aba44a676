"""Link what gcbench requires, and what that requires, from this environment into another: `python FILE OTHER`.

The other one is then as `pip install` of the wheel leaves it, but for gcbench itself. A requirement that pyproject.toml
lacks is missing there, though this environment has it for the tests.
"""

import os
import sys
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def required(name: str, extras: frozenset[str], seen: set[tuple[str, str]]) -> None:
    """Add to `seen` each distribution that `name[extras]` needs, by name and extra."""
    for text in distribution(name).requires or ():
        needed = Requirement(text)
        wanted = any(needed.marker.evaluate({"extra": extra}) for extra in extras | {""}) if needed.marker else True
        new = {(canonicalize_name(needed.name), extra) for extra in needed.extras | {""}} - seen
        if wanted and new:
            seen |= new
            required(needed.name, frozenset(needed.extras), seen)


def main() -> None:
    here = Path(distribution("packaging").locate_file("")).resolve()
    [there] = Path(sys.argv[1]).resolve().glob("lib/python*/site-packages")
    seen: set[tuple[str, str]] = set()
    required("gcbench", frozenset(), seen)
    for name in sorted({name for name, _ in seen}):
        for file in distribution(name).files or ():
            source = Path(file.locate()).resolve()
            target = there / file
            if source.is_relative_to(here) and source.exists() and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                os.link(source, target)
    print(f"{len({name for name, _ in seen})} distributions")


if __name__ == "__main__":
    main()
