"""Are images copies? Distances to the nearest training and the nearest held-out image.

python -m studies.nearest_images streets samples/images [--out nearest.json]
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from gcbench.core.contracts import Dataset, Size
from gcbench.core.files import write_text
from gcbench.data.finished_images import read_pairs
from gcbench.data.image_files import resize_image
from gcbench.data.open_dataset import open_dataset
from gcbench.reports.table import show_texts
from gcbench.runs.progress import Bar

SHRINK = 4
"""Images are compared after a box filter of this width: what is alike to a person, not noise, is to count."""


def vectors(images: Sequence[np.ndarray], size: Size) -> np.ndarray:
    """Images as rows [n, 3·h·w] of grey levels, shrunk."""
    small = (max(1, size[0] // SHRINK), max(1, size[1] // SHRINK))
    shrunk = [
        np.asarray(Image.fromarray(resize_image(image, size)).resize(small[::-1], Image.Resampling.BOX), np.float64)
        for image in images
    ]
    return np.stack(shrunk).reshape(len(shrunk), -1)


def nearest(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Root mean square difference, in grey levels of 255, from each row [n,d] to the nearest of `others` [m,d]: [n]."""
    square = (rows**2).sum(1)[:, None] - 2 * rows @ others.T + (others**2).sum(1)[None]
    return np.sqrt(np.maximum(square.min(axis=1), 0) / rows.shape[1])


def with_mirrors(images: Sequence[np.ndarray], size: Size) -> np.ndarray:
    """Rows of the images and of their mirror images, which training shows too."""
    return vectors([*images, *(np.ascontiguousarray(image[:, ::-1]) for image in images)], size)


def split_images(dataset: Dataset, split: str, size: Size, bar: Bar) -> list[np.ndarray]:
    images = []
    for index in range(len(dataset.ids(split))):
        images.append(dataset.pair(split, index, size)[0])
        bar.advance()
    return images


def report(name: str, images: Path, out: Path | None = None) -> dict[str, dict[str, float]]:
    """Print, and write to `out`, how far the images are from the first and from the last split of a dataset.

    Each image of a split counts with its mirror image. The held-out images' own distance to the training split
    says what is usual for images that cannot be copies.
    """
    dataset = open_dataset(name)
    size, (train, held) = dataset.size, (dataset.splits[0], dataset.splits[-1])
    finished = read_pairs(images)
    rows = vectors([finished.image(i) for i in range(len(finished))], size)
    with Bar("reading images", len(dataset.ids(train)) + len(dataset.ids(held))) as bar:
        train_images, held_images = split_images(dataset, train, size, bar), split_images(dataset, held, size, bar)
    # a split with more images has nearer ones: both are compared at the smaller number, evenly spaced
    few = min(len(train_images), len(held_images))
    train_rows, held_rows = with_mirrors(train_images, size), vectors(held_images, size)

    def thin(images: Sequence[np.ndarray]) -> np.ndarray:
        return with_mirrors([images[i] for i in np.linspace(0, len(images) - 1, few).round().astype(int)], size)

    distances = {
        f"images to the nearest of all {len(train_images)} of {train}": nearest(rows, train_rows),
        f"held-out real images to the nearest of all {len(train_images)} of {train}": nearest(held_rows, train_rows),
        f"images to the nearest of {few} of {train}": nearest(rows, thin(train_images)),
        f"images to the nearest of {few} of {held}": nearest(rows, thin(held_images)),
    }
    result = {
        label: {"minimum": float(d.min()), "median": float(np.median(d)), "n": float(len(d))}
        for label, d in distances.items()
    }
    lines = [(label, f"{d['minimum']:.1f}", f"{d['median']:.1f}", f"{d['n']:.0f}") for label, d in result.items()]
    heads = ("minimum", "median", "n")
    show_texts(("distance of", *heads), lines, heads, "RMS grey levels of 255")
    if out is not None:
        facts = {"dataset": dataset.name, "version": dataset.version, "rms": result}
        write_text(out, json.dumps(facts, indent=1) + "\n")
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", help="The dataset that a model was trained on.")
    parser.add_argument("images", type=Path, help="A folder of the model's images.")
    parser.add_argument("--out", type=Path, help="Write the distances here, as JSON.")
    options = parser.parse_args()
    report(options.dataset, options.images, options.out)
