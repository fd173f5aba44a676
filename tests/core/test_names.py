"""What may be a name, and how every text is shown."""

import csv
import io
import unicodedata
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcbench.core.errors import UserError
from gcbench.core.names import cell_text, check_label, check_names, check_word, plain, text_of_cell

UNWANTED = ["", " ", "\t", "a\nb", "\x1b[31mred", "\u202egnp.exe", "zero\u200bwidth", "\ufeffbom", "x" * 101, "\udcff"]
NO_WORDS = [
    *("..", ".", "../victim", "/etc", "a/b", "a\\b", "C:x", ".hidden", "end.", " a", "a ", "con", "NUL.txt", "lpt9.a"),
    *("a*", "a?", 'a"', "<b>", "a|b", "模" * 90),
]
WORDS = ["val", "my data", "sd [v2]", "a.b-c_d", "Straßen", "模型", "$x$", "=1", "console", "x..y"]


@pytest.mark.parametrize("text", UNWANTED)
def test_what_cannot_be_read_is_no_name(text: str) -> None:
    for check in (check_label, check_word):
        with pytest.raises(UserError, match=r"^the class '") as raised:
            check(text, "the class")
        assert str(raised.value).isprintable()


@pytest.mark.parametrize("text", NO_WORDS)
def test_what_leads_out_of_a_folder_is_no_word(text: str) -> None:
    assert check_label(text, "the split") == text
    with pytest.raises(UserError, match=r"^the split .* names a folder"):
        check_word(text, "the split")


@pytest.mark.parametrize("text", WORDS)
def test_words(text: str) -> None:
    assert check_word(text, "the name") == text


@given(st.text())
def test_a_word_is_one_step_of_a_path_everywhere(text: str) -> None:
    try:
        check_word(text, "the name")
    except UserError:
        return
    for kind in (PurePosixPath, PureWindowsPath):
        assert (kind("root") / text).parts == ("root", text)
    assert len(text.encode()) < 250
    assert not PureWindowsPath(text).is_reserved()


@given(st.text(st.characters(codec=None)))  # type: ignore[arg-type]
def test_what_is_shown_steers_nothing_and_can_be_written(text: str) -> None:
    shown = plain(text)
    shown.encode()
    assert {unicodedata.category(letter) for letter in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp", "Cn", "Co"} == set()
    assert plain(shown) == shown


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r\0")))
def test_a_cell_is_no_formula_and_comes_back(text: str) -> None:
    out = io.StringIO()
    csv.writer(out).writerow([cell_text(text)])
    [[cell]] = csv.reader(io.StringIO(out.getvalue(), newline=""))
    assert not cell.startswith(("=", "+", "-", "@", "\t"))
    assert text_of_cell(cell) == text


def test_an_old_cell_that_begins_with_an_apostrophe_stays() -> None:
    assert text_of_cell("'tis a street") == "'tis a street"


def test_a_dataset_names_each_split_once() -> None:
    with pytest.raises(UserError, match=r"d\.toml: splits names one split twice"):
        check_names("d.toml", "d", ["a", "a"], ["x"])
