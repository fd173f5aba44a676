"""What moves or is parked: trams, buses, trucks, two-wheelers with and without riders, cars."""

from gcbench.data.random_choices import Dice
from gcbench.data.streets import cars, people, trams, trucks_and_buses
from gcbench.data.streets import labels as L
from gcbench.data.streets.placement import Placement, Spot
from gcbench.data.streets.street import Street

TRIES = 7
"""How many spots are tried for one thing."""


def place_large(placement: Placement, dice: Dice, classes: frozenset[int], street: Street) -> None:
    """Trams, buses and trucks: first come, so that they find room."""
    if L.TRAIN in classes:
        _tram(placement, dice, street)
    for label in (L.BUS, L.TRUCK):
        if label in classes:
            _bus_or_truck(placement, dice, street, label)


def _tram(placement: Placement, dice: Dice, street: Street) -> None:
    if street.tram_along:
        x, z = street.tram, dice.between(8.5, 15)
        placement.take(placement.box(2.6, 8)((x, z)))
        with placement.thing(z) as pen:
            trams.train(pen, dice, x, z)
        return
    x, z = _far_spot(dice, 15, 24, 0.35)
    placement.take(placement.sheet(4)((x, z)))
    with placement.thing(z) as pen:
        trams.train_across(pen, dice, x, z, street.floor)


def _bus_or_truck(placement: Placement, dice: Dice, street: Street, label: int) -> None:
    is_bus, floor = label == L.BUS, street.floor
    if dice.chance(0.25):
        across = trucks_and_buses.bus_across if is_bus else trucks_and_buses.truck_across
        spots = (_far_spot(dice, 12, 20, 0.5) for _ in range(TRIES))
        sheet = placement.sheet(5.2 if is_bus else 4.3)
        placement.put(spots, sheet, 0.7, lambda pen, x, z: across(pen, dice, x, z, floor))
        return
    along = trucks_and_buses.bus if is_bus else trucks_and_buses.truck
    spots = ((_lane(dice, street), dice.between(8, 16)) for _ in range(TRIES))
    box = placement.box(2.5, 5)
    placement.put(spots, box, 0.75, lambda pen, x, z: along(pen, dice, x, z, x > street.centre, floor))


def place_two_wheelers(placement: Placement, dice: Dice, classes: frozenset[int], street: Street) -> None:
    """Bicycles and motorcycles, ridden on the road or left beside it."""
    kinds = [k for k in (L.BICYCLE, L.MOTORCYCLE) if k in classes]
    ridden: set[int] = set()
    if L.RIDER in classes:
        ridden = {dice.pick(kinds)} if dice.chance(0.7) else set(kinds)
    for kind in kinds:
        for copy in range(dice.pick((1, 1, 2)) if kind in ridden else dice.pick((1, 2, 2, 3))):
            is_ridden = kind in ridden and (copy == 0 or dice.chance(0.5))
            _two_wheeler(placement, dice, street, kind == L.MOTORCYCLE, is_ridden, 8.0 if copy == 0 else 11.0)


def _two_wheeler(placement: Placement, dice: Dice, street: Street, motor: bool, ridden: bool, far: float) -> None:
    spots = (
        (dice.between(street.left, street.right) if ridden else street.verge(dice), dice.between(4.0, far))
        for _ in range(TRIES)
    )
    at = placement.find(spots, placement.sheet(1.0), 0.8)
    if not at:
        return
    from_behind = ridden and dice.chance(0.2)
    turn = dice.pick((-1.0, 1.0)) * dice.between(0.72, 1.0)
    with placement.thing(at[1], together=ridden) as pen:
        if from_behind:
            (people.motorcycle_behind if motor else people.bicycle_behind)(pen, dice, *at, street.floor)
            people.rider_behind(pen, dice, *at, motor)
            return
        (people.motorcycle if motor else people.bicycle)(pen, dice, *at, turn, street.floor)
        if ridden:
            people.rider(pen, dice, *at, turn, motor)


def place_cars(placement: Placement, dice: Dice, street: Street) -> None:
    """Cars in the lanes and along the kerbs, sometimes one that crosses."""
    floor = street.floor
    if dice.chance(0.14):
        spots = (_far_spot(dice, 8, 15, 0.6) for _ in range(TRIES))
        placement.put(spots, placement.sheet(2.2), 0.6, lambda pen, x, z: cars.car_across(pen, dice, x, z, floor))
    for k in range(dice.pick((1, 2, 3, 3, 4, 5, 6))):
        far = 12.0 if k < 2 else 26.0
        spots = ((_lane(dice, street), dice.between(6.0, far)) for _ in range(TRIES))
        box = placement.box(1.9, 2.5)
        placement.put(spots, box, 0.62, lambda pen, x, z: cars.car(pen, dice, x, z, x > street.centre, floor))


def _far_spot(dice: Dice, near: float, far: float, reach: float) -> Spot:
    z = dice.between(near, far)
    return dice.between(-reach, reach) * z, z


def _lane(dice: Dice, street: Street) -> float:
    """The middle of some lane or of a row of parked cars."""
    u = dice.unit()
    if u < 0.35:
        return dice.between(-0.3, 0.4)
    if u < 0.65:
        return street.centre - 1.75 + dice.between(-0.3, 0.3)
    return street.right - 1.15 if u < 0.83 else street.left + 1.15
