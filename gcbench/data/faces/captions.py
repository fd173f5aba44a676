"""Captions in the style of MM-CelebA-HQ: each names some of a person's attributes, a few also deny one.

    This woman has brown hair, and bangs and wears earrings. She is young. She is not smiling.

What is denied names no part that a class of the layout stands for ("is not wearing a hat" would), so that every part
that a text names is wanted.
"""

from collections.abc import Mapping, Sequence

import numpy as np

IS = ("Bald", "Smiling", "Young")
WEARS = (
    *("Eyeglasses", "Heavy_Makeup", "Wearing_Earrings", "Wearing_Hat", "Wearing_Lipstick", "Wearing_Necklace"),
    "Wearing_Necktie",
)
"""A person has all other attributes."""
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
    wears = ("wears", "is wearing")[int(rng.integers(2))]
    words: dict[str, list[str]] = {"is": [], "has": [], wears: []}
    for name in chosen:
        verb = "is" if name in IS else wears if name in WEARS else "has"
        words[verb].append(_word(name))
    return [f"{verb} {_listed(listed)}" for verb, listed in words.items() if listed]


def _word(name: str) -> str:
    """`black hair` of `Black_Hair`, `hat` of `Wearing_Hat`."""
    return name.removeprefix("Wearing_").replace("_o_Clock", " o'Clock").replace("_", " ").lower()


def _listed(words: Sequence[str]) -> str:
    """`a`; `a, and b`; `a, b, and c`, as the dataset writes it."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])}, and {words[-1]}"
