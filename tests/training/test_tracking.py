"""Trackers hear what the log says. Each test that needs a tracker's package skips without it."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.tracking import LOGGER_TYPE_TO_CLASS
from test_trainer import Brightness, Toy, rows

from gcbench.core.errors import UserError
from gcbench.data.contact_sheet import save_png
from gcbench.training.pairs import Pairs
from gcbench.training.tracking import Tracked
from gcbench.training.trainer import train


class Shown(Brightness):
    def preview(self, path: Path) -> None:
        save_png(path, torch.arange(48, dtype=torch.uint8).view(3, 4, 4))


def shown(track: str, **settings: Any) -> Shown:
    return Shown(track=track, preview_every=5, log_every=2, **settings)


@pytest.fixture
def pairs() -> Pairs:
    return Pairs(Toy(), "train", (8, 8))


class StandIn:
    """In the place of a tracker's class."""

    said: list[tuple[Any, ...]]

    def __init__(self, project: str, **options: Any):
        StandIn.said = [("began", project, options)]

    def start(self) -> None: ...

    def log(self, values: dict[str, Any], step: int) -> None:
        StandIn.said.append(("row", step, values))

    def log_images(self, values: dict[str, Any], step: int, **options: Any) -> None:
        StandIn.said.append(("image", step, np.asarray(values["preview"]).reshape(4, 4, 3)))

    def finish(self) -> None:
        StandIn.said.append(("ended",))


@pytest.mark.parametrize("name", ["tensorboard", "trackio", "wandb"])
def test_it_hears_every_row_and_preview(
    pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(LOGGER_TYPE_TO_CLASS, name, StandIn)
    module = SimpleNamespace(Image=lambda pixels: pixels, __spec__=object())
    monkeypatch.setitem(sys.modules, name, module)  # type: ignore[arg-type]
    monkeypatch.delenv("WANDB_MODE", raising=False)
    train(shown(name), pairs, tmp_path / "run", provenance={})
    assert StandIn.said[0][:2] == ("began", "gcbench")
    assert StandIn.said[-1] == ("ended",)
    told = {step: values for kind, step, values in StandIn.said[1:-1] if kind == "row" and "loss" in values}
    assert list(told) == [2, 4, 6, 8, 10]
    for row in rows(tmp_path / "run"):
        assert told[int(row["step"])] == {key: float(value) for key, value in row.items() if key != "step"}
    images = [
        (step, values["preview"] if kind == "row" else values)
        for kind, step, values in StandIn.said[1:-1]
        if kind == "image" or "preview" in values
    ]
    assert [step for step, _ in images] == [5, 10]
    assert (images[0][1] == np.arange(48).reshape(3, 4, 4).transpose(1, 2, 0)).all()


@pytest.mark.parametrize(
    ("name", "package"), [("tensorboard", "tensorboard"), ("trackio", "'gcbench[track]'"), ("wandb", "wandb")]
)
def test_a_tracker_that_is_not_there(
    pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, package: str
) -> None:
    monkeypatch.setattr("gcbench.training.tracking.find_spec", lambda name: None)
    with pytest.raises(UserError) as refused:
        train(shown(name), pairs, tmp_path / "run", provenance={})
    assert str(refused.value) == f"setting train.track={name!r}: it needs {name}; run pip install {package}"
    assert not (tmp_path / "run").exists()


def test_one_that_fails_does_not_end_the_training(
    pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken(StandIn):
        def log(self, values: dict[str, Any], step: int) -> None:
            raise OSError("no space left")

    monkeypatch.setitem(LOGGER_TYPE_TO_CLASS, "wandb", Broken)
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(__spec__=object()))  # type: ignore[arg-type]
    train(shown("wandb"), pairs, tmp_path / "run", provenance={})
    assert len(rows(tmp_path / "run")) == 5
    assert capsys.readouterr().err.count("Tracking by wandb failed (OSError: no space left)") == 1


def test_tensorboard_reads_what_was_told(pairs: Pairs, tmp_path: Path) -> None:
    """After a resumed training too: each step once."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(shown("tensorboard", steps=5), pairs, tmp_path / "run", provenance={})
    train(shown("tensorboard"), pairs, tmp_path / "run", provenance={}, resume=True)
    found = EventAccumulator(str(tmp_path / "run" / "track" / "gcbench"))
    found.Reload()
    told = {event.step: event.value for event in found.Scalars("loss")}
    assert told == pytest.approx({int(row["step"]): float(row["loss"]) for row in rows(tmp_path / "run")}, rel=1e-6)
    assert [event.step for event in found.Images("preview")] == [5, 10]


def test_trackio_keeps_what_was_told(pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("trackio")
    from trackio.sqlite_storage import SQLiteStorage

    for module in list(sys.modules.values()):
        for name in ("TRACKIO_DIR", "MEDIA_DIR"):
            if module.__name__.startswith("trackio") and hasattr(module, name):
                monkeypatch.setattr(module, name, tmp_path / "trackio" / ("media" if name == "MEDIA_DIR" else ""))
    train(shown("trackio"), pairs, tmp_path / "run", provenance={})
    logged = SQLiteStorage.get_logs("gcbench", "run")
    losses = {entry["step"]: entry["loss"] for entry in logged if "loss" in entry}
    assert losses == pytest.approx({int(row["step"]): float(row["loss"]) for row in rows(tmp_path / "run")})
    assert [entry["step"] for entry in logged if "preview" in entry] == [5, 10]


def test_wandb_is_offline_unless_told_otherwise(pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    train(shown("wandb"), pairs, tmp_path / "run", provenance={})
    assert len(list((tmp_path / "run" / "track" / "wandb").glob("offline-run-*/*.wandb"))) == 1


def test_nothing_is_told_to_none(tmp_path: Path) -> None:
    with Tracked("", tmp_path, {}, 0) as tracked:
        tracked.row({"step": 1, "loss": 2.0})
    assert not list(tmp_path.iterdir())
