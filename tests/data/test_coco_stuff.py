"""COCO-Stuff's trees, made small, to the letter of its README and labels.txt."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gcbench.core.errors import UserError
from gcbench.data import coco_stuff_classes
from gcbench.data.coco_stuff import CocoStuff
from gcbench.text.class_mentions import named_classes

LABELS = """person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant,
street sign, stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear,
zebra, giraffe, hat, backpack, umbrella, shoe, eye glasses, handbag, tie, suitcase, frisbee, skis,
snowboard, sports ball, kite, baseball bat, baseball glove, skateboard, surfboard, tennis racket,
bottle, plate, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, broccoli,
carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, mirror, dining table, window,
desk, toilet, door, tv, laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink,
refrigerator, blender, book, clock, vase, scissors, teddy bear, hair drier, toothbrush, hair brush,
banner, blanket, branch, bridge, building-other, bush, cabinet, cage, cardboard, carpet,
ceiling-other, ceiling-tile, cloth, clothes, clouds, counter, cupboard, curtain, desk-stuff, dirt,
door-stuff, fence, floor-marble, floor-other, floor-stone, floor-tile, floor-wood, flower, fog,
food-other, fruit, furniture-other, grass, gravel, ground-other, hill, house, leaves, light, mat,
metal, mirror-stuff, moss, mountain, mud, napkin, net, paper, pavement, pillow, plant-other,
plastic, platform, playingfield, railing, railroad, river, road, rock, roof, rug, salad, sand, sea,
shelf, sky-other, skyscraper, snow, solid-other, stairs, stone, straw, structural-other, table,
tent, textile-other, towel, tree, vegetable, wall-brick, wall-concrete, wall-other, wall-panel,
wall-stone, wall-tile, wall-wood, water-other, waterdrops, window-blind, window-other, wood""".replace("\n", " ").split(
    ", "
)
"""Of labels.txt: the names of the labels 1 to 182."""

REMOVED = {
    *("blender", "desk", "door", "eye glasses", "hair brush", "hat", "mirror", "plate", "shoe", "street sign", "window")
}
"""What the README says has no annotation."""

PEOPLE = ["A man rides a horse.", "Somebody on a horse in front of a brick wall."]


def write(root: Path, split: str, number: int, annotation: np.ndarray, parts: tuple[str, str]) -> None:
    images, layouts = (root / part / f"{split}2017" for part in parts)
    for folder in (images, layouts):
        folder.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", annotation.shape[::-1], (number, 90, 60)).save(images / f"{number:012d}.jpg")
    Image.fromarray(annotation).save(layouts / f"{number:012d}.png")


def captions(root: Path, split: str, texts: dict[int, list[str]]) -> None:
    (root / "annotations").mkdir(exist_ok=True)
    rows = [(number, text) for number, several in texts.items() for text in several]
    (root / "annotations" / f"captions_{split}2017.json").write_text(
        json.dumps(
            {
                "info": {"year": 2017},
                "licenses": [],
                "images": [{"id": n, "file_name": f"{n:012d}.jpg", "height": 2, "width": 4} for n in texts],
                "annotations": [{"id": 7 + i, "image_id": n, "caption": text} for i, (n, text) in enumerate(rows)],
            }
        )
    )


def tree(root: Path, parts: tuple[str, str] = ("images", "annotations")) -> Path:
    every = np.array([[i for i, name in enumerate(LABELS) if name not in REMOVED] + [255]] * 4, np.uint8)
    for number in (9, 25):
        write(root, "train", number, every, parts)
    write(root, "val", 139, np.array([[0] * 4, [18] * 4], np.uint8), parts)
    captions(root, "train", {9: ["One.", "Two."], 25: ["Three."]})
    captions(root, "val", {139: PEOPLE})
    return root


@pytest.mark.parametrize(
    "parts", [("images", "annotations"), (".", "stuffthingmaps"), ("images", "stuffthingmaps_trainval2017")]
)
def test_pairs_splits_and_ids(tmp_path: Path, parts: tuple[str, str]) -> None:
    data = CocoStuff(tree(tmp_path, parts))
    assert data.splits == ("train", "val")
    assert data.ids("train") == ["000000000009", "000000000025"]
    _, layout = data.pair("train", 0, (4, 172))
    assert layout[0].tolist() == list(range(172))
    assert [data.classes[i] for i in layout[0]] == [name for name in LABELS if name not in REMOVED] + ["void"]
    assert data.captions("val", 0) == tuple(PEOPLE)
    assert data.captions("train", 0) == ("One.", "Two.")
    assert not data.captions_from_layouts("val")


def test_the_labels() -> None:
    assert len(LABELS) == 182
    assert len(coco_stuff_classes.CLASSES) == len(set(coco_stuff_classes.PALETTE)) == 172
    assert [LABELS[i - 1] for i in coco_stuff_classes.LABEL_IDS] == list(coco_stuff_classes.CLASSES[:171])
    unlabelled = np.flatnonzero(coco_stuff_classes.CLASS_OF_PIXEL == coco_stuff_classes.NO_LABEL).tolist()
    assert [LABELS[i] for i in unlabelled if i < 182] == [name for name in LABELS if name in REMOVED]
    assert unlabelled[-73:] == list(range(182, 255))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (PEOPLE[0], {"person", "horse"}),
        (PEOPLE[1], {"person", "horse", "wall-brick"}),
        ("A wall, a floor and water.", set()),
        ("Two glasses of wine on a kitchen table.", {"wine glass", "dining table"}),
        ("A computer mouse and mice.", {"mouse"}),
        ("A teddy bear without a bear.", {"teddy bear"}),
        ("Skis in the snow under a cloudless sky, no clouds.", {"skis", "snow", "sky-other"}),
        ("A hot dog, not a dog.", {"hot dog"}),
        ("A street with tall buildings.", {"road", "building-other"}),
        ("Knives beside a bowl of fruit.", {"knife", "bowl", "fruit"}),
    ],
)
def test_aliases(text: str, named: set[str]) -> None:
    assert named_classes(text, coco_stuff_classes.ALIASES) == named


def test_every_class_has_words() -> None:
    for name, words in coco_stuff_classes.ALIASES.items():
        assert words
        assert all(name in named_classes(f"There is a {word} here.", coco_stuff_classes.ALIASES) for word in words), (
            name
        )


def test_mistakes_are_named(tmp_path: Path) -> None:
    tree(tmp_path)
    path = tmp_path / "annotations" / "val2017" / "000000000139.png"
    Image.fromarray(np.array([[0, 11, 25, 182]] * 2, np.uint8)).save(path)  # street sign and hat were never labelled
    with pytest.raises(UserError, match=r"000000000139\.png holds 11, 25, 182, which are no labels of COCO-Stuff"):
        CocoStuff(tmp_path).pair("val", 0, (2, 4))
    captions(tmp_path, "val", {})
    with pytest.raises(UserError, match=r"captions_val2017\.json has no caption of 000000000139\.jpg"):
        CocoStuff(tmp_path).captions("val", 0)
    (tmp_path / "annotations" / "captions_val2017.json").unlink()
    with pytest.raises(UserError, match=r"captions_val2017\.json is not there; put COCO's captions"):
        CocoStuff(tmp_path).captions("val", 0)
    with pytest.raises(UserError, match=r"no COCO-Stuff images in .*put images/train2017"):
        CocoStuff(tmp_path / "images" / "val2017")
