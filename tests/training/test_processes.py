"""Trainings on two processes: the gradient is the whole batch's, and what ends one process ends both, with one word."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from test_trainer import Brightness, Toy, rows

from gcbench.core import checkpoint
from gcbench.training.pairs import Pairs
from gcbench.training.trainer import train

SCRIPT = """
import os, signal, sys
from pathlib import Path
import torch
sys.path.insert(0, sys.argv[1])
from test_trainer import Brightness, Toy
from gcbench.core.errors import UserError
from gcbench.training.pairs import Pairs
from gcbench.training.trainer import train

rank = int(os.environ["RANK"])
pairs = Pairs(Toy(), "train", (8, 8))

class NaN(Brightness):
    def forward(self, *args):
        values = super().forward(*args)
        return {**values, "loss": values["loss"] * (torch.nan if rank == 1 and len(self.seen) == 5 else 1)}

def ask(step, loss, speed):
    if rank == 1 and step == 5:
        os.kill(os.getpid(), signal.SIGTERM)

def full(*_):
    raise RuntimeError("unexpected pos 64 vs 0")

def case(name, recipe, **settings):
    try:
        train(recipe, pairs, Path(sys.argv[2]) / name, provenance={}, device="cpu", **settings)
        code = 0
    except SystemExit as error:
        code = error.code
    except UserError as error:
        code = str(error)
    print(f"\\n{name} {rank} {code}", flush=True)

case("one", Brightness(steps=1, batch_size=3))
case("micro", Brightness(steps=5, batch_size=5, micro_batch=2, clip=0.05))
case("small", Brightness(batch_size=1))
case("nan", NaN())
case("stop", Brightness(), tick=ask)
case("stop", Brightness(), resume=True)
case("whole", Brightness())
from gcbench.training.processes import Processes
several = Pairs(Toy(), "train", (8, 8), processes=Processes(cpu=True))
assert several.captions == pairs.captions
assert (several.images == pairs.images).all() and (several.layouts == pairs.layouts).all()
torch.distributed.barrier()  # the first has taken the file's name away
mapped = [line.split() for line in open("/proc/self/maps") if "gcbench-pairs-" in line]
print(f"\\nmapped {rank} {mapped[0][4]} {mapped[0][1]} {mapped[0][-1]} {several.images.flags.writeable}", flush=True)
torch.save = full
case("disk", Brightness())
torch.distributed.barrier()
sys.stdout.flush()
os._exit(0)  # gloo's threads may abort a process that ends in order
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("two")
    (out / "script.py").write_text(SCRIPT)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*launch, str(out / "script.py"), str(Path(__file__).parent), str(out)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return out, done.stdout + done.stderr


def state(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "state.pt", weights_only=True)


@pytest.mark.parametrize(
    ("name", "settings"),
    [("one", {"steps": 1, "batch_size": 3}), ("micro", {"steps": 5, "batch_size": 5, "micro_batch": 2, "clip": 0.05})],
)
def test_a_batch_that_two_do_not_share_evenly_is_one_batch(
    ran: tuple[Path, str], tmp_path: Path, name: str, settings: dict[str, Any]
) -> None:
    """AdamW's first moment after one step is 0.1 times the gradient: as in one process, and so is what is logged."""
    train(Brightness(**settings), Pairs(Toy(), "train", (8, 8)), tmp_path / name, provenance={})
    alone, two = state(tmp_path / name), state(ran[0] / name)
    for key, held in alone["optimizers"][""]["state"].items():
        torch.testing.assert_close(
            two["optimizers"][""]["state"][key]["exp_avg"], held["exp_avg"], rtol=1e-4, atol=1e-7
        )
    for mine, other in zip(rows(tmp_path / name), rows(ran[0] / name), strict=True):
        assert float(mine["loss"]) == pytest.approx(float(other["loss"]), rel=1e-5)
        assert float(mine["absolute"]) == pytest.approx(float(other["absolute"]), rel=1e-5)


@pytest.mark.parametrize(
    ("name", "code", "sentence"),
    [
        ("small", 2, "train.batch_size=1 leaves some of 2 processes without an image; raise it"),
        ("nan", 2, "the loss became nan at step 4; lower train.lr or set train.precision=fp32; the weights of step 3"),
        ("stop", 143, "stopped at step 6; the same command with --resume continues it"),
        ("disk", 2, "cannot write .*state.pt: the disk took a part of it only"),
    ],
)
def test_what_ends_one_ends_both_and_one_says_it(ran: tuple[Path, str], name: str, code: int, sentence: str) -> None:
    _, text = ran
    assert [f"{name} {rank} {code}" in text for rank in range(2)] == [True, True]
    assert len(re.findall(f"^gcbench: {sentence}", text, re.MULTILINE)) == 1
    assert "Traceback" not in text


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_two_processes_map_one_copy_of_the_pairs(ran: tuple[Path, str]) -> None:
    """The same inode, shared, of a file whose name is gone."""
    found = re.findall(r"^mapped (\d) (\d+) (\S+) (\S+) (\S+)$", ran[1], re.MULTILINE)
    assert sorted(rank for rank, *_ in found) == ["0", "1"]
    assert len({inode for _, inode, *_ in found}) == 1
    assert {(access, end, writeable) for _, _, access, end, writeable in found} == {("rw-s", "(deleted)", "False")}


def test_stopped_and_resumed_on_two_is_as_if_it_had_never_been(ran: tuple[Path, str]) -> None:
    stopped, whole = state(ran[0] / "stop"), state(ran[0] / "whole")
    assert all(torch.equal(stopped["module"][key], value) for key, value in whole["module"].items())
    assert all(torch.equal(stopped["ema"][key], value) for key, value in whole["ema"].items())
    hashes = [checkpoint.read_card(ran[0] / name / "model.safetensors").sha256 for name in ("stop", "whole")]
    assert hashes[0] == hashes[1]
    assert state(ran[0] / "nan")["step"] == 3
