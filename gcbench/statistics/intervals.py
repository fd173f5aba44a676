"""Standard errors and 95 % intervals. Arrays in, numbers out; every random generator is local and seeded.

Two kinds of statistic, two ways:
- a set statistic (a Fréchet distance, mIoU) takes the jackknife that leaves out a group at a time. Never a naive
  bootstrap: drawing with replacement doubles the small-sample bias of a Fréchet distance, and the interval misses the
  estimate.
- a mean over images takes the bootstrap over groups.
A group is what is dependent (a video sequence, one prompt drawn twice); an independent sample is a group of its own.
Both ways treat G groups as G observations: Student's t with G - 1 degrees of freedom, and G/(G-1) in the variance.
No result depends on how samples or groups are called, or on their order, beyond rounding.
Intervals are for the expectation of the statistic at this n. They are not cut at 0 or 1.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtri, stdtr, stdtrit

Interval = tuple[float, float]

BLOCKS = 100
"""Most influences that are stored of a number, for a later pairing; beyond as many groups a block holds several."""


class Jackknife(NamedTuple):
    """standard_error and interval are None where there are too few groups.

    influence: what each of the G groups adds to the value, in the order of `by_group`; empty where there is none.
    blocks: fingerprint of the groups, which tells whether two sets of samples were cut alike.
    """

    value: float
    standard_error: float | None
    interval: Interval | None
    influence: list[float]
    groups: int | None = None
    fingerprint: int = 0

    def detail(self) -> dict[str, Any]:
        """What a score keeps for a pairing: the influences of at most BLOCKS blocks of whole groups, and which groups
        these are. Influences add up, so those of a block's groups are summed."""
        groups = len(self.influence)
        if not groups:
            return {}
        count = min(groups, BLOCKS)
        sums = np.bincount(np.arange(groups) % count, weights=self.influence, minlength=count)  # [B]
        return {
            "influence": sums.tolist(),
            "blocks": {"count": count, "groups": groups, "fingerprint": self.fingerprint},
        }


class Mean(NamedTuple):
    value: float
    standard_error: float | None
    interval: Interval | None
    groups: int | None = None


class Difference(NamedTuple):
    value: float
    standard_error: float | None
    interval: Interval | None
    p_value: float | None


def by_group(groups: Sequence[str]) -> list[np.ndarray]:
    """The places 0..n-1 of each group, rising; groups in the order of their names."""
    _, group = np.unique(np.asarray(groups, dtype=str), return_inverse=True)  # [n]
    return np.split(np.argsort(group, kind="stable"), np.cumsum(np.bincount(group))[:-1])


def jackknife(
    value: float, left_out: "Sequence[float] | np.ndarray", groups: Sequence[str], *, other_variance: float = 0.0
) -> Jackknife:
    """SE² = G/(G-1) · Σ_g (e_g - mean e)²,  e_g = (1 - n_g/n) · (value - t_g).

    t_g = left_out[g] is the statistic without group g of `by_group`, n_g the samples in it. e_g is the group's
    influence: to first order the sum of what its samples add to the value, so that influences of several groups add
    up. With groups of one size this is the textbook's (G-1)/G · Σ_g (t_g - mean t)²; with groups of several sizes it is
    for a mean what the bootstrap over groups tends to. The interval is value ± t(G-1) · SE with Student's 97.5 %
    quantile. Fewer than 2 groups, or values that are not finite, give no SE and no interval.

    Args:
        other_variance: of what the statistic owes to chance beside the samples, such as drawn subsets; added to SE².
    """
    names, sizes = np.unique(np.asarray(groups, dtype=str), return_counts=True)  # [G], [G]
    count, t = len(names), np.array(left_out, dtype=np.float64)  # [G]
    told = "\n".join(f"{size} {name}" for name, size in zip(names, sizes, strict=True))
    fingerprint = int(hashlib.sha256(told.encode()).hexdigest()[:12], 16)  # a whole number that JSON keeps exactly
    if count < 2 or len(t) != count or not np.isfinite(t).all():
        return Jackknife(value, None, None, [], count, fingerprint)
    influence = (1 - sizes / sizes.sum()) * (value - t)
    return Jackknife(value, *_student(value, influence, other_variance)[:2], influence.tolist(), count, fingerprint)


def group_jackknife(
    statistic: Callable[[np.ndarray], float], groups: Sequence[str], *, value: float | None = None
) -> Jackknife:
    """`jackknife` of any statistic, computed anew without each group.

    Args:
        statistic: from the places that are kept, int [m] in rising order, to a number.
        value: the statistic of all, where it is known already.
    """
    everything = np.arange(len(groups))
    value = statistic(everything) if value is None else value
    parts = by_group(groups)
    return jackknife(
        value, [statistic(np.delete(everything, gone)) for gone in parts] if len(parts) > 1 else [], groups
    )


def cluster_bootstrap_mean(values: np.ndarray, clusters: Sequence[str], seed: int, resamples: int = 2000) -> Mean:
    """The mean of values [n], its bootstrap SE and percentile 95 % interval, drawing whole clusters.

    A cluster is what is dependent (a video sequence, one prompt drawn twice). A resample of G of the G clusters has the
    mean Σ sums / Σ counts, so large clusters weigh more, as they do in the mean itself. A bootstrap of G clusters is
    too narrow by (G-1)/G in the variance, and knows no t: the SE is multiplied by √(G/(G-1)), and the percentiles'
    distances from the mean by √(G/(G-1)) · t(G-1) / z as well, with the 97.5 % quantiles of Student and Gauss. With a
    single cluster nothing can be said of the spread: SE and interval are None.
    ValueError: no values, or values that are not finite (leave out what is unscored first).
    """
    sums, counts = _by_cluster(values, clusters)  # [G], [G]
    mean = float(sums.sum() / counts.sum())
    if len(sums) < 2:
        return Mean(mean, None, None, len(sums))
    return Mean(mean, *_Resampled.of(sums, counts, seed, resamples).spread(), len(sums))


def student_mean(values: Sequence[float]) -> Mean:
    """The mean of k independent values, such as of trainings with k seeds: SE = s / √k with the sample standard
    deviation s, and mean ± t(k-1) · SE with Student's 97.5 % quantile. One value has neither SE nor interval.
    ValueError: no values, or values that are not finite."""
    x = np.asarray(values, dtype=np.float64)  # [k]
    if not len(x) or not np.isfinite(x).all():
        raise ValueError("a mean needs values, all finite")
    mean, count = float(x.mean()), len(x)
    if count < 2:
        return Mean(mean, None, None, count)
    error = float(x.std(ddof=1) / np.sqrt(count))
    half = float(stdtrit(count - 1, 0.975)) * error
    return Mean(mean, error, (mean - half, mean + half), count)


def paired_difference(
    values_a: np.ndarray, values_b: np.ndarray, clusters: Sequence[str], seed: int, resamples: int = 2000
) -> Difference:
    """mean(a - b) of two models on the same images or prompts: its SE, 95 % interval and two-sided p-value.

    The differences are bootstrapped by cluster, as in `cluster_bootstrap_mean`. The p-value is the largest p whose
    interval of 1 - p leaves 0 out, so that it agrees with the interval; at least 2/(R+1) for R resamples. With a single
    cluster all three are None.

    Args:
        values_a, values_b: float [n] each, in the same order.
    """
    differences = np.asarray(values_a, dtype=np.float64) - np.asarray(values_b, dtype=np.float64)  # [n]
    sums, counts = _by_cluster(differences, clusters)
    mean = float(sums.sum() / counts.sum())
    if len(sums) < 2:
        return Difference(mean, None, None, None)
    resampled = _Resampled.of(sums, counts, seed, resamples)
    return Difference(mean, *resampled.spread(), resampled.p_value())


def paired_jackknife(difference: float, influence_a: Sequence[float], influence_b: Sequence[float]) -> Difference:
    """difference = a - b of a set statistic on two sets of samples: its SE, 95 % interval and two-sided p-value.

    Both sets were cut into the same B blocks, so that block b of one holds the partners of block b of the other.
    e_b = a's influence of block b - b's; SE² = B/(B-1) · Σ_b (e_b - mean e)². What the partners share falls out of e_b.
    The interval is difference ± t(B-1) · SE with Student's 97.5 % quantile, and the p-value is that of difference / SE
    under t(B-1): it agrees with the interval. Fewer than 2 blocks, or values that are not finite: all three are None.

    Args:
        influence_a, influence_b: what `jackknife` gave as `influence`, or sums of it over blocks of groups.
    ValueError: the numbers of blocks differ.
    """
    if len(influence_a) != len(influence_b):
        raise ValueError(f"{len(influence_a)} and {len(influence_b)} blocks cannot be paired")
    e = np.asarray(influence_a, dtype=np.float64) - np.asarray(influence_b, dtype=np.float64)  # [B]
    if len(e) < 2 or not np.isfinite(e).all():
        return Difference(difference, None, None, None)
    return Difference(difference, *_student(difference, e))


def _student(value: float, influence: np.ndarray, other_variance: float = 0.0) -> tuple[float, Interval, float]:
    """SE, 95 % interval and two-sided p-value from the influences [G] of independent parts."""
    count = len(influence)
    variance = count / (count - 1) * np.square(influence - influence.mean()).sum() + other_variance
    error = float(np.sqrt(variance))
    half = float(stdtrit(count - 1, 0.975)) * error
    p_value = 2 * float(stdtr(count - 1, -abs(value) / error)) if error else float(value == 0)
    return error, (value - half, value + half), p_value


def _by_cluster(values: np.ndarray, clusters: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Sum and count of each cluster, in an order of their own: names decide nothing."""
    x = np.asarray(values, dtype=np.float64)  # [n]
    if not len(x) or len(x) != len(clusters):
        raise ValueError(f"{len(x)} values and {len(clusters)} clusters: at least one is needed, and one each")
    if not np.isfinite(x).all():
        raise ValueError("values that are not finite have no mean; leave out what is unscored")
    _, place = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)  # [n]
    order = np.argsort(x, kind="stable")  # sums that no order of the samples changes
    sums, counts = np.bincount(place[order], weights=x[order]), np.bincount(place).astype(np.float64)
    order = np.lexsort((counts, sums))
    return sums[order], counts[order]


class _Resampled(NamedTuple):
    """Means [R] of R draws of G clusters with replacement, rising, about the mean of all."""

    mean: float
    means: np.ndarray
    clusters: int

    @classmethod
    def of(cls, sums: np.ndarray, counts: np.ndarray, seed: int, resamples: int) -> "_Resampled":
        """Some megabytes at a time, whatever G is."""
        rng = np.random.default_rng(seed)
        clusters = len(sums)
        step = max(1, 1_000_000 // clusters)
        means = np.empty(resamples)
        for start in range(0, resamples, step):
            stop = min(start + step, resamples)
            drawn = rng.integers(clusters, size=(stop - start, clusters))  # [r,G]
            means[start:stop] = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
        return cls(float(sums.sum() / counts.sum()), np.sort(means), clusters)

    def spread(self) -> tuple[float, Interval]:
        return self._wider * float(self.means.std(ddof=1)), self._interval(0.05)

    def p_value(self) -> float:
        """By halving: intervals become wider as p falls."""
        low, high = 2 / (len(self.means) + 1), 1.0
        for _ in range(40 if self.mean else 0):
            p = (low + high) / 2
            ends = self._interval(p)
            low, high = (low, p) if ends[0] > 0 or ends[1] < 0 else (p, high)
        return high

    @property
    def _wider(self) -> float:
        return (self.clusters / (self.clusters - 1)) ** 0.5

    def _interval(self, p: float) -> Interval:
        """The interval of 1 - p."""
        factor = self._wider * float(stdtrit(self.clusters - 1, p / 2) / ndtri(p / 2))
        low, high = self.mean + factor * (np.quantile(self.means, (p / 2, 1 - p / 2)) - self.mean)
        return float(low), float(high)
