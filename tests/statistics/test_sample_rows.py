"""Rows keyed by id: order, batches and merges leave no trace, repeated ids are refused."""

import numpy as np
import pytest

from gcbench.statistics.sample_rows import SampleRows


def test_rows_come_back_by_id() -> None:
    one = SampleRows()
    one.add(["b", "a"], np.array([[2.0], [1.0]]), ["g", "h"])
    two = SampleRows()
    two.add(["0"], np.array([[0.0]]))
    one.merge(two)
    ids, values, groups = one.sorted()
    assert (ids, values.tolist(), groups) == (["0", "a", "b"], [[0.0], [1.0], [2.0]], ["0", "h", "g"])
    assert len(one) == 3


def test_rows_are_copied() -> None:
    rows = np.zeros((1, 2))
    store = SampleRows()
    store.add(["a"], rows)
    rows[:] = 7
    assert store.sorted().values.tolist() == [[0.0, 0.0]]


def test_a_repeated_id_is_refused_and_nothing_is_added() -> None:
    store = SampleRows()
    store.add(["a"], np.zeros((1, 1)))
    with pytest.raises(ValueError, match="'c' came twice"):
        store.add(["b", "c", "c"], np.zeros((3, 1)))
    with pytest.raises(ValueError, match="'a' came twice"):
        store.add(["b", "a"], np.zeros((2, 1)))
    with pytest.raises(ValueError, match="'a' came twice"):
        store.merge(store)
    assert len(store) == 1


def test_rows_in_order_are_those_of_the_sorted_array() -> None:
    store = SampleRows()
    store.add(["c", "a"], np.array([[3.0, 3], [1, 1]]), ["g", "h"])
    store.add(["b"], np.array([[2.0, 2]]))
    rows, whole = store.in_order(), store.sorted()
    assert (rows.ids, rows.groups, len(rows), rows.shape) == (whole.ids, whole.groups, 3, (3, 2))
    np.testing.assert_array_equal(rows[:], whole.values)
    np.testing.assert_array_equal(rows[1:], whole.values[1:])
    np.testing.assert_array_equal(rows[np.array([2, 0])], whole.values[[2, 0]])


def test_rows_in_order_are_no_second_copy() -> None:
    store = SampleRows()
    store.add(["b", "a"], np.zeros((2, 3)))
    rows = store.in_order()
    assert all(np.shares_memory(rows._rows[place], store._rows[name]) for place, name in enumerate("ab"))


def test_rows_of_another_shape_or_type_are_refused() -> None:
    store = SampleRows()
    store.add(["a"], np.zeros((1, 3)))
    for other in (np.zeros((1, 2)), np.zeros((1, 3), np.float32)):
        with pytest.raises(ValueError, match="do not fit"):
            store.add(["b"], other)
    assert len(store) == 1
