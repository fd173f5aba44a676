"""The difference of one number of two sets of samples, paired image by image or block by block.

Knows scores and the values that a run stored with them; reads no file and measures nothing.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np

from gcbench.core.run_spec import guidance_text
from gcbench.core.score import Score
from gcbench.statistics.intervals import paired_difference, paired_jackknife

Columns = dict[tuple[str, str, str], dict[str, float | None]]
"""(guidance as `guidance_text` spells it, metric, column; "" for the metric's own) -> sample id -> its value."""


class PairedDifference(NamedTuple):
    """a - b over n samples, its standard error, 95 % interval and two-sided p-value.

    pairing: what was paired, `images` (bootstrap over groups) or `blocks` (jackknife); units: how many groups or
    blocks. reason: why the difference, or its interval, is missing.
    """

    value: float | None = None
    standard_error: float | None = None
    interval: tuple[float, float] | None = None
    p_value: float | None = None
    n: int = 0
    pairing: Literal["images", "blocks"] | None = None
    units: int | None = None
    reason: str | None = None


def values_of(columns: Columns, guidance: float | None, metric: str, column: str = "") -> dict[str, float | None]:
    """Sample id -> value of one number at one scale; empty where the run holds no such values."""
    return columns.get((guidance_text(guidance), metric, column), {})


def paired(
    a: Score,
    b: Score,
    values_a: Mapping[str, float | None] | None = None,
    values_b: Mapping[str, float | None] | None = None,
    groups: Mapping[str, str] | None = None,
    names: tuple[str, str] = ("a", "b"),
) -> PairedDifference:
    """The most that can be said of the difference a - b. names: of the two in reasons.

    values_a, values_b: sample id -> value, where the number is the mean of such values: samples of one id are
    partners, and what a side could not score is left out of both. Else the stored influences of blocks of whole groups
    are paired block by block (`paired_jackknife`), if both runs were cut by the same groups.
    groups: sample id -> what it depends on; by default itself.
    """
    if a.value is None or b.value is None:
        return PairedDifference(reason="a value is missing")
    if _is_mean(a, values_a) and _is_mean(b, values_b):
        return _by_images(a.value - b.value, values_a or {}, values_b or {}, groups or {}, names)
    if reason := _nothing_to_pair((a, b), (values_a, values_b), names):
        return PairedDifference(a.value - b.value, reason=reason)
    return _by_blocks(a, b, a.value - b.value, names)


def _nothing_to_pair(
    scores: tuple[Score, Score], values: tuple[Mapping[str, float | None] | None, ...], names: tuple[str, str]
) -> str | None:
    """Which side stores nothing that could be paired with the other's, by blocks if not by images; None if both do."""
    by_blocks = [bool(_blocks(score)[1]) for score in scores]
    if all(by_blocks):
        return None
    by_images = [_is_mean(score, own) for score, own in zip(scores, values, strict=True)]
    stored = [blocks or images for blocks, images in zip(by_blocks, by_images, strict=True)]
    if all(stored):
        images, blocks = (names[by_images.index(True)], names[by_blocks.index(True)])
        return f"{images} stores values of it an image and {blocks} a block, which are no partners"
    lacking = [name for name, has_values in zip(names, stored, strict=True) if not has_values]
    held = dict(zip(names, values, strict=True))
    if all(any(value is not None for value in (held[name] or {}).values()) for name in lacking):
        return f"the values that {_stores(lacking)} of its images are not those of the score"
    return f"{_stores(lacking)} no values of it, an image or a block, that could be paired"


def _stores(names: list[str]) -> str:
    return f"{' and '.join(names)} store{'s' if len(names) == 1 else ''}"


def _is_mean(score: Score, values: Mapping[str, float | None] | None) -> bool:
    """Whether the score is the mean of these values, over as many samples as it says."""
    scored = [value for value in (values or {}).values() if value is not None]
    if not scored or len(scored) != score.n or score.value is None:
        return False
    return bool(np.isclose(np.mean(scored), score.value, rtol=1e-9, atol=1e-12))


def _by_images(
    plain: float,
    a: Mapping[str, float | None],
    b: Mapping[str, float | None],
    groups: Mapping[str, str],
    names: tuple[str, str],
) -> PairedDifference:
    name_a, name_b = names
    if a.keys() != b.keys():
        return PairedDifference(plain, reason=f"the images have other names in {name_a} than in {name_b}")
    pairs = {name: (x, y) for name in sorted(a) if (x := a[name]) is not None and (y := b[name]) is not None}
    if not pairs:
        return PairedDifference(plain, reason=f"no image is scored in both {name_a} and {name_b}")
    x, y = np.array(list(pairs.values())).T  # [n], [n]
    clusters = [groups.get(name, name) for name in pairs]
    difference = paired_difference(x, y, clusters, seed=0)
    reason = f"all images of {name_a} and {name_b} are of one group" if difference.interval is None else None
    return PairedDifference(*difference, n=len(pairs), pairing="images", units=len(set(clusters)), reason=reason)


def _by_blocks(a: Score, b: Score, plain: float, names: tuple[str, str]) -> PairedDifference:
    """Blocks are partners where both runs were cut by the same groups."""
    (cut_a, values_a), (cut_b, values_b) = _blocks(a), _blocks(b)
    if (cut_a is None) != (cut_b is None):
        older = names[0] if cut_a is None else names[1]
        return PairedDifference(
            plain, reason=f"{older} is of an older gcbench, which cut other blocks; measure it again"
        )
    alike = len(values_a) == len(values_b) and a.n == b.n
    if cut_a != cut_b or not alike or (cut_a is None and (a.unscored or b.unscored)):
        reason = (
            f"not the same images and groups were scored in {' and '.join(names)}, so that the blocks are no partners"
        )
        return PairedDifference(plain, reason=reason)
    difference = paired_jackknife(plain, values_a, values_b)
    lacking = [name for name, values in zip(names, (values_a, values_b), strict=True) if np.isnan(values).any()]
    why = f"a value without one block is missing in {' and '.join(lacking or names)}"
    return PairedDifference(
        *difference, n=a.n, pairing="blocks", units=len(values_a), reason=None if difference.interval else why
    )


def _blocks(score: Score) -> tuple[object, list[float]]:
    """How the samples were cut into blocks, and the influence of each block. None: contiguous tenths, as older
    records have them, which stored the values without each block."""
    influence, left_out = score.detail.get("influence"), score.detail.get("left_out")
    if isinstance(influence, list):
        values = [np.nan if value is None else value for value in influence]
        return score.detail.get("blocks"), values
    if isinstance(left_out, list):
        share = (len(left_out) - 1) / max(len(left_out), 1)  # of the samples that are left
        return None, [np.nan if value is None else -share * value for value in left_out]
    return None, []
