"""The words of a text in one normal form: the form in which texts and the words of classes and attributes compare."""

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

STOPS = frozenset(".;:!?()[]{}—。！？；：")
"""Tokens at which a sentence ends, or what stands for one: a dash, a bracket, a line that begins a new sentence."""

_MARKS = (
    "\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u05bf-\u05c7\u0610-\u061a\u064b-\u065f\u0900-\u0963\u0966-\u0dff"
    "\u0e31-\u0e4e\u0eb1-\u0ece\u0f71-\u0fbc\u102b-\u103e\u17b4-\u17d3\u3099\u309a"
)
"""Combining marks of the scripts that spell words with them; `\\w` has none of them."""
_LETTER = rf"(?:[^\W_]|[{_MARKS}])"
_TOKEN = re.compile(rf"\d+(?:[.,]\d+)+|{_LETTER}+(?:'{_LETTER}+)*[+#]*|[^\w\s]")
_HYPHEN = re.compile(r"(?<=\w)-(?=\w)")
_CLITIC = re.compile(r"(.+)('(?:s|re|ve|d|ll|m))")
_BREAK = re.compile(r"\s*\n\s*(?=\n|[-*•]\s|\d+[.)]\s|[A-Z\u00c0-\u00d6\u00d8-\u00de])")
_DASH = re.compile(r"\s[-\u2010-\u2015]+\s|--+|\u2014")
_OPTION = re.compile(r"(?<!\S)(?:--|\u2014)no\s+((?:(?!\s--)[^.;\n])*)", re.IGNORECASE)
"""`--no cars, people`: what a prompt must not show, as image generators take it."""
_ALIKE = str.maketrans(
    {
        **dict.fromkeys("_\u2010\u2011\u2012\u2013\u2015\u2043\u2212", "-"),
        **dict.fromkeys("\u2018\u2019\u201b\u02b9\u02bc\u2032\u00b4`", "'"),
        **dict.fromkeys("\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufe0e\ufe0f\ufeff"),
    }
)
_SUSPENDED = re.compile(r"(\w+)- (and|or) (?=\w+-(\w+))")
_FOLDED = str.maketrans({"ı": "i"})


class Words(NamedTuple):
    """tokens: words in their normal form, and marks. glued: whether a hyphen joins the token to the one before it."""

    tokens: tuple[str, ...]
    glued: tuple[bool, ...]


@lru_cache(maxsize=4096)
def read_words(text: str) -> Words:
    """Any text as tokens: `The man’s TRAFFIC_light.` is the, man, 's, traffic, light (glued) and a stop.

    NFKC and case-folding; hyphens of any kind and underscores join two tokens; a curly apostrophe is a straight one;
    `'s` and its like are tokens of their own, `isn't` is one. `&` is "and", `/` "or", `w/o` "without", `--no a, b`
    "without a or b". Quotation marks and what is neither letter, stop, comma nor symbol is left out.
    """
    text = unicodedata.normalize("NFC", text)
    text = _OPTION.sub(lambda option: f" \u2014 without {option[1].replace(',', ' or ')} \u2014 ", text)
    text = _DASH.sub(" — ", _BREAK.sub(" — ", text)).translate(_ALIKE)
    text = unicodedata.normalize("NFKC", text).translate(_ALIKE).casefold().replace("i\u0307", "i").translate(_FOLDED)
    text = _SUSPENDED.sub(r"\1-\3 \2 ", text)  # car- and people-free
    text = unicodedata.normalize("NFC", text).replace("w/o ", "without ").replace("/", " or ").replace("&", " and ")
    tokens: list[str] = []
    glued: list[bool] = []
    end = -1
    for match in _TOKEN.finditer(_HYPHEN.sub("-", text)):
        token = match.group()
        if not (token[0].isalnum() or token in STOPS or token == "," or unicodedata.category(token[0])[0] in "SM"):
            continue
        clitic = _CLITIC.fullmatch(token)
        tokens += clitic.groups() if clitic else [token]
        glued += [match.start() == end + 1 and text[end] == "-", *[False] * bool(clitic)]
        end = match.end()
    return Words(tuple(tokens), tuple(glued))


@lru_cache(maxsize=1024)
def plurals(word: str) -> frozenset[str]:
    """The plurals that English gives a noun in its normal form, or the last word of several: what may stand for it."""
    *before, last = word.split(" ")
    forms = {_IRREGULAR[last]} if last in _IRREGULAR else set()
    if last.endswith("man") and last not in ("german", "human"):
        forms.add(f"{last[:-3]}men")
    elif last.endswith("y") and last[-2:-1] not in set("aeiou"):
        forms.add(f"{last[:-1]}ies")
    elif last.endswith(("x", "z", "ch", "sh", "ss")) or last in ("bus", "gas"):
        forms.add(f"{last}es")
    elif not last.endswith("s"):
        forms.add(f"{last}s")
    return frozenset(" ".join([*before, form]) for form in forms)


_IRREGULAR = {
    **{"person": "people", "child": "children", "foot": "feet", "mouse": "mice"},
    **{"bus": "busses", "leaf": "leaves", "shelf": "shelves", "knife": "knives"},
}
