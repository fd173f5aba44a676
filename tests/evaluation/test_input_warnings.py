"""What is said of images before they are evaluated."""

from collections import Counter
from pathlib import Path

import pytest
from conftest import write_toyland
from PIL import Image

from gcbench.core.reference import Reference
from gcbench.data.finished_images import Survey
from gcbench.data.open_dataset import open_dataset
from gcbench.evaluation.input_warnings import input_warnings


def test_like_with_like_is_not_mentioned(toyland: Path) -> None:
    data = open_dataset(str(toyland))
    assert input_warnings(Survey("", Counter({(32, 64): 5}), 0), (32, 64), Reference(data, "val", (32, 64))) == []
    assert len(input_warnings(Survey("", Counter({(32, 64): 5}), 5), (32, 64), Reference(data, "val", (32, 64)))) == 1
    [line] = input_warnings(Survey("", Counter({(64, 64): 5}), 0), (32, 64), Reference(data, "val", (32, 64)))
    assert line == "images are resized to 32×64 by the box filter: 5 of 64×64"


@pytest.mark.parametrize(("mine", "lines"), [(0, 1), (3, 0), (2, 1)])
def test_jpeg_on_the_datasets_side(tmp_path: Path, mine: int, lines: int) -> None:
    root = write_toyland(tmp_path / "data", {"val": 4})
    for path in (root / "val/images").iterdir():
        Image.open(path).save(path.with_suffix(".jpeg"))
        path.unlink()
    survey = Survey("", Counter({(32, 64): 3}), mine)
    assert len(input_warnings(survey, (32, 64), Reference(open_dataset(str(root)), "val", (32, 64)))) == lines


def test_a_dataset_that_is_drawn_has_no_jpeg() -> None:
    streets = open_dataset("streets")
    survey = Survey("", Counter({streets.size: 3}), 3)
    [line] = input_warnings(survey, streets.size, Reference(streets, "val", streets.size))
    assert line.startswith("3 of the 3 images are JPEG, and 0 of the ")


def test_images_are_resized_by_the_box_filter_also_beside_a_dataset_that_is_drawn() -> None:
    streets = open_dataset("streets")
    [line] = input_warnings(
        Survey("", Counter({(16, 32): 3}), 0), streets.size, Reference(streets, "val", streets.size)
    )
    assert line == "images are resized to 64×128 by the box filter: 3 of 16×32"
