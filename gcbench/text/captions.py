"""Captions that name the classes of a layout, in the wording of the GCDP authors' Cityscapes captions."""

from collections.abc import Sequence

import numpy as np

URBAN = "An image of an urban street view"
PLAIN = "An image"

# The plurals that the authors' captions attest, oddities included, and those that no rule gives.
_PLURALS = {"sky": "skies", "person": "people", "bus": "buses", "sign symbol": "traffic signs"}


def plural(name: str) -> str:
    """The plural of a class's name: `skies`, `people`, `traffic lights`."""
    if name in _PLURALS:
        return _PLURALS[name]
    if name.endswith(("s", "x", "z", "ch", "sh")):
        return name if name.endswith("s") and not name.endswith("ss") else f"{name}es"
    if name.endswith("y") and name[-2:-1] not in set("aeiou"):
        return f"{name[:-1]}ies"
    return f"{name}s"


def build_caption(names: Sequence[str], rng: np.random.Generator, opening: str = URBAN) -> str:
    """`An image of an urban street view with Cars, Traffic lights, Roads and Skies.`

    names: the classes to name, void left out by the caller; their order is drawn from `rng`, as the authors'
    order is random. Without names the text says no more than its opening.
    """
    words = [plural(names[i]) for i in rng.permutation(len(names))]
    words = [word[:1].upper() + word[1:] for word in words]
    if not words:
        return f"{opening}."
    head, last = words[:-1], words[-1]
    return f"{opening} with {', '.join(head)} and {last}." if head else f"{opening} with {last}."


def present(layout: np.ndarray, classes: Sequence[str], void: int | None, share: float = 0.0) -> list[str]:
    """The classes of a layout [H,W], in their own order, without void.

    share: the least part of the area (0..1) from which a class is named; at 0 one pixel is enough, as it was
    for the authors.
    """
    counts = np.bincount(layout.ravel(), minlength=len(classes))
    min_pixels = max(1.0, share * layout.size)
    return [name for i, name in enumerate(classes) if i != void and counts[i] >= min_pixels]
