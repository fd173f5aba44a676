"""What a model with a table of words reads of a text: the words of its training's captions, and no others.

A class is read by whatever word names it: where training's captions never spelled it so, it is told by the name that
they used most ("a van" as "cars"). So a model reads the classes that the metrics read, and a caption like those of
training word for word as it stands.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any

from gcbench.core.contracts import Reading
from gcbench.core.samples import sample_ids
from gcbench.core.settings import Config
from gcbench.text.class_mentions import class_mentions
from gcbench.text.words import plurals, read_words

Aliases = Mapping[str, Sequence[str]]
"""Class -> the words by which a text names it, as a dataset has them."""

FUNCTION_WORDS = frozenset(
    ["a", "an", "the", "and", "or", "of", "with", "is", "are", "there", "it", "its", "this", "that", "s"]
)
"""Whether a model knows them is not worth saying."""

READ = 10_000
"""Letters of a text that are looked at; no table reads so many words."""
MOST, LONGEST = 100, 40
"""Unknown words that a Reading lists, and letters that it shows of each."""


class KnownWords(Config):
    """What training's captions said, fixed when training starts.

    vocabulary: the words of the table, in order. names: the words by which they named classes, the most frequent first.
    denials: whether they denied classes ("no cars"). Cards of older models have the vocabulary alone.
    """

    vocabulary: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    denials: bool = False


def words_of(text: str) -> list[str]:
    return [word for token in read_words(text).tokens for word in re.findall(r"[^\W_]+", token)]


def vocabulary_of(texts: Iterable[str], minimum: int = 1) -> tuple[str, ...]:
    """All words that occur at least `minimum` times, sorted."""
    counts = Counter(word for text in texts for word in words_of(text))
    return tuple(sorted(word for word, count in counts.items() if count >= minimum))


def learned(texts: Iterable[str], aliases: Aliases) -> dict[str, Any]:
    """The fields of `KnownWords` after a training on these captions."""
    return _learned(tuple(texts), tuple((name, tuple(words)) for name, words in aliases.items())).copy()


@lru_cache(maxsize=1)  # a suite plans several trainings on the same captions
def _learned(captions: Sequence[str], aliased: Iterable[tuple[str, Sequence[str]]]) -> dict[str, Any]:
    aliases = dict(aliased)
    named = [(read_words(text).tokens, mention) for text in captions for mention in class_mentions(text, aliases)]
    names = Counter(" ".join(tokens[mention.start : mention.stop]) for tokens, mention in named)
    return {
        "vocabulary": vocabulary_of(captions),
        "names": tuple(name for name, _ in names.most_common()),
        "denials": any(mention.negated for _, mention in named),
    }


def told(text: str, known: KnownWords, aliases: Aliases) -> str:
    """The text in training's words: a mention of a class that its captions spelled otherwise in their usual name for
    it, and a denied one left out, unless they denied classes too."""
    return " ".join(_told(text, known, aliases))


def _told(text: str, known: KnownWords, aliases: Aliases) -> list[str]:
    text = text[:READ]
    vocabulary = frozenset(known.vocabulary)

    def spoken(name: str) -> bool:
        return name in known.names if known.names else vocabulary.issuperset(words_of(name))

    usual: dict[str, str] = {}
    for name in known.names or filter(spoken, (word for words in aliases.values() for word in words)):
        for mention in class_mentions(name, aliases):
            usual.setdefault(mention.name, name)
    tokens = read_words(text).tokens
    out: list[str] = []
    end = 0
    for (start, stop), group in groupby(class_mentions(text, aliases), lambda mention: (mention.start, mention.stop)):
        mentions = list(group)
        out += tokens[end:start]
        end = stop
        denied = not known.denials and any(mention.negated for mention in mentions)
        names = list(dict.fromkeys(usual[mention.name] for mention in mentions if mention.name in usual))
        if not denied and (spoken(" ".join(tokens[start:stop])) or not names):
            out += tokens[start:stop]
            continue
        many = {form for mention in mentions for word in aliases[mention.name] for form in plurals(word)}
        if out[-1:] in (["a"], ["an"]) and (denied or many.intersection(names)):
            out.pop()
        out += [] if denied else names
    return [*out, *tokens[end:]]


def reading(texts: Sequence[str], known: KnownWords, aliases: Aliases, length: int) -> Reading:
    """What is left out of the texts by a table that reads `length` words of each."""
    vocabulary = frozenset(known.vocabulary)
    unknown: Counter[str] = Counter()
    denied: Counter[str] = Counter()
    cut, empty = [], []
    for name, text in zip(sample_ids(len(texts)), texts, strict=True):
        words = words_of(told(text, known, aliases))
        left = [word for word in words if word in vocabulary]
        unknown.update(set(words) - vocabulary - FUNCTION_WORDS)
        if not known.denials:
            denied.update({mention.name for mention in class_mentions(text[:READ], aliases) if mention.negated})
        cut += [name] * (len(left) > length or len(text) > READ)
        empty += [name] * (not left)
    return Reading(n=len(texts), unknown=most_frequent(unknown), denied=most_frequent(denied), cut=cut, empty=empty)


def most_frequent(counts: Mapping[str, int]) -> dict[str, int]:
    """MOST of them, the most frequent first, those of one frequency in alphabetical order."""
    order = sorted(counts, key=lambda word: (-counts[word], word))
    return {word[:LONGEST]: counts[word] for word in order[:MOST]}
