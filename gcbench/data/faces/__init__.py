"""The bundled dataset `faces`: faces drawn from seeds, in CelebAMask-HQ's parts, with attributes and captions.

l_ parts are at the left of the image (of a person who faces the camera), r_ parts at its right.
"""

from collections.abc import Sequence

import numpy as np

from gcbench.core.contracts import Size
from gcbench.data.celeba_attributes import ATTRIBUTE_WORDS
from gcbench.data.celeba_parts import ALIASES, CLASSES, MIRROR, PALETTE
from gcbench.data.drawn import DrawnDataset
from gcbench.data.faces.captions import build_caption
from gcbench.data.faces.person import ATTRIBUTES, attributes
from gcbench.data.faces.render import SIZE, person, render

COUNTS = {"train": 5400, "val": 600, "tune": 300}  # a seed depends on its split's place here
PARTS = {"train50": 2700, "train25": 1350}
CAPTIONS = 5


class Faces(DrawnDataset):
    """Drawn faces: 5400 to train, of which the first half and the first quarter are parts; 300 to choose
    settings by; 600 to validate."""

    name = "faces"
    classes = CLASSES
    palette = PALETTE
    void = None
    size = SIZE
    counts = COUNTS
    part_counts = PARTS
    splits = ("train", "tune", "val")
    parts = tuple(PARTS)
    aliases = ALIASES
    mirror = MIRROR
    attributes = tuple(ATTRIBUTES)
    attribute_words = {name: ATTRIBUTE_WORDS[name] for name in ATTRIBUTES}  # noqa: RUF012

    def pair(self, split: str, index: int, size: Size) -> tuple[np.ndarray, np.ndarray]:
        return render(self.seed(split, index), (int(size[0]), int(size[1])))

    def texts(self, seed: np.random.SeedSequence, rng: np.random.Generator) -> Sequence[str]:
        """Five texts, each of some of the attributes."""
        present = attributes(person(seed))
        return [build_caption(present, rng)[0] for _ in range(CAPTIONS)]

    def attribute_labels(self, split: str, index: int) -> np.ndarray:
        return np.array(list(attributes(person(self.seed(split, index))).values()))  # [A]
