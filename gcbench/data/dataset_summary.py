"""What a dataset holds and what it is good for, for `gcbench data check`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gcbench.core.contracts import Dataset
from gcbench.core.errors import UserError
from gcbench.core.score import FEW_GROUPS
from gcbench.data.folder import PROMPTS, Folder
from gcbench.data.image_files import header, read_file
from gcbench.data.image_sources import left_out
from gcbench.data.pair_files import PairFiles
from gcbench.data.unreadable_files import Kind
from gcbench.text.class_mentions import named_classes

LEAST_PAIRS = 4
"""The fewest pairs that can be a reference: the ceiling takes half of them, and an interval needs two."""
KINDS: tuple[Kind, ...] = ("image", "layout")


@dataclass(frozen=True)
class SplitSummary:
    """One split.

    group_names: the group of each pair. sampled: pairs that were read. shares: class -> part of the area (0..1) over
    these. attributes: attribute -> part of these that have it. captions, naming: their texts, and how many name a
    class. caption: the first text. problems: what is wrong with them. notes: what was turned and what is left out.
    """

    split: str
    group_names: tuple[str, ...]
    missing: tuple[str, ...]
    sampled: int
    shares: Mapping[str, float]
    attributes: Mapping[str, float]
    captions: int
    naming: int
    caption: str
    problems: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def pairs(self) -> int:
        return len(self.group_names)

    @property
    def groups(self) -> int:
        return len(set(self.group_names))

    def __str__(self) -> str:
        groups = f" in {self.groups} group{'s' * (self.groups > 1)}" if self.groups < self.pairs else ""
        return f"{self.split}, {self.pairs} pairs{groups}"


class Capability(NamedTuple):
    """One thing that a dataset is, or is not, good for. answer: yes, no, or what it has. why: and what to add if no."""

    subject: str
    answer: str
    why: str


def summarise(dataset: Dataset, sample: int = 50) -> list[SplitSummary]:
    """Count every split's pairs; read up to `sample` of them, evenly spaced: classes, captions, attributes."""
    return [_split(dataset, split, sample) for split in dataset.splits]


def _split(dataset: Dataset, split: str, sample: int) -> SplitSummary:
    if isinstance(dataset, PairFiles):  # its `ids` refuse a split with missing files
        groups = [pair.group for pair in dataset.found[split]]
        missing = tuple(dataset.missing.get(split, ()))
    else:
        groups, missing = list(dataset.groups(split)), ()
    counts, having = np.zeros(len(dataset.classes)), np.zeros(len(dataset.attributes))
    texts: list[str] = []
    problems = []
    chosen = np.unique(np.linspace(0, len(groups) - 1, min(sample, len(groups))).round().astype(int))
    for index in chosen.tolist():
        try:
            if dataset.has_layouts:
                _, layout = dataset.pair(split, index, dataset.size)
                counts += np.bincount(layout.ravel(), minlength=len(counts))
            else:
                dataset.image(split, index, dataset.size)
            texts += dataset.captions(split, index) if dataset.has_texts else ()
            having += 0 if (labels := dataset.attribute_labels(split, index)) is None else labels
        except UserError as error:
            problems.append(str(error))
    shares = counts / max(counts.sum(), 1)
    return SplitSummary(
        split,
        tuple(groups),
        missing,
        len(chosen),
        dict(zip(dataset.classes, shares.tolist(), strict=True)),
        dict(zip(dataset.attributes, (having / max(len(chosen), 1)).tolist(), strict=True)),
        len(texts),
        sum(bool(named_classes(text, dataset.aliases)) for text in texts),
        texts[0] if texts else "",
        tuple(problems),
        tuple(_notes(dataset, split, chosen.tolist())) if isinstance(dataset, PairFiles) else (),
    )


def _notes(dataset: PairFiles, split: str, indices: Sequence[int]) -> list[str]:
    """What an official split lacks, how many files of these pairs their EXIF orientation turns, and what lies beside a
    folder's pairs unread."""
    notes = []
    if (whole := dataset.official.get(split)) and len(dataset.found[split]) != whole:
        notes.append(f"{len(dataset.found[split])} of the official split's {whole} pairs are here")
    for kind in KINDS:
        paths = {getattr(dataset.files(split, index), kind) for index in indices}
        if turned := sum(map(_turned, paths)):
            notes.append(f"{turned} of {len(paths)} {kind}s read are turned by their EXIF orientation")
        if isinstance(dataset, Folder):
            notes += left_out(dataset.folders[split] / f"{kind}s", kind)
    return notes


def _turned(path: Path) -> bool:
    try:
        return header(read_file(path, "file"), path, "file").turned
    except UserError:  # a problem, and named as one
        return False


def capabilities(dataset: Dataset, summaries: Sequence[SplitSummary]) -> list[Capability]:
    """What can be done with the dataset, apart from what evaluators are needed for; and what to add where not."""
    last, attributes, void = summaries[-1], len(dataset.attributes), dataset.void
    rows = [
        ("training", *_training(dataset, summaries)),
        *((f"evaluation on {summary.split}", *_evaluation(summary)) for summary in summaries[1:] or summaries),
        ("texts", *_texts(dataset, last)),
        ("groups", *_groups(summaries)),
        ("attributes", "yes", f"{attributes}, measured by attribute recall")
        if attributes
        else ("attributes", "none", "attribute recall is skipped"),
        ("layouts", "none", "metrics of layouts are skipped, and nothing that draws them can be trained")
        if not dataset.has_layouts
        else ("void", "none", "every pixel of a layout must be of a class; 255 is refused")
        if void is None
        else ("void", "yes", f"{_void(dataset.classes[void], last)}; left out of mIoU"),
    ]
    return [Capability(*row) for row in rows]


def _void(name: str, summary: SplitSummary) -> str:
    return f"{name!r}, {summary.shares[name]:.1%} of the area of {summary.split}"


def _training(dataset: Dataset, summaries: Sequence[SplitSummary]) -> tuple[str, str]:
    first = summaries[0]
    if not dataset.has_layouts:
        return "no", "there are no layouts"
    if len(summaries) < 2:
        how = "add the images of another"
        if isinstance(dataset, Folder):
            how = f"`gcbench data split {dataset.argument} --val 0.2 --out DIR` divides it"
        return "no", f"{first.split} is the only split, and nothing would be held out; {how}"
    return ("yes", f"on {first}") if first.pairs else ("no", f"{first.split} is empty; add pairs to it")


def _evaluation(summary: SplitSummary) -> tuple[str, str]:
    if summary.pairs < LEAST_PAIRS:
        return "no", f"{summary.pairs} pairs where at least {LEAST_PAIRS} are needed; add pairs"
    if summary.groups < 2:
        return "yes", f"{summary}, so without intervals; name smaller groups"
    few = f"; intervals are wide, as they are below {FEW_GROUPS} groups" if summary.groups < FEW_GROUPS else ""
    return "yes", f"against {summary}{few}"


def _texts(dataset: Dataset, summary: SplitSummary) -> tuple[str, str]:
    if not dataset.has_texts:
        return "none", "metrics of texts are skipped, and no model draws from them"
    if not summary.captions:
        return "no", "no caption could be read; see below"
    folder, example = isinstance(dataset, Folder), f"for example {summary.caption!r}"
    if isinstance(dataset, PairFiles) and dataset.captions_from_layouts(summary.split):
        why = f"there are none, so a caption lists the classes in the layout, {example}"
        return "built", f"{why}; {PROMPTS} with your own replaces it" if folder else why
    named = f"{summary.naming} of {summary.captions} read name a class (others do not count in Semantic Recall)"
    if summary.naming == summary.captions:
        named = f"all {summary.captions} read name a class"
    elif not summary.naming and folder:
        named = f"none of {summary.captions} read names a class; add their words to [aliases] in dataset.toml"
    return "yes", f"{named}, {example}"


def _groups(summaries: Sequence[SplitSummary]) -> tuple[str, str]:
    first, last = summaries[0], summaries[-1]
    shared = sorted(set(first.group_names) & set(last.group_names)) if first is not last else []
    if shared:
        overlap = f"{first.split} and {last.split} share {len(shared)} groups, the first is {shared[0]!r}"
        return "shared", f"{overlap}: what is held out resembles what is trained on; divide whole groups"
    if all(summary.groups == summary.pairs for summary in summaries):
        return "none", "every pair is taken as independent; name groups for frames of one video"
    return "yes", ", ".join(f"{s.groups} in {s.split}" for s in summaries) + "; intervals never cut one"


def metrics_capability(possible: Iterable[str], missing: Mapping[str, str]) -> Capability:
    """What `sweep` and `evaluate` measure unasked. missing: metric -> why it cannot be measured, and what to add."""
    names = ", ".join(possible)
    if not missing:
        return Capability("default metrics", "yes", names)
    reasons = dict.fromkeys(missing.values())
    without = {reason: ", ".join(name for name in missing if missing[name] == reason) for reason in reasons}
    why = "; ".join(f"not {group}: {reason}" for reason, group in without.items())
    return Capability("default metrics", "some" if names else "no", f"{names}; {why}" if names else why)
