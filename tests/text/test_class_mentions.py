"""Which classes a text names."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gcbench.data.cityscapes_classes import ALIASES
from gcbench.text.class_mentions import class_mentions, named_classes
from gcbench.text.words import read_words


def named(text):
    return named_classes(text, ALIASES)


def test_the_opening_names_nothing():
    assert named("An image of an urban street view.") == set()


def test_case_and_plural_and_synonyms():
    assert named("PEDESTRIANS under Trees; a tram, two lorries and cyclists on the pavement") == {
        "person",
        "vegetation",
        "train",
        "truck",
        "rider",
        "sidewalk",
    }


def test_longest_first_and_no_word_twice():
    assert named("a road sign") == {"traffic sign"}
    assert named("a road and a sign") == {"road", "traffic sign"}
    assert named("traffic lights") == {"traffic light"}
    assert named_classes("hot dog", {"a": ("dog",), "b": ("hot dog",)}) == {"b"}


def test_whole_words_only():
    assert named("a carpet, a skyline, training, wallpaper, bushy polecats") == set()


def test_motorbike_is_no_bike():
    assert named("a motorbike") == {"motorcycle"}
    assert named("a bike") == {"bicycle"}


def test_blanks_and_hyphens():
    assert named("traffic-light, traffic \n sign") == {"traffic light", "traffic sign"}


def test_shared_alias_names_both():
    assert named_classes("a Bat!", {"animal": ("bat",), "club": ("bat",)}) == {"animal", "club"}


def test_no_aliases():
    assert named_classes("anything", {}) == set()
    assert named_classes("anything", {"a": ()}) == set()


def test_special_characters_are_literal():
    assert named_classes("c++ and cat", {"c": ("c++",), "d": ("c.t",)}) == {"c"}


ANYTHING = st.text(st.characters(exclude_categories=[]))  # lone surrogates too


@given(ANYTHING, st.dictionaries(st.sampled_from("abc"), st.lists(ANYTHING)))
def test_any_text_and_any_aliases(text, aliases):
    assert named(text) <= set(ALIASES)
    tokens = read_words(text).tokens
    for mention in class_mentions(text, aliases):
        assert mention.alias in aliases[mention.name]
        assert 0 <= mention.start < mention.stop <= len(tokens)


@given(ANYTHING, st.sampled_from(["NFC", "NFD"]))
@example("a bus\n\u00c0 gauche, a car", "NFD")
def test_normal_forms_and_cases_are_read_alike(text, form):
    assert read_words(unicodedata.normalize(form, text)) == read_words(unicodedata.normalize("NFC", text))
    assert named(f"{text}. A CAR‑PARK. BİCYCLE. ſKY") == named(text) | {"bicycle", "sky"}


@pytest.mark.parametrize("many", ["kitties", "Kitty", "cat_fish", "cat-fish", "catfish"])
def test_a_users_word_is_read_in_its_plural_and_joined(many):
    assert named_classes(f"three {many}", {"pet": ("kitty", "catfish")}) == {"pet"}


def test_a_name_may_have_a_word_of_denial_in_it():
    aliases = {"hole": ("missing tile",), "rest": ("nothing",), "sign": ("no entry sign",), "cat": ("cat",)}
    assert named_classes("An image with Missing tiles and a cat.", aliases) == {"hole", "cat"}
    assert named_classes("An image with Nothing and a cat.", aliases) == {"rest", "cat"}
    assert named_classes("a no entry sign, no missing tiles", aliases) == {"sign"}
    assert named_classes("No cat.", aliases) == set()


def test_where_a_mention_stands():
    text = "No cars, but traffic‑signs and lights."
    tokens = read_words(text).tokens
    found = [(m.name, tokens[m.start : m.stop], m.alias, m.negated) for m in class_mentions(text, ALIASES)]
    assert found == [
        ("car", ("cars",), "cars", True),
        ("traffic sign", ("traffic", "signs"), "traffic signs", False),
        ("traffic light", ("lights",), "traffic lights", False),
    ]
