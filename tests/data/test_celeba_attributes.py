"""CelebA's attributes: their number and order, and words that mean one of them only."""

from collections import Counter

from gcbench.data.celeba_attributes import ATTRIBUTE_WORDS, ATTRIBUTES
from gcbench.text.attribute_mentions import affirmed


def test_forty_in_the_order_of_the_list_file() -> None:
    """`list_attr_celeba.txt` is in the order of the characters' codes."""
    assert len(ATTRIBUTES) == 40
    assert list(ATTRIBUTES) == sorted(ATTRIBUTES)
    assert (ATTRIBUTES[0], ATTRIBUTES[20], ATTRIBUTES[39]) == ("5_o_Clock_Shadow", "Male", "Young")


def test_a_word_affirms_its_attribute_and_no_other() -> None:
    counts = Counter(word for words in ATTRIBUTE_WORDS.values() for word in words)
    assert set(counts.values()) == {1}
    for name, words in ATTRIBUTE_WORDS.items():
        for word in words:
            assert word == word.lower()
            others = {"Male"} if word == "bags under his eyes" else set()
            assert set(affirmed(f"This shows {word}.", ATTRIBUTE_WORDS)) - others == {name}, word
