"""Sentences and what they mean, by English grammar: written before the readers, and not from them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gcbench.data.celeba_attributes import ATTRIBUTE_WORDS
from gcbench.data.cityscapes_classes import ALIASES
from gcbench.text.attribute_mentions import affirmed
from gcbench.text.class_mentions import class_mentions, named_classes


def sentences(name: str) -> Iterator[tuple[str, str, str]]:
    """(sentence, what it affirms, what it denies) of each line `sentence => a, b ; c`."""
    for line in (Path(__file__).parent / name).read_text(encoding="utf-8").splitlines():
        if line and line[0] != "#":
            sentence, _, meaning = line.partition("=>")
            yes, _, no = meaning.partition(";")
            yield sentence.strip(), yes, no


def listed(names: str) -> set[str]:
    return {name.strip() for name in names.split(",") if name.strip()}


@pytest.mark.parametrize(("sentence", "yes", "no"), list(sentences("street_sentences.txt")))
def test_what_a_sentence_says_of_a_street(sentence: str, yes: str, no: str) -> None:
    denied = {mention.name for mention in class_mentions(sentence, ALIASES) if mention.negated}
    wanted = named_classes(sentence, ALIASES)
    assert (wanted, denied - wanted) == (listed(yes), listed(no))


@pytest.mark.parametrize(("sentence", "yes", "no"), list(sentences("face_sentences.txt")))
def test_what_a_sentence_says_of_a_face(sentence: str, yes: str, no: str) -> None:
    assert set(affirmed(sentence, ATTRIBUTE_WORDS)) == listed(yes)
