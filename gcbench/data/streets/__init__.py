"""The bundled dataset `streets`: street scenes drawn from seeds, in Cityscapes' classes, with captions."""

from collections.abc import Sequence

import numpy as np

from gcbench.core.contracts import Size
from gcbench.data.cityscapes_classes import ALIASES, CLASSES, PALETTE, VOID
from gcbench.data.drawn import DrawnDataset
from gcbench.data.streets.render import SIZE, render, stable_scene
from gcbench.text.captions import build_caption, present

CAPTIONS = 3


class Streets(DrawnDataset):
    """Drawn street scenes: 2975 to train, 500 to validate."""

    name = "streets"
    classes = CLASSES
    palette = PALETTE
    void = VOID
    size = SIZE
    counts = {"train": 2975, "val": 500}  # noqa: RUF012
    splits = tuple(counts)
    aliases = ALIASES

    def pair(self, split: str, index: int, size: Size) -> tuple[np.ndarray, np.ndarray]:
        image, layout = render(self.seed(split, index), (int(size[0]), int(size[1])))
        return image, layout.copy()

    def texts(self, seed: np.random.SeedSequence, rng: np.random.Generator) -> Sequence[str]:
        """Three orders of the classes in the layout at the default size; void is never named."""
        names = present(stable_scene(seed).layout, CLASSES, VOID)
        return [build_caption(names, rng) for _ in range(CAPTIONS)]
