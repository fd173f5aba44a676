"""Suites end to end on tiny things: killed and gone on with, with stages that fail; and plans that are none."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli, Result, comparable, content, run_here

import gcbench.commands.suite as run_module
import gcbench.training.trainer as train_module
from gcbench.core import checkpoint
from gcbench.core.errors import UserError
from gcbench.core.record import Record
from gcbench.core.registry import registry
from gcbench.runs.suite_ledger import Ledger, Outcome
from gcbench.runs.suite_plan import Row, Suite, Variant, bundled, find
from gcbench.runs.suite_stages import Job

SMALL = [
    "model.unet.dim=16",
    "model.unet.mults=[1,1]",
    "model.unet.blocks=[1,1]",
    "model.unet.self_attention=[false,false]",
    "model.unet.cross_attention=[false,true]",
    "model.unet.drawing_blocks=1",
    "model.sample_steps=2",
    "train.batch_size=3",
    "train.save_every=4",
]
IMAGES, STEPS = 59, 20  # 20 steps of 3

Run = Callable[..., Result]


def write_suite(path: Path, rows: Sequence[dict[str, Any]], **more: Any) -> Path:
    lines = [f"{key} = {json.dumps(value)}" for key, value in ({"images": IMAGES, "n": 4} | more).items()]
    for row in rows:
        lines += ["[[row]]", *(f"{key} = {json.dumps(value)}" for key, value in row.items())]
    path.write_text("\n".join(lines) + "\n")
    return path


IMAGEN = {"model": "imagen", "name": "small", "train": SMALL, "guidance": [1.0, 3.0]}
REAL = {"model": "real"}


@pytest.fixture
def suite(
    cli: Cli, toyland: Path, tmp_path: Path, oracle: None, without_curve: None, monkeypatch: pytest.MonkeyPatch
) -> Run:
    """`suite(out, rows, …)` runs the suite of `rows` on toyland, its stages in this process."""
    monkeypatch.setattr("gcbench.runs.local_engine.run_stage", run_here)

    def run(out: Path, rows: Sequence[dict[str, Any]] = (IMAGEN, REAL), *options: object, **more: Any) -> Result:
        file = write_suite(tmp_path / "mine.toml", rows, **more)
        return cli("suite", "run", file, "--dataset", toyland, "--out", out, *options)

    return run


def ledger(out: Path) -> Ledger:
    return Ledger.model_validate_json((out / "suite.json").read_text())


def record(run: Path) -> dict[str, Any]:
    return comparable(json.loads((run / "record.json").read_text()))


def without_seconds(found: dict[str, Any]) -> dict[str, Any]:
    return found | {"training": found["training"] and found["training"] | {"seconds": None}}


# ------------------------------------------------------------------------------------------------ end to end


class Killed(BaseException):
    """Stands for a signal: nothing in between catches it."""


def test_killed_in_training_and_in_a_sweep_it_comes_to_the_same_records(
    suite: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    first = suite(whole)
    assert first.code == 0, first.err
    for line in ("train small", "sweep small after train small", "Stage 3 of 3: sweep real"):
        assert line in first.err

    with monkeypatch.context() as patch:
        real_train = train_module.train

        def train(*arguments: Any, tick: Any, **settings: Any) -> Path:
            def stop(step: int, loss: float, speed: float) -> None:
                tick(step, loss, speed)
                if step == 10:
                    raise Killed

            return real_train(*arguments, tick=stop, **settings)

        patch.setattr(train_module, "train", train)
        with pytest.raises(Killed):
            suite(killed)
    assert checkpoint.read_card(killed / "train-small/model.safetensors").provenance["steps"] == 8

    with monkeypatch.context() as patch:
        write = Record.write
        calls: list[int] = []

        def stop_at_the_second(self: Record, path: Path) -> None:
            calls.append(1)
            if len(calls) == 2:
                raise Killed
            write(self, path)

        patch.setattr(Record, "write", stop_at_the_second)
        with pytest.raises(Killed):
            suite(killed)
    assert [stage.kind for stage in ledger(killed).stages] == ["train"]
    assert len(record(killed / "small")["points"]) == 1

    last = suite(killed)
    assert last.code == 0, last.err
    assert "holds the finished training of imagen" in last.err
    assert "1 of 2 points are there already" in last.err
    for name in ("small", "real"):
        assert without_seconds(record(killed / name)) == without_seconds(record(whole / name))

    made = ledger(killed)
    assert (made.suite, made.dataset, made.images, made.n) == ("mine", "toyland", IMAGES, 4)
    assert [(stage.kind, stage.row, stage.status) for stage in made.stages] == [
        ("train", "small", "ok"),
        ("sweep", "small", "ok"),
        ("sweep", "real", "ok"),
    ]
    trained, swept, real = made.stages
    assert (trained.images, swept.images, real.images) == (STEPS * 3, 8, 4)
    assert all(stage.seconds is not None and stage.device for stage in made.stages)
    card = checkpoint.read_card(killed / "train-small/model.safetensors")
    found = Record.read(killed / "small/record.json")
    assert found.training is not None
    assert (found.training.images, found.training.seed) == (STEPS * 3, 0)
    assert found.training.device == card.provenance["device"]
    assert swept.parameters == found.model.parameters
    assert Record.read(killed / "real/record.json").training is None


def test_a_finished_suite_trains_and_draws_nothing(suite: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "run"
    assert suite(out, [REAL]).code == 0
    before = record(out / "real")
    monkeypatch.setattr("gcbench.commands.sweep.measure_point", None)
    assert suite(out, [REAL]).code == 0
    assert record(out / "real") == before


def test_the_table_is_printed_at_the_end(suite: Run, tmp_path: Path) -> None:
    result = suite(tmp_path / "run", [REAL], show="table1")
    assert result.code == 0, result.err
    assert "measured on toyland" in result.out
    assert "ceiling: real pairs" in result.out


def test_another_budget_is_refused_and_fresh_starts_anew(suite: Run, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert suite(out, [REAL]).code == 0
    refused = suite(out, [REAL], "-n", 6)
    assert refused.code == 2
    assert "n: 4 against 6" in refused.complaint
    assert record(out / "real")["protocol"]["n"] == 4
    assert suite(out, [REAL], "-n", 6, "--fresh").code == 0
    assert record(out / "real")["protocol"]["n"] == 6


def test_fresh_with_only_throws_nothing_else_away(suite: Run, tmp_path: Path, painter: str) -> None:
    out, rows = tmp_path / "run", [REAL, {"model": f"{painter}:Plain"}]
    assert suite(out, rows, "--allow-code").code == 0
    records = [out / "real/record.json", out / "Plain/record.json"]
    before = [path.stat().st_mtime_ns for path in records]
    (out / "Plain/mine.txt").touch()
    assert suite(out, rows, "--only", "Plain", "--fresh", "--allow-code").code == 0
    assert [path.stat().st_mtime_ns == time for path, time in zip(records, before, strict=True)] == [True, False]
    assert (out / "Plain/mine.txt").exists()
    assert [stage.row for stage in ledger(out).stages] == ["real", "Plain"]
    again = suite(out, rows, "--only", "Plain", "--fresh", "--allow-code", "-n", 6)
    assert again.code == 2  # the other row has another n


@pytest.mark.parametrize("name", ["real/shards/mine.txt", "train-small/previews/mine.png"])
def test_fresh_refuses_what_no_stage_wrote(suite: Run, tmp_path: Path, name: str) -> None:
    """Before anything is removed."""
    out = tmp_path / "run"
    for folder, mark in (("real", "record.json"), ("train-small", "config.json")):
        (out / folder).mkdir(parents=True)
        (out / folder / mark).touch()
    (out / "real/run.json").write_text('{"files": ["record.json", "shards"]}')
    (out / name).parent.mkdir()
    (out / name).touch()
    before = content(out)
    result = suite(out, (IMAGEN, REAL), "--fresh")
    assert (result.code, name in result.complaint) == (2, True), result.complaint
    assert content(out) == before


def test_an_optional_row_is_made_only_where_it_is_named(suite: Run, tmp_path: Path, painter: str) -> None:
    out, rows = tmp_path / "run", [REAL, {"model": f"{painter}:Plain", "name": "more", "optional": True}]
    first = suite(out, rows, "--allow-code")
    assert (first.code, sorted(path.parent.name for path in out.glob("*/record.json"))) == (0, ["real"]), first.err
    assert suite(out, rows, "--only", "more", "--allow-code").code == 0
    (out / "real" / "mark").touch()
    assert suite(out, rows, "--fresh", "-n", 6).code == 0  # all of the old budget goes, the optional row's too
    assert [path.parent.name for path in out.glob("*/record.json")] == ["real"]
    assert (out / "real" / "mark").exists()  # no stage wrote it
    assert [(stage.row, stage.images) for stage in ledger(out).stages] == [("real", 6)]


# ---------------------------------------------------------------------------------------------------- failing


def test_a_failing_stage_does_not_lose_the_others(suite: Run, tmp_path: Path, painter: str) -> None:
    rows = [
        {"model": "imagen", "name": "broken", "train": [*SMALL, "model.size=[31,64]"]},
        {"model": "imagen", "name": "heir", "weights": "broken"},
        {"model": f"{painter}:TooFew", "name": "too-few"},
        REAL,
    ]
    out = tmp_path / "run"
    result = suite(out, rows, "--allow-code")
    assert result.code == 2
    assert result.complaint.startswith("gcbench: 4 of 5 stages were not made (train broken: setting model.size=")
    assert "sweep heir: the training of broken was not made" in result.complaint
    assert ":TooFew gave 3 images" in result.complaint
    assert (out / "real/record.json").is_file()
    failed = {(stage.kind, stage.row) for stage in ledger(out).stages if stage.status == "failed"}
    assert failed == {("train", "broken"), ("sweep", "broken"), ("sweep", "heir"), ("sweep", "too-few")}
    again = suite(
        out, [*rows[:2], {"model": f"{painter}:Plain", "name": "too-few"}, REAL], "--only", "too-few", "--allow-code"
    )
    assert again.code == 0, again.err  # mended
    assert {(stage.row, stage.status) for stage in ledger(out).stages} >= {("too-few", "ok"), ("broken", "failed")}
    mended = [{**rows[0], "train": SMALL}, {**rows[1], "name": "heir"}, *rows[2:]]
    heir = suite(
        out, mended, "--only", "heir", "--allow-code"
    )  # its training is mended; the sweep of "broken" failed, and is not asked for
    assert heir.code == 0, heir.err
    assert ("sweep", "broken", "failed") in {(stage.kind, stage.row, stage.status) for stage in ledger(out).stages}


@pytest.mark.parametrize(
    ("content", "fragments"),
    [
        ("images = ", ["not valid TOML"]),
        ("n = 4", ["row: Field required"]),
        ("row = []", ["row", "at least 1"]),
        ('[[row]]\nmodel = "real"\nguidence = 1', ["row.0.guidence"]),
        ('[[row]]\nmodel = "real"\n[[row]]\nmodel = "real"', ["two rows are called 'real'"]),
        ('[[row]]\nmodel = "real"\nweights = "ldm"', ["'ldm', which is no earlier row"]),
        ('[[row]]\nmodel = "gcdp"\ntrain = ["train.steps=4"]', ["train.steps of gcdp follows"]),
        ('[[row]]\nmodel = "gcdp"\nname = "a/b"', ["'a/b' must do as a folder's"]),
        ('[[row]]\nmodel = "gcdq"', ["unknown model 'gcdq'"]),
        ('[[row]]\nmodel = "real"\noptional = true', ["all rows are optional"]),
    ],
)
def test_a_file_that_is_no_suite(cli: Cli, content: str, fragments: list[str]) -> None:
    Path("bad.toml").write_text(content)
    result = cli("suite", "run", "bad.toml")
    assert (result.code, result.out) == (2, "")
    assert all(fragment in result.complaint for fragment in fragments), result.complaint
    assert not Path("runs").exists()


@pytest.mark.parametrize("named", ["evil.py:E", "./evil.py:E", "evil.py", "/nowhere/evil.py:E"])
def test_a_suite_runs_a_file_only_if_that_is_allowed(cli: Cli, named: str) -> None:
    Path("evil.py").write_text('open("was-run", "w").close()\nfrom gcbench.baselines.real import Real as E\n')
    Path("mine.toml").write_text(f'[[row]]\nmodel = "real"\n[[row]]\nmodel = "{named}"\nname = "e"\n')
    result = cli("suite", "run", "mine.toml", "-n", 4)
    assert (result.code, result.out) == (2, "")
    assert result.complaint == (f"gcbench: the suite mine would run code of {named}; add --allow-code if you trust it")
    assert not Path("was-run").exists()
    assert not Path("runs").exists()
    suite = find("mine.toml")
    assert [row.name for row in suite.check_code("real", False)] == ["real"]  # the other row is not asked for
    assert [row.name for row in suite.check_code(None, True)] == ["real", "e"]


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        (["tabel1"], "no suite is called 'tabel1'; choose table1"),
        (["absent.toml"], "absent.toml cannot be read"),
        (["table1", "--only", "lafite"], "no such row; choose among gcdp-unconditional"),
        (["table1", "--images", "0"], "--images 0"),
        (["table1", "-n", "1"], "-n 1"),
        (["table1", "--device", "abacus"], "--device 'abacus'"),
    ],
)
def test_mistakes_are_one_sentence(cli: Cli, arguments: list[str], fragment: str) -> None:
    result = cli("suite", "run", *arguments)
    assert (result.code, result.out) == (2, "")
    assert fragment in result.complaint
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("sample", "fragment"),
    [
        ("sampler.posterior=hard", "sampler.posterior"),
        ("sampler.posteriors=soft", "did you mean sampler.posterior?"),
        ("sampler.posterior", "lacks '='"),
    ],
)
def test_a_wrong_sampler_is_refused_before_anything_is_trained(
    suite: Run, tmp_path: Path, sample: str, fragment: str
) -> None:
    result = suite(tmp_path / "run", [{"model": "gcdp", "name": "mine", "train": SMALL, "sample": [sample]}])
    assert (result.code, result.out) == (2, "")
    assert "`sample` of mine" in result.complaint
    assert fragment in result.complaint
    assert not (tmp_path / "run").exists()


# ------------------------------------------------------------------------------------------------------ plans


def test_the_bundled_suites(cli: Cli) -> None:
    suites = bundled()
    assert {name: suite.images for name, suite in suites.items()} == {
        **{"table1": 48_000, "table1-small": 48_000, "figure6": 32_000, "claim": 128_000, "claim-trials": 96_000},
    }
    assert [row.name for row in suites["table1"].row] == [
        *("gcdp-unconditional", "semantic-palette", "dataset-ddpm", "ganformer", "real", "semantic-gan", "dataset-gan"),
    ]
    assert [row.name for row in suites["table1"].row if row.optional] == ["semantic-gan", "dataset-gan"]
    assert [row.name for row in suites["figure6"].row] == ["gcdp", "imagen", "ldm", "lafite", "ldm-reconstruction"]
    assert {row.model for suite in suites.values() for row in suite.row} <= {*registry("models")}
    shown = cli("suite", "list")
    assert shown.code == 0
    assert {"figure6", "table1"} <= set(shown.out.split())
    for command in ("suite list", "suite run", "suite"):
        assert "Usage" in cli(*command.split(), "--help").out


def test_only_what_is_needed_is_trained() -> None:
    rows = [Row(model="gcdp"), Row(model="gcdp", name="heir", weights="gcdp"), Row(model="real")]
    suite = Suite(name="s", images=100, n=10, row=rows)

    def planned(only: str | None) -> list[tuple[str, str]]:
        job = Job(suite, "toyland", Path("out"), "cpu", (), {"gcdp": 10})
        stages = job.stages([Variant(row) for row in suite.chosen(only)])
        assert stages[-1].kind == "table"
        return [(stage.kind, stage.name) for stage in stages[:-1]]

    everything = [("train", "gcdp"), *(("sweep", name) for name in ("gcdp", "heir", "real"))]
    assert planned(None) == everything
    assert planned("heir") == [("train", "gcdp"), ("sweep", "heir")]
    assert planned("real") == [("sweep", "real")]
    assert planned("gcdp") == everything[:3]  # by model: both rows


def test_a_suite_is_found_by_name_or_file(tmp_path: Path) -> None:
    assert find("table1").show == "table1"
    assert find(str(write_suite(tmp_path / "own.toml", [REAL]))).name == "own"
    with pytest.raises(UserError, match="give a file that ends in"):
        find("own")


def test_the_estimate_scales_what_the_bundled_run_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toyland: Path
) -> None:
    from gcbench.data.open_dataset import open_dataset

    monkeypatch.setattr(run_module, "files", lambda package: tmp_path)
    suite = Suite(name="s", images=100, n=10, row=[Row(model="gcdp")])
    todo, dataset = [Variant(suite.row[0])], open_dataset(str(toyland))
    assert run_module._estimate(suite, dataset, todo) is None
    held = Ledger(suite="s", dataset="toyland", dataset_version="1", images=200, n=20)
    held.put(Outcome(kind="train", row="gcdp", model="gcdp", seconds=3600, device="cpu X"))
    held.write(tmp_path / "measured/toyland/s")
    assert run_module._estimate(suite, dataset, todo) is None  # the sweep is not known
    held.put(Outcome(kind="sweep", row="gcdp", model="gcdp", seconds=1200, device="cpu X"))
    held.write(tmp_path / "measured/toyland/s")
    assert "takes 40 min on cpu X" in str(run_module._estimate(suite, dataset, todo))
