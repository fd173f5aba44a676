"""ADE20K in the tree of its scene parsing benchmark (ADEChallengeData2016).

    <root>/images/{training,validation}/ADE_{train,val}_00000001.jpg
    <root>/annotations/{training,validation}/ADE_{train,val}_00000001.png     0 other, 1 to 150 the classes
    <root>/captions/{train,val}.jsonl                                         optional; .csv, or .json as COCO's

The folder ADEChallengeData2016 that the official zip unpacks into may stand in <root>. The official splits are the
folders: 20210 images to train, 2000 to validate. Other is void here. ADE20K has no captions: without files of them each
image gets one, built from the classes that cover at least 1 % of it, in an order seeded by its name.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from gcbench.core.errors import UserError
from gcbench.data import ade20k_classes, image_files
from gcbench.data.image_sources import by_stem
from gcbench.data.pair_files import PairFiles, generator, match_splits
from gcbench.data.prompts import Line, find_prompts, read_prompts
from gcbench.text.captions import PLAIN, build_caption, present

FOLDER = "ADEChallengeData2016"
SPLITS = {"train": "training", "val": "validation"}
"""Split -> its folder."""
NAMED_FROM = 0.01  # of the area


class ADE20K(PairFiles):
    """Scenes of all kinds in 150 classes + void. Images are independent: each is its own group."""

    name = "ade20k"
    content = "images and annotations of ADEChallengeData2016"
    classes = ade20k_classes.CLASSES
    palette = ade20k_classes.PALETTE
    void = ade20k_classes.VOID
    size = (256, 256)
    aliases = ade20k_classes.ALIASES
    official: Mapping[str, int] = {"train": 20210, "val": 2000}

    def __init__(self, root: Path):
        given = Path(root)
        self.root = given / FOLDER if (given / FOLDER).is_dir() else given
        images, layouts = self.root / "images", self.root / "annotations"
        files_of = {s: (by_stem(images / folder), by_stem(layouts / folder, (".png",))) for s, folder in SPLITS.items()}
        pairs, missing = match_splits(files_of, self.root)
        if not pairs:
            raise UserError(
                f"no ADE20K images in {given}; put images/training/*.jpg, annotations/training/*.png and the same of"
                " validation there, as ADEChallengeData2016 has them, or use --dataset streets, which needs no files"
            )
        self.found, self.missing, self.splits = pairs, missing, tuple(pairs)
        files = {split: find_prompts(self.root / "captions", split) for split in pairs}
        self.files_of_captions = {split: path for split, path in files.items() if path is not None}
        self._lines: dict[str, Mapping[str, Line]] = {}

    def read_layout(self, path: Path) -> np.ndarray:
        """0 is void, and the classes 1 to 150 are the ids 0 to 149. UserError: anything else."""
        values = image_files.read_layout(path)
        if values.max() > ade20k_classes.VOID:
            strange = np.unique(values[values > ade20k_classes.VOID]).tolist()
            raise UserError(
                f"the annotation {path} holds {', '.join(map(str, strange))} where ADE20K's scene parsing has 0 to 150;"
                " replace the file (the full ADE20K's RGB files are not read)"
            )
        return np.where(values == 0, ade20k_classes.VOID, values - 1).astype(np.uint8)

    def captions_from_layouts(self, split: str) -> bool:
        return split not in self.files_of_captions

    def captions(self, split: str, index: int) -> Sequence[str]:
        files = self.files(split, index)
        path = self.files_of_captions.get(split)
        if path is None:
            names = present(self.read_layout(files.layout), self.classes, self.void, NAMED_FROM)
            return (build_caption(names, generator(files.id), PLAIN),)
        if split not in self._lines:
            self._lines[split] = read_prompts(path)
        if files.id not in self._lines[split]:
            raise UserError(
                f"{path} has no line for {files.image.name}; add it, or remove the file so that captions are built"
                " from the layouts"
            )
        return self._lines[split][files.id].text

    def _files(self) -> set[Path]:
        return super()._files() | set(self.files_of_captions.values())
