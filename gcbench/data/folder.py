"""A user's own dataset: a folder with a `dataset.toml`.

    <dir>/dataset.toml
    <dir>/<split>/images/STEM.png|jpg
    <dir>/<split>/layouts/STEM.png          8-bit class ids, 255 for void
    <dir>/<split>/prompts.jsonl             optional; {"file_name": "STEM.png", "text": ["…"]}, also "group"

Without split folders, `images`, `layouts` and `prompts.jsonl` stand in <dir> itself and are the split `val`.
Images without a prompts file get a caption from their layout. The keys of `dataset.toml`: docs/your-own-dataset.md.
"""

import json
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gcbench.core.errors import UserError
from gcbench.core.files import read_toml
from gcbench.core.names import check_names, check_word
from gcbench.core.run_spec import parse_size
from gcbench.data import image_files
from gcbench.data.class_tables import distinct_colours
from gcbench.data.image_sources import by_stem, visible
from gcbench.data.pair_files import Pair, PairFiles, generator, match
from gcbench.data.prompts import Line, read_prompts
from gcbench.text.captions import PLAIN, build_caption, plural, present

CONFIG = "dataset.toml"
PROMPTS = "prompts.jsonl"


class Config(BaseModel):
    """What a `dataset.toml` may say. Only `name` and `classes` must be there.

    classes: their places are the ids in layouts. palette: RGB, one a class. splits: folders, the one to train on first.
    size: the default [H, W]. void: a class or its id. group_by: a pattern of file names, see `group_of`, for
    pairs whose group `prompts.jsonl` does not name. aliases: class -> the words that name it.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(min_length=1)
    classes: list[str] = Field(min_length=2, max_length=255)
    palette: list[list[int]] | None = None
    splits: list[str] | None = None
    size: list[int] | None = None
    void: str | int | None = None
    group_by: str | None = None
    aliases: dict[str, list[str]] = Field(default_factory=dict)

    def toml(self) -> str:
        """A `dataset.toml` with the keys that are set. JSON's strings, numbers and lists are TOML too."""

        def text(value: object) -> str:
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")

        values = self.model_dump(exclude_none=True, exclude={"aliases"})
        rows = [f"{key} = {text(value)}" for key, value in values.items()]
        if self.aliases:
            rows += ["\n[aliases]", *(f"{text(name)} = {text(words)}" for name, words in self.aliases.items())]
        return "\n".join(rows) + "\n"


class Folder(PairFiles):
    """The dataset in `root`. A pair's group is that of `prompts.jsonl`, else that of `group_by`, else its own."""

    def __init__(self, root: Path):
        self.root = Path(root)
        where = self.root / CONFIG
        self.config = config = _read_config(where)
        self.name = config.name
        self.classes = tuple(config.classes)
        check_names(where, config.name, config.splits or (), config.classes)
        self.void = _void(config, where)
        self.palette = _palette(config, where)
        self.aliases = _aliases(config, self.void, where)
        self.folders = folders = _split_folders(self.root, config.splits, where)
        self.splits = tuple(check_word(split, f"{self.root}: the split") for split in folders)
        self.prompts = {
            split: read_prompts(folder / PROMPTS) if (folder / PROMPTS).is_file() else None
            for split, folder in folders.items()
        }
        """Split -> the lines of its prompts file by image id, or None where there is no such file."""
        self.found, self.missing = {}, {}
        for split, folder in folders.items():
            self.found[split], self.missing[split] = self._scan(folder, self.prompts[split] or {})
        if not any(self.found.values()) and not any(self.missing.values()):
            raise UserError(f"no images in {self.root}; put images/STEM.png and layouts/STEM.png there")
        if config.size is not None:
            if len(config.size) != 2 or min(config.size) < 1:
                raise UserError(f"{where}: size must be [H, W] in pixels")
            self.size = parse_size(config.size) or (1, 1)
        else:
            first = next((pairs[0] for pairs in self.found.values() if pairs), None)
            height, width = image_files.read_image(first.image).shape[:2] if first else (1, 1)
            self.size = (height, width)

    @property
    def argument(self) -> str:
        return str(self.root) if len(self.root.parts) > 1 else f"./{self.root}"

    @classmethod
    def open(cls) -> "Folder":
        raise UserError("a folder is no dataset by name; give its path, --dataset PATH")

    def _scan(self, folder: Path, lines: Mapping[str, Line]) -> tuple[list[Pair], list[str]]:
        images, layouts = by_stem(folder / "images"), by_stem(folder / "layouts", (".png",))
        pattern = self.config.group_by

        def about(stem: str) -> tuple[str, str]:
            named = lines[stem].group if stem in lines else None
            return stem, named or (stem if pattern is None else group_of(stem, pattern, images[stem]))

        return match(images, layouts, self.root, about)

    def captions(self, split: str, index: int) -> Sequence[str]:
        pair, lines = self.files(split, index), self.prompts[split]
        if lines is None:
            names = present(self.read_layout(pair.layout), self.classes, self.void)
            return (build_caption(names, generator(pair.id), PLAIN),)
        if pair.id not in lines:
            folder = pair.image.parent.parent
            raise UserError(f"{folder / PROMPTS} has no line for {pair.image.name}; add it, or remove the file")
        return lines[pair.id].text

    def captions_from_layouts(self, split: str) -> bool:
        return self.prompts[split] is None

    def _files(self) -> set[Path]:
        prompts = {self.found[split][0].image.parent.parent / PROMPTS for split in self.found if self.found[split]}
        return super()._files() | {path for path in prompts if path.is_file()} | {self.root / CONFIG}


def group_of(stem: str, pattern: str, path: Path) -> str:
    """The group that the name of the file at `path` says: its shortest beginning that fits, `*` being any characters.

    `*_` fits up to the first `_`, `*_*_` up to the second.
    UserError: the pattern does not fit, or does not say where a group ends."""
    if not pattern or pattern.endswith("*"):
        raise UserError(f"the pattern of groups {pattern!r} does not say where a group ends; write for example '*_'")
    first, *others = pattern.split("*")
    end = len(first) if stem.startswith(first) else -1
    for part in others:
        place = stem.find(part, end) if end >= 0 else -1
        end = place + len(part) if place >= 0 else -1
    if end < 0:
        raise UserError(f"the pattern of groups {pattern!r} fits no beginning of the name of {path}; correct it")
    return stem[:end]


def _read_config(where: Path) -> Config:
    try:
        content = read_toml(where)
    except FileNotFoundError as error:
        raise UserError(f'{where} is not there; write one with name = "…" and classes = ["…", …]') from error
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {where} ({error}); correct it") from error
    try:
        return Config.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"] if part not in ("str", "int"))
        known = list(Config.model_fields)
        if first["type"] == "extra_forbidden":
            near = get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known keys: {', '.join(known)}"
            raise UserError(f"{where}: unknown key {key!r}; {hint}") from error
        if first["type"] == "missing":
            raise UserError(f"{where}: the key {key!r} is missing; add it") from error
        raise UserError(f"{where}: {key}: {first['msg'].lower()}; correct it") from error


def _void(config: Config, where: Path) -> int | None:
    if len(set(config.classes)) != len(config.classes):
        raise UserError(f"{where}: classes names one class twice; give every class a name of its own")
    if config.void is None:
        return None
    if isinstance(config.void, str):
        if config.void not in config.classes:
            raise UserError(f"{where}: void = {config.void!r} is not among classes; add it there or correct the name")
        return config.classes.index(config.void)
    if not 0 <= config.void < len(config.classes):
        raise UserError(f"{where}: void = {config.void} is no id of the {len(config.classes)} classes; correct it")
    return config.void


def _palette(config: Config, where: Path) -> tuple[tuple[int, int, int], ...]:
    k = len(config.classes)
    if config.palette is None:
        return distinct_colours(k)
    if len(config.palette) != k or any(len(c) != 3 or not 0 <= min(c) <= max(c) <= 255 for c in config.palette):
        raise UserError(f"{where}: palette must be {k} triples [R, G, B] of 0 to 255, one a class")
    return tuple((r, g, b) for r, g, b in config.palette)


def _aliases(config: Config, void: int | None, where: Path) -> dict[str, tuple[str, ...]]:
    for name in config.aliases:
        if name not in config.classes:
            raise UserError(f"{where}: aliases.{name} is no class; correct the name")
    return {
        name: tuple(dict.fromkeys(w.lower() for w in config.aliases.get(name, (name, plural(name)))))
        for i, name in enumerate(config.classes)
        if i != void
    }


def _split_folders(root: Path, splits: list[str] | None, where: Path) -> dict[str, Path]:
    if splits is None:
        splits = sorted((path.name for path in visible(root) if (path / "images").is_dir()), key=_place)
        return {split: root / split for split in splits} if splits else {"val": root}
    if len(splits) == 1 and (root / "images").is_dir():
        return {splits[0]: root}
    for split in splits:
        if not (root / split / "images").is_dir():
            raise UserError(f"{where} names the split {split!r} but {root / split / 'images'} is not there; add it")
    if not splits:
        raise UserError(f"{where}: splits is empty; name a split or leave the key out")
    return {split: root / split for split in splits}


def _place(split: str) -> tuple[int, str]:
    """train first, val last, others between: the first is trained on, the last evaluated on."""
    return ({"train": 0, "val": 2}.get(split, 1), split)
