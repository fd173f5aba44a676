"""Ceilings of metrics with a reference: nothing dependent stands on both sides."""

from hypothesis import given
from hypothesis import strategies as st

from gcbench.evaluation.scoring import held_out


@given(st.lists(st.sampled_from("abcdefg"), min_size=2, max_size=40), st.integers(1, 40))
def test_no_group_stands_on_both_sides(groups: list[str], n: int) -> None:
    held, rest = held_out(groups, n)
    assert held
    assert len(held) <= n
    assert not {groups[i] for i in held} & {groups[i] for i in rest}
    assert len(set(held)) == len(held)
    assert {i for i, group in enumerate(groups) if group not in {groups[j] for j in held}} == set(rest)


def test_independent_images_are_cut_in_halves() -> None:
    held, rest = held_out([str(i) for i in range(500)], 500)
    assert len(held) == len(rest) == 250
    held, rest = held_out([str(i) for i in range(500)], 64)
    assert (len(held), len(rest)) == (64, 436)
