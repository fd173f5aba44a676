"""The registry: lazy, with suggestions; every entry point of ours exists and is what it should be."""

import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from conftest import Cli

from gcbench.core.contracts import Dataset, Evaluator, Metric, Model
from gcbench.core.errors import UserError
from gcbench.core.registry import KINDS, Registry, in_file, registry, short_name, split_evaluator, with_argument
from gcbench.core.run_spec import check_evaluators, metric_names

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


def entry(name: str, value: str, kind: str = "metrics") -> EntryPoint:
    return EntryPoint(name, value, f"gcbench.{kind}")


def test_names_are_known_without_importing() -> None:
    found = Registry("metrics", [entry("broken", "no_such_module:Thing")])
    assert list(found) == ["broken"]
    assert "broken" in found
    found.check("broken")
    code = """
import sys
from gcbench.core.run_spec import RunSpec
RunSpec.of(model="gcdp", metrics="fid,miou", evaluators=["clip=a"])
print(sorted(name for name in sys.modules if name.partition(".")[0] == "torch" or name.startswith("gcbench.metrics")))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """A registry of metrics with one that works and four that are broken, each in its own way."""
    files = {
        "raises": "1 / 0",
        "leaves": "import sys\nsys.exit(3)",
        "strange": "class Thing:\n    pass",
        "no_class": "Thing = 5",
    }
    for name, text in files.items():
        (tmp_path / f"gcbench_test_{name}.py").write_text(text + "\n")
    monkeypatch.syspath_prepend(tmp_path)
    entries = [entry(name, f"gcbench_test_{name}:Thing") for name in files]
    yield Registry("metrics", [*entries, entry("fid", "gcbench.metrics.fid:FID")])
    for name in files:
        sys.modules.pop(f"gcbench_test_{name}", None)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("raises", "importing gcbench_test_raises:Thing raised ZeroDivisionError: division by zero"),
        ("leaves", "raised SystemExit: 3"),
        ("strange", "is no class that derives from gcbench.core.contracts.Metric"),
        ("no_class", "is no class that derives from gcbench.core.contracts.Metric"),
    ],
)
def test_a_broken_plug_in_is_one_sentence_and_the_others_work(plugins: Registry, name: str, reason: str) -> None:
    with pytest.raises(UserError) as caught:
        plugins[name]
    assert f"metric {name!r}" in str(caught.value)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(plugins.working()) == ["fid"]


def test_the_list_names_what_is_broken(cli: Cli, plugins: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gcbench.commands.list.registry", lambda kind: plugins)
    result = cli("list", "metrics")
    assert result.code == 0
    assert "fid " in result.out
    for name in ("raises", "leaves", "strange", "no_class"):
        assert f"Broken: metric {name!r}" in " ".join(result.out.split())


def test_two_packages_of_one_name_are_refused_for_that_name(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Registry(
        "models", [entry("gcdp", "a:A"), entry("gcdp", "b:B"), entry("real", "gcbench.baselines.real:Real")]
    )
    assert found["real"].__name__ == "Real"
    for ask in (found.check, found.__getitem__):
        with pytest.raises(UserError, match=r"two installed packages register the model 'gcdp' \(a:A .* and b:B"):
            ask("gcdp")
    monkeypatch.setattr("gcbench.commands.list.registry", lambda kind: found)
    result = cli("list", "models")
    assert result.code == 0
    assert "real " in result.out
    assert "two installed packages register the model 'gcdp'" in " ".join(result.out.split())


def test_the_same_entry_found_twice_is_one() -> None:
    """An editable install beside a wheel registers everything twice."""
    found = Registry("metrics", [entry("fid", "gcbench.metrics.fid:FID")] * 2)
    assert found["fid"].__name__ == "FID"


METRIC = """
from gcbench.metrics.semantic_recall import SemanticRecall

class Mine(SemanticRecall):
    title, summary = "mine", "as Semantic Recall"

class Other:
    pass
"""


def write(path: Path, text: str = METRIC) -> Path:
    path.write_text(text)
    return path


def test_the_file_of_a_class() -> None:
    assert in_file("a/b.py:Mine") == (Path("a/b.py"), "Mine")
    assert in_file("C:\\x\\b.py:Mine") == (Path("C:\\x\\b.py"), "Mine")
    assert in_file("b.py") == (Path("b.py"), "")
    for name in ("fid", "mmseg:configs/a.py:x2", "hrnet_w18_small", "a.pyc:Mine"):
        assert in_file(name) is None


def test_a_metric_in_a_file_is_called_by_its_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry("metrics"), "_files", {})
    file = write(tmp_path / "a.py")
    assert metric_names(f"{file}:Mine,fd") == ("Mine", "fd")
    first = registry("metrics")["Mine"]
    assert registry("metrics")["Mine"] is first
    assert registry("metrics").origin("Mine").startswith("a.py ")
    before = registry("metrics").files(["Mine", "fd"])
    assert list(before) == ["Mine"]
    write(file, METRIC + "# edited\n")
    assert registry("metrics")["Mine"] is not first
    assert registry("metrics").files(["Mine"]) != before
    assert f"{file}:Mine" not in registry("metrics")  # a name out of a record never runs a file


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ("{a}:Mine,{b}:Mine", "are both called 'Mine'"),
        ("{a}:Absent", None),
        ("{a}", "give an existing file and its class, as in --metrics my_metric.py:MyMetric"),
        ("{a}x.py:Mine", "give an existing file and its class"),
    ],
)
def test_metrics_of_files_that_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str, complaint: str | None
) -> None:
    monkeypatch.setattr(registry("metrics"), "_files", {})
    a, b = write(tmp_path / "a.py"), write(tmp_path / "b.py")
    text = asked.format(a=a, b=b)
    if complaint is not None:
        with pytest.raises(UserError, match=complaint):
            metric_names(text)
    else:
        [name] = metric_names(text)
        with pytest.raises(UserError, match="has no class 'Absent'"):
            registry("metrics")[name]


def test_a_metric_in_a_file_cannot_take_an_installed_ones_name(tmp_path: Path) -> None:
    file = write(tmp_path / "a.py", METRIC.replace("class Mine", "class fid"))
    with pytest.raises(UserError, match="a metric called 'fid' is installed"):
        metric_names(f"{file}:fid")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_taken_from_a_file(kind: str, tmp_path: Path) -> None:
    base = BASES[kind].__name__
    file = write(
        tmp_path / "mine.py",
        f"from gcbench.core.contracts import {base}\n\nclass Mine({base}):\n    pass\n\nclass Stranger:\n    pass\n",
    )
    assert issubclass(registry(kind)[f"{file}:Mine"], BASES[kind])
    with pytest.raises(UserError, match=f"Stranger of .*mine.py is no gcbench.core.contracts.{base}"):
        registry(kind)[f"{file}:Stranger"]
    write(file, "raise SystemExit(1)\n")
    with pytest.raises(UserError, match="raised SystemExit: 1"):
        registry(kind)[f"{file}:Mine"]


def test_evaluators_of_files(tmp_path: Path) -> None:
    file = write(tmp_path / "mine.py", "")
    assert split_evaluator("clip", "ViT-B-32@a.pt") == ("clip", "ViT-B-32@a.pt")
    assert split_evaluator("clip", None) == ("clip", None)
    assert split_evaluator("depth", f"{file}:Mine") == (f"{file}:Mine", None)
    assert split_evaluator("depth", f"{file}:Mine@w.pt") == (f"{file}:Mine", "w.pt")
    assert check_evaluators([f"depth={file}:Mine"]) == {"depth": f"{file}:Mine"}
    with pytest.raises(UserError, match=r"as in --evaluator ROLE=my_evaluator.py:MyEvaluator"):
        check_evaluators(["depth=absent.py:Mine"])
    with pytest.raises(UserError, match="unknown evaluator 'depth'"):
        check_evaluators(["depth=mine"])


TAKING = '''
from gcbench.core.contracts import Model
from gcbench.core.errors import UserError


class Thing(Model):
    """Takes a number behind its name."""

    argument = "NUMBER"

    @classmethod
    def check_argument(cls, argument):
        if not argument.isdigit():
            raise UserError(f"{argument!r} is no number; give one")
'''


def test_a_model_that_takes_an_argument(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`NAME:ARGUMENT` of any plug-in: its class looks at the argument before anything is opened."""
    (tmp_path / "gcbench_test_taking.py").write_text(TAKING)
    monkeypatch.syspath_prepend(tmp_path)
    taking = Registry("models", [entry("taking", "gcbench_test_taking:Thing", "models")])
    taking.check("taking:7")
    assert taking["taking:7"] is taking["taking"]
    for name in ("taking:x", "taking:"):
        with pytest.raises(UserError, match="is no number; give one"):
            taking.check(name)
    with pytest.raises(UserError, match="unknown model 'takin:7'; did you mean taking"):
        taking.check("takin:7")
    with pytest.raises(UserError, match="--model gcdp:7: gcdp takes no argument; write gcdp alone"):
        registry("models").check("gcdp:7")
    with pytest.raises(UserError, match="--dataset streets:7: streets takes no argument; write streets alone"):
        registry("datasets").check("streets:7")


@pytest.mark.parametrize(
    ("text", "parts", "short"),
    [
        ("gcdp", ("gcdp", None), "gcdp"),
        ("a:./b/c d", ("a", "./b/c d"), "a-c-d"),
        ("a:org/name@v1", ("a", "org/name@v1"), "a-name-v1"),
        ("a:..", ("a", ".."), "a"),
        ("a:b/", ("a", "b/"), "a-b"),
        ("models/mine.py:Mine", ("models/mine.py:Mine", None), "mine"),
        (r"C:\mine.py:Mine", (r"C:\mine.py:Mine", None), None),
    ],
)
def test_names_with_an_argument(text: str, parts: tuple[str, str | None], short: str | None) -> None:
    assert with_argument(text) == parts
    if short is not None:
        assert short_name(text) == short
