"""Where a model's pairs come from: samples that a run kept, a suite's rows, finished files, or a model that will draw.

Nothing is drawn here; whoever draws is given the `RunSpec` of what is to be drawn.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gcbench.core.contracts import Dataset, Evaluator
from gcbench.core.errors import UserError
from gcbench.core.files import parse_json, read_text
from gcbench.core.names import check_word
from gcbench.core.record import ModelInfo, Record
from gcbench.core.reference import Reference
from gcbench.core.registry import short_name
from gcbench.core.run_spec import RunSpec, check_evaluators, guidance_text
from gcbench.data.finished_images import FinishedImages, read_pairs
from gcbench.data.layouts import LabelIds, has_label_ids
from gcbench.evaluation.finished_samples import read_samples
from gcbench.evaluation.scoring import SEGMENTER, open_evaluator
from gcbench.runs.downstream_record import DownstreamSpec, PairsInfo
from gcbench.runs.manifest import given_to
from gcbench.runs.run_directory import kept_samples
from gcbench.runs.suite_plan import find

SUITE = "suite.json"
"""What tells a suite's directory from a run's."""


class Source(NamedTuple):
    """A model's pairs. name: what it is called in the results. finished: files that are there; to_draw: else what is to
    be drawn. source: of the layouts; None where the dataset's segmenter must read them from the images."""

    name: str
    info: PairsInfo
    finished: FinishedImages | None = None
    to_draw: RunSpec | None = None
    source: str | None = "generated"


class Sources(NamedTuple):
    """left_out: row of a suite -> why it has no pairs."""

    sources: list[Source]
    left_out: dict[str, str]


def find_sources(spec: DownstreamSpec, dataset: Dataset) -> Sources:
    """All pairs that `spec` names. UserError: there are none, and what makes them."""
    sources: list[Source] = []
    left_out: dict[str, str] = {}
    if spec.model is not None:
        sources.append(_of_model(spec, spec.model, spec.checkpoint))
    elif spec.images is not None:
        sources.append(_of_files(spec, spec.images))
    for run in spec.runs:
        if (run / SUITE).is_file():
            for row in _rows(run / SUITE):
                try:
                    sources.append(_of_row(spec, dataset, run, row))
                except UserError as error:
                    left_out[row] = str(error)
        else:
            sources.append(_of_run(spec, dataset, run))
    names = [source.name for source in sources]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f"two runs are called {twice[0]!r}; give them folders of different names")
    if not sources:
        raise UserError(f"no row has pairs: {'; '.join(f'{row}: {why}' for row, why in left_out.items())}")
    return Sources(sources, left_out)


def _of_model(spec: DownstreamSpec, model: str, checkpoint: Path | None) -> Source:
    asked = RunSpec.of(
        model=model,
        dataset=spec.dataset,
        checkpoint=checkpoint,
        guidance=spec.guidance,
        steps=spec.sampling_steps,
        batch_size=spec.batch_size,
        device=spec.device,
    )
    name = spec.name or short_name(model)
    return Source(check_word(name, "--name"), PairsInfo(model=ModelInfo(name=model)), to_draw=asked)


def _of_files(spec: DownstreamSpec, images: Path) -> Source:
    finished = read_pairs(images, spec.layouts)
    if finished.layouts is None:
        raise UserError(f"{images} holds no layouts; a segmenter learns from pairs: name them with --layouts")
    path = Path(images).resolve()
    name = spec.name or (path.parent if path.name == "images" and path.parent.name else path).stem
    given = spec.given or (spec.derived_by is None and given_to(spec.layouts or images) == "layouts")
    source = f"derived:{spec.derived_by}" if spec.derived_by else "given" if given else "generated"
    info = PairsInfo(model=ModelInfo(name=name, note="finished images"), layouts=source)
    return Source(name, info, finished, source=source)


def _of_run(spec: DownstreamSpec, dataset: Dataset, run: Path) -> Source:
    record = Record.read(run)
    if record.protocol.dataset != dataset.name:
        raise UserError(f"{run} is a run on {record.protocol.dataset}, not on {dataset.name}; give its --dataset")
    scales = [point.guidance for point in record.points if kept_samples(run, point.guidance).is_dir()]
    if not scales:
        raise UserError(f"{run} keeps no samples; sweep with --keep-samples, or give --model and its --checkpoint")
    unguided = spec.guidance is None or None in scales
    chosen = [scale for scale in scales if unguided or scale == spec.guidance]
    if len(chosen) != 1:
        known = ", ".join(guidance_text(scale) for scale in scales)
        raise UserError(f"{run} keeps samples at guidance {known}; choose one of these with --guidance")
    folder = kept_samples(run, chosen[0])
    layouts = folder / "layouts"
    derived = record.model.layouts is not None
    if not layouts.is_dir() and not derived:
        raise UserError(f"{record.model.name} of {run} draws no layouts; a segmenter learns from pairs of both")
    given = record.protocol.given
    source = None if not layouts.is_dir() else "given" if given and given.startswith("layouts") else "generated"
    info = PairsInfo(
        model=record.model,
        guidance=chosen[0],
        prompts=record.protocol.split if record.protocol.prompts else None,
        sampler=record.protocol.sampler,
        layouts=source or "",
    )
    finished = read_pairs(folder / "images", layouts if layouts.is_dir() else None)
    return Source(run.resolve().name, info, finished, source=source)


def _rows(ledger: Path) -> list[str]:
    """The rows that a suite's directory has measured, in their order."""
    try:
        stages = parse_json(read_text(ledger))["stages"]
        return list(dict.fromkeys(str(stage["row"]) for stage in stages if stage["kind"] == "sweep"))
    except (OSError, UserError, ValueError, LookupError, TypeError):
        raise UserError(f"{ledger} is damaged; put it back as it was, or give the rows' directories") from None


def _of_row(spec: DownstreamSpec, dataset: Dataset, suite: Path, row: str) -> Source:
    """What the row kept, else its weights, with the sampler that it was measured with."""
    run = suite / check_word(row, f"{suite / SUITE}: the row")
    record = Record.read(run)
    if any(kept_samples(run, point.guidance).is_dir() for point in record.points):
        return _of_run(spec, dataset, run)
    weights = suite / f"train-{_owner(suite, row)}" / "model.safetensors"
    if not weights.is_file():
        raise UserError(f"it kept no samples and {weights} is not there")
    source = _of_model(spec, record.model.name, weights)
    assert source.to_draw is not None
    measured: dict[str, Any] = {
        key: record.spec[key] for key in ("settings", "steps", "precision", "size") if key in record.spec
    }
    scales = [point.guidance for point in record.points if point.guidance is not None]
    if spec.guidance is None and len(scales) > 1:
        known = ", ".join(guidance_text(scale) for scale in scales)
        raise UserError(f"it was measured at guidance {known}; choose one with --guidance")
    if spec.guidance is None and scales:
        measured["guidance"] = scales
    options = {**source.to_draw.model_dump(exclude_defaults=True), **measured}
    return source._replace(name=row, to_draw=RunSpec.of(**options))


def _owner(suite: Path, row: str) -> str:
    """The row whose training `row` uses."""
    if (suite / f"train-{row}").is_dir():
        return row
    try:
        plan = find(str(parse_json(read_text(suite / SUITE))["suite"]))
    except UserError:
        return row  # a suite of the user's own, whose file is not known here
    owner = next((plan.trained_by(candidate) for candidate in plan.row if candidate.name == row), None)
    return row if owner is None else owner.name


# ----------------------------------------------------------------------------------------------------------- reading


def read_source(
    source: Source, n: int, reference: Reference, segmenter: Evaluator | None, tick: Callable[[int], object]
) -> tuple[np.ndarray, np.ndarray]:
    """Its first n pairs, images uint8 [n,H,W,3] and layouts uint8 [n,H,W]. segmenter: reads layouts where there are
    none."""
    assert source.finished is not None
    dataset = reference.dataset
    label_ids = source.finished.named_label_ids and has_label_ids(dataset)
    try:
        return _read(source, n, reference, segmenter, tick, label_ids)
    except LabelIds:
        return _read(source, n, reference, segmenter, lambda count: None, True)


def _read(
    source: Source,
    n: int,
    reference: Reference,
    segmenter: Evaluator | None,
    tick: Callable[[int], object],
    label_ids: bool,
) -> tuple[np.ndarray, np.ndarray]:
    assert source.finished is not None
    images, layouts = [], []
    for batch in read_samples(source.finished, reference, source.source or "", label_ids, range(n)):
        drawn = batch.layouts if segmenter is None else segmenter(batch.images).labels
        if drawn is None:
            raise UserError(
                f"the segmenter that should read the layouts of {source.name} gives no labels; name another"
            )
        images.append(batch.images.permute(0, 2, 3, 1).numpy())
        layouts.append(drawn.cpu().numpy().astype(np.uint8))
        tick(len(batch))
    return np.concatenate(images)[:n], np.concatenate(layouts)[:n]


def open_reader(spec: DownstreamSpec, dataset: Dataset, device: str) -> Evaluator:
    """The segmenter that reads layouts from the images of a model that draws none."""
    return open_evaluator(SEGMENTER, check_evaluators(spec.evaluators).get(SEGMENTER), dataset, device)
