"""K-means of a diffusion network's decoder features, and how well the clusters agree with the true layout.

Of each held-out pair, at each time and level: the features [C,h,w] are standardised channel by channel and clustered
into as many clusters as the layout, brought to h×w by nearest sampling, shows classes there; the agreement is their
adjusted mutual information (Vinh et al. 2010), void left out: 1 for the same partition, 0 on average for chance.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_mutual_info_score
from torch import Tensor

from gcbench.core.contracts import Dataset
from gcbench.core.errors import UserError
from gcbench.core.samples import Samples
from gcbench.data.contact_sheet import colour
from gcbench.evaluation.figure_models import Opened
from gcbench.runs.progress import Bar
from gcbench.statistics.intervals import Mean, cluster_bootstrap_mean

TIMES = (0.05, 0.2, 0.4, 0.6, 0.8, 0.95)
HIDDEN = ", layout hidden"
"""After the name of a model that reads layouts, where uniform noise stands in place of the noised layout."""


class Agreement(NamedTuple):
    """Of one model, level and time. size: (h, w) of the level. mean: over the n images whose layout has two classes at
    that size; None if none has."""

    model: str
    level: str
    size: tuple[int, int]
    time: float
    mean: Mean | None
    n: int


class Clusters(NamedTuple):
    """agreements: of every model. maps: (model, level, time) -> clusters int [h,w] of the pair that is shown."""

    agreements: list[Agreement]
    maps: dict[tuple[str, str, float], np.ndarray]
    levels: dict[str, tuple[int, int]]


def cluster(features: Tensor, count: int, seed: int) -> np.ndarray:
    """K-means (best of 3 starts) of the pixels of standardised features [C,h,w]: int [h,w]."""
    c, h, w = features.shape
    pixels = features.reshape(c, h * w).T.double().numpy()  # [hw,C]
    spread = pixels.std(axis=0)
    pixels = (pixels - pixels.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return KMeans(min(count, h * w), n_init=3, random_state=seed).fit_predict(pixels).reshape(h, w)


def agreement(clusters: np.ndarray, layout: np.ndarray, void: int | None) -> float | None:
    """Adjusted mutual information of clusters [h,w] and class ids [h,w], pixels of void left out; None where fewer than
    two classes are left."""
    kept = layout != (-1 if void is None else void)
    if len(np.unique(layout[kept])) < 2:
        return None
    return float(adjusted_mutual_info_score(layout[kept], clusters[kept]))


def resized(layout: Tensor, size: tuple[int, int]) -> np.ndarray:
    """Class ids [H,W] at h×w, by the nearest pixel centre."""
    return F.interpolate(layout[None, None].float(), size=size, mode="nearest-exact")[0, 0].long().numpy()


def clusters_of(model: Opened, pairs: Samples, seed: int, times: Sequence[float] = TIMES, shown: int = 0) -> Clusters:
    """Of `pairs` noised at each of `times`, image i with seed + i. shown: the pair whose clusters are kept.
    UserError: the model has no decoder whose features could be read."""
    void, names = model.reference.dataset.void, (True, False) if model.model.layouts else (True,)
    assert pairs.layouts is not None
    agreements, levels = list[Agreement](), dict[str, tuple[int, int]]()
    maps: dict[tuple[str, str, float], np.ndarray] = {}
    with Bar(f"clusters of {model.name}", len(times) * len(names) * len(pairs)) as bar:
        for layouts in names:
            name = model.name + HIDDEN * (not layouts)
            for time in times:
                values: dict[str, list[tuple[float, str]]] = {}
                for i in range(len(pairs)):
                    pair, seeds = pairs.take([i]), [seed + i]
                    features = model.model.decoder_features(pair, time, seeds, layouts=layouts)
                    if features is None:
                        raise UserError(f"model {model.name} has no decoder whose features could be clustered")
                    for level, tensor in features.items():
                        h, w = tensor.shape[2:]
                        levels[level] = (h, w)
                        layout = resized(pairs.layouts[i], (h, w))
                        count = len(set(layout.ravel().tolist()) - {void})
                        clusters = cluster(tensor[0], max(2, count), seed)
                        value = agreement(clusters, layout, void)
                        group = pair.groups[0] if pair.groups else pair.ids[0]
                        values.setdefault(level, []).extend([] if value is None else [(value, group)])
                        if i == shown:
                            maps[name, level, time] = clusters
                    bar.advance()
                for level, own in values.items():
                    agreements.append(Agreement(name, level, levels[level], time, _mean(own), len(own)))
    return Clusters(agreements, maps, levels)


def real_pairs(model: Opened) -> Samples:
    """The held-out pairs at the model's size, as many as its spec says."""
    return model.reference.samples(list(dict.fromkeys(model.prompts.rows)))


def _mean(values: Sequence[tuple[float, str]]) -> Mean | None:
    if not values:
        return None
    return cluster_bootstrap_mean(np.array([value for value, _ in values]), [group for _, group in values], seed=0)


def coloured(
    clusters: Clusters, pairs: Samples, dataset: Dataset, shown: int = 0
) -> dict[tuple[str, str, float], Tensor]:
    """The clusters of the shown pair as images uint8 [3,h,w]: each in the colour of the class that most of it has."""
    assert pairs.layouts is not None
    images = {}
    for key, ids in clusters.maps.items():
        layout = resized(pairs.layouts[shown], ids.shape)
        classes = np.zeros_like(layout)
        for k in np.unique(ids):
            classes[ids == k] = np.bincount(layout[ids == k]).argmax()
        images[key] = colour(torch.from_numpy(classes)[None].long(), dataset.palette)[0]
    return images


def row(entry: Agreement) -> dict[str, Any]:
    """An agreement as the CSV has it."""
    low, high = (entry.mean and entry.mean.interval) or (None, None)
    return {
        "model": entry.model,
        "level": entry.level,
        "height": entry.size[0],
        "width": entry.size[1],
        "time": entry.time,
        "metric": "AMI",
        "value": entry.mean and entry.mean.value,
        "low": None if low is None else max(-1.0, low),
        "high": None if high is None else min(1.0, high),
        "n": entry.n,
    }
