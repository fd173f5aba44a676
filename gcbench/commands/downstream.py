"""`gcbench downstream`: do a model's pairs teach? Segmenters trained on them, on real ones, on both, and tested.

All arms have one recipe, equal steps and the same seeds. What is measured of a seed is written at once; a stopped run
resumes within the training that it was in, to the same digits.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gcbench.commands.sample import draw_missing
from gcbench.commands.segmenter_trainings import PairArrays, Trainings, recipe_of, remove_trainings
from gcbench.core.contracts import Dataset
from gcbench.core.errors import UserError
from gcbench.core.files import write_text
from gcbench.core.protocol import Protocol
from gcbench.core.record import ModelInfo, Record
from gcbench.core.reference import Reference
from gcbench.core.run_spec import guidance_text
from gcbench.data.finished_images import read_pairs
from gcbench.data.open_dataset import open_dataset
from gcbench.data.pair_set import PairSet, content_hash
from gcbench.evaluation.generation import Generator, seconds_per_image
from gcbench.evaluation.held_out_test import HeldOut, real_pairs
from gcbench.evaluation.pair_sources import Source, find_sources, open_reader, read_source
from gcbench.evaluation.setup import choose_device, evaluation_split, model_info, open_model, sampler_of, size_of
from gcbench.reports.downstream_table import downstream_tables
from gcbench.reports.table import render
from gcbench.runs.downstream_record import (
    DOWNSTREAM,
    ArmName,
    Downstream,
    DownstreamProtocol,
    DownstreamSpec,
)
from gcbench.runs.downstream_summary import summarise
from gcbench.runs.manifest import KEPT, point_folder
from gcbench.runs.progress import Bar, say
from gcbench.runs.provenance import provenance
from gcbench.runs.run_directory import RunDirectory
from gcbench.runs.sample_folder import SampleFolder
from gcbench.training.plan import planned_training
from gcbench.training.recipe import Recipe

CSV = "downstream.csv"
PAIRS_AT_MOST = 500
"""Unless -n says otherwise."""


def downstream(
    *runs: Path, out: Path | None = None, fresh: bool = False, plan: bool = False, **options: Any
) -> Downstream | None:
    """Train segmenters on a model's pairs, on real ones and on both, test them; return the written result.

    runs: directories of `sweep --keep-samples`, or of a suite, all of whose rows are taken. options: the fields of
    `DownstreamSpec`, named as the options of `gcbench downstream`. plan: only say what it takes, and return None.

    Raises:
        UserError: what the caller must mend, before the long work where it can be known.
    """
    spec = DownstreamSpec.of(runs=tuple(map(Path, runs)), **options)
    device = choose_device(spec.device)
    dataset = open_dataset(spec.dataset)
    split = test_split(dataset, spec.split)
    sources, left_out = find_sources(spec, dataset)
    n, sets = count_of(spec, dataset, sources)
    total = n * sets
    size = spec.size or dataset.size
    first = sources[0].name if len(sources) == 1 else spec.runs[0].resolve().name
    out = Path(out or Path("runs") / f"downstream-{first}-{Path(spec.dataset).name}")
    inputs = {"--dataset": Path(spec.dataset), "--checkpoint": spec.checkpoint, "--images": spec.images}
    inputs |= {"--layouts": spec.layouts, **{f"the run {run.name}": run for run in spec.runs}}
    draws = {source.name: _opened(source, dataset, total, device) for source in sources if source.to_draw}
    sources = [draws[source.name].source if source.name in draws else source for source in sources]
    make = partial(recipe_of, spec=spec)
    tested = len(dataset.ids(split))
    which = "others" if sets > 1 else "the same"
    say(
        f"Pairs of {', '.join(source.name for source in sources)}: {len(arms_of(sources))} arms of {spec.seeds} seeds,"
        f" each {spec.steps} steps on {n} pairs ({2 * n} in `both`), {which} at each seed,"
        f" tested on {dataset.name}/{split}, {tested} pairs."
    )
    for row, why in left_out.items():
        say(f"{row} is left out: {why}.")
    blank = PairSet(dataset, dataset.name, np.zeros((1, *size, 3), np.uint8), np.zeros((1, *size), np.uint8))
    done = 0 if fresh or not (out / DOWNSTREAM).exists() else Downstream.read(out / DOWNSTREAM).segmenters
    say(_estimate(make, blank, spec.seeds * len(arms_of(sources)) - done, tested, device, draws, total))
    if plan:
        return None
    with RunDirectory(out, fresh, [DOWNSTREAM, CSV, KEPT], inputs) as folder:
        if fresh:
            remove_trainings(out)
        folder.resume(
            Record(
                kind="downstream",
                model=ModelInfo(
                    name=", ".join(source.name for source in sources), note="; ".join(map(_origin, sources))
                ),
                protocol=Protocol(
                    dataset=dataset.name,
                    dataset_version=dataset.version,
                    split=split,
                    n=n,
                    size=size,
                    resize=dataset.resize,
                ),
                provenance=provenance(device),
            )
        )
        for place, source in enumerate(sources):
            if source.name in draws:
                sources[place] = _draw(draws[source.name], folder, total)
        reference = Reference(dataset, split, size)
        test = HeldOut(dataset, *real_pairs(dataset, split, np.arange(tested), size), list(reference.groups))
        train_split = dataset.splits[0]
        rows = np.random.default_rng(0).permutation(len(dataset.ids(train_split)))[:total]
        pairs = {"real": divided(real_pairs(dataset, train_split, rows, size), sets)}
        with Bar("reading pairs", total * len(sources)) as bar:
            for source in [*sources]:
                place = sources.index(source)
                reader = open_reader(spec, dataset, device) if source.source is None else None
                read = read_source(source, total, reference, reader, bar.advance)
                if refusal := test.refusal(source.name, read[0]):
                    if len(sources) == 1:
                        raise UserError(refusal)
                    left_out[source.name] = refusal
                    say(f"{source.name} is left out: {refusal}.")
                    del sources[place]
                    continue
                sources[place] = _described(source, read, None if reader is None else reader.id, split)
                pairs[source.name] = divided(read, sets)
        example = make(blank, {"train.seed": 0})
        planned = Downstream(
            protocol=DownstreamProtocol(
                dataset=dataset.name,
                dataset_version=dataset.version,
                train_split=train_split,
                test_split=split,
                test_n=tested,
                n=n,
                pair_sets=sets,
                ratio=spec.shares,
                size=size,
                resize=dataset.resize,
                steps=spec.steps,
                seeds=tuple(range(spec.seeds)),
                network={"kind": example.name, **example.cfg.model_dump(mode="json")},
                train=example.train_config.model_dump(mode="json", exclude={"steps", "seed"}),
            ),
            models={source.name: source.info for source in sources},
            left_out=left_out,
            provenance=provenance(device),
        )
        result = _resumed(out / DOWNSTREAM, planned)
        for source in sources:
            for note in source.info.notes:
                say(f"{source.name}: {note}.")
        trainings = Trainings(spec, make, dataset, pairs, test, folder, device)
        trainings.run(result, arms_of(sources))
        summarise(result)
        result.write(out / DOWNSTREAM)
        write_text(out / CSV, render(downstream_tables(result), "csv"))
    return result


def arms_of(sources: list[Source]) -> list[tuple[ArmName, str | None]]:
    """Arm and model, in the order of the table; `real` is shared."""
    own: tuple[ArmName, ...] = ("generated", "both")
    return [("real", None), *((arm, source.name) for source in sources for arm in own)]


def test_split(dataset: Dataset, split: str | None) -> str:
    """The held-out split to test on. UserError: the dataset has none, or the split named is trained on."""
    chosen = evaluation_split(dataset, split)
    if len(dataset.splits) < 2:
        raise UserError(
            f"{dataset.name} has the one split {chosen!r} and no held-out pairs to test on; divide it with"
            " `gcbench data split`"
        )
    if chosen == dataset.splits[0]:
        raise UserError(f"--split {chosen}: it is trained on; test on one of {', '.join(dataset.splits[1:])}")
    return chosen


def count_of(spec: DownstreamSpec, dataset: Dataset, sources: list[Source]) -> tuple[int, int]:
    """Pairs of an arm at a seed, the same for all, and sets of so many: one a seed if all have them, else one for all
    seeds. UserError: a source has fewer pairs."""
    counts = {f"{dataset.name}/{dataset.splits[0]}": len(dataset.ids(dataset.splits[0]))}
    counts |= {source.name: len(source.finished) for source in sources if source.finished is not None}
    least = min(counts, key=lambda name: counts[name])
    n = min(PAIRS_AT_MOST, counts[least]) if spec.n is None else spec.n
    if n > counts[least] or n < 2:
        raise UserError(f"{least} has {counts[least]} pairs, and every arm needs {max(n, 2)}; give fewer with -n")
    return n, spec.seeds if n * spec.seeds <= counts[least] else 1


def divided(pairs: PairArrays, sets: int) -> list[PairArrays]:
    """Pairs as so many sets of equal size."""
    parts = (np.split(part, sets) for part in pairs)
    return list(zip(*parts, strict=True))


# ---------------------------------------------------------------------------------------------------------- the pairs


class Draw(NamedTuple):
    """Pairs to be drawn, of the training split's captions: those of the test may not be seen."""

    source: Source
    generator: Generator
    guidance: float


def _opened(source: Source, dataset: Dataset, n: int, device: str) -> Draw:
    """The model opened, to draw n pairs. UserError: it has no layouts, neither drawn nor read."""
    assert source.to_draw is not None
    asked = source.to_draw
    model = open_model(asked, dataset, device)
    if not model.layouts and not model.derives:
        raise UserError(f"model {asked.model} draws no layouts; a segmenter learns from pairs: choose one that does")
    if model.guided and len(asked.guidance or ()) > 1:
        raise UserError(f"{source.name} has several guidance scales; choose one with --guidance")
    scale = (asked.guidance or (1.0,))[0] if model.guided else None
    reference = Reference(dataset, dataset.splits[0], size_of(asked, dataset, model))
    info = source.info.model_copy(
        update={
            "model": model_info(asked.model, model),
            "guidance": scale,
            "prompts": reference.split if model.conditional else None,
            "sampler": sampler_of(asked.model, model),
        }
    )
    generator = Generator(asked.model, model, reference, reference.prompts(n), asked.seed, asked.batch_size)
    layouts = "generated" if model.layouts else None
    return Draw(source._replace(info=info, source=layouts), generator, 1.0 if scale is None else scale)


def _origin(source: Source) -> str:
    """Whose pairs they are, in words: what tells apart two runs that are given one directory."""
    info = source.info
    facts = {"weights": info.model.weights, "guidance": guidance_text(info.guidance), "captions of": info.prompts}
    facts |= {"layouts": info.layouts, **{key: str(value) for key, value in info.sampler.items()}}
    return f"{source.name}: {', '.join([info.model.name, *(f'{key} {fact}' for key, fact in facts.items() if fact)])}"


def _draw(draw: Draw, folder: RunDirectory, n: int) -> Source:
    """The source with its samples drawn; those that are there already are left."""
    source, place = draw.source, folder.path / KEPT / draw.source.name / point_folder(draw.source.info.guidance)
    kept = SampleFolder(place)
    with Bar(f"drawing pairs of {source.name}", n) as bar:
        for _ in draw_missing(replace(draw.generator, progress=bar.advance), draw.guidance, kept, folder):
            pass
    finished = read_pairs(place / "images", place / "layouts" if source.source is not None else None)
    return source._replace(finished=finished)


def _described(source: Source, read: PairArrays, reader: str | None, split: str) -> Source:
    """The source with the hash of its pairs and what is to be known of them."""
    info, notes = source.info, []
    layouts = info.layouts if reader is None else f"derived:{reader}"
    if layouts.startswith("derived:"):
        who = layouts.removeprefix("derived:")
        notes.append(f"the layouts come from a segmenter ({who}), which may be of the family that is trained here")
    if info.prompts == split:
        notes.append(f"the pairs were drawn from captions of {split}, which is tested on")
    if layouts == "given":
        notes.append("the layouts were given to the model; only the images are its own")
    return source._replace(
        info=info.model_copy(update={"pairs": content_hash(*read), "layouts": layouts, "notes": notes})
    )


def _resumed(file: Path, planned: Downstream) -> Downstream:
    """The result to continue. UserError: the directory holds one of another protocol or of other pairs."""
    if not file.exists():
        planned.write(file)
        return planned
    held = Downstream.read(file)
    if differences := held.differs(planned):
        raise UserError(
            f"{file.parent} holds another run ({'; '.join(differences)}); choose another --out, or add --fresh to"
            " start anew there"
        )
    return held


def _estimate(
    make: Callable[..., Recipe],
    blank: Dataset,
    trainings: int,
    tested: int,
    device: str,
    draws: Mapping[str, Draw],
    n: int,
) -> str:
    """How long it takes: from steps of the network that is trained, and each model's own word of what it draws."""
    cfg = make(blank, {}).train_config
    step = planned_training(lambda more: make(blank, more), device, contentless=False).seconds
    if step is None:
        return "How long the trainings take, their bar will say."
    seconds = trainings * (step * cfg.steps + tested * step / cfg.batch_size / 3)
    more = ""
    for draw in draws.values():
        took = seconds_per_image(draw.generator.name, draw.generator.model, draw.generator.reference, draw.guidance)
        seconds += 0.0 if took is None else n * took
        more = more if took is not None else ", and what the model takes to draw"
    span = f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
    return f"This takes about {span}{more}: {trainings} trainings of {cfg.steps} steps, about {step:.2g} s each."
