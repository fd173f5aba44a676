"""A run directory is one writer's, and only what runs wrote there is ever overwritten or removed."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Cli, Result, content
from PIL import Image

from gcbench.core.errors import UserError
from gcbench.core.files import write_atomic
from gcbench.runs.lock import Lock

pytestmark = pytest.mark.usefixtures("oracle", "without_curve")
Run = Callable[..., Result]


@pytest.fixture
def sweep(cli: Cli, toyland: Path, painter: str) -> Run:
    asked = ["--model", f"{painter}:Painter", "--dataset", toyland, "-n", 4, "--guidance", 1, "--metrics", "fsd"]
    return lambda *more: cli("sweep", *asked, "--out", "run", *more)


@pytest.fixture
def sample(cli: Cli, toyland: Path, painter: str) -> Run:
    asked = ["--model", f"{painter}:Painter", "--dataset", toyland, "-n", 20, "--out", "run"]
    return lambda *more: cli("sample", *asked, *more)


@pytest.mark.parametrize("fresh", [(), ("--fresh",)])
@pytest.mark.parametrize(
    "name",
    [
        "record.json",
        "scores.csv",
        "per_sample.csv",
        "grid.png",
        "curve.png",
        "samples/mine.png",
        "shards/a",
        "record.json/a",
    ],
)
def test_a_strangers_file_is_refused(sweep: Run, name: str, fresh: tuple[str, ...]) -> None:
    """With or without --fresh: no run of ours is known there."""
    place = Path("run") / name
    place.parent.mkdir(parents=True)
    place.write_text("{}")
    result = sweep("--keep-samples", *fresh)
    assert result.code == 2
    assert str(Path("run") / name.partition("/")[0]) in result.complaint
    assert content(Path("run")) == {name: b"{}"}


def test_fresh_keeps_a_strangers_samples(sweep: Run) -> None:
    """A run without --keep-samples has none, so that the folder of that name is somebody's own."""
    mine = Path("run/samples/guidance-1/images/000000.png")
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    assert sweep().code == 0
    assert sweep("--fresh").code == 0
    assert mine.read_bytes() == b"mine"
    assert "no run of gcbench wrote it" in sweep("--fresh", "--keep-samples").complaint


def test_fresh_removes_what_a_kill_left(sweep: Run) -> None:
    assert sweep("--keep-samples").code == 0
    writing = Path("run/samples/guidance-1/images/000001.png")

    def killed(temporary: Path) -> None:
        temporary.write_bytes(b"half")
        shutil.copy(temporary, temporary.with_suffix(".copy"))  # what stays where nothing tidies up
        left.append(temporary)

    left: list[Path] = []
    write_atomic(writing, killed)
    left[0].with_suffix(".copy").rename(left[0])
    assert sweep("--keep-samples", "--fresh").code == 0
    assert not left[0].exists()


@pytest.mark.parametrize("name", ["samples/notes.txt", "samples/guidance-1/images/cat.png", "shards/notes.txt"])
def test_fresh_refuses_what_it_did_not_write(sweep: Run, name: str) -> None:
    assert sweep("--keep-samples").code == 0
    place = Path("run") / name
    place.parent.mkdir(exist_ok=True)
    place.write_text("mine")
    before = content(Path("run"))
    result = sweep("--keep-samples", "--fresh")
    assert (result.code, "which no run of gcbench wrote" in result.complaint) == (2, True)
    assert content(Path("run")) == before


@pytest.mark.parametrize("linked", [False, True])
def test_fresh_keeps_what_it_reads(sweep: Run, cli: Cli, toyland: Path, linked: bool) -> None:
    assert sweep("--keep-samples").code == 0
    images = Path("run/samples/guidance-1/images")
    if linked:
        Path("link").symlink_to(images)
        images = Path("link")
    before = content(Path("run"))
    asked = ["--images", images, "--dataset", toyland, "--metrics", "fsd"]
    assert "--fresh would remove --images" in cli("evaluate", *asked, "--out", "run", "--fresh").complaint
    assert "is what is evaluated" in cli("evaluate", *asked, "--out", images).complaint
    assert content(Path("run")) == before


def test_a_run_of_an_older_gcbench_is_known_by_its_record(sweep: Run) -> None:
    assert sweep("--keep-samples").code == 0
    Path("run/run.json").unlink()
    assert sweep("--keep-samples", "--guidance", "1,2").code == 0
    Path("run/run.json").unlink()
    assert sweep("--fresh").code == 0
    assert not Path("run/samples").exists()


@pytest.mark.parametrize(
    "command",
    [
        ("train", "--model", "gcdp", "--steps", 1, "--device", "cpu", "--dataset"),
        ("train", "--model", "gcdp", "--steps", 1, "--device", "cpu", "--resume", "--dataset"),
        ("data", "export"),
        ("data", "prepare", "--size", "8x8"),
        ("suite", "run", "table1", "--dataset"),
    ],
)
def test_one_writer_at_a_time(cli: Cli, toyland: Path, command: tuple[str, ...]) -> None:
    with Lock(Path("run")):
        result = cli(*command, toyland, "--out", "run")
        assert (result.code, result.complaint.count("another process writes into run")) == (2, 1)
        assert list(content(Path("run"))) == [".lock"]


def test_the_lock_sees_through_links_and_outlives_no_process(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "link").symlink_to("run")
    (tmp_path / "run/.lock").touch()  # of a process that was killed
    with Lock(tmp_path / "run"), pytest.raises(UserError, match="another process writes"), Lock(tmp_path / "link"):
        pass
    with Lock(tmp_path / "link"):
        pass
    assert not list((tmp_path / "run").iterdir())


def test_a_directory_that_is_removed_meanwhile(sweep: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said, and no part of a run appears where the whole was removed."""
    import gcbench.commands.sweep as module

    real = module.measure_point

    def removing(*arguments: object, **settings: object) -> object:
        point = real(*arguments, **settings)  # type: ignore[arg-type]
        shutil.rmtree("run")
        return point

    monkeypatch.setattr(module, "measure_point", removing)
    result = sweep()
    assert (result.code, "run was removed while it was written" in result.complaint) == (2, True)
    assert not Path("run").exists()


def test_sample_draws_what_is_missing(sample: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from gcbench.evaluation.generation import Generator

    assert sample().code == 0
    whole = content(Path("run"))
    drawn: list[range] = []
    real = Generator.batches

    def batches(self: Generator, guidance: float | None, places: range) -> object:
        drawn.append(places)
        return real(self, guidance, places)

    monkeypatch.setattr(Generator, "batches", batches)
    assert sample().code == 0
    Path("run/images/000009.png").unlink()
    Path("run/layouts/000017.png").write_bytes(b"")
    assert sample().code == 0
    assert content(Path("run")) == whole
    assert drawn == [range(8, 16), range(16, 20)]
    assert "holds another run (seed: 0 against 1)" in sample("--seed", 1).complaint
    assert "sampler guidance: '3' against '2'" in sample("--guidance", 2).complaint
    assert content(Path("run")) == whole
    assert sample("--seed", 1, "--fresh").code == 0
    assert np.array(Image.open("run/images/000000.png")).shape == (32, 64, 3)
