"""Texts from outside: which may be a name, and how each is shown. Knows no file and no format but CSV's cells."""

import re
import unicodedata
from collections.abc import Sequence

from gcbench.core.errors import UserError

MOST_LETTERS = 100
"""Of a name."""

PATH_SIGNS = '/\\:*?"<>|'
"""No file system of all that gcbench runs on has them in a folder's name."""

DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{i}" for port in ("com", "lpt") for i in range(1, 10))}
"""Names that Windows keeps for itself, whatever ending follows."""

FORMULA = r"'*[=+\-@\t\r]"
"""How a text begins that a spreadsheet would run, or that `cell_text` has marked."""


def plain(text: object) -> str:
    """The text with all control, formatting and unpaired characters shown as their codes."""
    return "".join(
        letter if letter.isprintable() or unicodedata.category(letter) == "Zs" else ascii(letter)[1:-1]
        for letter in str(text)
    )


def check_label(text: str, what: str) -> str:
    """The text, if a person can read it: 1 to 100 characters, some of them no blank, none that controls a terminal.
    UserError: begins with `what`, such as `dataset.toml: the class`."""
    if not text.strip():
        raise UserError(f"{what} {text!r} is empty; write a name")
    if len(text) > MOST_LETTERS:
        raise UserError(f"{what} {text[:20]!r}… has {len(text)} characters; write a name of at most {MOST_LETTERS}")
    if plain(text) != text:
        raise UserError(f"{what} {text!r} holds characters that cannot be seen; leave them out")
    return text


def check_word(text: str, what: str) -> str:
    """The text, if it is a label that may also name a folder, on any system, and never leads out of the one around it.
    UserError: as `check_label`."""
    check_label(text, what)
    if signs := set(text) & set(PATH_SIGNS):
        fault = f"holds {min(signs)}"
    elif text[0] in ". " or text[-1] in ". ":
        fault = "begins or ends with a dot or a blank"
    elif text.partition(".")[0].rstrip().lower() in DEVICES:
        fault = "is a device of Windows"
    elif len(text.encode()) > 2 * MOST_LETTERS:
        fault = "is too long for a folder"
    else:
        return text
    raise UserError(f"{what} {text!r} {fault}; it names a folder, so write a plain word")


def check_names(where: object, name: str, splits: Sequence[str], classes: Sequence[str]) -> None:
    """Refuse a dataset whose name or splits are no words, or whose classes are no labels. where: as messages begin."""
    check_word(name, f"{where}: the name")
    for split in splits:
        check_word(split, f"{where}: the split")
    if len(set(splits)) < len(splits):
        raise UserError(f"{where}: splits names one split twice; take one out")
    for label in classes:
        check_label(label, f"{where}: the class")


def cell_text(text: str) -> str:
    """A text as a CSV cell that no spreadsheet runs: an apostrophe goes before what would be a formula."""
    return f"'{text}" if re.match(FORMULA, text) else text


def text_of_cell(cell: str) -> str:
    """The text that `cell_text` wrote so."""
    return cell[1:] if cell.startswith("'") and re.match(FORMULA, cell) else cell
