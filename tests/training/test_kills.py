"""Trainings that are killed, at any call that touches a file, at any time, by any signal, go on to the same bits."""

import csv
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from test_trainer import Brightness, Toy
from torch import Tensor, nn

from gcbench.core import checkpoint, metric_state
from gcbench.core.errors import Stopped
from gcbench.data.contact_sheet import save_png
from gcbench.training.pairs import Pairs
from gcbench.training.trainer import train
from gcbench.training.training_state import tensors_of

STEPS = 9


class Drawn(Brightness):
    """Noise of its own, a dropout, and previews that show its weights and a random number."""

    def __init__(self, **settings: Any):
        super().__init__(
            noisy=True, **{"steps": STEPS, "preview_every": 2, "log_every": 2, "keep_every": 4, **settings}
        )
        self.body.insert(2, nn.Dropout(0.3))
        self.pause = 0.0

    def forward(self, *args: Any) -> dict[str, Tensor]:
        time.sleep(self.pause)
        return super().forward(*args)

    def preview(self, path: Path) -> None:
        values = torch.cat([tensor.flatten() for tensor in self.weights().values()] + [torch.rand(9)])
        save_png(path, (values * 100 % 256).to(torch.uint8).repeat(3, 2, 1))


PAIRS = Pairs(Toy(), "train", (8, 8))


def forked(act: Callable[[], object]) -> int:
    """Do it in a process of its own, and return that one's id."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            act()
            code = 0
        except Stopped as error:
            code = 128 + error.signal
        finally:
            os._exit(code)
    return pid


def code_of(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def files(out: Path) -> dict[str, Any]:
    """All that a training leaves: tensors as bytes, the log without its speeds, previews as bytes."""
    state = torch.load(out / "state.pt", weights_only=True)
    with open(out / "log.csv", newline="") as stream:
        rows = [{**row, "images_per_second": None} for row in csv.DictReader(stream)]
    kept = {path.name: load_file(path) for path in (out / "kept").glob("*.safetensors")}
    tensors = (
        load_file(out / "model.safetensors")
        | dict(tensors_of(kept))
        | dict(tensors_of([state["module"], state["ema"]]))
    )
    return {
        "names": sorted(str(path.relative_to(out)) for path in out.rglob("*")),
        "tensors": {name: tensor.numpy().tobytes() for name, tensor in tensors.items()},
        "optimizers": repr(state["optimizers"]),
        "log": rows,
        "card": {key: value for key, value in checkpoint.read_card(out / "model.safetensors") if key != "provenance"},
        "previews": {path.name: path.read_bytes() for path in (out / "previews").iterdir()},
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("whole") / "run"
    train(Drawn(), PAIRS, out, provenance={})
    assert sorted(path.name for path in out.iterdir()) == [
        *(
            "config.json",
            "kept",
            "log.csv",
            "model.json",
            "model.safetensors",
            "previews",
            "state.before.pt",
            "state.pt",
        ),
    ]
    assert len(list((out / "previews").iterdir())) == 5
    return files(out)


def usable(out: Path) -> None:
    """Between a kill and what comes next, the weights are whole or not there yet."""
    if (out / "model.safetensors").exists():
        checkpoint.load(out, kind="model")


@pytest.mark.parametrize("stride", [13, pytest.param(1, marks=pytest.mark.slow)])
def test_a_kill_before_or_after_any_call_that_touches_a_file(
    whole: dict[str, Any], tmp_path: Path, stride: int
) -> None:
    """Of os.replace, os.open, torch.save and save_file: each of them once, and then one while it goes on."""
    kills = 0
    for moment in range(1, 500, stride):
        out = tmp_path / str(moment)

        def killed(moment: int = moment, out: Path = out) -> None:
            left = moment

            def dying(function: Callable[..., Any]) -> Callable[..., Any]:
                def call(*args: Any, **settings: Any) -> Any:
                    nonlocal left
                    left -= 1
                    if left == 0:
                        os._exit(9)
                    out = function(*args, **settings)
                    left -= 1
                    if left == 0:
                        os._exit(9)
                    return out

                return call

            for owner, name in ((os, "replace"), (os, "open"), (torch, "save"), (metric_state, "save_file")):
                setattr(owner, name, dying(getattr(owner, name)))
            train(Drawn(), PAIRS, out, provenance={}, resume=True)

        code = code_of(forked(killed))
        usable(out)
        if code == 9:
            kills += 1
            second = code_of(forked(lambda out=out: killed(7, out)))  # type: ignore[misc]
            assert second in (0, 9)
            usable(out)
        train(Drawn(), PAIRS, out, provenance={}, resume=True)
        assert files(out) == whole, f"killed at call {moment}"
        shutil.rmtree(out)
        if code == 0:
            break
    assert code == 0
    print(f"{kills} places, and as many kills while going on")
    assert kills > 60 // stride


def kill_at_random(whole: dict[str, Any], out: Path, rng: random.Random, number: int) -> tuple[int, list[int]]:
    """Kill a training with signal `number` again and again until it is done; how often, and the exit codes."""
    codes = []
    while True:

        def begin() -> None:
            recipe = Drawn()
            recipe.pause = 0.03
            train(recipe, PAIRS, out, provenance={}, resume=True)

        pid = forked(begin)
        time.sleep(rng.uniform(0.0, 0.12))
        os.kill(pid, number)
        codes.append(code_of(pid))
        usable(out)
        if codes[-1] == 0 or len(codes) > 40:
            break
    train(Drawn(), PAIRS, out, provenance={}, resume=True)
    assert files(out) == whole
    return len(codes) - 1, codes


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_kills_at_random_moments(whole: dict[str, Any], tmp_path: Path, number: int) -> None:
    kills, codes = kill_at_random(whole, tmp_path / "run", random.Random(number), number)
    assert kills >= 1
    known = {0, 9 - 18} if number == signal.SIGKILL else {0, 128 + number, -number, 1}
    assert set(codes) <= known  # before the first step a signal does what it does to any process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_lets_the_step_end_and_saves_it(whole: dict[str, Any], tmp_path: Path, number: int) -> None:
    def ask(step: int, loss: float, speed: float) -> None:
        if step == 5:
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    with pytest.raises(Stopped, match=r"^stopped at step 5$") as stopped:
        train(Drawn(), PAIRS, tmp_path / "run", provenance={}, tick=ask)
    assert stopped.value.signal == number
    assert signal.getsignal(number) == before
    assert torch.load(tmp_path / "run" / "state.pt", weights_only=True)["step"] == 5
    assert checkpoint.read_card(tmp_path / "run" / "model.safetensors").provenance["steps"] == 5
    train(Drawn(), PAIRS, tmp_path / "run", provenance={}, resume=True)
    assert files(tmp_path / "run") == whole


def test_a_second_signal_stops_at_once_and_loses_nothing_saved(whole: dict[str, Any], tmp_path: Path) -> None:
    class Hangs(Drawn):
        def forward(self, *args: Any) -> dict[str, Tensor]:
            if len(self.seen) == 5:
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGTERM)
            return super().forward(*args)

    with pytest.raises(Stopped, match=r"^stopped$") as stopped:
        train(Hangs(), PAIRS, tmp_path / "run", provenance={})
    assert stopped.value.signal == signal.SIGTERM
    assert torch.load(tmp_path / "run" / "state.pt", weights_only=True)["step"] == 3
    train(Drawn(), PAIRS, tmp_path / "run", provenance={}, resume=True)
    assert files(tmp_path / "run") == whole


def test_a_signal_in_the_last_step_ends_a_whole_training(whole: dict[str, Any], tmp_path: Path) -> None:
    def ask(step: int, loss: float, speed: float) -> None:
        if step == STEPS:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Stopped, match=f"at step {STEPS}"):
        train(Drawn(), PAIRS, tmp_path / "run", provenance={}, tick=ask)
    assert files(tmp_path / "run") == whole


def test_ignored_signals_stay_ignored(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        train(Drawn(), PAIRS, tmp_path / "run", provenance={}, tick=lambda *_: os.kill(os.getpid(), signal.SIGHUP))
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_missed_preview_is_drawn_and_none_is_drawn_again(whole: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "run"
    train(Drawn(), PAIRS, out, provenance={})
    last = out / "previews" / f"{STEPS:07d}.png"
    last.unlink()
    train(Drawn(), PAIRS, out, provenance={}, resume=True)
    assert last.read_bytes() == whole["previews"][last.name]
    recipe = Drawn()
    recipe.preview = lambda path: pytest.fail("drawn again")  # type: ignore[method-assign]
    train(recipe, PAIRS, out, provenance={}, resume=True)


if __name__ == "__main__":  # python tests/training/test_kills.py 100: so many kills of each kind
    import tempfile
    from collections import Counter

    with tempfile.TemporaryDirectory() as folder:
        train(Drawn(), PAIRS, Path(folder) / "whole", provenance={})
        expected, done = files(Path(folder) / "whole"), Counter[str]()
        for seed in range(10**6):
            kind = (signal.SIGKILL, signal.SIGTERM)[seed % 2]
            kills, codes = kill_at_random(expected, Path(folder) / str(seed), random.Random(seed), kind)
            done[kind.name] += kills
            done["trainings compared"] += 1
            shutil.rmtree(Path(folder) / str(seed))
            if min(done[name] for name in ("SIGKILL", "SIGTERM")) >= int(sys.argv[1]):
                break
        print(dict(done), "differences: 0")
