"""Who is drawn: every choice about a person, and the attributes of CelebA that follow from them.

An attribute is what the choices say, never what an image happens to show: so the drawing code must show all of them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gcbench.data.faces import colours
from gcbench.data.faces.canvas import Colour, mix
from gcbench.data.random_choices import Dice

BEARDS: dict[str, tuple[str, ...]] = {
    "none": (),
    "stubble": ("stubble",),
    "mustache": ("mustache",),
    "goatee": ("goatee",),
    "circle": ("mustache", "goatee"),
    "full": ("mustache", "full"),
}
"""A kind of beard and the parts that it is drawn of."""


@dataclass(frozen=True)
class Person:
    """cut: of the hair; `bald` has none. wave: `straight`, `wavy` or `plain` (too short or too tight to tell).

    hair_kind: a key of colours.HAIRS. hat, glasses, earrings: which kind, or None. opening: between the lips, 0..1.
    garment: what stands below the neck. age: 0 for a young person, else 0.6..1.
    """

    male: bool
    age: float
    pale: bool
    skin: Colour
    hair_kind: str
    hair: Colour
    cut: str
    wave: str
    bangs: bool
    beard: str
    bushy: bool
    iris: Colour
    smiling: bool
    opening: float
    lipstick: Colour | None
    makeup: Colour | None
    rosy: bool
    hat: str | None
    glasses: str | None
    earrings: str | None
    necklace: str | None
    garment: str
    necktie: bool


ATTRIBUTES: Mapping[str, Callable[[Person], bool]] = {
    "5_o_Clock_Shadow": lambda p: p.beard == "stubble",
    "Bald": lambda p: p.cut == "bald",
    "Bangs": lambda p: p.bangs,
    "Black_Hair": lambda p: p.hair_kind == "black" and p.cut != "bald",
    "Blond_Hair": lambda p: p.hair_kind == "blond" and p.cut != "bald",
    "Brown_Hair": lambda p: p.hair_kind == "brown" and p.cut != "bald",
    "Bushy_Eyebrows": lambda p: p.bushy,
    "Eyeglasses": lambda p: p.glasses is not None,
    "Goatee": lambda p: "goatee" in BEARDS[p.beard],
    "Gray_Hair": lambda p: p.hair_kind == "gray" and p.cut != "bald",
    "Heavy_Makeup": lambda p: p.makeup is not None,
    "Male": lambda p: p.male,
    "Mouth_Slightly_Open": lambda p: p.opening > 0,
    "Mustache": lambda p: "mustache" in BEARDS[p.beard],
    "No_Beard": lambda p: p.beard == "none",
    "Pale_Skin": lambda p: p.pale,
    "Rosy_Cheeks": lambda p: p.rosy,
    "Smiling": lambda p: p.smiling,
    "Straight_Hair": lambda p: p.wave == "straight",
    "Wavy_Hair": lambda p: p.wave == "wavy",
    "Wearing_Earrings": lambda p: p.earrings is not None,
    "Wearing_Hat": lambda p: p.hat is not None,
    "Wearing_Lipstick": lambda p: p.lipstick is not None,
    "Wearing_Necklace": lambda p: p.necklace is not None,
    "Wearing_Necktie": lambda p: p.necktie,
    "Young": lambda p: p.age == 0,
}
"""The attributes that are drawn, in CelebA's order, and whether a person has them."""


def attributes(person: Person) -> dict[str, bool]:
    return {name: holds(person) for name, holds in ATTRIBUTES.items()}


def draw_person(dice: Dice) -> Person:
    """Choices that hang together: beards and ties are men's here, grey hair is mostly old people's."""
    male = dice.chance(0.52)
    age = 0.0 if dice.chance(0.54) else dice.between(0.6, 1.0)
    pale = dice.chance(0.15)
    skin = dice.near(colours.PALE, 3, 3) if pale else dice.near(dice.pick(colours.SKINS), 4, 8)
    kind = _hair_kind(dice, age > 0, dark=sum(skin) < 340)
    hat = dice.pick(("beanie", "brim", "cap")) if dice.chance(0.13) else None
    cut = _cut(dice, male, age > 0, hat is not None)
    long = cut in ("long", "bob", "half")
    bangs = hat is None and cut in ("short", "half", "bob", "long") and dice.chance(0.42 if long else 0.36)
    made_up = not male and dice.chance(0.6)
    glasses = dice.pick(("round", "square", "square", "sun")) if dice.chance(0.22) else None
    smiling = dice.chance(0.48)
    opening = dice.between(0.6, 1.0) if dice.chance(0.5 if smiling else 0.26) else 0.0
    necktie = male and dice.chance(0.36)
    return Person(
        male=male,
        age=age,
        pale=pale,
        skin=skin,
        hair_kind=kind,
        hair=dice.near(dice.pick(colours.HAIRS[kind]), 3, 6),
        cut=cut,
        wave=_wave(dice, cut, hat is not None),
        bangs=bangs,
        beard=_beard(dice) if male else "none",
        bushy=dice.chance(0.3 if male else 0.1),
        iris=dice.near(dice.pick(colours.IRISES), 6, 8),
        smiling=smiling,
        opening=opening,
        lipstick=dice.near(dice.pick(colours.LIPSTICKS), 6, 6) if made_up else None,
        makeup=dice.pick(colours.SHADOWS) if made_up and glasses != "sun" and dice.chance(0.48) else None,
        rosy=dice.chance(0.06 if male else 0.36),
        hat=hat,
        glasses=glasses,
        earrings=dice.pick(("stud", "hoop", "drop")) if dice.chance(0.07 if male else 0.44) else None,
        necklace=None if necktie else dice.pick(("pearls", "chain")) if dice.chance(0.06 if male else 0.4) else None,
        garment="suit"
        if necktie
        else dice.pick(("crew", "vee", "shirt", "coat") if male else ("crew", "vee", "scoop")),
        necktie=necktie,
    )


def _hair_kind(dice: Dice, old: bool, dark: bool) -> str:
    u = dice.unit()
    if old and u < 0.5:
        return "gray"
    u = dice.unit()
    if dark:
        return "black" if u < 0.62 else "brown" if u < 0.92 else "blond"
    return "black" if u < 0.25 else "brown" if u < 0.57 else "blond" if u < 0.91 else "red"


def _cut(dice: Dice, male: bool, old: bool, hatted: bool) -> str:
    if male:
        if not hatted and dice.chance(0.19 if old else 0.11):
            return "bald"
        return dice.pick(("short", "short", "quiff", "cropped", "curly" if not hatted else "short", "half"))
    return dice.pick(("long", "long", "long", "bob", "bob", "half", "bun" if not hatted else "long", "curly"))


def _wave(dice: Dice, cut: str, hatted: bool) -> str:
    if cut in ("bald", "cropped", "bun") or (hatted and cut in ("short", "quiff")):
        return "plain"
    return "wavy" if cut == "curly" or dice.chance(0.44) else "straight"


def _beard(dice: Dice) -> str:
    u = dice.unit()
    shares = (("none", 0.25), ("stubble", 0.41), ("mustache", 0.55), ("goatee", 0.67), ("circle", 0.81))
    return next((kind for kind, below in shares if u < below), "full")


def lip_colour(person: Person) -> Colour:
    """Lips without lipstick are the skin's own colour, redder and a little darker."""
    return person.lipstick or mix(person.skin, (160, 70, 74), 0.42)
