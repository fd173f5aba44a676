"""Which of a run's prompts are dependent."""

from typing import Any

import pytest

from gcbench.core.reference import Reference
from gcbench.core.score import Score
from gcbench.reports.record_table import few_groups
from gcbench.reports.table import Row


class Pairs:
    """A split of captions, a tuple for each pair, and the groups that it names."""

    name = "pairs"

    def __init__(self, captions: list[tuple[str, ...]], groups: list[str] | None = None):
        self.texts, self.names = captions, groups

    def ids(self, split: str) -> list[str]:
        return [f"p{i}" for i in range(len(self.texts))]

    def groups(self, split: str) -> list[str]:
        return self.names or self.ids(split)

    def captions(self, split: str, row: int) -> tuple[str, ...]:
        return self.texts[row]


@pytest.mark.parametrize(
    ("captions", "named", "n", "expected"),
    [
        ([("a",), ("b",), ("c",)], None, 3, "p0 p1 p2"),
        ([("a",), ("b",), ("a",)], None, 3, "p0 p1 p0"),  # one text twice
        ([("a", "x"), ("b", "y")], None, 5, "p0 p1 p0 p1 p0"),  # one pair again, by its next caption
        ([("a", "b"), ("c", "d"), ("b", "c")], None, 6, "p0 p0 p0 p0 p0 p0"),  # chained by texts
        ([("a",), ("a",), ("a",), ("a",)], ["v", "v", "w", "p3"], 4, "v v w p3"),  # a named group wins
    ],
)
def test_one_pair_and_one_text_are_a_group(captions: Any, named: Any, n: int, expected: str) -> None:
    reference: Any = Reference(Pairs(captions, named), "val", (4, 4))  # type: ignore[arg-type]
    assert reference.prompts(n).groups == tuple(expected.split())


def test_a_prompt_may_be_drawn_several_times_in_a_row() -> None:
    """All its images are one group; a short split is taken again with the next captions."""
    reference: Any = Reference(Pairs([("a", "x"), ("b", "y")]), "val", (4, 4))  # type: ignore[arg-type]
    found = reference.prompts(7, per_prompt=2)
    assert found.texts == tuple("aabbxxy")
    assert found.rows == [0, 0, 1, 1, 0, 0, 1]
    assert found.groups == tuple(["p0", "p0", "p1", "p1", "p0", "p0", "p1"])
    assert reference.prompts(4).texts == tuple("abxy")


@pytest.mark.parametrize(
    ("n", "per_prompt", "left"),
    [(1, 1, 1), (2, 1, 3), (3, 1, 2), (4, 1, 1), (5, 1, 1), (6, 1, 0), (9, 1, 0), (4, 2, 3)],
)
def test_captions_that_are_not_read_are_counted(n: int, per_prompt: int, left: int) -> None:
    """Of the pairs that are drawn from, whose two and three captions are taken in turn."""
    reference: Any = Reference(Pairs([("a", "x"), ("b", "y", "z")]), "val", (4, 4))  # type: ignore[arg-type]
    found = reference.prompts(n, per_prompt=per_prompt)
    assert found.left_out == left
    assert found.note.startswith(f"Left out: {left} further text") is (left > 0)


def test_few_groups_are_said_below_every_table() -> None:
    few, many = (Score(value=0.5, interval=(0.4, 0.6), n=40, groups=groups) for groups in (10, 40))
    rows = [Row("gcdp", "model", {"a": many, "b": few}), Row("ceiling", "ceiling", {"a": many})]
    assert few_groups(rows) == ["Fewer than 20 groups (gcdp 10): the intervals are wide, and uncertain themselves."]
    assert few_groups(rows[1:]) == []
