"""Does any input break gcbench? Random command lines and mutated files: no traceback, no hang, nothing written outside.

python -m studies.fuzz [--seconds 900] [--commands 1000] [--inputs 10000] [--seed 0]

Command lines are built from the commands' own signatures, so that a new option joins by itself; each option is left
out, given a value that works, or given a hostile one. Files are mutated from valid ones. All happens in this process,
in a temporary folder, without network.
"""

import argparse
import contextlib
import errno
import io
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
import typing
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import typer
from PIL import Image

from gcbench import cli
from gcbench.core.checkpoint import Card, read_card
from gcbench.core.errors import UserError
from gcbench.core.protocol import Protocol
from gcbench.core.record import ModelInfo, Point, Provenance, Record
from gcbench.core.registry import registry
from gcbench.core.run_spec import check_evaluators, guidance_scales, metric_names, parse_size
from gcbench.core.score import Score
from gcbench.core.settings import apply, read_settings
from gcbench.data.image_files import read_image
from gcbench.data.image_sources import open_source
from gcbench.data.open_dataset import open_dataset
from gcbench.data.prompts import read_prompts
from gcbench.reports.table import FORMATS
from gcbench.runs.sample_table import SampleTable
from gcbench.runs.suite_plan import read as read_suite
from gcbench.text.class_mentions import named_classes
from gcbench.training.recipe import TrainConfig

ORACLE = """
import torch
from gcbench.core.contracts import Evaluator
from gcbench.core.samples import Features

class Oracle(Evaluator):
    role, id = "segmenter", "oracle"

    @classmethod
    def open(cls, dataset, *, spec=None, device="cpu"):
        return cls()

    def __call__(self, images):
        labels = (images[:, 0].long() // 80).clamp(1, 2)
        return Features(vectors=images.float().mean((2, 3)), labels=labels)
"""
"""An evaluator of the toy dataset: a pixel's grey is its class."""

SECONDS = 60.0
"""A command that takes longer hangs: its images are two, and small."""

HOSTILE = (
    *("", " ", "-", "--", ".", "..", "../up", "~/x", "/dev/null", "/dev/full", "pipe", "missing/x", "x" * 300, "nan"),
    *("inf", "-1", "0", "1e308", "999999999999", "9" * 5000, "=1+1", "[/b]x", "\x1b[31m", "\u202egnp", "a\nb", "$x_y$"),
    *("\udcff", "{", "[[[[", "a=b", "=", "@", "1,,2", "x.py:Y", "../x.py:Y", "segmenter=@..", "train.steps=-1", "%s"),
)
TOKENS = (
    *(b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\r", b"9" * 5000, b"1e999", b"-1", b"NaN", b"null", b"../../x", b"\\"),
    *(b"[" * 100_000, b'{"a":' * 2000, b'"', b"'", b"\x1b[2J", b"\xe2\x80\xae", b"=", b"\\ud800", b"99999999999", b""),
)
LEFT_OUT = ("speed",)
"""Commands that measure this machine, in minutes."""

ALWAYS = {
    "dataset",
    "n",
    "steps",
    "model",
    "runs",
    "images",
    "name",
    "out",
    "size",
    "limit",
    "guidance",
    "metrics",
    "evaluator",
}
"""Options that bound the work: never left to their defaults."""


class Outcome(NamedTuple):
    """kind: what was tried. end: `accepted`, `refused`, `crash`, `hang` or `outside`. told: of the last three."""

    kind: str
    end: str
    told: str = ""

    @property
    def bad(self) -> bool:
        return self.end not in ("accepted", "refused")


class Hang(BaseException):
    """No code catches it."""


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Guard:
    """Sees, while it is on, what Python writes outside `root`, and lets nothing into the network."""

    root: str = ""
    outside: typing.ClassVar[list[str]] = []

    @classmethod
    def hook(cls, event: str, arguments: tuple[Any, ...]) -> None:
        if not cls.root:
            return
        if event == "socket.connect":
            raise OSError("no network here")
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if writes or event in ("os.mkdir", "os.rename", "os.link", "os.symlink"):
            place = arguments[1] if event in ("os.rename", "os.link") else arguments[0]
            if isinstance(place, str | bytes | os.PathLike):
                whole = os.path.abspath(os.fsdecode(place))
                if not whole.startswith((cls.root, "/dev/")):
                    cls.outside.append(f"{event} {whole!r}")


sys.addaudithook(Guard.hook)


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """A temporary folder with small files that work, as working directory and home; writes outside are noted."""
    kept, before = dict(os.environ), Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        (root / "in/cwd").mkdir(parents=True)
        os.environ |= {"HOME": str(root / "in"), "GCBENCH_CACHE": str(root / "cache"), "GCBENCH_OFFLINE": "1"}
        os.environ |= {"GCBENCH_DATA": str(root / "data"), "GCBENCH_WEIGHTS": str(root / "weights"), "COLUMNS": "100"}
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(root / "torch")
        os.environ.pop("GITHUB_STEP_SUMMARY", None)
        os.chdir(root / "in/cwd")
        write_files(Path())
        Guard.root, Guard.outside, sys.dont_write_bytecode = str(root), [], True
        try:
            yield root / "in/cwd"
        finally:
            Guard.root = ""
            os.chdir(before)
            os.environ.clear()
            os.environ.update(kept)


def write_files(root: Path) -> None:
    """A dataset, images in each form, prompts, a record, a card, a suite, settings, a pipe."""
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for part in ("images", "layouts"):
            (root / "toy" / split / part).mkdir(parents=True)
        for i in range(4):
            layout = rng.integers(0, 3, (16, 32), np.uint8)
            Image.fromarray(layout * 80).convert("RGB").save(root / f"toy/{split}/images/{i}.png")
            Image.fromarray(layout).save(root / f"toy/{split}/layouts/{i}.png")
    lines = [{"file_name": f"{i}.png", "text": ["a car", "a tree"], "group": "g"} for i in range(4)]
    (root / "p.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (root / "toy/dataset.toml").write_text(
        'name = "toy"\nclasses = ["road", "car", "tree"]\npalette = [[0, 0, 0], [80, 80, 80], [160, 160, 160]]\n'
        'splits = ["train", "val"]\nsize = [16, 32]\nvoid = "road"\n\n[aliases]\ncar = ["car", "cars"]\n'
    )
    (root / "toy/val/dataset.toml").write_text('name = "one"\nclasses = ["road", "car", "tree"]\n')
    np.savez(root / "a.npz", rng.integers(0, 256, (3, 16, 32, 3), np.uint8))
    with zipfile.ZipFile(root / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(4):
            archive.write(root / f"toy/val/images/{i}.png", f"images/{i}.png")
    Image.open(root / "toy/val/images/0.png").save(root / "a.jpg")
    score = Score(value=0.5, standard_error=0.1, interval=(0.3, 0.7), n=4, detail={"c": {"car": 0.5, "tree": None}})
    protocol = Protocol(dataset="toy", dataset_version="1", split="val", n=4, size=(16, 32), resize="box")
    points = [Point(guidance=float(w), scores={"miou": score, "fid": score}) for w in (1, 2)]
    Record(
        kind="sweep", model=ModelInfo(name="m"), protocol=protocol, points=points, provenance=Provenance(gcbench="0")
    ).write(root / "run/record.json")
    table = SampleTable()
    table.values = {("1", "miou", ""): {"0": 0.5, "1": None}}
    table.groups, table.prompts = {"0": "=g", "1": "h"}, {"0": "a car, a 'tree'", "1": "two\nlines"}
    table.write(root / "run/per_sample.csv")
    (root / "card.safetensors").write_bytes(bytes(16))
    card = Card(kind="model", name="gcdp", classes=("road", "car"), config={"size": [16, 32]}, provenance={"steps": 3})
    (root / "card.json").write_text(card.model_dump_json())
    (root / "suite.toml").write_text('images = 4\nn = 2\n\n[[row]]\nmodel = "real"\nname = "r"\nguidance = [1.0, 2]\n')
    (root / "set.toml").write_text("[train]\nsteps = 1\nlr = 1e-4\nbetas = [0.9, 0.99]\n")
    (root / "oracle.py").write_text(ORACLE)
    os.mkfifo(root / "pipe")


# ------------------------------------------------------------------------------------------------- command lines

WORKING: Mapping[str, Sequence[str]] = {
    "dataset": ["./toy"],
    "model": ["real"],
    "n": ["2"],
    "steps": ["1"],
    "size": ["16x32"],
    "limit": ["1", "2"],
    "guidance": ["1", "1,2"],
    "metrics": ["semantic-recall", "miou,fd"],
    "out": [f"o{i}" for i in range(1000)],
    "images": ["a.zip", "toy/val/images"],
    "layouts": ["toy/val/layouts"],
    "prompts": ["p.jsonl"],
    "runs": ["run"],
    "name": ["suite.toml"],
    "config": ["set.toml"],
    "format": FORMATS,
    "set_": ["train.batch_size=1"],
    "seed": ["3"],
    "device": ["cpu"],
    "split": ["val"],
    "number": ["6"],
    "prompt": ["a car"],
    "what": ["metrics"],
    "as_": ["folder"],
    "val": ["0.25"],
    "evaluator": ["segmenter=oracle.py:Oracle"],
    "batch_size": ["2"],
}
"""Parameter -> values that work, or that are refused late."""

INSTEAD: Mapping[str, Mapping[str, Sequence[str]]] = {
    "train": {"model": ["gcdp"], "evaluator": []},
    "evaluate": {"name": ["mine"], "prompts": ["p.jsonl"]},
    "run": {"images": ["4"]},
    "sample": {"set_": [], "prompt": []},
    "sweep": {"set_": []},
    "compare": {"guidance": ["1"]},
    "split": {"dataset": ["./toy/val"]},
}
"""Last word of a command -> what works there; nothing: left out of lines that should work."""


def commands(group: Any = None, prefix: tuple[str, ...] = ()) -> dict[tuple[str, ...], Sequence[Any]]:
    """The words of each command, and its parameters."""
    found: dict[tuple[str, ...], Sequence[Any]] = {}
    for name, command in (group or typer.main.get_command(cli.app)).commands.items():
        if hasattr(command, "commands"):
            found |= commands(command, (*prefix, name))
        elif name not in LEFT_OUT:
            found[(*prefix, name)] = command.params
    return found


COMMANDS = commands()


def command_line(rng: random.Random) -> list[str]:
    """A command with some of its options."""
    words = rng.choice(sorted(COMMANDS))
    line, daring = list(words), rng.choice((0.0, 0.1, 0.3, 0.8))
    working = {**WORKING, **INSTEAD.get(words[-1], {})}
    for option in COMMANDS[words]:
        name, argument = option.name, option.param_type_name == "argument"
        if name == "help" or (daring < 0.5 and working.get(name) == []):
            continue
        if not (name in ALWAYS or option.required) and (rng.random() < 0.7 or (not daring and name not in working)):
            continue
        if getattr(option, "is_flag", False):
            line.append(rng.choice([*option.opts, *option.secondary_opts]))
            continue
        value = rng.choice(working[name] if working.get(name) and rng.random() >= daring else HOSTILE)
        flag = option.opts[0]
        line += [value] if argument else [f"{flag}={value}"] if flag.startswith("--") else [flag, value]
        line += [value] * (argument and option.nargs == -1)
    return line


def try_command(line: Sequence[str]) -> Outcome:
    """Run a command line in this process."""
    kind, sys.argv = f"gcbench {line[0]}", ["gcbench", *line]
    out = io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace")
    end, told = "accepted", ""
    try:
        with limited(SECONDS), contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            cli.main()
    except SystemExit as leaving:
        end = "accepted" if leaving.code in (0, None) else "refused" if leaving.code in (1, 2) else "crash"
        told = f"exit code {leaving.code}"
    except Hang:
        end, told = "hang", traceback.format_exc(limit=-3)
    except BaseException:
        end, told = "crash", traceback.format_exc(limit=-3)
    out.flush()
    shown = out.buffer.getvalue()  # type: ignore[attr-defined]
    if end != "hang" and (
        len(shown) > 100_000 or b"Traceback" in shown or b"\x1b[31m" in shown or "\u202e".encode() in shown
    ):
        end, told = "crash", shown[-2000:].decode("utf-8", "replace")
    return _checked(kind, end, told, list(line))


def _checked(kind: str, end: str, told: str, given: object) -> Outcome:
    if Guard.outside:
        end, told = "outside", "; ".join(Guard.outside)
        Guard.outside = []
    return Outcome(kind, end, f"{ascii(given)[:400]}\n{told}" if end not in ("accepted", "refused") else "")


# ---------------------------------------------------------------------------------------------------------- files


def _read_source(path: Path) -> None:
    source = open_source(path, "image")
    for name in source.ids[:2]:
        source.look(name)
        source.image(name)


def _read_dataset(path: Path) -> None:
    dataset = open_dataset(f"./{path.parent}")
    for split in dataset.splits:
        if dataset.ids(split):
            dataset.pair(split, 0, dataset.size)
            dataset.captions(split, 0)


def _text(reader: Callable[[str], object]) -> Callable[[Path], object]:
    return lambda path: reader(path.read_bytes().decode("utf-8", "surrogateescape"))


FILES: Mapping[str, tuple[str | bytes, str, Callable[[Path], object]]] = {
    "record": ("run/record.json", "record.json", Record.read),
    "dataset.toml": ("toy/dataset.toml", "toy/dataset.toml", _read_dataset),
    "prompts": ("p.jsonl", "x.jsonl", read_prompts),
    "per_sample.csv": ("run/per_sample.csv", "x.csv", SampleTable.read),
    "npz": ("a.npz", "x.npz", _read_source),
    "zip": ("a.zip", "x.zip", _read_source),
    "png": ("toy/val/images/0.png", "x.png", read_image),
    "jpeg": ("a.jpg", "x.jpg", read_image),
    "card": ("card.json", "x.json", lambda path: read_card(path.with_suffix(".safetensors"))),
    "suite": ("suite.toml", "x.toml", read_suite),
    "settings file": ("set.toml", "y.toml", lambda path: apply({"train": TrainConfig()}, read_settings(path))),
    "--set": (b"train.lr=1e-4", "t", _text(lambda text: apply({"train": TrainConfig()}, read_settings(None, [text])))),
    "--guidance": (b"1,1.5,2", "t", _text(guidance_scales)),
    "--size": (b"64x128", "t", _text(parse_size)),
    "--metrics": (b"fid,miou", "t", _text(metric_names)),
    "--evaluator": (b"segmenter=hrnet_w48:x2@FILE", "t", _text(lambda text: check_evaluators([text]))),
    "--model": (b"mine.py:Mine", "t", _text(registry("models").check)),
    "text": (b"two cars, no tree but a car", "t", _text(lambda text: named_classes(text, {"car": ("car", "cars")}))),
}
"""Kind -> a valid file or text, where the mutated one is put, and its reader."""


def mutated(content: bytes, rng: random.Random) -> bytes:
    """The content with one to four small or large faults."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at, to = sorted(rng.randrange(len(content) + 1) for _ in range(2))
        how = rng.randrange(6)
        if how == 0:
            content = content[:at] + rng.choice(TOKENS) + content[at:]
        elif how == 1:
            content = content[:at] + rng.choice(TOKENS) + content[to:]
        elif how == 2:
            content = content[:at] + content[to:]
        elif how == 3:
            content = content[:to] + content[at:]
        elif how == 4 and content:
            place = min(at, len(content) - 1)
            content = content[:place] + bytes([content[place] ^ 1 << rng.randrange(8)]) + content[place + 1 :]
        else:
            content = content[:at]
    return content[: 1 << 20]


def try_file(kind: str, rng: random.Random) -> Outcome:
    """Read a mutated file."""
    source, place, reader = FILES[kind]
    valid = source if isinstance(source, bytes) else Path(source).read_bytes()
    content = mutated(valid, rng)
    Path(place).write_bytes(content)
    end, told = "accepted", ""
    try:
        with limited(SECONDS):
            reader(Path(place))
    except UserError:
        end = "refused"
    except OSError as error:  # too long a name: the command line says so in a sentence
        end, told = ("refused", "") if error.errno == errno.ENAMETOOLONG else ("crash", traceback.format_exc(limit=-3))
    except Hang:
        end, told = "hang", traceback.format_exc(limit=-3)
    except BaseException:
        end, told = "crash", traceback.format_exc(limit=-3)
    finally:
        if place == source:
            Path(place).write_bytes(valid)
    return _checked(kind, end, told, content)


def fuzz(number_of_commands: int, number_of_inputs: int, seed: int = 0, seconds: float = 900) -> list[Outcome]:
    """What came of so many command lines and mutated files, or of as many as the time allows."""
    rng, stop = random.Random(seed), time.monotonic() + seconds
    outcomes = []
    with workplace():
        for i in range(number_of_inputs):
            if time.monotonic() > stop:
                break
            outcomes.append(try_file(list(FILES)[i % len(FILES)], rng))
        for _ in range(number_of_commands):
            if time.monotonic() > stop:
                break
            outcomes.append(try_command(command_line(rng)))
    return outcomes


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=900)
    parser.add_argument("--commands", type=int, default=1000)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    outcomes = fuzz(asked.commands, asked.inputs, asked.seed, asked.seconds)
    counts = Counter((one.kind, one.end) for one in outcomes)
    for (kind, end), count in sorted(counts.items()):
        print(f"{kind:20} {end:10} {count}")
    bad = [one for one in outcomes if one.bad]
    for one in {one.told[-200:]: one for one in bad}.values():
        print(f"\n{one.kind}, {one.end}: {one.told.encode('ascii', 'backslashreplace').decode()[-2000:]}")
    print(f"\n{len(outcomes)} tried, {len(bad)} bad")
    raise SystemExit(bool(bad))


if __name__ == "__main__":
    main()
