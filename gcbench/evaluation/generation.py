"""One point of a sweep: generate n samples at one setting and score them in the same pass."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch

from gcbench.core.contracts import Dataset, Model, Size
from gcbench.core.errors import UserError
from gcbench.core.record import Point
from gcbench.core.samples import Samples
from gcbench.evaluation.scoring import BATCH, Scoring


class Prompts(NamedTuple):
    """The n texts that a run is made from: rows of the split, one caption each, and what is dependent."""

    rows: list[int]
    texts: tuple[str, ...]
    groups: tuple[str, ...]


def choose_prompts(dataset: Dataset, split: str, n: int) -> Prompts:
    """The first n pairs of the split, each with its first caption; if the split is short, again with the next."""
    size = len(dataset.ids(split))
    rows = [i % size for i in range(n)]
    texts = []
    for i, row in enumerate(rows):
        captions = dataset.captions(split, row)
        texts.append(captions[i // size % len(captions)])
    groups = dataset.groups(split)
    return Prompts(rows, tuple(texts), tuple(groups[row] for row in rows))


def sample_ids(n: int) -> list[str]:
    """The names of a run's samples; their sorted order is the order of generation."""
    return [f"{i:06d}" for i in range(n)]


class Measured(NamedTuple):
    """per_sample: sample id -> column -> value. kept: all samples, if they were to be kept."""

    point: Point
    per_sample: dict[str, dict[str, float | None]]
    kept: list[Samples]


def measure_point(
    model: Model,
    scoring: Scoring,
    prompts: Prompts,
    guidance: float | None,
    *,
    seed: int,
    size: Size,
    batch_size: int,
    keep: bool = False,
    tick: Callable[[int], object] = lambda count: None,
) -> Measured:
    """Generate the samples of `prompts` with seeds seed, seed + 1, ... and score them, batch by batch.

    Evaluators always see blocks of BATCH images, whatever `batch_size`: a network's last digits depend on how many
    images go through it together.

    Raises:
        UserError: the model gave other samples than the contract says.
    """
    n = len(prompts.texts)
    names = sample_ids(n)
    metrics = scoring.start()
    kept: list[Samples] = []
    waiting: list[Samples] = []  # generated, not yet evaluated
    seconds = {"generate": 0.0, "evaluate": 0.0, "score": 0.0}
    for start in range(0, n, batch_size):
        part = slice(start, min(start + batch_size, n))
        began = time.perf_counter()
        samples = model.generate(
            prompts.texts[part] if model.conditional else None,
            n=part.stop - start,
            size=size,
            guidance=1.0 if guidance is None else guidance,
            seeds=range(seed + start, seed + part.stop),
        )
        check_samples(samples, part.stop - start, size, len(scoring.task.classes), model)
        samples = replace(
            samples,
            ids=tuple(names[part]),
            groups=prompts.groups[part] if model.conditional else None,
            prompts=prompts.texts[part] if model.conditional else samples.prompts,
        )
        seconds["generate"] += time.perf_counter() - began
        began = time.perf_counter()
        waiting.append(samples)
        while (ready := sum(map(len, waiting))) >= BATCH or (ready and part.stop == n):
            block = joined(waiting, model)
            scoring.update(metrics, block.take(range(min(BATCH, ready))))
            waiting = [block.take(range(BATCH, ready))] if ready > BATCH else []
        seconds["evaluate"] += time.perf_counter() - began
        if keep:
            kept.append(samples)
        tick(len(samples))
    began = time.perf_counter()
    scores = scoring.finish(metrics)
    seconds["score"] = time.perf_counter() - began
    rows: dict[str, dict[str, float | None]] = {name: {} for name in names}
    for metric_name, metric in metrics.items():
        for column, values in metric.per_sample().items():
            for name, value in values.items():
                rows[name][column or metric_name] = value
    point = Point(guidance=guidance, scores=scores, seconds={k: round(v, 3) for k, v in seconds.items()})
    return Measured(point, rows, kept)


def joined(parts: Sequence[Samples], model: Model) -> Samples:
    """Batches of one run as one. UserError if only some have what others have."""
    first = parts[0]
    if len(parts) == 1:
        return first
    for field in ("layouts", "layout_source", "prompts"):
        here = [getattr(part, field) for part in parts]
        if len({value if field == "layout_source" else value is None for value in here}) > 1:
            raise UserError(f"{type(model).__name__}.generate gave other {field} at one batch than at another; mend it")
    layouts = [part.layouts for part in parts if part.layouts is not None]
    return Samples(
        torch.cat([part.images for part in parts]),
        torch.cat(layouts) if layouts else None,
        first.layout_source,
        None if first.prompts is None else tuple(text for part in parts for text in part.prompts or ()),
        tuple(name for part in parts for name in part.ids),
        tuple(name for part in parts for name in part.groups or ()),
    )


def check_samples(samples: Samples, n: int, size: Size, classes: int, model: Model) -> None:
    """Refuse what is not as the contract of `Model.generate` says."""
    name = type(model).__name__
    if not isinstance(samples, Samples):
        raise UserError(f"{name}.generate gave {type(samples).__name__}, not gcbench.core.samples.Samples; mend it")
    if len(samples) != n or tuple(samples.images.shape[-2:]) != size:
        raise UserError(
            f"{name}.generate gave {len(samples)} images of {tuple(samples.images.shape[-2:])}, not {n} of {size};"
            " mend the model"
        )
    layouts = samples.layouts
    if layouts is not None and layouts.numel() and not 0 <= int(torch.min(layouts)) <= int(layouts.max()) < classes:
        raise UserError(f"{name}.generate gave layout ids outside 0..{classes - 1}; mend the model")


def check_prompts(texts: Sequence[str]) -> None:
    """Refuse empty prompts."""
    for i, text in enumerate(texts):
        if not text.strip():
            raise UserError(f"prompt {i + 1} is empty; give a text or leave it out")
