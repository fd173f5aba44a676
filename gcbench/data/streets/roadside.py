"""What stands beside the road: poles with lights and signs, people on foot, trees, void things."""

from gcbench.data.random_choices import Dice
from gcbench.data.streets import furniture, people, plants
from gcbench.data.streets import labels as L
from gcbench.data.streets.placement import Placement, Spot
from gcbench.data.streets.street import Street
from gcbench.data.streets.traffic import TRIES
from gcbench.data.streets.weather import Colour


def place_poles(placement: Placement, dice: Dice, classes: frozenset[int], street: Street) -> None:
    """Poles that carry lights, signs or both; then lamp posts."""

    def spot() -> Spot:
        z = dice.between(6.5, 13)
        return street.kerb(dice.pick((-1, 1))) + dice.between(-0.2, 0.5), z

    hung: list[tuple[bool, bool]] = []
    lights = dice.pick((1, 1, 2)) if L.LIGHT in classes else 0
    signs = dice.pick((1, 1, 2)) if L.SIGN in classes else 0
    while lights or signs:
        both = lights > 0 and signs > 0 and dice.chance(0.35)
        light = both or (lights > 0 and (signs == 0 or dice.chance(0.5)))
        sign = both or not light
        lights, signs = lights - light, signs - sign
        hung.append((light, sign))
    camera = placement.pen.camera
    for light, sign in hung:
        at = placement.find((spot() for _ in range(TRIES)), placement.sheet(0.6), 0.6)
        if not at:
            continue
        x, z = at
        visible = camera.height + (camera.vy - 0.09) / camera.scale(z)  # the height still in the image
        high = min(dice.between(3.4, 4.6), visible)
        with placement.thing(z) as pen:
            furniture.pole(pen, dice, x, z, high)
            if light:
                furniture.traffic_light(pen, dice, x, z, high)
            if sign:
                drop = 0.21 / camera.scale(z) if light else 0.0
                furniture.traffic_sign(pen, dice, x, z, high - drop)
    for k in range(dice.pick((0, 1, 2)) if hung else dice.pick((1, 2, 3))):
        side = dice.pick((-1, 1))
        z = dice.between(7, 12) * 1.7**k
        x = street.kerb(side) + side * 0.2
        high = dice.between(5.5, 7.5)
        arm = -side * dice.between(0.9, 1.8) if dice.chance(0.7) else 0.0
        with placement.thing(z) as pen:
            furniture.pole(pen, dice, x, z, high, arm)


def place_people(placement: Placement, dice: Dice, street: Street) -> None:
    """One to five people, beside the road or crossing it."""
    for k in range(dice.pick((1, 2, 2, 3, 4, 5))):
        crossing = not street.road or dice.chance(0.25)
        far = 9.0 if k == 0 else 14.0
        spots = (
            (dice.between(street.left, street.right) if crossing else street.verge(dice), dice.between(5.0, far))
            for _ in range(TRIES)
        )
        placement.put(spots, placement.sheet(0.4), 0.8, lambda pen, x, z: people.person(pen, dice, x, z, street.floor))


def place_trees(placement: Placement, dice: Dice, leaves: tuple[Colour, ...], street: Street) -> None:
    """Trees along either edge, sometimes with a bush."""
    for side in (-1, 1):
        if not dice.chance(0.6):
            continue
        x = street.edge[side]
        x += side * dice.between(0.5, 2.5) if street.kind[side] == "open" else -side * 0.9
        if abs(x) < 3:
            x = side * 3.4
        z = dice.between(9, 16)
        for _ in range(dice.whole(1, 4)):
            with placement.thing(z) as pen:
                plants.tree(pen, dice, x, z, leaves, 1.0)
            z *= dice.between(1.35, 1.8)
        if dice.chance(0.3):
            near = dice.between(7, 12)
            with placement.thing(near) as pen:
                plants.bush(pen, dice, x, near, leaves)


def place_void_things(placement: Placement, dice: Dice, street: Street) -> None:
    """Up to three bins, piles of boxes or cones."""
    for _ in range(dice.pick((0, 0, 1, 1, 2, 3))):
        spots = ((street.verge(dice), dice.between(4.5, 9)) for _ in range(TRIES))
        placement.put(spots, placement.sheet(0.5), 0.9, lambda pen, x, z: furniture.thing(pen, dice, x, z))
