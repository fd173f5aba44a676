"""The study of drawing one half of a pair from the other: its mIoU against scikit-learn, its prior by counting."""

from pathlib import Path

import numpy as np
import torch
from conftest import CLASSES
from sklearn.metrics import jaccard_score

from gcbench.core.reference import Reference
from gcbench.data.open_dataset import open_dataset
from studies.completion import agreement, most_frequent


def test_the_drawn_layout_is_held_against_the_true_one(toyland: Path) -> None:
    dataset = open_dataset(str(toyland))
    true = Reference(dataset, "val", dataset.size).samples(range(6))
    assert true.layouts is not None
    assert agreement(dataset, true, true.layouts).value == 1
    drawn = torch.from_numpy(np.random.default_rng(0).integers(0, 4, true.layouts.shape))
    counted = true.layouts != CLASSES.index("nothing")
    expected = jaccard_score(true.layouts[counted], drawn[counted], labels=range(4), average="macro")
    assert abs((agreement(dataset, true, drawn).value or 0) - expected) < 1e-12


def test_the_prior_is_each_pixels_most_frequent_class(toyland: Path) -> None:
    dataset = open_dataset(str(toyland))
    layouts = np.stack([dataset.pair("train", i, dataset.size)[1] for i in range(6)])
    found = most_frequent(dataset, dataset.size).numpy()
    for y, x in ((0, 0), (10, 20), (-1, 0), (31, 63), (16, 40)):
        classes, counts = np.unique(layouts[:, y, x][layouts[:, y, x] != 4], return_counts=True)
        assert not len(classes) or found[y, x] == classes[counts.argmax()]
