"""What every segmenter is made of: how one is asked for, what a network answers, which class each output stands for.

Knows no network and no file format.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn

from gcbench.core.contracts import Dataset
from gcbench.core.errors import UserError


class Segmented(NamedTuple):
    """logits: [B,C,H,W] at the images' own size; pooled: [B,d] means of the features that the head reads, or None."""

    logits: Tensor
    pooled: Tensor | None


class Loaded(NamedTuple):
    """A network with its weights.

    network: images [B,3,H,W] in [0,1] -> Segmented. labels: the class id of each output. scale: how much it
    enlarges images. id: what the protocol calls it.
    """

    network: nn.Module
    labels: tuple[int, ...]
    scale: float
    id: str


class Request(NamedTuple):
    """`ID[:xS][:fp64][@WHERE]`. name: the ID or None; scale: S or None; where: a file, a dataset, or None."""

    name: str | None
    scale: float | None
    where: str | None
    precision: str = "fp32"


def parse(spec: str | None) -> Request:
    """What stands after `segmenter=`: `hrnet_w48:x2@FILE`, `mmseg:CONFIG@FILE`, `hrnet_w18_small:fp64`, `@streets`.
    UserError: the scale is no number above 0."""
    name, _, where = (spec or "").partition("@")
    precision = "fp64" if name.endswith(":fp64") else "fp32"
    name = name.removesuffix(":fp64")
    match = re.fullmatch(r"(.+):[x×]([-+.\deE]+)", name)
    if not match:
        return Request(name or None, None, where or None, precision)
    try:
        scale = float(match[2])
    except ValueError:
        scale = 0.0
    if not 0 < scale < 100:
        raise UserError(f"--evaluator segmenter={spec}: x{match[2]} is no input scale; write for example {match[1]}:x2")
    return Request(match[1] or None, scale, where or None, precision)


def class_names(content: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The classes that an mmsegmentation file says it was trained for (two generations of the format), or None."""
    meta = content.get("meta")
    if not isinstance(meta, Mapping):
        return None
    newer = meta.get("dataset_meta")
    names = meta.get("CLASSES") or (newer.get("classes") if isinstance(newer, Mapping) else None)
    return tuple(map(str, names)) if isinstance(names, list | tuple) else None


def outputs_of(names: Sequence[str], dataset: Dataset, what: str) -> tuple[int, ...]:
    """The dataset's class id for each output of a network, matched by name (case, `_` and `-` aside).
    UserError: the names are not the dataset's classes, void aside."""
    ids = {_plain(name): k for k, name in enumerate(dataset.classes) if k != dataset.void}
    outputs = [_plain(name) for name in names]
    if len(outputs) == len(ids) and set(outputs) == ids.keys():
        return tuple(ids[name] for name in outputs)
    unmatched = [name for name in outputs if name not in ids] or [name for name in ids if name not in outputs]
    raise UserError(
        f"{what} labels {len(outputs)} classes that are not the {len(ids)} of {dataset.name}"
        f"{f' (first {unmatched[0]!r})' if unmatched else ''}; choose a segmenter of its classes, or run"
        f" `gcbench train --evaluator segmenter --dataset {dataset.argument}`"
    )


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name.strip().lower())
