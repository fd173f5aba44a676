"""The file of values per sample grows scale by scale, and what stands in it is not held."""

import csv
import random
import tracemalloc
from pathlib import Path

import pytest

from gcbench.core.errors import UserError
from gcbench.runs.sample_table import SampleTable


def table(*scales: str, n: int = 3, value: float = 0.1) -> SampleTable:
    made = SampleTable(
        {f"{i:06d}": f"group {i % 2}" for i in range(n)}, {f"{i:06d}": '=a "car",\nred' for i in range(n)}
    )
    for scale in scales:
        made.scales.add(scale)
        for column in ("", "b"):
            made.values[scale, "m", column] = {f"{i:06d}": value * (i + 1) + float(scale) for i in range(n)}
    return made


@pytest.mark.parametrize("seed", range(3))
def test_scales_written_one_by_one_in_any_order_are_those_written_at_once(seed: int, tmp_path: Path) -> None:
    scales = ["1", "1.5", "2", "10"]
    table(*scales).write(tmp_path / "whole.csv")
    counts: dict[str, int] = {}
    for scale in random.Random(seed).sample(scales, 4):
        counts = table(scale).write(tmp_path / "grown.csv", counts)
    assert (tmp_path / "grown.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert counts == dict.fromkeys(scales, 6)
    with open(tmp_path / "grown.csv", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["guidance"] for row in rows] == [scale for scale in scales for _ in range(6)]
    assert [(row["id"], row["column"]) for row in rows[:3]] == [("000000", ""), ("000000", "b"), ("000001", "")]


def test_a_scale_that_is_measured_again_replaces_its_lines(tmp_path: Path) -> None:
    table("1", "2", value=7).write(tmp_path / "grown.csv")
    table("1").write(tmp_path / "grown.csv", {"2": 6})
    one, other = SampleTable.read(tmp_path / "grown.csv"), table("1").values
    assert one.values == {**other, **{key: v for key, v in table("2", value=7).values.items()}}


def test_what_the_file_says_of_other_scales_stays_to_the_letter(tmp_path: Path) -> None:
    """A metric may give whole numbers; they are spelled so however often the file is written."""
    whole = SampleTable({"a": "a"})
    whole.values["1", "m", ""] = {"a": 3}
    counts = whole.write(tmp_path / "grown.csv")
    table("2").write(tmp_path / "grown.csv", counts)
    assert (tmp_path / "grown.csv").read_text().splitlines()[1] == "1,a,a,,m,,3"


@pytest.mark.parametrize("damage", [lambda text: "", lambda text: "\n".join(text.splitlines()[:-1]) + "\n"])
def test_a_file_that_lost_lines_meanwhile_is_refused_and_left(damage, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "grown.csv"
    counts = table("1").write(path)
    left = damage(path.read_text())
    path.write_text(left)
    with pytest.raises(UserError, match=r"grown\.csv (was changed while it was written|is damaged)"):
        table("2").write(path, counts)
    assert path.read_text() == left
    path.unlink()
    with pytest.raises(UserError, match="was changed while it was written"):
        table("2").write(path, counts)


def test_what_is_written_needs_no_memory_for_what_was(tmp_path: Path) -> None:
    """Of 40 scales as of 2; the file is 20 times as large."""
    peaks = []
    for scales in (2, 40):
        path = tmp_path / f"{scales}.csv"
        counts = table(*(str(1 + scale) for scale in range(scales)), n=300).write(path)
        added = table("100", n=300)
        tracemalloc.start()
        try:
            added.write(path, counts)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert path.stat().st_size > 1_000_000
    assert peaks[1] < peaks[0] + 50_000, peaks
