"""Which attributes a caption affirms: the captions' own style, negations and their ends, words that share a head."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcbench.data.celeba_attributes import ATTRIBUTE_WORDS, ATTRIBUTES
from gcbench.text.attribute_mentions import affirmed


def said(text: str) -> set[str]:
    found = affirmed(text, ATTRIBUTE_WORDS)
    assert list(found) == [name for name in ATTRIBUTES if name in found]  # in their own order, each once
    return set(found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "The woman has wavy hair, high cheekbones, and big lips. She is attractive and wears lipstick, and heavy"
            " makeup.",
            "Wavy_Hair High_Cheekbones Big_Lips Attractive Wearing_Lipstick Heavy_Makeup",
        ),
        ("This person has no beard.", "No_Beard"),
        ("He is bald and has goatee.", "Male Bald Goatee"),
        (
            "This man is attractive, and young and has sideburns, big nose, and bushy eyebrows.",
            "Male Attractive Young Sideburns Big_Nose Bushy_Eyebrows",
        ),
        ("This smiling, and young person has narrow eyes, and big lips.", "Smiling Young Narrow_Eyes Big_Lips"),
        ("She and is wearing lipstick has blond hair.", "Wearing_Lipstick Blond_Hair"),
        (
            "The person has bags under eyes, mouth slightly open, and receding hairline and wears necktie.",
            "Bags_Under_Eyes Mouth_Slightly_Open Receding_Hairline Wearing_Necktie",
        ),
        ("This woman wears earrings, and hat. She wears necklace.", "Wearing_Earrings Wearing_Hat Wearing_Necklace"),
        ("He has 5 o’clock shadow, double chin, and gray hair.", "Male 5_o_Clock_Shadow Double_Chin Gray_Hair"),
        ("She has pale skin, rosy cheeks, oval face, and pointy nose.", "Pale_Skin Rosy_Cheeks Oval_Face Pointy_Nose"),
        (
            "He is chubby and has mustache, arched eyebrows, and straight hair.",
            "Male Chubby Mustache Arched_Eyebrows Straight_Hair",
        ),
        ("a BLURRY photo of a young brunette with BANGS and eyeglasses", "Blurry Young Brown_Hair Bangs Eyeglasses"),
        ("An image of an urban street view with cars.", ""),
        ("", ""),
    ],
)
def test_captions_without_negation(text: str, expected: str) -> None:
    assert said(text) == set(expected.split())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # what is denied
        ("no bangs", ""),
        ("without glasses", ""),
        ("She does not wear a hat.", ""),
        ("She isn't smiling.", ""),
        ("She isn’t smiling.", ""),
        ("She isnt smiling.", ""),
        ("Not smiling.", ""),
        ("not yet smiling", ""),
        ("She never really smiles.", ""),
        ("She never really wears a hat.", ""),
        ("She no longer wears earrings.", ""),
        ("He lacks a mustache.", "Male"),
        ("He is free of stubble.", "Male"),
        ("neither smiling nor wearing a hat", ""),
        ("It does not look like she has a hat.", ""),
        ("There is not any eyeglasses on the face.", ""),
        # a list of denied things
        ("She is not wearing lipstick or a necktie.", ""),
        ("She does not wear a hat, earrings, and lipstick.", ""),
        ("She does not wear a hat, earrings or lipstick.", ""),
        ("She never smiles or wears a hat.", ""),
        ("no hat or glasses", ""),
        ("no hat, glasses, or earrings", ""),
        ("no hat and glasses", ""),
        ("without smiling or wearing a hat", ""),
        ("She is not wearing a hat and earrings, she has bangs.", "Bangs"),
        ("no smile, no bangs, and no eyeglasses at all", ""),
        ("without a hat, glasses, and a necktie", ""),
        ("She is not young and attractive.", ""),
        ("She is not young, and smiling.", ""),
        # where it ends
        ("no hat, and she has bangs", "Bangs"),
        ("She has no smile. Bangs.", "Bangs"),
        ("She has no hat; bangs", "Bangs"),
        ("She has no bangs (a hat)", "Wearing_Hat"),
        ("She looks serious with no smile in the face and has no eyeglasses, and long bangs.", "Bangs"),
        ("There is not any eyeglasses on his face and has short beard, and no fringe, but a smile.", "Male Smiling"),
        ("This girl has no fringe, a smile, and no glasses.", "Smiling"),
        ("no hat and a smile", "Smiling"),
        ("She is not young and wears a hat.", "Wearing_Hat"),
        ("She isn't smiling and has bangs.", "Bangs"),
        ("She is not young and smiles.", "Smiling"),
        ("not young and she smiles", "Smiling"),
        ("no hat, big lips, no glasses or earrings", "Big_Lips"),
        ("no hat, big lips. Bangs or a tie", "Big_Lips Bangs Wearing_Necktie"),
        ("no hat, big lips, she wears bangs or a tie", "Big_Lips Bangs Wearing_Necktie"),
        ("no hat, big lips but bangs or a tie", "Big_Lips Bangs Wearing_Necktie"),
        ("She is not bald and the man has a hat.", "Male Wearing_Hat"),
        ("She isn't young but attractive.", "Attractive"),
        ("not young although attractive", "Attractive"),
        ("She isn't young, she's attractive.", "Attractive"),
        ("A woman who isn't smiling has bangs.", "Bangs"),
        ("A man without glasses, with a goatee", "Male Goatee"),
        ("a man without glasses with a goatee", "Male Goatee"),
        ("a person without a hat who has bangs", "Bangs"),
        ("a person without a hat who smiles", "Smiling"),
        ("a person without a hat wearing glasses", "Eyeglasses"),
        ("not smiling, wearing a hat", "Wearing_Hat"),
        ("not smiling, wearing a hat and earrings", "Wearing_Hat Wearing_Earrings"),
        ("not smiling, wearing a hat or earrings", ""),
        ("not smiling, brown hair, big nose", "Brown_Hair Big_Nose"),
        ("neither smiling nor wearing a hat, he has sideburns", "Male Sideburns"),
        # what is none
        ("She is not only young but also attractive.", "Young Attractive"),
        ("She isn't just young, she is smiling.", "Young Smiling"),
        ("Without a doubt she is attractive.", "Attractive"),
        ("There is no doubt that she is young.", "Young"),
    ],
)
def test_negations(text: str, expected: str) -> None:
    assert said(text) == set(expected.split())


def test_an_attribute_that_is_a_negation_by_name() -> None:
    """No_Beard is what CelebA calls it: every way of denying the beard affirms it, and a beard affirms nothing."""
    for text in ("He has no beard", "no mustache or beard", "without a beard", "He does not have any beard at all."):
        assert "No_Beard" in said(text), text
    for text in ("He has beard.", "a short beard, and no hat", "not without hat, a beard"):
        assert "No_Beard" not in said(text), text
    assert "No_Beard" in said("a clean-shaven man")
    assert "No_Beard" not in said("He is not clean shaven.")


def test_men_and_women() -> None:
    for text in ("He smiles", "a man", "This gentleman", "on his face", "two guys", "male"):
        assert "Male" in said(text), text
    for text in ("She smiles", "a woman", "This lady", "on her face", "a female", "mankind"):
        assert "Male" not in said(text), text
    assert "Male" not in said("This is not a man.")
    assert said("He does not open his mouth.") == {"Male"}
    assert "Male" in said("It does not show his hat.")  # a pronoun is never denied


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("wavy brown hair", {"Wavy_Hair", "Brown_Hair"}),
        ("wavy, black and long hair", {"Wavy_Hair", "Black_Hair"}),
        ("long, straight gray hair", {"Straight_Hair", "Gray_Hair"}),
        ("bushy and arched eyebrows", {"Bushy_Eyebrows", "Arched_Eyebrows"}),
        ("Her hair is long and wavy.", {"Wavy_Hair"}),
        ("Her eyes are narrow.", {"Narrow_Eyes"}),
        ("Her hair is not wavy.", set()),
        ("no black or brown hair", set()),
        ("brown eyes, and hair", set()),
        ("black clothes and wavy hair", {"Wavy_Hair"}),
        ("She is blonde.", {"Blond_Hair"}),
        ("brown-haired", {"Brown_Hair"}),
        ("heavy make-up", {"Heavy_Makeup"}),
    ],
)
def test_words_that_share_their_last_one(text: str, expected: set[str]) -> None:
    assert said(text) == expected


def test_whole_words_longest_first() -> None:
    words = {"dog": ("dog",), "hot dog": ("hot dog",), "no dog": ("no dog",), "empty": ("", "  ")}
    assert affirmed("hot-dog", words) == ("hot dog",)
    assert affirmed("a big nose", {"big": ("big",), "big nose": ("big nose",)}) == ("big nose",)
    assert affirmed("a hot  DOG and a dog", words) == ("dog", "hot dog")
    assert affirmed("hotdogs, doggy", words) == ()
    assert affirmed("no dog", words) == ("no dog",)
    assert affirmed("no hot dog", words) == ()
    assert affirmed("anything", {}) == ()


@given(st.text(st.characters(exclude_categories=[])), st.sampled_from(ATTRIBUTES))
def test_any_text(text: str, name: str) -> None:
    found = said(text)
    assert found <= set(ATTRIBUTES)
    word = ATTRIBUTE_WORDS[name][0]
    assert said(f"{text}. {word}") == found | {name}  # a sentence of its own is read alike after any other
    if name != "No_Beard":
        assert said(f"{text}. Without {word}") == found


@given(st.lists(st.sampled_from([name for name in ATTRIBUTES if name != "No_Beard"]), min_size=1, max_size=6))
def test_a_list_and_its_denial(names: list[str]) -> None:
    words = [ATTRIBUTE_WORDS[name][0] for name in names]
    assert said(f"She has {', '.join(words)}.") == set(names)
    assert said(f"She has {', and '.join(words)}.") == set(names)
    assert said(f"She does not have {' or '.join(words)}.") == set()
    assert said(f"She has {', '.join(f'no {word}' for word in words)}.") == set()
