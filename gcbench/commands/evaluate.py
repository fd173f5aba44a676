"""Evaluate finished images: a folder, zip or npz of images, with layouts and prompts where there are any.

An image is decoded once, when it is evaluated; what its bytes and its header say is looked at before. The user's images
are evaluated before the real ones, so that a damaged one costs no longer wait than it must.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from gcbench.core.errors import NothingMeasured, UserError
from gcbench.core.names import check_label, check_word
from gcbench.core.record import ModelInfo, Point, Record
from gcbench.core.reference import Reference
from gcbench.core.run_spec import RunSpec
from gcbench.core.samples import Samples
from gcbench.data.finished_images import FinishedImages, check_layouts, read_pairs
from gcbench.data.layouts import LabelIds, has_label_ids
from gcbench.data.open_dataset import open_dataset
from gcbench.data.prompts import ALL, FIRST, check_texts
from gcbench.evaluation.finished_samples import read_samples
from gcbench.evaluation.input_warnings import input_warnings
from gcbench.evaluation.real_sets import RealSets, open_against, training_set
from gcbench.evaluation.scoring import Scoring, measure_real, open_evaluators
from gcbench.evaluation.self_check import self_check as check_evaluators_on
from gcbench.evaluation.setup import choose_device, evaluation_split, metrics_of, protocol_of, size_of
from gcbench.evaluation.shards import Shards, Total
from gcbench.evaluation.shared_work import Work, take_all
from gcbench.reports import curve
from gcbench.reports.record_table import write_scores
from gcbench.runs.manifest import MEASURED, SCORES, SHARDS, given_to, remove_written, write_command
from gcbench.runs.progress import Bar, say
from gcbench.runs.provenance import provenance
from gcbench.runs.run_directory import RunDirectory
from gcbench.runs.sample_table import SampleTable
from gcbench.runs.stopwatch import Stopwatch
from gcbench.runs.work_shares import Share, share_of


def evaluate(
    images: Path,
    dataset: str = "streets",
    *,
    layouts: Path | None = None,
    prompts: Path | None = None,
    given: bool = False,
    derived_by: str | None = None,
    name: str | None = None,
    out: Path | None = None,
    fresh: bool = False,
    self_check: bool = False,
    shard: str | None = None,
    texts: str = FIRST,
    **options: Any,
) -> Record:
    """Measure the images in the folder, zip or npz `images` against a split of `dataset`; return the written record.

    layouts: class ids or colours of the dataset's palette, STEM.png for each image's STEM, or an npz; an npz of
    images may hold them itself. prompts: JSON lines of file_name and text, CSV with these columns, COCO's captions as
    JSON, or plain text, a line an image in the order of their names. texts: `first`, an image of several texts is
    measured with its first, and how many are left out is said; `all`, metrics of prompts measure it with each, images
    and FID's like count once. given: the layouts were given to the model that
    drew the images, which is known by itself of the folders that `sample` writes. derived_by: the segmenter that made
    the layouts, if a generator did not: mIoU is refused then. Images of another size are brought to the dataset's by
    the box filter, layouts by the nearest neighbour. self_check: measure the evaluators on all real pairs of the split
    first. shard: evaluate only a share of the images, as for `sweep`; the last process to end merges all, and what
    earlier ones return has no scores. options: `split`, `reference`, `size`, `metrics`, `evaluators` and `device` of
    `RunSpec`.

    Raises:
        UserError: an empty or unpaired source, unreadable files, ids or colours that the dataset lacks, ...
    """
    began = time.perf_counter()
    share = share_of(shard)
    if share is not None and fresh:
        raise UserError("--fresh is not for one of several processes; remove the directory first, and leave it out")
    check_texts(texts)
    check_layouts(images, layouts, given, derived_by)
    known = given_to(layouts or images) if derived_by is None else None
    spec = RunSpec.of(dataset=dataset, given="layouts" if given else known, **options)
    device = choose_device(spec.device)
    opened = open_dataset(dataset)
    reference = Reference(opened, evaluation_split(opened, spec.split), size_of(spec, opened))
    images = Path(images)
    finished = read_pairs(images, layouts and Path(layouts), prompts and Path(prompts))
    if len(finished) < 2:
        raise UserError(f"{images} holds one image; give at least 2, so that a spread can be measured")
    metrics = metrics_of(spec, spec.given)
    name = check_label(name or folder_name(images), "--name")
    if out is None:
        check_word(name, "without --out, --name")
    out = Path(out or Path("runs") / f"evaluate-{name}")
    inputs = {"--images": images, "--layouts": layouts, "--prompts": prompts, "--dataset": Path(dataset)}
    if any(path is not None and out.resolve() == Path(path).resolve() for path in inputs.values()):
        raise UserError(f"--out {out} is what is evaluated; choose another directory")
    asked = {"images": images, "dataset": dataset, "layouts": layouts, "prompts": prompts, "given": given}
    asked |= {"derived_by": derived_by, "name": name, "out": out, "self_check": self_check, "texts": texts, **options}
    with RunDirectory(out, fresh, MEASURED, inputs, share is not None) as folder, ExitStack() as merging:
        sets = RealSets(open_against(spec.reference, reference), training_set(reference))
        evaluators = open_evaluators(opened, metrics, spec.evaluators, device)
        scoring = Scoring(opened, metrics, evaluators, given=spec.given, sets=sets)
        stopwatch = Stopwatch()
        with stopwatch("read"), Bar("reading images", len(finished)) as bar:
            survey = finished.survey(bar.advance)
        real = reference if sets.against is None else sets.against.images
        warnings = [*input_warnings(survey, reference.size, real), *finished.text_notes(texts == ALL)]
        named = texts_by_sample(finished, texts)
        if texts == ALL and finished.prompts is not None:
            scoring.further = {name: several[1:] for name, several in zip(finished.ids, finished.prompts, strict=True)}
        planned = Record(
            kind="evaluate",
            spec=spec.stored(),
            model=ModelInfo(name=name, weights=None, note=f"finished images, {len(finished)}, files {survey.hash}"),
            protocol=protocol_of(reference, scoring, n=len(finished), prompts=tuple(named.values())),
            provenance=provenance(device),
        )
        late = fresh and folder.manifest.run is not None  # an older run is kept until the images are known to be whole
        if not late:
            held = folder.resume(planned, list(metrics))  # refuses a directory that holds another run
            if share is not None and held.points:
                say(f"Nothing is left to do: {folder.path} is merged.")
                return held
        if share is not None:
            write_command(folder.path, "evaluate", asked)
        say(f"{len(finished)} images of {images} against {reference}: {', '.join(metrics)}. Run: {folder.path}")
        for skipped, reason in scoring.missing.items():
            say(f"{skipped} will be skipped: {reason}")
        if known and not given:
            say(f"The {known} were given to the model, as the run says that wrote them.")
        if layouts is None and finished.layouts is not None:
            say(f"The layouts are those that {images} holds itself.")
        warnings += () if sets.against is None else sets.against.notes
        for line in warnings:
            say(f"Warning: {line}.")
        if self_check:
            with stopwatch("self-check"), Bar("checking the evaluators", len(reference)) as bar:
                planned.self_check = check_evaluators_on(reference, scoring.evaluators, bar.advance)
        source = f"derived:{derived_by}" if derived_by else "given" if spec.given == "layouts" else "generated"
        label_ids = finished.named_label_ids and has_label_ids(opened)
        settings = [planned.protocol.model_dump_json(), planned.model.model_dump_json(), *metrics, f"fresh: {fresh}"]
        images_of = Images(scoring, finished, reference, source, [*settings, source], share)
        try:
            total = images_of.evaluate(folder, label_ids, merging)
        except LabelIds as sign:  # seldom late: nearly every real layout shows it
            label_ids = True
            say(f"The layouts are Cityscapes' labelIds, not train ids: {sign.sign}. They are read anew.")
            total = images_of.evaluate(folder, label_ids, merging)
        if total is None:
            return folder.resume(planned, list(metrics))
        if label_ids:
            warnings.append("the layouts are Cityscapes' labelIds and were mapped to train ids")
            say(f"Warning: {warnings[-1]}.")
        if late:
            folder.resume(planned, list(metrics))  # removes the older run
        with stopwatch("real"), Bar("evaluating real images", len(reference) + scoring.real_count) as bar:
            bounds = measure_real(scoring, reference, list(range(min(len(finished), len(reference)))), bar.advance)
        record = planned.model_copy(update={"ceiling": bounds.ceiling, "floor": bounds.floor})
        with stopwatch("score"):
            scores = scoring.finish(total.metrics)
        spent = {"read": 0.0, **total.seconds, **stopwatch.rounded()}
        spent["read"] = round(total.seconds["read"] + stopwatch.seconds["read"], 3)
        seconds: dict[str, float] = {stage: spent.pop(stage) for stage in ("self-check", "real") if stage in spent}
        seconds["evaluate"] = round(time.perf_counter() - began, 3)
        record.points = [Point(scores=scores, seconds=spent)]
        fields = {"seconds": seconds, "warnings": warnings, "processes": len(total.processes)}
        record.provenance = record.provenance.model_copy(update=fields)
        group_of = dict(zip(finished.ids, finished.groups, strict=True))
        group_of |= {name: group_of[name.rpartition("#")[0]] for name in named if name not in group_of}
        table = SampleTable(group_of, named)
        table.collect(total.metrics, None)
        folder.check()
        write_scores(record, folder.path / SCORES)
        curve.draw(record, folder.path)
        folder.write(record, table)
        remove_written(folder.path / SHARDS)
        if not any(score.value is not None for score in scores.values()):
            raise NothingMeasured(f"nothing could be measured; the reasons are in {folder.path}")
    return record


def texts_by_sample(finished: FinishedImages, texts: str) -> dict[str, str]:
    """Name of a sample -> its text, those of `Scoring.further` behind the first ones; empty without texts."""
    named = dict(zip(finished.ids, (several[0] for several in finished.prompts or ()), strict=False))
    if texts == ALL and finished.prompts is not None:
        for name, several in zip(finished.ids, finished.prompts, strict=True):
            named |= {f"{name}#{i}": text for i, text in enumerate(several[1:], 2)}
    return named


def folder_name(images: Path) -> str:
    """What images are called without --name: their file or folder, or the one around it if that is just `images`."""
    path = Path(images).resolve()
    if path.suffix.lower() in (".zip", ".npz"):
        return path.stem
    return path.parent.name if path.name == "images" and path.parent.name else path.name


class Images(NamedTuple):
    """Finished images, and what evaluates them. settings: all that the scores depend on. share: what of them this
    process measures; None for all."""

    scoring: Scoring
    finished: FinishedImages
    reference: Reference
    source: str
    settings: list[str]
    share: Share | None

    def evaluate(self, folder: RunDirectory, label_ids: bool, merging: ExitStack) -> Total | None:
        """The metrics with all images in them; None if that is not this process's to merge. merging: holds others back
        from it from then on."""
        settings = [*self.settings, f"label ids: {label_ids}"]
        with Bar("evaluating images", len(self.finished)) as bar:
            shards = Shards(len(self.finished), folder.path / SHARDS, settings, tick=bar.advance, check=folder.check)

            def draw(part: range, stopwatch: Stopwatch) -> Iterator[Samples]:
                read = read_samples(self.finished, self.reference, self.source, label_ids, part)
                for batch in stopwatch.each("read", read):
                    yield batch
                    bar.advance(len(batch))

            if self.share is not None:
                shards.needed = lambda: not folder.points()
                whole = take_all(self.share, [Work(0, shards, draw)], self.scoring)
                if not whole or not merging.enter_context(folder.merging()) or folder.points():
                    return None
            return shards.measure(self.scoring, draw)
