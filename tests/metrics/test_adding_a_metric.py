"""docs/adding-a-metric.md: its metric, its test and its lines of Python are run as they stand there."""

import re
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

from gcbench.core.contracts import Metric
from gcbench.core.registry import registry

PAGE = Path(__file__).parents[2] / "docs/adding-a-metric.md"
CODE, TEST, USE = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture
def metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Metric]]:
    """The page's package, importable and registered."""
    package = tmp_path / "gcbench_void_share"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "void_share.py").write_text(CODE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    name, value = re.findall(r"^(void-share) = \"(gcbench_void_share.*)\"$", PAGE.read_text(encoding="utf-8"), re.M)[0]
    monkeypatch.setitem(registry("metrics")._entries, name, {value: EntryPoint(name, value, "gcbench.metrics")})
    yield registry("metrics")[name]
    for module in [module for module in sys.modules if module.startswith("gcbench_void_share")]:
        del sys.modules[module]


def test_it_takes_at_most_thirty_lines() -> None:
    assert len(CODE.splitlines()) <= 30


def test_its_own_test_passes(metric: type[Metric]) -> None:
    tests: dict[str, object] = {}
    exec(TEST, tests)
    names = [name for name in tests if name.startswith("test_")]
    assert len(names) == 2
    for name in names:
        tests[name]()  # type: ignore[operator]


def test_against_numpy_on_the_layouts_of_the_page(metric: type[Metric], capsys: pytest.CaptureFixture[str]) -> None:
    lines: dict[str, object] = {}
    exec(USE, lines)
    layouts, void = lines["layouts"], lines["streets"].void  # type: ignore[attr-defined]
    shares = [100 * np.mean(layout == void) for layout in layouts]  # type: ignore[attr-defined]
    score = lines["metric"].compute()  # type: ignore[attr-defined]
    assert score.value == pytest.approx(np.mean(shares))
    half = 1.96 * np.std(shares, ddof=1) / 8
    assert score.interval == pytest.approx((score.value - half, score.value + half), abs=0.3)
    assert capsys.readouterr().out.strip() in " ".join(PAGE.read_text(encoding="utf-8").split())


def test_it_joins_the_invariances(metric: type[Metric], monkeypatch: pytest.MonkeyPatch) -> None:
    """As if it were installed."""
    import test_invariances as shelf

    monkeypatch.setattr(shelf, "SHELF", sorted(registry("metrics")))
    assert "void-share" in shelf.SHELF
    for check in (
        shelf.test_a_loaded_state_takes_the_place_of_the_samples,
        shelf.test_copies_and_pickles_are_the_same_metric,
        shelf.test_merging_an_empty_process_changes_nothing,
        shelf.test_repeated_ids_are_refused,
        shelf.test_without_images_there_is_a_reason,
        shelf.test_declared_in_full,
        shelf.test_a_score_lies_in_its_range_and_survives_json,
        shelf.test_values_per_sample_have_the_score_as_mean,
    ):
        check("void-share")
