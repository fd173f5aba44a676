"""The registry: lazy, with suggestions; every entry point of ours exists and is what it should be."""

from importlib.metadata import EntryPoint

import pytest

from gcbench.core import registry as module
from gcbench.core.contracts import Dataset, Evaluator, Metric, Model
from gcbench.core.errors import UserError
from gcbench.core.registry import KINDS, Registry, registry

BASES = {"models": Model, "metrics": Metric, "datasets": Dataset, "evaluators": Evaluator}


@pytest.mark.parametrize("kind", KINDS)
def test_entry_points_load(kind: str) -> None:
    found = registry(kind)
    assert list(found)
    for name in found:
        assert issubclass(found[name], BASES[kind]), name
        assert name in found
        assert found.origin(name)


def test_expected_names() -> None:
    assert "gcdp" in registry("models")
    assert {"semantic-recall", "miou", "fsd", "fd"} <= set(registry("metrics"))
    assert {"streets", "camvid", "cityscapes"} <= set(registry("datasets"))
    assert "segmenter" in registry("evaluators")


def test_unknown_names_suggest_near_ones() -> None:
    with pytest.raises(UserError, match="unknown dataset 'citiscapes'; did you mean cityscapes"):
        registry("datasets")["citiscapes"]
    with pytest.raises(UserError, match=r"known: .*gcdp"):
        registry("models")["zzzzzzzzzzzz"]


def test_iterating_imports_nothing() -> None:
    entries = {"broken": EntryPoint("broken", "no_such_module:Thing", "gcbench.metrics")}
    found = Registry("metrics", entries)
    assert list(found) == ["broken"]
    assert "broken" in found
    with pytest.raises(ModuleNotFoundError):
        found["broken"]


def test_two_packages_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    both = [EntryPoint("gcdp", value, "gcbench.models") for value in ("a:A", "b:B")]
    monkeypatch.setattr(module, "entry_points", lambda group: both)
    with pytest.raises(UserError, match=r"a:A and b:B"):
        registry.__wrapped__("models")
