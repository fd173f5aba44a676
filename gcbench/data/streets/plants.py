"""Trees, hedges, bushes and woods on the horizon."""

from gcbench.data.random_choices import Dice
from gcbench.data.streets import labels
from gcbench.data.streets.draw import Pen
from gcbench.data.streets.weather import Colour

GREENS: tuple[Colour, ...] = ((58, 104, 46), (74, 112, 44), (48, 92, 56), (84, 108, 50), (60, 88, 40))
AUTUMN: tuple[Colour, ...] = ((186, 118, 40), (196, 146, 52), (160, 84, 40))
BARK: Colour = (84, 66, 50)


def leaf_colours(dice: Dice) -> tuple[Colour, ...]:
    """The colours of a scene's leaves: one season a scene."""
    return AUTUMN if dice.chance(0.12) else GREENS


def tree(pen: Pen, dice: Dice, x: float, z: float, leaves: tuple[Colour, ...], tall: float = 1.0) -> None:
    """A trunk and a crown of blobs, dark below and light above."""
    pen.stand(x, z, labels.VEGETATION)
    ink = pen.ink
    colour = dice.near(dice.pick(leaves), 6, 10)
    trunk = dice.between(1.8, 2.8)
    reach = dice.between(1.5, 2.3) * (0.6 + 0.4 * tall)
    high = dice.between(2.0, 2.8) * tall
    middle = trunk + high * 0.75
    pen.flat(((-0.2, 0), (0.2, 0), (0.14, middle), (-0.14, middle)), ink(dice.near(BARK, 4, 10)))
    if dice.chance(0.2):
        pen.flat(
            ((-reach * 0.75, trunk * 0.7), (reach * 0.75, trunk * 0.7), (0, trunk + 2.3 * high)), ink(colour, 0.85)
        )
        pen.flat(
            ((-reach * 0.55, trunk * 0.75), (reach * 0.2, trunk * 0.75), (0, trunk + 2.1 * high)),
            ink(colour, 1.05),
            solid=False,
        )
        return
    pen.disc(0, middle, reach, ink(colour, 0.8), high=high * 0.85)
    pen.disc(-reach * 0.55, middle - high * 0.15, reach * 0.62, ink(colour, 0.86), high=high * 0.55)
    pen.disc(reach * 0.55, middle - high * 0.1, reach * 0.62, ink(colour, 0.92), high=high * 0.55)
    pen.disc(dice.between(-0.3, 0.3), middle + high * 0.5, reach * 0.66, ink(colour, 1.05), high=high * 0.52)
    pen.disc(-reach * 0.25, middle + high * 0.15, reach * 0.42, ink(colour, 1.22), solid=False, high=high * 0.3)
    pen.disc(reach * 0.4, middle + high * 0.35, reach * 0.3, ink(colour, 1.2), solid=False, high=high * 0.22)


def bush(pen: Pen, dice: Dice, x: float, z: float, leaves: tuple[Colour, ...]) -> None:
    pen.stand(x, z, labels.VEGETATION)
    colour = dice.near(dice.pick(leaves), 6, 10)
    reach = dice.between(0.7, 1.3)
    pen.disc(0, reach * 0.55, reach, pen.ink(colour, 0.82), high=reach * 0.75)
    pen.disc(-reach * 0.2, reach * 0.8, reach * 0.6, pen.ink(colour, 1.1), solid=False, high=reach * 0.4)


def hedge(pen: Pen, dice: Dice, x: float, z0: float, z1: float, leaves: tuple[Colour, ...]) -> None:
    """A clipped hedge along the street."""
    pen.label = labels.VEGETATION
    w = pen.weather
    colour = dice.near(dice.pick(leaves), 6, 10)
    high = dice.between(1.2, 2.2)
    cuts = [z0 * (z1 / z0) ** (k / 3) for k in range(4)]
    for a, b in zip(cuts[2::-1], cuts[:0:-1], strict=True):
        pen.side(x, 0, high, a, b, w.ink(colour, (a * b) ** 0.5, 0.88))
    pen.side(x, high - 0.3, high, z0, z1, w.ink(colour, z0 * 1.5, 1.18), solid=False)


def tree_row(pen: Pen, dice: Dice, x: float, z0: float, z1: float, leaves: tuple[Colour, ...], tall: float) -> None:
    """A closed row of trees in place of buildings: a mass of leaves and crowns before it."""
    pen.label = labels.VEGETATION
    w = pen.weather
    out = 1 if x > 0 else -1
    colour = dice.near(dice.pick(leaves), 6, 8)
    high = 3.2 * tall
    pen.side(x + out * 1.5, 0, high, z0, z1, w.ink(colour, (z0 * z1) ** 0.5, 0.74))
    z = z1
    while z > z0:
        pen.label = labels.VEGETATION
        tree(pen, dice, x + out * dice.between(0.6, 2.2), z, leaves, tall)
        z /= dice.between(1.16, 1.34)


def woods(pen: Pen, dice: Dice, z: float, leaves: tuple[Colour, ...], high: float) -> None:
    """Far trees along the horizon."""
    pen.stand(0, z, labels.VEGETATION)
    colour = dice.near(dice.pick(leaves), 6, 8)
    reach = 1.25 * z
    pen.box(-reach, reach, 0, high * 0.7, pen.ink(colour, 0.9))
    u = -reach
    while u < reach:
        wide = dice.between(0.05, 0.1) * z
        pen.disc(u, high * 0.6, wide, pen.ink(colour, dice.between(0.84, 1.08)), high=high * dice.between(0.3, 0.6))
        u += wide * 1.4
