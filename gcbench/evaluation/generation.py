"""The one generation loop: batches of samples from a model, checked, and scored in the same pass if wanted."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch

from gcbench.core.contracts import Given, Metric, Model
from gcbench.core.errors import UserError, calling
from gcbench.core.record import Point
from gcbench.core.reference import Prompts, Reference
from gcbench.core.samples import Samples, sample_ids
from gcbench.evaluation.given import GivenRows
from gcbench.evaluation.scoring import BATCH, Scoring
from gcbench.evaluation.shards import Draw, Shards
from gcbench.runs.sample_folder import SampleFolder
from gcbench.runs.stopwatch import Stopwatch


@dataclass(frozen=True)
class Generator:
    """A model and what it draws: the texts of `prompts`, with seeds seed, seed + 1, …, at the reference's size.

    name: what the model is called. batch_size: images that go through it together; changes no number. given: what it is
    given of each sample; a user's files give the samples their names.
    progress: told how many images more are done, in fractions while a batch is sampled.
    """

    name: str
    model: Model
    reference: Reference
    prompts: Prompts
    seed: int = 0
    batch_size: int = 16
    progress: Callable[[float], object] = lambda images: None
    given: GivenRows | None = None

    @property
    def n(self) -> int:
        return len(self.prompts.rows)

    @property
    def ids(self) -> tuple[str, ...]:
        return (self.given and self.given.ids) or sample_ids(self.n)

    @property
    def reads_texts(self) -> bool:
        """Whether the model reads texts, and there are any."""
        return self.model.conditional and len(self.prompts.texts) > 0

    @property
    def parts(self) -> tuple[str, ...]:
        """What its samples have."""
        layouts = self.model.layouts or (self.given is not None and self.given.part == "layouts")
        return ("images", "layouts") if layouts else ("images",)

    def batches(self, guidance: float | None, places: range) -> Iterator[Samples]:
        """The samples at `places` at one scale, batch by batch, by the names of the run.
        UserError: the model gave other samples than the contract says."""
        for start in range(places.start, places.stop, self.batch_size):
            part = slice(start, min(start + self.batch_size, places.stop))
            texts = self.prompts.texts[part] if self.reads_texts else None
            seeds = range(self.seed + start, self.seed + part.stop)
            given = None if self.given is None else self.given.at(range(start, part.stop))
            samples = self._generate(texts, seeds, guidance, given)
            yield replace(
                samples,
                ids=self.ids[part],
                groups=self.prompts.groups[part] if self.reads_texts else None,
                prompts=samples.prompts if texts is None else texts,
            )

    def _generate(
        self, texts: Sequence[str] | None, seeds: range, guidance: float | None, given: Given | None
    ) -> Samples:
        count, size = len(seeds), self.reference.size
        reported = 0.0  # images of this batch that `progress` has heard of

        def sampling(share: float) -> None:
            nonlocal reported
            if not isinstance(share, int | float) or not 0 <= share <= 1:
                raise UserError(f"model {self.name} told progress {share!r}; tell the share that is done, 0 to 1")
            self.progress(share * count - reported)
            reported = share * count

        self.model.progress = sampling
        with calling(f"model {self.name}"):
            scale = 1.0 if guidance is None else guidance
            known: dict[str, Given] = {} if given is None else {"given": given}
            samples = self.model.generate(texts, n=count, size=size, guidance=scale, seeds=seeds, **known)
        check_samples(samples, self.name, self.model, count, self.reference)
        if self.given is not None and given is not None:
            samples = self.given.kept(samples, given, self.name)
        self.progress(count - reported)
        return samples


class Measured(NamedTuple):
    """metrics: with all samples in them. shown: the first samples, if asked for. processes: which made them."""

    point: Point
    metrics: Mapping[str, Metric]
    shown: Samples | None
    processes: set[str]


def measure_point(
    generator: Generator,
    scoring: Scoring,
    guidance: float | None,
    shards: Shards | None = None,
    kept: SampleFolder | None = None,
    each: Callable[[Samples], object] = lambda batch: None,
) -> Measured:
    """The samples at one guidance scale, generated where their shard is not there yet, and their scores. kept: where
    they are written too. each: is given every batch that is generated."""
    shards = shards or Shards(generator.n)
    total = shards.measure(scoring, drawing(generator, guidance, kept, each))
    if kept is not None and total.texts:
        kept.write_texts(total.texts)
    stopwatch = Stopwatch()
    with stopwatch("score"):
        scores = scoring.finish(total.metrics)
    point = Point(guidance=guidance, scores=scores, seconds={**total.seconds, **stopwatch.rounded()})
    return Measured(point, total.metrics, total.shown, total.processes)


def drawing(
    generator: Generator,
    guidance: float | None,
    kept: SampleFolder | None = None,
    each: Callable[[Samples], object] = lambda batch: None,
) -> Draw:
    """What draws the samples of a shard at one scale.

    Evaluators always see batches of BATCH images, whatever the generator's batch size: a network's last digits depend
    on how many images go through it together.
    """

    def draw(part: range, stopwatch: Stopwatch) -> Iterator[Samples]:
        for batch in stopwatch.each("generate", in_batches(generator.batches(guidance, part), generator.name)):
            if kept is not None:
                kept.add_images(batch)
            each(batch)
            yield batch

    return draw


def in_batches(parts: Iterable[Samples], name: str) -> Iterator[Samples]:
    """The samples of the model `name`, BATCH at a time, however many it gave at once."""
    waiting: list[Samples] = []
    for part in parts:
        waiting.append(part)
        while (ready := sum(map(len, waiting))) >= BATCH:
            batch = joined(waiting, name)
            yield batch.take(range(BATCH))
            waiting = [batch.take(range(BATCH, ready))] if ready > BATCH else []
    if waiting:
        yield joined(waiting, name)


def joined(parts: Sequence[Samples], name: str) -> Samples:
    """Batches of one run of the model `name` as one. UserError if only some have what others have."""
    first = parts[0]
    if len(parts) == 1:
        return first
    for field in ("layouts", "layout_source", "prompts"):
        values = [getattr(part, field) for part in parts]
        if len({value if field == "layout_source" else value is None for value in values}) > 1:
            raise UserError(f"model {name} gave other {field} at one batch than at another; give all alike")
    layouts = [part.layouts for part in parts if part.layouts is not None]
    return Samples(
        torch.cat([part.images for part in parts]),
        torch.cat(layouts) if layouts else None,
        first.layout_source,
        None if first.prompts is None else tuple(text for part in parts for text in part.prompts or ()),
        tuple(name for part in parts for name in part.ids),
        tuple(name for part in parts for name in part.groups or ()),
    )


def check_samples(samples: Samples, name: str, model: Model, n: int, reference: Reference) -> None:
    """Refuse what is not as the contract of `Model.generate` says."""
    size, classes = reference.size, len(reference.dataset.classes)
    if not isinstance(samples, Samples):
        raise UserError(f"model {name} gave {type(samples).__name__}, not gcbench.core.samples.Samples; return these")
    if len(samples) != n or tuple(samples.images.shape[-2:]) != size:
        height, width = samples.images.shape[-2:]
        difference = f"{len(samples)} images of {height}x{width}, not {n} of {size[0]}x{size[1]}"
        raise UserError(f"model {name} gave {difference}; give one image a seed, at the size asked for")
    layouts = samples.layouts
    if model.layouts and layouts is None:
        raise UserError(f"model {name} says that it draws layouts and gave none; give them, or set layouts to False")
    if not model.layouts and layouts is not None:
        raise UserError(f"model {name} says that it draws no layouts and gave some; set layouts to True")
    if layouts is not None and not 0 <= int(layouts.min()) <= int(layouts.max()) < classes:
        raise UserError(f"model {name} gave layout ids outside 0..{classes - 1}; give the dataset's class ids")


def seconds_per_image(name: str, model: Model, reference: Reference, guidance: float | None) -> float | None:
    """The model's own estimate, or None. UserError for what is no time."""
    with calling(f"model {name}"):
        seconds = model.seconds_per_image(reference.size, 1.0 if guidance is None else guidance)
    if seconds is not None and not (isinstance(seconds, int | float) and 0 <= seconds < math.inf):
        raise UserError(f"seconds_per_image() of model {name} gives {seconds!r}; give seconds, or None")
    return seconds
