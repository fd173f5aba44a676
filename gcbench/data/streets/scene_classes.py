"""Which classes a scene should have: one independent choice a class, then what the world forces.

The chances are a little above the shares of scenes that Cityscapes has, since some objects end up hidden.
"""

from gcbench.data.random_choices import Dice
from gcbench.data.streets import labels as L

CHANCES: dict[int, float] = {
    L.ROAD: 0.97,
    L.SIDEWALK: 0.93,
    L.BUILDING: 0.93,
    L.WALL: 0.24,
    L.FENCE: 0.28,
    L.POLE: 0.88,
    L.LIGHT: 0.37,
    L.SIGN: 0.53,
    L.VEGETATION: 0.89,
    L.TERRAIN: 0.43,
    L.SKY: 0.93,
    L.PERSON: 0.56,
    L.RIDER: 0.175,
    L.CAR: 0.89,
    L.TRUCK: 0.13,
    L.BUS: 0.125,
    L.TRAIN: 0.09,
    L.MOTORCYCLE: 0.06,
    L.BICYCLE: 0.155,
}


def draw_wanted(dice: Dice) -> frozenset[int]:
    """The classes to compose a scene from (void is added by the scene itself)."""
    classes = {label for label, chance in CHANCES.items() if dice.chance(chance)}
    if L.ROAD not in classes:
        classes -= {L.CAR, L.TRUCK, L.BUS, L.TRAIN}
        classes.add(L.SIDEWALK)
    if not classes & {L.BUILDING, L.VEGETATION}:
        classes.add(L.SKY)
    if L.RIDER in classes and not classes & {L.BICYCLE, L.MOTORCYCLE}:
        classes.add(L.BICYCLE if dice.chance(0.68) else L.MOTORCYCLE)
    if classes & {L.LIGHT, L.SIGN}:
        classes.add(L.POLE)
    return frozenset(classes)
