"""Write any dataset as a Cityscapes tree, as images with texts, or as a plain folder; a resized copy is the latter."""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from gcbench.core.contracts import Dataset, Size
from gcbench.core.errors import UserError
from gcbench.core.files import parse_json, read_text, text_hash, write_atomic, write_text
from gcbench.data import cityscapes, cityscapes_classes
from gcbench.data.dataset_toml import CONFIG, Config
from gcbench.data.folder import PROMPTS
from gcbench.data.image_sources import visible
from gcbench.data.prompts import Line, read_prompts, write_prompts

Form = Literal["cityscapes", "diffusers", "folder"]
METADATA = "metadata.jsonl"
MANIFEST = "export.json"

LONGEST = 200
"""Bytes of a name: a file's has 255 at most, with Cityscapes' endings and a temporary file's beginning."""
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
"""Names that Windows gives to devices, whatever their ending."""


def export(
    dataset: Dataset,
    out: Path,
    form: Form = "folder",
    size: Size | None = None,
    limit: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write `dataset` into `out`; the number of pairs that it now holds of it.

    form: `cityscapes` (only for the 20 urban classes; void becomes labelId 0), `folder`, which `--dataset PATH` reads,
    or `diffusers`: a folder a split with images and a `metadata.jsonl`, the image folder of the library `datasets` that
    diffusers' training scripts take. size: (H, W), the dataset's own by default. limit: pairs a split. progress: called
    with (done, total). A pair that a run before wrote whole is kept, so a killed export resumes where it
    stopped.
    UserError: the dataset lacks what the form is made of, or has other classes, or `out` holds something else."""
    out, size = Path(out), size or dataset.size
    if form == "cityscapes" and tuple(dataset.classes) != cityscapes_classes.CLASSES:
        raise UserError(
            f"{dataset.name} has other classes than Cityscapes and cannot be written as such a tree;"
            " use the form folder"
        )
    for has_part, what, wanting in (
        (dataset.has_layouts, "layouts", ("cityscapes", "folder")),
        (dataset.has_texts, "texts", ("diffusers",)),
    ):
        if not has_part and form in wanting:
            raise UserError(f"{dataset.name} has no {what}, which the form {form} is made of; choose another --as")
    stems = _stems({split: list(dataset.ids(split)) for split in dataset.splits})
    stems = {split: names[:limit] for split, names in stems.items()}
    _claim(out, {"dataset": dataset.name, "version": dataset.version, "form": form, "size": list(size)})
    if form == "folder":
        write_text(out / CONFIG, _config(dataset, size))
    texts = _old_lines(out / cityscapes.CAPTIONS) if form == "cityscapes" else {}
    done, total = 0, sum(map(len, stems.values()))
    for split in dataset.splits:
        ids, groups = dataset.ids(split), dataset.groups(split)
        manifest = out / split / (METADATA if form == "diffusers" else PROMPTS)
        if form != "cityscapes":
            texts = _old_lines(manifest)
        for index, stem in enumerate(stems[split]):
            image: Path = out / split / "images" / f"{stem}.png"
            layout: Path | None = out / split / "layouts" / f"{stem}.png"
            if form == "cityscapes":
                city = stem.partition("_")[0] if dataset.name == "cityscapes" else dataset.name
                image = out / "leftImg8bit" / split / city / f"{stem}{cityscapes.IMAGE}"
                layout = out / "gtFine" / split / city / f"{stem}{cityscapes.LAYOUT}"
            if form == "diffusers":
                image, layout = out / split / f"{stem}.png", None
            _write_pair(dataset, split, index, size, image, layout, form)
            group = groups[index] if form == "folder" and groups[index] != ids[index] else None
            texts[image.stem] = Line(image.name, tuple(dataset.captions(split, index)), group)
            done += 1
            if progress:
                progress(done, total)
        if form == "folder" and stems[split]:
            write_prompts(manifest, texts.values())
        if form == "diffusers" and stems[split]:
            write_text(manifest, _metadata(list(texts.values())))
    if form == "cityscapes":
        write_prompts(out / cityscapes.CAPTIONS, texts.values())
    return done


def _metadata(lines: Sequence[Line]) -> str:
    """A text an image, or a list an image if any has several: one type in all lines, which `datasets` asks for."""
    several = any(len(line.text) > 1 for line in lines)
    rows = [{"file_name": line.file_name, "text": list(line.text) if several else line.text[0]} for line in lines]
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _write_pair(
    dataset: Dataset, split: str, index: int, size: Size, image: Path, layout: Path | None, form: Form
) -> None:
    """layout: None, only the image is written."""
    last = image if layout is None else layout
    if image.exists() and last.exists():  # written whole, or not at all; the layout comes last
        return
    if layout is None:
        arrays = [(image, dataset.image(split, index, size))]  # [H,W,3]
    else:
        pixels, ids = dataset.pair(split, index, size)  # [H,W,3], [H,W]
        if form == "cityscapes":
            ids = np.array(cityscapes_classes.LABEL_IDS, np.uint8)[ids]
        arrays = [(image, pixels), (layout, ids)]
    for path, array in arrays:
        write_atomic(path, lambda temporary, array=array: Image.fromarray(array).save(temporary, "PNG"))  # type: ignore[misc]


def _claim(out: Path, what: dict[str, object]) -> None:
    """Say in `out` what is exported there; refuse a place that holds anything else."""
    manifest = out / MANIFEST
    if manifest.is_file():
        try:
            held = parse_json(read_text(manifest))
        except (OSError, UserError, ValueError):
            held = None
        if held != what:
            raise UserError(f"{out} holds another export (see {manifest}); choose another --out or remove it")
        return
    if out.exists() and (not out.is_dir() or visible(out)):
        raise UserError(f"{out} is there and is no export of gcbench; choose another --out")
    write_text(manifest, json.dumps(what, indent=1) + "\n")


def _stems(ids: dict[str, list[str]]) -> dict[str, list[str]]:
    """File names without ending: the ids, with their split before them where splits share one.

    What no file name may hold becomes a dash. Where that makes two names one, also on file systems that know no case,
    or where a name is too long, a hash of the id stands behind it."""
    every = [name for names in ids.values() for name in names]
    shared = len(set(every)) < len(every)
    safe = {split: [_clean(f"{split}_{name}" if shared else name) for name in names] for split, names in ids.items()}
    count = Counter(name.casefold() for names in safe.values() for name in names)

    def unique(stem: str, *name: str) -> str:
        if count[stem.casefold()] == 1 and len(stem.encode()) <= LONGEST:
            return stem
        return f"{stem.encode()[: LONGEST - 13].decode(errors='ignore')}-{text_hash(*name)}"

    return {split: [unique(*pair, split) for pair in zip(safe[split], ids[split], strict=True)] for split in ids}


def _clean(name: str) -> str:
    """A name of letters, digits, and - _ . inside, composed (NFC); no device's."""
    clean = re.sub(r"[^\w.\-]|^\.", "-", unicodedata.normalize("NFC", name)) or "-"
    return f"-{clean}" if RESERVED.fullmatch(clean) else clean


def _old_lines(path: Path) -> dict[str, Line]:
    return read_prompts(path) if path.is_file() else {}


def _config(dataset: Dataset, size: Size) -> str:
    named = [name for i, name in enumerate(dataset.classes) if i != dataset.void]
    return Config(
        name=dataset.name,
        classes=list(dataset.classes),
        palette=[[int(c) for c in colour] for colour in dataset.palette],
        splits=[split for split in dataset.splits if len(dataset.ids(split))],
        size=list(size),
        void=None if dataset.void is None else dataset.classes[dataset.void],
        aliases={name: list(dataset.aliases.get(name, ())) for name in named},
    ).toml()
