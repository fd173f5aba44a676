"""The drawn streets: the same on every call, with no slivers, captions that name what is there, a long tail."""

import re
import subprocess
import sys
import zlib

import numpy as np
import pytest

from gcbench.core.errors import UserError
from gcbench.data.cityscapes_classes import ALIASES, CLASSES, VOID
from gcbench.data.random_choices import Dice
from gcbench.data.streets import Streets, labels
from gcbench.data.streets.draw import draw_layout
from gcbench.data.streets.scene import compose

SIZE = (64, 128)
SCENES = 300
FROZEN = ((124.1, 2295), (59.55, 3313), (83.39, 2633), (127.58, 2888), (126.93, 2766), (80.79, 1222))
"""Mean of the image and pixels of road, of the first scenes of val."""


@pytest.fixture(scope="module")
def streets() -> Streets:
    return Streets.open()


@pytest.fixture(scope="module")
def counts(streets: Streets) -> np.ndarray:
    """Pixels of each class in the first scenes of val, [N,K]."""
    return np.stack(
        [np.bincount(streets.pair("val", i, SIZE)[1].ravel(), minlength=len(CLASSES)) for i in range(SCENES)]
    )


def test_contract(streets: Streets) -> None:
    assert (streets.name, streets.size, streets.splits) == ("streets", SIZE, ("train", "tune", "val"))
    assert streets.version.startswith("streets-")
    assert [len(streets.ids(split)) for split in (*streets.splits, *streets.parts)] == [2975, 300, 500, 1488, 744]
    assert streets.ids("train")[0] == "train_000000"
    assert len(set(streets.ids("train")) | set(streets.ids("val"))) == 3475
    assert len(streets.classes) == len(streets.palette) == 20
    image, layout = streets.pair("train", 7, SIZE)
    assert image.shape == (*SIZE, 3)
    assert image.dtype == np.uint8
    assert layout.shape == SIZE
    assert layout.dtype == np.uint8
    assert layout.max() < len(CLASSES)


def test_label_ids_are_those_of_the_class_table() -> None:
    ours = {k.lower().replace("_", " "): v for k, v in vars(labels).items() if k.isupper() and isinstance(v, int)}
    ours["traffic light"], ours["traffic sign"] = ours.pop("light"), ours.pop("sign")
    assert ours == {name: place for place, name in enumerate(CLASSES)}


def test_a_scene_does_not_depend_on_the_order_of_calls(streets: Streets) -> None:
    forward = [streets.pair("val", i, SIZE) for i in range(6)]
    streets.captions("val", 3)
    streets.pair("train", 3, (32, 64))
    for i in reversed(range(6)):
        image, layout = Streets.open().pair("val", i, SIZE)
        np.testing.assert_array_equal(image, forward[i][0])
        np.testing.assert_array_equal(layout, forward[i][1])


def test_a_scene_is_the_same_in_another_process(streets: Streets) -> None:
    code = (
        "import zlib; from gcbench.data.streets import Streets; s = Streets.open();"
        "print(*[zlib.crc32(a.tobytes()) for a in s.pair('val', 5, (64, 128))], s.captions('val', 5))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = " ".join(str(zlib.crc32(a.tobytes())) for a in streets.pair("val", 5, SIZE))
    assert run.stdout == f"{here} {streets.captions('val', 5)}\n"


def test_a_caller_may_write_into_what_it_got(streets: Streets) -> None:
    image, layout = streets.pair("val", 0, SIZE)
    before = image.copy(), layout.copy()
    image[:] = 0
    layout[:] = 0
    again = streets.pair("val", 0, SIZE)
    np.testing.assert_array_equal(again[0], before[0])
    np.testing.assert_array_equal(again[1], before[1])


def test_scenes_differ_within_and_between_splits(streets: Streets) -> None:
    images = [streets.pair(split, i, SIZE)[0] for split in ("train", "val") for i in range(20)]
    for a in range(len(images)):
        for b in range(a):
            assert np.abs(images[a].astype(int) - images[b].astype(int)).mean() > 5


def test_every_class_occurs_and_the_tail_is_long(counts: np.ndarray) -> None:
    share = dict(zip(CLASSES, (counts > 0).mean(0), strict=True))
    assert all(share[name] > 0.03 for name in CLASSES)
    rare = ("truck", "bus", "train", "motorcycle", "rider", "bicycle")
    common = ("road", "building", "sky", "vegetation", "car", "pole", "sidewalk")
    assert max(share[name] for name in rare) < 0.35 < 0.75 < min(share[name] for name in common)
    assert all(share[name] < 1 for name in CLASSES)  # a text must be able to ask for its absence
    area = counts[:, VOID].sum() / counts.sum()
    assert 0.05 < area < 0.11


def test_no_class_but_void_is_a_sliver(counts: np.ndarray) -> None:
    named = np.delete(counts, VOID, axis=1)
    assert named[named > 0].min() >= 16


def test_slivers_would_occur_if_they_were_not_dropped() -> None:
    raw = []
    for i in range(40):
        shapes = compose(Dice(np.random.default_rng(np.random.SeedSequence((1, 1, i))))).shapes
        raw.append(np.bincount(draw_layout(shapes, SIZE, labels.SKY).ravel(), minlength=20)[:VOID])
    found = np.stack(raw)
    assert ((found > 0) & (found < 16)).any()


def test_riders_ride(counts: np.ndarray) -> None:
    ridden = counts[:, labels.RIDER] > 0
    vehicles = counts[:, [labels.BICYCLE, labels.MOTORCYCLE]].sum(1) > 0
    assert vehicles[ridden].all()


def test_presences_vary_independently(counts: np.ndarray) -> None:
    present = counts > 0
    assert len({row.tobytes() for row in present}) > 0.6 * SCENES
    free = [CLASSES.index(n) for n in ("person", "terrain", "fence", "wall", "traffic light", "bus", "truck")]
    together = np.corrcoef(present[:, free].T.astype(float))
    assert np.abs(together - np.eye(len(free))).max() < 0.3


@pytest.mark.parametrize("split", ["train", "val"])
def test_captions_name_exactly_the_classes_of_the_layout(streets: Streets, split: str) -> None:
    for i in range(40):
        layout = streets.pair(split, i, SIZE)[1]
        present = {CLASSES[k] for k in np.unique(layout)} - {"void"}
        captions = streets.captions(split, i)
        assert len(captions) >= 1
        for caption in captions:
            text = caption.lower().split(" with ", 1)[1]
            named = {c for c, words in ALIASES.items() if re.search(rf"\b({'|'.join(words)})\b", text)}
            assert named == present
    assert len(set(streets.captions(split, 0))) > 1  # the order is shuffled


def test_another_size_is_the_same_scene(streets: Streets) -> None:
    agree, apart = [], []
    for i in range(30):
        small_image, small = streets.pair("val", i, SIZE)
        image, large = streets.pair("val", i, (128, 256))
        assert image.shape == (128, 256, 3)
        agree.append((large[::2, ::2] == small).mean())
        halved = image.reshape(64, 2, 128, 2, 3).mean((1, 3))
        apart.append(np.abs(halved - small_image).mean())
    assert min(agree) > 0.9
    assert np.mean(agree) > 0.95
    assert np.mean(apart) < 6  # of 255: noise, and edges half a pixel apart


def test_the_layout_follows_the_image(streets: Streets) -> None:
    """Colours change more across the borders of the layout than inside its regions."""
    across, inside = [], []
    for i in range(20):
        image, layout = streets.pair("val", i, SIZE)
        step = np.abs(np.diff(image.astype(float), axis=1)).mean(-1)
        border = layout[:, 1:] != layout[:, :-1]
        across.append(step[border].mean())
        inside.append(step[~border].mean())
    assert np.mean(across) > 3 * np.mean(inside)


def test_the_scenes_of_this_version_are_frozen(streets: Streets) -> None:
    """Networks were trained on them: raise the generation when this fails on purpose."""
    for i, (mean, road) in enumerate(FROZEN):
        image, layout = streets.pair("val", i, SIZE)
        assert image.mean() == pytest.approx(mean, abs=0.5)
        assert (layout == labels.ROAD).sum() == pytest.approx(road, abs=40)


def test_an_unknown_split_is_the_users_to_correct(streets: Streets) -> None:
    for call in (
        lambda: streets.ids("test"),
        lambda: streets.pair("test", 0, SIZE),
        lambda: streets.captions("test", 0),
    ):
        with pytest.raises(UserError, match="train, val"):
            call()
    with pytest.raises(IndexError):
        streets.pair("val", 500, SIZE)
