"""CamVid in the SegNet tutorial's layout: real photographs in 11 classes + void.

    <root>/{train,val,test}.txt             lines "…/train/STEM.png …/trainannot/STEM.png"
    <root>/{train,val,test}{,annot}/STEM.png

The tutorial's own val split is every second frame of a video that its train split has too. So the lists
are pooled here and whole sequences (the file name up to the first "_") are held out: `train` is 0016E5
and 0001TP, `val` is 0006R0 and any other that is there (Seq05VD of the tutorial's test list).

A sample is a crop of three quarters of the frame's height and width at a place seeded by its id: 96x128
by default, which is a 192x256 frame at two thirds of its scale. Another size shows the same crop,
stretched if its proportions differ. A frame gives four crops to `train` and two to `val`; all first
crops come before the second ones. A caption names the classes that cover at least 1 % of the crop.

Groups: frames of a sequence look alike, and `val` may be a single sequence. A group is a tenth of a
sequence, ten contiguous blocks of frames. Intervals clustered by group speak of these drives and not of
other towns, and as frames on both sides of a block's edge still resemble each other, they are somewhat
too narrow.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gcbench.core.contracts import Size
from gcbench.core.errors import UserError
from gcbench.core.files import read_text
from gcbench.data import image_files
from gcbench.data.class_tables import colours, words
from gcbench.data.pair_files import Pair, PairFiles, generator
from gcbench.text.captions import build_caption, present

TRAIN_SEQUENCES = ("0016E5", "0001TP")
CROPS = {"train": 4, "val": 2}
CROP = 0.75  # of the frame's height and width
BLOCKS = 10  # groups a sequence
NAMED_FROM = 0.01  # of the area

_PATH = re.compile(r"\S[^\t]*?\.(?:png|jpe?g)(?=\s|$)", re.IGNORECASE)
"""A path of a list, which may hold blanks."""

_TABLE = {  # name: colour, words
    "sky": ("808080", "sky skies"),
    "building": ("800000", "building+ house+ tower+ church churches"),
    "pole": ("c0c080", "pole+ column+ lamppost+ lamp_post+ street_light+ streetlight+ street_lamp+ streetlamp+"),
    "road": ("804080", "road+ roadway+ carriageway+ asphalt tarmac"),
    "pavement": ("3c28de", "pavement+ sidewalk+ side_walk+ footpath+ footway+ walkway+"),
    "tree": ("808000", "tree+ vegetation+ plant+ bush bushes hedge+ shrub+ foliage greenery"),
    "sign symbol": ("c08080", "sign_symbol+ sign+ traffic_sign+ road_sign+ roadsign+ street_sign+ stop_sign+ signage"),
    "fence": ("404080", "fence+ fencing railing+"),
    "car": ("400080", "car+ automobile+ van+ minivan+ taxi+ cab+ sedan+"),
    "pedestrian": (
        "404000",
        "pedestrian+ person+ people man men woman women child children kid+ boy+ girl+ guy+ lady ladies",
    ),
    "bicyclist": ("0080c0", "bicyclist+ cyclist+ biker+ rider+"),
}


class CamVid(PairFiles):
    """Frames of drives through Cambridge, held out by sequence; the module says how."""

    name = "camvid"
    content = "{train,val,test}.txt and the folders that they list"
    classes = (*_TABLE, "void")
    palette = (*(colours(code)[0] for code, _ in _TABLE.values()), (0, 0, 0))
    void = 11
    size = (96, 128)
    splits = ("train", "val")
    resize = f"{image_files.RESIZE}, crops of {CROP}"
    aliases = {name: words(spelled) for name, (_, spelled) in _TABLE.items()}  # noqa: RUF012

    def __init__(self, root: Path):
        self.root = Path(root)
        frames: dict[str, Pair] = {}
        missing: dict[str, list[str]] = {split: [] for split in self.splits}
        for stem, image, layout in _listed(self.root):
            if image.is_file() and layout.is_file():
                frames[stem] = Pair(stem, image, layout, stem.split("_")[0])
            else:
                absent = layout if image.is_file() else image
                missing[_split(stem)].append(str(absent.relative_to(self.root)))
        self.missing = {split: sorted(names) for split, names in missing.items()}
        if not frames and not any(missing.values()):
            raise UserError(
                f"no list train.txt, val.txt or test.txt with frames in {self.root}; put the SegNet"
                " tutorial's CamVid there, or use --dataset streets, which needs no files"
            )
        blocks = _blocks([frames[stem] for stem in sorted(frames)])
        self.found = {
            split: [
                Pair(f"{pair.id}-{crop}", pair.image, pair.layout, pair.group)
                for crop in range(CROPS[split])
                for pair in blocks
                if _split(pair.id) == split
            ]
            for split in self.splits
        }

    def pair(self, split: str, index: int, size: Size) -> tuple[np.ndarray, np.ndarray]:
        files = self.files(split, index)
        image, layout = self.read(files)
        box = _crop(files.id, layout.shape)
        return self.at_size(image, layout, size, box)

    def captions_from_layouts(self, split: str) -> bool:
        return True

    def captions(self, split: str, index: int) -> Sequence[str]:
        files = self.files(split, index)
        layout = self.read_layout(files.layout)
        left, top, right, bottom = _crop(files.id, layout.shape)
        names = present(layout[top:bottom, left:right], self.classes, self.void, NAMED_FROM)
        return (build_caption(names, generator(files.id, "caption")),)


def _crop(name: str, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of the crop called `name` in a frame of `shape` [H,W], in whole pixels."""
    height, width = (round(CROP * side) for side in shape)
    down, right = generator(name).random(2)
    top, left = round(down * (shape[0] - height)), round(right * (shape[1] - width))
    return left, top, left + width, top + height


def _split(stem: str) -> str:
    return "train" if stem.split("_")[0] in TRAIN_SEQUENCES else "val"


def _blocks(frames: Sequence[Pair]) -> list[Pair]:
    """The frames, each in its group `<sequence>/<block>`."""
    sequences: dict[str, list[Pair]] = defaultdict(list)
    for frame in frames:
        sequences[frame.group].append(frame)
    return [
        Pair(frame.id, frame.image, frame.layout, f"{name}/{place * BLOCKS // len(members)}")
        for name, members in sorted(sequences.items())
        for place, frame in enumerate(members)
    ]


def _listed(root: Path) -> list[tuple[str, Path, Path]]:
    """(stem, image, layout) of every line of the lists; a line's last two path components count."""
    rows = []
    for name in ("train.txt", "val.txt", "test.txt"):
        listing = root / name
        if not listing.is_file():
            continue
        for number, line in enumerate(_lines(listing), 1):
            if not line.strip():
                continue
            words = line.split() if len(line.split()) == 2 else _PATH.findall(line)
            if len(words) != 2 or (_PATH.sub("", line).strip() and len(line.split()) != 2):
                raise UserError(f"{listing}, line {number} is not 'IMAGE LAYOUT'; correct the line")
            image, layout = (root.joinpath(*Path(word.replace("\\", "/")).parts[-2:]) for word in words)
            rows.append((image.stem, image, layout))
    return rows


def _lines(listing: Path) -> list[str]:
    try:
        return read_text(listing).split("\n")
    except OSError as error:
        raise UserError(f"cannot read {listing} ({error.strerror}); put the list back") from error
