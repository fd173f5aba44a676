"""Which words of an English text stand in a negation: rules, without a parser.

Cues and how far they reach:
- `no`, `zero`, `nobody`, `hardly any` ... cover their noun phrase, and what "or" or a bare "and" adds ("no hat or
  glasses", "no hat and glasses"). A comma ends it ("no hat, and long bangs"), unless "or" closes the list ("no hat,
  glasses, or earrings"). As the subject of a sentence they cover its verb too ("no one wears a hat").
- `without`, `lacking`, `free of`, `instead of` ... cover a whole list ("without a hat, glasses, and a tie"), up to a
  participle ("without a hat wearing glasses"); at the head of a sentence up to the comma that ends the list.
- `not`, `n't`, `never`, `hardly`, `neither`, `nor` cover the rest of their clause ("is not wearing lipstick or a tie").
- `non-`, `un-` cover the word that they are joined to; `-free`, `-less` the one before them.
- "is missing", "are absent", "is not visible", "are nowhere" ... cover their subject.
All end with the sentence (also at ; : dashes and brackets), at "but", "although", "while" ..., at "with" and "who" (in
a clause only after a comma), at an article or a number of its own after "no" ("no hat and a smile"), and where a new
clause begins: a comma or an "and" before a subject or a finite verb ("no hat, and she has bangs"; "is not young and
wears a hat"), or a finite verb after a relative clause ("a woman who is not smiling has bangs").

What is not denied though a cue is there: "not only", "no doubt", "nothing but", "no shortage of"; what "except" takes
out of a negation ("nobody except a child"); a negation of a negation ("never without a hat", "is not missing"); a
definite place or owner, whose being there the sentence takes for granted ("no people on the sidewalk", "none of the
cars", "the man's hat is missing").
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal

from gcbench.text.words import STOPS, Words

Reach = Literal["phrase", "list", "clause"]


def _phrases(spelled: str) -> list[tuple[str, ...]]:
    """`"free of/instead of"`: (free, of), (instead, of)."""
    return [tuple(phrase.split()) for phrase in spelled.split("/")]


_EXCEPTIONS = frozenset(_phrases("except/except for/excepting/other than/save for/with the exception of"))
_CUES: Mapping[tuple[str, ...], Reach] = {
    **dict.fromkeys(
        _phrases(
            "no/zero/0/no more/nobody/noone/no one/none/nothing/not a single/not one/not any/hardly any/barely any/"
            "scarcely any/few if any/little if any/few or no/little or no"
        ),
        "phrase",
    ),
    **dict.fromkeys(_EXCEPTIONS, "list"),
    **dict.fromkeys(
        _phrases(
            "without/sans/minus/lack/lacks/lacked/lacking/lack of/absence of/free of/free from/devoid of/void of/"
            "bare of/empty of/clear of/bereft of/instead of/rather than/in place of/as opposed to/anything but/"
            "everything but/everyone but/all but/exclude/excludes/excluding/omit/omits/omitting/avoid/avoids/"
            "avoiding/absent any"
        ),
        "list",
    ),
    **dict.fromkeys(
        _phrases(
            "not/cannot/never/neither/nor/no longer/hardly/barely/scarcely/rarely/seldom/nowhere/isnt/arent/wasnt/"
            "werent/doesnt/dont/didnt/hasnt/havent/refuses to/refused to/fails to/failed to"
        ),
        "clause",
    ),
}
CUE_WORDS = frozenset(word for cue in _CUES for word in cue) | {"missing", "absent", "gone", "nowhere"}
"""The words of which cues are made."""
_BESIDES = frozenset(_phrases("besides/apart from/aside from"))
"""Take something out of a negation, as exceptions do, but deny nothing where there is none."""
_DESERTED = frozenset({"empty", "deserted", "bare", "abandoned"})
_IDIOMS = frozenset(
    _phrases(
        "no doubt/without doubt/without a doubt/no shortage of/no lack of/no absence of/no fewer than/no less than/"
        "no more than/no matter/no sooner/can't stop/can't help/cannot stop/cannot help/nothing but/none but/"
        "nobody but/no one but/nothing except/nothing other than/nothing more than/nothing less than"
    )
)
"""Negate nothing."""
_HARMLESS = frozenset({"only", "just", "merely", "simply", "solely", "many", "all", "every", "everyone", "everybody"})
"""Words after which "not" denies nothing: "not only", "not many", "not every"."""
_CONTRASTS = frozenset(
    {"but", "however", "although", "though", "yet", "while", "whereas", "because", "since", "so", "when", "unless"}
)
_ADDITIONS = frozenset({"who", "which", "whose", "with"})
_FINITE = frozenset(
    {"has", "have", "had", "is", "are", "was", "were", "wears", "wear", "looks", "appears", "seems", "shows", "sports"}
)
_VERBS = frozenset(
    {
        *(
            "walk",
            "walks",
            "stand",
            "stands",
            "drive",
            "drives",
            "ride",
            "rides",
            "sit",
            "sits",
            "wait",
            "waits",
            "run",
        ),
        *(
            "runs",
            "line",
            "fill",
            "fills",
            "cross",
            "crosses",
            "pass",
            "passes",
            "surround",
            "surrounds",
            "grow",
            "grows",
        ),
        *("cover", "covers", "remain", "remains", "smiles", "can", "will"),
    }
)
"""Verbs that show that a clause of its own follows a comma or "and"; too like nouns to end a negation by themselves."""
_COPULAS = frozenset({"is", "are", "was", "were", "be", "been", "'s", "'re"})
_SUBJECTS = frozenset({"she", "he", "they", "it", "there", "we", "you"})
_ARTICLES = frozenset({"a", "an", "the", "some", "his", "her", "their"})
_QUANTITIES = frozenset({"many", "several", "lots", "plenty", "numerous", "one", "two", "three", "four", "five", "few"})
_DEFINITE = frozenset({"the", "this", "that", "these", "those", "his", "her", "its", "their", "our", "my", "your"})
_PLACES = frozenset(
    {
        *(
            "on",
            "in",
            "at",
            "under",
            "beneath",
            "beside",
            "behind",
            "near",
            "above",
            "over",
            "below",
            "along",
            "across",
        ),
        *("crossing", "cross", "crosses", "passing", "entering", "leaving", "blocking", "lining", "line", "lines"),
        *("around", "by", "between", "through", "against", "outside", "inside", "to", "from"),
    }
)
_PARTS = frozenset(
    {"front", "side", "sides", "middle", "centre", "center", "top", "back", "edge", "end", "none", "one"}
)
"""Nouns after which "of the" is a place, or what a part is taken from."""
_PARTICIPLES = frozenset({"wearing", "having", "showing", "sporting", "smiling", "featuring", "containing"})
_STATES = frozenset({"full", "filled", "lined", "covered", "crowded", "surrounded", "only", "just", "instead"})
_ABSENT = frozenset({"missing", "lacking", "absent", "gone", "nowhere"})
_THERE = frozenset(
    {
        "visible",
        "seen",
        "present",
        "there",
        "shown",
        "included",
        "depicted",
        "found",
        "worn",
        "allowed",
        "anywhere",
        "appear",
    }
)
_DEGREES = frozenset({"so", "very", "too", "all", "that", "quite"})
_ADVERBS = frozenset({"at", "all", "ever", "quite", "yet", "still", "even", "also", "be", "been", "being", "to", "too"})
_AREAS = frozenset({"zone", "street", "road", "city", "area", "scene", "day", "town", "centre", "center"})


@lru_cache(maxsize=4096)
def negated(words: Words) -> tuple[bool, ...]:
    """For each token, whether it stands in a negation."""
    tokens, glued = words
    flags = _denied_after(tokens, glued)
    for place, token in enumerate(tokens):
        if start := _subject(tokens, place):
            flags[slice(*start)] = [True] * (start[1] - start[0])
        elif token in ("free", "less") and glued[place]:
            flags[place - 1] = not flags[place - 1]
        elif token == "free" and place and tokens[place + 1 : place + 2] and tokens[place + 1] in _AREAS:
            flags[place - 1] = True
    for place in _granted(tokens, flags):
        flags[place] = False
    return tuple(flags)


@dataclass
class _Scope:
    """A negation that is open. subject: its phrase is a sentence's subject, or follows "there is". end: where a list at
    the head of a sentence ends. fresh: nothing but adverbs has come since the cue. place, choice: a place, an
    "or" has come."""

    reach: Reach
    subject: bool
    end: int | None
    fresh: bool = True
    place: bool = False
    choice: bool = False


def _denied_after(tokens: Sequence[str], glued: Sequence[bool]) -> list[bool]:
    """What cues deny that come before it."""
    flags: list[bool] = []
    scope: _Scope | None = None
    while (place := len(flags)) < len(tokens):
        if length := _longest(tokens, place, _IDIOMS):
            flags += [scope is not None] * length
        elif (length := _longest(tokens, place, _EXCEPTIONS | _BESIDES)) and (scope or _deserted(tokens, place)):
            scope = None
            flags += [False] * length
        elif length := _joined_negation(tokens, glued, place):
            flags += [scope is not None, *[True] * length]
        elif cue := _cue(tokens, place):
            reach, length = cue
            twice = reach == "list" or tokens[place] == "not"
            if (twice and scope and scope.fresh) or (reach == "list" and _excepted_ahead(tokens, place)):
                scope = None
            else:
                scope = _Scope(reach, _is_subject(tokens, place), _list_end(tokens, place) if reach == "list" else None)
            flags += [scope is not None] * length
        else:
            if scope and _ends(tokens, place, scope):
                scope = None
            flags.append(scope is not None)
            if scope:
                token = tokens[place]
                scope.fresh = scope.fresh and (token.endswith("ly") or token in _ADVERBS or token in _COPULAS)
                scope.place = scope.place or token in _PLACES
                scope.choice = scope.choice or token == "or"
                if scope.reach == "phrase" and scope.subject and token in _FINITE:
                    scope.reach, scope.fresh = "clause", True
    return flags


def _longest(tokens: Sequence[str], place: int, phrases: Collection[tuple[str, ...]]) -> int:
    """How many tokens the longest of `phrases` has that stands at `place`; 0 if none does."""
    return next(
        (n for n in (4, 3, 2, 1) if tuple(tokens[place : place + n]) in phrases and place + n <= len(tokens)), 0
    )


def _joined_negation(tokens: Sequence[str], glued: Sequence[bool], place: int) -> int:
    """How many tokens are denied after the one at `place`, if it denies no more than the word that it is joined to:
    `non-`, `un-`, `no-`, or "a not very tall man"; 0 otherwise."""
    token, stop = tokens[place], place + 1
    if stop == len(tokens):
        return 0
    if token == "non" or (token in ("un", "no", "anti") and glued[stop] and tokens[stop] != "one"):
        return 1
    if token != "not" or not place or tokens[place - 1] not in ("a", "an", "the"):
        return 0
    while stop + 1 < len(tokens) and (tokens[stop] in _DEGREES or tokens[stop].endswith("ly")):
        stop += 1
    return stop - place


def _excepted_ahead(tokens: Sequence[str], place: int) -> bool:
    """Whether an exception at the head of a sentence is one from a negation: "except for a bus, there are no cars"."""
    if not _longest(tokens, place, _EXCEPTIONS) or (end := _list_end(tokens, place)) is None:
        return False
    stop = next((i for i in range(place, len(tokens)) if tokens[i] in STOPS), len(tokens))
    return any(_cue(tokens, at) or tokens[at] in _DESERTED for at in range(end, stop))


def _cue(tokens: Sequence[str], place: int) -> tuple[Reach, int] | None:
    """The negation that begins at `place`, and its number of tokens."""
    token = tokens[place]
    last, after = tokens[place - 1] if place else "", tokens[place + 1] if place + 1 < len(tokens) else ""
    if token in ("missing", "lacking"):
        return ("list", 1) if _takes_object(after) else None
    if token in ("stopped", "quit") and after.endswith("ing"):
        return "clause", 1
    if token == "nowhere" and last in _COPULAS:
        return None
    if token == "no" and (last in ("a", "an", "the") or after == "," or "than" in tokens[place + 2 : place + 3]):
        return None  # "a no parking sign", "No, ...", "no larger than"
    length = _longest(tokens, place, _CUES)
    reach = _CUES[tuple(tokens[place : place + length])] if length else "clause" if token.endswith("n't") else None
    length = length or 1
    only = tokens[place + length : place + length + 1]
    return None if reach is None or (reach == "clause" and only and only[0] in _HARMLESS) else (reach, length)


def _takes_object(after: str) -> bool:
    """Whether "missing" is a verb with an object, by the token after it."""
    return bool(after) and after not in STOPS | _PLACES | _CONTRASTS | {",", "and", "or", "here", "altogether", "too"}


def _deserted(tokens: Sequence[str], place: int) -> bool:
    """Whether what is excepted at `place` is left in emptiness: "empty except for". "Apart from" denies nothing."""
    if _longest(tokens, place, _BESIDES):
        return True
    for token in reversed(tokens[:place]):
        if token in STOPS or token in _DESERTED:
            return token in _DESERTED
    return False


def _is_subject(tokens: Sequence[str], place: int) -> bool:
    """Whether the phrase that begins at `place` is a sentence's subject, or follows "there is"."""
    last = tokens[place - 1] if place else "."
    return last in STOPS | {",", "and", "but"} or (place > 1 and last in _COPULAS and tokens[place - 2] == "there")


def _list_end(tokens: Sequence[str], place: int) -> int | None:
    """The comma or the subject that ends a list at the head of a sentence: "Without cars, buses, and trams, the road
    is"; "instead of cars there are trams"."""
    if place and tokens[place - 1] not in STOPS:
        return None
    stop = next((i for i in range(place, len(tokens)) if tokens[i] in STOPS), len(tokens))
    commas = [i for i in range(place, stop) if tokens[i] == ","]
    for start, end in pairwise([*commas, stop]):
        if tokens[start + 1] in ("and", "or") and end == stop:
            return None
        if _clause_begins(tokens, start + 1):
            return commas[0]
        if "and" in tokens[start:end] or "or" in tokens[start:end]:
            return end if end < stop else None
    if commas:
        return commas[0]
    for i in range(place + 2, stop):
        subject = tokens[i] in _SUBJECTS or (tokens[i] == "the" and i > place + 2)
        if subject and tokens[i - 1] not in _PLACES | {"of", "that"}:
            return i
    return None


def _ends(tokens: Sequence[str], place: int, scope: _Scope) -> bool:
    """Whether a negation ends before the token at `place`."""
    token, last, reach = tokens[place], tokens[place - 1], scope.reach
    if token in STOPS or place == scope.end:
        return True
    if scope.fresh:
        return False
    inner = reach == "clause" or (reach == "phrase" and scope.subject)
    if token in _CONTRASTS or (token in _ADDITIONS and (not inner or last in (",", "and"))):
        return True
    if token in _FINITE:
        return last not in _SUBJECTS | {"or", "who", "which", "that"} and not (inner and reach == "phrase")
    if token in _PARTICIPLES and not inner:
        return last != "or"
    if token == "smiles" and not scope.subject and last not in _SUBJECTS | {",", "and", "or"}:
        return True
    return token in (",", "and") and scope.end is None and _ends_at_conjunction(tokens, place, scope)


def _ends_at_conjunction(tokens: Sequence[str], place: int, scope: _Scope) -> bool:
    """Whether a negation ends at the comma or "and" at `place`."""
    following = tokens[place + 1] if place + 1 < len(tokens) else ""
    if _longest(tokens, place + 1, _EXCEPTIONS):
        return False
    own = following in _QUANTITIES or following in _STATES or following.isdigit()
    if own or _clause_begins(tokens, place + 1) or (scope.reach == "phrase" and following in _ARTICLES):
        return True
    if tokens[place] == "and":
        return scope.reach == "phrase" and scope.place
    if following == "and" and scope.choice and scope.reach == "list":
        return True  # "without walls or fences, and trees"
    closing = ("or",) if scope.reach == "phrase" or following in _PARTICIPLES else ("or", "and")
    return not _closed(tokens, place, closing)


def _clause_begins(tokens: Sequence[str], place: int) -> bool:
    """Whether what stands from `place` to the next comma or conjunction has a subject or a finite verb of its own."""
    if place < len(tokens) and tokens[place] in (*_SUBJECTS, "smiles"):
        return True
    for at in range(place, len(tokens)):
        token = tokens[at]
        if token in STOPS or token in (",", "and", "or"):
            return False
        if token in _FINITE or (at > place and (token in _VERBS or token.endswith("n't"))):
            return True
    return False


def _closed(tokens: Sequence[str], place: int, closing: Collection[str]) -> bool:
    """Whether the list that goes on with the comma at `place` has one of the conjunctions `closing` before it ends."""
    for at in range(place, len(tokens)):
        token = tokens[at]
        ends = token in STOPS or token in _CONTRASTS or token in _ADDITIONS or token in _FINITE
        if ends or (at > place and _cue(tokens, at)):
            return False
        if token in ("and", "or"):
            return token in closing
    return False


def _subject(tokens: Sequence[str], place: int) -> tuple[int, int] | None:
    """Start and stop of the subject that the predicate at `place` says is not there: "a hat is missing"."""
    if tokens[place] in _ABSENT:
        stop = place
        if tokens[place] in ("missing", "lacking") and _takes_object("".join(tokens[place + 1 : place + 2])):
            return None
    elif (cue := _cue(tokens, place)) and cue[0] == "clause":
        stop = after = place
        after += cue[1]
        while after < len(tokens) and (tokens[after] in _ADVERBS or tokens[after].endswith("ly")):
            after += 1
        if after == len(tokens) or tokens[after] not in _THERE:
            return None
    else:
        return None
    while stop and (tokens[stop - 1] in _COPULAS | _ADVERBS | {"have", "has"} or tokens[stop - 1].endswith("ly")):
        stop -= 1
    if stop and _cue(tokens, stop - 1):  # "is not missing"
        return None
    start = stop
    while start and tokens[start - 1] not in STOPS | _CONTRASTS | _FINITE | _VERBS | {"with"}:
        start -= 1
    if start and tokens[start - 1] in _FINITE | _VERBS:  # what comes first belongs to that verb
        start = next((i + 1 for i in range(start, stop) if tokens[i] in (",", "and")), start)
    return start, stop


def _granted(tokens: Sequence[str], flags: Sequence[bool]) -> list[int]:
    """The denied tokens that name a definite place or owner."""
    places: list[int] = []
    for at in range(1, len(tokens)):
        if not flags[at]:
            continue
        token, last = tokens[at], tokens[at - 1]
        before = tokens[at - 2] if at > 1 else ""
        placed = last in _PLACES or (last == "of" and before in _PARTS)
        if token in _DEFINITE and (placed or (last in ("or", "and") and at - 2 in places)):
            end = at + 1
            while end < len(tokens) and not _ends_noun_phrase(tokens[end]):
                end += 1
            places += range(at, end)
        elif token == "'s" and before in _DEFINITE:
            places.append(at - 1)
    return places


def _ends_noun_phrase(token: str) -> bool:
    return (
        token in STOPS | _PLACES | _CONTRASTS | _ADDITIONS | _FINITE | _PARTICIPLES
        or token in (",", "and", "or", "nor", "of", "that")
        or token.endswith("ing")
    )
