"""Evaluate finished pictures: a folder of images, with layouts and prompts where there are any."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from gcbench.bench.console import Bar, say
from gcbench.bench.judging import BATCH, Scoring, measure_real, open_judges
from gcbench.bench.opening import check_device, evaluation_split, metric_names, parse_size
from gcbench.bench.provenance import provenance
from gcbench.bench.rundir import RunDirectory
from gcbench.core.contracts import Dataset, Size
from gcbench.core.errors import UserError
from gcbench.core.files import file_hash, text_hash
from gcbench.core.protocol import Protocol
from gcbench.core.record import ModelInfo, Point, Record
from gcbench.core.samples import Samples
from gcbench.data.find import open_dataset
from gcbench.data.folder import FinishedPictures, read_pairs


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
    device: str = "cpu",
) -> Record:
    """Measure the pictures in the folder `images` against a split of `dataset`; write and return the record.

    layouts: a folder of 8-bit class ids, STEM.png for each picture's STEM. prompts: lines of file_name and text.
    derived_by: the segmenter that made the layouts, if a generator did not: mIoU is refused then. Pictures of another
    size are brought to the dataset's by the box filter, layouts by the nearest neighbour.

    Raises:
        UserError: an empty or unpaired folder, an unreadable file, ids that the dataset lacks, ...
    """
    began = time.perf_counter()
    names = metric_names(metrics)
    check_device(device)
    opened = open_dataset(dataset)
    split = evaluation_split(opened, split)
    target = parse_size(size) or opened.size
    found = read_pairs(images, layouts, prompts)
    if len(found) < 2:
        raise UserError(f"{images} holds one picture; give at least 2, so that a spread can be measured")
    name = name or folder_name(images)
    folder = RunDirectory(out or Path("runs") / f"evaluate-{name}", fresh)
    judges = open_judges(opened, names, evaluators, device)
    scoring = Scoring(opened, names, judges)
    with Bar("reading pictures", len(found)) as bar:
        files = read_through(found, opened, bar)
    texts = [] if found.prompts is None else [text for one in found.prompts for text in one[:1]]
    planned = Record(
        kind="evaluate",
        model=ModelInfo(name=name, weights=None, note=f"finished pictures, {len(found)}, files {files}"),
        protocol=Protocol(
            dataset=opened.name,
            dataset_version=opened.version,
            split=split,
            n=len(found),
            size=target,
            resize=opened.resize,
            evaluators={role: judge.id for role, judge in judges.evaluators.items()},
            thresholds=scoring.thresholds,
            prompts=text_hash(*texts) if texts else None,
            reference_n=len(opened.ids(split)),
        ),
        provenance=provenance(device),
    )
    folder.resume(planned, names)  # refuses a directory that holds another run
    say(f"{len(found)} pictures of {images} against {opened.name}/{split}: {', '.join(names)}. Run: {folder.path}")
    for skipped, reason in scoring.missing.items():
        say(f"{skipped} will be skipped: {reason}")
    with Bar("judging real pictures", len(opened.ids(split))) as bar:
        chosen = list(range(min(len(found), len(opened.ids(split)))))
        bounds = measure_real(scoring, opened, split, target, chosen, bar.advance)
    scored = scoring.start()
    source = f"derived:{derived_by}" if derived_by else "generated"
    with Bar("judging pictures", len(found)) as bar:
        for start in range(0, len(found), BATCH):
            samples = read_samples(found, range(start, min(start + BATCH, len(found))), opened, target, source)
            scoring.update(scored, samples)
            bar.advance(len(samples))
    record = planned.model_copy(update={"ceiling": bounds.ceiling, "floor": bounds.floor})
    record.points = [Point(scores=scoring.finish(scored))]
    seconds = {"evaluate": round(time.perf_counter() - began, 3)}
    record.provenance = record.provenance.model_copy(update={"seconds": seconds})
    rows: dict[tuple[str, str], dict[str, float | None]] = {("", sample): {} for sample in found.ids}
    for metric in scored.values():
        for column, values in metric.per_sample().items():
            for sample, value in values.items():
                rows[("", sample)][column] = value
    folder.write(record, rows)
    return record


def folder_name(images: Path) -> str:
    """What pictures are called without --name: their folder, or the one around it if that is just `images`."""
    path = Path(images).resolve()
    return path.parent.name if path.name == "images" and path.parent.name else path.name


def read_through(found: FinishedPictures, dataset: Dataset, bar: Bar) -> str:
    """Read every file once, so that a broken one is known before the long work; the hash of all of them."""
    hashes = []
    for i, picture in enumerate(found.pictures):
        found.read(i, len(dataset.classes), dataset.void)
        hashes.append(file_hash(picture))
        if found.layouts is not None:
            hashes.append(file_hash(found.layouts[i]))
        bar.advance()
    return text_hash(*found.ids, *hashes)


def read_samples(found: FinishedPictures, indices: range, dataset: Dataset, size: Size, source: str) -> Samples:
    """A batch of finished pictures at `size`."""
    read = [found.read(i, len(dataset.classes), dataset.void, size) for i in indices]
    drawn = [layout for _, layout in read if layout is not None]
    return Samples(
        torch.from_numpy(np.stack([picture for picture, _ in read])).permute(0, 3, 1, 2).contiguous(),
        torch.from_numpy(np.stack(drawn)).long() if drawn else None,
        source if drawn else None,
        None if found.prompts is None else tuple(found.prompts[i][0] for i in indices),
        tuple(found.ids[i] for i in indices),
        tuple(found.groups[i] for i in indices),
    )
