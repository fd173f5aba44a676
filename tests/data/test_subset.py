from inspect import getmembers, isfunction

import numpy as np
import pytest

from gcbench.commands.train import recipe_of
from gcbench.core.contracts import Dataset
from gcbench.data.faces import Faces
from gcbench.data.streets import Streets
from gcbench.data.subset import Subset
from gcbench.text.known_words import vocabulary_of
from gcbench.training.pairs import Pairs

SIZE = (16, 16)


def test_only_the_training_split_ends_early() -> None:
    whole = Streets.open()
    few = Subset(whole, 3)
    assert list(few.ids("train")) == list(few.groups("train")) == list(whole.ids("train"))[:3]
    assert few.ids("val") == whole.ids("val")
    assert few.groups("val") == whole.groups("val")
    assert len(Subset(whole, 10**6).ids("train")) == len(whole.ids("train"))
    assert len(Pairs(few, "train", SIZE)) == 3


def test_all_else_is_the_whole_datasets() -> None:
    """Every attribute and method of the contract, so that none of the whole's own answers is lost."""
    whole = Faces.open()
    few = Subset(whole, 2)
    for name in Dataset.__annotations__:
        assert getattr(few, name) == getattr(whole, name)
    assert (few.version, few.argument) == (whole.version, whole.argument)
    for image, expected in zip(few.pair("train", 1, SIZE), whole.pair("train", 1, SIZE), strict=True):
        np.testing.assert_array_equal(image, expected)
    assert few.captions("train", 1) == whole.captions("train", 1)
    np.testing.assert_array_equal(few.attribute_labels("train", 1), whole.attribute_labels("train", 1))
    assert few.fingerprint("train") == whole.fingerprint("train")
    contract = {name for name, _ in getmembers(Dataset, isfunction)}
    assert contract - set(vars(Subset)) == set()


@pytest.mark.parametrize("model", ["gcdp", "semantic-palette", "dataset-ddpm", "lafite"])
def test_a_recipe_sees_no_pair_beyond_the_limit(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither for its words nor for what it learns from layouts before its first step."""
    seen: set[int] = set()
    for name in ("pair", "captions"):
        whole = getattr(Streets, name)

        def spy(self: Streets, split: str, index: int, *rest: object, whole=whole):  # type: ignore[no-untyped-def]
            if split == "train":
                seen.add(index)
            return whole(self, split, index, *rest)

        monkeypatch.setattr(Streets, name, spy)
    recipe = recipe_of(model, None, "streets", {}, limit=4)
    assert len(recipe.dataset.ids("train")) == 4
    assert seen <= set(range(4))


def test_the_words_of_a_limited_training_are_those_of_its_texts() -> None:
    whole = Streets.open()
    recipe = recipe_of("gcdp", None, "streets", {}, limit=1)
    assert recipe.card({}).config["text"]["vocabulary"] == list(vocabulary_of(whole.captions("train", 0)))
