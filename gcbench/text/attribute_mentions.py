"""Which attributes a text affirms: those whose words it says outside of a negation.

A text that says what is not there ("no hat") must not be scored for it. This file reads English captions by the rules
below, without a parser; what can be read both ways is not affirmed, because a false demand would blame an image for
what nobody asked of it, while a missed one costs a little data. What is denied is left out, never turned round.

Words. Whole words, case ignored, the longest first, no word counted twice; a blank matches blanks or one hyphen. Words
that share their last one may share it in the text ("wavy, black and long hair"), and it may come first ("her hair is
wavy"). A word that is itself a negation ("no beard") is affirmed where the rest of it is negated, in whatever way
("without a beard", "does not have any beard"). A pronoun is never negated: "does not open his mouth" speaks of a man.

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

import re
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

Reach = Literal["phrase", "list", "clause"]

_TOKEN = re.compile(r"[^\W_]+(?:'[^\W_]+)*|[.,;:!?()\n–—]")
_STOPS = frozenset(".;:!?()\n–—")
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
_COPULAS = frozenset({"is", "are", "was", "were", "looks"})
_SUBJECTS = frozenset({"she", "he", "they", "it", "she's", "he's", "they're", "it's", "there", "there's"})
_UNDENIED = frozenset({"he", "him", "his", "himself", "she", "her", "hers", "herself", "they", "them", "their"})
_ARTICLES = frozenset({"a", "an", "the", "some", "his", "her", "their"})
_PARTICIPLES = frozenset({"wearing", "having", "showing", "sporting", "smiling"})
_SHARED = frozenset({",", "and", "or", "long", "short"})
"""What may stand between words that share their last one, beside such words."""


def affirmed(text: str, attribute_words: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The attributes that `text` affirms, in the order of `attribute_words` (attribute -> its words, lower case)."""
    words = _compiled(tuple((name, tuple(phrases)) for name, phrases in attribute_words.items()))
    tokens = _tokens(text)
    negated = _negated(tokens)
    attributes: set[str] = set()
    place = 0
    while place < len(tokens):
        here = [phrase for phrase in words.starting.get(tokens[place], ()) if _stands(tokens, place, phrase.tokens)]
        length = max((len(phrase.tokens) for phrase in here), default=0)
        here = [phrase for phrase in here if len(phrase.tokens) == length]
        denied = negated[place + length - 1] if length else negated[place]
        if not here:
            here = [phrase for phrase in words.starting.get(tokens[place], ()) if words.shares(tokens, place, phrase)]
        for phrase in here:
            if phrase.inverse == (denied and tokens[place] not in _UNDENIED):
                attributes.add(phrase.attribute)
        place += length or 1
    return tuple(name for name in attribute_words if name in attributes)


class _Phrase(NamedTuple):
    """tokens of an attribute's word; inverse: of one that began with "no", which is left off."""

    attribute: str
    tokens: tuple[str, ...]
    inverse: bool


class _Words(NamedTuple):
    """starting: first token -> phrases. modifiers: last token -> first tokens of two-token phrases."""

    starting: Mapping[str, list[_Phrase]]
    modifiers: Mapping[str, set[str]]

    def shares(self, tokens: list[str], place: int, phrase: _Phrase) -> bool:
        """Whether the first of a phrase's two tokens, at `place`, shares its last with others before or after it."""
        if len(phrase.tokens) != 2:
            return False
        head = phrase.tokens[1]
        between = self.modifiers[head] | _SHARED
        after = next((token for token in tokens[place + 1 :] if token not in between), "")
        before = place - 1
        while before >= 0 and tokens[before] in between:
            before -= 1
        return after == head or (before >= 1 and tokens[before] in _COPULAS and tokens[before - 1] == head)


@lru_cache(maxsize=64)
def _compiled(attribute_words: tuple[tuple[str, tuple[str, ...]], ...]) -> _Words:
    starting: dict[str, list[_Phrase]] = {}
    modifiers: dict[str, set[str]] = {}
    for name, phrases in attribute_words:
        for phrase in phrases:
            tokens = tuple(_tokens(phrase))
            inverse = tokens[:1] == ("no",) and len(tokens) > 1
            tokens = tokens[inverse:]
            if not tokens:
                continue
            starting.setdefault(tokens[0], []).append(_Phrase(name, tokens, inverse))
            if len(tokens) == 2:
                modifiers.setdefault(tokens[1], set()).add(tokens[0])
    return _Words(starting, modifiers)


def _tokens(text: str) -> list[str]:
    return _TOKEN.findall(text.lower().replace("’", "'"))


def _stands(tokens: list[str], place: int, phrase: tuple[str, ...]) -> bool:
    return tuple(tokens[place : place + len(phrase)]) == phrase


def _negated(tokens: list[str]) -> list[bool]:
    """For each token, whether it stands in a negation."""
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


def _cue(tokens: list[str], place: int) -> tuple[Reach, int] | None:
    """The negation that begins at `place`, and its number of tokens."""
    for length in (2, 1):
        words = tuple(tokens[place : place + length])
        reach = _CUES.get(words) or ("clause" if length == 1 and words[0].endswith("n't") else None)
        if reach and len(words) == length:
            only = tokens[place + length : place + length + 1]
            return None if reach == "clause" and only and only[0] in _ONLY else (reach, length)
    return None


def _ends(tokens: list[str], place: int, reach: Reach, fresh: bool) -> bool:
    """Whether a negation of this reach ends before the token at `place`."""
    token, last = tokens[place], tokens[place - 1]
    if token in _STOPS:
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


def _clause_begins(tokens: list[str], place: int) -> bool:
    """Whether what stands from `place` to the next comma or conjunction has a subject or a finite verb of its own."""
    if place < len(tokens) and tokens[place] in (*_SUBJECTS, "smiles"):
        return True
    for token in tokens[place:]:
        if token in _STOPS or token in (",", "and", "or"):
            return False
        if token in _FINITE:
            return True
    return False


def _closed(tokens: list[str], place: int, closing: Collection[str]) -> bool:
    """Whether the list that goes on with the comma at `place` has one of the conjunctions `closing` before it ends."""
    for at in range(place, len(tokens)):
        token = tokens[at]
        if token in _STOPS or token in _CONTRASTS or token in _FINITE or (at > place and _cue(tokens, at)):
            return False
        if token in ("and", "or"):
            return token in closing
    return False
