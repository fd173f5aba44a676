"""Which attributes a text affirms: those whose words it says outside of a negation.

A text that says what is not there ("no hat") must not be scored for it. What can be read both ways is not affirmed,
because a false demand would blame an image for what nobody asked of it, while a missed one costs a little data. What
is denied is left out, never turned round. A word that is itself a negation ("no beard") is affirmed where the rest of
it is denied, in whatever way ("without a beard"). A pronoun is never denied: "does not open his mouth" speaks of a man.
"""

from collections.abc import Mapping, Sequence

from gcbench.text.mentions import find_mentions

_UNDENIED = frozenset({"he", "him", "his", "himself", "she", "her", "hers", "herself", "they", "them", "their"})


def affirmed(text: str, attribute_words: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The attributes that `text` affirms, in the order of `attribute_words` (attribute -> its words, lower case)."""
    mentions = find_mentions(text, attribute_words)
    attributes = {mention.name for mention in mentions if not mention.negated or mention.alias in _UNDENIED}
    return tuple(name for name in attribute_words if name in attributes)
