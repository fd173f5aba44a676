"""Runs as one HTML file: protocol in words, tables, curves, bars a class, and a gallery of kept samples.

The file needs nothing from elsewhere. All that comes from records is escaped by the template. What the segmenter saw is
given by the caller (`Look`), since this file opens no network.
"""

import io
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from contextlib import chdir, suppress
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from gcbench.core.contracts import Dataset
from gcbench.core.errors import UserError
from gcbench.core.files import open_regular, write_text
from gcbench.core.names import plain
from gcbench.core.run_spec import guidance_text
from gcbench.data.image_files import read_image, read_layout
from gcbench.data.open_dataset import open_dataset
from gcbench.reports.comparison import compare, comparison_tables
from gcbench.reports.record_table import declared, number_column, record_table, reference_of
from gcbench.reports.run_pair import Run, read_runs
from gcbench.reports.table import Column, Table
from gcbench.runs.manifest import RECORD
from gcbench.runs.run_directory import REGRESSION, kept_samples
from gcbench.text.class_mentions import named_classes

MARK = b'<meta name="generator" content="gcbench">'
"""In the first LOOKED_AT bytes of every page: only such a file is written over."""
LOOKED_AT = 1000

AGREEMENT = "agreement of layout and segmenter (share of non-void pixels)"

Look = Callable[[Run, np.ndarray], np.ndarray]
"""What a run's segmenter sees: images uint8 [B,H,W,3] -> class ids uint8 [B,H,W].
UserError: it cannot be had, and why."""


class Tile(NamedTuple):
    """One sample of one run at one scale. image, layout, seen: data URIs, "" where there is none."""

    label: str
    image: str
    layout: str
    seen: str
    values: str


class Card(NamedTuple):
    """All that runs drew for one text. means: of each column and of the agreement over the tiles, None where
    none is scored."""

    name: str
    prompt: str
    classes: list[str]
    tiles: list[Tile]
    means: list[float | None]


def write_report(runs: Sequence[Path], out: Path, look: Look | None = None) -> Path:
    """Write the report of run directories (or their record.json) as the one file `out`; returns it.

    look: labels kept images for the gallery; None: what the segmenter saw is left out, which the report says.
    UserError: a run that cannot be read, or `out` is another file.
    """
    if not runs:
        raise UserError("report takes at least one run; give a run directory or its record.json")
    _refuse_foreign(out)
    write_text(out, html(read_runs(runs), look))
    return out


def _refuse_foreign(out: Path) -> None:
    """UserError: `out` is there and no report of ours."""
    if out.exists():
        with suppress(OSError), open_regular(out) as stream:
            if MARK in stream.read(LOOKED_AT):
                return
        raise UserError(f"--out {out} is there and no report of gcbench; choose another name")


def html(runs: Sequence[Run], look: Look | None = None) -> str:
    """The report as text."""
    notes: list[str] = []
    columns = list(dict.fromkeys(key[1:] for run in runs for key in run.values))
    cards, datasets = _cards(runs, columns, look, notes)
    options = [(_column(column, runs).heading, _sign(column[0])) for column in columns]
    agreed = any(card.means[-1] is not None for card in cards)
    return _filled(
        "report.html",
        runs=[_section(run) for run in runs],
        overlay=_overlaid(runs),
        compared=_compared(runs),
        columns=[*options, *([(AGREEMENT, 1)] if agreed else [])],
        agreed=agreed,
        cards=cards,
        colours={dataset.name: list(zip(dataset.classes, dataset.palette, strict=True)) for dataset in datasets},
        notes=notes,
    )


def _column(number: tuple[str, str], runs: Sequence[Run]) -> Column:
    """The column of a number, named as in the first run that has it."""
    having = [run.record.protocol for run in runs if number[0] in run.metrics]
    return number_column(*number, having[0] if having else None)


def _sign(metric: str) -> int:
    """The factor that puts a metric's worst value first in ascending order."""
    known = declared(metric)
    return -1 if known is not None and known.direction == "lower" else 1


def _filled(template: str, **facts: Any) -> str:
    from jinja2 import Environment, PackageLoader

    environment = Environment(loader=PackageLoader("gcbench.reports", "templates"), autoescape=True, trim_blocks=True)
    environment.filters["plain"] = plain
    return environment.get_template(template).render(**facts)


def write_site(out: Path) -> Path:
    """A page for each folder of bundled records and an index of them, into the folder `out`; returns the index."""
    out, root = out.absolute(), Path(str(files("gcbench.results"))) / "measured"
    _refuse_foreign(out / "index.html")
    groups: dict[str, list[Path]] = {}
    for record in sorted(root.rglob(RECORD)):
        place = record.parent.relative_to(root)
        if place.parts[0] != REGRESSION:
            groups.setdefault("/".join(place.parts[: max(1, len(place.parts) - 1)]), []).append(record.parent)
    pages = []
    for name, runs in groups.items():
        with chdir(root):  # pages show relative paths, not this machine's folders
            write_report([run.relative_to(root) for run in runs], out / f"{name.replace('/', '-')}.html")
        pages.append((name, ", ".join(run.name for run in runs)))
    write_text(out / "index.html", _filled("index.html", pages=pages))
    return out / "index.html"


def _section(run: Run) -> dict[str, Any]:
    from gcbench.reports.curve import panels
    from gcbench.reports.drawing import svg

    record = run.record
    return {
        "letter": run.letter,
        "name": run.title,
        "words": in_words(run),
        "table": grid(record_table(record)),
        "curves": [(title, _uri(svg(figure), "svg+xml")) for title, figure in panels(record)],
        "bars": _bars(run),
    }


def _overlaid(runs: Sequence[Run]) -> dict[str, Any]:
    """The curves of all runs in one panel, and what is not in it; nothing of a single run."""
    from gcbench.reports.drawing import svg
    from gcbench.reports.overlaid_runs import overlay

    if len(runs) < 2:
        return {}
    overlaid = overlay(runs)
    uri = _uri(svg(overlaid.figure), "svg+xml") if overlaid.figure else ""
    return {"uri": uri, "title": overlaid.title, "notes": overlaid.left_out}


def in_words(run: Run) -> list[str]:
    """What was measured under which protocol, in sentences."""
    record, protocol = run.record, run.record.protocol
    height, width = protocol.size
    scales = f", guidance {run.scales}" if run.scales else ""
    lines = [
        f"{record.model.name} was measured on {protocol.n} images of {height}×{width} pixels (H×W){scales}.",
        f"Texts come from the split {protocol.split} of {protocol.dataset} ({protocol.dataset_version});"
        f" real images: {reference_of(protocol)}, resize: {protocol.resize}.",
        f"Void: {protocol.void}.",
    ]
    lines += [f"The {role} is {name}." for role, name in protocol.evaluators.items()]
    if protocol.seed is not None:
        lines.append(f"The first image has seed {protocol.seed}, each further one the next.")
    for what, facts in (("The sampler", protocol.sampler), ("Thresholds", protocol.thresholds)):
        if facts:
            lines.append(f"{what}: {', '.join(f'{name} {_short(value)}' for name, value in facts.items())}.")
    origin = record.provenance
    lines.append(f"Written by gcbench {origin.gcbench} ({record.kind}), {origin.created or 'at an unknown time'}.")
    return lines


def _short(value: float | str) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def grid(table: Table) -> dict[str, Any]:
    """A table as heads, lines and notes; kind of each line beside it."""
    strips = table.strips() if table.rows else []
    lines = list(zip(*(strip.texts for strip in strips), strict=True))
    kinds = ["" if table.across else row.kind for row in table.rows][: len(lines)]
    kinds += [""] * (len(lines) - len(kinds))
    heads = [(strip.head, strip.about) for strip in strips]
    return {"title": table.heading, "heads": heads, "lines": list(zip(kinds, lines, strict=True)), "notes": table.notes}


def _compared(runs: Sequence[Run]) -> dict[str, Any]:
    """Tables of paired differences to the first run; why there are none."""
    if len(runs) < 2:
        return {}
    try:
        return {"tables": [grid(table) for table in comparison_tables(compare(*(run.path for run in runs)))]}
    except UserError as error:
        return {"reason": str(error)}


def _bars(run: Run) -> list[dict[str, Any]]:
    """For each metric that has shares by class (0 to 1): a line for each class, a value for each guidance scale."""
    record, charts = run.record, []
    sets = [(guidance_text(point.guidance) or "value", point.scores) for point in record.points]
    sets += [(name, scores) for name, scores in (("ceiling", record.ceiling), ("floor", record.floor)) if scores]
    for metric in run.metrics:
        known = declared(metric)
        for key in dict.fromkeys(key for _, scores in sets if metric in scores for key in scores[metric].detail):
            maps = {name: scores[metric].detail.get(key) for name, scores in sets if metric in scores}
            by_class = {name: values for name, values in maps.items() if isinstance(values, Mapping)}
            shares = [value for values in by_class.values() for value in values.values() if value is not None]
            if "class" not in key or not shares or min(shares) < 0 or max(shares) > 1:
                continue
            classes = dict.fromkeys(name for values in by_class.values() for name in values)
            lines = [(name, [values.get(name) for values in by_class.values()]) for name in classes]
            title = f"{known.title if known else metric}: {key.replace('_', ' ')}"
            charts.append({"title": title, "heads": list(by_class), "lines": lines})
    return charts


# -------------------------------------------------------------------------------------------------------- gallery


def _cards(
    runs: Sequence[Run], columns: Sequence[tuple[str, str]], look: Look | None, notes: list[str]
) -> tuple[list[Card], list[Dataset]]:
    """A card a dataset, text and sample name, and the datasets; what is lacking is said in `notes`."""
    tiles: dict[tuple[str, str, str], list[Tile]] = {}
    values: dict[tuple[str, str, str], list[list[float | None]]] = {}
    datasets: dict[str, Dataset] = {}
    for run in runs:
        home = run.path if run.path.is_dir() else run.path.parent
        scales = [point.guidance for point in run.record.points]
        folders = [(guidance_text(scale), kept_samples(home, scale)) for scale in scales]
        if not any((folder / "images").is_dir() for _, folder in folders):
            notes.append(f"{run.letter} ({run.path}) keeps no samples: `--keep-samples` of gcbench sweep keeps them.")
            continue
        try:
            dataset = _dataset(run)
        except UserError as error:
            notes.append(f"{run.letter}: its samples are not shown, {error}.")
            continue
        datasets[dataset.name] = dataset
        for scale, folder in folders:
            for name, tile, numbers in _tiles(run, scale, folder, dataset, columns, look, notes):
                key = dataset.name, name, run.prompts.get(name, "")
                tiles.setdefault(key, []).append(tile)
                values.setdefault(key, []).append(numbers)
    notes[:] = dict.fromkeys(notes)
    cards = [
        Card(name, prompt, sorted(named_classes(prompt, datasets[of].aliases)), shown, _means(values[of, name, prompt]))
        for (of, name, prompt), shown in tiles.items()
    ]
    return cards, list(datasets.values())


def _dataset(run: Run) -> Dataset:
    return open_dataset(run.record.spec.get("dataset", run.record.protocol.dataset))


def _means(lines: Sequence[Sequence[float | None]]) -> list[float | None]:
    columns = [[value for value in column if value is not None] for column in zip(*lines, strict=True)]
    return [sum(column) / len(column) if column else None for column in columns]


def _tiles(
    run: Run,
    scale: str,
    folder: Path,
    dataset: Dataset,
    columns: Sequence[tuple[str, str]],
    look: Look | None,
    notes: list[str],
) -> list[tuple[str, Tile, list[float | None]]]:
    names = sorted(path.stem for path in (folder / "images").glob("*.png"))
    files = {name: folder / "images" / f"{name}.png" for name in names}
    images = {name: _of_run(read_image(path), path, run) for name, path in files.items()}
    seen: dict[str, np.ndarray] = {}
    if look is None:
        notes.append("What the segmenter saw was not asked for.")
    elif names:
        try:
            seen = dict(zip(names, look(run, np.stack(list(images.values()))), strict=True))
            segmenter = run.record.protocol.evaluators.get("segmenter")
            notes.append(f"{run.letter}: what the segmenter saw was computed for this report by {segmenter}.")
        except UserError as error:
            notes.append(f"{run.letter}: what the segmenter saw is not shown, {error}.")
    derived = bool(run.record.model.layouts)
    if derived and seen:
        notes.append(f"{run.letter}: its layouts were read from its images, so their agreement says nothing.")
    tiles = []
    for name in names:
        drawn = folder / "layouts" / f"{name}.png"
        ids = _of_run(read_layout(drawn), drawn, run) if drawn.is_file() else None
        layout = "" if ids is None else _layout(ids, drawn, dataset)
        agreed = None if ids is None or name not in seen or derived else agreement(ids, seen[name], dataset.void)
        numbers = [run.values.get((scale, *column), {}).get(name) for column in columns]
        texts = [
            f"{number_column(*column, run.record.protocol).head} {value * number_column(*column).scale:.3g}"
            for column, value in zip(columns, numbers, strict=True)
            if value is not None and not column[1]
        ]
        texts += [] if agreed is None else [f"agreement {agreed:.3g}"]
        label = f"{run.letter} {run.record.model.name}" + (f", guidance {scale}" if scale else "")
        saw = _layout(seen[name], files[name], dataset) if name in seen else ""
        tiles.append((name, Tile(label, _photo(images[name]), layout, saw, "; ".join(texts)), [*numbers, agreed]))
    return tiles


def agreement(layout: np.ndarray, seen: np.ndarray, void: int | None) -> float | None:
    """Share of the pixels, void in the layout left out, at which the layout and what the segmenter saw are of one
    class; both [H,W]. None where the layout is all void."""
    counted = np.ones(layout.shape, bool) if void is None else layout != void  # [H,W]
    return float((layout == seen)[counted].mean()) if counted.any() else None


def _of_run(pixels: np.ndarray, path: Path, run: Run) -> np.ndarray:
    """UserError: the pixels of a kept file are not of the size that the protocol says."""
    if pixels.shape[:2] != run.record.protocol.size:
        height, width = pixels.shape[:2]
        raise UserError(f"{path} is {height}×{width} and no sample of this run; put it back as it was")
    return pixels


def _layout(ids: np.ndarray, path: Path, dataset: Dataset) -> str:
    """A PNG with a palette: its indices are the class ids. UserError: one of `path` is no class."""
    if ids.max() >= len(dataset.palette):
        raise UserError(f"{path} has class {ids.max()}, and {dataset.name} has {len(dataset.palette)} classes")
    image = Image.fromarray(ids.astype(np.uint8))
    image.putpalette([channel for colour in dataset.palette for channel in colour])
    return _uri(_encoded(image, format="PNG", optimize=True), "png")


def _photo(pixels: np.ndarray) -> str:
    return _uri(_encoded(Image.fromarray(pixels), format="WEBP", quality=80), "webp")


def _encoded(image: Image.Image, **how: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, **how)
    return out.getvalue()


def _uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{b64encode(content).decode()}"
