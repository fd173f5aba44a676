"""Which classes a text names."""

from hypothesis import given
from hypothesis import strategies as st

from gcbench.data.cityscapes_classes import ALIASES
from gcbench.text.class_mentions import named_classes


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


@given(st.text())
def test_any_text(text):
    assert named(text) <= set(ALIASES)
