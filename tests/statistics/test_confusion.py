"""Confusion matrices and IoU against scikit-learn, with a kept mutant for each silent mistake."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, jaccard_score
from sklearn.metrics import confusion_matrix as sk_confusion

from gcbench.statistics.confusion import confusion_matrix, mean_iou, pixel_accuracy

VOID, K = 3, 6  # class 5 is in neither map below


@pytest.fixture
def maps() -> tuple[np.ndarray, np.ndarray]:
    """A layout with void and a prediction that never says void: both leave out class 5."""
    rng = np.random.default_rng(0)
    layout = rng.integers(0, 5, (3, 8, 16))
    prediction = np.where(rng.random(layout.shape) < 0.6, layout, rng.integers(0, 5, layout.shape))
    prediction[prediction == VOID] = 0
    return layout, prediction


def test_matrix_is_scikit_learns(maps: tuple[np.ndarray, np.ndarray]) -> None:
    layout, prediction = maps
    expected = sk_confusion(layout.ravel(), prediction.ravel(), labels=range(K))
    ours = confusion_matrix(layout, prediction, K)
    assert ours.dtype == np.int64
    np.testing.assert_array_equal(ours, expected)
    kept = layout != VOID
    expected = sk_confusion(layout[kept], prediction[kept], labels=range(K))
    np.testing.assert_array_equal(confusion_matrix(layout, prediction, K, ignore=VOID), expected)


def test_iou_is_scikit_learns_jaccard(maps: tuple[np.ndarray, np.ndarray]) -> None:
    layout, prediction = maps
    kept = layout != VOID
    present = [0, 1, 2, 4]
    expected = jaccard_score(layout[kept], prediction[kept], labels=present, average=None)
    iou = mean_iou(confusion_matrix(layout, prediction, K), VOID)
    np.testing.assert_allclose(iou.per_class[present], expected, rtol=1e-12)
    assert np.isnan(iou.per_class[[VOID, 5]]).all()
    assert iou.mean == pytest.approx(expected.mean(), rel=1e-12)
    assert (iou.scored, iou.absent) == (4, 1)
    accuracy = accuracy_score(layout[kept], prediction[kept])
    assert pixel_accuracy(confusion_matrix(layout, prediction, K), VOID) == pytest.approx(accuracy)


def test_ignoring_void_early_or_late_is_the_same(maps: tuple[np.ndarray, np.ndarray]) -> None:
    early = mean_iou(confusion_matrix(*maps, K, ignore=VOID), VOID)
    late = mean_iou(confusion_matrix(*maps, K), VOID)
    assert early.mean == late.mean


def test_mutants_would_be_seen(maps: tuple[np.ndarray, np.ndarray]) -> None:
    """A transposed matrix (void ignored on the wrong side), and void counted as a class, give other numbers."""
    right = confusion_matrix(*maps, K)
    value = mean_iou(right, VOID).mean
    assert abs(mean_iou(right.T, VOID).mean - value) > 0.01
    assert abs(mean_iou(right, None).mean - value) > 0.01


def test_by_hand() -> None:
    layout = np.array([[0, 0, 1, 2]])
    prediction = np.array([[0, 1, 1, 1]])
    matrix = [[1, 1, 0], [0, 1, 0], [0, 1, 0]]
    np.testing.assert_array_equal(confusion_matrix(layout, prediction, 3), matrix)
    iou = mean_iou(confusion_matrix(layout, prediction, 3))
    np.testing.assert_allclose(iou.per_class, [1 / 2, 1 / 3, 0])
    iou = mean_iou(confusion_matrix(layout, prediction, 3), void=2)
    np.testing.assert_allclose(iou.per_class, [1 / 2, 1 / 2, np.nan])


def test_a_prediction_of_void_is_a_miss_and_no_class() -> None:
    iou = mean_iou(confusion_matrix(np.array([0, 0]), np.array([0, 1]), 2), void=1)
    assert (iou.mean, iou.scored, iou.absent) == (0.5, 1, 0)


def test_nothing_left_is_nan_not_zero() -> None:
    iou = mean_iou(confusion_matrix(np.array([1, 1]), np.array([0, 0]), 2), void=1)
    assert np.isnan(iou.mean)
    assert (iou.scored, iou.absent) == (0, 1)
    assert np.isnan(pixel_accuracy(np.zeros((2, 2), int)))


def test_ids_out_of_range_are_an_error_unless_ignored() -> None:
    layout, prediction = np.array([0, 255], np.uint8), np.array([0, 1])
    assert confusion_matrix(layout, prediction, 2, ignore=255).sum() == 1
    with pytest.raises(ValueError, match="layout has ids 0 to 255"):
        confusion_matrix(layout, prediction, 2)
    with pytest.raises(ValueError, match="prediction"):
        confusion_matrix(np.array([0]), np.array([-1]), 2)
    with pytest.raises(ValueError, match="differ in shape"):
        confusion_matrix(np.zeros((2, 2), int), np.zeros((2, 3), int), 2)


def test_small_integer_types_do_not_overflow() -> None:
    layout = np.full(4, 19, np.uint8)
    assert confusion_matrix(layout, layout, 20)[19, 19] == 4


@given(st.integers(0, 1000), st.integers(1, 30), st.integers(1, 30))
def test_matrices_add_up(seed: int, n: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 4, (2, n)), rng.integers(0, 4, (2, m))
    together = confusion_matrix(np.r_[a[0], b[0]], np.r_[a[1], b[1]], 4)
    apart = confusion_matrix(a[0], a[1], 4) + confusion_matrix(b[0], b[1], 4)
    np.testing.assert_array_equal(together, apart)
