"""Words that look like the name of a thing and mean another: "car park", "to train", "sky-high", "no sign of"."""

from collections.abc import Sequence

from gcbench.text.words import Words

_HEADS = frozenset(
    {
        *(
            "stop",
            "stops",
            "station",
            "stations",
            "park",
            "parks",
            "lot",
            "lots",
            "jam",
            "jams",
            "lane",
            "lanes",
            "track",
        ),
        *("tracks", "depot", "depots", "terminal", "shelter", "shelters", "rack", "racks", "stand", "stands", "rank"),
        *(
            "wash",
            "dealer",
            "dealers",
            "dealership",
            "shop",
            "shops",
            "store",
            "stores",
            "factory",
            "ticket",
            "tickets",
        ),
        *(
            "driver",
            "drivers",
            "passenger",
            "passengers",
            "conductor",
            "horn",
            "horns",
            "noise",
            "fumes",
            "path",
            "paths",
        ),
        *(
            "trail",
            "trails",
            "rental",
            "repair",
            "insurance",
            "accident",
            "accidents",
            "trip",
            "trips",
            "tour",
            "tours",
        ),
        *(
            "map",
            "maps",
            "works",
            "rage",
            "race",
            "races",
            "crossing",
            "crossings",
            "bridge",
            "zone",
            "precinct",
            "mall",
        ),
        *("language", "eagle", "eagles", "trick", "rings"),
    }
)
"""Nouns that make what stands before them their kind: a car park is no car, a bus stop no bus."""
_VERB_HEADS = frozenset({"stops", "parks", "stands", "races", "tracks", "tours", "crossing"})
"""Heads that are verbs too: "a bus stops at", "a man crossing the road"."""
_SUFFIXES = frozenset(
    {
        *(
            "sized",
            "shaped",
            "like",
            "made",
            "high",
            "blue",
            "friendly",
            "proof",
            "themed",
            "colored",
            "coloured",
            "wide",
        ),
        *("style", "based", "dye"),
    }
)
"""What makes an adjective of the word that a hyphen joins it to."""
_PREFIXES = frozenset({"off", "first", "second", "third", "pro", "anti", "cross"})
_IDIOMS = frozenset(
    {
        *(("sign", "of"), ("signs", "of"), ("sky", "high"), ("sky", "blue"), ("poles", "apart"), ("north", "pole")),
        *(("south", "pole"), ("in", "person"), ("per", "person"), ("power", "plant"), ("power", "plants")),
        *(("nuclear", "plant"), ("train", "of", "thought"), ("house", "music"), ("wall", "street"), ("glasses", "of")),
        *(("wine", "glasses"), ("drinking", "glasses"), ("bottle", "cap"), ("bottle", "caps"), ("ice", "cap")),
        *(("ice", "caps"), ("fringe", "theatre"), ("no", "man", "'s", "land")),
    }
)
_VERBS = frozenset(
    {
        "train",
        "sign",
        "plant",
        "fence",
        "wall",
        "house",
        "man",
        "bike",
        "bus",
        "truck",
        "person",
        "tie",
        "cap",
        "fringe",
    }
)
"""Nouns that are verbs too: "to train", "signs a paper"."""
_DETERMINERS = frozenset({"a", "an", "the", "his", "her", "their", "its", "my", "your", "our", "every", "up", "off"})
_TOWARDS = frozenset(
    {
        *(
            "next",
            "close",
            "closer",
            "closest",
            "due",
            "near",
            "similar",
            "adjacent",
            "parallel",
            "opposite",
            "connected",
        ),
        *("attached", "compared", "leads", "leading", "lead", "up", "down", "back", "bus", "car", "road", "goes"),
    }
)
"""Words after which "to" is a preposition."""


def idiom(tokens: Sequence[str], place: int) -> int:
    """How many tokens the idiom has that begins at `place`; 0 if none does."""
    return next((n for n in (4, 3, 2) if tuple(tokens[place : place + n]) in _IDIOMS and place + n <= len(tokens)), 0)


def means_another(words: Words, start: int, stop: int) -> bool:
    """Whether the words from `start` to `stop`, which name a thing elsewhere, are a modifier or a verb here."""
    tokens, glued = words
    last, head = tokens[start - 1] if start else "", tokens[stop] if stop < len(tokens) else ""
    after = tokens[stop + 1] if stop + 1 < len(tokens) else ""
    if stop < len(tokens) and glued[stop] and head in _SUFFIXES:
        return True
    if start and glued[start]:
        return last in _PREFIXES
    if head in _HEADS and (tokens[stop - 1] == "bus" or tokens[stop - 1][-1] not in "s" or head in ("shop", "shops")):
        return not _is_verb(last, head, after)
    if stop - start > 1:
        return False
    word = tokens[start]
    if last == "to" and word in _VERBS:
        return start < 2 or tokens[start - 2] not in _TOWARDS
    third = word[:-1] in _VERBS or word in ("buses", "busses")
    return (
        third and head in _DETERMINERS and last not in _DETERMINERS | {"", "and", ",", "no", "on", "in", "with", "of"}
    )


def _is_verb(last: str, head: str, after: str) -> bool:
    """Whether a head is a verb: by an article that no plural takes, by an object, or by a place to be at."""
    if head == "crossing":
        return after in _DETERMINERS or after == "at"
    return head in _VERB_HEADS and (last in ("a", "an", "one", "this", "every") or after in ("at", "near", "for"))
