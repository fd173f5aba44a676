"""Several processes share a run: the files are those of one process, whoever does what, in whatever order."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import BLOCKS, Cli, Oracle, Result, comparable, content

import gcbench
from gcbench.core.contracts import Dataset, Evaluator
from gcbench.core.errors import UserError
from gcbench.core.record import Record
from gcbench.core.registry import registry
from gcbench.core.samples import Features, Samples, Texts
from gcbench.evaluation.generation import Generator
from gcbench.evaluation.scoring import BATCH, EvaluatorSet
from gcbench.runs.helpers import STARTED_BY, arguments

N = 4 * BATCH + 5
RECOUNTED = ("run.json", "record.json")


def measured(run: Path) -> dict[str, Any]:
    """All that a run holds, its record without times."""
    files: dict[str, Any] = {name: data for name, data in content(run).items() if name not in RECOUNTED}
    return {**files, "record": comparable(json.loads((run / "record.json").read_text(encoding="utf-8")))}


class Stub(Evaluator):
    """Pooled colours as vectors and probabilities; of a text, its letters."""

    id = "stub"

    def __init__(self, dataset: Dataset, role: str):
        self.oracle, self.role, self.attributes = Oracle(dataset), role, len(dataset.attributes)  # type: ignore[misc]

    @classmethod
    def open(cls, dataset: Dataset, *, spec: str | None = None, device: str = "cpu") -> "Stub":
        raise NotImplementedError

    def __call__(self, images: torch.Tensor) -> Features:
        pooled = torch.nn.functional.adaptive_avg_pool2d(images.float() / 255, (2, 4)).flatten(1)  # [B,24]
        return Features(pooled, self.oracle(images).labels, pooled[:, : self.attributes])

    def read(self, prompts: Sequence[str]) -> Texts:
        letters = [[float(text.count(letter)) for letter in "abcdefghijklmnopqrstuvwx"] for text in prompts]
        return Texts(torch.tensor(letters) + 1, torch.zeros(len(prompts), dtype=torch.bool))


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> str:
    """All registered metrics, on evaluators that need no weights."""
    names = sorted(registry("metrics").working())

    def open_evaluators(dataset: Dataset, metrics: Sequence[str], *rest: object) -> EvaluatorSet:
        roles = {role for name in metrics for role in registry("metrics")[name].roles}
        return EvaluatorSet({role: Stub(dataset, role) for role in sorted(roles)}, {})

    for module in ("evaluation.setup", "commands.evaluate"):
        monkeypatch.setattr(f"gcbench.{module}.open_evaluators", open_evaluators)
    return ",".join(names)


@pytest.fixture
def sweep(
    cli: Cli, toyland: Path, painter: str, shelf: str, without_curve: None, tmp_path: Path
) -> Callable[..., Result]:
    asked = ["--model", f"{painter}:Painter", "--dataset", toyland, "-n", N, "--guidance", "1,3", "--metrics", shelf]
    return lambda out, *more: cli("sweep", *asked, "--keep-samples", "--out", tmp_path / out, "--json", *more)


@pytest.mark.parametrize("order", [(2, 1), (3, 1, 4, 2)])
def test_shards_merge_to_the_bits_of_one_process(
    order: tuple[int, ...], sweep: Callable[..., Result], tmp_path: Path
) -> None:
    """Record with intervals, values per sample, samples and grid; for every registered metric; given twice too."""
    assert sweep("one").code == 0
    for turn, index in enumerate(order):
        for _ in range(2 if turn == 0 else 1):
            result = sweep("shared", "--shard", f"{index}/{len(order)}")
            assert result.code == 0, result.err
            assert bool(result.out) == (turn == len(order) - 1)  # the last one merges by itself
    assert measured(tmp_path / "shared") == measured(tmp_path / "one")
    record = Record.model_validate_json(result.out)
    assert {score.status for point in record.points for score in point.scores.values()} >= {"ok"}
    assert not [path for path in (tmp_path / "shared").rglob("*") if path.name.startswith((".", "shards"))]
    assert "0 to go" in sweep("shared", "--shard", f"1/{len(order)}").err
    assert measured(tmp_path / "shared") == measured(tmp_path / "one")


def test_images_of_a_folder_are_shared_alike(
    cli: Cli, sweep: Callable[..., Result], shelf: str, toyland: Path, tmp_path: Path
) -> None:
    assert sweep("made").code == 0
    made = tmp_path / "made/samples/guidance-3"
    asked = ["--images", made / "images", "--layouts", made / "layouts", "--prompts", made / "prompts.jsonl"]
    asked += ["--dataset", toyland, "--metrics", shelf, "--json"]
    assert cli("evaluate", *asked, "--out", tmp_path / "one").code == 0
    for index in (2, 3, 1):
        result = cli("evaluate", *asked, "--out", tmp_path / "shared", "--shard", f"{index}/3")
        assert result.code == 0, result.err
        assert bool(result.out) == (index == 1)
    assert measured(tmp_path / "shared") == measured(tmp_path / "one")
    assert "Nothing is left to do" in cli("evaluate", *asked, "--out", tmp_path / "shared", "--shard", "1/3").err
    assert measured(tmp_path / "shared") == measured(tmp_path / "one")


def test_a_killed_shard_loses_what_it_was_at(
    sweep: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And `gcbench merge` says what is missing; when it is there, it is the record of one process."""
    assert sweep("one").code == 0
    drawn: list[tuple[float | None, int]] = []
    real = Generator.batches

    def batches(self: Generator, guidance: float | None, places: range) -> Iterator[Samples]:
        drawn.append((guidance, places.start))
        if killed and len(drawn) == 4:
            raise KeyboardInterrupt
        return real(self, guidance, places)

    monkeypatch.setattr(Generator, "batches", batches)
    killed = True
    assert sweep("shared", "--shard", "1/2").code == 130
    lost, killed = drawn.pop(), False
    assert sweep("shared", "--shard", "1/2").code == 0
    assert drawn[3] == lost
    assert len(drawn) == len(set(drawn)) == 5
    with pytest.raises(UserError, match="is not whole; give the command of each shard that is missing"):
        gcbench.merge(tmp_path / "shared")
    assert sweep("shared", "--shard", "any").code == 0
    assert len(drawn) == len(set(drawn)) == 10
    assert measured(tmp_path / "shared") == measured(tmp_path / "one")
    assert gcbench.merge(tmp_path / "shared").points == Record.read(tmp_path / "shared").points


def test_merge_is_what_a_merge_that_was_stopped_needs(
    sweep: Callable[..., Result], cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sweep("one").code == 0
    assert sweep("shared", "--shard", "1/2").code == 0
    with monkeypatch.context() as patch:
        patch.setattr("gcbench.commands.sweep.measure_real", lambda *rest: (_ for _ in ()).throw(KeyboardInterrupt))
        assert sweep("shared", "--shard", "2/2").code == 130
    assert not (tmp_path / "shared/record.json").exists()
    result = cli("merge", tmp_path / "shared", "--device", "cpu", "--json")
    assert result.code == 0, result.err
    assert json.loads(result.out) == json.loads((tmp_path / "shared/record.json").read_text())
    assert measured(tmp_path / "shared") == measured(tmp_path / "one")
    assert "holds no shards and no record" in cli("merge", tmp_path).complaint


@pytest.mark.parametrize("more", [[], ["--shard", "2/2"]])
def test_a_run_that_keeps_its_samples_keeps_all_of_them(
    more: list[str], sweep: Callable[..., Result], cli: Cli, tmp_path: Path
) -> None:
    """Whoever would merge it without them is refused, and nothing is lost."""
    assert sweep("one").code == 0
    assert sweep("shared", "--shard", "1/2").code == 0
    asked = json.loads((tmp_path / "shared/shards/command.json").read_text())
    line = ["sweep", *arguments({**asked["options"], "keep_samples": False}), *more]
    assert "keeps its samples; add --keep-samples to resume it, or --fresh" in cli(*line).complaint
    assert sweep("shared", *more).code == 0
    assert measured(tmp_path / "shared") == measured(tmp_path / "one")


def test_a_folder_of_samples_that_no_run_wrote_is_let_be(
    cli: Cli, toyland: Path, painter: str, shelf: str, without_curve: None, tmp_path: Path
) -> None:
    (tmp_path / "run/samples").mkdir(parents=True)
    (tmp_path / "run/samples/mine.txt").write_text("mine")
    asked = ["sweep", "--model", f"{painter}:Painter", "--dataset", toyland, "-n", BATCH, "--guidance", "1"]
    for more in [["--jobs", 1], ["--jobs", 1, "--fresh"], ["--shard", "1/1"]]:
        result = cli(*asked, "--metrics", "semantic-recall", "--out", tmp_path / "run", *more)
        assert result.code == 0, result.err
    assert (tmp_path / "run/samples/mine.txt").read_text() == "mine"


def test_what_one_process_alone_began_is_not_merged(
    sweep: Callable[..., Result], cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither a point without the others is called the whole run, nor are its shards said not to be there."""
    assert sweep("one").code == 0
    drawn, batches = [], Generator.batches

    def stopping(self: Generator, guidance: float | None, places: range) -> Iterator[Samples]:
        drawn.append(guidance)
        if guidance == 3.0 and drawn.count(3.0) > 1:
            raise KeyboardInterrupt
        return batches(self, guidance, places)

    with monkeypatch.context() as patch:
        patch.setattr(Generator, "batches", stopping)
        assert sweep("stopped").code != 0
    assert len(Record.read(tmp_path / "stopped/record.json").points) == 1
    assert "is not whole; give its command again, which resumes it" in cli("merge", tmp_path / "stopped").complaint
    assert sweep("stopped").code == 0
    assert cli("merge", tmp_path / "stopped").code == 0
    assert measured(tmp_path / "stopped") == measured(tmp_path / "one")


def test_a_note_of_no_known_command_is_damaged(sweep: Callable[..., Result], cli: Cli, tmp_path: Path) -> None:
    assert sweep("shared", "--shard", "1/2").code == 0
    note = tmp_path / "shared/shards/command.json"
    note.write_text(note.read_text().replace('"sweep"', '"rm"'))
    assert "command.json is damaged; give the command of a shard again" in cli("merge", tmp_path / "shared").complaint
    assert sweep("shared", "--shard", "2/2").code == 0


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--shard", "0/3"], "I counts from 1 to N"),
        (["--shard", "4/3"], "I counts from 1 to N"),
        (["--shard", "third"], "give I/N, such as 3/16"),
        (["--shard", "slurm"], "no task of a Slurm array"),
        (["--shard", "1/2", "--fresh"], "--fresh is not for one of several processes"),
        (["--shard", "1/2", "--train"], "train by `gcbench train`"),
        (["--shard", "1/2", "--jobs", 2], "leave one out"),
        (["--shard", "1/2", "--until-saturation"], "name the scales by --guidance"),
        (["--jobs", 2, "--until-saturation"], "name the scales by --guidance"),
        (["--jobs", 0], "--jobs 0: at least 1 process"),
    ],
)
def test_what_cannot_be_shared_is_refused(
    more: list[object], said: str, cli: Cli, toyland: Path, painter: str, tmp_path: Path
) -> None:
    result = cli("sweep", "--model", f"{painter}:Painter", "--dataset", toyland, "--out", tmp_path / "run", *more)
    assert (result.code, said in result.complaint) == (2, True), result.err
    assert not (tmp_path / "run").exists()


@pytest.fixture
def asked(toyland: Path, tmp_path: Path) -> list[str]:
    (tmp_path / "blocks.py").write_text(BLOCKS)
    line = ["sweep", "--model", f"{tmp_path / 'blocks.py'}:Blocks", "--dataset", str(toyland), "-n", str(N)]
    return [*line, "--guidance", "1,2", "--metrics", "fsd", "--keep-samples", "--device", "cpu", "--out"]


def call(command: Sequence[object], **variables: str) -> str:
    """What a real process says; it ends well."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    done = subprocess.run([sys.executable, *map(str, command)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_a_sweep_starts_processes_that_share_it(asked: list[str], tmp_path: Path) -> None:
    call(["-m", "gcbench", *asked, tmp_path / "one", "--jobs", 1])
    (tmp_path / "both").mkdir()
    variables = {"OMP_NUM_THREADS": "2", "TOGETHER": str(tmp_path / "both")}
    said = call(["-m", "gcbench", *asked, tmp_path / "two", "--jobs", 2], **variables)
    assert "2 processes of 1 thread share it." in said
    assert measured(tmp_path / "two") == measured(tmp_path / "one")
    assert Record.read(tmp_path / "two").provenance.processes == 2
    assert Record.read(tmp_path / "one").provenance.processes == 1


@pytest.mark.parametrize(
    "launcher", [["torch.distributed.run"], ["accelerate.commands.launch", "--multi_gpu", "--num_machines", 1]]
)
def test_a_launcher_gives_each_process_its_share(launcher: list[object], asked: list[str], tmp_path: Path) -> None:
    call(["-m", "gcbench", *asked, tmp_path / "one"])
    name = "--nproc-per-node" if "torch" in str(launcher[0]) else "--num_processes"
    module = ["-m", "gcbench"]
    call(["-m", *launcher, name, 2, *module, *asked, tmp_path / "two"])
    assert measured(tmp_path / "two") == measured(tmp_path / "one")
    assert Record.read(tmp_path / "two").provenance.processes == 2


def test_a_helper_ends_with_the_process_that_started_it(asked: list[str], tmp_path: Path) -> None:
    environment = {**os.environ, STARTED_BY: "1", "OMP_NUM_THREADS": "1"}
    line = [sys.executable, "-m", "gcbench", *asked, str(tmp_path / "run"), "--shard", "any"]
    done = subprocess.run(line, env=environment, capture_output=True, text=True)
    assert (done.returncode, "is gone; give its command again" in done.stderr) == (2, True), done.stderr


def test_a_helper_that_is_killed_is_replaced(asked: list[str], tmp_path: Path) -> None:
    """When the first point is written; the second is not drawn before the helper is dead."""
    call(["-m", "gcbench", *asked, tmp_path / "one"])
    line = [sys.executable, "-m", "gcbench", *asked, str(tmp_path / "two"), "--jobs", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "GATE": str(tmp_path / "gate")}
    process = subprocess.Popen(line, env=environment, stderr=subprocess.PIPE, text=True)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if not children.exists():
        pytest.skip("no list of a process's children here")
    while not (tmp_path / "two/record.json").exists():
        assert process.poll() is None
        time.sleep(0.05)
    for child in children.read_text().split():
        os.kill(int(child), 9)
    (tmp_path / "gate").touch()
    _, said = process.communicate()
    assert process.returncode == 0, said
    assert "was killed (signal 9); the others do its shards" in said
    assert measured(tmp_path / "two") == measured(tmp_path / "one")


def test_the_memory_of_a_share_does_not_grow_with_n(asked: list[str], tmp_path: Path) -> None:
    """Of processes that merge nothing: at most 64 KiB more an image shard of 24 KiB pixels would be 100 MiB here."""
    program = "import resource, sys; from gcbench.cli import main\ntry: main()\nexcept SystemExit: pass\n"
    program += "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
    peaks = []
    for n in (64, 2048):
        line = [*asked, tmp_path / str(n), "--shard", "1/2"]
        line[line.index("-n") + 1] = str(n)
        peaks.append(int(call(["-c", program, *line]).strip().splitlines()[-1]) / 1024)
    assert peaks[1] - peaks[0] < 16, peaks  # MiB; the images alone are 24 MiB with their layouts
