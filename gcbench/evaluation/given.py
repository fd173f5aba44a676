"""What a model is given of its samples: the layouts or the images of a user's files, or of a split's own pairs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from gcbench.core.contracts import Dataset, Given, Size
from gcbench.core.errors import UserError
from gcbench.core.reference import Prompts, Reference
from gcbench.core.samples import Samples
from gcbench.data import image_files
from gcbench.data.finished_images import ENDINGS, IMAGE_ENDING, LABEL_IDS
from gcbench.data.image_sources import Source, open_source
from gcbench.data.layouts import LabelIds, has_label_ids, layout_ids
from gcbench.data.prompts import further_texts, read_prompts
from gcbench.data.unreadable_files import Unreadable, refuse
from gcbench.runs.progress import Bar, say
from gcbench.runs.sample_folder import PROMPTS

T = TypeVar("T")


@dataclass(frozen=True)
class GivenRows:
    """One part of every sample. part: `layouts` or `images`. ids: the samples' names, None for a run's own. read: uint8
    [H,W] or [H,W,3] by place. hash: of a user's, else empty."""

    part: str
    read: Callable[[int], np.ndarray]
    ids: tuple[str, ...] | None = None
    hash: str = ""

    def at(self, places: Sequence[int]) -> Given:
        rows = torch.from_numpy(np.stack([self.read(place) for place in places]))
        if self.part == "layouts":
            return Given(layouts=rows.long())
        return Given(images=rows.permute(0, 3, 1, 2).contiguous())

    def kept(self, samples: Samples, given: Given, name: str) -> Samples:
        """The samples, with layouts that were given named so. UserError: the model `name` changed what it was given."""
        if given.layouts is not None:
            drawn = given.layouts if samples.layouts is None else samples.layouts
            samples = replace(samples, layouts=drawn, layout_source="given")
        for mine, known in ((samples.layouts, given.layouts), (samples.images, given.images)):
            if known is not None and not (mine is not None and mine.equal(known)):
                raise UserError(f"model {name} changed the {self.part} that it was given; return them as they are")
        return samples


def given_pairs(part: str | None, reference: Reference, rows: Sequence[int]) -> GivenRows | None:
    """Those of the split's own pairs: sample i has that of the pair at rows[i]. part: None, nothing is given."""
    if part is None:
        return None
    which = part == "layouts"
    return GivenRows(part, lambda place: reference.dataset.pair(reference.split, rows[place], reference.size)[which])


def given_files(part: str, place: Path, dataset: Dataset, size: Size, n: int | None) -> GivenRows:
    """Those of the first n files in a folder, zip or npz, in the order of their names. All are read once, as a check.
    UserError: no files, damaged ones, or ids or colours that the dataset lacks."""
    source = open_source(place, "layout" if part == "layouts" else "image")
    for sentence in source.left_out:
        say(f"Warning: {sentence}.")
    entries: dict[str, str] = {}
    for name in source.ids:
        stem = _bare(name, ENDINGS) if part == "layouts" else name
        if stem in entries:
            raise UserError(f"{place} has two layouts of {stem}, {entries[stem]} and {name}; take one out")
        entries[stem] = name
    ids = tuple(sorted(entries))[:n]
    names = [entries[name] for name in ids]
    label_ids = part == "layouts" and has_label_ids(dataset) and any(name.endswith(LABEL_IDS) for name in names)
    try:
        content = _hash(source, names, dataset, size, label_ids)
    except LabelIds as sign:
        label_ids = True
        say(f"The layouts are Cityscapes' labelIds, not train ids: {sign.sign}. They are mapped to train ids.")
        content = _hash(source, names, dataset, size, label_ids)
    return GivenRows(part, lambda row: _read(source, names[row], dataset, size, label_ids), ids, content)


def _bare(name: str, endings: Sequence[str]) -> str:
    return next((name.removesuffix(ending) for ending in endings if name.endswith(ending)), name)


def _hash(source: Source, names: Sequence[str], dataset: Dataset, size: Size, label_ids: bool) -> str:
    digest, broken = sha256(), list[Unreadable]()
    with Bar(f"reading {source.kind}s", len(names)) as bar:
        for name in names:
            try:
                digest.update(_read(source, name, dataset, size, label_ids).tobytes())
            except Unreadable as error:
                broken.append(error)
            bar.advance()
    refuse(broken, len(names))
    return digest.hexdigest()[:12]


def _read(source: Source, name: str, dataset: Dataset, size: Size, label_ids: bool) -> np.ndarray:
    image = source.image(name)
    if source.kind == "image":
        return image_files.resize_image(image_files.rgb(image), size)
    return image_files.resize_layout(layout_ids(image, source.place(name), dataset, label_ids), size)


def _named(entries: Mapping[str, T]) -> dict[str, T]:
    """By the names, and by what they are without Cityscapes' ending."""
    return {_bare(name, [IMAGE_ENDING]): entry for name, entry in entries.items()} | dict(entries)


def texts_beside(given: GivenRows, place: Path | None, dataset: Dataset, size: Size) -> Prompts:
    """The texts of what is given: those of a `prompts.jsonl` in its folder or beside that, else the captions of the
    dataset's pairs, if these are what is given; else none. place: None, none.
    UserError: a `prompts.jsonl` that has lines of some of the names only."""
    ids = given.ids or ()
    rows = list(range(len(ids)))
    for manifest in [] if place is None else [place / PROMPTS, place.parent / PROMPTS]:
        named = _named(read_prompts(manifest)) if manifest.is_file() else {}
        lacking = [name for name in ids if name not in named]
        if 0 < len(lacking) < len(ids):
            raise UserError(
                f"{manifest} has no text of {lacking[0]}, one of {len(lacking)} without; add these, or give --prompt"
            )
        if not lacking:
            say(f"Texts: those of {manifest}.")
            lines = [named[name] for name in ids]
            if further := further_texts(line.text for line in lines):
                say(f"Left out: {further}.")
            texts = tuple(line.text[0] for line in lines)
            return Prompts(rows, texts, tuple(line.group or line.text[0] for line in lines))
    for split in () if place is None else reversed(dataset.splits):
        places = _named({name: row for row, name in enumerate(dataset.ids(split))})
        if not all(name in places for name in ids):
            continue
        if np.array_equal(dataset.pair(split, places[ids[0]], size)[given.part == "layouts"], given.read(0)):
            say(f"Texts: the captions of these pairs of {dataset.name}/{split}.")
            groups = dataset.groups(split)
            texts = tuple(dataset.captions(split, places[name])[0] for name in ids)
            return Prompts(rows, texts, tuple(groups[places[name]] for name in ids))
    return Prompts(rows, (), ids)
