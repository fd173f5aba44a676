"""Where a text mentions things by their words, and whether it denies them: what class and attribute readers share."""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from gcbench.text.negation import CUE_WORDS, negated
from gcbench.text.other_meanings import idiom, means_another
from gcbench.text.words import Words, plurals, read_words

_BETWEEN = frozenset({",", "and", "or", "nor", "long", "short"})
"""What may stand between words that share their last one, beside such words."""
_COPULAS = frozenset({"is", "are", "was", "were", "'s", "looks", "look", "appears", "seems"})
_GLUED, _REACH = 6, 24
"""The most tokens that hyphens join to one word, and between words that share one: a long text stays quick to read."""
_CONJUNCTIONS = frozenset({"and", "or", "nor"})


class Mention(NamedTuple):
    """name: of what is mentioned. start, stop: its tokens in `read_words(text)`, its own ones only where it shares a
    word with another ("traffic signs and lights": 3 to 4). alias: the words it is known by, as the caller gave them.
    negated: whether the text denies it ("no cars", "car-free")."""

    name: str
    start: int
    stop: int
    alias: str
    negated: bool


def find_mentions(text: str, aliases: Mapping[str, Sequence[str]]) -> tuple[Mention, ...]:
    """The mentions in `text`, in their order; `aliases`: name -> its words.

    Whole words in their normal form (`text.words`), a regular plural as its singular, the longest first, no word
    counted twice; a blank matches a blank or a hyphen, and a hyphen in the text may be left out ("motor-cycle"). Words
    that share their last one may share it in the text ("wavy, black and long hair"), and it may come first ("her hair
    is wavy"); so may those that share their first ("traffic signs and lights").
    """
    table = _table(tuple((name, tuple(words)) for name, words in aliases.items()))
    return _find(text, table)


def _find(text: str, table: "_Table") -> tuple[Mention, ...]:
    words = read_words(text)
    places = list(_places(words, table))
    own = {at for start, stop, _, _ in places for at in range(start, stop)}
    plain = tuple("" if at in own and token in CUE_WORDS else token for at, token in enumerate(words.tokens))
    denied = negated(Words(plain, words.glued))  # a name that has a word of denial in it denies nothing
    return tuple(
        Mention(phrase.name, start, stop, phrase.alias, (denied[stop - 1] or after_no) != phrase.inverse ^ less)
        for start, stop, phrases, less in places
        for phrase in phrases
        for after_no in [phrase.inverse and start > 0 and words.tokens[start - 1] == "no"]
    )


def _places(words: Words, table: "_Table") -> Iterator[tuple[int, int, list["_Phrase"], bool]]:
    """Where phrases stand: start, stop, which ones, and whether "-less" follows."""
    place = 0
    while place < len(words.tokens):
        length, phrases = table.longest(words, place)
        less = not phrases and words.tokens[place].endswith("less")
        if (other := idiom(words.tokens, place)) > length:
            length, phrases = other, []
        elif phrases and means_another(words, place, place + length):
            phrases = []
        elif less:  # "treeless"
            phrases = [p for p in table.starting.get(words.tokens[place][:-4], ()) if len(p.tokens) == 1]
        elif not phrases:
            phrases = [*table.sharing_last(words.tokens, place), *table.sharing_first(words.tokens, place)]
        if phrases:
            yield place, place + (length or 1), phrases, less
        place += length or 1


class _Phrase(NamedTuple):
    """tokens: an alias in its normal form. inverse: it began with "no", which is left off."""

    name: str
    alias: str
    tokens: tuple[str, ...]
    inverse: bool


class _Table(NamedTuple):
    """starting: first token -> phrases. firsts, lasts: first and last token -> phrases of two tokens."""

    starting: dict[str, list[_Phrase]]
    firsts: dict[str, list[_Phrase]]
    lasts: dict[str, list[_Phrase]]

    def longest(self, words: Words, place: int) -> tuple[int, list[_Phrase]]:
        """The phrases that stand at `place` over the most tokens, and how many these are."""
        tokens = words.tokens
        hits = [(len(p.tokens), p) for p in self.starting.get(tokens[place], ()) if _stands(tokens, place, p.tokens)]
        joined, stop = tokens[place], place + 1
        while stop < min(len(tokens), place + _GLUED) and words.glued[stop]:
            joined, stop = joined + tokens[stop], stop + 1
            hits += [(stop - place, p) for p in self.starting.get(joined, ()) if len(p.tokens) == 1]
        length = max((length for length, _ in hits), default=0)
        return length, list(dict.fromkeys(p for n, p in hits if n == length))

    def sharing_last(self, tokens: Sequence[str], place: int) -> Iterator[_Phrase]:
        """Phrases of two tokens whose first stands at `place` and shares its last with others, before or after it."""
        for phrase in self.firsts.get(tokens[place], ()):
            head = phrase.tokens[1]
            between = _BETWEEN | {other.tokens[0] for other in self.lasts[head]}
            after = next((token for token in tokens[place + 1 : place + _REACH] if token not in between), "")
            before = place - 1
            while before >= max(0, place - _REACH) and tokens[before] in between | {"not", "neither", "but"}:
                before -= 1
            if after == head or (before >= 1 and tokens[before] in _COPULAS and tokens[before - 1] == head):
                yield phrase

    def sharing_first(self, tokens: Sequence[str], place: int) -> list[_Phrase]:
        """Phrases of two tokens whose last stands at `place` and shares its first: `m x and y`."""
        if place < 3 or tokens[place - 1] not in _CONJUNCTIONS:
            return []
        return [phrase for phrase in self.lasts.get(tokens[place], ()) if phrase.tokens[0] == tokens[place - 3]]


def _stands(tokens: Sequence[str], place: int, phrase: tuple[str, ...]) -> bool:
    return tuple(tokens[place : place + len(phrase)]) == phrase


@lru_cache(maxsize=64)
def _table(aliases: tuple[tuple[str, tuple[str, ...]], ...]) -> _Table:
    table = _Table({}, {}, {})
    given = {(inverse, tokens) for _, words in aliases for word in words for inverse, tokens in [_phrase(word)]}
    seen: set[_Phrase] = set()
    for name, words in aliases:
        for word in words:
            inverse, tokens = _phrase(word)
            forms = [
                tokens,
                *(t for many in plurals(" ".join(tokens)) if (inverse, t := tuple(many.split(" "))) not in given),
            ]
            for form in forms if tokens else ():
                _add(table, seen, _Phrase(name, word, form, inverse))
    return table


def _phrase(word: str) -> tuple[bool, tuple[str, ...]]:
    tokens = read_words(word).tokens
    inverse = tokens[:1] == ("no",) and len(tokens) > 1
    return inverse, tokens[inverse:]


def _add(table: _Table, seen: set[_Phrase], phrase: _Phrase) -> None:
    same = _Phrase(phrase.name, "", phrase.tokens, phrase.inverse)
    if same in seen:
        return
    seen.add(same)
    starting, firsts, lasts = table
    starting.setdefault(phrase.tokens[0], []).append(phrase)
    if len(phrase.tokens) == 2:
        firsts.setdefault(phrase.tokens[0], []).append(phrase)
        lasts.setdefault(phrase.tokens[1], []).append(phrase)
