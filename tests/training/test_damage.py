"""What a training resumes from, damaged in any way: one sentence that names the file, and nothing lost."""

import json
import os
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_kills import PAIRS, Drawn, code_of, files, forked
from test_trainer import Brightness

from gcbench.core.errors import UserError
from gcbench.training.trainer import train


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training of 9 steps: states of steps 9 and 6, a log of 5 rows."""
    out = tmp_path_factory.mktemp("whole") / "run"
    train(Drawn(), PAIRS, out, provenance={})
    return out


def resume(out: Path, **settings: Any) -> None:
    train(Drawn(**settings), PAIRS, out, provenance={}, resume=True)


def content(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def refused(out: Path, name: str, **settings: Any) -> str:
    """The one sentence with which a resumed training refuses; it names the file, and changes none."""
    before = content(out)
    with pytest.raises(UserError) as caught:
        resume(out, **settings)
    text = str(caught.value)
    assert "\n" not in text
    assert str(out / name) in text
    assert "; " in text
    assert content(out) == before
    return text


class Code:
    def __reduce__(self) -> Any:
        return os.mkdir, ("ran",)


def nan(path: Path) -> None:
    state = torch.load(path, weights_only=True)
    state["ema"]["body.1.bias"][0] = torch.nan
    torch.save(state, path)


def keyed(**changes: Any) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        torch.save({**torch.load(path, weights_only=True), **changes}, path)

    return change


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


DAMAGE: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "zeros": lambda path: path.write_bytes(bytes(5000)),
    "garbage": lambda path: path.write_bytes(bytes(range(256)) * 20),
    "text": lambda path: path.write_text("step,loss\n1,x\n"),
    "other json": lambda path: path.write_text("[1, 2]"),
    "code": lambda path: torch.save({"step": Code()}, path),
    "a folder": as_folder,
    "a dangling link": dangling,
    "a tensor": lambda path: torch.save(torch.zeros(3), path),
    "weights alone": lambda path: torch.save({"weight": torch.zeros(3)}, path),
    "another's": lambda path: shutil.copy(path.with_name("model.safetensors"), path),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", ["state.pt", "config.json", "log.csv"])
def test_damaged_files(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, damage: str) -> None:
    """Each is refused; what the sentence says helps, to the same bits as if nothing had been."""
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    DAMAGE[damage](out / name)
    if name == "config.json" and damage == "a dangling link":
        resume(out)  # it is written where the link points
        return
    text = refused(out, name)
    assert not (tmp_path / "ran").exists()
    file = out / name
    if name == "state.pt":
        assert f"move {out / 'state.before.pt'} onto it" in text
        file.rmdir() if file.is_dir() else None
        os.replace(out / "state.before.pt", file)
    else:
        assert "delete it, and --resume writes it anew" in text
        file.rmdir() if file.is_dir() else file.unlink()
    resume(out)
    got, wanted = files(out), files(whole)
    assert {**got, "names": 0} == {**wanted, "names": 0}
    assert (out / "state.before.pt").exists() or name == "state.pt"


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (nan, r"not finite \(ema\.body\.1\.bias\)"),
        (keyed(format=99), "newer version of gcbench"),
        (keyed(step="9"), "holds no 'step'"),
        (keyed(module={}), "of another network"),
        (keyed(module={"body.1.weight": torch.zeros(2)}), "of another network"),
        (keyed(ema={}), "of another network"),
        (keyed(optimizers={}), "of another network"),
        (keyed(plan={"train": {"lr": 7.0}, "card": {}}), "other settings"),
    ],
)
def test_states_of_others(whole: Path, tmp_path: Path, damage: Callable[[Path], None], match: str) -> None:
    shutil.copytree(whole, tmp_path / "run")
    damage(tmp_path / "run" / "state.pt")
    with pytest.raises(UserError, match=match):
        resume(tmp_path / "run")
    refused(tmp_path / "run", "state.pt")


@given(st.data())
def test_every_length_of_truncation(whole: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """A cut state or config is refused; a cut log is, or its rows were whole, and is written again."""
    name = data.draw(st.sampled_from(["state.pt", "config.json", "log.csv"]))
    text = (whole / name).read_bytes()
    cut = data.draw(st.integers(0, len(text) - 1))
    out = tmp_path_factory.mktemp("cut") / "run"
    shutil.copytree(whole, out)
    (out / name).write_bytes(text[:cut])
    if name != "config.json" or json_ends(text[:cut]):
        try:
            resume(out)
        except UserError:
            refused(out, name)
        else:
            assert name != "state.pt"
            assert content(out) == content(whole)
    else:
        refused(out, name)
    shutil.rmtree(out)


def json_ends(text: bytes) -> bool:
    try:
        return json.loads(text) is not None
    except ValueError:
        return False


def test_missing_files(whole: Path, tmp_path: Path) -> None:
    """Without the newest state the one before serves; without any, weights are not written over."""
    for gone in (
        ["state.pt"],
        ["config.json"],
        ["log.csv"],
        ["model.json"],
        ["model.safetensors"],
        ["state.before.pt"],
    ):
        shutil.copytree(whole, out := tmp_path / gone[0])
        (out / gone[0]).unlink()
        with pytest.raises(UserError, match="already holds"):
            train(Drawn(), PAIRS, out, provenance={})
        resume(out)
        assert {**files(out), "names": 0} == {**files(whole), "names": 0}
    shutil.copytree(whole, out := tmp_path / "none")
    for name in ("state.pt", "state.before.pt"):
        (out / name).unlink()
    assert "is missing" in refused(out, "state.pt")
    shutil.copytree(whole, out := tmp_path / "other")
    (out / "config.json").unlink()
    assert "other settings" in refused(out, "state.pt", lr=0.01)


def test_a_run_of_an_earlier_format_goes_on(whole: Path, tmp_path: Path) -> None:
    """Its state had no rows of the log, which then must be there and whole."""
    shutil.copytree(whole, out := tmp_path / "run")
    state = torch.load(out / "state.before.pt", weights_only=True)
    for key in ("format", "rows", "plan"):
        del state[key]
    torch.save(state, out / "state.pt")
    kept = (out / "log.csv").read_bytes()
    (out / "log.csv").unlink()
    assert "copy it again" in refused(out, "log.csv")
    (out / "log.csv").write_bytes(kept)
    resume(out)
    assert {**files(out), "names": 0} == {**files(whole), "names": 0}


@pytest.mark.parametrize("lr", [1e9, 1e30])
def test_weights_that_are_not_finite_never_take_the_place_of_good_ones(tmp_path: Path, lr: float) -> None:
    """At 1e9 a weight is finite as it is trained and infinite as it is stored."""
    train(Brightness(steps=3), PAIRS, tmp_path / "run", provenance={})
    before = content(tmp_path / "run")
    (tmp_path / "run" / "config.json").unlink()

    with pytest.raises(UserError, match=r"lower train\.lr or set train\.precision=fp32; .*step 3"):
        train(Grown(lr), PAIRS, tmp_path / "run", provenance={}, resume=True)
    after = content(tmp_path / "run")
    assert all(after[name] == before[name] for name in before if name != "config.json")


class Grown(Brightness):
    """From step 3 on its weights are multiplied by a number."""

    def __init__(self, factor: float):
        super().__init__(steps=9)
        self.factor = factor

    def forward(self, *args: Any) -> dict[str, torch.Tensor]:
        with torch.no_grad():
            for parameter in self.body.parameters():
                parameter.mul_(self.factor)
        return super().forward(*args)


@pytest.mark.parametrize("limit", [2_000, 4_500, 7_000, 9_000, 12_000])
def test_a_full_disk_keeps_what_was_saved(whole: Path, tmp_path: Path, limit: int) -> None:
    """No file may grow beyond the limit: one sentence, the last state whole, nothing left over; and it goes on."""
    out = tmp_path / "run"

    def begin(steps: int) -> None:
        train(Drawn(), PAIRS, out, provenance={}, resume=True, tick=lambda step, *_: full(step == steps))

    def full(now: bool) -> None:
        if now:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    def report() -> None:
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            begin(4)
        except UserError as error:
            os.write(write, str(error).encode())

    read, write = os.pipe()
    assert code_of(forked(report)) == 0
    os.close(write)
    text = os.read(read, 10_000).decode()
    os.close(read)
    largest = max(path.stat().st_size for path in whole.rglob("*") if path.is_file())
    if limit < largest:
        assert text.startswith("cannot write ")
        assert text.endswith(f"step 3 is kept in {out}")
        assert "\n" not in text
        assert not [path for path in out.rglob("*") if path.name.endswith(".tmp")]
    else:
        assert text == ""
    resume(out)
    assert files(out) == files(whole)
