"""Which classes a text names."""

import re
from collections.abc import Mapping
from functools import lru_cache


def named_classes(text: str, aliases: Mapping[str, tuple[str, ...]]) -> set[str]:
    """The classes that `text` names by one of their aliases.

    Whole words, case ignored, the longest alias first and no word counted twice: "road sign" names what
    "road sign" stands for and not also what "road" does. A blank in an alias matches blanks or one hyphen.
    An alias that two classes share names both.
    """
    pattern, owners = _compiled(tuple((name, tuple(words)) for name, words in aliases.items()))
    classes: set[str] = set()
    if pattern is not None:
        for match in pattern.finditer(text):
            classes.update(owners[_normal(match.group())])
    return classes


def _normal(words: str) -> str:
    return " ".join(re.split(r"[\s-]+", words.strip().lower()))


@lru_cache(maxsize=64)
def _compiled(
    aliases: tuple[tuple[str, tuple[str, ...]], ...],
) -> tuple[re.Pattern[str] | None, dict[str, tuple[str, ...]]]:
    owners: dict[str, tuple[str, ...]] = {}
    for name, words in aliases:
        for word in words:
            key = _normal(word)
            if key and name not in owners.get(key, ()):
                owners[key] = (*owners.get(key, ()), name)
    if not owners:
        return None, owners
    longest_first = sorted(owners, key=lambda word: (-len(word), word))
    choices = "|".join(r"(?:\s+|-)".join(map(re.escape, word.split(" "))) for word in longest_first)
    return re.compile(rf"(?<!\w)(?:{choices})(?!\w)", re.IGNORECASE), owners
