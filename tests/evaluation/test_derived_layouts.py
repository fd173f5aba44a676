"""Layouts that the evaluating segmenter reads from the images of a model that draws none."""

from pathlib import Path

import pytest
from conftest import PAINTER, Cli

from gcbench.core.record import Record

DERIVING = (
    PAINTER
    + '''

class Deriving(Plain):
    """The same images without their layouts."""

    layouts, derives = False, True

    def generate(self, prompts, *, n, size, guidance, seeds):
        made = super().generate(prompts, n=n, size=size, guidance=guidance, seeds=seeds)
        return Samples(made.images, None, None, None, made.ids)


class Both(Deriving):
    layouts = True
'''
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "deriving.py"
    path.write_text(DERIVING)
    return path


def test_a_perfect_segmenter_reads_what_was_drawn(
    toyland: Path, models: Path, tmp_path: Path, cli: Cli, oracle: None, without_curve: None
) -> None:
    records = {}
    for name in ("Plain", "Deriving"):
        swept = cli("sweep", "--model", f"{models}:{name}", "--dataset", toyland, "-n", 8, "--out", tmp_path / name)
        assert swept.code == 0, swept.err
        records[name] = Record.read(tmp_path / name / "record.json")
    [drawn], [read] = records["Plain"].points, records["Deriving"].points
    assert drawn.scores["fsd"] == read.scores["fsd"]  # it paints no void
    assert drawn.scores["miou"].value == 1
    assert read.scores["miou"].reason == "the layouts are derived:oracle: they agree with a segmenter by construction"
    assert records["Plain"].model.layouts is None
    assert records["Deriving"].model.layouts == "derived:oracle"
    assert records["Plain"].ceiling["fsd"] == records["Deriving"].ceiling["fsd"]  # the real layouts stay


def test_the_segmenter_is_opened_for_fsd_alone(
    toyland: Path, models: Path, evaluator: str, tmp_path: Path, cli: Cli, without_curve: None
) -> None:
    def sweep(name: str, *more: object) -> tuple[int, str]:
        common = ("sweep", "--model", f"{models}:{name}", "--dataset", toyland, "--metrics", "fsd", "-n", 4)
        result = cli(*common, "--out", tmp_path / name, "--fresh", *more)
        return result.code, " ".join(result.err.split())

    assert sweep("Plain", "--evaluator", evaluator)[0] == 0
    assert Record.read(tmp_path / "Plain" / "record.json").protocol.evaluators == {}
    code, said = sweep("Deriving", "--evaluator", evaluator)
    assert code == 0, said
    record = Record.read(tmp_path / "Deriving" / "record.json")
    segmenter = record.protocol.evaluators["segmenter"]
    assert record.model.layouts == f"derived:{segmenter}"
    assert record.points[0].scores["fsd"].status == "ok"
    code, said = sweep("Deriving")  # nobody to read them
    assert code == 2
    assert "no metric can be measured: " in said
    assert "as --evaluator segmenter=hrnet_w18_small@FILE" in said


def test_stored_images_are_read_again_by_the_gate(
    toyland: Path, models: Path, tmp_path: Path, cli: Cli, oracle: None, without_curve: None
) -> None:
    run = tmp_path / "runs" / "one"
    common = ("--model", f"{models}:Deriving", "--dataset", toyland)
    swept = cli("sweep", *common, "-n", 6, "--keep-samples", "--out", run)
    assert swept.code == 0, swept.err
    assert not list(run.glob("samples/*/layouts"))
    for how, more in (("--rescore", ()), ("--runs", common[:2])):
        gated = cli("regress", how, run.parent, "--dataset", toyland, *more)
        assert gated.code == 0, gated.out + gated.err


def test_layouts_are_drawn_or_derived(toyland: Path, models: Path, cli: Cli, oracle: None) -> None:
    refused = cli("sweep", "--model", f"{models}:Both", "--dataset", toyland, "-n", 4)
    assert refused.code == 2
    assert "draws layouts and derives them too" in refused.complaint
