"""What a table of words reads: each case is the sentence that training would have said."""

import numpy as np
import pytest

from gcbench.data.cityscapes_classes import ALIASES
from gcbench.text.captions import build_caption, plural
from gcbench.text.known_words import READ, KnownWords, learned, reading, told, words_of

CAPTIONS = [build_caption(list(ALIASES), np.random.default_rng(seed)) for seed in range(2)]
STREETS = KnownWords(**learned(CAPTIONS, ALIASES))


def vectors(text: str, known: KnownWords = STREETS) -> list[str]:
    """The words of the table, as they reach the network."""
    return [word for word in words_of(told(text, known, ALIASES)) if word in known.vocabulary]


@pytest.mark.parametrize("name", ALIASES)
def test_every_word_for_a_class_reads_as_in_training(name: str) -> None:
    usual = words_of(plural(name))
    for word in ALIASES[name]:
        article = "an" if word[0] in "aeiou" else "a"
        for text in (word, word.upper(), f"{article} {word}", f"one {word.replace(' ', '-')}"):
            assert vectors(text) == usual, text


def test_captions_of_training_read_word_for_word() -> None:
    for text in CAPTIONS:
        assert vectors(text) == words_of(text)
    spoken = ["a van and two cars without a bus", "Vans, cars: no cars."]
    known = KnownWords(**learned(spoken, ALIASES))
    assert known.denials
    for text in spoken:
        assert vectors(text, known) == words_of(text)
    assert vectors("automobiles", known) == ["cars"]


def test_cards_of_older_models_have_the_vocabulary_alone() -> None:
    old = KnownWords(vocabulary=STREETS.vocabulary)
    assert [vectors(text, old) for text in ("a car", "an automobile", *CAPTIONS)] == [
        *(["cars"], ["cars"]),
        *map(words_of, CAPTIONS),
    ]
    assert vectors("people and a cyclist", KnownWords(vocabulary=("people",))) == ["people"]


@pytest.mark.parametrize("text", ["a road without cars", "a road, no cars", "a road and no automobile"])
def test_what_is_denied_is_left_out(text: str) -> None:
    assert [word for word in vectors(text) if word != "and"] == ["roads"]
    assert reading([text], STREETS, ALIASES, 9).denied == {"car": 1}


def test_a_reading_counts_texts_and_names_samples() -> None:
    texts = ["Two red cars left of a bus", "two cars, two cars", "unicorns", "", "cars " * 5]
    found = reading(texts, STREETS, ALIASES, 4)
    assert list(found.unknown.items()) == [("two", 2), ("left", 1), ("red", 1), ("unicorns", 1)]
    assert (found.cut, found.empty, found.n) == (["000004"], ["000002", "000003"], 5)
    assert reading(CAPTIONS, STREETS, ALIASES, 64).model_dump(exclude_defaults=True) == {"n": 2}


@pytest.mark.parametrize("part", ["car ", "no cars and ", "a-", "🚗", "\x00\x1b", "traffic ", "\ud800", "w1 w2 ", "x"])
def test_a_million_letters_are_read_in_part_and_soon(part: str) -> None:
    text = part * (1_000_000 // len(part))
    found = reading([text], STREETS, ALIASES, 48)
    assert found.cut == ["000000"]
    assert len(found.unknown) < 5
    assert all(len(word) <= 40 for word in found.unknown)
    assert len(told(text, STREETS, ALIASES)) < 10 * READ
