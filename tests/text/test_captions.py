"""Captions: the authors' wording, and that each names exactly the classes that it was built from."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcbench.data import cityscapes_classes
from gcbench.data.camvid import CamVid
from gcbench.text.captions import PLAIN, build_caption, plural, present
from gcbench.text.class_mentions import named_classes

URBAN = cityscapes_classes.CLASSES[: cityscapes_classes.VOID]
CAMVID = CamVid.classes[: CamVid.void]


class InOrder:
    """A stand-in for a generator that leaves the order as it is."""

    def permutation(self, n):
        return np.arange(n)


def test_wording_is_that_of_the_authors_sample():
    names = "building fence road person sky,traffic sign,pole,vegetation,sidewalk,car"
    names = names.replace(" ", ",", 4).split(",")
    assert build_caption(names, InOrder()) == (
        "An image of an urban street view with Buildings, Fences, Roads, People, Skies, Traffic signs, Poles,"
        " Vegetations, Sidewalks and Cars."
    )


def test_few_names():
    assert build_caption([], InOrder()) == "An image of an urban street view."
    assert build_caption(["bus"], InOrder()) == "An image of an urban street view with Buses."
    assert build_caption(["bus", "sky"], InOrder(), PLAIN) == "An image with Buses and Skies."


@pytest.mark.parametrize(
    ("name", "many"),
    [
        ("sky", "skies"),
        ("bus", "buses"),
        ("person", "people"),
        ("box", "boxes"),
        ("way", "ways"),
        ("glasses",) * 2,
    ],
)
def test_plural(name, many):
    assert plural(name) == many


@given(st.sets(st.sampled_from(URBAN)), st.integers(0, 2**32))
def test_urban_caption_names_its_classes(names, seed):
    caption = build_caption(sorted(names), np.random.default_rng(seed))
    assert named_classes(caption, cityscapes_classes.ALIASES) == names


@given(st.sets(st.sampled_from(CAMVID)), st.integers(0, 2**32))
def test_camvid_caption_names_its_classes(names, seed):
    caption = build_caption(sorted(names), np.random.default_rng(seed))
    assert named_classes(caption, CamVid.aliases) == names


def test_order_is_the_generators():
    texts = {build_caption(URBAN, np.random.default_rng(seed)) for seed in range(5)}
    assert len(texts) == 5
    assert build_caption(URBAN, np.random.default_rng(3)) == build_caption(URBAN, np.random.default_rng(3))


def test_present_counts_area_and_leaves_void_out():
    layout = np.full((10, 10), 2)
    layout[0, 0] = 1
    layout[9] = 3
    assert present(layout, "abcd", 3) == ["b", "c"]
    assert present(layout, "abcd", None, 0.02) == ["c", "d"]
    assert present(layout, "abcd", 3, 0.01) == ["b", "c"]


def test_urban_tables():
    assert len(cityscapes_classes.CLASSES) == len(cityscapes_classes.PALETTE) == 20
    assert set(cityscapes_classes.ALIASES) == set(URBAN)
    for i, label in enumerate(cityscapes_classes.LABEL_IDS):
        assert cityscapes_classes.TRAIN_IDS[label] == i
    assert (
        cityscapes_classes.TRAIN_IDS[[*range(7), 9, 10, 14, 15, 16, 18, 29, 30, 255]] == cityscapes_classes.VOID
    ).all()
