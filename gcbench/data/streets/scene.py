"""Composition: what stands where in one scene, from its dice alone. Coordinates only, no pixels."""

from dataclasses import dataclass

from gcbench.data.random_choices import Dice
from gcbench.data.streets import buildings_and_fences, furniture, ground, plants, trams
from gcbench.data.streets import labels as L
from gcbench.data.streets.draw import Camera, Pen, Shape
from gcbench.data.streets.placement import Placement
from gcbench.data.streets.roadside import place_people, place_poles, place_trees, place_void_things
from gcbench.data.streets.scene_classes import draw_wanted
from gcbench.data.streets.street import Street
from gcbench.data.streets.traffic import place_cars, place_large, place_two_wheelers
from gcbench.data.streets.weather import Colour, Weather, draw_weather


@dataclass(frozen=True)
class Scene:
    """shapes: far to near. horizon: its y. clouds: (x, y, half width, half height, opacity)."""

    weather: Weather
    shapes: tuple[Shape, ...]
    horizon: float
    clouds: tuple[tuple[float, ...], ...]


def compose(dice: Dice) -> Scene:
    weather = draw_weather(dice)
    classes = draw_wanted(dice)
    camera = Camera(
        dice.between(0.72, 1.28), dice.between(0.37, 0.50), dice.between(1.05, 1.25), dice.between(1.4, 1.8)
    )
    pen = Pen(camera, weather)
    leaves = plants.leaf_colours(dice)
    street = Street(dice, classes)

    _background(pen, dice, classes, leaves, street)
    _ground(pen, dice, classes, weather, street)
    if L.TRAIN in classes and street.tram_along:
        trams.rails(pen, street.tram, street.asphalt)
    for side in (-1, 1):
        _row(pen, dice, classes, leaves, street, side)
    _barriers(pen, dice, classes, street)

    placement = Placement(pen)
    place_large(placement, dice, classes, street)
    place_two_wheelers(placement, dice, classes, street)
    if L.POLE in classes:
        place_poles(placement, dice, classes, street)
    if L.PERSON in classes:
        place_people(placement, dice, street)
    if L.CAR in classes:
        place_cars(placement, dice, street)
    if L.VEGETATION in classes:
        place_trees(placement, dice, leaves, street)
    place_void_things(placement, dice, street)
    pen.shapes += placement.shapes()
    if dice.chance(0.62):
        furniture.bonnet(pen, dice)
    spreads = ((-0.1, 2.1), (0.0, camera.vy * 0.7), (0.15, 0.45), (0.025, 0.06), (0.4, 0.9))
    clouds = tuple(tuple(dice.between(*spread) for spread in spreads) for _ in range(weather.clouds))
    return Scene(weather, tuple(pen.shapes), camera.vy, clouds)


def _background(pen: Pen, dice: Dice, classes: frozenset[int], leaves: tuple[Colour, ...], street: Street) -> None:
    built, green = L.BUILDING in classes, L.VEGETATION in classes
    if street.closed:
        if built:
            buildings_and_fences.closing_front(pen, dice, -200, 200, dice.between(22, 45), 80)
        else:
            plants.woods(pen, dice, 40, leaves, 60)
        return
    if built and dice.chance(0.7):
        buildings_and_fences.skyline(pen, dice, 110)
    if green and dice.chance(0.65):
        plants.woods(pen, dice, 90, leaves, dice.between(5, 11))
    if built and dice.chance(0.2):
        buildings_and_fences.closing_front(pen, dice, -30, 30, dice.between(45, 70), dice.between(9, 18))


def _ground(pen: Pen, dice: Dice, classes: frozenset[int], weather: Weather, street: Street) -> None:
    if not street.road:
        ground.plaza(pen, street.paving)
    else:
        shine = dice.between(0.25, 0.45) if weather.wet else 0.0
        dark = 0.82 if weather.wet else 1.0
        r, g, b = street.asphalt
        ground.strip(pen, L.ROAD, (r * dark, g * dark, b * dark), -400, 400, shine)
        ground.road_lines(pen, dice, street.left, street.right, street.centre)
    for side in (-1, 1):
        if L.TERRAIN in classes and street.kind[side] == "open":
            low, high = sorted((street.edge[side], side * 400.0))
            ground.strip(pen, L.TERRAIN, street.grass, low, high)
        for label, inner, outer in street.strips[side]:
            if label == L.SIDEWALK:
                if street.road:
                    ground.sidewalk(pen, street.paving, inner, outer)
            else:
                ground.strip(pen, L.TERRAIN, street.grass, min(inner, outer), max(inner, outer))


def _row(pen: Pen, dice: Dice, classes: frozenset[int], leaves: tuple[Colour, ...], street: Street, side: int) -> None:
    x, kind = street.edge[side], street.kind[side]
    if kind == "buildings":
        mood = dice.unit()
        tall = (5.0, 8.5) if mood < 0.35 else (8.0, 15.0) if mood < 0.8 else (14.0, 26.0)
        tall = (24.0, 40.0) if street.closed else tall
        start = abs(x) * 0.75 + (dice.between(3, 10) if dice.chance(0.2) and not street.closed else 0)
        buildings_and_fences.building_row(pen, dice, x, start, 95, tall, 0.0 if street.closed else 0.22, 3)
    elif kind == "trees":
        start = abs(x) * 0.8
        plants.tree_row(pen, dice, x, start, 60, leaves, 4.5 if street.closed else dice.between(0.9, 1.7))
    elif L.VEGETATION in classes and dice.chance(0.4):
        far = dice.between(14, 40)
        plants.hedge(pen, dice, x, max(2.4, abs(x) * 0.7), far, leaves)


def _barriers(pen: Pen, dice: Dice, classes: frozenset[int], street: Street) -> None:
    sides = [-1, 1] if dice.chance(0.5) else [1, -1]
    for label, side in ((L.WALL, sides[0]), (L.FENCE, sides[1] if L.WALL in classes else sides[0])):
        if label not in classes:
            continue
        x = street.edge[side] - side * 0.15
        near = max(2.4, abs(x) * dice.between(0.6, 1.3))
        far = near * dice.between(1.9, 4.0)
        if label == L.WALL:
            buildings_and_fences.wall(pen, dice, x, near, far)
        else:
            behind = {"buildings": (134, 124, 112), "trees": (84, 106, 66)}.get(street.kind[side], (150, 160, 150))
            buildings_and_fences.fence(pen, dice, x, near, far, dice.near(behind, 4, 8))
