"""Samples keep their shape and parts; training settings refuse unknown names."""

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from gcbench.core.registry import registry
from gcbench.core.samples import Samples
from gcbench.data.open_dataset import open_dataset
from gcbench.training.recipe import TrainConfig


def samples() -> Samples:
    images = torch.arange(3 * 3 * 2 * 2, dtype=torch.uint8).view(3, 3, 2, 2)
    return Samples(images, torch.zeros(3, 2, 2, dtype=torch.int64), "real", ("a", "b", "c"), ("0", "1", "2"))


def test_a_part_keeps_what_belongs_together() -> None:
    part = samples().take([1, 2])
    assert len(part) == 2
    assert part.prompts == ("b", "c")
    assert part.ids == part.groups == ("1", "2")
    assert torch.equal(part.images, samples().images[1:])


def test_wrong_shapes_are_caught() -> None:
    with pytest.raises(ValueError, match=r"images are torch\.float32"):
        Samples(torch.zeros(1, 3, 2, 2), None, None, None, ("0",))
    with pytest.raises(ValueError, match="ids are 2 for 1 images"):
        Samples(torch.zeros(1, 3, 2, 2, dtype=torch.uint8), None, None, None, ("0", "1"))
    layouts = torch.zeros(1, 2, 3, dtype=torch.int64)
    with pytest.raises(ValueError, match="layouts are"):
        Samples(torch.zeros(1, 3, 2, 2, dtype=torch.uint8), layouts, "real", None, ("0",))


def test_training_settings_refuse_unknown_names() -> None:
    with pytest.raises(ValidationError):
        TrainConfig.model_validate({"learning_rate": 1.0})


TRAINED = ["gcdp", "imagen", "ldm", "lafite", "semantic-palette", "dataset-ddpm", "ganformer", "semantic-gan"]


@pytest.mark.parametrize("name", [*TRAINED, "dataset-gan", "segmenter"])
def test_a_size_is_a_text_or_two_numbers_for_all_that_can_be_trained(toyland: Path, name: str) -> None:
    kind, key = ("evaluators", "network.size") if name == "segmenter" else ("models", "model.size")
    sizes = [registry(kind)[name].recipe(open_dataset(str(toyland)), {key: size}).size for size in ("32x64", [32, 64])]
    assert sizes == [(32, 64)] * 2
