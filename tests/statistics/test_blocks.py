"""Rows keyed by id: order, batches and merges leave no trace, repeated ids are refused."""

import numpy as np
import pytest

from gcbench.statistics.blocks import Blocks


def test_rows_come_back_by_id() -> None:
    one = Blocks()
    one.add(["b", "a"], np.array([[2.0], [1.0]]), ["g", "h"])
    two = Blocks()
    two.add(["0"], np.array([[0.0]]))
    one.merge(two)
    ids, values, groups = one.sorted()
    assert (ids, values.tolist(), groups) == (["0", "a", "b"], [[0.0], [1.0], [2.0]], ["0", "h", "g"])
    assert len(one) == 3


def test_rows_are_copied() -> None:
    rows = np.zeros((1, 2))
    blocks = Blocks()
    blocks.add(["a"], rows)
    rows[:] = 7
    assert blocks.sorted().values.tolist() == [[0.0, 0.0]]


def test_a_repeated_id_is_refused_and_nothing_is_added() -> None:
    blocks = Blocks()
    blocks.add(["a"], np.zeros((1, 1)))
    with pytest.raises(ValueError, match="'c' came twice"):
        blocks.add(["b", "c", "c"], np.zeros((3, 1)))
    with pytest.raises(ValueError, match="'a' came twice"):
        blocks.add(["b", "a"], np.zeros((2, 1)))
    with pytest.raises(ValueError, match="'a' came twice"):
        blocks.merge(blocks)
    assert len(blocks) == 1


def test_rows_in_order_are_those_of_the_sorted_array() -> None:
    blocks = Blocks()
    blocks.add(["c", "a"], np.array([[3.0, 3], [1, 1]]), ["g", "h"])
    blocks.add(["b"], np.array([[2.0, 2]]))
    rows, whole = blocks.in_order(), blocks.sorted()
    assert (rows.ids, rows.groups, len(rows), rows.shape) == (whole.ids, whole.groups, 3, (3, 2))
    np.testing.assert_array_equal(rows[:], whole.values)
    np.testing.assert_array_equal(rows[1:], whole.values[1:])
    np.testing.assert_array_equal(rows[np.array([2, 0])], whole.values[[2, 0]])


def test_rows_in_order_are_no_second_copy() -> None:
    blocks = Blocks()
    blocks.add(["b", "a"], np.zeros((2, 3)))
    rows = blocks.in_order()
    assert all(np.shares_memory(rows._rows[place], blocks._rows[name]) for place, name in enumerate("ab"))
