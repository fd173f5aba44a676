"""The gate for recorded numbers: it is quiet without a fault, and names a metric for each fault that is planted."""

import json
import re
import shutil
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from conftest import PAINTER, Cli, Oracle, Result, content
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import gcbench
import gcbench.gcdp.sampling as sampling
from gcbench.commands.regress import Given, evaluators_of, spec_of
from gcbench.core import checkpoint
from gcbench.core.contracts import Task
from gcbench.core.record import Record
from gcbench.core.samples import Features
from gcbench.core.score import Score
from gcbench.data import image_files
from gcbench.data.open_dataset import open_dataset
from gcbench.evaluation.scoring import EvaluatorSet, Scoring
from gcbench.gcdp.config import GCDPConfig
from gcbench.gcdp.model import GCDP
from gcbench.gcdp.training import GCDPRecipe
from gcbench.reports.regression_checks import ELSEWHERE, HERE, same_samples, same_scores
from gcbench.statistics import confusion
from gcbench.training.pairs import Pairs
from gcbench.training.recipe import TrainConfig
from gcbench.training.trainer import train

BUNDLED = Path(str(files("gcbench.results") / "measured" / "regression"))
SIZE = "24x48"  # not the dataset's own: real images are resized
Regress = Callable[..., tuple[Result, set[tuple[str, str]]]]


def oracles(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("evaluation.setup", "commands.regress"):
        monkeypatch.setattr(
            f"gcbench.{module}.open_evaluators",
            lambda dataset, *rest: EvaluatorSet({"segmenter": Oracle(dataset)}, {}),
        )


def record(out: Path, toyland: Path, **settings: Any) -> Path:
    """A baseline: a sweep that keeps its samples, evaluated by the oracle."""
    with pytest.MonkeyPatch.context() as patch:
        oracles(patch)
        patch.setenv("GCBENCH_CACHE", "off")
        patch.setattr("gcbench.reports.curve.draw", lambda record, folder, axes=None: None)
        gcbench.sweep(dataset=str(toyland), keep_samples=True, size=SIZE, out=out, **settings)
    return out


@pytest.fixture(scope="module")
def baseline(toyland: Path, gcdp: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reference model of random weights, which draws every class, void too; scale 8 shows both heads' guidance."""
    out = tmp_path_factory.mktemp("runs") / "noise"
    return record(out, toyland, checkpoint=gcdp, n=16, guidance=[8], steps=3)


@pytest.fixture(scope="module")
def painted(toyland: Path, painter: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A quick one: the painter at two scales, 20 images of 14 prompts."""
    return record(
        tmp_path_factory.mktemp("runs") / "painted", toyland, model=f"{painter}:Painter", n=20, guidance=[1, 3]
    )


@pytest.fixture
def own(painted: Path, tmp_path: Path) -> Path:
    """A copy of the painter's baseline, to be spoilt."""
    return shutil.copytree(painted, tmp_path / "own")


@pytest.fixture
def regress(
    cli: Cli, toyland: Path, gcdp: Path, tmp_path: Path, oracle: None, monkeypatch: pytest.MonkeyPatch
) -> Regress:
    """Run the gate on a baseline: the result, and what failed as (stage, metric)."""
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)

    def run(runs: Path, *more: object, how: str = "--runs") -> tuple[Result, set[tuple[str, str]]]:
        junit = tmp_path / "junit.xml"
        junit.unlink(missing_ok=True)
        opening = ["--dataset", toyland, "--junit", junit]
        if "--checkpoint" not in more:
            opening += ["--checkpoint", gcdp]
        texts = [path.read_text() for path in runs.rglob("record.json")]
        file = re.search(r'"name": "([^"]*\.py:\w+)"', "".join(texts))
        if file and "--model" not in more:  # a file that only the record names is not run
            opening += ["--model", file[1]]
        result = cli("regress", how, runs, *opening, *more)
        return result, failed(junit) if junit.exists() else set()

    return run


def failed(junit: Path) -> set[tuple[str, str]]:
    cases = ElementTree.parse(junit).getroot().iter("testcase")
    return {
        (case.attrib["classname"].rpartition(": ")[2].partition(",")[0], case.attrib["name"])
        for case in cases
        if case.find("failure") is not None
    }


def edit(run: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads((run / "record.json").read_text())
    change(content)
    (run / "record.json").write_text(json.dumps(content))


# ----------------------------------------------------------------------------------------------- without a fault


def test_nothing_is_wrong(regress: Regress, baseline: Path) -> None:
    before = content(baseline)
    result, failures = regress(baseline)
    assert (result.code, failures) == (0, set()), result.out
    assert "checks passed" in result.out
    assert "FAIL" not in result.out
    assert content(baseline) == before  # a gate changes nothing


def test_several_runs_at_several_scales(regress: Regress, painted: Path) -> None:
    result, failures = regress(painted.parent)
    assert (result.code, failures) == (0, set()), result.out
    assert result.out.count("stored samples, guidance") == 2


def test_python_mirrors_the_command(painted: Path, painter: str, toyland: Path, oracle: None) -> None:
    report = gcbench.regress(runs=painted, dataset=str(toyland), model=f"{painter}:Painter")
    assert report.passed
    stages = {check.stage for run in report.runs for check in run.checks}
    assert stages == {"protocol", "ceiling", "floor", "stored samples", "new against stored", "new samples"}


def test_a_model_without_guidance_and_texts(regress: Regress, toyland: Path, painter: str, tmp_path: Path) -> None:
    run = record(tmp_path / "plain", toyland, model=f"{painter}:Plain", n=8)
    result, failures = regress(run)
    assert (result.code, failures) == (0, set()), result.out


def test_layouts_that_were_derived_stay_derived(regress: Regress, toyland: Path, tmp_path: Path) -> None:
    """mIoU was refused when it was recorded, and is no reason to fail now."""
    Path("derived.py").write_text(PAINTER.replace('"generated"', '"derived:somebody"'))
    run = record(tmp_path / "derived", toyland, model="derived.py:Painter", n=8, guidance=[3])
    assert Record.read(run / "record.json").points[0].scores["miou"].status == "skipped"
    result, failures = regress(run)
    assert (result.code, failures) == (0, set()), result.out
    assert "miou" not in result.out.partition("new samples")[2]


@pytest.mark.parametrize("kind", ["images", "statistics"])
def test_against_other_images_or_their_statistics(
    regress: Regress, toyland: Path, painter: str, tmp_path: Path, kind: str
) -> None:
    """A record knows them by their content: they are to be named again, and others are another protocol."""
    place = tmp_path / "real"
    if kind == "images":
        shutil.copytree(toyland / "train/images", place)
    else:
        place = tmp_path / "real.npz"
        np.savez(place, mu=np.full(5, 0.2), sigma=np.eye(5) / 10)
    run = record(
        tmp_path / "run", toyland, model=f"{painter}:Painter", n=8, guidance=[3], reference=str(place), metrics="fd"
    )
    assert str(Record.read(run).protocol.reference).startswith(f"{kind} ")
    result, _ = regress(run)
    assert (result.code, result.out) == (2, "")
    assert result.complaint.endswith(
        "which its record knows by their content only; add --reference DIR|ZIP|NPZ for them"
    )
    for how in ("--runs", "--rescore"):
        result, failures = regress(run, "--reference", place, how=how)
        assert (result.code, failures) == (0, set()), result.out
    assert "is not there" in regress(run, "--reference", tmp_path / "gone")[0].complaint
    if kind == "images":
        (place / "train00.png").unlink()
    else:
        np.savez(place, mu=np.full(5, 0.3), sigma=np.eye(5) / 10)
    result, failures = regress(run, "--reference", place)
    assert result.code == 1
    assert ("protocol", "reference") in failures


def test_a_reference_that_is_not_asked_for_or_that_only_the_record_names(regress: Regress, own: Path) -> None:
    result, _ = regress(own, "--reference", own)
    assert (result.code, result.out) == (2, "")
    assert "these runs were measured against splits, by name; leave it out" in result.complaint
    edit(own, lambda content: content["protocol"].update(reference=str(own / "samples")))
    result, _ = regress(own)
    assert (result.code, result.out) == (2, "")
    assert "which is no split of toyland; leave it out" in result.complaint


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_the_recorded_precision_is_asked_for(own: Path, precision: str) -> None:
    edit(own, lambda content: content["protocol"].update(sampler={"precision": precision}))
    given = Given(None, None, None, None, None, (), {}, "cpu")
    assert spec_of(own, Record.read(own), given, generate=False).precision == precision


# ------------------------------------------------------------------------------------------------ planted faults


def evaluated(monkeypatch: pytest.MonkeyPatch, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Let the evaluator's labels [B,H,W] go through `change`."""
    real = Oracle.__call__

    def call(self: Oracle, images: torch.Tensor) -> Features:
        found = real(self, images)
        assert found.labels is not None
        return Features(vectors=found.vectors, labels=change(found.labels))

    monkeypatch.setattr(Oracle, "__call__", call)


def drawn(monkeypatch: pytest.MonkeyPatch, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Let the layouts [B,H,W] that the model draws go through `change`."""
    real = sampling.sample_many
    monkeypatch.setattr("gcbench.gcdp.model.sample_many", lambda *a, **k: (lambda x, y: (x, change(y)))(*real(*a, **k)))


def test_label_index_off_by_one_in_the_evaluator(
    regress: Regress, painted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluated(monkeypatch, lambda labels: (labels + 1) % 4)
    result, failures = regress(painted)
    assert result.code == 1
    for stage in ("ceiling", "stored samples", "new samples"):
        assert {(stage, "semantic-recall"), (stage, "miou")} <= failures


def test_label_index_off_by_one_in_the_model(regress: Regress, baseline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn(monkeypatch, lambda layouts: (layouts + 1) % 5)
    result, failures = regress(baseline)
    assert result.code == 1
    assert {stage for stage, _ in failures} == {"new against stored", "new samples"}
    assert {"miou", "fsd"} <= {name for _, name in failures}


def test_label_index_beyond_the_classes(regress: Regress, baseline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can be scored then; every metric fails with the reason, without a traceback."""
    drawn(monkeypatch, lambda layouts: layouts + 1)
    result, failures = regress(baseline)
    assert result.code == 1
    assert {(stage, name) for stage, name in failures if " " not in name} == {
        ("new samples", name) for name in ("semantic-recall", "miou", "fsd", "fd")
    }
    assert "layout ids outside 0..4" in result.out
    evaluated(monkeypatch, lambda labels: labels + 5)
    result, failures = regress(baseline)
    assert result.code == 1
    assert ("ceiling", "semantic-recall") in failures
    assert "Traceback" not in result.err


@pytest.mark.parametrize("unguided", ["image", "label"])
def test_guidance_on_one_head_only(
    regress: Regress, baseline: Path, monkeypatch: pytest.MonkeyPatch, unguided: str
) -> None:
    real = sampling.guided_head

    def guided_head(head: torch.Tensor, guidance: float) -> torch.Tensor:
        is_image = head.shape[1] == 3
        return head.float().chunk(2)[0] if is_image == (unguided == "image") else real(head, guidance)

    monkeypatch.setattr(sampling, "guided_head", guided_head)
    result, failures = regress(baseline)
    assert result.code == 1
    assert {stage for stage, _ in failures} == {"new against stored", "new samples"}
    assert failures & {("new samples", name) for name in ("semantic-recall", "miou", "fsd", "fd")}, failures


def test_void_rule_flipped(regress: Regress, baseline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confusion, "without_void", lambda matrix, void: matrix)
    result, failures = regress(baseline)
    assert result.code == 1
    assert {("ceiling", "miou"), ("stored samples", "miou")} <= failures
    assert all(name.startswith("miou") for _, name in failures)


def test_resize_swapped(regress: Regress, baseline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images by the nearest pixel: the real ones are others then, and so is what samples are compared with."""
    monkeypatch.setattr(image_files, "resize_image", image_files.resize_layout)
    result, failures = regress(baseline)
    assert result.code == 1
    assert ("ceiling", "miou") in failures
    assert ("stored samples", "fd") in failures


@pytest.mark.parametrize("where", ["evaluator", "metrics"])
def test_shuffled_classes(regress: Regress, painted: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    if where == "evaluator":
        evaluated(monkeypatch, lambda labels: torch.tensor([2, 0, 3, 1, 4])[labels])
    else:
        real = Scoring.__init__

        def init(self: Scoring, *arguments: Any) -> None:
            real(self, *arguments)
            task = self.task
            self.task = Task(task.classes[1:4] + task.classes[:1] + task.classes[4:], task.void, task.aliases)
            self.metrics = {name: type(metric)(self.task) for name, metric in self.metrics.items()}

        monkeypatch.setattr(Scoring, "__init__", init)
    result, failures = regress(painted)
    assert result.code == 1
    assert {("ceiling", "semantic-recall"), ("stored samples", "semantic-recall")} <= failures


def test_weights_that_are_not_the_average(
    regress: Regress, toyland: Path, gcdp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same training exports its last weights instead of their average."""
    averaged = trained(toyland, gcdp, tmp_path / "averaged")
    run = record(tmp_path / "run", toyland, checkpoint=averaged, n=16, guidance=[2], steps=3)
    monkeypatch.setattr("gcbench.training.saving._with_average", lambda recipe, ema, act: act())
    raw = trained(toyland, gcdp, tmp_path / "raw")
    result, failures = regress(run, "--checkpoint", raw)
    assert result.code == 1
    assert {stage for stage, _ in failures} == {"new against stored", "new samples"}
    assert {("new against stored", "layouts changed %"), ("new against stored", "images RMS")} <= failures
    assert failures & {("new samples", name) for name in ("miou", "fsd", "fd")}, failures
    assert "model weights: " in result.out


def trained(toyland: Path, gcdp: Path, out: Path) -> Path:
    """A few steps of a high learning rate, so that the last weights are far from their average."""
    dataset = open_dataset(str(toyland))
    cfg = GCDPConfig.model_validate(checkpoint.read_card(gcdp).config)
    recipe = GCDPRecipe("gcdp", cfg, dataset, TrainConfig(steps=16, batch_size=4, lr=0.02, ema=0.99))
    return train(recipe, Pairs(dataset, "train", recipe.size), out, provenance={})


# --------------------------------------------------------------------------------------------- what is recorded


@pytest.mark.parametrize(("factor", "passes"), [(1 + 1e-8, True), (1 + 1e-4, False)])
@pytest.mark.parametrize("place", ["value", "standard_error", "influence"])
def test_stored_samples_hold_to_six_digits(
    regress: Regress, own: Path, factor: float, passes: bool, place: str
) -> None:
    def change(content: dict[str, Any]) -> None:
        score = content["points"][0]["scores"]["fsd"]
        if place == "influence":
            score["detail"]["influence"][3] *= factor
        else:
            score[place] *= factor

    edit(own, change)
    result, failures = regress(own, how="--rescore")
    assert (result.code == 0) == passes
    assert failures == (set() if passes else {("stored samples", "fsd")})
    if not passes and place != "value":
        assert f"fsd: {'influence 3' if place == 'influence' else place}: " in result.out


@pytest.mark.parametrize("elsewhere", [False, True])
def test_new_samples_hold_to_a_part_of_a_standard_error(regress: Regress, own: Path, elsewhere: bool) -> None:
    part = ELSEWHERE if elsewhere else HERE

    def change(content: dict[str, Any]) -> None:
        scores = content["points"][0]["scores"]
        scores["fsd"]["value"] += 0.9 * part * scores["fsd"]["standard_error"]
        scores["fd"]["value"] += 1.1 * part * scores["fd"]["standard_error"]
        if elsewhere:
            content["provenance"]["machine_kind"] = "abacus"

    edit(own, change)
    result, failures = regress(own)
    assert failures == {("stored samples", "fsd"), ("stored samples", "fd"), ("new samples", "fd")}
    assert ("recorded on abacus, this is " in result.out) == elsewhere


def test_a_stored_image_that_changed(regress: Regress, own: Path) -> None:
    image = own / "samples" / "guidance-3" / "images" / "000004.png"
    Image.fromarray(np.zeros((24, 48, 3), np.uint8)).save(image)
    result, failures = regress(own)
    assert result.code == 1
    assert failures
    assert {stage for stage, _ in failures} == {"stored samples", "new against stored"}


def test_another_evaluator_is_another_protocol(regress: Regress, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Oracle, "id", "another")
    result, failures = regress(own)
    assert (result.code, failures) == (1, {("protocol", "evaluators")})
    assert "now {'segmenter': 'another'} against {'segmenter': 'oracle'}" in result.out.replace("\n", " ")


def test_a_number_that_is_gone(regress: Regress, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gcbench.metrics.fd.FD.compute", lambda self: Score.failed("out of order"))
    result, failures = regress(own)
    assert result.code == 1
    assert failures == {(stage, "fd") for stage in ("ceiling", "stored samples", "new samples")}
    assert "fd: now failed: out of order" in result.out


def test_a_model_of_other_code_is_named_but_evaluated_by_its_numbers(regress: Regress, own: Path) -> None:
    Path("mine.py").write_text(PAINTER + "\n# a comment\n")
    result, failures = regress(own, "--model", "mine.py:Painter")
    assert (result.code, failures) == (0, set())
    assert "model note: " in result.out
    Path("mine.py").write_text(PAINTER.replace("guidance / 4", "guidance / 9"))
    result, failures = regress(own, "--model", "mine.py:Painter")
    assert result.code == 1
    assert ("new samples", "semantic-recall") in failures


def test_the_cache_of_features_is_not_asked(
    regress: Regress, cli: Cli, toyland: Path, painter: str, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the evaluator said of real images before it was broken would hide the fault."""
    monkeypatch.setattr("gcbench.reports.curve.draw", lambda record, folder, axes=None: None)
    asked = ["--model", f"{painter}:Painter", "--dataset", toyland, "-n", 4, "--guidance", 1, "--size", SIZE]
    assert cli("sweep", *asked, "--out", "warm").code == 0
    evaluated(monkeypatch, lambda labels: (labels + 1) % 4)
    _, failures = regress(own, how="--rescore")
    assert ("ceiling", "miou") in failures


def test_rescoring_generates_nothing(regress: Regress, baseline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GCDP, "open", None)
    result, failures = regress(baseline, how="--rescore")
    assert (result.code, failures) == (0, set()), result.err
    assert "new samples" not in result.out


# ------------------------------------------------------------------------------------------------------ reports


def test_reports(regress: Regress, own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def change(content: dict[str, Any]) -> None:
        content["points"][0]["scores"]["fsd"]["value"] += 1
        content["provenance"]["command"] = "gcbench sweep --out own"
        content["provenance"]["packages"]["torch"] = "1.0"

    edit(own, change)
    summary = tmp_path / "reports" / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    result, failures = regress(own)
    suite = ElementTree.parse(tmp_path / "junit.xml").getroot().find("testsuite")
    assert suite is not None
    assert suite.attrib["name"] == str(own)
    assert int(suite.attrib["failures"]) == len(failures) == len(list(suite.iter("failure")))
    assert int(suite.attrib["tests"]) == len(list(suite.iter("testcase")))
    failure = next(suite.iter("failure"))
    assert "difference -1, tolerance " in failure.attrib["message"]
    text = summary.read_text()
    assert text.startswith("## gcbench regress: FAILED")
    assert "| stored samples, guidance 1 | fsd | " in text
    assert "torch: 1.0 recorded, " in text
    assert "`gcbench sweep --out own`; the same command with --fresh records it anew" in text
    assert "FAIL" in result.out
    regress(own, "--summary", summary)
    assert summary.read_text().count("## gcbench regress") == 2  # appended, as the steps of a job do


def test_a_report_that_cannot_be_written(regress: Regress, own: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result, _ = regress(own, "--summary", tmp_path / "file" / "summary.md")
    assert result.code == 2
    assert "cannot write --summary" in result.complaint


# ------------------------------------------------------------------------------------------------ users' mistakes


@pytest.mark.parametrize(
    ("fault", "fragment"),
    [
        ("no samples", "keeps no samples"),
        ("a sample is missing", "19 samples where its record has 20"),
        ("a layout is missing", "have no counterpart"),
        ("a sample is damaged", "000003.png"),
        ("no points", "no finished point"),
        ("no record", "holds no run directory"),
        ("another schema", "schema"),
    ],
)
def test_what_is_no_baseline(regress: Regress, own: Path, fault: str, fragment: str) -> None:
    kept = own / "samples" / "guidance-1"
    if fault == "no samples":
        shutil.rmtree(own / "samples")
    elif fault == "a sample is missing":
        (kept / "images" / "000003.png").unlink()
        (kept / "layouts" / "000003.png").unlink()
        lines = (kept / "prompts.jsonl").read_text().splitlines(keepends=True)
        (kept / "prompts.jsonl").write_text("".join(line for line in lines if "000003" not in line))
    elif fault == "a layout is missing":
        (kept / "layouts" / "000003.png").unlink()
    elif fault == "a sample is damaged":
        (kept / "images" / "000003.png").write_bytes(b"no image")
    elif fault == "no points":
        edit(own, lambda content: content.update(points=[]))
    elif fault == "no record":
        (own / "record.json").unlink()
    else:
        edit(own, lambda content: content.update(schema_version=3))
    result, failures = regress(own)
    assert (result.code, failures) == (2, set())
    assert fragment in result.complaint
    assert "Traceback" not in result.err


EVIL = """open("was-run", "w").close()
from gcbench.baselines.real import Real as E
"""


@pytest.mark.parametrize("file", ["evil.py:E", "./evil.py:E", "evil.py"])
@pytest.mark.parametrize("place", ["model", "dataset", "metric", "second metric"])
def test_a_file_that_only_a_record_names_is_not_run(cli: Cli, own: Path, place: str, file: str) -> None:
    Path("evil.py").write_text(EVIL)

    def change(content: dict[str, Any]) -> None:
        if place == "model":
            content["model"]["name"] = file
        elif place == "dataset":
            content["model"]["name"], content["protocol"]["dataset"] = "real", file
        else:
            content["model"]["name"], content["protocol"]["dataset"] = "real", "streets"
            content["points"][-1 if place == "second metric" else 0]["scores"][file] = Score(value=1).model_dump()

    edit(own, change)
    for how in ("--runs", "--rescore")[: 1 if place == "model" else 2]:  # rescoring opens no model
        result = cli("regress", how, own)
        assert (result.code, result.out) == (2, "")
        assert f"{own} names the {place.split()[-1]} {file!r}, which is not registered" in result.complaint
    assert not Path("was-run").exists()


@pytest.mark.parametrize(
    ("role", "name"),
    [
        ("segmenter", "evil.py:E@streets#0 fp64"),
        ("segmenter", "mmseg:evil.py@streets#0 fp64"),
        ("segmenter", "hrnet_w18_small@./evil.py#0 fp64"),
        ("segmenter=evil.py:E@x", "hrnet@streets#0 fp64"),
        ("segmenter", "diffusers:evil@streets fp64"),
    ],
)
def test_an_evaluator_that_is_more_than_a_name_is_not_opened(regress: Regress, own: Path, role: str, name: str) -> None:
    Path("evil.py").write_text(EVIL)
    edit(own, lambda content: content["protocol"].update(evaluators={role: name}))
    result, _ = regress(own)
    assert (result.code, result.out) == (2, "")
    assert "which is opened only if you name it; add --evaluator" in result.complaint
    assert not Path("was-run").exists()


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        (["--suite", "avenues"], "no bundled baseline is called 'avenues'; choose streets"),
        (["--suite", "streets", "--runs", "x"], "exclude one another"),
        (["--runs", "nowhere"], "nowhere is no folder"),
        (["--device", "abacus"], "--device 'abacus'"),
    ],
)
def test_options(cli: Cli, arguments: list[str], fragment: str) -> None:
    result = cli("regress", *arguments)
    assert (result.code, result.out) == (2, "")
    assert fragment in result.complaint


def test_another_dataset(cli: Cli, own: Path) -> None:
    result = cli("regress", "--runs", own, "--dataset", "streets", "--model", "real")
    assert result.code == 2
    assert "was measured on toyland, not on streets" in result.complaint


# ------------------------------------------------------------------------------------------------- the arithmetic


@given(st.floats(-100, 100), st.floats(1e-2, 1e6), st.floats(-3, 3), st.sampled_from([HERE, ELSEWHERE]))
def test_within_its_part_of_a_standard_error(value: float, error: float, off: float, part: float) -> None:
    before = {"m": Score(value=value, standard_error=error)}
    (check,) = same_scores("new samples", None, before, {"m": Score(value=value + off * error)}, part)
    if abs(abs(off) - part) > 1e-2:
        assert (check.status == "pass") == (abs(off) < part)


def test_without_a_standard_error_there_is_no_gate() -> None:
    (check,) = same_scores("new samples", None, {"m": Score(value=1.0)}, {"m": Score(value=2.0)}, HERE)
    assert (check.status, check.reason) == ("skip", "recorded without a standard error")


def test_samples_are_gated_on_the_recorded_kind_of_machine_only() -> None:
    layouts, images = same_samples(2.0, 0.3, 0.7, None)
    assert (layouts.status, images.status) == ("fail", "pass")
    assert {check.status for check in same_samples(2.0, 50, 90, "recorded on another")} == {"skip"}
    assert [check.metric for check in same_samples(None, None, 0.0, None)] == ["images"]


def test_further_columns_are_checked_and_new_ones_are_not() -> None:
    before = {"m": Score(value=1.0, also={"c": Score(value=2.0), "none": Score.skipped("no")})}
    after = {"m": Score(value=1.0, also={"c": Score(value=2.1), "d": Score(value=3.0)}), "n": Score(value=1.0)}
    checks = same_scores("stored samples", None, before, after)
    assert [(check.metric, check.column, check.status) for check in checks] == [("m", None, "pass"), ("m", "c", "fail")]
    (gone,) = same_scores("stored samples", None, {"m": Score(value=1.0)}, {})
    assert (gone.status, gone.reason) == ("fail", "no longer measured")


def test_a_detail_that_became_missing_fails() -> None:
    before = {"m": Score(value=1.0, detail={"per_class": {"car": 0.5, "bus": None}})}
    after = {"m": Score(value=1.0, detail={"per_class": {"car": None, "bus": None}})}
    (check,) = same_scores("stored samples", None, before, after)
    assert (check.status, check.reason) == ("fail", "per_class car: 0.5 recorded, None now")


# -------------------------------------------------------------------------------------------- the bundled baseline


def test_the_bundled_baseline_is_whole_and_of_the_bundled_weights() -> None:
    """Measured by `gcbench regress` in .ci/run; here only that it can be."""
    run = BUNDLED / "streets"
    held = Record.read(run / "record.json")
    weights = files("gcbench.weights")
    assert held.model.weights == checkpoint.read_card(Path(str(weights / "gcdp/streets/model.safetensors"))).sha256
    evaluator = checkpoint.read_card(Path(str(weights / "segmenter/streets/model.safetensors"))).sha256
    assert evaluator in held.protocol.evaluators["segmenter"]
    (point,) = held.points
    kept = run / "samples" / f"guidance-{point.guidance:g}"
    for part in ("images", "layouts"):
        assert len(list((kept / part).glob("*.png"))) == held.protocol.n
    assert len((kept / "prompts.jsonl").read_text().splitlines()) == held.protocol.n
    assert sum(path.stat().st_size for path in kept.rglob("*.png") if path.name != "grid.png") < 400_000


def test_each_gated_number_of_the_bundled_baseline_can_fail() -> None:
    """Its tolerance is below a tenth of what separates it from real images, on another kind of machine below the
    whole of it; and no number is without a standard error."""
    held = Record.read(BUNDLED / "streets" / "record.json")
    assert held.provenance.machine_kind
    for name, score in held.points[0].scores.items():
        for column, one in {"": score, **score.also}.items():
            real = held.ceiling[name].also[column] if column else held.ceiling[name]
            assert one.value is not None
            assert one.standard_error
            assert real.value is not None
            apart = abs(one.value - real.value)
            assert HERE * one.standard_error < 0.1 * apart, (name, column)
            assert ELSEWHERE * one.standard_error < apart, (name, column)


def test_an_evaluator_in_double_precision_is_opened_by_its_recorded_name() -> None:
    held = Record.read(BUNDLED / "streets" / "record.json")
    assert held.protocol.evaluators["segmenter"].endswith(" fp64")
    assert evaluators_of(BUNDLED, held, Given(None, None, None, None, None, (), {}, "cpu")) == [
        "segmenter=hrnet_w18_small:fp64@streets"
    ]
    asked = ["segmenter=hrnet_w18_small@streets"]
    assert evaluators_of(BUNDLED, held, Given(None, None, None, None, None, asked, {}, "cpu")) == asked
    single = held.protocol.model_copy(update={"evaluators": {"segmenter": "hrnet_w18_small@streets#abc ×2 fp32"}})
    assert (
        evaluators_of(
            BUNDLED, held.model_copy(update={"protocol": single}), Given(None, None, None, None, None, (), {}, "cpu")
        )
        == []
    )
