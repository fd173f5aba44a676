"""Which words of an English text stand in a negation.

Negations and how far they reach:
- `no` covers its noun phrase, and what "or" or a bare "and" adds ("no hat or glasses", "no hat and glasses"). A comma
  ends it ("no hat, and long bangs"), unless "or" closes the list ("no hat, glasses, or earrings").
- `without`, `lacking`, `free of`, `instead of` ... cover a whole list ("without a hat, glasses, and a tie"), up to a
  participle ("without a hat wearing glasses").
- `not`, `n't`, `never`, `neither`, `nor` cover the rest of their clause ("is not wearing lipstick or a necktie").
All end with the sentence (also at ; : and brackets), at "but", "although", "while" ..., at "with" and "who", at an
article of its own after "no" ("no hat and a smile"), and where a new clause begins: a comma or an "and" before a
subject or a finite verb ("no hat, and she has bangs"; "is not young and wears a hat"), or a finite verb after a
relative clause ("a woman who is not smiling has bangs"). "not only", "not just", "no doubt" negate nothing.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from gcbench.text.words import STOPS, Words

Reach = Literal["phrase", "list", "clause"]

_CUES: Mapping[tuple[str, ...], Reach] = {
    ("no",): "phrase",
    **dict.fromkeys([("without",), ("lack",), ("lacks",), ("lacking",)], "list"),
    **dict.fromkeys([("free", "of"), ("devoid", "of"), ("instead", "of"), ("rather", "than")], "list"),
    **dict.fromkeys([("not",), ("cannot",), ("never",), ("neither",), ("nor",), ("no", "longer")], "clause"),
    **dict.fromkeys([(word,) for word in ("isnt", "arent", "wasnt", "doesnt", "dont", "hasnt", "didnt")], "clause"),
}
_IDIOMS = frozenset({("no", "doubt"), ("without", "doubt"), ("without", "a", "doubt")})
_ONLY = frozenset({"only", "just", "merely", "simply"})
_CONTRASTS = frozenset(
    {"but", "however", "although", "though", "yet", "while", "whereas", "except", "who", "which", "whose", "with"}
)
_FINITE = frozenset({"has", "had", "is", "are", "was", "were", "wears", "looks", "appears", "seems", "shows", "sports"})
_SUBJECTS = frozenset({"she", "he", "they", "it", "she's", "he's", "they're", "it's", "there", "there's"})
_ARTICLES = frozenset({"a", "an", "the", "some", "his", "her", "their"})
_PARTICIPLES = frozenset({"wearing", "having", "showing", "sporting", "smiling"})


def negated(words: Words) -> list[bool]:
    """For each token, whether it stands in a negation."""
    tokens = words.tokens
    flags: list[bool] = []
    reach: Reach | None = None
    fresh = False  # nothing but adverbs has come since the negation
    while (place := len(flags)) < len(tokens):
        idiom = next((words for words in _IDIOMS if _stands(tokens, place, words)), None)
        if idiom:
            flags += [reach is not None] * len(idiom)
            continue
        if cue := _cue(tokens, place):
            reach, length = cue
            fresh = True
            flags += [True] * length
            continue
        if reach and _ends(tokens, place, reach, fresh):
            reach = None
        flags.append(reach is not None)
        fresh = fresh and tokens[place].endswith("ly")
    return flags


def _stands(tokens: Sequence[str], place: int, phrase: tuple[str, ...]) -> bool:
    return tuple(tokens[place : place + len(phrase)]) == phrase


def _cue(tokens: Sequence[str], place: int) -> tuple[Reach, int] | None:
    """The negation that begins at `place`, and its number of tokens."""
    for length in (2, 1):
        words = tuple(tokens[place : place + length])
        reach = _CUES.get(words) or ("clause" if length == 1 and words[0].endswith("n't") else None)
        if reach and len(words) == length:
            only = tokens[place + length : place + length + 1]
            return None if reach == "clause" and only and only[0] in _ONLY else (reach, length)
    return None


def _ends(tokens: Sequence[str], place: int, reach: Reach, fresh: bool) -> bool:
    """Whether a negation of this reach ends before the token at `place`."""
    token, last = tokens[place], tokens[place - 1]
    if token in STOPS:
        return True
    if fresh:
        return False
    if token in _CONTRASTS:
        return True
    if token in _FINITE:
        return last not in _SUBJECTS and last != "or"
    if token in _PARTICIPLES and reach != "clause":
        return last != "or"
    if token not in (",", "and"):
        return False
    following = tokens[place + 1] if place + 1 < len(tokens) else ""
    if _clause_begins(tokens, place + 1) or (reach == "phrase" and following in _ARTICLES):
        return True
    if token == "and":
        return False
    closing = ("or",) if reach == "phrase" or following in _PARTICIPLES else ("or", "and")
    return not _closed(tokens, place, closing)


def _clause_begins(tokens: Sequence[str], place: int) -> bool:
    """Whether what stands from `place` to the next comma or conjunction has a subject or a finite verb of its own."""
    if place < len(tokens) and tokens[place] in (*_SUBJECTS, "smiles"):
        return True
    for token in tokens[place:]:
        if token in STOPS or token in (",", "and", "or"):
            return False
        if token in _FINITE:
            return True
    return False


def _closed(tokens: Sequence[str], place: int, closing: Collection[str]) -> bool:
    """Whether the list that goes on with the comma at `place` has one of the conjunctions `closing` before it ends."""
    for at in range(place, len(tokens)):
        token = tokens[at]
        if token in STOPS or token in _CONTRASTS or token in _FINITE or (at > place and _cue(tokens, at)):
            return False
        if token in ("and", "or"):
            return token in closing
    return False
