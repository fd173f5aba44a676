"""Captions in the style of MM-CelebA-HQ: each names some of a person's attributes, a few also deny one.

    This woman has brown hair, and bangs and wears earrings. She is young. She is not smiling.

What is denied names no part that a class of the layout stands for ("is not wearing a hat" would): Semantic Recall
reads which parts a text names and does not know negation.
"""

from collections.abc import Mapping, Sequence

import numpy as np

IS = {"Bald": "bald", "Smiling": "smiling", "Young": "young"}
HAS = {
    "5_o_Clock_Shadow": "5 o'clock shadow",
    "Bangs": "bangs",
    "Black_Hair": "black hair",
    "Blond_Hair": "blond hair",
    "Brown_Hair": "brown hair",
    "Bushy_Eyebrows": "bushy eyebrows",
    "Goatee": "goatee",
    "Gray_Hair": "gray hair",
    "Mouth_Slightly_Open": "mouth slightly open",
    "Mustache": "mustache",
    "No_Beard": "no beard",
    "Pale_Skin": "pale skin",
    "Rosy_Cheeks": "rosy cheeks",
    "Straight_Hair": "straight hair",
    "Wavy_Hair": "wavy hair",
}
WEARS = {
    "Eyeglasses": "eyeglasses",
    "Heavy_Makeup": "heavy makeup",
    "Wearing_Earrings": "earrings",
    "Wearing_Hat": "hat",
    "Wearing_Lipstick": "lipstick",
    "Wearing_Necklace": "necklace",
    "Wearing_Necktie": "necktie",
}
DENIALS = {
    "Bangs": "does not have bangs",
    "Bushy_Eyebrows": "does not have bushy eyebrows",
    "Goatee": "does not have a goatee",
    "Heavy_Makeup": "is not wearing heavy makeup",
    "Mustache": "does not have a mustache",
    "Pale_Skin": "does not have pale skin",
    "Rosy_Cheeks": "does not have rosy cheeks",
    "Smiling": "is not smiling",
    "Wearing_Lipstick": "is not wearing lipstick",
    "Wearing_Necktie": "is not wearing a necktie",
    "Young": "is not young",
}
DENIED = 0.3
"""The share of captions that deny something."""
MOST = 5
"""The most attributes that a caption affirms besides the sex that its subject tells."""


def build_caption(attributes: Mapping[str, bool], rng: np.random.Generator) -> tuple[str, frozenset[str]]:
    """A caption of a person with these attributes, and which of them it affirms (Male by its subject).

    At least one attribute besides Male must be true, as it is of every person: who has no beard has No_Beard.
    """
    true = [name for name, is_true in attributes.items() if is_true and name != "Male"]
    count = int(rng.integers(1, min(MOST, len(true)) + 1))
    chosen = [true[i] for i in rng.permutation(len(true))[:count]]
    noun, pronoun = ("man", "he") if attributes["Male"] else ("woman", "she")
    if rng.random() < 0.25:
        noun, pronoun = "person", "the person"
    subject = f"{('This', 'The')[int(rng.integers(2))]} {noun}"
    parts = _parts(chosen, rng)
    rng.shuffle(parts)
    cut = int(rng.integers(1, len(parts) + 1))
    sentences = [" and ".join(part) for part in (parts[:cut], parts[cut:]) if part]
    absent = [name for name in DENIALS if not attributes[name]]
    if rng.random() < DENIED and absent:
        sentences.append(DENIALS[absent[int(rng.integers(len(absent)))]])
    first, *others = sentences
    text = " ".join([f"{subject} {first}.", *(f"{pronoun.capitalize()} {other}." for other in others)])
    return text, frozenset(chosen) | ({"Male"} if noun == "man" else set())


def _parts(chosen: Sequence[str], rng: np.random.Generator) -> list[str]:
    """`is smiling, and young`, `has bangs`, `wears hat`: one part a verb."""
    verbs = (("is", IS), ("has", HAS), (("wears", "is wearing")[int(rng.integers(2))], WEARS))
    return [
        f"{verb} {_listed([words[name] for name in chosen if name in words])}"
        for verb, words in verbs
        if any(name in words for name in chosen)
    ]


def _listed(words: Sequence[str]) -> str:
    """`a`; `a, and b`; `a, b, and c`, as the dataset writes it."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])}, and {words[-1]}"
