"""mIoU of whole images against scikit-learn; refusals; the jackknife from stored matrices."""

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, jaccard_score

from gcbench.core.contracts import Task
from gcbench.core.samples import Features, Samples
from gcbench.core.score import Score
from gcbench.metrics.miou import MeanIoU

TASK = Task(("road", "car", "train", "void"), 3, {})


def score(
    layouts: torch.Tensor | None, labels: torch.Tensor, source: str | None = "generated", task: Task = TASK
) -> Score:
    metric = MeanIoU(task)
    n = len(labels)
    images = torch.zeros(n, 3, *labels.shape[1:], dtype=torch.uint8)
    samples = Samples(images, layouts, source, None, tuple(f"{i:03}" for i in range(n)))
    metric.update(samples, {"segmenter": Features(labels=labels)})
    return metric.compute()


def maps(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Layouts with void, and predictions of road and car only; train is in neither."""
    rng = np.random.default_rng(0)
    layouts = rng.choice([0, 1, 3], (n, 6, 9))
    labels = np.where(rng.random(layouts.shape) < 0.7, layouts % 3, rng.integers(0, 2, layouts.shape))
    return torch.from_numpy(layouts), torch.from_numpy(labels)


def test_against_scikit_learn() -> None:
    layouts, labels = maps(30)
    result = score(layouts, labels)
    kept = layouts != 3
    expected = jaccard_score(layouts[kept], labels[kept], labels=[0, 1], average=None)
    assert result.value == pytest.approx(expected.mean(), rel=1e-12)
    assert result.detail["per_class"] == {
        "road": pytest.approx(expected[0]),
        "car": pytest.approx(expected[1]),
        "train": None,
    }
    assert result.detail["classes"] == {"scored": 2, "absent": 1}
    assert result.also["pixel_accuracy"].value == pytest.approx(accuracy_score(layouts[kept], labels[kept]))
    assert result.also["void_share"].value == pytest.approx(100 * (~kept).double().mean().item())


def test_the_error_is_that_of_leaving_out_an_image_at_a_time() -> None:
    layouts, labels = maps(30)
    result = score(layouts, labels)
    kept = [[i for i in range(30) if i != gone] for gone in range(30)]
    left_out = np.array([score(layouts[rows], labels[rows]).value for rows in kept], float)
    expected = np.sqrt(29 / 30 * np.square(left_out - left_out.mean()).sum())
    assert result.standard_error == pytest.approx(expected, rel=1e-12)
    assert (result.groups, result.detail["blocks"]["groups"]) == (30, 30)


def test_one_matrix_of_all_images_not_a_mean_over_images() -> None:
    layouts = torch.tensor([[[0, 0]], [[0, 1]]])
    labels = torch.tensor([[[0, 0]], [[1, 1]]])
    assert score(layouts, labels).value == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_void_predicted_and_void_drawn_are_not_the_same() -> None:
    """Kept mutant: with rows and columns exchanged both values would be the other's."""
    road, half = torch.zeros(2, 1, 2, dtype=torch.int64), torch.tensor([[[0, 3]], [[0, 3]]])
    assert score(half, road).value == 1
    assert score(half, road).also["void_share"].value == 50
    assert score(road, half).value == 0.5


def test_derived_layouts_are_refused() -> None:
    layouts, labels = maps(4)
    result = score(layouts, labels, "derived:hrnet_w18_small@streets")
    assert result.status == "skipped"
    assert result.reason is not None
    assert "derived:hrnet_w18_small@streets" in result.reason


def test_real_layouts_are_the_ceiling_and_are_scored() -> None:
    assert score(*maps(4), "real").status == "ok"


def test_what_is_missing_is_skipped_with_a_reason() -> None:
    layouts, labels = maps(4)
    assert score(None, labels, None).reason == "the samples have no layouts"
    assert score(layouts[:1], labels[:1]).reason == "needs at least 2 images"
    assert MeanIoU(TASK).compute().reason == "needs at least 2 images"
    assert score(torch.full_like(layouts, 3), labels).reason == "every layout is void everywhere"


def test_images_that_are_all_void_are_unscored() -> None:
    layouts, labels = maps(6)
    layouts[2] = 3
    result = score(layouts, labels)
    assert (result.n, result.unscored) == (5, 1)
    assert result.also["void_share"].n == 6


def test_a_dataset_without_void() -> None:
    labels = torch.randint(0, 3, (8, 4, 4), generator=torch.Generator().manual_seed(0))
    result = score(labels, labels, task=Task(("a", "b", "c"), None, {}))
    assert result.value == 1
    assert result.also["void_share"].status == "skipped"
