"""What a dataset holds, for `gcbench data check`."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gcbench.core.contracts import Dataset
from gcbench.core.errors import UserError
from gcbench.data.pair_files import PairFiles


@dataclass(frozen=True)
class SplitSummary:
    """One split.

    shares: class -> part of the area (0..1) over the sampled pairs. attributes: attribute -> part of these pairs that
    have it. problems: what is wrong with them.
    """

    split: str
    pairs: int
    groups: int
    missing: tuple[str, ...]
    sampled: int
    shares: Mapping[str, float]
    attributes: Mapping[str, float]
    problems: tuple[str, ...]


def describe(dataset: Dataset, sample: int = 50) -> list[SplitSummary]:
    """Count every split's pairs; read up to `sample` of them, evenly spaced: classes, captions, attributes."""
    return [_split(dataset, split, sample) for split in dataset.splits]


def _split(dataset: Dataset, split: str, sample: int) -> SplitSummary:
    if isinstance(dataset, PairFiles):  # its `ids` refuse a split with missing files
        groups = [pair.group for pair in dataset.found[split]]
        missing = tuple(dataset.missing.get(split, ()))
    else:
        groups, missing = list(dataset.groups(split)), ()
    counts, having = np.zeros(len(dataset.classes)), np.zeros(len(dataset.attributes))
    problems = []
    chosen = np.unique(np.linspace(0, len(groups) - 1, min(sample, len(groups))).round().astype(int))
    for index in chosen.tolist():
        try:
            _, layout = dataset.pair(split, index, dataset.size)
            counts += np.bincount(layout.ravel(), minlength=len(counts))
            dataset.captions(split, index)
            having += 0 if (labels := dataset.attribute_labels(split, index)) is None else labels
        except UserError as error:
            problems.append(str(error))
    shares = counts / max(counts.sum(), 1)
    return SplitSummary(
        split,
        len(groups),
        len(set(groups)),
        missing,
        len(chosen),
        dict(zip(dataset.classes, shares.tolist(), strict=True)),
        dict(zip(dataset.attributes, (having / max(len(chosen), 1)).tolist(), strict=True)),
        tuple(problems),
    )
