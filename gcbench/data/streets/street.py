"""The cross-section of a street: how wide its strips are, what lines it, and where things may stand."""

from gcbench.data.random_choices import Dice
from gcbench.data.streets import labels as L
from gcbench.data.streets.weather import Colour


class Street:
    """The cross-section: road, strips and edges on both sides, and what stands along them."""

    def __init__(self, dice: Dice, classes: frozenset[int]):
        self.road = L.ROAD in classes
        self.right = dice.between(2.8, 5.2) if self.road else dice.between(1.5, 3.0)
        self.left = -dice.between(4.4, 8.4) if self.road else -dice.between(1.5, 3.0)
        self.centre = -1.65 if self.right > 3.6 or dice.chance(0.6) else (self.left + self.right) / 2
        self.strips: dict[int, list[tuple[int, float, float]]] = {}
        self.edge: dict[int, float] = {}
        self.kind: dict[int, str] = {}
        paths = dice.pick(((-1, 1), (-1, 1), (-1, 1), (1,), (-1,))) if L.SIDEWALK in classes else ()
        lawns = dice.pick(((-1, 1), (1,), (-1,))) if L.TERRAIN in classes else ()
        for side in (-1, 1):
            at = self.right if side > 0 else self.left
            strips: list[tuple[int, float, float]] = []
            order = [L.TERRAIN, L.SIDEWALK] if dice.chance(0.45) else [L.SIDEWALK, L.TERRAIN]
            for label in order:
                if side in (lawns if label == L.TERRAIN else paths):
                    wide = dice.between(1.8, 4.0) if label == L.TERRAIN else dice.between(2.2, 4.2)
                    strips.append((label, at, at + side * wide))
                    at += side * wide
            if not strips:
                at += side * 0.6
            self.strips[side] = strips
            self.edge[side] = at
        built, green = L.BUILDING in classes, L.VEGETATION in classes
        kinds = [
            dice.pick(("buildings",) * 5 + ("trees",) * 2 * green + ("open",))
            if built
            else dice.pick(("trees", "open") if green else ("open",))
            for _ in (-1, 1)
        ]
        closed = L.SKY not in classes
        if built and ("buildings" not in kinds or closed):
            kinds[dice.whole(0, 1)] = "buildings"
        if closed:
            kinds = ["buildings" if built and k != "trees" else "trees" for k in kinds]
        self.closed = closed
        self.kind[-1], self.kind[1] = kinds
        self.asphalt: Colour = dice.near(dice.pick(((92, 92, 96), (78, 78, 82), (108, 106, 106), (98, 94, 92))), 3, 8)
        self.paving: Colour = dice.near(
            dice.pick(((172, 162, 154), (186, 170, 156), (176, 154, 146), (164, 160, 160))), 4, 10
        )
        self.grass: Colour = dice.near(
            dice.pick(((112, 150, 58), (128, 156, 66), (98, 140, 60), (146, 152, 76), (166, 146, 92))), 6, 8
        )
        self.tram_along = dice.chance(0.72)
        self.tram = dice.pick((-3.4, -4.2, 3.4)) if self.right > 4.4 else dice.between(-4.6, -3.0)
        self.floor = self.asphalt if self.road else self.paving

    def verge(self, dice: Dice) -> float:
        """Some X beside the road where people and things stand."""
        side = dice.pick((-1, 1))
        inner = self.right if side > 0 else self.left
        outer = self.edge[side]
        return inner + (outer - inner) * dice.between(0.15, 0.85)

    def kerb(self, side: int) -> float:
        """The X of a row of poles."""
        return (self.right + 0.35) if side > 0 else (self.left - 0.35)
