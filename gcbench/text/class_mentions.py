"""Which classes a text names, where, and which of them it denies."""

from collections.abc import Mapping, Sequence

from gcbench.text.mentions import Mention, find_mentions

__all__ = ["Mention", "class_mentions", "named_classes"]


def class_mentions(text: str, aliases: Mapping[str, Sequence[str]]) -> tuple[Mention, ...]:
    """Each place at which `text` names a class, in the order of the text; `aliases`: class -> the words that name it.

    `Mention`: the class's name, where it stands in `read_words(text).tokens`, the alias, and whether it is denied.
    An alias that two classes share gives a mention of each.
    """
    return find_mentions(text, aliases)


def named_classes(text: str, aliases: Mapping[str, Sequence[str]]) -> set[str]:
    """The classes that `text` names outside of a negation."""
    return {mention.name for mention in find_mentions(text, aliases) if not mention.negated}
