"""The bundled dataset `streets`: street scenes drawn from seeds, in Cityscapes' classes, with captions."""

from collections.abc import Sequence

import numpy as np

from gcbench.core.contracts import Size
from gcbench.data.cityscapes_classes import ALIASES, CLASSES, PALETTE, VOID
from gcbench.data.drawn import DrawnDataset
from gcbench.data.streets.render import SIZE, render, stable_scene
from gcbench.text.captions import build_caption, present

COUNTS = {"train": 2975, "val": 500, "tune": 300}  # a seed depends on its split's place here
PARTS = {"train50": 1488, "train25": 744}
CAPTIONS = 3


class Streets(DrawnDataset):
    """Drawn street scenes: 2975 to train, of which the first half and the first quarter are parts; 300 to choose
    settings by; 500 to validate."""

    name = "streets"
    classes = CLASSES
    palette = PALETTE
    void = VOID
    size = SIZE
    counts = COUNTS
    part_counts = PARTS
    splits = ("train", "tune", "val")
    parts = tuple(PARTS)
    aliases = ALIASES

    def pair(self, split: str, index: int, size: Size) -> tuple[np.ndarray, np.ndarray]:
        image, layout = render(self.seed(split, index), (int(size[0]), int(size[1])))
        return image, layout.copy()

    def texts(self, seed: np.random.SeedSequence, rng: np.random.Generator) -> Sequence[str]:
        """Three orders of the classes in the layout at the default size; void is never named."""
        names = present(stable_scene(seed).layout, CLASSES, VOID)
        return [build_caption(names, rng) for _ in range(CAPTIONS)]
