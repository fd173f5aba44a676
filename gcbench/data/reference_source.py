"""What `--reference` names: another split, images of any origin, or a file of their mean and covariance."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gcbench.core.contracts import Dataset, Size
from gcbench.core.errors import UserError
from gcbench.data.finished_images import FinishedImages, pair_up
from gcbench.data.image_sources import inner_layouts, open_source
from gcbench.data.reference_file import ReferenceFile, holds_statistics, read_reference_file

IMAGES = "images"
"""The one split of an `ImageSet`, and the folder that holds images beside one of `layouts`."""


class ImageSet(Dataset):
    """Images of any origin, with layouts in the classes of `whole` or without, as a dataset of one split, `images`.
    They have no texts, and are brought to size as finished images are."""

    def __init__(self, whole: Dataset, finished: FinishedImages):
        for name in Dataset.__annotations__:
            setattr(self, name, getattr(whole, name))
        self.name, self.splits, self.parts, self.finished = IMAGES, (IMAGES,), (), finished
        self.has_layouts, self.has_texts = finished.layouts is not None, False
        self.survey = finished.survey()

    @classmethod
    def open(cls) -> "ImageSet":
        raise TypeError("ImageSet is made of images that are found")

    @property
    def version(self) -> str:
        return self.survey.hash

    def ids(self, split: str) -> Sequence[str]:
        return self.finished.ids

    def groups(self, split: str) -> Sequence[str]:
        return self.finished.groups

    def pair(self, split: str, index: int, size: Size) -> tuple[np.ndarray, np.ndarray]:
        image, layout = self.finished.read(index, self, size)
        if layout is None:
            raise UserError(
                f"{self.finished.images.path} has no layouts; put them in a folder `layouts` beside `images`"
            )
        return image, layout

    def image(self, split: str, index: int, size: Size) -> np.ndarray:
        return self.finished.read(index, self, size)[0]

    def captions(self, split: str, index: int) -> Sequence[str]:
        return ("",)


def find_reference(text: str, dataset: Dataset) -> str | Path:
    """A split's name, or the path of a folder, .zip or .npz. UserError: it is neither."""
    splits = (*dataset.splits, *dataset.parts)
    if text in splits:
        return text
    path = Path(text).expanduser()
    if {"/", os.sep} & set(text) or path.suffix.lower() in (".npz", ".zip"):
        if not path.exists():
            raise UserError(f"--reference {text} is not there; give a folder or .zip of images, or an .npz")
        return path
    raise UserError(
        f"--reference {text}: {dataset.name} has no such split; choose {' or '.join(splits)}, or give a path (with a"
        " slash)"
    )


def read_reference(path: Path, dataset: Dataset) -> ImageSet | ReferenceFile:
    """What lies at a path: images (of a folder with `images` in it those, and its `layouts`), or statistics.
    UserError: neither, or damaged."""
    if path.is_file() and path.suffix.lower() == ".npz" and holds_statistics(path):
        return read_reference_file(path)
    inner = path / IMAGES
    images = open_source(inner if inner.is_dir() else path, "image")
    layouts = open_source(path / "layouts", "layout") if (path / "layouts").is_dir() else inner_layouts(images)
    return ImageSet(dataset, pair_up(images, layouts))
