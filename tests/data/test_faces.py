"""The drawn faces: the same on every call, attributes that show, captions that a parser reads back."""

import subprocess
import sys
import zlib

import numpy as np
import pytest

from gcbench.core.errors import UserError
from gcbench.data.celeba_attributes import ATTRIBUTES
from gcbench.data.celeba_parts import CLASSES
from gcbench.data.dataset_summary import summarise
from gcbench.data.faces import CAPTIONS, COUNTS, Faces, labels
from gcbench.data.faces import captions as wording
from gcbench.data.subset import Subset
from gcbench.text.attribute_mentions import affirmed
from gcbench.text.class_mentions import named_classes
from gcbench.training.pairs import Pairs

SIZE = (64, 64)
FACES = 300
FROZEN = (
    (87.54, 428, 461),
    (147.11, 435, 624),
    (117.3, 621, 946),
    (107.52, 743, 106),
    (153.3, 743, 882),
    (71.28, 530, 1140),
)
"""Mean of the image and pixels of skin and of hair, of the first faces of val."""
FROZEN_WORDS = 2001084719
"""CRC-32 of the attributes and captions of the first twenty faces of val."""


@pytest.fixture(scope="module")
def faces() -> Faces:
    return Faces.open()


@pytest.fixture(scope="module")
def drawn(faces: Faces) -> tuple[np.ndarray, np.ndarray]:
    """Images [N,64,64,3] and layouts [N,64,64] of val."""
    pairs = [faces.pair("val", i, SIZE) for i in range(FACES)]
    return np.stack([image for image, _ in pairs]), np.stack([layout for _, layout in pairs])


@pytest.fixture(scope="module")
def truth(faces: Faces) -> dict[str, np.ndarray]:
    """Attribute -> bool [N] over val."""
    rows = np.stack([faces.attribute_labels("val", i) for i in range(FACES)])
    assert rows.dtype == bool
    return dict(zip(faces.attributes, rows.T, strict=True))


@pytest.fixture(scope="module")
def present(drawn: tuple[np.ndarray, np.ndarray]) -> dict[str, np.ndarray]:
    """Class -> bool [N], whether it is in the layout."""
    return {name: (drawn[1] == k).any((1, 2)) for k, name in enumerate(CLASSES)}


def test_contract(faces: Faces) -> None:
    assert (faces.name, faces.size, faces.splits, faces.void) == ("faces", SIZE, ("train", "tune", "val"), None)
    assert [len(faces.ids(split)) for split in faces.splits] == [5400, 300, 600]
    assert len({name for split in faces.splits for name in faces.ids(split)}) == sum(COUNTS.values())
    assert len(faces.classes) == len(set(faces.palette)) == 19
    assert list(faces.attributes) == [name for name in ATTRIBUTES if name in faces.attributes]
    assert len(faces.attributes) >= 12
    assert set(faces.attribute_words) == set(faces.attributes)
    image, layout = faces.pair("train", 7, SIZE)
    assert (image.shape, layout.shape) == ((*SIZE, 3), SIZE)
    assert image.dtype == layout.dtype == np.uint8


def test_label_ids_are_those_of_the_class_table() -> None:
    ours = {name.lower(): value for name, value in vars(labels).items() if name.isupper()}
    assert ours == {name: place for place, name in enumerate(CLASSES)}


def test_a_face_does_not_depend_on_the_order_of_calls(faces: Faces) -> None:
    forward = [faces.pair("val", i, SIZE) for i in range(5)]
    faces.captions("val", 3)
    faces.pair("train", 3, (32, 32))
    for i in reversed(range(5)):
        for again, before in zip(Faces.open().pair("val", i, SIZE), forward[i], strict=True):
            np.testing.assert_array_equal(again, before)


def test_a_face_is_the_same_in_another_process(faces: Faces) -> None:
    code = (
        "import zlib; from gcbench.data.faces import Faces; f = Faces.open();"
        "print(*[zlib.crc32(a.tobytes()) for a in f.pair('val', 5, (64, 64))], f.captions('val', 5))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = " ".join(str(zlib.crc32(a.tobytes())) for a in faces.pair("val", 5, SIZE))
    assert run.stdout == f"{here} {faces.captions('val', 5)}\n"


def test_a_caller_may_write_into_what_it_got(faces: Faces) -> None:
    image, layout = faces.pair("val", 0, SIZE)
    before, said = image.copy(), faces.captions("val", 0)
    image[:] = 0
    layout[:] = 0
    said[0] = "x"  # type: ignore[index]
    np.testing.assert_array_equal(faces.pair("val", 0, SIZE)[0], before)
    assert faces.captions("val", 0)[0] != "x"


def test_faces_differ_within_and_between_splits(faces: Faces) -> None:
    images = [faces.pair(split, i, SIZE)[0].astype(int) for split in ("train", "val") for i in range(15)]
    assert min(np.abs(a - b).mean() for i, a in enumerate(images) for b in images[:i]) > 8


def test_every_class_and_every_attribute_occurs(truth: dict[str, np.ndarray], present: dict[str, np.ndarray]) -> None:
    assert all(found.mean() > 0.1 for found in present.values())
    for name, has in truth.items():
        assert 0.04 < has.mean() < 0.65, name


def test_attributes_are_not_one_another(truth: dict[str, np.ndarray]) -> None:
    """Lipstick and make-up belong to the women here, beards to the men; no two attributes say the same."""
    together = np.corrcoef(np.stack(list(truth.values())).astype(float))
    assert np.abs(together - np.eye(len(together))).max() < 0.83
    assert not (truth["Goatee"] & ~truth["Male"]).any()
    kinds = sum(truth[f"{kind}_Hair"].astype(int) for kind in ("Black", "Blond", "Brown", "Gray"))
    assert (kinds <= np.where(truth["Bald"], 0, 1)).all()
    assert not (truth["Straight_Hair"] & truth["Wavy_Hair"]).any()
    beards = truth["Mustache"] | truth["Goatee"] | truth["5_o_Clock_Shadow"]
    np.testing.assert_array_equal(truth["No_Beard"], ~beards)


@pytest.mark.parametrize(
    ("attribute", "part"),
    [
        ("Wearing_Hat", "hat"),
        ("Eyeglasses", "eye_g"),
        ("Wearing_Earrings", "ear_r"),
        ("Wearing_Necklace", "neck_l"),
        ("Mouth_Slightly_Open", "mouth"),
    ],
)
def test_an_attribute_that_is_a_part_shows_in_the_layout(
    truth: dict[str, np.ndarray], present: dict[str, np.ndarray], drawn: tuple[np.ndarray, np.ndarray], attribute, part
) -> None:
    np.testing.assert_array_equal(truth[attribute], present[part])
    pixels = (drawn[1] == CLASSES.index(part)).sum((1, 2))
    assert pixels[truth[attribute]].min() >= 10


def test_the_bald_have_no_hair_and_the_others_do(truth: dict, present: dict) -> None:
    np.testing.assert_array_equal(truth["Bald"], ~present["hair"])


def test_attributes_without_a_part_show_in_the_image(drawn, truth) -> None:
    """A number read from the pixels of a part ranks those with the attribute above those without it."""
    images, layouts = drawn[0].astype(float), drawn[1]

    def colour(*parts: int) -> np.ndarray:
        """The mean colour of parts [N,3]; NaN where they are hidden."""
        mask = np.isin(layouts, parts)[..., None]
        with np.errstate(invalid="ignore"):
            return (images * mask).sum((1, 2)) / mask.sum((1, 2))

    skin, hair, lips, brows = (
        colour(*parts)
        for parts in ((labels.SKIN,), (labels.HAIR,), (labels.U_LIP, labels.L_LIP), (labels.L_BROW, labels.R_BROW))
    )
    cloth = np.array(
        [
            p[of == labels.CLOTH].std() if (of == labels.CLOTH).any() else np.nan
            for p, of in zip(images, layouts, strict=True)
        ]
    )
    brow_area = np.isin(layouts, (labels.L_BROW, labels.R_BROW)).sum((1, 2))
    chroma = hair.max(1) - hair.min(1)
    told = {
        "Pale_Skin": skin.min(1),
        "Black_Hair": -hair.mean(1),
        "Gray_Hair": -chroma / hair.mean(1) + hair.mean(1) / 100,
        "Blond_Hair": hair[:, 1] - hair[:, 2],
        "Wearing_Lipstick": (lips[:, 0] - lips[:, 1]) / lips.mean(1),
        "Wearing_Necktie": cloth,
        "Bushy_Eyebrows": brow_area.astype(float),
    }
    assert np.isfinite(brows[brow_area > 0]).all()
    for name, value in told.items():
        seen = np.isfinite(value)
        yes, no = value[seen & truth[name]], value[seen & ~truth[name]]
        ranked = (yes[:, None] > no[None, :]).mean()  # the area under the ROC curve
        assert ranked > 0.85, (name, ranked)


def test_the_mirror_is_an_involution_and_swaps_three_pairs(faces: Faces) -> None:
    mirror = np.array(faces.mirror)
    np.testing.assert_array_equal(mirror[mirror], np.arange(19))
    swapped = {CLASSES[k]: CLASSES[mirror[k]] for k in range(19) if mirror[k] != k}
    left = {name: name.replace("l_", "r_") for name in ("l_eye", "l_brow", "l_ear")}
    assert swapped == {**left, **{b: a for a, b in left.items()}}


def test_left_parts_stand_left_also_in_a_mirror(faces: Faces) -> None:
    pairs = Pairs(Subset(faces, 20), "train", SIZE)
    flipped = 0
    for step in range(4):
        batch = pairs.batch(step, 20, seed=1, flip=True)
        plain = pairs.batch(step, 20, seed=1, flip=False)
        flipped += int((batch.layouts != plain.layouts).any((1, 2)).sum())
        for layout in batch.layouts.numpy():
            for left, right in (("l_eye", "r_eye"), ("l_brow", "r_brow"), ("l_ear", "r_ear")):
                here, there = (np.nonzero(layout == CLASSES.index(name))[1] for name in (left, right))
                if len(here) and len(there):
                    assert here.mean() < there.mean()
    assert 20 < flipped < 60


def test_captions_affirm_what_they_were_built_from(faces: Faces) -> None:
    """The parser reads back exactly the attributes that a caption affirms, and these are true."""
    seen = set()
    for i in range(60):
        has = dict(zip(faces.attributes, faces.attribute_labels("val", i).tolist(), strict=True))
        rng = np.random.default_rng(i)
        for _ in range(CAPTIONS):
            text, meant = wording.build_caption(has, rng)
            assert set(affirmed(text, faces.attribute_words)) == meant, text
            assert all(has[name] for name in meant)
            seen |= meant
    assert seen == set(faces.attributes)


def test_captions_of_the_dataset_are_true_and_some_deny(faces: Faces) -> None:
    denials = 0
    for i in range(100):
        has = dict(zip(faces.attributes, faces.attribute_labels("val", i).tolist(), strict=True))
        texts = faces.captions("val", i)
        assert len(texts) == CAPTIONS
        for text in texts:
            assert all(has[name] for name in affirmed(text, faces.attribute_words)), text
            for name, words in wording.DENIALS.items():
                if words in text:
                    denials += 1
                    assert not has[name], text
    assert 0.15 < denials / (100 * CAPTIONS) < 0.4
    assert len({text for i in range(20) for text in faces.captions("val", i)}) > 60


def test_a_caption_names_only_parts_that_are_there(faces: Faces, present: dict[str, np.ndarray]) -> None:
    """So that Semantic Recall asks for nothing that is not there."""
    named = 0
    for i in range(FACES):
        for text in faces.captions("val", i):
            parts = named_classes(text, faces.aliases)
            named += bool(parts)
            assert all(present[part][i] for part in parts), text
    assert named > 0.4 * FACES * CAPTIONS


def test_another_size_is_the_same_face(faces: Faces) -> None:
    for i in range(12):
        small_image, small = faces.pair("val", i, SIZE)
        image, large = faces.pair("val", i, (128, 128))
        assert (large[::2, ::2] == small).mean() > 0.9
        halved = image.reshape(64, 2, 64, 2, 3).mean((1, 3))
        assert np.abs(halved - small_image).mean() < 6


@pytest.mark.parametrize("size", [(48, 96), (96, 48), (16, 16), (33, 47)])
def test_any_size_is_drawn(faces: Faces, size: tuple[int, int]) -> None:
    image, layout = faces.pair("val", 1, size)
    assert (image.shape, layout.shape) == ((*size, 3), size)
    assert {labels.SKIN, labels.NOSE, labels.BACKGROUND} <= set(np.unique(layout).tolist())


def test_the_layout_follows_the_image(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    """Colours change more across the borders of the layout than inside its regions."""
    step = np.abs(np.diff(drawn[0].astype(float), axis=2)).mean(-1)
    border = drawn[1][:, :, 1:] != drawn[1][:, :, :-1]
    assert step[border].mean() > 3 * step[~border].mean()


def test_the_faces_of_this_version_are_frozen(faces: Faces) -> None:
    """Networks were trained on them: raise the generation when this fails on purpose."""
    for i, (mean, skin, hair) in enumerate(FROZEN):
        image, layout = faces.pair("val", i, SIZE)
        assert image.mean() == pytest.approx(mean, abs=0.3)
        assert (layout == labels.SKIN).sum() == pytest.approx(skin, abs=15)
        assert (layout == labels.HAIR).sum() == pytest.approx(hair, abs=15)
    words = [faces.attribute_labels("val", i).astype(int).tolist() for i in range(20)]
    said = [list(faces.captions("val", i)) for i in range(20)]
    assert zlib.crc32(repr((words, said)).encode()) == FROZEN_WORDS


def test_an_unknown_split_is_the_users_to_correct(faces: Faces) -> None:
    for call in (faces.ids, lambda split: faces.pair(split, 0, SIZE), lambda split: faces.captions(split, 0)):
        with pytest.raises(UserError, match="train, val"):
            call("test")
    with pytest.raises(IndexError):
        faces.pair("val", 600, SIZE)


def test_a_check_counts_attributes() -> None:
    faces = Faces.open()
    train, _, val = summarise(faces, sample=20)
    chosen = np.unique(np.linspace(0, 599, 20).round().astype(int))
    labels = np.array([faces.attribute_labels("val", i) for i in chosen.tolist()])
    assert val.attributes == pytest.approx(dict(zip(faces.attributes, labels.mean(axis=0), strict=True)))
    assert train.attributes.keys() == val.attributes.keys()
