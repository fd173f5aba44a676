"""A metric, a dataset and an evaluator in files of the user's: `FILE.py:CLASS` wherever a name is taken."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Cli, Result

from gcbench.core.record import load_record
from gcbench.data.folder import Folder

METRIC = """
from gcbench.metrics.semantic_recall import SemanticRecall


class Twice(SemanticRecall):
    title, summary = "twice", "Semantic Recall under another name"
"""

DATASET = """
from pathlib import Path

from gcbench.data.folder import Folder


class Mine(Folder):
    @classmethod
    def open(cls):
        return cls(Path({path!r}))
"""

EVALUATOR = """
import torch

from gcbench.core.contracts import Evaluator
from gcbench.core.samples import Features


class Reader(Evaluator):
    role = "segmenter"

    def __init__(self, dataset, spec):
        self.palette = torch.tensor(dataset.palette).float()
        self.id = f"reader {spec}"

    @classmethod
    def open(cls, dataset, *, spec=None, device="cpu"):
        return cls(dataset, spec)

    def __call__(self, images):
        pixels = images.permute(0, 2, 3, 1).float()[..., None, :]  # [B,H,W,1,3]
        labels = (pixels - self.palette).abs().sum(-1)[..., :-1].argmin(-1)  # never void
        vectors = torch.nn.functional.one_hot(labels, len(self.palette)).float().mean(dim=(1, 2))
        return Features(vectors=vectors, labels=labels)


class Painting(Reader):
    role = "painter"
"""


@pytest.fixture
def sweep(cli: Cli, toyland: Path, painter: str) -> Callable[..., Result]:
    """A sweep of the painter with everything else from files in the working directory."""
    Path("metric.py").write_text(METRIC)
    Path("dataset.py").write_text(DATASET.format(path=str(toyland)))
    Path("evaluator.py").write_text(EVALUATOR)
    base = ["sweep", "--model", f"{painter}:Painter", "--dataset", "dataset.py:Mine", "-n", 4, "--guidance", 2]
    base += ["--evaluator", "segmenter=evaluator.py:Reader@quick", "--metrics", "metric.py:Twice,semantic-recall"]
    return lambda *more: cli(*base, "--out", "run", *more)


def test_all_of_them_in_one_sweep(sweep: Callable[..., Result], toyland: Path) -> None:
    result = sweep()
    assert result.code == 0, result.err
    record = load_record("run")
    [point] = record.points
    assert list(point.scores) == ["Twice", "semantic-recall"]
    assert point.scores["Twice"] == point.scores["semantic-recall"]
    assert point.scores["Twice"].value is not None
    assert record.protocol.dataset == Folder(toyland).name
    assert record.protocol.evaluators["segmenter"].startswith("reader quick evaluator.py ")
    assert record.protocol.metrics["Twice"].startswith("metric.py ")
    assert list(record.protocol.metrics) == ["Twice"]
    assert "Twice" in Path("run/scores.csv").read_text()


@pytest.mark.parametrize("file", ["metric.py", "evaluator.py"])
def test_an_edited_file_is_another_run(sweep: Callable[..., Result], file: str) -> None:
    assert sweep().code == 0
    before = Path("run/record.json").read_bytes()
    Path(file).write_text(Path(file).read_text() + "# edited\n")
    result = sweep()
    assert result.code == 2
    assert f"{file} " in result.complaint
    assert "--fresh" in result.complaint
    assert Path("run/record.json").read_bytes() == before


def test_an_evaluator_of_another_role_is_refused(sweep: Callable[..., Result]) -> None:
    result = sweep("--evaluator", "clip=evaluator.py:Reader", "--metrics", "clip-score")
    assert result.code == 2
    assert "Reader is for the role 'segmenter'" in result.complaint


def test_a_record_that_names_a_file_runs_nothing(sweep: Callable[..., Result], cli: Cli) -> None:
    """Reports read records of strangers."""
    assert sweep().code == 0
    record = json.loads(Path("run/record.json").read_text())
    record["points"][0]["scores"]["./trap.py:Trap"] = record["points"][0]["scores"].pop("Twice")
    Path("run/record.json").write_text(json.dumps(record))
    Path("trap.py").write_text("open('sprung', 'w').close()\n")
    assert "trap.py" in load_record("run")._repr_html_()
    result = cli("compare", "run", "run")
    assert "Traceback" not in result.err
    assert not Path("sprung").exists()
