"""A user's finished images with their layouts and texts, wherever they lie, in the order of their ids."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gcbench.core.contracts import Dataset, Size
from gcbench.core.errors import UserError
from gcbench.core.files import hidden, text_hash
from gcbench.data import image_files
from gcbench.data.image_sources import Source, inner_layouts, open_source
from gcbench.data.layouts import layout_ids
from gcbench.data.prompts import Line, further_texts, read_prompts
from gcbench.data.unreadable_files import Unreadable, refuse

LABEL_IDS = "_labelIds"
"""How the names of Cityscapes' files of labelIds end."""

ENDINGS = (f"_gtFine{LABEL_IDS}", LABEL_IDS, "_gtFine_labelTrainIds", "_labelTrainIds", "_gtFine_color")
"""What a layout's name may have beyond its image's, as in Cityscapes' tree."""

IMAGE_ENDING = "_leftImg8bit"


class Survey(NamedTuple):
    """What the files say before any is decoded.

    hash: of all. sizes: images a size. jpeg: images in JPEG. turned, turned_layouts: how many are brought upright, as
    their EXIF orientation says. left_out: what lies beside them unread, in sentences.
    """

    hash: str
    sizes: Counter[Size]
    jpeg: int
    turned: int = 0
    turned_layouts: int = 0
    left_out: tuple[str, ...] = ()

    def notes(self) -> list[str]:
        """What was turned and what was left out, in sentences."""
        counts = ((self.turned, "image"), (self.turned_layouts, "layout"))
        turned = " and ".join(f"{n} {kind}{'s' * (n > 1)}" for n, kind in counts if n)
        verb = "was" if self.turned + self.turned_layouts == 1 else "were"
        return [*([f"{turned} {verb} turned by their EXIF orientation"] if turned else []), *self.left_out]


@dataclass(frozen=True)
class FinishedImages:
    """ids: the images'. layout_names: the id in `layouts` of each image's layout. prompts: its texts."""

    ids: tuple[str, ...]
    images: Source
    layouts: Source | None
    layout_names: tuple[str, ...]
    prompts: tuple[tuple[str, ...], ...] | None
    groups: tuple[str, ...]
    """What is dependent: the file's own `group`, else images of one text, else nothing."""
    others: int = 0
    """Images that COCO's file of captions has texts of and that are not here."""

    def __len__(self) -> int:
        return len(self.ids)

    def text_notes(self, every: bool = False) -> list[str]:
        """What of the file of texts is left out, in sentences. every: each image is measured with all of its texts."""
        notes = [f"texts of {self.others} images that are not here are left out"] if self.others else []
        if further := "" if every or self.prompts is None else further_texts(self.prompts):
            notes.append(f"left out: {further}; `--texts all` of `evaluate` measures an image with each")
        return notes

    @property
    def named_label_ids(self) -> bool:
        """Whether the layouts' names say that they hold Cityscapes' labelIds."""
        return any(name.endswith(LABEL_IDS) for name in self.layout_names)

    def survey(self, tick: Callable[[], object] = lambda: None) -> Survey:
        """Hash every file and read its header.
        UserError: names and counts the files whose bytes or headers are damaged."""
        looks, broken = [], []
        for i, name in enumerate(self.ids):
            files = [(self.images, name), *([(self.layouts, self.layout_names[i])] if self.layouts is not None else [])]
            for source, entry in files:
                try:
                    looks.append((source.kind, source.look(entry)))
                except Unreadable as error:
                    broken.append(error)
            tick()
        refuse(broken, len(self))
        images = [facts for kind, facts in looks if kind == "image"]
        return Survey(
            hash=text_hash(*self.ids, *(facts.hash for _, facts in looks)),
            sizes=Counter(facts.size for facts in images),
            jpeg=sum(facts.jpeg for facts in images),
            turned=sum(facts.turned for facts in images),
            turned_layouts=sum(facts.turned for kind, facts in looks if kind == "layout"),
            left_out=(*self.images.left_out, *(self.layouts.left_out if self.layouts is not None else ())),
        )

    def read(
        self, index: int, dataset: Dataset, size: Size | None = None, label_ids: bool = False
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Image uint8 [H,W,3] and layout uint8 [H,W] in the dataset's ids, or None, at `size` or at their own.

        label_ids: the layouts hold Cityscapes' labelIds.

        Raises:
            Unreadable: a damaged file.
            UserError: what the layout holds does not fit the dataset or its image.
            LabelIds: see there.
        """
        image, layout = self.image(index), None
        if self.layouts is not None:
            name = self.layout_names[index]
            layout = layout_ids(self.layouts.image(name), self.layouts.place(name), dataset, label_ids)
            image_files.check_sizes(image, layout, self.images.place(self.ids[index]), self.layouts.place(name))
        if size is None:
            return image, layout
        resized = None if layout is None else image_files.resize_layout(layout, size)
        return image_files.resize_image(image, size), resized

    def image(self, index: int) -> np.ndarray:
        """The image alone at its own size, uint8 [H,W,3]. Unreadable if its file is damaged."""
        name = self.ids[index]
        return image_files.rgb(self.images.image(name))


def check_layouts(images: Path, layouts: Path | None, given: bool, derived_by: str | None) -> None:
    """UserError: what is said of the layouts contradicts itself, or there are none. An npz may hold its own."""
    if given and derived_by is not None:
        raise UserError(f"--given and --derived-by {derived_by} contradict each other; leave one out")
    if (given or derived_by is not None) and layouts is None and Path(images).suffix.lower() != ".npz":
        option = "--given" if given else f"--derived-by {derived_by}"
        raise UserError(f"{option} says where layouts are from, and there are none; name them with --layouts")


def read_pairs(images: Path, layouts: Path | None = None, prompts: Path | None = None) -> FinishedImages:
    """List finished images: a folder, zip or npz of images, one of layouts, a file of texts.

    Layouts that stand in the images' own npz are taken if no others are given.
        UserError: no images, or an image, a layout or a text without its counterpart."""
    source = open_source(images, "image")
    return pair_up(source, inner_layouts(source) if layouts is None else open_source(layouts, "layout"), prompts)


def pair_up(images: Source, layouts: Source | None = None, prompts: Path | None = None) -> FinishedImages:
    """Images, in the order of their ids, with their layouts and with the texts of a file (see `prompts`).
    UserError: an image, a layout or a text without its counterpart."""
    names: dict[str, str] = {}
    lines: dict[str, Line] | None = None
    others = 0
    if layouts is not None:
        names = _by_image(layouts.ids, images.ids, layouts.path)
        _same(images.ids, sorted(names), images.path, layouts.path)
    if prompts is not None:
        lines = read_prompts(prompts, images.ids)
        lines = {name: line for name, line in lines.items() if not hidden(Path(Path(line.file_name).name))}
        if Path(prompts).suffix.lower() == ".json":  # captions of a whole split, of which a part is drawn
            known = set(images.ids)
            others = len(lines.keys() - known)
            lines = {name: line for name, line in lines.items() if name in known}
        _same(images.ids, sorted(lines), images.path, prompts)
    return FinishedImages(
        ids=images.ids,
        images=images,
        layouts=layouts,
        layout_names=tuple(names[name] for name in images.ids) if layouts is not None else (),
        prompts=None if lines is None else tuple(lines[name].text for name in images.ids),
        groups=tuple(lines[name].group or lines[name].text[0] if lines else name for name in images.ids),
        others=others,
    )


def _by_image(layouts: Iterable[str], images: Iterable[str], where: Path) -> dict[str, str]:
    """The image's id -> its layout's: the same, or one that differs by Cityscapes' endings only."""
    known = {name.removesuffix(IMAGE_ENDING): name for name in images} | {name: name for name in images}
    names: dict[str, str] = {}
    for layout in layouts:
        stems = [layout, *(layout.removesuffix(ending) for ending in ENDINGS if layout.endswith(ending))]
        image = next((known[stem] for stem in stems if stem in known), layout)
        if image in names:
            raise UserError(f"{where} has two layouts of {image}, {names[image]} and {layout}; take one out")
        names[image] = layout
    return names


def _same(mine: Sequence[str], theirs: Sequence[str], mine_at: Path, theirs_at: Path) -> None:
    for some, others, at, lacking in ((mine, theirs, mine_at, theirs_at), (theirs, mine, theirs_at, mine_at)):
        if alone := sorted(set(some) - set(others)):
            raise UserError(
                f"{len(alone)} of {len(some)} entries of {at} have no counterpart in {lacking}, the first is"
                f" {alone[0]}; add the missing ones or take these out"
            )
