"""Hair: what falls behind the head, what frames the face, and the strands in both.

Hair is laid between an inner and an outer line from the left to the right of the head; its strands run alongside.
"""

import numpy as np

from gcbench.data.faces import labels as L
from gcbench.data.faces.canvas import Canvas, mix, shade
from gcbench.data.faces.curves import Points, closed, mirrored, ribbon, through
from gcbench.data.faces.head import Head
from gcbench.data.faces.person import Person
from gcbench.data.random_choices import Dice

FALLS = {"long": 2.5, "bob": 1.35, "half": 0.85}
"""How far down hair falls behind the head."""


class Hair:
    """The hair of one person, to be drawn behind and before the face."""

    def __init__(self, canvas: Canvas, head: Head, person: Person, dice: Dice):
        self.canvas, self.head, self.person, self.dice = canvas, head, person, dice
        self.wave = 1.6 if person.wave == "wavy" else 0.0
        close = person.hat is not None or person.cut in ("short", "bun")
        self.volume = dice.between(0.04, 0.1) if close else dice.between(0.12, 0.24)
        if person.wave == "plain":
            self.volume = dice.between(0.0, 0.04)
        if person.cut == "curly":
            self.volume = dice.between(0.3, 0.42)
        self.part = dice.between(-0.55, 0.55)
        self.fall = FALLS.get(person.cut, 0.0) * dice.between(0.9, 1.1)
        self.tucked = dice.chance(0.35)
        self.phase = dice.between(0, 6.28)

    def draw_behind(self) -> None:
        person = self.person
        if person.cut == "bun":
            at = (self.dice.between(-0.2, 0.2), -1.4)
            knot = closed([(at[0] - 0.38, at[1]), (at[0], at[1] - 0.34), (at[0] + 0.38, at[1]), (at[0], at[1] + 0.34)])
            self.canvas.fill(self._back(knot), shade(person.hair, 0.9), L.HAIR)
            for turn in (-0.2, 0.0, 0.2):
                bow = through([(at[0] - 0.3, at[1] + turn), (at[0], at[1] - 0.2 + turn), (at[0] + 0.3, at[1] + turn)])
                self._strand(self._back(bow), 0.8 + turn)
        if not self.fall:
            return
        wide = 1.1 + self.volume
        end = self.fall
        half = [(0.0, -1.25), (0.8, -1.05), (wide, -0.3), (wide + 0.08, 0.5), (wide + 0.04 * end, end - 0.2)]
        outline = closed(mirrored([*half, (wide * 0.75, end), (0.0, end + 0.04)]), 6)
        self.canvas.fill(self._back(self._waved(outline, 0.07)), shade(person.hair, 0.72), L.HAIR)
        for side in (-1, 1):
            for k in range(9):
                u = side * (0.4 + 0.08 * k + self.dice.between(0, 0.08))
                path = through([(u * 0.92, 0.4), (u, 0.5 + end / 3), (u * 1.02, end - 0.05)], 7)
                self._strand(self._back(self._waved(path, 0.09)), 0.72 * self.dice.between(0.75, 1.35))

    def draw_before(self) -> None:
        """The cap of hair around the forehead, and the locks beside the face."""
        person = self.person
        if person.cut == "bald":
            return
        outer = self._waved(through(self._outer(), 7), 0.055)
        inner = through(self._hairline(), 7)
        place_outer, place_inner = self._back(outer), self.head.on(inner)
        self.canvas.fill(np.concatenate([place_outer, place_inner[::-1]]), person.hair, L.HAIR)
        if person.cut == "curly":
            self._curls(place_outer, place_inner)
            return
        for _ in range(6 if person.wave == "plain" else 24):
            share = self.dice.between(0.06, 0.94)
            a, b = sorted((self.dice.unit(), self.dice.unit()))
            first, last = int(a * 0.7 * len(outer)), max(int((0.3 + b * 0.7) * len(outer)), 3)
            path = (place_inner + (place_outer - place_inner) * share)[first:last]
            if len(path) > 2:
                sway = np.sin(np.arange(len(path)) * 0.9 + self.phase) * 0.008 * self.wave
                self._strand(path + sway[:, None], self.dice.between(0.66, 1.4))
        if person.bangs:
            self._bangs()
        if self.fall > 1 and not self.tucked:
            self._locks()

    def _outer(self) -> list[tuple[float, float]]:
        """The outline of the hair from its left end over the top to its right end."""
        r, person = self.volume, self.person
        low = {"short": 0.15, "cropped": 0.05, "quiff": 0.1, "curly": 0.75, "bun": 0.0}.get(person.cut, 0.3)
        top = -1.28 - r * (1.0 if person.cut != "quiff" else 1.9)
        lean = 0.25 * self.part if person.cut == "quiff" else 0.0
        half = [(-1.02 - 0.5 * r, low), (-1.06 - r, -0.3), (-0.92 - r, -0.85), (-0.52 - 0.5 * r, top * 0.94 - 0.04)]
        return [*half, (lean, top), *((-u, v) for u, v in reversed(half))]

    def _hairline(self) -> list[tuple[float, float]]:
        """Where the hair meets the face, from its left end to its right end."""
        person, line = self.person, self.head.hairline
        low = {"curly": 0.6, "bun": -0.05}.get(person.cut, 0.2 if person.male else 0.3)
        back = 0.16 * person.age if person.male else 0.0  # temples recede
        if self.fall > 1 and not person.bangs:  # parted: the hair sweeps from the parting to the ears
            p = self.part * 0.5
            left = [(-0.99, low), (-0.95, -0.2), (-0.75 + 0.1 * p, line * 0.72)]
            right = [(0.75 + 0.1 * p, line * 0.72), (0.95, -0.2), (0.99, low)]
            return [*left, (p - 0.16, line - 0.1), (p, line - 0.2), (p + 0.16, line - 0.1), *right]
        tilt = 0.06 * self.part
        temple = line * 0.72 - back * 0.6
        left = [(-0.99, low), (-0.9, -0.25), (-0.74, temple), (-0.4, line - tilt - back)]
        return [*left, (0.0, line + 0.03), (0.4, line + tilt - back), (0.74, temple), (0.9, -0.25), (0.99, low)]

    def _bangs(self) -> None:
        person, dice = self.person, self.dice
        low = self.head.brow - dice.between(0.06, 0.14)
        top = self.head.hairline - 0.12
        u = np.linspace(-0.86, 0.86, 15)
        teeth = np.where(np.arange(15) % 2, 0.0, dice.between(0.05, 0.12))
        ends = np.stack([u, low + 0.16 * np.abs(u) ** 2 - teeth + 0.1 * self.part * u], axis=1)
        starts = np.stack([u * 0.9, np.full(15, top) + 0.5 * u**2], axis=1)
        outline = np.concatenate([ends, starts[::-1]])
        self.canvas.fill(self.head.on(outline, 0.06), shade(person.hair, 0.97), L.HAIR)
        for k in range(22):
            at = dice.between(-0.84, 0.84)
            low_here = low + 0.16 * at**2 - 0.07
            bend = 0.06 * self.wave * np.sin(k)
            path = through([(at * 0.85, top + 0.3 * at**2), (at * 0.95 + bend, (top + low) / 2), (at, low_here)], 4)
            self._strand(self.head.on(path, 0.06), dice.between(0.68, 1.34))

    def _locks(self) -> None:
        """Hair that falls before the ears and the shoulders."""
        end = self.fall
        for side in (-1, 1):
            line = [(0.9, -0.45), (1.02, 0.1), (0.98 + 0.1 * self.volume, 0.7), (1.08, end * 0.7), (1.02, end - 0.06)]
            wide = (0.12, 0.34, 0.4, 0.42 + self.volume, 0.12)
            spine = self._waved(through([(side * u, v) for u, v in line], 7), 0.06)
            self.canvas.fill(self._back(ribbon(spine, wide)), self.person.hair, L.HAIR)
            across = np.stack([np.interp(np.linspace(0, 4, len(spine)), range(5), wide), np.zeros(len(spine))], axis=1)
            for _ in range(13):
                path = spine + self.dice.between(-0.42, 0.42) * across
                length = max(6, int(len(path) * self.dice.between(0.6, 1.0)))
                self._strand(self._back(path[:length]), self.dice.between(0.66, 1.4))

    def _curls(self, outer: Points, inner: Points) -> None:
        r = self.head.scale * 0.13
        turn = np.linspace(0, 2 * np.pi, 9)[:-1]
        circle = np.stack([np.cos(turn), np.sin(turn)], axis=1)
        for at in outer[1:-1:3]:
            self.canvas.fill(at + circle * r * self.dice.between(0.8, 1.2), self.person.hair, L.HAIR)
        for _ in range(46):
            row, share = int(self.dice.unit() * len(outer)), self.dice.between(0.1, 1.0)
            at = inner[row] + (outer[row] - inner[row]) * share
            arc = at + circle[: 4 + int(3 * self.dice.unit())] * r * self.dice.between(0.6, 1.1)
            self._strand(arc, self.dice.between(0.6, 1.5))

    def _back(self, points: Points) -> Points:
        return self.head.around(points, -0.1)

    def _waved(self, points: Points, depth: float) -> Points:
        """The points, pushed sideways in waves as they fall."""
        if not self.wave:
            return points
        sway = depth * self.wave * np.sin(points[:, 1] * 7.5 + self.phase + np.sign(points[:, 0]))
        lift = depth * self.wave * np.sin(points[:, 0] * 7.5 + self.phase) * (points[:, 1] < -0.8)
        return points + np.stack([sway, lift], axis=1)

    def _strand(self, path: Points, tone: float) -> None:
        lit = mix(self.person.hair, (255, 244, 226), max(0.0, tone - 1) * 0.5)
        self.canvas.line(path, 0.005, shade(lit, min(tone, 1.15)))
