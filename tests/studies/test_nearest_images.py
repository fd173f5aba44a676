"""Distances that tell copies from new images."""

from pathlib import Path

import numpy as np
from PIL import Image

from gcbench.data.export import export
from gcbench.data.streets import Streets
from studies.nearest_images import nearest, report, vectors


def test_nearest_is_brute_force() -> None:
    rng = np.random.default_rng(0)
    rows, others = rng.normal(size=(5, 12)), rng.normal(size=(7, 12))
    slow = [min(np.sqrt(np.mean((row - other) ** 2)) for other in others) for row in rows]
    np.testing.assert_allclose(nearest(rows, others), slow, rtol=1e-9)


def test_distance_is_in_grey_levels() -> None:
    dark, light = np.full((8, 8, 3), 10, np.uint8), np.full((8, 8, 3), 40, np.uint8)
    np.testing.assert_allclose(nearest(vectors([dark], (8, 8)), vectors([light], (8, 8))), [30])


def test_a_copy_of_a_training_image_is_seen(tmp_path: Path) -> None:
    """Training images given as a model's own are at distance 0; held-out ones are not."""
    root = tmp_path / "data"
    export(Streets.open(), root, "folder", (32, 64), limit=6)
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
        for path in sorted((root / split / "images").iterdir())[:3]:
            Image.open(path).save(tmp_path / split / path.name)
    copies = report(str(root), tmp_path / "train", tmp_path / "copies.json")
    honest = report(str(root), tmp_path / "val")
    key = "images to the nearest of all 6 of train"
    assert copies[key]["minimum"] == copies[key]["median"] == 0
    assert honest[key]["minimum"] > 5
    assert (tmp_path / "copies.json").read_text().startswith("{")
