"""Evaluate finished images: a folder, zip or npz of images, with layouts and prompts where there are any.

An image is decoded once, when it is evaluated; what its bytes and its header say is looked at before. The user's images
are evaluated before the real ones, so that a damaged one costs no longer wait than it must.
"""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from gcbench.core.contracts import Dataset, Metric, Size
from gcbench.core.errors import UserError
from gcbench.core.files import text_hash
from gcbench.core.protocol import Protocol
from gcbench.core.record import ModelInfo, Point, Record
from gcbench.core.samples import Samples
from gcbench.data.finished import FinishedImages, read_pairs
from gcbench.data.layouts import LabelIds, has_label_ids
from gcbench.data.open_dataset import open_dataset
from gcbench.data.unreadable import Unreadable, refuse
from gcbench.evaluation.arguments import check_device, evaluation_split, metric_names, parse_size
from gcbench.evaluation.input_warnings import cautions
from gcbench.evaluation.scoring import BATCH, Scoring, measure_real, open_evaluators
from gcbench.evaluation.self_check import self_check
from gcbench.runs.progress import Bar, say
from gcbench.runs.provenance import provenance
from gcbench.runs.run_directory import RunDirectory
from gcbench.runs.stopwatch import Stages


def evaluate(
    images: Path,
    dataset: str = "streets",
    *,
    layouts: Path | None = None,
    prompts: Path | None = None,
    derived_by: str | None = None,
    split: str | None = None,
    metrics: str | Sequence[str] | None = None,
    evaluators: Sequence[str] = (),
    size: str | Size | None = None,
    name: str | None = None,
    out: Path | None = None,
    fresh: bool = False,
    check: bool = False,
    device: str = "auto",
) -> Record:
    """Measure the images in the folder, zip or npz `images` against a split of `dataset`; return the written record.

    layouts: class ids or colours of the dataset's palette, STEM.png for each image's STEM, or an npz; an npz of
    images may hold them itself. prompts: lines of file_name and text. derived_by: the segmenter that made the
    layouts, if a generator did not: mIoU is refused then. Images of another size are brought to the dataset's by the
    box filter, layouts by the nearest neighbour. check: measure the evaluators on all real pairs of the split first
    (`--self-check`).

    Raises:
        UserError: an empty or unpaired source, unreadable files, ids or colours that the dataset lacks, ...
    """
    began = time.perf_counter()
    names = metric_names(metrics)
    device = check_device(device)
    opened = open_dataset(dataset)
    split = evaluation_split(opened, split)
    target = parse_size(size) or opened.size
    found = read_pairs(images, layouts, prompts)
    if len(found) < 2:
        raise UserError(f"{images} holds one image; give at least 2, so that a spread can be measured")
    name = name or folder_name(images)
    folder = RunDirectory(out or Path("runs") / f"evaluate-{name}", fresh)
    evaluator_set = open_evaluators(opened, names, evaluators, device)
    scoring = Scoring(opened, names, evaluator_set)
    stages = Stages()
    with stages("read"), Bar("reading images", len(found)) as bar:
        survey = found.survey(bar.advance)
    warnings = cautions(survey, opened, split, target)
    texts = [] if found.prompts is None else [text for one in found.prompts for text in one[:1]]
    planned = Record(
        kind="evaluate",
        model=ModelInfo(name=name, weights=None, note=f"finished images, {len(found)}, files {survey.hash}"),
        protocol=Protocol(
            dataset=opened.name,
            dataset_version=opened.version,
            split=split,
            n=len(found),
            size=target,
            resize=opened.resize,
            evaluators={role: evaluator.id for role, evaluator in evaluator_set.by_role.items()},
            thresholds=scoring.thresholds,
            metric_files=scoring.metric_files,
            prompts=text_hash(*texts) if texts else None,
            reference_n=len(opened.ids(split)),
        ),
        provenance=provenance(device),
    )
    if not fresh:
        folder.resume(planned, names)  # refuses a directory that holds another run
    say(f"{len(found)} images of {images} against {opened.name}/{split}: {', '.join(names)}. Run: {folder.path}")
    for skipped, reason in scoring.missing.items():
        say(f"{skipped} will be skipped: {reason}")
    if layouts is None and found.layouts is not None:
        say(f"The layouts are those that {images} holds itself.")
    for line in warnings:
        say(f"Warning: {line}.")
    checked = None
    if check:
        with stages("self-check"), Bar("checking the evaluators", len(opened.ids(split))) as bar:
            checked = self_check(opened, split, target, evaluator_set, bar.advance)
    source = f"derived:{derived_by}" if derived_by else "generated"
    label_ids = found.named_label_ids and has_label_ids(opened)
    try:
        scored = evaluator_images(scoring, found, opened, target, source, label_ids, stages)
    except LabelIds as found_out:  # seldom late: nearly every real layout shows it
        label_ids = True
        say(f"The layouts are Cityscapes' labelIds, not train ids: {found_out.sign}. They are read anew.")
        scored = evaluator_images(scoring, found, opened, target, source, label_ids, stages)
    if label_ids:
        warnings.append("the layouts are Cityscapes' labelIds and were mapped to train ids")
        say(f"Warning: {warnings[-1]}.")
    if fresh:
        folder.resume(planned, names)  # clears the directory, now that every image is known to be whole
    with stages("real"), Bar("evaluating real images", len(opened.ids(split))) as bar:
        chosen = list(range(min(len(found), len(opened.ids(split)))))
        bounds = measure_real(scoring, opened, split, target, chosen, bar.advance)
    record = planned.model_copy(update={"ceiling": bounds.ceiling, "floor": bounds.floor, "self_check": checked})
    with stages("score"):
        scores = scoring.finish(scored)
    spent = stages.rounded()
    real: dict[str, float] = {name: spent.pop(name) for name in ("self-check", "real") if name in spent}
    real |= {"evaluate": round(time.perf_counter() - began, 3)}
    record.points = [Point(scores=scores, seconds=spent)]
    record.provenance = record.provenance.model_copy(update={"seconds": real, "warnings": warnings})
    rows: dict[tuple[str, str], dict[str, float | None]] = {("", sample): {} for sample in found.ids}
    for metric in scored.values():
        for column, values in metric.per_sample().items():
            for sample, value in values.items():
                rows[("", sample)][column] = value
    folder.write(record, rows, dict(zip(found.ids, found.groups, strict=True)))
    return record


def folder_name(images: Path) -> str:
    """What images are called without --name: their file or folder, or the one around it if that is just `images`."""
    path = Path(images).resolve()
    if path.suffix.lower() in (".zip", ".npz"):
        return path.stem
    return path.parent.name if path.name == "images" and path.parent.name else path.name


def evaluator_images(
    scoring: Scoring,
    found: FinishedImages,
    dataset: Dataset,
    size: Size,
    source: str,
    label_ids: bool,
    stages: Stages,
) -> dict[str, Metric]:
    """The metrics with all finished images in them."""
    scored = scoring.start()
    with Bar("evaluating images", len(found)) as bar:
        for samples in stages.each("read", read_samples(found, dataset, size, source, label_ids)):
            with stages("evaluate"):
                scoring.update(scored, samples)
            bar.advance(len(samples))
    return scored


def read_samples(
    found: FinishedImages, dataset: Dataset, size: Size, source: str, label_ids: bool = False
) -> Iterator[Samples]:
    """Batches of finished images at `size`. After the first damaged one the rest is only looked through.

    Raises:
        UserError: names and counts the damaged ones, at the end.
    """
    broken: list[Unreadable] = []
    for start in range(0, len(found), BATCH):
        indices = range(start, min(start + BATCH, len(found)))
        read = []
        for i in indices:
            try:
                read.append(found.read(i, dataset, size, label_ids))
            except Unreadable as error:
                broken.append(error)
        if broken:
            continue
        drawn = [layout for _, layout in read if layout is not None]
        yield Samples(
            torch.from_numpy(np.stack([image for image, _ in read])).permute(0, 3, 1, 2).contiguous(),
            torch.from_numpy(np.stack(drawn)).long() if drawn else None,
            source if drawn else None,
            None if found.prompts is None else tuple(found.prompts[i][0] for i in indices),
            tuple(found.ids[i] for i in indices),
            tuple(found.groups[i] for i in indices),
        )
    refuse(broken, len(found))
