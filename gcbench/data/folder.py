"""A user's own dataset: a folder with a `dataset.toml`.

    <dir>/dataset.toml
    <dir>/<split>/images/STEM.png|jpg
    <dir>/<split>/layouts/STEM.png          8-bit class ids, 255 for void
    <dir>/<split>/prompts.jsonl             optional; {"file_name": "STEM.png", "text": ["…"]}, also "group"

Without split folders, `images`, `layouts` and `prompts.jsonl` stand in <dir> itself and are the split `val`.
Images without a prompts file get a caption from their layout. The keys of `dataset.toml`: docs/your-own-dataset.md.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from gcbench.core.errors import UserError
from gcbench.core.names import check_names, check_word
from gcbench.core.run_spec import parse_size
from gcbench.data import image_files
from gcbench.data.dataset_toml import CONFIG, Config, aliases_of, palette_of, read_config, void_of
from gcbench.data.image_sources import by_stem, visible
from gcbench.data.pair_files import Pair, PairFiles, generator, match
from gcbench.data.prompts import Line, read_prompts
from gcbench.text.captions import PLAIN, build_caption, present

PROMPTS = "prompts.jsonl"


class Folder(PairFiles):
    """The dataset in `root`. A pair's group is that of `prompts.jsonl`, else that of `group_by`, else its own."""

    def __init__(self, root: Path):
        self.root = Path(root)
        where = self.root / CONFIG
        self.config = config = read_config(where, Config)
        self.name = config.name
        self.classes = tuple(config.classes)
        check_names(where, config.name, config.splits or (), config.classes)
        self.void = void_of(config, where)
        self.palette = palette_of(config, where)
        self.aliases = aliases_of(config, self.void, where)
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


def _split_folders(root: Path, splits: list[str] | None, where: Path) -> dict[str, Path]:
    if splits is None:
        splits = sorted((path.name for path in visible(root) if (path / "images").is_dir()), key=split_order)
        return {split: root / split for split in splits} if splits else {"val": root}
    if len(splits) == 1 and (root / "images").is_dir():
        return {splits[0]: root}
    for split in splits:
        if not (root / split / "images").is_dir():
            raise UserError(f"{where} names the split {split!r} but {root / split / 'images'} is not there; add it")
    if not splits:
        raise UserError(f"{where}: splits is empty; name a split or leave the key out")
    return {split: root / split for split in splits}


def split_order(split: str) -> tuple[int, str]:
    """train first, val or validation last, others between: the first is trained on, the last evaluated on."""
    return ({"train": 0, "val": 2, "validation": 2}.get(split, 1), split)
