"""Random choices for the composer: blocks of uniforms from one numpy generator, handed out one by one.

A scene needs some hundreds of single numbers; a block at a time is far quicker than a call each.
"""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")
Colour = tuple[float, float, float]


class Dice:
    """Uniform numbers in the order in which they are asked for."""

    def __init__(self, rng: np.random.Generator):
        self._rng = rng
        self._block: list[float] = []

    def unit(self) -> float:
        """A number in [0, 1)."""
        if not self._block:
            self._block = self._rng.random(512).tolist()
            self._block.reverse()
        return self._block.pop()

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self.unit()

    def whole(self, low: int, high: int) -> int:
        """An integer from low to high, both included."""
        return low + int(self.unit() * (high - low + 1))

    def chance(self, probability: float) -> bool:
        return self.unit() < probability

    def pick(self, options: Sequence[T]) -> T:
        return options[int(self.unit() * len(options))]

    def near(self, colour: Colour, spread: float = 14, grey: float = 16) -> Colour:
        """A colour near another: `grey` shifts all channels together, `spread` each on its own."""
        shift = self.between(-grey, grey)
        r, g, b = (channel + shift + self.between(-spread, spread) for channel in colour)
        return r, g, b
