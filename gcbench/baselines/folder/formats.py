"""What each official repository writes, by its own file names: how a tree is recognised, and how it is read."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from gcbench.baselines.folder.colours import Recoloured, fitting_table, palette_table, voc_table
from gcbench.baselines.folder.gcdp_sheets import first_named, is_sheet, read_sheets
from gcbench.core.contracts import Dataset
from gcbench.core.errors import UserError
from gcbench.data.image_sources import FolderSource, Source, by_stem, inner_layouts, open_source, visible
from gcbench.data.npz_arrays import Array, array_names
from gcbench.data.pair_files import IMAGE_ENDINGS
from gcbench.data.unreadable_files import Kind, some

PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".bin", ".npy")


class Output(NamedTuple):
    """What a tree holds. layouts: of the same ids as the images, or None. texts: those that file names hold."""

    images: Source
    layouts: Source | None = None
    texts: tuple[str, ...] | None = None


class Format(NamedTuple):
    """A repository's way of writing.

    title: what it writes, in words. fits: whether a place holds it. read: the images there.
    draws: whether its layouts are its own; False if they were given to it, None if it has none.
    """

    title: str
    fits: Callable[[Path], object]
    read: Callable[[Path, Dataset], Output]
    draws: bool | None = None


class NamedFiles(FolderSource):
    """Chosen files under ids of our choice, in the order of the numbers in these ids."""

    def __init__(self, path: Path, kind: Kind, files: dict[str, Path]):
        self.path, self.kind = path, kind
        self.files = {name: files[name] for name in sorted(files, key=_natural)}
        self.ids = tuple(self.files)


def recognise(place: Path, name: str | None) -> str:
    """The format of what lies at `place`: the one named, else the only one that fits.
    UserError: nothing fits, more than one does, or the place is a pickle, which stays unread."""
    refuse_pickle(place)
    if not place.exists():
        raise UserError(f"--checkpoint {place} is not there; give the folder, .zip or .npz of finished images")
    if name is not None:
        if name not in FORMATS:
            raise UserError(f"setting sampler.format={name!r} is none of {', '.join(FORMATS)}; choose one of them")
        if not FORMATS[name].fits(place):
            raise UserError(f"{place} holds no {FORMATS[name].title}; give the folder that does, or another format")
        return name
    fitting = [name for name, form in FORMATS.items() if name != PLAIN and form.fits(place)]
    if not fitting and FORMATS[PLAIN].fits(place):
        return PLAIN
    if len(fitting) > 1:
        raise UserError(f"{place} may be the output of {' or of '.join(fitting)}; add --set sampler.format=ONE_OF_THEM")
    if not fitting:
        for path in visible(place):
            refuse_pickle(path)
        raise UserError(
            f"{place} holds no finished images in a format that is read ({', '.join(FORMATS)}); give another"
        )
    return fitting[0]


def refuse_pickle(place: Path) -> None:
    """Raise a UserError for what may be a pickle, by its name alone: loading one runs whatever code it holds."""
    if place.suffix.lower() in PICKLES and not place.is_dir():
        raise UserError(
            f"{place} may be a pickle, which runs its own code when it is loaded, so it stays unread; draw images"
            " with the code that it belongs to, and give their folder"
        )


def _natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts 9 before 10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _matching(folder: Path, pattern: str, endings: tuple[str, ...] = IMAGE_ENDINGS) -> dict[str, Path]:
    """stem -> file, of a folder's files whose stem is of the pattern."""
    return {stem: path for stem, path in by_stem(folder, endings).items() if re.fullmatch(pattern, stem)}


def _counted(folder: Path, pattern: str) -> Output:
    return Output(NamedFiles(folder, "image", _matching(folder, pattern)))


def _counted_format(title: str, pattern: str) -> Format:
    """Images in the place itself, counted in their names."""
    return Format(
        title,
        lambda place: place.is_dir() and _matching(place, pattern),
        lambda place, dataset: _counted(place, pattern),
    )


def _first(folders: Iterable[Path], test: Callable[[Path], object]) -> Path | None:
    """The first folder that passes."""
    return next((folder for folder in folders if folder.is_dir() and test(folder)), None)


# GCDP: test.py


def _gcdp_fits(place: Path) -> bool:
    return place.is_dir() and not _visualised(place) and (first := first_named(place)) is not None and is_sheet(first)


# Semantic Palette: helpers/visualizer.py with --save_full_res

COLUMNS = (
    (r"(latent|cond)_interpolation.*|(car|person)_manipulation.*", 0, 1),
    (r"fixedsem_manipulation.*", 2, 3),
    (r"scrop_manipulation.*", 3, 4),
    (r".*_manipulation.*", 3, 2),
)
"""Name of a folder -> the i of `img_<i>_<j>.png` for generated images and for generated layouts."""


def _visualised(place: Path) -> list[Path]:
    """The folders that the visualiser filled: the place itself, or those in it."""
    folders = [place, *(path for path in visible(place) if path.is_dir())] if place.is_dir() else []
    return [folder for folder in folders if (folder / "prop.csv").is_file() and _matching(folder, r"img_\d+_\d+")]


def _semantic_palette(place: Path, dataset: Dataset) -> Output:
    images: dict[str, Path] = {}
    layouts: dict[str, Path] = {}
    for folder in _visualised(place):
        columns = next((columns for pattern, *columns in COLUMNS if re.fullmatch(pattern, folder.name)), None)
        if columns is None:
            raise UserError(
                f"the name of {folder} does not say which of its img_<i>_<j>.png are generated; give it the name that"
                " the visualiser gave it, such as cond_interpolation_0"
            )
        for column, files in zip(columns, (images, layouts), strict=True):
            for stem, path in _matching(folder, rf"img_{column}_\d+").items():
                files[f"{folder.name}_{stem.rpartition('_')[2]}"] = path
    own_layouts = NamedFiles(place, "layout", layouts)
    return Output(NamedFiles(place, "image", images), Recoloured(own_layouts, palette_table(dataset), slack=2))


# SPADE: test.py, results/<name>/test_<epoch>/images


def _spade_folders(place: Path) -> list[Path]:
    if not place.is_dir():
        return []
    deep = (path for pattern in ("test_*/images", "[!.]*/test_*/images") for path in sorted(place.glob(pattern)))
    return [folder for folder in (place, place / "images", *deep) if (folder / "synthesized_image").is_dir()]


def _spade(place: Path, dataset: Dataset) -> Output:
    folders = _spade_folders(place)
    if len(folders) > 1:
        raise UserError(f"{place} holds results of {len(folders)} runs: {some(folders)}; give one of these folders")
    images = open_source(folders[0] / "synthesized_image", "image")
    if not (folders[0] / "input_label").is_dir():
        return Output(images)
    layouts = open_source(folders[0] / "input_label", "layout")
    table = fitting_table(layouts, (palette_table(dataset), voc_table(dataset)))
    return Output(images, Recoloured(layouts, table, slack=0))


# Lafite: generate_for_soa.py and generate.ipynb


def _soa_folders(place: Path) -> list[Path]:
    """Folders of one label each: the first eight letters of a file of captions, as in `label_00_person.pkl`."""
    for root in (place, place / "images", place / "SOA" / "images"):
        folders = [path for path in sorted(root.glob("label_??")) if path.is_dir() and _matching(path, r".+\d")]
        if folders:
            return folders
    return []


def _lafite_fits(place: Path) -> object:
    return place.is_dir() and (_soa_folders(place) or _matching(place, r"seed\d{4,}"))


def _lafite(place: Path, dataset: Dataset) -> Output:
    folders = _soa_folders(place)
    if not folders:
        return _counted(place, r"seed\d{4,}")
    files = {f"{folder.name}-{stem}": path for folder in folders for stem, path in _matching(folder, r".+\d").items()}
    images = NamedFiles(place, "image", files)
    return Output(images, None, tuple(files[name].stem[:-1] for name in images.ids))


# DatasetDDPM: generate_dataset.py


def _ensembles(place: Path) -> list[Path]:
    paths = [place] if place.suffix.lower() == ".npz" else sorted(place.glob("samples_*.npz"))
    return [path for path in paths if "arr_1" in array_names(path) and Array(path, "arr_1").holds_label_maps]


def _dataset_ddpm(place: Path, dataset: Dataset) -> Output:
    paths = _ensembles(place)
    if len(paths) > 1:
        raise UserError(f"{place} holds {len(paths)} files of samples: {some(paths)}; give one of them")
    images = open_source(paths[0], "image")
    return Output(images, inner_layouts(images))


# DatasetGAN: train_interpreter.py --generate_data


def _dataset_gan_folder(place: Path) -> Path | None:
    return _first((place, place / "samples"), lambda folder: _matching(folder, r"label_\d+", (".png",)))


def _dataset_gan(place: Path, dataset: Dataset) -> Output:
    folder = _dataset_gan_folder(place) or place
    layouts = {stem.removeprefix("label_"): path for stem, path in _matching(folder, r"label_\d+", (".png",)).items()}
    return Output(NamedFiles(folder, "image", _matching(folder, r"\d+")), NamedFiles(folder, "layout", layouts))


# LDM: txt2img.py (samples/0000.png) and sample_diffusion.py (img/sample_000000.png)


def _ldm_folder(place: Path) -> tuple[Path, str] | None:
    texts = [place / "samples", *([place] if place.resolve().name == "samples" else [])]
    for folders, pattern in ((texts, r"\d{4,}"), ((place / "img", place), r"sample_\d{6,}")):
        if folder := _first(folders, lambda folder, p=pattern: _matching(folder, p)):  # type: ignore[misc]
            return None if _dataset_gan_folder(folder) else (folder, pattern)
    return None


def _ldm(place: Path, dataset: Dataset) -> Output:
    if (images := _ldm_folder(place)) is None:
        raise UserError(f"{place} holds no {FORMATS['ldm'].title}; give the folder that does")
    return _counted(*images)


# Our own: what `gcbench sample` writes, or any folder, zip or npz of images


def _plain_fits(place: Path) -> object:
    if not place.is_dir():
        return place.suffix.lower() in (".zip", ".npz")
    return by_stem(place / "images") or by_stem(place)


def _plain(place: Path, dataset: Dataset) -> Output:
    images = open_source(place / "images" if (place / "images").is_dir() else place, "image")
    if (place / "layouts").is_dir():
        return Output(images, open_source(place / "layouts", "layout"))
    return Output(images, inner_layouts(images))


PLAIN = "folder"

FORMATS: dict[str, Format] = {
    "gcdp": Format(
        "sheets <name>_<last>_<unet>.png of images above their layouts",
        _gcdp_fits,
        lambda place, dataset: Output(*read_sheets(place)),
        True,
    ),
    "semantic-palette": Format("prop.csv with img_<i>_<j>.png", _visualised, _semantic_palette, True),
    "spade": Format("synthesized_image and input_label", _spade_folders, _spade, False),
    "lafite": Format("label_<nn>/<caption><j>.png or seed<nnnn>.png", _lafite_fits, _lafite),
    "ganformer": _counted_format("sample_<nnnnnn>.png", r"[Ss]ample_\d{6,}"),  # its TensorFlow version writes S
    "dataset-ddpm": Format("npz with images in arr_0 and layouts in arr_1", _ensembles, _dataset_ddpm, True),
    "dataset-gan": Format("<n>.png with label_<n>.png", _dataset_gan_folder, _dataset_gan, True),
    "ldm": Format("samples/<nnnn>.png or img/sample_<nnnnnn>.png", _ldm_folder, _ldm),
    "imagen": _counted_format("sample-<n>.png", r"sample-\d+"),
    PLAIN: Format("images", _plain_fits, _plain, True),
}
"""Name -> format, in the order of the documentation."""
