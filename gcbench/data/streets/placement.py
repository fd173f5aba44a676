"""Where things stand: each with its depth, and which parts of the image are already taken."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from gcbench.data.streets.draw import Pen, Shape

Spot = tuple[float, float]
"""(X, Z): where on the ground."""
Span = tuple[float, float]
"""From x to x in the image."""


class Placement:
    """Collects things in any order and hands their shapes back far to near."""

    def __init__(self, pen: Pen):
        self.pen = pen
        self._things: list[tuple[float, list[Shape]]] = []
        self._taken: list[Span] = []
        self._groups = 0

    @contextmanager
    def thing(self, z: float, *, together: bool = False) -> Iterator[Pen]:
        """What the pen draws inside is a thing at depth z. together: its classes are dropped together."""
        before = self.pen.shapes
        self.pen.shapes = []
        if together:
            self._groups += 1
            self.pen.group = self._groups
        yield self.pen
        self.pen.group = 0
        self._things.append((z, self.pen.shapes))
        self.pen.shapes = before

    def sheet(self, half: float) -> Callable[[Spot], Span]:
        """The span of something upright that faces the camera, `half` its width to either side."""
        camera = self.pen.camera

        def span(at: Spot) -> Span:
            s = camera.scale(at[1])
            return camera.vx + (at[0] - half) * s, camera.vx + (at[0] + half) * s

        return span

    def box(self, wide: float, long: float) -> Callable[[Spot], Span]:
        """The span of a box along the street whose near end is at the spot."""
        camera = self.pen.camera

        def span(at: Spot) -> Span:
            x, z = at
            near, far = camera.focal / z, camera.focal / (z + long)
            low, high = x - wide / 2, x + wide / 2
            return camera.vx + min(low * near, low * far), camera.vx + max(high * near, high * far)

        return span

    def take(self, span: Span) -> None:
        self._taken.append(span)

    def find(self, spots: Iterable[Spot], span: Callable[[Spot], Span], least: float) -> Spot | None:
        """The first of the spots with enough room, else the roomiest if it has half of that; takes its span."""
        best: Spot | None = None
        most = least / 2
        for spot in spots:
            room = self._room(*span(spot))
            if room > most:
                best, most = spot, room
                if room >= least:
                    break
        if best is not None:
            self.take(span(best))
        return best

    def put(
        self, spots: Iterable[Spot], span: Callable[[Spot], Span], least: float, draw: Callable[..., object]
    ) -> None:
        """Let `draw(pen, x, z)` draw a thing at one of the spots, if one has room."""
        at = self.find(spots, span, least)
        if at:
            with self.thing(at[1]) as pen:
                draw(pen, *at)

    def _room(self, low: float, high: float) -> float:
        """The share of a span that is in the image and not taken."""
        inside = min(high, 2.0) - max(low, 0.0)
        covered = max((min(high, b) - max(low, a) for a, b in self._taken), default=0.0)
        return (inside - max(0.0, covered)) / (high - low)

    def shapes(self) -> list[Shape]:
        """All shapes, far to near."""
        self._things.sort(key=lambda thing: -thing[0])
        return [shape for _, shapes in self._things for shape in shapes]
