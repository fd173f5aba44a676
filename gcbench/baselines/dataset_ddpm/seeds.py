"""More seeds from one: streams that belong to a seed and to no other."""

import numpy as np

TRY, CALIBRATION = 1, 2
"""What a derived seed is for."""


def derived(seed: int, purpose: int, number: int) -> int:
    """The `number`-th seed that follows from `seed` for a purpose, in [0, 2⁶³)."""
    words = np.random.SeedSequence([seed % 2**64, purpose, number]).generate_state(1, np.uint64)
    return int(words[0] >> np.uint64(1))
